"""Copies, choices, bounds, comparisons, logic, signs, rounding, dtypes: elementwise rows whose results are no new numbers."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.dtypes import HALF, complex_of
from jitgrad.ops.table import NOT_DIFFERENTIABLE, Op, binary, predicate, register, unary


def _where(c: Any, x: Any, y: Any) -> Any:
    if c.__class__ is np.bool_ and x.__class__ is not np.ndarray and y.__class__ is not np.ndarray:
        kept = x.__class__ if isinstance(x, np.generic) else y.__class__  # the other may be Python's number
        chosen = x if c else y
        return chosen if chosen.__class__ is kept else kept(chosen)
    return np.where(c, x, y)


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
    elif held.kind in "iu":
        min, max = _fitting(held, min, "min"), _fitting(held, max, "max")
    return {"min": min, "max": max}


def _fitting(dtype: np.dtype, bound: Any, name: str) -> Any:
    """A bound of whole numbers: one that all of the dtype are within is the last of these."""
    if not isinstance(bound, int | np.integer):
        return bound
    limits = np.iinfo(dtype)
    if bound > limits.max if name == "min" else bound < limits.min:
        raise RuntimeError(f"clamp: {name}={bound} does not fit into {dtype.name}, and everything would become that")
    return min(max(int(bound), limits.min), limits.max)


def _in_bounds(x: Any, min: Any, max: Any) -> Any:
    if min is None:
        return x <= max
    return x >= min if max is None else (x >= min) & (x <= max)


def _cast(x: Any, dtype: np.dtype, rounds: bool = False) -> Any:
    """True is what is not 0; no imaginary part is lost on the way."""
    if x.dtype.kind == "c" and dtype.kind not in "cb":
        raise TypeError(f"complex numbers do not fit into {dtype.name}: take their real part, abs() or view_as_real()")
    return x.astype(dtype)


def cast_part(x: Any, dtype: np.dtype) -> Any:
    """`cast`, to a dtype of real numbers of the real part: what a cotangent of these is where a complex one arrives."""
    return cast(real_part(x) if is_complex(x) and dtype.kind not in "cb" else x, dtype=dtype)


def is_complex(x: Any) -> bool:
    """Whether a tensor or an array is complex."""
    return getattr(x, "_held", x).dtype.kind == "c"


def _relu(x: Any) -> Any:
    """-0.0 stays, of which NumPy's maximum gives either zero."""
    if x.__class__ is not np.ndarray:
        return _where(x < 0, 0, x)
    out = np.array(x)
    np.putmask(out, x < 0, 0)
    return out


def _sign(x: Any) -> Any:
    """NumPy's, and of bools themselves."""
    return x.copy() if getattr(x, "dtype", None) == np.bool_ else np.sign(x)


_sign.ufunc = np.sign  # type: ignore[attr-defined]


def _imaginary(x: Any) -> Any:
    out = np.zeros(np.shape(x), complex_of(x.dtype))
    out.imag = x
    return out[()]


def _turned(g: Any, x: Any, y: Any) -> Any:
    """The cotangent of complex numbers whose directions are `y`: what is at a right angle to them, over their absolute value."""
    size = abs(x)
    return y * imaginary(imag_part(conj(y) * g) / where(size == 0, 1, size))


def _won(g: Any, larger: Any, smaller: Any) -> Any:
    """The cotangent of the operand that was to be the larger one; equal ones share it."""
    return where(larger < smaller, 0, where(larger == smaller, 0.5 * g, g))


neg = unary(
    "-x",
    operator.neg,
    vjp=lambda g: -g,
    aliases=("negative",),
    exact=True,
    also="i",
    bools="beside",
    cheap=True,
    on_complex="linear",
)
abs = unary(
    "abs(x)",
    operator.abs,
    vjp=lambda g, x: g * sign(x),
    complex_rules=(lambda g, x: g * sgn(x),),
    aliases=("absolute",),
    exact=True,
    also="i",
    bools="beside",
    cheap=True,
)
sign = unary("sign(x)", _sign, vjp=lambda g: zeros_like(g), aliases=("sgn",), exact=True, hot=True, also="i", oracle="_sign(x)")

sgn = unary(
    "sign(x)",
    lambda x: _sign(x),  # whose ufunc stands for the row `sign`
    also="i",
    vjp=lambda g: zeros_like(g),
    complex_rules=(lambda g, x, y: _turned(g, x, y),),
    exact=True,
    oracle="_sign(x)",
)
"""The sign, of a complex number the one of the same direction whose absolute value is 1."""
conj = unary(
    None,
    np.conjugate,
    vjp=lambda g: conj(g),
    exact=True,
    internal=True,
    on_complex="linear",
    oracle="x",
)
real_part = unary(
    None,
    lambda x: np.array(x.real)[()],
    vjp=lambda g, x_dtype: cast(g, dtype=x_dtype),
    exact=True,
    internal=True,
    on_complex="linear",
    oracle="x",
)
imag_part = unary(
    None,
    lambda x: np.array(x.imag)[()],
    vjp=lambda g: zeros_like(g),
    complex_rules=(lambda g: imaginary(g),),
    exact=True,
    internal=True,
    oracle="x * 0",
)
imaginary = unary(
    None,
    _imaginary,
    vjp=lambda g: imag_part(g),
    complex_rules=(lambda g: imag_part(g),),
    real=False,
    exact=True,
    internal=True,
    oracle="x * 1j",
)
"""A real number times i."""

alias = unary(
    "x",
    lambda x: x,
    vjp=lambda g: g,
    internal=True,
    exact=True,
    oracle="np.copy(x)",
    on_complex="linear",
)
clone = unary(
    "x",
    lambda x: np.array(x)[()],
    vjp=lambda g: g,
    internal=True,
    exact=True,
    oracle="np.copy(x)",
    on_complex="linear",
)
again = unary(
    "x",
    lambda x: np.array(x)[()],
    vjp=lambda g: again(g),
    internal=True,
    exact=True,
    also="bi",
    cheap=True,
    oracle="np.copy(x)",
    on_complex="linear",
    doc="The same values, of which no pass knows that they are: what is computed of them is computed again",
)
detach = unary(
    "x",
    lambda x: x,
    d=NOT_DIFFERENTIABLE,
    internal=True,
    exact=True,
    oracle="np.copy(x)",
    on_complex="linear",
)
zeros_like = unary(
    "0",
    lambda x: np.zeros_like(x) if x.__class__ is np.ndarray else x.__class__(0),
    internal=True,
    vjp=lambda g: zeros_like(g),
    label="zero",
    exact=True,
    also="bi",
    cheap=True,
    oracle="x * 0",
    on_complex="linear",
)

relu = unary(
    "select(x < 0, 0, x)",
    _relu,
    vjp=lambda g, y: kink(y, g, 0),
    exact=True,
    hot=True,
    also="i",
    bools="beside",
    cheap=True,
    oracle="x * (x > 0)",
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
    oracle="np.clip(x, min, max)",
)
where = Op(
    _where,
    kind="elementwise",
    inputs=("c", "x", "y"),
    output="z",
    inplace=False,
    kernel="select(c, x, y)",
    vjp=(NOT_DIFFERENTIABLE, lambda g, c: where(c, g, 0), lambda g, c: where(c, 0, g)),
    domain=((0.0, 1.0), (-3.0, 3.0), (-3.0, 3.0)),
    method=False,
    exact=True,
    also="bi",
    cheap=True,
    oracle="np.where(c, x, y)",
    on_complex="linear",
)


def _at_zero(formula: str, run: Callable, itself: Callable) -> Op:
    """`where(c > 0, x, y)`, which depends on c: so a derivative that is constant but for jumps has a derivative, which is 0."""
    return Op(
        run,
        kind="elementwise",
        inputs=("c", "x", "y"),
        output="z",
        kernel=formula,
        vjp=(lambda g: zeros_like(g), lambda g, c: itself()(c, g, 0), lambda g, c: itself()(c, 0, g)),
        domain=((-3.0, 3.0),) * 3,
        internal=True,
        exact=True,
        also="i",
        cheap=True,
        oracle="np.where(c > 0, x, y)",
    )


kink = _at_zero("select(c <= 0, y, x)", lambda c, x, y: _where(c <= 0, y, x), lambda: kink)
"""nan chooses x: what is bounded on one side keeps it, and the derivative of `relu` there is 1, as in PyTorch."""
bend = _at_zero("select((c <= 0) | (c != c), y, x)", lambda c, x, y: _where(c > 0, x, y), lambda: bend)
"""nan chooses y. (The kernel does not say `c > 0`: LLVM gives -0.0 as 0.0 where that chooses 0 or c of half precision.)"""


# Rounding: piecewise constant, so the derivative is zero.
floor = unary("floor(x)", np.floor, vjp=lambda g: zeros_like(g), also="i", exact=True, bools="beside")
ceil = unary("ceil(x)", np.ceil, vjp=lambda g: zeros_like(g), also="i", exact=True, bools="beside")
round = unary("rint(x)", np.rint, vjp=lambda g: zeros_like(g), method=False, exact=True, bools="beside")
trunc = unary("trunc(x)", np.trunc, vjp=lambda g: zeros_like(g), aliases=("fix",), also="i", exact=True, bools="beside")


# Comparisons and logic: no derivative.
eq = predicate("x == y", operator.eq, also="b", cheap=True, on_complex="linear")
ne = predicate("x != y", operator.ne, aliases=("not_equal",), also="b", cheap=True, on_complex="linear")
lt = predicate("x < y", operator.lt, aliases=("less",), also="b", cheap=True)
le = predicate("x <= y", operator.le, aliases=("less_equal",), also="b", cheap=True)
gt = predicate("x > y", operator.gt, aliases=("greater",), also="b", cheap=True)
ge = predicate("x >= y", operator.ge, aliases=("greater_equal",), also="b", cheap=True)
isnan = predicate("x != x", np.isnan, inputs=("x",), on_complex="linear")
isinf = predicate("(x == x) & (x - x != 0)", np.isinf, inputs=("x",), on_complex="linear")
isfinite = predicate("x - x == 0", np.isfinite, inputs=("x",), on_complex="linear")
logical_and = predicate("(x != 0) & (y != 0)", np.logical_and, also="b", cheap=True, on_complex="linear")
logical_or = predicate("(x != 0) | (y != 0)", np.logical_or, also="b", cheap=True, on_complex="linear")
logical_xor = predicate("(x != 0) ^ (y != 0)", np.logical_xor, also="b", on_complex="linear")
logical_not = predicate("x == 0", np.logical_not, inputs=("x",), also="b", cheap=True, on_complex="linear")


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
    _cast,
    kind="elementwise",
    inputs=("x",),
    output="y",
    kernel="to(x, dtype)",
    vjp=(lambda g, x_dtype: cast_part(g, x_dtype),),
    domain=((-3.0, 3.0),),
    label="to_copy",
    internal=True,
    exact=True,
    samples=lambda: [{"dtype": np.dtype(np.float64)}],
    also="bi",
    cheap=True,
    oracle="x",
    on_complex="linear",
)
"""With `rounds`, the end of an operation on half precision, under whose name it goes (see precision.py)."""


register(globals())
