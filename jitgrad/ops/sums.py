"""Sums of many numbers by NumPy: of half precision in float32, of float32 as accurate along every dimension as along the last."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jitgrad.dtypes import HALF
from jitgrad.ops.shapes import reduced_shape

FEW = 256
"""So many numbers are simply added one after the other."""

LINE = 512
"""So many numbers at one place are added at once, as one line."""


def summed(x: Any, dim: int | tuple[int, ...], keepdim: bool = False) -> Any:
    """The sum over some dimensions, in the dtype of `x`.

    NumPy adds in pairs along the dimension that is contiguous in memory, and elsewhere one after the other, by which
    float32 loses digits: 2**24 ones would be the most that it can count. There the sum is taken of sums of `FEW`.
    """
    if x.dtype != np.float32 and x.dtype in HALF:
        return summed(x.astype(np.float32), dim, keepdim).astype(x.dtype)
    if x.size <= FEW or x.dtype != np.float32:
        return np.add.reduce(x, axis=dim, keepdims=keepdim, dtype=x.dtype)
    dims = (dim,) if isinstance(dim, int) else dim
    if len(dims) == x.ndim and x.flags.forc:
        return np.add.reduce(x, axis=None, keepdims=keepdim)
    shape = reduced_shape(x.shape, dims, keepdim)
    for d in sorted(dims, key=lambda d: abs(x.strides[d])):
        x = _along(x, d)
    return x.reshape(shape)[()]


def _along(x: Any, d: int) -> Any:
    """The sum over one dimension, which is kept."""
    n = x.shape[d]
    if n <= FEW or all(abs(x.strides[d]) <= abs(step) for step, size in zip(x.strides, x.shape) if size > 1):
        return np.add.reduce(x, axis=d, keepdims=True)
    before, whole = (slice(None),) * d, n - n % FEW
    parts = x[(*before, slice(whole))].reshape(*x.shape[:d], whole // FEW, FEW, *x.shape[d + 1 :])
    rest = np.add.reduce(x[(*before, slice(whole, None))], axis=d, keepdims=True)
    return _along(np.concatenate([np.add.reduce(parts, axis=d + 1), rest], axis=d), d)


def running(x: Any, dim: int) -> Any:
    """The running sum along a dimension, that of float32 and of half precision held in float64."""
    if not x.ndim:
        return np.array(x)[()]
    held = np.dtype(np.float64) if x.dtype == np.float32 or x.dtype in HALF else x.dtype
    return np.cumsum(x.astype(held, copy=False), axis=dim, dtype=held).astype(x.dtype, copy=False)


def added_at(out: np.ndarray, where: Any, g: Any) -> None:
    """`out[where] += g`, elements named twice counted twice; those of half precision are added up in float32."""
    if out.dtype not in HALF:
        dim = _one_dimension(out, where)
        if dim is None:
            np.add.at(out, where, g)
        else:
            _lines_added(out, where[dim], dim, np.asarray(g))
        return
    wide = out.astype(np.float32)
    np.add.at(wide, where, np.asarray(g).astype(np.float32))
    out[...] = wide


def _one_dimension(out: np.ndarray, where: Any) -> int | None:
    """The dimension along which one array names long lines, all of the others taken: `np.add.at` takes many times as long."""
    if out.size < LINE or not isinstance(where, tuple):
        return None
    items = where[:-1] if where and where[-1] is Ellipsis else where
    arrays = [d for d, item in enumerate(items) if isinstance(item, np.ndarray)]
    if len(arrays) != 1 or any(
        item.__class__ is not slice or item != slice(None) for item in items if item is not items[arrays[0]]
    ):
        return None
    dim = arrays[0]
    named = items[dim]
    return dim if named.ndim and named.dtype.kind in "iu" and out.size >= LINE * out.shape[dim] else None


def _lines_added(out: np.ndarray, places: np.ndarray, dim: int, g: np.ndarray) -> None:
    """One line after the other; where its elements lie apart, in a copy where they do not."""
    shape = (*out.shape[:dim], *places.shape, *out.shape[dim + 1 :])
    g = np.broadcast_to(g, shape).reshape(*out.shape[:dim], places.size, *out.shape[dim + 1 :])
    lines, added = np.moveaxis(out, dim, 0), np.moveaxis(g, dim, 0)
    apart = math.prod(out.shape[dim + 1 :]) < FEW
    if apart:
        lines, added = np.array(lines, order="C"), np.ascontiguousarray(added)
    for place, line in zip(places.ravel().tolist(), added):
        lines[place] += line
    if apart:
        out[...] = np.moveaxis(lines, 0, dim)
