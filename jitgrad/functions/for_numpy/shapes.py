"""NumPy's functions that give tensors another shape, or turn and roll them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from jitgrad.functions import diagonals, joining, shaping, turning
from jitgrad.functions.for_numpy.naming import NUMPY, ROW, cast, has_tensors, named, same_dtype, tensor_of
from jitgrad.functions.operands import operand
from jitgrad.tensors.tensor import Tensor


@named("transpose", "permute_dims")
def _transpose(a: Any, axes: Sequence[int] | None = None) -> Tensor:
    x = tensor_of(a)
    given = tuple(reversed(range(x.ndim))) if axes is None else normalize_axis_tuple(axes, x.ndim)
    if len(given) != x.ndim:
        raise ValueError(f"np.transpose: axes={axes} must name each of the {x.ndim} axes")
    return shaping.permute(x, given) if x.ndim else x


@named("matrix_transpose", "linalg.matrix_transpose")
def _matrix_transpose(x: Any, /) -> Tensor:
    x = tensor_of(x)
    if x.ndim < 2:
        raise ValueError(f"np.matrix_transpose: a matrix has at least 2 axes, and the shape is {tuple(x.shape)}")
    return shaping.transpose(x, -1, -2)


@named("reshape")
def _reshape(a: Any, /, shape: Any, order: str = "C", *, copy: bool | None = None) -> Tensor:
    x = tensor_of(a)
    if order not in ("C", "F"):
        return NotImplemented
    sizes = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    found = shaping.reshape(x, sizes) if order == "C" else shaping.reshape(x.T, sizes[::-1]).T
    return found.clone() if copy else found


@named("ravel")
def _ravel(a: Any, order: str = "C") -> Tensor:
    return _reshape(a, -1, order)


@named("squeeze")
def _squeeze(a: Any, axis: Any = None) -> Tensor:
    x = tensor_of(a)
    if axis is None:
        return shaping.squeeze(x)
    over = () if not x.ndim and axis in (0, -1) else normalize_axis_tuple(axis, x.ndim)
    if any(x.shape[d] != 1 for d in over):
        raise ValueError(f"np.squeeze: axis={axis} of shape {tuple(x.shape)} has another size than 1")
    return shaping.reshape(x, tuple([n for d, n in enumerate(x.shape) if d not in over]))


@named("expand_dims")
def _expand_dims(a: Any, axis: Any) -> Tensor:
    x = tensor_of(a)
    several = axis if isinstance(axis, (tuple, list)) else (axis,)
    places = normalize_axis_tuple(several, x.ndim + len(several))
    sizes = iter(x.shape)
    return shaping.reshape(x, tuple([1 if d in places else next(sizes) for d in range(x.ndim + len(several))]))


@named("broadcast_to")
def _broadcast_to(array: Any, shape: Any) -> Tensor:
    x, wanted = tensor_of(array), tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    if np.broadcast_shapes(tuple(x.shape), wanted) != wanted:
        raise ValueError(f"np.broadcast_to: shape {tuple(x.shape)} does not broadcast to {wanted}")
    return shaping.expand(x, wanted) if wanted else x


@named("broadcast_arrays")
def _broadcast_arrays(*args: Any) -> tuple[Tensor, ...]:
    many = [tensor_of(x, *args) for x in args]
    shape = np.broadcast_shapes(*[tuple(x.shape) for x in many])
    return tuple([_broadcast_to(x, shape) for x in many])


@named("moveaxis")
def _moveaxis(a: Any, source: Any, destination: Any) -> Tensor:
    x = tensor_of(a)
    start, end = normalize_axis_tuple(source, x.ndim, "source"), normalize_axis_tuple(destination, x.ndim, "destination")
    if len(start) != len(end):
        raise ValueError(f"np.moveaxis: {len(start)} axes to move and {len(end)} places for them")
    order = [d for d in range(x.ndim) if d not in start]
    for place, d in sorted(zip(end, start)):
        order.insert(place, d)
    return shaping.permute(x, tuple(order)) if order else x


@named("rollaxis")
def _rollaxis(a: Any, axis: int, start: int = 0) -> Tensor:
    x = tensor_of(a)
    axis, before = normalize_axis_index(axis, x.ndim), start + x.ndim if start < 0 else start
    if not 0 <= before <= x.ndim:
        raise np.exceptions.AxisError(f"np.rollaxis: start={start} is no place among {x.ndim} axes")
    return _moveaxis(x, axis, before - (axis < before))


@named("swapaxes")
def _swapaxes(a: Any, axis1: int, axis2: int) -> Tensor:
    x = tensor_of(a)
    return shaping.transpose(x, normalize_axis_index(axis1, x.ndim), normalize_axis_index(axis2, x.ndim))


@named("flip")
def _flip(m: Any, axis: Any = None) -> Tensor:
    x = tensor_of(m)
    over = tuple(range(x.ndim)) if axis is None else normalize_axis_tuple(axis, x.ndim)
    return ROW["flip"](x, over) if over else x.clone()


def _at_least(name: str, least: int, call: Callable) -> None:
    @named(name)
    def turned(m: Any) -> Tensor:
        x = tensor_of(m)
        if x.ndim < least:
            raise ValueError(f"np.{name} takes at least {least} axes, and the shape is {tuple(x.shape)}")
        return call(x)


_at_least("flipud", 1, turning.flipud)
_at_least("fliplr", 2, turning.fliplr)


@named("rot90")
def _rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Tensor:
    x = tensor_of(m)
    if len(axes) != 2 or len(set(normalize_axis_tuple(axes, x.ndim, allow_duplicate=True))) != 2:
        raise ValueError(f"np.rot90: axes={axes} must be two axes that differ")
    return turning.rot90(x, k, tuple(axes))


@named("roll")
def _roll(a: Any, shift: Any, axis: Any = None) -> Tensor:
    x = tensor_of(a)
    if axis is None:
        return turning.roll(x, int(np.sum(shift)))
    shifts, axes = (np.asarray(v).reshape(-1).tolist() for v in np.broadcast_arrays(shift, axis))
    return turning.roll(x, tuple(shifts), tuple(normalize_axis_tuple(axes, x.ndim, allow_duplicate=True)))


@named("tile")
def _tile(A: Any, reps: Any) -> Tensor:
    return joining.tile(tensor_of(A), *(reps if np.ndim(reps) else (reps,)))


@named("repeat")
def _repeat(a: Any, repeats: Any, axis: int | None = None) -> Tensor:
    x = tensor_of(a)
    x = x if x.ndim else shaping.reshape(x, (-1,))
    if axis is not None:
        axis = normalize_axis_index(axis, x.ndim)
    counts = repeats if isinstance(repeats, (int, Tensor)) else np.asarray(repeats)
    if isinstance(counts, np.ndarray):
        counts = int(counts.reshape(())) if counts.size == 1 else operand(counts.astype(np.int64))
    return joining.repeat_interleave(shaping.reshape(x, (-1,)) if axis is None else x, counts, axis or 0)


def _raised(name: str, call: Callable) -> None:
    @named(name)
    def raised(*arys: Any) -> Any:
        return call(*[tensor_of(x, *arys) for x in arys])


for _n in (1, 2, 3):
    _raised(f"atleast_{_n}d", getattr(shaping, f"atleast_{_n}d"))


# Diagonals and triangles.


@named("diagonal")
def _diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    x = tensor_of(a)
    if x.ndim < 2:
        raise ValueError(f"np.diagonal: a diagonal goes through two axes, and the shape is {tuple(x.shape)}")
    axis1, axis2 = normalize_axis_index(axis1, x.ndim), normalize_axis_index(axis2, x.ndim)
    if axis1 == axis2:
        raise ValueError(f"np.diagonal: axis1 and axis2 are both {axis1}: a diagonal goes through two")
    return diagonals.diagonal(x, offset, axis1, axis2)


@named("trace")
def _trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None) -> Tensor:
    return NUMPY["sum"](_diagonal(a, offset, axis1, axis2), -1, dtype)


@named("linalg.diagonal")
def _last_diagonal(x: Any, /, *, offset: int = 0) -> Tensor:
    return _diagonal(x, offset, -2, -1)


@named("linalg.trace")
def _last_trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Tensor:
    return _trace(x, offset, -2, -1, dtype)


@named("diag")
def _diag(v: Any, k: int = 0) -> Tensor:
    x = tensor_of(v)
    if x.ndim not in (1, 2):
        raise ValueError(f"np.diag takes 1 or 2 axes, and the shape is {tuple(x.shape)}")
    return diagonals.diag_embed(x, k) if x.ndim == 1 else diagonals.diagonal(x, k)


named("diagflat")(lambda v, k=0: diagonals.diagflat(tensor_of(v), k))


def _triangle(name: str, call: Callable) -> None:
    @named(name)
    def triangle(m: Any, k: int = 0) -> Tensor:
        x = tensor_of(m)
        return call(shaping.expand(x, (x.shape[0], x.shape[0])) if x.ndim == 1 else x, k)


_triangle("tril", diagonals.tril)
_triangle("triu", diagonals.triu)


# Elements in other places.


def rearranged(function: Callable, a: Any, *args: Any, **kwargs: Any) -> Tensor:
    """What a function of NumPy's that only moves, repeats and leaves out elements gives: it does so with their numbers, and the
    elements follow."""
    x = tensor_of(a)
    places = function(np.arange(x.numel()).reshape(tuple(x.shape)), *args, **kwargs)
    return shaping.reshape(x, (-1,))[places]


def _array(places: Any) -> Any:
    return np.asarray(places) if isinstance(places, Tensor) else places


named("delete")(lambda arr, obj, axis=None: rearranged(np.delete, arr, _array(obj), axis))
named("resize")(lambda a, new_shape: rearranged(np.resize, a, new_shape) if np.size(a) else cast(tensor_of(a), a.dtype))
named("compress")(lambda condition, a, axis=None: rearranged(lambda x: np.compress(np.asarray(condition), x, axis), a))
named("extract")(lambda condition, arr: rearranged(lambda x: np.extract(np.asarray(condition), x), arr))


@named("insert")
def _insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Tensor:
    """Elements of both, counted through, in the places that NumPy puts their numbers to."""
    x, given = tensor_of(arr, values), tensor_of(values, arr)
    given = cast(given, x._held.dtype)
    n = x.numel()
    places = np.insert(
        np.arange(n).reshape(tuple(x.shape)), _array(obj), np.arange(n, n + given.numel()).reshape(tuple(given.shape)), axis
    )
    return shaping.cat([shaping.reshape(v, (-1,)) for v in (x, given)])[places]


_MOVED = ("edge", "reflect", "symmetric", "wrap")


@named("pad")
def _pad(array: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Any:
    x = tensor_of(array)
    if mode in _MOVED and kwargs.get("reflect_type", "even") == "even":
        return rearranged(np.pad, x, pad_width, mode, **kwargs)
    if mode not in ("constant", "empty"):
        return NotImplemented
    values = kwargs.get("constant_values", 0)
    places = np.pad(np.arange(x.numel()).reshape(tuple(x.shape)), pad_width, constant_values=-1)
    if not x.numel():
        return tensor_of(np.pad(np.empty(tuple(x.shape), x._held.dtype), pad_width, **kwargs))
    inside = shaping.reshape(x, (-1,))[np.maximum(places, 0)]
    border = values
    if not has_tensors(values):
        border = np.pad(np.zeros(tuple(x.shape), x._held.dtype), pad_width, constant_values=values)
    elif not isinstance(values, Tensor):
        return NotImplemented
    x, border = same_dtype(inside, cast(tensor_of(border, x), x._held.dtype))
    return ROW["where"](tensor_of(places >= 0), x, border)


# Others like it, and what it is.


named("shape")(lambda a: tuple(a.shape))
named("ndim")(lambda a: a.ndim)


@named("size")
def _size(a: Any, axis: Any = None) -> int:
    over = range(a.ndim) if axis is None else normalize_axis_tuple(axis, a.ndim)
    return math.prod([a.shape[d] for d in over])
