"""What rows of complex numbers are in rows of their real and imaginary parts, of which there is machine code.

A rule is given the operands of a row and its parameters, as a `lower` is, and takes their parts; what it gives may be rows of
complex numbers again. A row without one is left to NumPy. 0 times what is infinite or nan is 0 where functions are products of
others, as in C's library. Formulas: division as R. Smith, "Algorithm 116" (1962), which is NumPy's; square root, logarithm
and tangents so that no step over- or underflows where the result does not, after W. Kahan, "Branch cuts for complex
elementary functions" (1987).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from jitgrad.dtypes import real_of
from jitgrad.ops.activations import logistic, sigmoid, sigmoid_slope, silu
from jitgrad.ops.arithmetic import (
    add,
    div,
    exp,
    exp2,
    expm1,
    log,
    log1p,
    log2,
    log10,
    mul,
    pow_scalar,
    reciprocal,
    rsqrt,
    sqrt,
    square,
    sub,
)
from jitgrad.ops.choosing import (
    abs,
    cast,
    clone,
    conj,
    detach,
    eq,
    imag_part,
    imaginary,
    is_complex,
    isfinite,
    isinf,
    isnan,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    maximum,
    minimum,
    ne,
    neg,
    real_part,
    sgn,
    sign,
    where,
    zeros_like,
)
from jitgrad.ops.complexes import angle, complex_
from jitgrad.ops.floats import copysign
from jitgrad.ops.movement import cat, narrow, reshape, sum
from jitgrad.ops.reductions import cumsum
from jitgrad.ops.table import Op
from jitgrad.ops.trigonometric import asin_slope, atan2, atan_slope, cos, cosh, hypot, sin, sinh, tan, tanh, tanh_slope

RULES: dict[Op, Callable] = {}


def parts_of(x: Any) -> tuple[Any, Any]:
    """The real and the imaginary part."""
    return real_part(x), imag_part(x)


def each(op: Op) -> Callable:
    """The rule of what does the same to either part; operands that are real, as an index, are those of both."""

    def rule(*xs: Any, **params: Any) -> Any:
        pairs = [parts_of(x) if is_complex(x) else (x, x) for x in xs]
        return complex_(*[op(*part, **params) for part in zip(*pairs)])

    return rule


RULES |= {op: each(op) for op in (add, sub, neg, clone, detach, zeros_like, where, sum, cumsum)}


def _rule(*ops: Op) -> Callable[[Callable], Callable]:
    def register(rule: Callable) -> Callable:
        RULES.update(dict.fromkeys(ops, rule))
        return rule

    return register


# Parts in memory: next to each other.


def side_by_side(*parts: Any) -> Any:
    """The parts along a last dimension."""
    return cat(*[reshape(part, shape=(*part.shape, 1)) for part in parts], dim=parts[0].ndim)


def one_part(pairs: Any, k: int) -> Any:
    """One of the parts that stand along the last dimension."""
    return reshape(narrow(pairs, dim=pairs.ndim - 1, start=k, length=1), shape=tuple(pairs.shape[:-1]))


RULES[imaginary] = lambda x: complex_(0.0, x)
RULES[conj] = lambda x: complex_(real_part(x), -imag_part(x))


@_rule(cast)
def _cast(x: Any, dtype: Any, rounds: bool = False) -> Any:
    if dtype.kind == "c":
        parts = [cast(part, dtype=real_of(dtype)) for part in (parts_of(x) if is_complex(x) else (x,))]
        return complex_(*parts, *[0.0] * (2 - len(parts)))
    return _is_true(x) if dtype.kind == "b" else cast(real_part(x), dtype=dtype)


# Comparisons and logic.


def _is_true(x: Any) -> Any:
    return logical_or(*parts_of(x))


def _either(test: Op) -> Callable:
    return lambda x: logical_or(*map(test, parts_of(x)))


def _both(test: Op, joined: Op) -> Callable:
    return lambda x, y: joined(test(real_part(x), real_part(y)), test(imag_part(x), imag_part(y)))


RULES |= {eq: _both(eq, logical_and), ne: _both(ne, logical_or), isnan: _either(isnan), isinf: _either(isinf)}
RULES[isfinite] = lambda x: logical_and(*map(isfinite, parts_of(x)))
RULES[logical_not] = lambda x: logical_not(_is_true(x))
for _op in (logical_and, logical_or, logical_xor):
    RULES[_op] = lambda x, y, op=_op: op(_is_true(x), _is_true(y))


# Products.


@_rule(mul)
def _product(x: Any, y: Any) -> Any:
    (a, b), (c, d) = parts_of(x), parts_of(y)
    return complex_(a * c - b * d, a * d + b * c)


@_rule(div)
def _quotient(x: Any, y: Any) -> Any:
    (a, b), (c, d) = parts_of(x), parts_of(y)
    flat = abs(c) >= abs(d)
    large, small = where(flat, c, d), where(flat, d, c)
    none = logical_and(flat, c == 0)
    ratio = where(none, 0, small / large)
    scale = 1 / where(none, 0, large + small * ratio)
    real = where(flat, a + b * ratio, a * ratio + b)
    imag = where(flat, b - a * ratio, b * ratio - a)
    return complex_(real * scale, imag * scale)


RULES[square] = lambda x: x * x
RULES[reciprocal] = lambda x: 1 / x
RULES[rsqrt] = lambda x: 1 / sqrt(x)
RULES[atan_slope] = lambda x: 1 / (1 + x * x)
RULES[asin_slope] = lambda x: 1 / sqrt((1 - x) * (1 + x))


@_rule(pow_scalar)
def _power(x: Any, exponent: Any) -> Any:
    """Small whole powers, as products."""
    if exponent == 0.5:
        return sqrt(x)
    if exponent not in (1, 2, 3, 4, -1, -2, -3, -4):
        return None
    twice = x * x
    power = {1: x, 2: twice, 3: twice * x, 4: twice * twice}[exponent if exponent > 0 else -exponent]
    return power if exponent > 0 else 1 / power


# Sizes and directions.

RULES[abs] = lambda x: hypot(*parts_of(x))
RULES[angle] = lambda x: atan2(imag_part(x), real_part(x))


@_rule(sgn)
def _direction(x: Any) -> Any:
    a, b = parts_of(x)
    size, along = hypot(a, b), logical_xor(isinf(a), isinf(b))  # along an axis
    found = [where(along, where(isinf(part), sign(part), 0), part / size) for part in (a, b)]
    return complex_(*[where(size == 0, 0, part) for part in found])


@_rule(sqrt)
def _root(x: Any) -> Any:
    """The larger part of the root from the sum of what has one sign, the other one by division; of numbers near 1."""
    a, b = parts_of(x)
    size = maximum(abs(a), abs(b))
    huge, slight = size > 1e30, size < 1e-30
    scale = where(huge, 2.0**-100, where(slight, 2.0**100, 1.0))
    back = where(huge, 2.0**50, where(slight, 2.0**-50, 1.0))
    a, b = a * scale, b * scale
    large = sqrt(0.5 * (abs(a) + hypot(a, b)))
    small = where(large == 0, 0, 0.5 * abs(b) / large)
    large, small = large * back, where(abs(b) == math.inf, large, small) * back
    right = a >= 0
    return complex_(where(right, large, small), copysign(where(right, small, large), b))


# Exponentials and logarithms.


def _times(x: Any, y: Any) -> Any:
    found = x * y
    return where(logical_and(found != found, logical_or(x == 0, y == 0)), 0, found)


@_rule(exp)
def _exponential(x: Any) -> Any:
    """By halves: the exponential may be too large where its product with a sine is not. A half is never infinite, and what is
    too large for a half and a sine is so for both."""
    a, b = parts_of(x)
    half = minimum(exp(0.5 * a), 2.0 ** (1000 if a.dtype.itemsize == 8 else 120))
    none = logical_and(half == 0, logical_not(isfinite(b)))
    return complex_(*[half * (half * where(none, 0, wave(b))) for wave in (cos, sin)])


@_rule(expm1)
def _exponential_less_one(x: Any) -> Any:
    a, b = parts_of(x)
    turn = sin(0.5 * b)
    return complex_(_times(expm1(a), cos(b)) - 2 * (turn * turn), _times(exp(a), sin(b)))


@_rule(log)
def _logarithm(x: Any) -> Any:
    """Near the unit circle from what the square of the absolute value is more than 1."""
    a, b = abs(real_part(x)), abs(imag_part(x))
    large, small = maximum(a, b), minimum(a, b)
    size = hypot(a, b)
    near = logical_and(size > 0.7, size < 1.4)
    excess = where(near, (large - 1) * (large + 1) + small * small, 0)
    return complex_(where(near, 0.5 * log1p(excess), log(size)), angle(x))


def _scaled(x: Any, factor: float) -> Any:
    return complex_(*[part * factor for part in parts_of(x)])


RULES[exp2] = lambda x: exp(_scaled(x, math.log(2)))
RULES[log2] = lambda x: _scaled(log(x), 1 / math.log(2))
RULES[log10] = lambda x: _scaled(log(x), 1 / math.log(10))


@_rule(log1p)
def _logarithm_of_more(x: Any) -> Any:
    a, b = parts_of(x)
    size = hypot(1 + a, b)
    near = logical_and(size > 0.7, size < 1.4)
    excess = where(near, a * (2 + a) + b * b, 0)
    return complex_(where(near, 0.5 * log1p(excess), log(size)), atan2(b, 1 + a))


RULES |= dict.fromkeys((sigmoid, logistic), lambda x: 1 / (1 + exp(-x)))
RULES[silu] = lambda x: x * sigmoid(x)


@_rule(sigmoid_slope)
def _slope(x: Any) -> Any:
    y = sigmoid(x)
    return y * (1 - y)


# Sines.


def _waves(even: Op, odd: Op) -> tuple[Any, Any]:
    """The rules for cosh and sinh."""

    def cosine(x: Any) -> Any:
        a, b = parts_of(x)
        return complex_(_times(even(a), cos(b)), _times(odd(a), sin(b)))

    def sine(x: Any) -> Any:
        a, b = parts_of(x)
        return complex_(_times(odd(a), cos(b)), _times(even(a), sin(b)))

    return cosine, sine


RULES[cosh], RULES[sinh] = _waves(cosh, sinh)


def _turned(x: Any) -> Any:
    """x times i."""
    a, b = parts_of(x)
    return complex_(-b, a)


def _turned_back(x: Any) -> Any:
    a, b = parts_of(x)
    return complex_(b, -a)


RULES[cos] = lambda x: cosh(_turned(x))
RULES[sin] = lambda x: _turned_back(sinh(_turned(x)))
RULES[tan] = lambda x: _turned_back(tanh(_turned(x)))


@_rule(tanh)
def _tangent(x: Any) -> Any:
    """sinh x / cosh x, both times the conjugate of cosh x, over the square of cosh of the real part."""
    a, b = parts_of(x)
    along, slope = tanh(a), tanh_slope(a)
    up, down = _times(slope, sin(b)) * cos(b), _times(slope, cos(b)) * cos(b)
    total = along * along + where(slope == 0, 0, down)
    return complex_(along / total, where(slope == 0, 0, up) / total)


RULES[tanh_slope] = lambda x: 1 - square(tanh(x))
