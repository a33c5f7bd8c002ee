"""Reading and writing parts of a tensor: `x[index]`, gather, scatter_add.

An index is kept in a row as `index`, a tuple whose items are ints, slices, None, Ellipsis, or `Slot(k)` for the k-th
array of the row. `index_add` is the transpose of `getitem`; where cotangents meet, the reverse sweep calls
`accumulate` instead and adds into the accumulator it already has, so that n reads of one tensor cost n steps.
"""

from __future__ import annotations

import builtins
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jitgrad.dtypes import HALF
from jitgrad.errors import OutOfRangeError
from jitgrad.ops.choosing import cast, eq, where, zeros_like
from jitgrad.ops.movement import expand, reshape, sum
from jitgrad.ops.shapes import Spec, axis
from jitgrad.ops.sums import added_at
from jitgrad.ops.table import Op, register

NAMES = np.array([0, 2, 2])  # what samples index with: elements named twice, and not
PLACES = np.array([[0, 2, 2], [1, 0, 2]])


class Slot(NamedTuple):
    """The place of the `number`-th index array in an index."""

    number: int


def filled(index: tuple, arrays: tuple) -> tuple:
    """The index that NumPy takes: slots replaced by their arrays."""
    return tuple(arrays[i.number] if isinstance(i, Slot) else i for i in index) if arrays else index


def _getitem(x: Any, *arrays: Any, index: tuple) -> Any:
    return np.asarray(x)[filled(index, arrays)]


def add_at(out: np.ndarray, g: Any, arrays: tuple, index: tuple) -> None:
    """`out[index] += g`, elements named twice counted twice."""
    if arrays:
        added_at(out, filled(index, arrays), g)
    else:
        out[index] += g


def _index_add(x: Any, g: Any, *arrays: Any, index: tuple) -> Any:
    out = np.array(x)
    add_at(out, g, arrays, index)
    return out


def _index_put(x: Any, value: Any, *arrays: Any, index: tuple) -> Any:
    out = np.array(x)
    put(out, value, arrays, index)
    return out


def put(out: np.ndarray, value: Any, arrays: tuple, index: tuple) -> None:
    """`out[index] = value`; of several that are written to one place, the last in order stays."""
    if arrays:  # NumPy goes through memory in the order of its strides, by which another one might be the last
        arrays, value = tuple([_in_order(a) for a in arrays]), _in_order(value)
        if not np.size(value):  # of which NumPy takes any shape
            np.broadcast_to(value, out[filled(index, arrays)].shape)
    out[filled(index, arrays)] = value


def _in_order(a: Any) -> Any:
    """The array, copied if its memory is not in the order of its elements."""
    if np.ndim(a) == 0 or a.flags.c_contiguous:
        return a
    steps = [step for step in a.strides if step]
    return a if all(more >= less > 0 for more, less in zip(steps, [*steps[1:], 1])) else a.copy("C")


def _stays(arrays: tuple, x_shape: tuple[int, ...], index: tuple) -> Any:
    """Which elements stay when they are put at an index, as a mask; None if no place is named twice.

    Every element writes its number there, and stays if that is what is read afterwards.
    """
    count = math.prod(np.broadcast_shapes(*[a.shape for a in arrays]))
    if count < 2:
        return None
    shape = tuple([1 if item == slice(None) else n for item, n in zip(_by_dimension(index, len(x_shape)), x_shape)])
    known = tuple([_value_of(a) for a in arrays])
    if builtins.all(a is not None for a in known):
        numbers = np.zeros(shape, np.int64)
        picked = numbers[filled(index, known)]
        own = np.arange(picked.size).reshape(picked.shape)
        put(numbers, own, known, index)
        stays = numbers[filled(index, known)] == own
        return None if stays.all() else stays
    if builtins.any(a is not None and a.size == count and _apart(a) for a in known):
        return None
    picked = _picked_shape(arrays, shape, index)
    own = np.arange(math.prod(picked), dtype=np.int32).reshape(picked)
    written = index_put(_zeros(shape, own.dtype), own, *arrays, index=index)
    return eq(getitem(written, *arrays, index=index), own)


def _by_dimension(index: tuple, ndim: int) -> list:
    """The items of an index that are about a dimension, one for each."""
    items = [item for item in index if item is not None]
    at = items.index(Ellipsis) if Ellipsis in items else len(items)
    whole = [slice(None)] * (ndim - len(items) + (at < len(items)))
    return [*items[:at], *whole, *items[at + 1 :]]


def _apart(a: np.ndarray) -> bool:
    """Whether an index array surely names no place twice, as the numbers of a batch do not."""
    return bool(a.min() >= 0) and np.unique(a).size == a.size


def _picked_shape(arrays: tuple, shape: tuple[int, ...], index: tuple) -> tuple[int, ...]:
    stand_ins = tuple([np.broadcast_to(np.int64(0), a.shape) for a in arrays])
    return np.broadcast_to(np.int8(0), shape)[filled(index, stand_ins)].shape


def _value_of(a: Any) -> Any:
    """An array, also one that a tape holds as a constant; None for what comes later."""
    if not hasattr(a, "__record__"):
        return np.asarray(a)
    if not hasattr(a, "_row"):  # on a device
        return None
    known = a._row.params.get("value") if a._value is None else a._value
    return known if isinstance(known, np.ndarray | np.generic) else None


def read_back(g: Any, arrays: tuple, x_shape: tuple[int, ...], index: tuple) -> Any:
    """The cotangent of what is put at an index; none for an element that a later one overwrites."""
    found = getitem(g, *arrays, index=index)
    stays = _stays(arrays, x_shape, index) if len(arrays) else None
    return found if stays is None else where(expand(stays, shape=tuple(found.shape)), found, 0)


def part_at(x: np.ndarray, index: tuple) -> np.ndarray:
    """`x[index]` for an index without arrays: a view, also where it is one element."""
    return x[index if Ellipsis in index else (*index, ...)]


def _parts(out: np.ndarray, x: Any, g: Any, arrays: tuple, index: tuple, adds: bool) -> list | None:
    """An indexed write as two writes; None where arrays say which elements, perhaps one of them twice."""
    return None if arrays else [(x, out, False), (g, part_at(out, index), adds)]


def _zeros(shape: tuple[int, ...], dtype: np.dtype) -> Any:
    """Zeros to add into: one number seen at every place, so that it takes no memory and records as `expand`."""
    return np.broadcast_to(np.zeros((), dtype), shape)


def into_zeros(adds: Callable, g: Any, shape: tuple[int, ...], dtype: np.dtype, arrays: tuple) -> Any:
    """`g` added into zeros; where arrays say at which places, half precision is added up in float32."""
    if not arrays or dtype not in HALF:
        return adds(_zeros(shape, dtype), g)
    wide = np.dtype(np.float32)
    return cast(adds(_zeros(shape, wide), cast(g, dtype=wide)), dtype=dtype)


getitem = Op(
    _getitem,
    kind="index",
    linear=True,
    inputs=("x", "*arrays"),
    output="y",
    label="slice",
    internal=True,
    view=True,
    checks=lambda row: row.inputs[1:],
    vjp=(
        lambda g, arrays, x_shape, x_dtype, index: into_zeros(
            lambda zeros, g: index_add(zeros, g, *arrays, index=index), g, x_shape, x_dtype, arrays
        ),
    ),
    accumulate=lambda out, g, arrays, x_shape, x_dtype, index: add_at(out, g, arrays, index),
    samples=lambda: [
        ([(4, 3)], {"index": (slice(1, None, 2), None, ..., -1)}),
        ([(4, 3), NAMES], {"index": (Slot(0), ...)}),
        ([(4, 3), NAMES, NAMES % 3], {"index": (Slot(0), Slot(1))}),
    ],
    oracle="x[filled(index, arrays)]",
)
index_add = Op(
    _index_add,
    kind="index",
    linear=True,
    inputs=("x", "g", "*arrays"),
    output="y",
    writes="g",
    adds=True,
    internal=True,
    checks=lambda row: row.inputs[2:],
    vjp=(lambda g: g, lambda g, arrays, index: getitem(g, *arrays, index=index)),
    shape=lambda x, g, *arrays, index: Spec(x.shape, x.dtype),
    parts=lambda out, x, g, *arrays, index: _parts(out, x, g, arrays, index, True),
    samples=lambda: [
        ([(4, 3), (3, 3), NAMES], {"index": (Slot(0), ...)}),
        ([(4, 3), (3,)], {"index": (2, ...)}),
    ],
    oracle=(
        "x + sum(_put(np.zeros_like(x), g[i], *[a[i] for a in arrays], index=index) for i in range(len(g)))"
        " if arrays else x + _put(np.zeros_like(x), g, index=index)"
    ),
)
index_put = Op(
    _index_put,
    kind="index",
    linear=True,
    inputs=("x", "value", "*arrays"),
    output="y",
    writes="value",
    label="copy_slices",
    internal=True,
    checks=lambda row: row.inputs[2:],
    vjp=(
        lambda g, arrays, value_shape, value_dtype, index: index_put(g, _zeros(value_shape, value_dtype), *arrays, index=index),
        lambda g, arrays, x_shape, index: read_back(g, arrays, x_shape, index),
    ),
    shape=lambda x, value, *arrays, index: Spec(x.shape, x.dtype),
    parts=lambda out, x, value, *arrays, index: _parts(out, x, value, arrays, index, False),
    samples=lambda: [
        ([(4, 3), (2, 3), np.array([3, 0])], {"index": (Slot(0), ...)}),
        ([(4, 3), (3, 3), NAMES], {"index": (Slot(0), ...)}),
        ([(4, 3), (3,)], {"index": (2, ...)}),
    ],
    oracle="_put(x, value, *arrays, index=index)",
)


def grid_of(index: np.ndarray, dim: int) -> tuple:
    """The index arrays that address `x[..., index[i, j, k], ...]` with `index` standing at `dim`."""
    return tuple([index if d == dim else where for d, where in enumerate(open_grid(index.shape))])


@functools.lru_cache(maxsize=64)
def open_grid(shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    return tuple(np.ogrid[tuple([slice(n) for n in shape])]) if shape else ()


def _gather(x: Any, index: Any, dim: int) -> Any:
    return np.asarray(x)[grid_of(np.asarray(index), dim)] if np.ndim(x) else np.array(x)[()]


def _scatter_add(x: Any, index: Any, src: Any, dim: int) -> Any:
    out = np.array(x)
    index = np.asarray(index)
    part = np.asarray(src)[tuple(slice(n) for n in index.shape)]
    added_at(out, grid_of(index, dim) if out.ndim else (), part)
    return out


def _gather_params(x: Any, index: Any, dim: int) -> dict[str, Any]:
    return {"dim": axis(dim, x.ndim)}


def refuse_outside(index: np.ndarray, size: int, what: str, place: str = "a dimension") -> None:
    """OutOfRangeError for an index that is not from 0 to `size` - 1."""
    if index.size and not (index.min() >= 0 and index.max() < size):
        bad = int(index[(index < 0) | (index >= size)][0])
        raise OutOfRangeError(f"{what}: index {bad} is out of range for {place} of size {size}: use 0 to {size - 1}")


def _within(index: Any, size: int, what: str = "within") -> Any:
    index = np.asarray(index)
    refuse_outside(index, size, what)
    return index.astype(np.int32)


within = Op(
    _within,
    kind="index",
    inputs=("x",),
    output="y",
    internal=True,
    checks=lambda row: row.inputs,
    shape=lambda x, size, what="": Spec(x.shape, np.dtype(np.int32)),
    samples=lambda: [([NAMES], {"size": 3})],
    oracle="x % size",
)
"""Indices of a dimension of that size, as int32; `OutOfRangeError` for one that is negative or too large. `what` is the function
that was called with them."""

places = Op(
    lambda x, size: np.arange(size, dtype=np.int32),
    kind="index",
    inputs=("x",),
    output="y",
    internal=True,
    shape=lambda x, size: Spec((size,), np.dtype(np.int32)),
    samples=lambda: [([NAMES], {"size": 4})],
    oracle="np.arange(size)",
)
"""0, 1, … size - 1, to be compared with the indices `x`."""


def _hits(x: Any, index: Any, dim: int) -> Any:
    """For one index along `dim` for each of the others: where in `x` it points."""
    size, shape = x.shape[dim], tuple(x.shape)
    along = reshape(places(index, size=size), shape=tuple(size if d == dim else 1 for d in range(x.ndim)))
    return eq(expand(along, shape=shape), expand(within(index, size=size), shape=shape))


def one_along(x: Any, index: Any, dim: int) -> bool:
    """Whether `index` picks one element along a dimension for each place along the others."""
    return x.ndim > 0 and tuple(index.shape) == (*x.shape[:dim], 1, *x.shape[dim + 1 :]) and 0 < x.shape[dim] < 1 << 31


def _lower_gather(x: Any, index: Any, dim: int) -> Any:
    """One element along `dim`, as a sum over all where the others are masked: no memory is read twice."""
    if not one_along(x, index, dim):
        return gather(x, index, dim=dim)
    return sum(where(_hits(x, index, dim), x, zeros_like(x)), dim=(dim,), keepdim=True)


def _lower_scatter_add(x: Any, index: Any, src: Any, dim: int) -> Any:
    if not one_along(x, index, dim) or tuple(src.shape) != tuple(index.shape):
        return scatter_add(x, index, src, dim=dim)
    return x + where(_hits(x, index, dim), expand(src, shape=tuple(x.shape)), 0)


gather = Op(
    _gather,
    kind="index",
    linear=True,
    inputs=("x", "index"),
    output="y",
    method=False,
    prepare=_gather_params,
    lower=_lower_gather,
    checks=lambda row: row.inputs[1:2],
    vjp=(
        lambda g, index, x_shape, x_dtype, dim: into_zeros(
            lambda zeros, g: scatter_add(zeros, index, g, dim=dim), g, x_shape, x_dtype, (index,)
        ),
        None,
    ),
    shape=lambda x, index, dim: Spec(index.shape, x.dtype),
    samples=lambda: [([(3, 4), PLACES], {"dim": 1}), ([(3, 4), PLACES], {"dim": 0})],
    oracle="np.array([x[*p[:dim], index[p], *p[dim + 1:]] for p in np.ndindex(index.shape)]).reshape(index.shape)",
)
scatter_add = Op(
    _scatter_add,
    kind="index",
    linear=True,
    inputs=("x", "index", "src"),
    output="y",
    writes="src",
    adds=True,
    method=False,
    lower=_lower_scatter_add,
    checks=lambda row: row.inputs[1:2],
    vjp=(lambda g: g, None, lambda g, index, src_shape, src_dtype, dim: _gathered(g, index, src_shape, src_dtype, dim)),
    shape=lambda x, index, src, dim: Spec(x.shape, x.dtype),
    samples=lambda: [([(3, 4), PLACES, (2, 3)], {"dim": 1}), ([(3, 4), PLACES, (3, 4)], {"dim": 0})],
    oracle="_scattered(x, index, src, dim)",
)


def _gathered(g: Any, index: Any, src_shape: tuple[int, ...], src_dtype: np.dtype, dim: int) -> Any:
    from_index = gather(g, index, dim=dim)
    if tuple(index.shape) == tuple(src_shape):
        return from_index
    corner = tuple(slice(n) for n in index.shape)
    return index_put(_zeros(src_shape, src_dtype), from_index, index=corner)


register(globals())
