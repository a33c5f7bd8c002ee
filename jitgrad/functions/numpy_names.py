"""What NumPy's functions do with tensors: `np.sum(x)`, `np.std(x, axis=0)`.

Arguments mean what they mean to NumPy, which is not always what PyTorch's function of that name means: `np.std` divides
by n, `axis=()` reduces nothing, `np.max` with an axis returns values only, `np.split` counts pieces, `np.dot` does not
broadcast. Mistakes are NumPy's errors. With arguments
that there is no operation for (`out=`, `where=`) NumPy's own function is meant: see `tensors.numpy_protocols`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from jitgrad import dtypes
from jitgrad.functions import comparing, creation, numeric, shaping
from jitgrad.functions.bind import bound
from jitgrad.functions.operands import exact, operand
from jitgrad.ops import TABLE, arithmetic, choosing
from jitgrad.record.apply import apply
from jitgrad.record.weak import are_numbers
from jitgrad.tensors.tensor import Tensor

NUMPY: dict[str, Callable] = {}


def _named(*names: str) -> Callable:
    """A decorator: the function is what NumPy's functions of these names do with tensors."""

    def decorate(function: Callable) -> Callable:
        NUMPY.update(dict.fromkeys(names, function))
        return function

    return decorate


def _tensor(x: Any, *beside: Any) -> Tensor:
    return x if isinstance(x, Tensor) else operand(x, beside)


def _cast(x: Tensor, dtype: Any) -> Tensor:
    wanted = dtypes.to_numpy(dtype)
    return x if x._held.dtype == wanted else apply(choosing.cast, (x,), {"dtype": wanted})


def _fractional(a: Any) -> Tensor:
    """A tensor of floats: NumPy takes means, sizes and the like of integers and bools in float64."""
    x = _tensor(a)
    return x if x.dtype.has_gradient else _cast(x, np.float64)


# Reductions.


def _over(reduce: Callable, a: Any, axis: Any, keepdims: bool, strict: bool = True) -> Tensor:
    """`reduce(x, dim, keepdims)` over the axes that NumPy's `axis` means; over none of them, every element is by itself.
    Unless it is `strict` a number has an axis 0."""
    x = _tensor(a)
    if axis is not None and (strict or x.ndim or type(axis) is not int or axis not in (0, -1)):
        axis = normalize_axis_tuple(axis, x.ndim)
        if not axis:
            return reduce(shaping.unsqueeze(x, -1), -1, False)
    return reduce(x, axis, bool(keepdims))


def _reduction(name: str, *, dtypes_too: bool) -> None:
    call = bound(TABLE[name])

    def reduce(a: Any, axis: Any = None, dtype: Any = None, *, keepdims: bool = False) -> Tensor:
        more = {} if dtype is None else {"dtype": dtype}
        x = _fractional(a) if name == "mean" and dtype is None else a
        return _over(lambda x, dim, keepdim: call(x, dim, keepdim, **more), x, axis, keepdims, name == "mean")

    if dtypes_too:
        _named(name)(reduce)
    else:
        _named(name)(lambda a, axis=None, *, keepdims=False: reduce(a, axis, keepdims=keepdims))


for _name in ("sum", "mean", "prod"):
    _reduction(_name, dtypes_too=True)
for _name in ("any", "all"):
    _reduction(_name, dtypes_too=False)


def _extreme(name: str, *names: str) -> None:
    call = bound(TABLE[name])

    @_named(*names)
    def extreme(a: Any, axis: Any = None, *, keepdims: bool = False) -> Tensor:
        if not math.prod(np.shape(a)):
            _not_of_nothing(names[0], a, axis)
        return _over(call, a, axis, keepdims, strict=False)


def _not_of_nothing(name: str, a: Any, axis: Any) -> None:
    over = range(np.ndim(a)) if axis is None else normalize_axis_tuple(axis, np.ndim(a))
    if not math.prod([np.shape(a)[d] for d in over]):
        raise ValueError(f"np.{name} of nothing has no value: shape {tuple(np.shape(a))} is empty along axis={axis}")


_extreme("amax", "max", "amax")
_extreme("amin", "min", "amin")


def _place(name: str) -> None:
    call = bound(TABLE[name])

    @_named(name)
    def place(a: Any, axis: Any = None, *, keepdims: bool = False) -> Tensor:
        x = _tensor(a)
        if not x.numel():
            _not_of_nothing(name, x, axis)
        axis = None if axis is None else normalize_axis_index(axis, max(x.ndim, 1))
        return call(x, axis, bool(keepdims))


_place("argmax")
_place("argmin")


def _deviation(name: str) -> None:
    call = bound(TABLE[name])

    @_named(name)
    def deviation(
        a: Any, axis: Any = None, dtype: Any = None, *, ddof: float = 0, keepdims: bool = False, correction: Any = None
    ) -> Tensor:
        if ddof and correction is not None:
            raise ValueError(f"np.{name}: ddof and correction are two names of one thing, and both were given")
        x = _fractional(a) if dtype is None else _cast(_tensor(a), dtype)
        less = ddof if correction is None else correction
        return _over(lambda x, dim, keepdim: call(x, dim, correction=less, keepdim=keepdim), x, axis, keepdims)


_deviation("std")
_deviation("var")


@_named("cumsum")
def _cumsum(a: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    x = _tensor(a)
    x = shaping.reshape(x, (-1,)) if axis is None or not x.ndim else x
    more = {} if dtype is None else {"dtype": dtype}
    return bound(TABLE["cumsum"])(x, normalize_axis_index(0 if axis is None else axis, x.ndim), **more)


@_named("norm")
def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    x = _fractional(x)
    over = range(x.ndim) if axis is None else normalize_axis_tuple(axis, x.ndim)
    if ord is not None and not (len(over) == 1 or (ord == "fro" and len(over) == 2)):
        return NotImplemented
    if (ord == "fro" and len(over) == 1) or (axis is not None and len(over) not in (1, 2)):
        raise ValueError(f"np.linalg.norm: {ord!r} over axis={axis} is no norm")
    p = 2 if ord in (None, "fro") else 1 if ord == math.inf and not x.numel() else ord  # the largest of no sizes is 0 here
    return _over(lambda x, dim, keepdim: bound(TABLE["norm"])(x, p, dim, keepdim), x, axis, keepdims)


# Products.


@_named("dot")
def _dot(a: Any, b: Any) -> Tensor:
    """The sum of products over the last axis of `a` and the last but one of `b`, for each pair of the others."""
    x, y = _tensor(a, b), _tensor(b, a)
    common = dtypes.promote(x._held.dtype, y._held.dtype)
    x, y = _cast(x, common), _cast(y, common)
    if not x.ndim or not y.ndim:
        return apply(arithmetic.mul, (x, y))
    inner = y.shape[-2] if y.ndim > 1 else y.shape[0]
    if x.shape[-1] != inner:
        raise ValueError(
            f"np.dot: shapes {tuple(x.shape)} and {tuple(y.shape)} do not fit: {x.shape[-1]} and {inner} numbers to be multiplied"
        )
    if x.ndim < 3 and y.ndim < 3:
        return numeric.matmul(x, y)
    shape = (*x.shape[:-1], *y.shape[:-2], *y.shape[-1:]) if y.ndim > 1 else x.shape[:-1]
    y = shaping.movedim(y, -2, 0) if y.ndim > 1 else y
    rows = shaping.reshape(x, (math.prod(x.shape[:-1]), inner))
    columns = shaping.reshape(y, (inner, math.prod(y.shape[1:])))
    return shaping.reshape(numeric.matmul(rows, columns), tuple(shape))


# Shapes.


@_named("transpose", "permute_dims")
def _transpose(a: Any, axes: Sequence[int] | None = None) -> Tensor:
    x = _tensor(a)
    given = tuple(reversed(range(x.ndim))) if axes is None else normalize_axis_tuple(axes, x.ndim)
    if len(given) != x.ndim:
        raise ValueError(f"np.transpose: axes={axes} must name each of the {x.ndim} axes")
    return shaping.permute(x, given) if x.ndim else x


@_named("reshape")
def _reshape(a: Any, shape: Any) -> Tensor:
    try:
        return shaping.reshape(_tensor(a), shape)
    except RuntimeError as error:
        raise ValueError(f"np.reshape: {error}") from None


@_named("ravel")
def _ravel(a: Any) -> Tensor:
    return shaping.reshape(_tensor(a), (-1,))


@_named("squeeze")
def _squeeze(a: Any, axis: Any = None) -> Tensor:
    x = _tensor(a)
    if axis is None:
        return shaping.squeeze(x)
    over = () if not x.ndim and axis in (0, -1) else normalize_axis_tuple(axis, x.ndim)
    if any(x.shape[d] != 1 for d in over):
        raise ValueError(f"np.squeeze: axis={axis} of shape {tuple(x.shape)} has another size than 1")
    return shaping.reshape(x, tuple([n for d, n in enumerate(x.shape) if d not in over]))


@_named("expand_dims")
def _expand_dims(a: Any, axis: Any) -> Tensor:
    x = _tensor(a)
    several = axis if isinstance(axis, (tuple, list)) else (axis,)
    places = normalize_axis_tuple(several, x.ndim + len(several))
    sizes = iter(x.shape)
    return shaping.reshape(x, tuple([1 if d in places else next(sizes) for d in range(x.ndim + len(several))]))


@_named("broadcast_to")
def _broadcast_to(array: Any, shape: Any) -> Tensor:
    x, wanted = _tensor(array), tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    if np.broadcast_shapes(tuple(x.shape), wanted) != wanted:
        raise ValueError(f"np.broadcast_to: shape {tuple(x.shape)} does not broadcast to {wanted}")
    return shaping.expand(x, wanted) if wanted else x


@_named("moveaxis")
def _moveaxis(a: Any, source: Any, destination: Any) -> Tensor:
    x = _tensor(a)
    start, end = normalize_axis_tuple(source, x.ndim, "source"), normalize_axis_tuple(destination, x.ndim, "destination")
    if len(start) != len(end):
        raise ValueError(f"np.moveaxis: {len(start)} axes to move and {len(end)} places for them")
    order = [d for d in range(x.ndim) if d not in start]
    for place, d in sorted(zip(end, start)):
        order.insert(place, d)
    return shaping.permute(x, tuple(order)) if order else x


@_named("swapaxes")
def _swapaxes(a: Any, axis1: int, axis2: int) -> Tensor:
    x = _tensor(a)
    return shaping.transpose(x, normalize_axis_index(axis1, x.ndim), normalize_axis_index(axis2, x.ndim))


@_named("flip")
def _flip(m: Any, axis: Any = None) -> Tensor:
    x = _tensor(m)
    over = tuple(range(x.ndim)) if axis is None else normalize_axis_tuple(axis, x.ndim)
    return bound(TABLE["flip"])(x, over) if over else x.clone()


# Tensors put together and taken apart.


def _several(arrays: Any, dtype: Any) -> list[Tensor]:
    many = [_tensor(x, *arrays) for x in arrays]
    return many if dtype is None else [_cast(x, dtype) for x in many]


@_named("concatenate", "concat")
def _concatenate(arrays: Any, axis: int | None = 0, *, dtype: Any = None) -> Tensor:
    many = _several(arrays, dtype)
    if axis is None:
        many, axis = [shaping.reshape(x, (-1,)) for x in many], 0
    if len({x.ndim for x in many}) > 1 or any(not x.ndim for x in many):
        raise ValueError(
            f"np.concatenate: all must have the same number of dimensions, at least one, and they have {[x.ndim for x in many]}"
        )
    return shaping.cat(many, normalize_axis_index(axis, many[0].ndim) if many else 0)


@_named("stack")
def _stack(arrays: Any, axis: int = 0, *, dtype: Any = None) -> Tensor:
    many = _several(arrays, dtype)
    if len({tuple(x.shape) for x in many}) != 1:
        raise ValueError(f"np.stack: there must be arrays, of one shape, not {[tuple(x.shape) for x in many]}")
    return shaping.stack(many, normalize_axis_index(axis, many[0].ndim + 1))


@_named("split")
def _split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    x = _tensor(ary)
    d = normalize_axis_index(axis, x.ndim)
    size = x.shape[d]
    if not np.ndim(indices_or_sections):
        if size % indices_or_sections:
            raise ValueError(f"np.split: {size} elements do not divide into {indices_or_sections} equal pieces")
        indices_or_sections = [size // indices_or_sections * i for i in range(1, indices_or_sections)]
    cuts = [0, *map(int, indices_or_sections), size]
    return [x[(slice(None),) * d + (slice(*pair),)] for pair in itertools.pairwise(cuts)]


# Elementwise.


@_named("where")
def _where(condition: Any, x: Any = None, y: Any = None) -> Any:
    given = _tensor(condition)
    if x is None and y is None:
        return _nonzero(given)
    if x is None or y is None:
        raise ValueError("np.where takes a condition alone, or a condition and two choices")
    flag = given if given._held.dtype == np.bool_ else apply(choosing.ne, (given, 0))
    if are_numbers(x, y):
        x, y = exact(x), exact(y)
    return numeric.where(flag, x, y)


@_named("nonzero")
def _nonzero(a: Any) -> tuple[Tensor, ...]:
    if not np.ndim(a):
        raise ValueError("np.nonzero of a 0-d array has no indices: reshape it to one dimension first")
    return numeric.nonzero(_tensor(a), as_tuple=True)


@_named("clip")
def _clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Tensor:
    x = _tensor(a)
    low, high = (min if a_min is None else a_min), (max if a_max is None else a_max)
    if low is None and high is None:
        return x.clone()
    if isinstance(low, np.ndarray) or isinstance(high, np.ndarray) or x.dtype.name == "bool":
        low, high = (v if v is None else _tensor(v, x) for v in (low, high))
    low, high = (v.item() if isinstance(v, np.generic) else v for v in (low, high))
    if isinstance(low, float) or isinstance(high, float):
        x = _fractional(x)
    return numeric.clamp(x, low, high)


@_named("round", "around")
def _round(a: Any, decimals: int = 0) -> Any:
    x = _tensor(a)
    if decimals >= 0 and x.dtype.name != "bool":
        return numeric.round(x, decimals=decimals)
    if not x.dtype.is_floating_point:
        return NotImplemented
    return apply(choosing.round, (x / 10.0**-decimals,)) * 10.0**-decimals


@_named("isclose")
def _isclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    return comparing.isclose(_cast(_tensor(a, b), float), _cast(_tensor(b, a), float), rtol, atol, equal_nan)


@_named("allclose")
def _allclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    return bool(_isclose(a, b, rtol, atol, equal_nan).all())


# Others like it, and what it is.


@_named("full_like")
def _full_like(a: Any, fill_value: Any, dtype: Any = None, shape: Any = None) -> Tensor:
    x = _tensor(a)
    given = tuple(x.shape) if shape is None else tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    return creation.full(given, fill_value, dtype=x.dtype if dtype is None else dtype)


for _name, _fill in (("zeros_like", 0), ("ones_like", 1)):
    _named(_name)(lambda a, dtype=None, shape=None, fill=_fill: _full_like(a, fill, dtype, shape))


_named("shape")(lambda a: tuple(a.shape))
_named("ndim")(lambda a: a.ndim)


@_named("size")
def _size(a: Any, axis: Any = None) -> int:
    over = range(a.ndim) if axis is None else normalize_axis_tuple(axis, a.ndim)
    return math.prod([a.shape[d] for d in over])
