"""Order statistics along a dimension: their results are values, and the places where they were."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.dtypes import is_floating
from jitgrad.ops.choosing import cast, clamp, eq, logical_and, logical_or, ne, where
from jitgrad.ops.indexing import gather
from jitgrad.ops.movement import cat, narrow, reshape, sum
from jitgrad.ops.reductions import COUNT, argmax
from jitgrad.ops.scans import _places_along, cummax_places
from jitgrad.ops.shapes import Spec, axis, reduced_shape
from jitgrad.ops.sorting import ONE, _from_places, sort
from jitgrad.ops.table import Op, composite, register, several


def _one_params(x: Any, dim: int = -1, keepdim: bool = False) -> dict[str, Any]:
    d = axis(dim, x.ndim)
    if x.ndim and not x.shape[d]:
        raise IndexError(f"dimension {d} of shape {list(x.shape)} is empty, and no element of none can be picked")
    return {"dim": d, "keepdim": bool(keepdim)}


def _kth_params(x: Any, k: int, dim: int = -1, keepdim: bool = False) -> dict[str, Any]:
    found = _one_params(x, dim, keepdim)
    size = x.shape[found["dim"]] if x.ndim else 1
    if isinstance(k, type) or not hasattr(k, "__index__"):
        raise TypeError(f"k must be an int, not {type(k).__name__}")
    if not 1 <= int(k) <= size:
        raise RuntimeError(f"kthvalue: k={int(k)} is not between 1 and {size}, the size of dimension {found['dim']}")
    return {"k": int(k)} | found


def _position(values: Any, which: Any, dim: int) -> Any:
    """Where in the sorted values the one is that is wanted: the k-th, or the lower one of the two in the middle.

    The `median` is the first nan if there is any, the `nanmedian` is that of the others, nan if there are none.
    """
    n = values.shape[dim]
    if isinstance(which, int):
        return which
    if not is_floating(getattr(values.dtype, "numpy", values.dtype)):  # of a tensor, or of an array
        return (n - 1) // 2
    numbers = n - sum(cast(ne(values, values), dtype=COUNT), dim=(dim,), keepdim=True)
    if which == "median":
        return where(numbers < n, numbers, (n - 1) // 2)
    return clamp(numbers - 1, min=0, max=None) // 2


def _found(values: Any, position: Any, dim: int) -> Any:
    if isinstance(position, int):
        return narrow(values, dim=dim, start=position, length=1)
    return gather(values, position, dim=dim)


def _by_sorting(x: Any, which: Any, dim: int) -> tuple[Any, Any]:
    values = sort(x, dim=dim, descending=False)[0]
    if not x.shape:
        return values, cast(ne(x, x), dtype=COUNT) * 0
    value = _found(values, _position(values, which, dim), dim)
    here = logical_or(eq(x, value), logical_and(ne(x, x), ne(value, value)))
    return value, argmax(cast(here, dtype=COUNT), dim=dim, keepdim=True)


def _by_partition(x: Any, which: Any, dim: int) -> tuple[Any, Any]:
    if not np.ndim(x):
        return x, np.int64(0)
    y = x.astype(np.float32) if x.dtype.kind == "V" else x  # bfloat16, whose nan NumPy does not put last
    at = which if isinstance(which, int) else (x.shape[dim] - 1) // 2
    value = np.take(np.partition(y, at, dim), [at], dim)
    missing = np.isnan(np.maximum.reduce(y, axis=dim, keepdims=True)) if y.dtype.kind == "f" else np.False_
    if missing.any() and which == "median":
        value = np.where(missing, y.dtype.type(np.nan), value)
    elif missing.any() and which == "nanmedian":
        values = np.sort(y, dim)
        value = np.take_along_axis(values, _position(values, which, dim), dim)
    here = y == value
    if missing.any():
        here |= (y != y) & (value != value)
    index = here.argmax(dim, keepdims=True)
    return np.take_along_axis(x, index, dim), index


order_statistic = several(
    _by_partition,
    kind="sorting",
    outputs=("values", "indices"),
    internal=True,
    named=False,
    lower=_by_sorting,
    numpy=True,
    shape=lambda x, which, dim: [
        Spec(shape := (*x.shape[:dim], 1, *x.shape[dim + 1 :]) if x.shape else (), x.dtype),
        Spec(shape, COUNT),
    ],
    vjp=_from_places,
    samples=lambda: [((3, 4), {"which": "median", "dim": 1}), ((3, 4), {"which": 2, "dim": 0})],
    oracle="_kth(x, 2 if which == 'median' else which + 1, dim, True)",
)
"""One value along a dimension, which keeps its place with size 1, and where it is first."""


def _picked(x: Any, which: Any, dim: int, keepdim: bool) -> tuple[Any, ...]:
    found = order_statistic(x, which=which, dim=dim)
    return _without(found, x, dim, keepdim)


def _without(found: Any, x: Any, dim: int, keepdim: bool) -> tuple[Any, ...]:
    """Values and places without the dimension, unless it is kept."""
    return tuple([reshape(v, shape=reduced_shape(x.shape, (dim,), keepdim)) for v in found]) if x.shape else tuple(found)


kthvalue = composite(
    lambda x, k, dim, keepdim: _picked(x, k - 1, dim, keepdim),
    doc="The k-th smallest element along a dimension, and where it was; nan is the largest",
    outputs=("values", "indices"),
    prepare=_kth_params,
    samples=lambda: [((3, 4), {"k": 2, "dim": 1, "keepdim": False}), ((3, 4), {"k": 3, "dim": 0, "keepdim": True})],
    oracle="_kth(x, k, dim, keepdim)",
)


def _median_row(label: str) -> Op:
    return composite(
        lambda x, dim, keepdim: _picked(x, label, dim, keepdim),
        label=label,
        outputs=("values", "indices"),
        prepare=_one_params,
        internal=True,
        samples=lambda: ONE,
        oracle="_kth(x, (x.shape[dim] + 1) // 2, dim, keepdim)",
    )


median_along = _median_row("median")
nanmedian_along = _median_row("nanmedian")


def _most(values: Any, dim: int) -> Any:
    """Where the first one of the longest runs of equal values ends."""
    n = values.shape[dim]
    numbers = _places_along(values, dim)
    starts = eq(narrow(numbers, dim=dim, start=0, length=1), 0)
    if n > 1:
        ahead, behind = (narrow(values, dim=dim, start=k, length=n - 1) for k in (1, 0))
        starts = cat(starts, ne(ahead, behind), dim=dim)
    length = numbers - cummax_places(where(starts, numbers, -1), dim=dim)
    return argmax(length, dim=dim, keepdim=True)


def _mode(x: Any, dim: int, keepdim: bool) -> tuple[Any, ...]:
    found = sort(x, dim=dim, descending=False)
    if x.shape:
        position = _most(found[0], dim)
        found = tuple([gather(v, position, dim=dim) for v in found])
    return _without(found, x, dim, keepdim)


mode = composite(
    _mode,
    doc="The most frequent element along a dimension, the smallest of several, and where it was last",
    outputs=("values", "indices"),
    prepare=_one_params,
    samples=lambda: ONE,
    oracle="_modes(x, dim, keepdim)",
)

register(globals())
