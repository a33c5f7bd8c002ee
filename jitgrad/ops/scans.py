"""Scans: what the elements up to each one along a dimension give together.

NumPy accumulates them one after the other. Where there is no NumPy, neighbours at distance 1, 2, 4, … are joined. Derivatives are
linear recurrences, whose derivatives are such again: those of every order are right where factors are zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.ops.activations import softplus
from jitgrad.ops.arithmetic import exp, mul
from jitgrad.ops.choosing import abs, cast, clone, eq, ge, le, logical_and, logical_or, ne, where
from jitgrad.ops.indexing import gather, places
from jitgrad.ops.logarithms import log_of_sum
from jitgrad.ops.movement import cat, expand, flip, narrow, pad, reshape
from jitgrad.ops.reductions import ALONG, COUNT
from jitgrad.ops.scattering import batched_along
from jitgrad.ops.shapes import Spec, axis
from jitgrad.ops.table import Op, Running, composite, reduction, register


def _along(x: Any, dim: int) -> dict[str, Any]:
    return {"dim": axis(dim, x.ndim)}


def _doubling(join: Callable, xs: Sequence[Any], dim: int) -> list[Any]:
    """The scan of one or several arrays by an associative `join(earlier, later)`, in as many steps as their size has bits."""
    found, n, step = list(xs), xs[0].shape[dim], 1
    while step < n:
        first = [narrow(x, dim=dim, start=0, length=n - step) for x in found]
        later = [narrow(x, dim=dim, start=step, length=n - step) for x in found]
        joined = join(*first, *later)
        joined = joined if isinstance(joined, tuple) else (joined,)
        found = [cat(narrow(x, dim=dim, start=0, length=step), y, dim=dim) for x, y in zip(found, joined)]
        step *= 2
    return found


def _scanned(join: Callable) -> Callable:
    return lambda x, dim: _doubling(join, (x,), dim)[0] if x.shape else clone(x)


def _accumulated(ufunc: Any) -> Callable:
    """The scan by NumPy, that of numbers in single precision held in double precision."""

    def run(x: Any, dim: int) -> Any:
        if not x.ndim:
            return np.array(x)[()]
        held = WIDE.get(x.dtype, x.dtype)
        return ufunc.accumulate(x.astype(held, copy=False), axis=dim, dtype=held).astype(x.dtype, copy=False)

    return run


WIDE = {np.dtype(np.float32): np.dtype(np.float64), np.dtype(np.complex64): np.dtype(np.complex128)}
TAME = 1e-290, 1e290
"""Between which numbers products are divided by."""


def _recurrence(x: Any, y: Any, dim: int) -> Any:
    """By running sums of what is divided by running products, where these and those are far from 0 and from infinity; step by
    step, which takes longest, where an infinite number has met another one or 0 on the way."""
    if x.shape[dim] < 2 or not x.size:
        return np.array(y)
    held = WIDE.get(x.dtype, x.dtype)
    factors = x.astype(held)
    factors[(slice(None),) * dim + (0,)] = 1
    products = np.multiply.accumulate(factors, axis=dim)
    size = np.abs(products)
    if size.min() > TAME[0] and size.max() < TAME[1]:
        found = products * np.add.accumulate(y.astype(held, copy=False) / products, axis=dim)
        if np.isfinite(found).all():
            return found.astype(y.dtype, copy=False)
    found = _joined_recurrence(x, y, dim)
    return found if np.isfinite(found).all() else _stepwise(x.astype(held), y.astype(held), dim).astype(y.dtype)


def _stepwise(x: Any, y: Any, dim: int) -> Any:
    x, found = np.moveaxis(x, dim, 0), np.moveaxis(y, dim, 0).copy()
    for k in range(1, len(found)):
        found[k] += x[k] * found[k - 1]
    return np.moveaxis(found, 0, dim)


def _joined_recurrence(x: Any, y: Any, dim: int) -> Any:
    return _doubling(lambda a, b, c, d: (a * c, c * b + d), (x, y), dim)[1]


def _next(x: Any, dim: int) -> Any:
    """The elements moved one place to the front, and 0 behind."""
    n = x.shape[dim]
    return pad(narrow(x, dim=dim, start=1, length=n - 1), dim=dim, start=0, size=n) if n else x


def _before(x: Any, dim: int) -> Any:
    """The elements moved one place to the back, and 0 in front."""
    n = x.shape[dim]
    return pad(narrow(x, dim=dim, start=0, length=n - 1), dim=dim, start=1, size=n) if n else x


def _from_behind(x: Any, y: Any, dim: int) -> Any:
    """z[k] = y[k] + x[k] * z[k + 1] along a dimension, for the last k without the product."""
    dims = (dim,)
    return flip(recurrence(flip(x, dims=dims), flip(y, dims=dims), dim=dim), dims=dims)


def _step(kernel: str, *inputs: str) -> Op:
    """What is carried on from one element to the next: a kernel alone, since NumPy does not go step by step."""
    return Op(_step, kind="elementwise", inputs=inputs, kernel=kernel, internal=True)


recurrence = Op(
    _recurrence,
    kind="linalg",
    inputs=("x", "y"),
    output="z",
    result="floating",
    internal=True,
    on_complex="holomorphic",
    running=Running((0,), (_step("select(k == 0, y, z * x + y)", "z", "x", "y", "k"),), wide=True),
    lower=_joined_recurrence,
    numpy=True,
    batch=batched_along,
    shape=lambda x, y, dim: Spec(y.shape, y.dtype),
    vjp=(
        lambda g, x, z, dim: _from_behind(_next(x, dim), g, dim) * _before(z, dim),
        lambda g, x, dim: _from_behind(_next(x, dim), g, dim),
    ),
    samples=lambda: [
        ([(2, 5), (2, 5)], {"dim": 1}),
        ([(3, 2), (3, 2)], {"dim": 0}),
        ([np.array([2.0, 0.0, -1.0, 0.5]), (4,)], {"dim": 0}),
    ],
    oracle="np.stack([z := y.take(k, dim) + (x.take(k, dim) * z if k else 0) for k in range(y.shape[dim])], dim)",
)
"""z[k] = y[k] + x[k] * z[k - 1] along a dimension, for k = 0 without the product."""


def _cumprod_vjp(g: Any, x: Any, y: Any, dim: int) -> Any:
    """What comes before each factor times the sum of what comes after it, by a recurrence: no factor is divided by."""
    if not x.shape:
        return g
    first = np.arange(x.shape[dim]).reshape(-1, *(1,) * (len(x.shape) - 1 - dim)) == 0
    return where(first, 1, _before(y, dim)) * _from_behind(_next(x, dim), g, dim)


cumprod = reduction(
    _accumulated(np.multiply),
    running=Running((1,), (mul,), wide=True),
    lower=_scanned(mul),
    numpy=True,
    vjp=_cumprod_vjp,
    inplace=True,
    on_complex="holomorphic",
    prepare=_along,
    shape=lambda x, dim: Spec(x.shape, x.dtype),
    samples=lambda: ALONG,
    result="sum",
    doc="Running products along a dimension",
    oracle="np.cumprod(x, dim)",
)


def _less(x: Any, y: Any) -> Any:
    """x - y, and 0 where both are the same infinity."""
    endless = logical_and(eq(x, y), eq(abs(x), math.inf))
    return where(endless, 0, x - y)


def _log_of_sum(x: Any, y: Any) -> Any:
    """log(exp(x) + exp(y))."""
    first = ge(x, y)
    high, low = where(first, x, y), where(first, y, x)
    return high + softplus(_less(low, high))


def _logcumsumexp_vjp(g: Any, x: Any, y: Any, dim: int) -> Any:
    """Each element has a share in all sums from its own on, which is its share there times the ratios of the sums that follow."""
    if not x.shape:
        return g
    n = x.shape[dim]
    if not n:
        return g
    first, later = (narrow(y, dim=dim, start=k, length=n - 1) for k in (0, 1))
    ratios = pad(exp(_less(first, later)), dim=dim, start=0, size=n)
    return exp(_less(x, y)) * _from_behind(ratios, g, dim)


logcumsumexp = reduction(
    _accumulated(np.logaddexp),
    lower=_scanned(_log_of_sum),
    numpy=True,
    vjp=_logcumsumexp_vjp,
    prepare=_along,
    shape=lambda x, dim: Spec(x.shape, x.dtype),
    samples=lambda: ALONG,
    result="floating",
    of_complex=_scanned(log_of_sum),
    doc="Logarithms of the running sums of exponentials along a dimension, without overflow",
    oracle="np.logaddexp.accumulate(x, dim)",
)


def _lasts(extreme: Any) -> Callable:
    """Where the extremes up to each element are, the last of equal ones; nan is more extreme than all."""

    def run(x: Any, dim: int) -> Any:
        if not x.ndim:
            return np.int64(0)
        hit = (x == extreme.accumulate(x, axis=dim)) | (x != x)
        numbers = np.arange(x.shape[dim]).reshape([-1 if d == dim else 1 for d in range(x.ndim)])
        return np.maximum.accumulate(np.where(hit, numbers, 0), axis=dim)

    return run


def _places_along(x: Any, dim: int) -> Any:
    """The place of each element along a dimension."""
    n = x.shape[dim]
    numbers = reshape(cast(places(x, size=n), dtype=COUNT), shape=tuple([n if d == dim else 1 for d in range(x.ndim)]))
    return expand(numbers, shape=tuple(x.shape))


def _last(at_least: Any) -> Callable:
    def join(x: Any, at: Any, y: Any, later: Any) -> tuple[Any, Any]:
        wins = logical_or(ne(y, y), logical_and(at_least(y, x), eq(x, x)))
        return where(wins, y, x), where(wins, later, at)

    def lower(x: Any, dim: int) -> Any:
        x = cast(x, dtype=COUNT) if x.dtype == np.dtype(bool) else x
        if not x.shape:
            return cast(ne(x, x), dtype=COUNT) * 0
        return _doubling(join, (x, _places_along(x, dim)), dim)[1]

    return lower


def _place_row(extreme: Any, at_least: Any, sign: str, oracle: str) -> Op:
    wins = f"((x {sign} best) & (best == best)) | (x != x)"
    steps = (_step(f"select({wins}, x, best)", "best", "at", "x"), _step(f"select({wins}, k, at)", "best", "at", "x", "k"))
    return reduction(
        _lasts(extreme),
        running=Running((-math.inf if sign == ">=" else math.inf, 0), steps, wide=False),
        lower=_last(at_least),
        numpy=True,
        exact=True,
        internal=True,
        prepare=_along,
        shape=lambda x, dim: Spec(x.shape, COUNT),
        samples=lambda: ALONG,
        oracle=oracle,
    )


cummax_places = _place_row(np.maximum, ge, ">=", "_running_places(np.max, x, dim)")
cummin_places = _place_row(np.minimum, le, "<=", "_running_places(np.min, x, dim)")


def _running_extreme(row: Op, what: str, name: str) -> Op:
    def run(x: Any, dim: int) -> tuple[Any, Any]:
        indices = row(x, dim=dim)
        return (gather(x, indices, dim=dim) if x.ndim else clone(x)), indices

    return composite(
        run,
        doc=f"The {what} elements so far along a dimension, and where they are: the last of equal ones, and nan before all",
        outputs=("values", "indices"),
        prepare=_along,
        samples=lambda: ALONG,
        oracle=f"(np.{name}imum.accumulate(x, dim), _running_places(np.{name}, x, dim))",
    )


cummax = _running_extreme(cummax_places, "largest", "max")
cummin = _running_extreme(cummin_places, "smallest", "min")

register(globals())
