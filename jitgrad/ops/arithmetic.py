"""Sums, products, powers, roots, exponentials and logarithms."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from jitgrad.ops.choosing import is_complex, logical_and, real_part, where, zeros_like
from jitgrad.ops.table import Op, binary, register, unary

POSITIVE = (0.1, 4.0)
AWAY = ((0.2, 3.0), (0.2, 3.0))


def _xlogy(x: Any, y: Any) -> Any:
    dtype = (x if hasattr(x, "dtype") else y).dtype
    return np.where((x == 0) & (y == y), dtype.type(0), x * np.log(y)).astype(dtype)[()]


def _exp2(x: Any) -> Any:
    return np.exp(x * x.dtype.type(math.log(2))) if x.dtype.kind == "c" else np.exp2(x)


_exp2.ufunc = np.exp2  # type: ignore[attr-defined]


def _divides(divide: Any) -> Any:
    """A division of whole numbers, which PyTorch refuses by 0 and NumPy gives 0 for; of floats it is inf or nan."""

    def run(x: Any, y: Any) -> Any:
        if np.asarray(x).dtype.kind in "iu" and np.any(np.equal(y, 0)):
            raise RuntimeError("an integer cannot be divided by 0 (ZeroDivisionError): make it a float, or mask the zeros")
        return divide(x, y)

    run.ufunc = divide  # type: ignore[attr-defined]
    return run


def _divisor(row: Any) -> Any:
    """The inputs that make a row raise an error: of whole numbers, what they are divided by, or their exponent."""
    return row.inputs[1:] if row.dtype.kind in "iu" else ()


def _no_log(x: Any, y: Any) -> Any:
    """Where x ** y is 0 whatever y is, nearby."""
    return logical_and(x == 0, (real_part(y) if is_complex(y) else y) >= 0)


def _log_times(g: Any, x: Any, none: Any) -> Any:
    """g log(x), and 0 where there is none; the logarithm is that of 1 there, since 0 * inf would spoil further derivatives."""
    return where(none, 0, g * log(where(none, 1, x)))


def _slope_in_both(g: Any, x: Any, y: Any) -> Any:
    """g times the derivative of x ** y in x and y, without x ** y, which may be 0 or infinite where that is not."""
    none = _no_log(x, y)
    x = where(none, 1, x)
    exponent = y * log(x) if is_complex(x) or is_complex(y) else xlogy(y, x)
    return where(none, 0, g * (x ** (y - 1) * (1 + exponent)))


# Python's operators are several times quicker than the ufuncs on NumPy's scalars.
add = binary("x + y", operator.add, vjp=(lambda g: g, lambda g: g), also="i", cheap=True, alone=True, on_complex="linear")
sub = binary(
    "x - y",
    operator.sub,
    vjp=(lambda g: g, lambda g: -g),
    aliases=("subtract",),
    also="i",
    bools="none",
    cheap=True,
    on_complex="linear",
    alone=True,
)
mul = binary(
    "x * y",
    operator.mul,
    d=(lambda y: y, lambda x: x),
    aliases=("multiply",),
    also="i",
    cheap=True,
    on_complex="holomorphic",
    alone=True,
)
div = binary(
    "x / y",
    operator.truediv,
    vjp=(lambda g, y: g / y, lambda g, x, y: -g * (x / y / y)),  # of operands, as in PyTorch: the result may be changed in place
    result="float",
    domain=AWAY,
    aliases=("divide", "true_divide"),
    on_complex="holomorphic",
    alone=True,
)
floor_divide = binary(
    "floor_divide(x, y)",
    _divides(np.floor_divide),
    vjp=(lambda g: zeros_like(g), lambda g: zeros_like(g)),
    domain=AWAY,
    checks=_divisor,
    jumps=True,
    also="i",
    bools="beside",
    alone=True,
)
truncated_quotient = binary(
    "trunc(x / y)",
    lambda x, y: np.trunc(x / y),
    vjp=(lambda g: zeros_like(g), lambda g: zeros_like(g)),
    domain=AWAY,
    result="float",
    internal=True,
    label="div",
    alone=True,
    oracle="np.trunc(x / y)",
)
remainder = binary(
    "remainder(x, y)",
    _divides(np.remainder),
    vjp=(lambda g: g, lambda g, x, y: -g * floor_divide(x, y)),
    domain=((-3.0, 3.0), (3.2, 5.0)),
    checks=_divisor,
    jumps=True,
    also="i",
    bools="beside",
)
pow = binary(
    "pow(x, y)",
    operator.pow,
    domain=(POSITIVE, (-2.0, 2.0)),
    checks=_divisor,
    vjp=(
        lambda g, x, y: g * power_slope(x, y),
        lambda g, x, y, z: g * power_log(x, y, z),
    ),
    bools="beside",
    on_complex="holomorphic",
)
power_slope = binary(
    "select(y == 0, 0, y * pow(x, y - 1))",
    lambda x, y: np.where(y == 0, y.dtype.type(0), y * x ** (y - 1)).astype(y.dtype)[()],
    internal=True,
    domain=(POSITIVE, (-2.0, 2.0)),
    vjp=(
        lambda g, x, y: where(y == 0, 0, g * (y * power_slope(x, y - 1))),
        lambda g, x, y: _slope_in_both(g, x, y),
    ),
    oracle="y * x ** (y - 1)",
    on_complex="holomorphic",
)
"""The derivative of x ** y in x: 0 where y is 0, for any x; nonetheless it has a slope in y there."""
power_log = Op(
    lambda x, y, z: np.where((x == 0) & (y.real >= 0), z.dtype.type(0), z * np.log(x)).astype(z.dtype)[()],
    kind="elementwise",
    inputs=("x", "y", "z"),
    output="w",
    kernel="select((x == 0) & (y >= 0), 0, z * log(x))",
    internal=True,
    hint="z",
    domain=(POSITIVE, (-2.0, 2.0), POSITIVE),
    vjp=(
        lambda g, x, y: _slope_in_both(g, x, y),
        lambda g, x, y, w: _log_times(g * w, x, _no_log(x, y)),
        None,
    ),
    on_complex="holomorphic",
)
"""The derivative of z = x ** y in y. That of its own in x is written without z, which may be 0 or infinite where it is not."""
POWERS: dict[float, str] = {
    0: "1",
    1: "x",
    2: "x * x",
    3: "x * x * x",
    4: "(x * x) * (x * x)",
    -1: "1 / x",
    -2: "1 / (x * x)",
    0.5: "sqrt(x)",
}
"""Those that are written without `pow`."""
pow_scalar = unary(
    "power(x, exponent)",
    lambda x, exponent: x**exponent,
    label="pow",
    internal=True,
    domain=POSITIVE,
    d=lambda x, exponent: zeros_like(x) if exponent == 0 else exponent * power_of(x, exponent - 1),
    samples=lambda: [{"exponent": e} for e in (2, 3, -1, 0.5, 1.7, 0, 1)],
    bools="beside",
    oracle="x ** exponent",
    on_complex="holomorphic",
)
square = unary("x * x", np.square, d=lambda x: 2 * x, also="i", bools="counted", cheap=True, on_complex="holomorphic")
reciprocal = unary(
    "1 / x",
    lambda x: 1 / x,
    d=lambda y: -y * y,
    domain=POSITIVE,
    result="float",
    oracle="1 / x",
    on_complex="holomorphic",
)


# Roots, exponentials, logarithms.
sqrt = unary(
    "sqrt(x)", np.sqrt, vjp=lambda g, y: g / (2 * y), domain=POSITIVE, result="float", hot=True, on_complex="holomorphic"
)
rsqrt = unary(
    "1 / sqrt(x)",
    lambda x: 1 / np.sqrt(x),
    d=lambda y: -0.5 * y * y * y,
    domain=POSITIVE,
    result="float",
    hot=True,
    oracle="x ** (-0.5)",
    on_complex="holomorphic",
)
cbrt = unary("cbrt(x)", np.cbrt, d=lambda y: 1 / (3 * y * y), domain=POSITIVE, result="float")
exp = unary("exp(x)", np.exp, d=lambda y: y, result="float", hot=True, on_complex="holomorphic")
exp2 = unary(
    "exp2(x)",
    _exp2,
    d=lambda y: y * math.log(2),
    result="float",
    on_complex="holomorphic",
    aliases=("special.exp2",),
)
expm1 = unary(
    "expm1(x)",
    np.expm1,
    d=lambda x: exp(x),
    result="float",
    hot=True,
    on_complex="holomorphic",
    aliases=("special.expm1",),
)
log = unary("log(x)", np.log, vjp=lambda g, x: g / x, domain=POSITIVE, result="float", hot=True, on_complex="holomorphic")
log1p = unary(
    "log1p(x)",
    np.log1p,
    vjp=lambda g, x: g / (1 + x),
    domain=POSITIVE,
    result="float",
    hot=True,
    on_complex="holomorphic",
    aliases=("special.log1p",),
)
log2 = unary(
    "log2(x)",
    np.log2,
    vjp=lambda g, x: g / (x * math.log(2)),
    domain=POSITIVE,
    result="float",
    hot=True,
    on_complex="holomorphic",
)
log10 = unary(
    "log10(x)",
    np.log10,
    vjp=lambda g, x: g / (x * math.log(10)),
    domain=POSITIVE,
    result="float",
    hot=True,
    on_complex="holomorphic",
)
xlogy = binary(
    "select((x == 0) & (y == y), 0, x * log(y))",
    _xlogy,
    result="float",
    domain=((-3.0, 3.0), POSITIVE),
    vjp=(
        lambda g, x, y: _log_times(g, y, logical_and(x == 0, y <= 0)),
        lambda g, x, y: g * x / y,
    ),
    aliases=("special.xlogy",),
    oracle="scipy.special.xlogy(x, y)",
)


def power_of(x: Any, exponent: float) -> Any:
    """`x ** exponent` for a number, in the cheapest op that says so."""
    if exponent == 1:
        return x
    if exponent == 2:
        return x * x
    return pow_scalar(x, exponent=exponent)


register(globals())
