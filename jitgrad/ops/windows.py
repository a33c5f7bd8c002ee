"""Windows that slide along a dimension, as a view, and their transpose, which adds windows up where they came from.

Convolutions, pools and `unfold` are written in these two: one dimension at a time, so that what overlaps in several
dimensions is added up in few passes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from jitgrad.ops.choosing import cast, ne
from jitgrad.ops.indexing import Slot, gather, getitem, index_add, index_put, places
from jitgrad.ops.movement import expand, reshape, sum
from jitgrad.ops.shapes import Spec
from jitgrad.ops.table import Op, linear, register

COUNT = np.dtype(np.int32)


def _windows(x: np.ndarray, dim: int, size: int, step: int, dilation: int) -> np.ndarray:
    shape, strides = _laid(x, dim, size, step, dilation)
    return as_strided(x, shape, strides, writeable=False)  # since windows may overlap


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
    """Like NumPy's sums, it lies in memory as `x` does: its loops are long if those that wrote `x` were."""
    shape = x.shape[:-1]
    whole = (*shape[:dim], length, *shape[dim + 1 :])
    if not x.size:
        return np.zeros(whole, x.dtype)
    out: np.ndarray = np.zeros_like(x[..., 0], shape=whole)
    for k in range(x.shape[-1]):
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
    kind="scattering",
    internal=True,
    batch=lambda row, operands, size: row.op(operands[0].value, **{**row.params, "dim": row.params["dim"] + 1}),
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


def _unpool(x: np.ndarray, index: np.ndarray, size: int) -> np.ndarray:
    out = np.zeros((*x.shape[:-1], size), x.dtype)
    np.put_along_axis(out, index, x, -1)
    return out


def _written(x: Any, index: Any, size: int) -> Any:
    """The same as an indexed write."""
    lead = x.shape[:-1]
    own = [reshape(places(index, size=n), shape=(n, *(1,) * (len(lead) - k))) for k, n in enumerate(lead)]
    zeros = np.broadcast_to(np.zeros((), getattr(x, "_held", x).dtype), (*lead, size))
    return index_put(zeros, x, *own, index, index=tuple(map(Slot, range(x.ndim))))


unpool = Op(
    _unpool,
    kind="linalg",
    linear=True,
    exact=True,
    inputs=("x", "index"),
    output="y",
    internal=True,
    label="max_unpool",
    checks=lambda row: row.inputs[1:],
    vjp=(lambda g, index: gather(g, index, dim=g.ndim - 1), None),
    lower=_written,
    shape=lambda x, index, size: Spec((*x.shape[:-1], size), x.dtype),
    samples=lambda: [([(2, 3), np.array([[4, 0, 1], [2, 3, 0]])], {"size": 5}), ([(2,), np.array([0, 2])], {"size": 3})],
    oracle="np.array([[sum(v for v, j in zip(row, at) if j == i) for i in range(size)] for row, at in"
    " zip(np.atleast_2d(x), np.atleast_2d(index))]).reshape(*x.shape[:-1], size)",
)
"""Zeros with the elements of `x` at the places along the last dimension that `index`, of its shape, names. The cotangent of a
place that is named several times goes to all of these, as in PyTorch: they were the same element before a pool."""

register(globals())
