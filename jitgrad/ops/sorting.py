"""Rows that put values in order: their results are the values, and the places along `dim` where they were.

Equal values keep their order, and nan counts as larger than all, as in NumPy and PyTorch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.ops.choosing import clone
from jitgrad.ops.indexing import gather, getitem, into_zeros, scatter_add
from jitgrad.ops.movement import SAMPLES, reshape
from jitgrad.ops.norms import spread_params, std, var
from jitgrad.ops.reductions import amax, amin, argmax, argmin, mean, over_some
from jitgrad.ops.shapes import Spec, axis
from jitgrad.ops.table import composite, register, several

INDEX = np.dtype(np.int64)


def _order(x: Any, dim: int, descending: bool) -> Any:
    if x.dtype.kind == "V":  # bfloat16, whose nan NumPy does not put last
        x = x.astype(np.float32)
    if not descending:
        return np.argsort(x, dim, kind="stable")
    return x.shape[dim] - 1 - np.flip(np.argsort(np.flip(x, dim), dim, kind="stable"), dim)


def _taken(x: Any, order: Any, dim: int) -> tuple[Any, Any]:
    return np.take_along_axis(x, order, dim), order


def _sort(x: Any, dim: int, descending: bool) -> tuple[Any, Any]:
    return _taken(x, _order(x, dim, descending), dim) if np.ndim(x) else (x, np.int64(0))


FEW = 8
"""One in so many elements, or fewer, are found before they are sorted."""


def _topk(x: Any, k: int, dim: int, largest: bool) -> tuple[Any, Any]:
    if not np.ndim(x):
        return np.full((), x)[()], np.int64(0)
    if 0 < k * FEW <= x.shape[dim] and x.size and x.dtype.kind != "V":
        places = np.moveaxis(_best(np.moveaxis(x, dim, -1), k, largest), -1, dim)
        values = np.take_along_axis(x, places, dim)
        order = _order(values, dim, largest)
        return np.take_along_axis(values, order, dim), np.take_along_axis(places, order, dim)
    return _taken(x, np.take(_order(x, dim, largest), range(k), dim), dim)


def _best(x: Any, k: int, largest: bool) -> Any:
    """The places along the last dimension of the k largest or smallest, of equal ones the first."""
    n = x.shape[-1]
    at = n - k if largest else k - 1
    bound = np.partition(x, at, -1)[..., at : at + 1]
    missing, none = x != x, bound != bound
    better = (x > bound) | (missing & ~none) if largest else (x < bound) | (~missing & none)
    equal = (x == bound) | (missing & none)
    wanted = k - better.sum(-1, keepdims=True)
    chosen = better | (equal & (np.cumsum(equal, -1) <= wanted))
    return np.nonzero(chosen)[-1].reshape(*x.shape[:-1], k)


def _sort_params(x: Any, dim: int = -1, descending: bool = False, stable: bool = True) -> dict[str, Any]:
    return {"dim": axis(dim, x.ndim), "descending": bool(descending)}


def _topk_params(x: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> dict[str, Any]:
    d = axis(dim, x.ndim)
    size = x.shape[d] if x.ndim else 1
    if not hasattr(k, "__index__"):
        raise TypeError(f"k must be an int, not {type(k).__name__}")
    if not 0 <= int(k) <= size:
        raise RuntimeError(f"topk: k={int(k)} is not between 0 and {size}, the size of dimension {d} of shape {list(x.shape)}")
    return {"k": int(k), "dim": d, "largest": bool(largest)}


def _from_places(g_values: Any, indices: Any, x_shape: tuple[int, ...], x_dtype: np.dtype, dim: int) -> Any:
    """The cotangent of what `gather` picks at `indices`; none if none arrived."""
    if g_values is None or not x_shape:
        return g_values
    return into_zeros(lambda zeros, g: scatter_add(zeros, indices, g, dim=dim), g_values, x_shape, x_dtype, (indices,))


sort = several(
    _sort,
    kind="sorting",
    doc="The values along a dimension in order, and where they were; equal ones keep their order, and nan is the largest",
    outputs=("values", "indices"),
    prepare=_sort_params,
    shape=lambda x, dim, descending: [Spec(x.shape, x.dtype), Spec(x.shape, INDEX)],
    vjp=_from_places,
    samples=lambda: [((3, 4), {"dim": 1, "descending": False}), ((3, 4), {"dim": 0, "descending": True})],
    oracle="_sorted(x, dim, descending)",
)
topk = several(
    _topk,
    kind="sorting",
    doc="The k largest or smallest values along a dimension, in order, and where they were",
    outputs=("values", "indices"),
    prepare=_topk_params,
    shape=lambda x, k, dim, largest: [
        Spec(shape := (*x.shape[:dim], k, *x.shape[dim + 1 :]) if x.shape else (), x.dtype),
        Spec(shape, INDEX),
    ],
    vjp=_from_places,
    samples=lambda: [((3, 4), {"k": 2, "dim": 1, "largest": True}), ((20, 2), {"k": 2, "dim": 0, "largest": False})],
    oracle="[np.take(part, range(k), dim) for part in _sorted(x, dim, largest)]",
)


def _extreme(pick: Any) -> Any:
    def along(x: Any, dim: int, keepdim: bool) -> tuple[Any, Any]:
        if not x.ndim:
            return clone(x), pick(x, dim=None, keepdim=False)
        indices = pick(x, dim=dim, keepdim=True)
        values = gather(x, indices, dim=dim)
        shape = (*x.shape[:dim], *x.shape[dim + 1 :])
        return (values, indices) if keepdim else (reshape(values, shape=shape), reshape(indices, shape=shape))

    return along


def _along(x: Any, dim: int, keepdim: bool = False) -> dict[str, Any]:
    d = axis(dim, x.ndim)
    return over_some(x, d, bool(keepdim)) | {"dim": d}


ONE = [((3, 4), {"dim": 1, "keepdim": False}), ((3, 4), {"dim": 0, "keepdim": True})]
max_along = composite(
    _extreme(argmax),
    label="max",
    outputs=("values", "indices"),
    prepare=_along,
    internal=True,
    samples=lambda: ONE,
    oracle="(np.max(x, dim, keepdims=keepdim), np.argmax(x, dim, keepdims=keepdim))",
)
min_along = composite(
    _extreme(argmin),
    label="min",
    outputs=("values", "indices"),
    prepare=_along,
    internal=True,
    samples=lambda: ONE,
    oracle="(np.min(x, dim, keepdims=keepdim), np.argmin(x, dim, keepdims=keepdim))",
)


def _range_params(x: Any, dim: Any = None, keepdim: bool = False) -> dict[str, Any]:
    return over_some(x, dim if dim is None else axis(dim, x.ndim), keepdim)


aminmax = composite(
    lambda x, dim, keepdim: (amin(x, dim=dim, keepdim=keepdim), amax(x, dim=dim, keepdim=keepdim)),
    doc="The smallest and the largest element, over a dimension or all",
    outputs=("min", "max"),
    prepare=_range_params,
    samples=lambda: SAMPLES,
    oracle="(np.min(x, dim, keepdims=keepdim), np.max(x, dim, keepdims=keepdim))",
)


def _with_mean(spread_of: Any) -> Any:
    return lambda x, dim, keepdim, correction: (
        spread_of(x, dim=dim, keepdim=keepdim, correction=correction),
        mean(x, dim=dim, keepdim=keepdim),
    )


MEAN_SAMPLES = [(shape, params | {"correction": 1}) for shape, params in SAMPLES]
var_mean = composite(
    _with_mean(var),
    doc="Variance and mean, over some dimensions or all",
    prepare=spread_params,
    result="floating",
    named=False,
    outputs=("var", "mean"),
    samples=lambda: MEAN_SAMPLES,
    oracle="(np.var(x, dim, keepdims=keepdim, ddof=correction), np.mean(x, dim, keepdims=keepdim))",
)
std_mean = composite(
    _with_mean(std),
    doc="Standard deviation and mean, over some dimensions or all",
    prepare=spread_params,
    result="floating",
    named=False,
    outputs=("std", "mean"),
    samples=lambda: MEAN_SAMPLES,
    oracle="(np.std(x, dim, keepdims=keepdim, ddof=correction), np.mean(x, dim, keepdims=keepdim))",
)


def _apart(x: Any, dim: int) -> tuple[Any, ...]:
    return tuple([getitem(x, index=(*[slice(None)] * dim, i, ...)) for i in range(x.shape[dim])])


def _apart_params(x: Any, dim: int = 0) -> dict[str, Any]:
    if not x.ndim:
        raise IndexError("unbind: a 0-d tensor has no dimension to take apart")
    return {"dim": axis(dim, x.ndim)}


unbind = composite(
    _apart,
    doc="The slices along a dimension, that dimension removed",
    prepare=_apart_params,
    several=True,
    samples=lambda: [((3, 4), {"dim": 1}), ((2, 3), {"dim": 0})],
    oracle="list(np.moveaxis(x, dim, 0))",
)

register(globals())
