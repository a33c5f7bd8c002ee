"""What the families of kernels share: numbers of each type, polynomials, and scaling by powers of two.

A body that serves both types takes the numbers it needs as arguments (`Type`, and the coefficients of its family):
Python's own 0.5 would be a double under `@njit`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jitgrad.kernels.primitives import bits, fma, select, with_bits


class Type(NamedTuple):
    """Numbers of one type, and the places of its bits."""

    zero: Any
    quarter: Any
    half: Any
    one: Any
    two: Any
    three: Any
    inf: Any
    nan: Any
    tiny: Any  # the smallest normal number
    places: int  # bits of the fraction
    sign: int  # the sign's bit, all others 0
    bias: int  # of the exponent
    round: Any  # x + round is a whole number, and its low bits are that number's
    log2e: Any
    ln2: Any
    ln2_low: Any  # what ln2 lacks
    ln2_high: Any  # n * ln2_high is exact
    ln2_rest: Any


def singles(*values: float) -> tuple[Any, ...]:
    return tuple([np.float32(v) for v in values])


F32 = Type(
    *singles(0, 0.25, 0.5, 1, 2, 3, np.inf, np.nan, 2.0**-126),
    23,
    -0x80000000,
    127,
    *singles(1.5 * 2**23, 1.442695, 0.6931472, -1.9046543e-09, 0.693359375, -0.00021219444),
)
F64 = Type(
    0.0,
    0.25,
    0.5,
    1.0,
    2.0,
    3.0,
    float("inf"),
    float("nan"),
    2.0**-1022,
    52,
    -0x8000000000000000,
    1023,
    1.5 * 2.0**52,
    1.4426950408889634,
    0.6931471805599453,
    2.3190468138462996e-17,
    0.6931471803691238,
    1.9082149292705877e-10,
)


def horner(x: Any, c: Any) -> Any:
    """The polynomial with the coefficients c, of the highest power first.

    A long one is computed as even and odd powers, since neither half waits for the other.
    """
    if len(c) < 6:
        return _chain(x, c)
    z = x * x
    return fma(x, _chain(z, c[-2::-2][::-1]), _chain(z, c[::-2][::-1]))


def _chain(x: Any, c: Any) -> Any:
    p = fma(x, c[0], c[1])
    for k in range(2, len(c)):
        p = fma(p, x, c[k])
    return p


def power_of_two(x: Any, n: Any, t: Any) -> Any:
    """The number of x's type with n in the place of its biased exponent; bits of n that do not fit are lost."""
    return with_bits(x, n << t.places)


def scaled(p: Any, n: Any, t: Any) -> Any:
    """p 2**(n - 2 bias), as two products: neither power overflows, and a subnormal result is rounded once."""
    half = n >> 1
    return p * power_of_two(p, half, t) * power_of_two(p, n - half, t)


def flipped(y: Any, x: Any, t: Any) -> Any:
    """y, with its sign changed where x is negative or -0."""
    return with_bits(y, bits(y) ^ (bits(x) & t.sign))


def clamped(x: Any, low: Any, high: Any) -> Any:
    """x between two bounds; in this form NaN stays."""
    x = select(x > high, high, x)
    return select(x < low, low, x)


def both(body: Callable[..., Any], constants: tuple[Any, Any]) -> dict[str, Callable[..., Any]]:
    """The two kernels that one body is: the constants are those of float32 and of float64, its last argument."""
    if body.__code__.co_argcount == 3:
        return {"f32": _binary(body, constants[0]), "f64": _binary(body, constants[1])}
    return {"f32": _unary(body, constants[0]), "f64": _unary(body, constants[1])}


def _unary(body: Callable[[Any, Any], Any], c: Any) -> Callable[[Any], Any]:
    return lambda x: body(x, c)


def _binary(body: Callable[[Any, Any, Any], Any], c: Any) -> Callable[[Any, Any], Any]:
    return lambda x, y: body(x, y, c)
