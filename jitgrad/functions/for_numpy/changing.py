"""NumPy's functions that change a tensor in place: recorded as changes, as `x[index] = value` is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from jitgrad.functions.for_numpy.naming import cast, named, tensor_of
from jitgrad.functions.for_numpy.reductions import chosen
from jitgrad.functions.shaping import expand
from jitgrad.tensors.tensor import Tensor


@named("copyto")
def _copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    if not isinstance(dst, Tensor):
        return NotImplemented
    given = tensor_of(src, dst)
    if not isinstance(src, (int, float, complex)) and not np.can_cast(given._held.dtype, dst._held.dtype, casting):  # type: ignore[arg-type]
        raise TypeError(f"np.copyto: {given.dtype.name} cannot be written to {dst.dtype.name} by casting={casting!r}")
    given = cast(given, dst.dtype)
    dst.copy_(given if where is True else chosen(where, expand(given, tuple(dst.shape)), dst))
    return None


@named("putmask")
def _putmask(a: Any, /, mask: Any, values: Any) -> None:
    if not isinstance(a, Tensor) or np.ndim(values):
        return NotImplemented
    return _copyto(a, values, "unsafe", mask)


@named("fill_diagonal")
def _fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    if not isinstance(a, Tensor) or (wrap and a.ndim == 2 and a.shape[0] > a.shape[1]):
        return NotImplemented
    if a.ndim < 2 or (a.ndim > 2 and len(set(a.shape)) > 1):
        raise ValueError(f"np.fill_diagonal: a diagonal goes through all axes of equal size, and the shape is {tuple(a.shape)}")
    a[(np.arange(min(a.shape)),) * a.ndim] = val
    return None


@named("put_along_axis")
def _put_along_axis(arr: Any, indices: Any, values: Any, axis: int | None) -> None:
    if not isinstance(arr, Tensor) or axis is None:
        return NotImplemented
    d, places = normalize_axis_index(axis, arr.ndim), tensor_of(indices, arr)
    grid = np.ogrid[tuple([slice(1 if n == 1 and k != d else n) for k, n in enumerate(arr.shape)])]
    arr[tuple([places if k == d else at for k, at in enumerate(grid)])] = values
    return None
