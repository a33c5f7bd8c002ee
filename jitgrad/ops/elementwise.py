"""Elementwise operations: one row each.

Operands arrive with equal dtypes, and with equal shapes in kernels: promotion and broadcasting happen before.
A partial derivative that is a boolean mask passes the cotangent where it is true, so that `inf * 0` cannot arise.
At points where no derivative exists the rows give what PyTorch gives (minimum-norm subgradients).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.dtypes import HALF
from jitgrad.ops import special
from jitgrad.ops.table import NOT_DIFFERENTIABLE, Op, binary, predicate, register, unary

POSITIVE = (0.1, 4.0)
INSIDE = (-0.9, 0.9)
AWAY = ((0.2, 3.0), (0.2, 3.0))


def _xlogy(x: Any, y: Any) -> Any:
    dtype = (x if hasattr(x, "dtype") else y).dtype
    return np.where((x == 0) & (y == y), dtype.type(0), x * np.log(y)).astype(dtype)[()]


def _where(c: Any, x: Any, y: Any) -> Any:
    if c.__class__ is np.bool_ and x.__class__ is not np.ndarray and y.__class__ is not np.ndarray:
        kept = x.__class__ if isinstance(x, np.generic) else y.__class__  # the other may be Python's number
        chosen = x if c else y
        return chosen if chosen.__class__ is kept else kept(chosen)
    return np.where(c, x, y)


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


def _clamp(x: Any, min: Any = None, max: Any = None) -> Any:
    if x.__class__ is not np.ndarray:  # np.clip takes microseconds for a number
        if min is not None and (x < min or min != min):
            x = x.__class__(min)
        return x.__class__(max) if max is not None and (x > max or max != max) else x
    low, high = (None if bound is None else x.dtype.type(bound) for bound in (min, max))
    return np.clip(x, low, high).astype(x.dtype, copy=False)  # bfloat16 comes back as float32


def _bounds(x: Any, min: Any = None, max: Any = None) -> dict[str, Any]:
    if min is None and max is None:
        raise RuntimeError("clamp needs min, max or both")
    for bound in (min, max):
        if bound is not None and not isinstance(bound, (int, float, np.number, np.bool_)):
            raise TypeError(f"a bound must be a number or a tensor, not {type(bound).__name__}")
    held = getattr(x.dtype, "numpy", x.dtype)  # of a tensor, or of an array
    if held in HALF:  # whose elements equal to a bound are to be equal to the bound that is kept
        with np.errstate(over="ignore"):
            min, max = (None if bound is None else float(held.type(bound)) for bound in (min, max))
    return {"min": min, "max": max}


def _in_bounds(x: Any, min: Any, max: Any) -> Any:
    if min is None:
        return x <= max
    return x >= min if max is None else (x >= min) & (x <= max)


def _cross_entropy(x: Any, y: Any) -> Any:
    low = x.dtype.type(-100)
    return (y - 1) * np.maximum(np.log1p(-x), low) - y * np.maximum(np.log(x), low)


def _at_least(x: Any, bound: float) -> Any:
    return clamp(x, min=bound, max=None)


def _relu(x: Any) -> Any:
    return np.maximum(x, x.dtype.type(0))


def _but_origin(x: Any, y: Any) -> Any:
    """x, but 1 where x and y are 0."""
    return where(logical_and(x == 0, y == 0), 1, x)


def _sigmoid(x: Any) -> Any:
    z = np.exp(-np.abs(x))
    return _where(x < 0, z, 1) / (1 + z)


def _rounded_sigmoid_slope(x: Any, y: Any) -> Any:
    if not isinstance(y, np.ndarray):
        return y * (1 - y) if y < 1 else np.exp(-x)
    slope = y * (1 - y)
    return slope if np.all(y < 1) else np.where(y < 1, slope, np.exp(-x))


def _sigmoid_slope(x: Any) -> Any:
    z = np.exp(-np.abs(x))
    return z / ((1 + z) * (1 + z))


def _with_logits(x: Any, y: Any) -> Any:
    return np.log1p(np.exp(-np.abs(x))) + np.where(x > 0, (1 - y) * x, -y * x)


def _log_times(g: Any, x: Any, none: Any) -> Any:
    """g log(x), and 0 where there is none; the logarithm is that of 1 there, since 0 * inf would spoil further derivatives."""
    return where(none, 0, g * log(where(none, 1, x)))


def _won(g: Any, larger: Any, smaller: Any) -> Any:
    """The cotangent of the operand that was to be the larger one; equal ones share it."""
    return where(larger < smaller, 0, where(larger == smaller, 0.5 * g, g))


# Arithmetic. Python's operators are several times quicker than the ufuncs on NumPy's scalars.
add = binary("x + y", operator.add, vjp=(lambda g: g, lambda g: g), also="i", cheap=True)
sub = binary("x - y", operator.sub, vjp=(lambda g: g, lambda g: -g), aliases=("subtract",), also="i", bools="none", cheap=True)
mul = binary("x * y", operator.mul, d=(lambda y: y, lambda x: x), aliases=("multiply",), also="i", cheap=True)
div = binary(
    "x / y",
    operator.truediv,
    vjp=(lambda g, y: g / y, lambda g, y, z: -g * (z / y)),
    result="float",
    domain=AWAY,
    aliases=("divide", "true_divide"),
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
        lambda g, x, y: where(y == 0, 0, g * (y * x ** (y - 1))),
        lambda g, x, y, z: _log_times(g * z, x, logical_and(x == 0, y >= 0)),
    ),
    bools="beside",
)
pow_scalar = unary(
    "power(x, exponent)",
    lambda x, exponent: x**exponent,
    label="pow",
    internal=True,
    domain=POSITIVE,
    d=lambda x, exponent: zeros_like(x) if exponent == 0 else exponent * power_of(x, exponent - 1),
    samples=lambda: [{"exponent": e} for e in (2, 3, -1, 0.5, 1.7, 0, 1)],
    bools="beside",
)
neg = unary("-x", operator.neg, vjp=lambda g: -g, aliases=("negative",), exact=True, also="i", bools="beside", cheap=True)
abs = unary(
    "abs(x)", operator.abs, vjp=lambda g, x: g * sign(x), aliases=("absolute",), exact=True, also="i", bools="beside", cheap=True
)
sign = unary("sign(x)", np.sign, vjp=lambda g: zeros_like(g), exact=True, hot=True, also="i", bools="beside")
square = unary("x * x", np.square, d=lambda x: 2 * x, also="i", bools="beside", cheap=True)
reciprocal = unary("1 / x", lambda x: 1 / x, d=lambda y: -y * y, domain=POSITIVE, result="float")
alias = unary("x", lambda x: x, vjp=lambda g: g, internal=True, exact=True)
clone = unary("x", lambda x: np.array(x)[()], vjp=lambda g: g, internal=True, exact=True)
detach = unary("x", lambda x: x, d=NOT_DIFFERENTIABLE, internal=True, exact=True)
zeros_like = unary(
    "0",
    lambda x: np.zeros_like(x) if x.__class__ is np.ndarray else x.__class__(0),
    internal=True,
    vjp=lambda g: zeros_like(g),
    label="zero",
    exact=True,
    also="bi",
    cheap=True,
)

# Roots, exponentials, logarithms.
sqrt = unary("sqrt(x)", np.sqrt, vjp=lambda g, y: g / (2 * y), domain=POSITIVE, result="float", hot=True)
rsqrt = unary("1 / sqrt(x)", lambda x: 1 / np.sqrt(x), d=lambda y: -0.5 * y * y * y, domain=POSITIVE, result="float", hot=True)
cbrt = unary("cbrt(x)", np.cbrt, d=lambda y: 1 / (3 * y * y), domain=POSITIVE, result="float")
exp = unary("exp(x)", np.exp, d=lambda y: y, result="float", hot=True)
exp2 = unary("exp2(x)", np.exp2, d=lambda y: y * math.log(2), result="float")
expm1 = unary("expm1(x)", np.expm1, d=lambda x: exp(x), result="float", hot=True)
log = unary("log(x)", np.log, vjp=lambda g, x: g / x, domain=POSITIVE, result="float", hot=True)
log1p = unary("log1p(x)", np.log1p, vjp=lambda g, x: g / (1 + x), domain=POSITIVE, result="float", hot=True)
log2 = unary("log2(x)", np.log2, vjp=lambda g, x: g / (x * math.log(2)), domain=POSITIVE, result="float", hot=True)
log10 = unary("log10(x)", np.log10, vjp=lambda g, x: g / (x * math.log(10)), domain=POSITIVE, result="float", hot=True)
xlogy = binary(
    "select((x == 0) & (y == y), 0, x * log(y))",
    _xlogy,
    result="float",
    domain=((-3.0, 3.0), POSITIVE),
    vjp=(
        lambda g, x, y: _log_times(g, y, logical_and(x == 0, y <= 0)),
        lambda g, x, y: g * x / y,
    ),
)

# Trigonometric and hyperbolic functions.
sin = unary("sin(x)", np.sin, d=lambda x: cos(x), result="float", hot=True)
cos = unary("cos(x)", np.cos, d=lambda x: -sin(x), result="float", hot=True)
tan = unary("tan(x)", np.tan, d=lambda y: 1 + y * y, domain=(-1.2, 1.2), result="float")
asin = unary("asin(x)", np.arcsin, d=lambda x: asin_slope(x), domain=INSIDE, result="float", aliases=("arcsin",))
acos = unary("acos(x)", np.arccos, d=lambda x: -asin_slope(x), domain=INSIDE, result="float", aliases=("arccos",))
asin_slope = unary(
    "1 / sqrt((1 - x) * (1 + x))",
    lambda x: 1 / np.sqrt((1 - x) * (1 + x)),
    domain=INSIDE,
    result="float",
    d=lambda x, y: x * y * y * y,
    internal=True,
)
atan = unary("atan(x)", np.arctan, d=lambda x: atan_slope(x), result="float", aliases=("arctan",))
atan_slope = unary("1 / (1 + x * x)", lambda x: 1 / (1 + x * x), d=lambda x, y: -2 * (x * y * y), result="float", internal=True)
atan2 = binary(
    "atan2(x, y)",
    np.arctan2,
    result="float",
    domain=AWAY,
    aliases=("arctan2",),
    vjp=(lambda g, x, y: g * inverse(y, _but_origin(x, y)), lambda g, x, y: -g * inverse(x, _but_origin(y, x))),
)
hypot = binary(
    "hypot(x, y)", np.hypot, vjp=(lambda g, x, y: g * cosine(x, y), lambda g, x, y: g * cosine(y, x)), domain=AWAY, result="float"
)
cosine = binary(
    "x / hypot(x, y)",
    lambda x, y: x / np.hypot(x, y),
    domain=AWAY,
    result="float",
    internal=True,
    vjp=(
        lambda g, x, y: g * (cosine(y, x) / hypot(x, y) * cosine(y, x)),
        lambda g, x, y, z: -g * (cosine(y, x) / hypot(x, y) * z),
    ),
)
"""Of the angle between (x, y) and the first axis: the derivative of hypot in x."""
inverse = binary(
    "x / hypot(x, y) / hypot(x, y)",
    lambda x, y: x / np.hypot(x, y) / np.hypot(x, y),
    domain=AWAY,
    result="float",
    internal=True,
    vjp=(
        lambda g, x, y: g * ((cosine(y, x) - cosine(x, y)) * (cosine(y, x) + cosine(x, y)) / hypot(x, y) / hypot(x, y)),
        lambda g, x, y: -g * (2 * (cosine(x, y) * cosine(y, x)) / hypot(x, y) / hypot(x, y)),
    ),
)
"""x / (x^2 + y^2), though the squares might be 0 or infinite: what the derivatives of atan2 are made of."""
sinh = unary("sinh(x)", np.sinh, d=lambda x: cosh(x), result="float")
cosh = unary("cosh(x)", np.cosh, d=lambda x: sinh(x), result="float")
tanh = unary("tanh(x)", np.tanh, d=lambda x: tanh_slope(x), result="float", hot=True)
tanh_slope = unary(
    "tanh_slope(x)", lambda x: (1 / np.cosh(x)) ** 2, d=lambda x, y: -2 * (tanh(x) * y), result="float", internal=True
)
"""1 - tanh(x)^2, also where tanh(x) is rounded to 1."""
asinh = unary("asinh(x)", np.arcsinh, d=lambda x: 1 / hypot(x, 1.0), result="float", aliases=("arcsinh",))
acosh = unary(
    "acosh(x)", np.arccosh, d=lambda x: rsqrt(x - 1) * rsqrt(x + 1), domain=(1.1, 4.0), result="float", aliases=("arccosh",)
)
atanh = unary("atanh(x)", np.arctanh, d=lambda x: atanh_slope(x), domain=INSIDE, result="float", aliases=("arctanh",))
atanh_slope = unary(
    "1 / ((1 - x) * (1 + x))",
    lambda x: 1 / ((1 - x) * (1 + x)),
    d=lambda x, y: 2 * (x * y * y),
    domain=INSIDE,
    result="float",
    internal=True,
)

# Activations and special functions.
sigmoid = unary("sigmoid(x)", _sigmoid, d=lambda x, y: rounded_sigmoid_slope(x, y), result="float", hot=True)
rounded_sigmoid_slope = binary(
    "select(y < 1, y * (1 - y), exp(-x))",
    _rounded_sigmoid_slope,
    result="float",
    internal=True,
    hint="y",
    vjp=(lambda g, x, y: -g * (sigmoid_slope(x) * tanh(0.5 * x)), None),
)
"""The derivative of sigmoid by the result y that it gave: so the digits that 1 - y has lost cancel where a loss takes the
logarithm of 1 - sigmoid(x). Where none is left, and for derivatives of its own, it is that of exact numbers."""
sigmoid_slope = unary("sigmoid_slope(x)", _sigmoid_slope, d=lambda x, y: -y * tanh(0.5 * x), result="float", internal=True)
"""sigmoid(x) * sigmoid(-x): the derivative of sigmoid, also where 1 - sigmoid(x) has lost its digits."""
logistic = unary("sigmoid(x)", _sigmoid, d=lambda x: sigmoid_slope(x), result="float", internal=True)
"""sigmoid in the derivatives of others, where its own is the exact one."""
softplus = unary(
    "softplus(x)", lambda x: np.logaddexp(x, x.dtype.type(0)), d=lambda x: logistic(x), result="float", method=False, hot=True
)
silu = unary(
    "x * sigmoid(x)", lambda x: x * _sigmoid(x), result="float", d=lambda x: logistic(x) + x * sigmoid_slope(x), hot=True
)
relu = unary(
    "select((x > 0) | (x != x), x, 0)",
    _relu,
    vjp=lambda g, y: where(y <= 0, 0, g),
    exact=True,
    hot=True,
    also="i",
    bools="beside",
    cheap=True,
)
erf = unary("erf(x)", special.erf, d=lambda x: (2 / math.sqrt(math.pi)) * exp(-x * x), result="float", hot=True)
erfc = unary("erfc(x)", special.erfc, d=lambda x: (-2 / math.sqrt(math.pi)) * exp(-x * x), result="float", hot=True)
erfinv = unary("erfinv(x)", special.erfinv, d=lambda y: (math.sqrt(math.pi) / 2) * exp(y * y), domain=INSIDE, result="float")
lgamma = unary("lgamma(x)", special.lgamma, d=lambda x: digamma(x), domain=POSITIVE, result="float", hot=True)
digamma = unary("digamma(x)", special.digamma, d=lambda x: trigamma(x), domain=POSITIVE, result="float")
trigamma = unary(
    "trigamma(x)",
    lambda x: special.polygamma(x, 1),
    d=lambda x: polygamma(x, n=2),
    domain=(0.5, 4.0),
    result="float",
    label="polygamma",
)
polygamma = Op(
    special.polygamma,
    kind="elementwise",
    inputs=("x",),
    output="y",
    d=(lambda x, n: polygamma(x, n=n + 1),),
    result="float",
    domain=((0.5, 4.0),),
    method=False,
    samples=lambda: [{"n": 1}, {"n": 2}],
)
i0 = unary("i0(x)", lambda x: special.bessel(x, 0), d=lambda x: i1(x), result="float")
i0e = unary("i0e(x)", lambda x: special.bessel(x, 0, shrunk=True), d=lambda x: -sign(x) * i0e_less_i1e(x), result="float")
i1 = unary("i1(x)", lambda x: special.bessel(x, 1), d=lambda x: i0(x) - i1_over_x(x), result="float")
i1e = unary("i1e(x)", lambda x: special.bessel(x, 1, shrunk=True), result="float", d=lambda x: i0e_less_i1e(x) - i1e_over_x(x))
i1_over_x = unary(
    "i1_over_x(x)", lambda x: special.bessel(x, 1, over=True), d=lambda x: i2_over_x(x), result="float", internal=True
)
i2_over_x = unary(
    "i2_over_x(x)",
    lambda x: special.bessel(x, 2, over=True),
    result="float",
    internal=True,
    d=lambda x, y: where(x == 0, 0.125, i1_over_x(x) - 3 * (y / where(x == 0, 1, x))),
)
i1e_over_x = unary(
    "i1e_over_x(x)",
    lambda x: special.bessel(x, 1, shrunk=True, over=True),
    result="float",
    internal=True,
    d=lambda x: sign(x) * i1e_over_x_slope(x),
)
i1e_over_x_slope = unary(
    "i1e_over_x_slope(x)",
    special.bessel_over_slope,
    result="float",
    internal=True,
    d=lambda x, y: -sign(x) * (2 * y + 3 * (y + i1e_over_x(x)) / where(x == 0, 1, abs(x))),
)
i0e_less_i1e = unary(
    "i0e_less_i1e(x)",
    lambda x: special.bessel_less(x, slope=False),
    result="float",
    internal=True,
    d=lambda x: sign(x) * i0e_less_i1e_slope(x),
)
"""i0e(a) - i1e(a) for a = |x|; the two are nearly equal where a is large."""
i0e_less_i1e_slope = unary(
    "i0e_less_i1e_slope(x)",
    lambda x: special.bessel_less(x, slope=True),
    result="float",
    internal=True,
    d=lambda x, y: sign(x) * (i1e_over_x_slope(x) - 2 * y),
)
binary_cross_entropy = Op(
    _cross_entropy,
    kind="elementwise",
    inputs=("x", "y"),
    output="z",
    result="float",
    internal=True,
    lower=lambda x, y: (y - 1) * _at_least(log1p(-x), -100.0) - y * _at_least(log(x), -100.0),
    domain=((0.1, 0.9), (0.1, 0.9)),
    vjp=(
        lambda g, x, y: g * (x - y) / _at_least((1 - x) * x, 1e-12),
        lambda g, x: g * (_at_least(log1p(-x), -100.0) - _at_least(log(x), -100.0)),
    ),
)
binary_cross_entropy_with_logits = binary(
    "softplus(-abs(x)) + select(x > 0, (1 - y) * x, -y * x)",
    _with_logits,
    result="float",
    internal=True,
    domain=((-3.0, 3.0), (0.1, 0.9)),
    vjp=(lambda g, x, y: g * ((1 - y) * logistic(x) - y * logistic(-x)), lambda g, x: -g * x),
)

# Choices and bounds.
maximum = binary(
    "select((x > y) | (x != x), x, y)",
    np.maximum,
    vjp=(lambda g, x, y: _won(g, x, y), lambda g, x, y: _won(g, y, x)),
    also="i",
    cheap=True,
)
minimum = binary(
    "select((x < y) | (x != x), x, y)",
    np.minimum,
    vjp=(lambda g, x, y: _won(g, y, x), lambda g, x, y: _won(g, x, y)),
    also="i",
    cheap=True,
)
clamp = unary(
    "clamp(x, min, max)",
    _clamp,
    d=lambda x, min, max: _in_bounds(x, min, max),
    aliases=("clip",),
    prepare=_bounds,
    exact=True,
    samples=lambda: [{"min": -1.0, "max": 1.5}, {"min": 0.5, "max": None}, {"min": None, "max": 0.5}, {"min": 1, "max": 2}],
    also="i",
    bools="beside",
    cheap=True,
)
where = Op(
    _where,
    kind="elementwise",
    inputs=("c", "x", "y"),
    output="z",
    kernel="select(c, x, y)",
    vjp=(NOT_DIFFERENTIABLE, lambda g, c: where(c, g, 0), lambda g, c: where(c, 0, g)),
    domain=((0.0, 1.0), (-3.0, 3.0), (-3.0, 3.0)),
    method=False,
    exact=True,
    also="bi",
    cheap=True,
)

# Rounding: piecewise constant, so the derivative is zero.
floor = unary("floor(x)", np.floor, vjp=lambda g: zeros_like(g), exact=True, bools="beside")
ceil = unary("ceil(x)", np.ceil, vjp=lambda g: zeros_like(g), exact=True, bools="beside")
round = unary("rint(x)", np.rint, vjp=lambda g: zeros_like(g), method=False, exact=True, bools="beside")
trunc = unary("trunc(x)", np.trunc, vjp=lambda g: zeros_like(g), aliases=("fix",), exact=True, bools="beside")

# Comparisons and logic: no derivative.
eq = predicate("x == y", operator.eq, also="b", cheap=True)
ne = predicate("x != y", operator.ne, aliases=("not_equal",), also="b", cheap=True)
lt = predicate("x < y", operator.lt, aliases=("less",), also="b", cheap=True)
le = predicate("x <= y", operator.le, aliases=("less_equal",), also="b", cheap=True)
gt = predicate("x > y", operator.gt, aliases=("greater",), also="b", cheap=True)
ge = predicate("x >= y", operator.ge, aliases=("greater_equal",), also="b", cheap=True)
isnan = predicate("x != x", np.isnan, inputs=("x",))
isinf = predicate("(x == x) & (x - x != 0)", np.isinf, inputs=("x",))
isfinite = predicate("x - x == 0", np.isfinite, inputs=("x",))
logical_and = predicate("(x != 0) & (y != 0)", np.logical_and, also="b", cheap=True)
logical_or = predicate("(x != 0) | (y != 0)", np.logical_or, also="b", cheap=True)
logical_xor = predicate("(x != 0) ^ (y != 0)", np.logical_xor, also="b")
logical_not = predicate("x == 0", np.logical_not, inputs=("x",), also="b", cheap=True)


def _bitwise(formula: str, run: Callable, inputs: tuple[str, ...] = ("x", "y")) -> Op:
    return Op(
        run,
        kind="elementwise",
        inputs=inputs,
        output="z",
        kernel=formula,
        result="integer",
        domain=((0.0, 9.0),) * len(inputs),
        also="bi",
    )


bitwise_and = _bitwise("x & y", operator.and_)
bitwise_or = _bitwise("x | y", operator.or_)
bitwise_xor = _bitwise("x ^ y", operator.xor)
bitwise_not = _bitwise("~x", operator.invert, ("x",))

# Between dtypes.
cast = Op(
    lambda x, dtype, rounds=False: x.astype(dtype),
    kind="elementwise",
    inputs=("x",),
    output="y",
    kernel="to(x, dtype)",
    vjp=(lambda g, x_dtype: cast(g, dtype=x_dtype),),
    domain=((-3.0, 3.0),),
    label="to_copy",
    internal=True,
    exact=True,
    samples=lambda: [{"dtype": np.dtype(np.float64)}],
    also="bi",
    cheap=True,
)
"""With `rounds`, the end of an operation on half precision, under whose name it goes (see precision.py)."""


def power_of(x: Any, exponent: float) -> Any:
    """`x ** exponent` for a number, in the cheapest op that says so."""
    if exponent == 1:
        return x
    if exponent == 2:
        return x * x
    return pow_scalar(x, exponent=exponent)


register(globals())
