"""Sums of many numbers by NumPy: of half precision in float32, of float32 as accurate along every dimension as along the last."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.dtypes import HALF
from jitgrad.ops.shapes import reduced_shape

FEW = 256
"""So many numbers are simply added one after the other."""


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
        np.add.at(out, where, g)
        return
    wide = out.astype(np.float32)
    np.add.at(wide, where, np.asarray(g).astype(np.float32))
    out[...] = wide
