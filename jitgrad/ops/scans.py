"""Scans: what the elements up to each one along a dimension give together.

NumPy accumulates them one after the other. What a scan is made of, by which it is differentiated and which runs where there is
no NumPy, joins neighbours at distance 1, 2, 4, …: derivatives of every order are then right where factors are zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.ops.activations import softplus
from jitgrad.ops.arithmetic import mul
from jitgrad.ops.choosing import abs, cast, clone, eq, ge, le, logical_and, logical_or, ne, where
from jitgrad.ops.indexing import gather, places
from jitgrad.ops.movement import cat, expand, narrow, reshape
from jitgrad.ops.reductions import ALONG, COUNT
from jitgrad.ops.shapes import Spec, axis
from jitgrad.ops.table import Op, composite, reduction, register


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
    """The scan by NumPy, that of float32 held in float64."""

    def run(x: Any, dim: int) -> Any:
        if not x.ndim:
            return np.array(x)[()]
        held = np.dtype(np.float64) if x.dtype == np.float32 else x.dtype
        return ufunc.accumulate(x.astype(held, copy=False), axis=dim, dtype=held).astype(x.dtype, copy=False)

    return run


cumprod = reduction(
    _accumulated(np.multiply),
    lower=_scanned(mul),
    numpy=True,
    inplace=True,
    prepare=_along,
    shape=lambda x, dim: Spec(x.shape, x.dtype),
    samples=lambda: ALONG,
    result="sum",
    doc="Running products along a dimension",
    oracle="np.cumprod(x, dim)",
)


def _log_of_sum(x: Any, y: Any) -> Any:
    """log(exp(x) + exp(y)), smooth where they are equal."""
    first = ge(x, y)
    high, low = where(first, x, y), where(first, y, x)
    endless = logical_and(eq(low, high), eq(abs(high), math.inf))  # whose difference is nan
    return high + softplus(where(endless, 0, low - high))


logcumsumexp = reduction(
    _accumulated(np.logaddexp),
    lower=_scanned(_log_of_sum),
    numpy=True,
    prepare=_along,
    shape=lambda x, dim: Spec(x.shape, x.dtype),
    samples=lambda: ALONG,
    result="floating",
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


def _place_row(extreme: Any, at_least: Any, oracle: str) -> Op:
    return reduction(
        _lasts(extreme),
        lower=_last(at_least),
        numpy=True,
        exact=True,
        internal=True,
        prepare=_along,
        shape=lambda x, dim: Spec(x.shape, COUNT),
        samples=lambda: ALONG,
        oracle=oracle,
    )


cummax_places = _place_row(np.maximum, ge, "_running_places(np.max, x, dim)")
cummin_places = _place_row(np.minimum, le, "_running_places(np.min, x, dim)")


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
