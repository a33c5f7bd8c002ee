"""Variances, deviations and norms, scaled so that squares neither overflow nor vanish."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jitgrad.ops.arithmetic import power_of, sqrt
from jitgrad.ops.choosing import abs, cast, imag_part, logical_or, ne, real_part, sign, where, zeros_like
from jitgrad.ops.movement import SAMPLES, count, over_dims, reduced, reshape, spread, sum
from jitgrad.ops.reductions import _tied, amax, amin, mean
from jitgrad.ops.shapes import reduced_shape
from jitgrad.ops.sums import summed
from jitgrad.ops.table import reduction, register


def spread_params(x: Any, dim: Any = None, correction: float | None = 1, keepdim: bool = False, unbiased: Any = None) -> dict:
    if isinstance(dim, bool):  # PyTorch's old form var(unbiased)
        dim, unbiased = None, dim
    correction = 1 if correction is None else correction
    if unbiased is not None:
        correction = 1 if unbiased else 0
    if not isinstance(correction, (int, float, np.number)):
        raise TypeError(f"correction must be a number, not {type(correction).__name__}")
    return over_dims(x, dim, keepdim) | {"correction": correction}


def _degrees(shape: tuple[int, ...], dim: tuple[int, ...], correction: float) -> float:
    return max(count(shape, dim) - correction, 0)


def _per_degree(shape: tuple[int, ...], dim: tuple[int, ...], correction: float) -> float:
    degrees = _degrees(shape, dim, correction)
    return 1 / degrees if degrees else math.nan


def _var(x: Any, dim: tuple[int, ...], keepdim: bool, correction: float) -> Any:
    centred = x - summed(x, dim, True) / x.dtype.type(count(x.shape, dim))
    degrees = x.dtype.type(_degrees(x.shape, dim, correction))
    return summed(centred * centred, dim, keepdim) / degrees


def _centred(x: Any, dim: tuple[int, ...]) -> Any:
    return x - spread(mean(x, dim=dim, keepdim=True), x.shape, dim, True)


def _lower_var(x: Any, dim: tuple[int, ...], keepdim: bool, correction: float) -> Any:
    centred = _centred(x, dim)
    return sum(centred * centred, dim=dim, keepdim=keepdim) / float(_degrees(x.shape, dim, correction))


def _var_of_complex(x: Any, **params: Any) -> Any:
    return var(real_part(x), **params) + var(imag_part(x), **params)


def _std_of_complex(x: Any, **params: Any) -> Any:
    """The root, which passes nothing on where it is 0."""
    squares = _var_of_complex(x, **params)
    return where(squares == 0, 0, sqrt(where(squares == 0, 1, squares)))


VAR_SAMPLES = [(shape, params | {"correction": 1}) for shape, params in SAMPLES]
var = reduction(
    _var,
    lower=_lower_var,
    prepare=spread_params,
    shape=reduced,
    result="floating",
    samples=lambda: VAR_SAMPLES,
    vjp=lambda g, x, dim, keepdim, correction: (
        spread(g * (2 * _per_degree(x.shape, dim, correction)), x.shape, dim, keepdim) * _centred(x, dim)
    ),
    hot=True,
    oracle="np.var(x, dim, keepdims=keepdim, ddof=correction)",
    of_complex=_var_of_complex,
)


def _norm_params(x: Any, p: Any = 2, dim: Any = None, keepdim: bool = False) -> dict[str, Any]:
    if not isinstance(p, (int, float)):
        if p != "fro":
            raise ValueError(f"norm: p must be a number, inf, -inf or 'fro', not {p!r}")
        p = 2
    return over_dims(x, dim, keepdim) | {"p": float(p)}


SQUARED = {4: (2.0**-50, 2.0**40, 2.0**90, 2.0**-80), 8: (2.0**-500, 2.0**500, 2.0**600, 2.0**-600)}
"""By the size of a float: between which numbers squares add up, and factors for what is smaller and what is larger."""


def _factor(size: Any, dim: tuple[int, ...]) -> Any:
    """A power of two, 1 for most numbers, times which the largest of `size` has a square that adds up."""
    low, high, up, down = SQUARED[size.dtype.itemsize]
    top = amax(size, dim=dim, keepdim=True)
    one = zeros_like(top) + 1
    return where(top < low, up * one, where(top > high, down * one, one))


def _lower_root(x: Any, dim: tuple[int, ...], keepdim: bool, degrees: float = 1.0) -> Any:
    """The root of the sum of squares over `degrees`, of numbers that are scaled if their squares would be infinite or 0.

    Those of single precision are neither in double precision.
    """
    if x.dtype.itemsize == 4:
        wide = cast(x, dtype=np.dtype(np.float64))
        return cast(sqrt(sum(wide * wide, dim=dim, keepdim=keepdim) / degrees), dtype=getattr(x, "_held", x).dtype)
    if not count(x.shape, dim) or x.dtype.itemsize not in SQUARED:
        return sqrt(sum(x * x, dim=dim, keepdim=keepdim) / degrees)
    factor = _factor(abs(x), dim)
    scaled = x * spread(factor, x.shape, dim, True)
    root = sqrt(sum(scaled * scaled, dim=dim, keepdim=True) / degrees) / factor
    return root if keepdim else reshape(root, shape=reduced_shape(x.shape, dim, False))


def _root(x: Any, dim: tuple[int, ...], keepdim: bool, degrees: float = 1.0) -> Any:
    """`_lower_root` of arrays, which most often need not be scaled."""
    squares = summed(x * x, dim, keepdim)
    low, high, _, _ = SQUARED[x.dtype.itemsize]
    if ((squares > low * low) & (squares < high * high)).all():
        return np.sqrt(squares / x.dtype.type(degrees))
    return _lower_root(x, dim, keepdim, degrees)


def _norm(x: Any, dim: tuple[int, ...], keepdim: bool, p: float) -> Any:
    if p == 2:
        return _root(x, dim, keepdim)
    size = np.abs(x)
    if math.isinf(p):
        return (np.maximum if p > 0 else np.minimum).reduce(size, axis=dim, keepdims=keepdim)
    if p == 0:
        return summed((x != 0).astype(x.dtype), dim, keepdim)
    if p == 1 or not count(x.shape, dim):
        return np.power(summed(size ** x.dtype.type(p), dim, keepdim), x.dtype.type(1 / p))
    unit = (np.maximum if p > 0 else np.minimum).reduce(size, axis=dim, keepdims=True)  # what counts most
    unit = np.where((unit == 0) | np.isinf(unit), x.dtype.type(1), unit)
    powers = summed((size / unit) ** x.dtype.type(p), dim, True)
    return np.reshape(unit * powers ** x.dtype.type(1 / p), reduced_shape(x.shape, dim, keepdim))[()]


def _lower_norm(x: Any, dim: tuple[int, ...], keepdim: bool, p: float) -> Any:
    if p == 2:
        return _lower_root(x, dim, keepdim)
    if p == 0:
        return sum(where(ne(x, 0), zeros_like(x) + 1, zeros_like(x)), dim=dim, keepdim=keepdim)
    size = abs(x)
    if math.isinf(p):
        return (amax if p > 0 else amin)(size, dim=dim, keepdim=keepdim)
    if p == 1 or not count(x.shape, dim):
        total = sum(size, dim=dim, keepdim=keepdim)
        return total if p > 0 else total + math.inf  # of nothing
    unit = (amax if p > 0 else amin)(size, dim=dim, keepdim=True)  # what counts most
    unit = where(logical_or(unit == 0, unit == math.inf), 1, unit)
    powers = sum(power_of(size / spread(unit, x.shape, dim, True), p), dim=dim, keepdim=True)
    return reshape(unit * power_of(powers, 1 / p), shape=reduced_shape(x.shape, dim, keepdim))


def _over(x: Any, y: Any, dim: tuple[int, ...], keepdim: bool) -> Any:
    """x / y for the y of a reduction over x; 0 where y is 0, and so are all derivatives."""
    return x / spread(where(y == 0, math.inf, y), x.shape, dim, keepdim)


def _norm_vjp(g: Any, x: Any, y: Any, dim: tuple[int, ...], keepdim: bool, p: float) -> Any:
    """Minimum-norm subgradient where the norm is zero: PyTorch's choice."""
    if p == 0:
        return zeros_like(x)
    if math.isinf(p):
        return sign(x) * _tied(g, abs(x), y, dim, keepdim)
    if p == 1:
        return spread(g, x.shape, dim, keepdim) * sign(x)
    part = _over(x, y, dim, keepdim)
    if p != 2:
        part = where(part == 0, 0, sign(x) * power_of(where(part == 0, 1, abs(part)), p - 1))
    return spread(g, x.shape, dim, keepdim) * part


norm = reduction(
    _norm,
    prepare=_norm_params,
    shape=reduced,
    result="floating",
    vjp=_norm_vjp,
    samples=lambda: [(s, k | {"p": p}) for s, k in SAMPLES for p in (0.0, 1.0, 2.0, 3.0, math.inf)],
    lower=_lower_norm,
    hot=True,
    oracle=(
        "np.max(abs(x), dim, keepdims=keepdim) if p == math.inf else np.sum(x != 0, dim, keepdims=keepdim) if p == 0"
        " else np.sum(abs(x) ** p, dim, keepdims=keepdim) ** (1 / p)"
    ),
    of_complex=lambda x, **params: norm(abs(x), **params),
)

std = reduction(
    lambda x, dim, keepdim, correction: _root(
        x - summed(x, dim, True) / x.dtype.type(count(x.shape, dim)), dim, keepdim, _degrees(x.shape, dim, correction)
    ),
    lower=lambda x, dim, keepdim, correction: _lower_root(
        _centred(x, dim), dim, keepdim, float(_degrees(x.shape, dim, correction))
    ),
    prepare=spread_params,
    shape=reduced,
    result="floating",
    samples=lambda: VAR_SAMPLES,
    vjp=lambda g, x, y, dim, keepdim, correction: (
        spread(g * _per_degree(x.shape, dim, correction), x.shape, dim, keepdim) * _over(_centred(x, dim), y, dim, keepdim)
    ),
    hot=True,
    oracle="np.std(x, dim, keepdims=keepdim, ddof=correction)",
    of_complex=_std_of_complex,
)


register(globals())
