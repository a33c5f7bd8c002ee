"""Views whose dimensions go through those of a tensor in any steps: diagonals, windows.

`strided` looks at the element `start + steps[0] * i + steps[1] * j + …` of a tensor for each place `i, j, …` of its own;
`start` and each of the `steps` have a number for every dimension of the tensor. Whatever the strides of the tensor in
memory are, this is a view of it.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from jitgrad.ops.choosing import cast, ne
from jitgrad.ops.indexing import Slot, getitem, index_add, index_put, into_zeros
from jitgrad.ops.movement import expand, reshape
from jitgrad.ops.movement import sum as sum_
from jitgrad.ops.shapes import Spec
from jitgrad.ops.sums import added_at
from jitgrad.ops.table import linear, register

Steps = tuple[tuple[int, ...], ...]
COUNT = np.dtype(np.int32)


def _strided(x: Any, sizes: tuple[int, ...], start: tuple[int, ...], steps: Steps) -> Any:
    x = np.asarray(x)
    strides = [sum(n * s for n, s in zip(step, x.strides)) for step in steps]
    first = x[tuple([slice(n, None) for n in start])] if 0 not in sizes else x
    return as_strided(first, sizes, strides, writeable=x.flags.writeable and is_apart(x.shape, sizes, steps))


@functools.lru_cache(1024)
def is_apart(shape: tuple[int, ...], sizes: tuple[int, ...], steps: Steps) -> bool:
    """Whether surely no element is seen twice: a step leads beyond all that the shorter ones reach."""
    if 0 in sizes:
        return True
    lengths = _lengths(shape)
    reach = 0
    for step, n in sorted((sum(a * b for a, b in zip(step, lengths)), n) for step, n in zip(steps, sizes) if n > 1):
        if step <= reach:
            return False
        reach += step * (n - 1)
    return True


def _lengths(shape: tuple[int, ...]) -> list[int]:
    """How many elements in row-major order a step along each dimension is."""
    return [math.prod(shape[d + 1 :]) for d in range(len(shape))]


@functools.lru_cache(8)  # they take memory
def _positions(shape: tuple[int, ...], sizes: tuple[int, ...], start: tuple[int, ...], steps: Steps) -> np.ndarray:
    """The number, in row-major order, of each element that is seen."""
    lengths = _lengths(shape)
    found = np.full((1,) * len(sizes), sum(a * b for a, b in zip(start, lengths)))
    for d, (n, step) in enumerate(zip(sizes, steps)):
        along = np.arange(n) * sum(a * b for a, b in zip(step, lengths))
        found = found + along.reshape([-1 if k == d else 1 for k in range(len(sizes))])
    return found.reshape(-1)


def sliding(shape: tuple[int, ...], dim: int, size: int, step: int, dilation: int) -> dict[str, Any]:
    """How `strided` sees windows of a `size` along a dimension, a `step` apart, of elements that are `dilation` apart.

    The elements of a window stand in a new last dimension.
    """
    ndim, far = len(shape), {dim: step}
    ahead = [tuple([far.get(d, 1) * (k == d) for k in range(ndim)]) for d in range(ndim)]
    along = tuple([dilation * (k == dim) for k in range(ndim)])
    sizes = (*shape[:dim], count_of(shape[dim], size, step, dilation), *shape[dim + 1 :], size)
    return {"sizes": sizes, "start": (0,) * ndim, "steps": (*ahead, along)}


def _slid(shape: tuple[int, ...], sizes: tuple[int, ...], start: tuple[int, ...], steps: Steps) -> dict[str, int] | None:
    """Along which dimension windows slide, and how; None if it is not that which is seen."""
    if len(sizes) != len(shape) + 1 or not shape:
        return None
    dim = next((d for d, n in enumerate(steps[-1]) if n), 0)
    how = {"dim": dim, "step": steps[dim][dim], "dilation": steps[-1][dim]}
    if min(how["step"], how["dilation"]) < 1:
        return None
    return how if sliding(shape, size=sizes[-1], **how) == {"sizes": sizes, "start": start, "steps": steps} else None


def _add_strided(out: Any, g: Any, x_shape: Any, x_dtype: Any, sizes: Any, start: Any, steps: Any) -> None:
    if is_apart(x_shape, sizes, steps):
        part = _strided(out, sizes, start, steps)
        part += g
    elif how := _slid(tuple(x_shape), sizes, start, steps):
        out += _overlapped(np.asarray(g), x_shape[how["dim"]], **how)
    else:
        places = np.unravel_index(_positions(x_shape, sizes, start, steps), x_shape)
        added_at(out, places, np.reshape(g, -1))


def _unseen(g: Any, x_shape: Any, x_dtype: np.dtype, sizes: Any, start: Any, steps: Any) -> Any:
    """The transpose: each element is added to where it was seen."""
    if is_apart(tuple(x_shape), sizes, steps):
        return unstrided(g, shape=tuple(x_shape), start=start, steps=steps)
    if how := _slid(tuple(x_shape), sizes, start, steps):
        return overlapped(g, length=x_shape[how["dim"]], **how)
    places, flat = _positions(tuple(x_shape), sizes, start, steps), (math.prod(x_shape),)
    g = reshape(g, shape=(places.size,))
    out = into_zeros(lambda zeros, g: index_add(zeros, g, places, index=(Slot(0),)), g, flat, x_dtype, (places,))
    return reshape(out, shape=tuple(x_shape))


def put_strided(x: Any, value: Any, sizes: Any, start: Any, steps: Any) -> Any:
    """`x` with the elements that a `strided` of it sees replaced by those of `value`."""
    shape, places = tuple(x.shape), _positions(tuple(x.shape), sizes, start, steps)
    flat, value = reshape(x, shape=(math.prod(shape),)), reshape(value, shape=(places.size,))
    return reshape(index_put(flat, value, places, index=(Slot(0),)), shape=shape)


def _batched(row: Any, operands: Any, size: int) -> Any:
    """One example's place, with the number of the example in front."""
    params = {name: row.params[name] for name in row.params}
    for name in params.keys() & {"sizes", "shape"}:
        params[name] = (size, *params[name])
    lead = (1, *(0,) * len(params["start"]))
    params |= {"start": (0, *params["start"]), "steps": (lead, *[(0, *step) for step in params["steps"]])}
    return row.op(operands[0].value, **params)


_DIAGONAL = {"start": (0, 1), "steps": ((1, 1),)}

strided = linear(
    _strided,
    view=True,
    internal=True,
    label="as_strided",
    transpose=lambda g, x_shape, x_dtype, sizes, start, steps: _unseen(g, x_shape, x_dtype, sizes, start, steps),
    accumulate=_add_strided,
    batch=_batched,
    shape=lambda x, sizes, start, steps: Spec(sizes, x.dtype),
    samples=lambda: [
        ((3, 4), {"sizes": (3,), **_DIAGONAL}),
        ((5, 2), {"sizes": (3, 2, 2), "start": (0, 0), "steps": ((1, 0), (0, 1), (1, 0))}),
        ((2, 7), sliding((2, 7), dim=1, size=3, step=2, dilation=1)),
        ((7, 2), sliding((7, 2), dim=0, size=2, step=1, dilation=3)),
        ((5, 2), {"sizes": (3, 2), "start": (1, 0), "steps": ((1, 0), (1, 0))}),
    ],
    oracle="np.array([x[tuple(start + np.array(p) @ np.array(steps))] for p in np.ndindex(*sizes)]).reshape(sizes)",
)


def _unstrided(x: Any, shape: tuple[int, ...], start: tuple[int, ...], steps: Steps) -> Any:
    out = np.zeros(shape, x.dtype)
    _strided(out, np.shape(x), start, steps)[...] = x
    return out


unstrided = linear(
    _unstrided,
    internal=True,
    transpose=lambda g, x_shape, start, steps: strided(g, sizes=tuple(x_shape), start=start, steps=steps),
    batch=_batched,
    parts=lambda out, x, shape, start, steps: [(None, out, False), (x, _strided(out, x.shape, start, steps), False)],
    shape=lambda x, shape, start, steps: Spec(shape, x.dtype),
    samples=lambda: [((3,), {"shape": (3, 4), **_DIAGONAL})],
    oracle=(
        "np.sum([x[p] * np.all(np.indices(shape).T == start + np.array(p) @ np.array(steps), -1).T"
        " for p in np.ndindex(x.shape)], 0)"
    ),
)
"""Elements at the places where `strided` sees them, no two at one place, and zeros elsewhere."""


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
        return expand(sum_(x, dim=tuple(range(len(x.shape))), keepdim=False), shape=shape)
    out: Any = np.broadcast_to(np.zeros((), dtype), shape)
    count, lead = x.shape[dim], (slice(None),) * dim
    for k in range(x.shape[-1]):
        start = k * dilation
        part = (*lead, slice(start, start + (count - 1) * step + 1, step), ...)
        out = index_add(out, getitem(x, index=(..., k)), index=part)
    return out


overlapped = linear(
    _overlapped,
    kind="scattering",
    on_complex="linear",
    internal=True,
    batch=lambda row, operands, size: row.op(operands[0].value, **{**row.params, "dim": row.params["dim"] + 1}),
    label="fold",
    transpose=lambda g, x_shape, dim, step, dilation: strided(g, **sliding(tuple(g.shape), dim, x_shape[-1], step, dilation)),
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
