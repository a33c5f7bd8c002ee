"""NumPy's functions that sort, search and count, and those that pick elements by their places."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from jitgrad.functions import indexing, numeric, searching, shaping
from jitgrad.functions.for_numpy.naming import ROW, cast, cast_as, named, same_dtype, tensor_of
from jitgrad.record.trace import comes_later
from jitgrad.tensors.tensor import Tensor


def _flat(a: Any, axis: int | None) -> tuple[Tensor, int]:
    """The tensor and the axis: of None all elements in a row."""
    x = tensor_of(a)
    if axis is None:
        return shaping.reshape(x, (-1,)), 0
    return x, normalize_axis_index(axis, x.ndim)


@named("sort")
def _sort(a: Any, axis: int | None = -1, kind: Any = None, *, stable: Any = None) -> Tensor:
    return ROW["sort"](*_flat(a, axis))[0]


@named("argsort")
def _argsort(a: Any, axis: int | None = -1, kind: Any = None, *, stable: Any = None) -> Tensor:
    if not np.ndim(a) and axis in (0, -1):  # of which NumPy makes one in a row
        axis = None
    return ROW["sort"](*_flat(a, axis))[1]


@named("partition")
def _partition(a: Any, kth: Any, axis: int | None = -1, kind: str = "introselect") -> Tensor:
    """What is sorted is parted as well."""
    _within(kth, *_flat(a, axis))
    return _sort(a, axis)


@named("argpartition")
def _argpartition(a: Any, kth: Any, axis: int | None = -1, kind: str = "introselect") -> Tensor:
    _within(kth, *_flat(a, axis))
    return _argsort(a, axis)


def _within(kth: Any, x: Tensor, d: int) -> None:
    for k in np.asarray(kth).reshape(-1):
        normalize_axis_index(k, x.shape[d], "np.partition: kth")


@named("sort_complex")
def _sort_complex(a: Any) -> Tensor:
    x = tensor_of(a)
    return NotImplemented if x.dtype.is_complex else cast(_sort(x), np.complex128)


@named("lexsort")
def _lexsort(keys: Any, axis: int = -1) -> Any:
    many = [tensor_of(x) for x in keys]
    if len(many) > 1 and many[0].ndim != 1:
        return NotImplemented
    order = _argsort(many[0], axis)
    for key in many[1:]:
        order = order[_argsort(key[order])]
    return order


@named("searchsorted")
def _searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Tensor:
    x, y = same_dtype(a, v)
    if x.ndim != 1 or side not in ("left", "right"):
        raise ValueError(f"np.searchsorted: a has one axis, and side is 'left' or 'right', not {x.ndim} and {side!r}")
    found = searching.searchsorted(x if sorter is None else x[tensor_of(sorter)], y, right=side == "right")
    if side == "left" and x.dtype.is_floating_point:  # where nan equals nan to NumPy
        found = ROW["where"](ROW["isnan"](y), (x == x).sum(), found)
    return found


@named("digitize")
def _digitize(x: Any, bins: Any, right: bool = False) -> Tensor:
    values, edges = same_dtype(x, bins)
    if edges.ndim != 1:
        raise ValueError(f"np.digitize: bins have one axis, and the shape is {tuple(edges.shape)}")
    if values.dtype.is_complex:
        raise TypeError("np.digitize: complex numbers are in no order: take their .real or abs()")
    n = edges.shape[0]
    if not comes_later(edges):
        steps = np.diff(edges.detach().numpy())
        if np.any(steps > 0) and np.any(steps < 0):
            raise ValueError("np.digitize: bins must increase or decrease from each to the next, and these do both")
    if n < 2:
        return searching.searchsorted(edges, values, right=not right)
    falls = edges[0] > edges[-1]  # known only when it is computed, under jit
    rising = ROW["where"](falls, ROW["flip"](edges, (0,)), edges)
    found = searching.searchsorted(rising, values, right=not right)
    return ROW["where"](falls, n - found, found)


@named("bincount")
def _bincount(x: Any, /, weights: Any = None, minlength: int = 0) -> Tensor:
    weights = None if weights is None else cast_as(tensor_of(weights, x), np.float64, "safe", "np.bincount: weights")
    return searching.bincount(tensor_of(x, weights), weights, minlength)


@named("unique")
def _unique_all(
    ar: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    *,
    equal_nan: bool = True,
    sorted: bool = True,
) -> Any:
    """The elements stand where NumPy finds the first of each, and the derivative goes there."""
    x = tensor_of(ar)
    array = x.detach()._known("np.unique")
    more: Any = {"return_index": True, "return_inverse": return_inverse, "return_counts": return_counts}
    more |= {"axis": axis, "equal_nan": equal_nan, "sorted": sorted}
    found: Any = np.unique(array, **more)
    firsts = found[1]
    picked = shaping.reshape(x, (-1,))[firsts] if axis is None else _take(x, firsts, axis)
    rest = [tensor_of(v) for v in found[1 if return_index else 2 :]]
    return (picked, *rest) if rest else picked


@named("unique_values")
def _unique_values(x: Any, /) -> Tensor:
    return _unique_all(x, equal_nan=False)


# By their places.


@named("take")
def _take(a: Any, indices: Any, axis: int | None = None, *, mode: str = "raise") -> Any:
    x, d = _flat(a, axis)
    if mode not in ("raise", "wrap", "clip"):
        raise ValueError(f"np.take: mode is 'raise', 'wrap' or 'clip', not {mode!r}")
    places = tensor_of(indices, x)
    if places.dtype.has_gradient or places.dtype.name == "bool":
        raise TypeError(f"np.take: indices are integers, not {places.dtype.name}")
    size = x.shape[d]
    places = places % size if mode == "wrap" else numeric.clamp(places, 0, size - 1) if mode == "clip" else places
    return x[(slice(None),) * d + (places,)]


@named("take_along_axis")
def _take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Tensor:
    x, d = _flat(arr, axis)
    places = cast(tensor_of(indices, x), np.int64)
    if places.ndim != x.ndim:
        raise ValueError(f"np.take_along_axis: indices have {places.ndim} axes, and the array {x.ndim}: they must be as many")
    return indexing.take_along_dim(x, places, d)


@named("diag_indices_from")
def _diag_indices_from(arr: Any) -> tuple[np.ndarray, ...]:
    return np.diag_indices(arr.shape[0], arr.ndim)


named("tril_indices_from")(lambda arr, k=0: np.tril_indices(arr.shape[-2], k, arr.shape[-1]))
named("triu_indices_from")(lambda arr, k=0: np.triu_indices(arr.shape[-2], k, arr.shape[-1]))


# Along an axis, by functions of the caller's.


@named("apply_along_axis")
def _apply_along_axis(func1d: Any, axis: int, arr: Any, *args: Any, **kwargs: Any) -> Tensor:
    x = tensor_of(arr)
    d = normalize_axis_index(axis, x.ndim)
    lines = shaping.reshape(shaping.movedim(x, d, -1), (-1, x.shape[d]))
    many = [tensor_of(func1d(lines[i], *args, **kwargs)) for i in range(lines.shape[0])]
    if not many:
        raise ValueError(f"np.apply_along_axis: there are no lines along axis {axis} of shape {tuple(x.shape)}")
    found = shaping.stack(many)
    rest = [n for k, n in enumerate(x.shape) if k != d]
    found = shaping.reshape(found, (*rest, *many[0].shape))
    own = range(len(rest), found.ndim)
    return shaping.movedim(found, tuple(own), tuple(range(d, d + len(own)))) if own else found


@named("apply_over_axes")
def _apply_over_axes(func: Any, a: Any, axes: Any) -> Tensor:
    x = tensor_of(a)
    for axis in np.asarray(axes).reshape(-1).tolist():
        found = func(x, axis)
        x = found if found.ndim == x.ndim else shaping.unsqueeze(found, axis)
    return x
