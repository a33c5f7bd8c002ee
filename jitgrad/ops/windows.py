"""Windows that slide along a dimension, as a view, and their transpose, which adds windows up where they came from.

Convolutions, pools and `unfold` are written in these two: one dimension at a time, so that what overlaps in several
dimensions is added up in few passes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from jitgrad.ops.choosing import cast, ne
from jitgrad.ops.indexing import getitem, index_add
from jitgrad.ops.movement import expand, sum
from jitgrad.ops.shapes import Spec
from jitgrad.ops.table import linear, register

COUNT = np.dtype(np.int32)


def windows_of(x: np.ndarray, dim: int, size: int, step: int, dilation: int) -> np.ndarray:
    """The view, of any array; NumPy does not tell whose memory it is."""
    shape, strides = _laid(x, dim, size, step, dilation)
    return as_strided(x, shape, strides, writeable=False)


def _windows(x: np.ndarray, dim: int, size: int, step: int, dilation: int) -> np.ndarray:
    """The view with the array that owns the memory as its base, so that changes in place are seen; of a copy where that cannot
    be."""
    root = x if x.base is None else x.base
    if not isinstance(root, np.ndarray) or not root.flags.c_contiguous:
        x = root = x.copy()
    shape, strides = _laid(x, dim, size, step, dilation)
    if 0 in shape:
        return np.zeros(shape, x.dtype)
    start = x.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    found: np.ndarray = np.ndarray(shape, x.dtype, root, start, strides)
    found.flags.writeable = False  # windows may overlap
    return found


def _laid(x: Any, dim: int, size: int, step: int, dilation: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    along = x.strides[dim]
    strides = (*x.strides[:dim], along * step, *x.strides[dim + 1 :], along * dilation)
    return _shape(x.shape, dim, size, step, dilation), strides


def _shape(shape: tuple[int, ...], dim: int, size: int, step: int, dilation: int) -> tuple[int, ...]:
    return (*shape[:dim], count_of(shape[dim], size, step, dilation), *shape[dim + 1 :], size)


def count_of(length: int, size: int, step: int, dilation: int) -> int:
    """How many windows fit into a length."""
    return max((length - dilation * (size - 1) - 1) // step + 1, 0)


def _places(out: Any, k: int, count: int, dim: int, step: int, dilation: int) -> Any:
    """Where the k-th elements of the windows are."""
    start = k * dilation
    return out[(slice(None),) * dim + (slice(start, start + (count - 1) * step + 1, step),)]


def _overlapped(x: np.ndarray, length: int, dim: int, step: int, dilation: int) -> np.ndarray:
    shape = x.shape[:-1]
    out = np.zeros((*shape[:dim], length, *shape[dim + 1 :]), x.dtype)
    for k in range(x.shape[-1] if x.size else 0):
        part = _places(out, k, shape[dim], dim, step, dilation)
        part += x[..., k]
    return out


def _added_up(x: Any, length: int, dim: int, step: int, dilation: int) -> Any:
    """The same in rows that machine code has: one addition for each place in a window. Bools are counted."""
    dtype = getattr(x, "_held", x).dtype
    if dtype == np.bool_:
        return ne(_added_up(cast(x, dtype=COUNT), length, dim, step, dilation), 0)
    shape = (*x.shape[:dim], length, *x.shape[dim + 1 : -1])
    if 0 in (x.shape[dim], x.shape[-1]):  # zeros, as a sum of nothing
        return expand(sum(x, dim=tuple(range(len(x.shape))), keepdim=False), shape=shape)
    out: Any = np.broadcast_to(np.zeros((), dtype), shape)
    count, lead = x.shape[dim], (slice(None),) * dim
    for k in range(x.shape[-1]):
        start = k * dilation
        part = (*lead, slice(start, start + (count - 1) * step + 1, step), ...)
        out = index_add(out, getitem(x, index=(..., k)), index=part)
    return out


windows = linear(
    _windows,
    view=True,
    internal=True,
    label="unfold",
    transpose=lambda g, x_shape, dim, step, dilation: overlapped(g, length=x_shape[dim], dim=dim, step=step, dilation=dilation),
    shape=lambda x, dim, size, step, dilation: Spec(_shape(x.shape, dim, size, step, dilation), x.dtype),
    samples=lambda: [
        ((2, 7), {"dim": 1, "size": 3, "step": 2, "dilation": 1}),
        ((7, 2), {"dim": 0, "size": 2, "step": 1, "dilation": 3}),
        ((5,), {"dim": 0, "size": 2, "step": 3, "dilation": 1}),
    ],
    oracle="np.moveaxis(np.moveaxis(x, dim, 0)[[[i * step + k * dilation for k in range(size)] for i in"
    " range((x.shape[dim] - dilation * (size - 1) - 1) // step + 1)]], [0, 1], [dim, -1])",
)
"""Windows of a `size` along a dimension, a `step` apart, of elements that are `dilation` apart; they stand in a new last
dimension."""

overlapped = linear(
    _overlapped,
    internal=True,
    label="fold",
    transpose=lambda g, x_shape, dim, step, dilation: windows(g, dim=dim, size=x_shape[-1], step=step, dilation=dilation),
    lower=lambda x, length, dim, step, dilation: _added_up(x, length, dim, step, dilation),
    shape=lambda x, length, dim, step, dilation: Spec((*x.shape[:dim], length, *x.shape[dim + 1 : -1]), x.dtype),
    samples=lambda: [
        ((2, 3, 3), {"length": 7, "dim": 1, "step": 2, "dilation": 1}),
        ((4, 2, 2), {"length": 7, "dim": 0, "step": 1, "dilation": 3}),
    ],
    oracle="_overlapped(x, length, dim, step, dilation)",
)
"""Windows along a dimension, whose elements stand in the last one, added up in a dimension of a `length`."""

register(globals())
