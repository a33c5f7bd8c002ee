"""Tensors put together and taken apart, as NumPy does it."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from jitgrad import dtypes
from jitgrad.functions import shaping
from jitgrad.functions.for_numpy.naming import cast_as, named, same_dtype, tensor_of
from jitgrad.tensors.tensor import Tensor


def _several(what: str, arrays: Any, dtype: Any, casting: str = "same_kind") -> list[Tensor]:
    many = [tensor_of(x, *arrays) for x in arrays]
    wanted = functools.reduce(dtypes.promote, [x._held.dtype for x in many]) if dtype is None and many else dtype
    return [cast_as(x, wanted, casting, f"np.{what}: elements") for x in many]


@named("concatenate", "concat")
def _concatenate(arrays: Any, /, axis: int | None = 0, *, dtype: Any = None, casting: str = "same_kind") -> Tensor:
    many = _several("concatenate", arrays, dtype, casting)
    if axis is None:
        many, axis = [shaping.reshape(x, (-1,)) for x in many], 0
    if len({x.ndim for x in many}) > 1 or any(not x.ndim for x in many):
        raise ValueError(
            f"np.concatenate: all must have the same number of dimensions, at least one, and they have {[x.ndim for x in many]}"
        )
    return shaping.cat(many, normalize_axis_index(axis, many[0].ndim) if many else 0)


@named("stack")
def _stack(arrays: Any, axis: int = 0, *, dtype: Any = None, casting: str = "same_kind") -> Tensor:
    many = _several("stack", arrays, dtype, casting)
    if len({tuple(x.shape) for x in many}) != 1:
        raise ValueError(f"np.stack: there must be arrays, of one shape, not {[tuple(x.shape) for x in many]}")
    return shaping.stack(many, normalize_axis_index(axis, many[0].ndim + 1))


def _along(name: str, raised: Callable, axis_of: Callable) -> None:
    @named(name)
    def stacked(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Tensor:
        many = [raised(x) for x in _several(name, tup, dtype, casting)]
        return _concatenate(many, axis_of(many[0]) if many else 0)


_along("vstack", shaping.atleast_2d, lambda first: 0)
_along("hstack", shaping.atleast_1d, lambda first: int(first.ndim != 1))


@named("dstack")
def _dstack(tup: Any) -> Tensor:
    return _concatenate([shaping.atleast_3d(x) for x in same_dtype(*tup)], 2)


@named("column_stack")
def _column_stack(tup: Any) -> Tensor:
    many = [shaping.reshape(x, (-1, 1)) if x.ndim < 2 else x for x in same_dtype(*tup)]
    return _concatenate(many, 1)


@named("append")
def _append(arr: Any, values: Any, axis: int | None = None) -> Tensor:
    return _concatenate((arr, values), axis)


@named("block")
def _block(arrays: Any) -> Tensor:
    """Nested lists, joined along the last axis in the innermost ones, and along the one before for each level above."""
    leaves: list[Any] = []
    depth = _depth(arrays, leaves)
    many = iter(same_dtype(*leaves))
    ndim = max(depth, *[np.ndim(x) if not isinstance(x, Tensor) else x.ndim for x in leaves])
    return _joined(arrays, many, ndim, depth)


def _depth(arrays: Any, leaves: list[Any]) -> int:
    if not isinstance(arrays, list):
        leaves.append(arrays)
        return 0
    depths = {_depth(each, leaves) for each in arrays}
    if len(depths) != 1:
        raise ValueError("np.block: lists must be nested equally deep, and hold something")
    return depths.pop() + 1


def _joined(arrays: Any, many: Any, ndim: int, depth: int) -> Tensor:
    if not isinstance(arrays, list):
        x = next(many)
        return shaping.reshape(x, (*[1] * (ndim - x.ndim), *x.shape))
    return _concatenate([_joined(each, many, ndim, depth - 1) for each in arrays], -depth)


# Apart.


@named("split")
def _split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    x = tensor_of(ary)
    size = x.shape[normalize_axis_index(axis, x.ndim)]
    if not np.ndim(indices_or_sections) and size % indices_or_sections:
        raise ValueError(f"np.split: {size} elements do not divide into {indices_or_sections} equal pieces")
    return _array_split(x, indices_or_sections, axis)


@named("array_split")
def _array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    x = tensor_of(ary)
    d = normalize_axis_index(axis, x.ndim)
    size = x.shape[d]
    if not np.ndim(indices_or_sections):
        if indices_or_sections <= 0:
            raise ValueError(f"np.array_split: the number of pieces must be positive, not {indices_or_sections}")
        least, more = divmod(size, int(indices_or_sections))
        sizes = [least + (i < more) for i in range(int(indices_or_sections))]
        indices_or_sections = list(itertools.accumulate(sizes))[:-1]
    cuts = [0, *map(int, indices_or_sections), size]
    return [x[(slice(None),) * d + (slice(*pair),)] for pair in itertools.pairwise(cuts)]


def _split_along(name: str, axis_of: Callable, least: int) -> None:
    @named(name)
    def apart(ary: Any, indices_or_sections: Any) -> list[Tensor]:
        x = tensor_of(ary)
        if x.ndim < least:
            raise ValueError(f"np.{name} takes at least {least} axes, and the shape is {tuple(x.shape)}")
        return _split(x, indices_or_sections, axis_of(x))


_split_along("hsplit", lambda x: int(x.ndim > 1), 1)
_split_along("vsplit", lambda x: 0, 2)
_split_along("dsplit", lambda x: 2, 3)


@named("unstack")
def _unstack(x: Any, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    x = tensor_of(x)
    d = normalize_axis_index(axis, x.ndim)
    return tuple([x[(slice(None),) * d + (i,)] for i in range(x.shape[d])])


@named("meshgrid")
def _meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> tuple[Tensor, ...]:
    many = [shaping.reshape(tensor_of(x, *xi), (-1,)) for x in xi]
    if indexing not in ("xy", "ij"):
        raise ValueError(f"np.meshgrid: indexing is 'xy' or 'ij', not {indexing!r}")
    order = [1, 0, *range(2, len(many))] if indexing == "xy" and len(many) > 1 else range(len(many))
    flat = [shaping.reshape(x, [-1 if k == d else 1 for k in range(len(many))]) for x, d in zip(many, order)]
    found = flat if sparse else shaping.broadcast_tensors(*flat) if flat else ()
    return tuple([x.clone() if copy else x for x in found])


@named("trim_zeros")
def _trim_zeros(filt: Any, trim: str = "fb", axis: Any = None) -> Tensor:
    x = tensor_of(filt)
    array = x.detach().numpy()
    kept = np.argwhere(array)
    if axis is not None or not len(kept):
        return NotImplemented
    low, high = kept.min(0), kept.max(0) + 1
    starts = low if "f" in trim.lower() else [0] * x.ndim
    ends = high if "b" in trim.lower() else x.shape
    return x[tuple([slice(int(i), int(j)) for i, j in zip(starts, ends)])]
