"""Histograms: how many values lie between edges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jitgrad.functions import creation
from jitgrad.functions.face import face
from jitgrad.functions.indexing import scatter_add
from jitgrad.functions.numeric import amax, amin
from jitgrad.functions.searching import _searched
from jitgrad.functions.shaping import reshape, select
from jitgrad.ops import choosing
from jitgrad.record.apply import apply
from jitgrad.record.checking import floating
from jitgrad.record.precision import in_single
from jitgrad.tensors.results import named
from jitgrad.tensors.tensor import Tensor

COUNT = np.dtype(np.int64)

_HISTOGRAM = named("histogram", "hist", "bin_edges")
_HISTOGRAMDD = named("histogramdd", "hist", "bin_edges")


def _bins(what: str, bins: Any) -> int:
    if isinstance(bins, bool) or not isinstance(bins, (int, np.integer)):
        raise TypeError(f"{what}: bins must be an int, not {type(bins).__name__}")
    if bins <= 0:
        raise RuntimeError(f"{what}: the number of bins must be positive, and it is {bins}")
    return int(bins)


@face(exact=True)
def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """How many elements lie in each of `bins` parts of equal size from `min` to `max`, in the dtype of the tensor.

    Where these are equal they are the smallest and the largest element. The last part contains its end.
    """
    floating("histc", input)
    bins = _bins("histc", bins)
    if max < min:
        raise RuntimeError(f"histc: max must not be smaller than min, and they are {max} and {min}")
    x = reshape(input.detach(), (-1,))
    low, high = _ends("histc", x, min, max, 1.0)
    return _counted_evenly(x, bins, low, high)


@in_single
def _counted_evenly(x: Tensor, bins: int, low: Any, high: Any) -> Tensor:
    inside = apply(choosing.logical_and, (apply(choosing.ge, (x, low)), apply(choosing.le, (x, high))))
    # What is nowhere goes into one more part. A value at the end belongs to the last one.
    at = (apply(choosing.where, (inside, x, low)) - low) / (high - low) * bins
    at = apply(choosing.clamp, (apply(choosing.floor, (at,)),), {"min": None, "max": float(bins - 1)})
    places = apply(choosing.cast, (apply(choosing.where, (inside, at, float(bins))),), {"dtype": COUNT})
    ones = apply(choosing.zeros_like, (x,)) + 1
    return _added_up(places, ones, bins)


def _added_up(places: Tensor, weights: Tensor, size: int) -> Tensor:
    """The sums of weights by place; the place `size` is for what lies nowhere."""
    zeros = creation.zeros(size + 1, dtype=weights.dtype, device=weights.device)
    return scatter_add(zeros, 0, places, weights)[:size]


def _ends(what: str, x: Tensor, low: Any, high: Any, margin: float, of_values: bool = True) -> tuple[Any, Any]:
    """Bounds, of the values if those given are equal, and apart from each other. Under jit they are tensors."""
    if of_values and low == high and x.numel():
        found_low, found_high = amin(x), amax(x)
        known = found_low._value is not None and not found_low.is_cuda
        if not known:
            same = apply(choosing.eq, (found_low, found_high))
            return tuple([apply(choosing.where, (same, v + m, v)) for v, m in ((found_low, -margin), (found_high, margin))])
        low, high = found_low.item(), found_high.item()
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RuntimeError(f"{what}: the range from {low} to {high} is not finite")
    return (low - margin, high + margin) if low == high else (low, high)


def histogram(input: Tensor, bins: Any = 100, *, range: Any = None, weight: Tensor | None = None, density: bool = False) -> Any:
    """How many elements, or what weight, lies between edges: the pair (hist, bin_edges), in the dtype of the tensor.

    `bins` is a number of parts of equal size, of the whole or of `range`, or a 1-d tensor of edges. Each part contains its lower
    edge, the last one both. With `density` the integral is 1.
    """
    floating("histogram", input)
    if weight is not None and tuple(weight.shape) != tuple(input.shape):
        raise RuntimeError(f"histogram: weight must have the shape {list(input.shape)}, and it is {list(weight.shape)}")
    x = reshape(input, (-1, 1))
    edges = _edges("histogram", select(x, 1, 0), bins, range)
    return _HISTOGRAM(_between("histogram", x, [edges], weight, density), edges)


@face(method=False)
def histogramdd(
    input: Tensor, bins: Any, range: Sequence[float] | None = None, weight: Tensor | None = None, density: bool = False
) -> Any:
    """`histogram` of points, whose coordinates are the last dimension; there are edges for each, as one tuple.

    `bins` is a number of parts for all coordinates, or a list of numbers, or of tensors of edges; `range` lists the ends of all.
    """
    floating("histogramdd", input)
    if input.ndim < 2:
        raise RuntimeError(f"histogramdd: points need two dimensions or more, and the shape is {list(input.shape)}")
    n = input.shape[-1]
    many = list(bins) if isinstance(bins, (tuple, list)) else [bins] * n
    if len(many) != n:
        raise RuntimeError(f"histogramdd: points have {n} coordinates, and there are bins for {len(many)}")
    if range is not None and len(range) != 2 * n:
        raise RuntimeError(f"histogramdd: the range of {n} coordinates is {2 * n} numbers, and {len(range)} are given")
    if weight is not None and tuple(weight.shape) != tuple(input.shape[:-1]):
        raise RuntimeError(f"histogramdd: weight must have the shape {list(input.shape[:-1])}, and it is {list(weight.shape)}")
    x = reshape(input, (math.prod(input.shape[:-1]), n))
    ends = [None] * n if range is None else [range[2 * k : 2 * k + 2] for k in _counting(n)]
    edges = [_edges("histogramdd", select(x, 1, k), many[k], ends[k]) for k in _counting(n)]
    hist = _between("histogramdd", x, edges, weight, density)
    return _HISTOGRAMDD(hist, tuple(edges))


_counting = range


def _edges(what: str, x: Tensor, bins: Any, ends: Any) -> Tensor:
    if isinstance(bins, Tensor):
        if bins.ndim != 1:
            raise RuntimeError(f"{what}: edges have one dimension, and their shape is {list(bins.shape)}")
        if bins._held.dtype != x._held.dtype:
            raise RuntimeError(f"{what}: edges are {bins.dtype.name} and the values {x.dtype.name}: they must be equal")
        _bins(what, bins.shape[0] - 1)
        return bins
    bins = _bins(what, bins)
    if ends is not None:
        if len(ends) != 2:
            raise RuntimeError(f"{what}: a range is two numbers, and {len(ends)} are given")
        if ends[0] > ends[1]:
            raise RuntimeError(f"{what}: a range must not end before it begins, and it is from {ends[0]} to {ends[1]}")
        low, high = _ends(what, x, float(ends[0]), float(ends[1]), 0.5, of_values=False)
    elif x.numel():
        low, high = _ends(what, x.detach(), 0.0, 0.0, 0.5)
    else:
        low, high = 0.0, 1.0
    return _evenly(x, low, high, bins)


@in_single
def _evenly(x: Tensor, low: Any, high: Any, bins: int) -> Tensor:
    """Edges at equal distances, from both ends so that these are exact."""
    numbers = creation.arange(bins + 1, dtype=x.dtype, device=x.device)
    step, first = (high - low) / bins, numbers < (bins + 1) // 2
    return apply(choosing.where, (first, numbers * step + low, (numbers - bins) * step + high))


def _between(what: str, x: Tensor, edges: Sequence[Tensor], weight: Tensor | None, density: bool) -> Tensor:
    """The weights of the points, one a row, that lie between edges of all coordinates."""
    if weight is not None and weight._held.dtype != x._held.dtype:
        raise RuntimeError(f"{what}: weight is {weight.dtype.name} and the values {x.dtype.name}: they must be equal")
    sizes = [e.shape[0] - 1 for e in edges]
    total = math.prod(sizes)
    places, inside = 0, True
    for k, (e, n) in enumerate(zip(edges, sizes)):
        column = select(x, 1, k)
        inside = (column >= e[0]) & (column <= e[n]) & inside
        at = apply(choosing.clamp, (_searched(what, e, column, True, False) - 1,), {"min": None, "max": n - 1})
        places = places * n + at
    weights = apply(choosing.zeros_like, (x[:, 0],)) + 1 if weight is None else reshape(weight, (-1,))
    hist = reshape(_added_up(apply(choosing.where, (inside, places, total)), weights, total), sizes)
    return _dense(hist, edges) if density else hist


@in_single
def _dense(hist: Tensor, edges: Sequence[Tensor]) -> Tensor:
    hist = hist / hist.sum()
    for k, e in enumerate(edges):
        hist = hist / reshape(e[1:] - e[:-1], [-1 if d == k else 1 for d in _counting(len(edges))])
    return hist
