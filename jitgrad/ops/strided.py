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

from jitgrad.ops.indexing import Slot, index_add, index_put, into_zeros
from jitgrad.ops.movement import reshape
from jitgrad.ops.shapes import Spec
from jitgrad.ops.sums import added_at
from jitgrad.ops.table import linear, register

Steps = tuple[tuple[int, ...], ...]


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


def _add_strided(out: Any, g: Any, x_shape: Any, x_dtype: Any, sizes: Any, start: Any, steps: Any) -> None:
    if is_apart(x_shape, sizes, steps):
        part = _strided(out, sizes, start, steps)
        part += g
    else:
        places = np.unravel_index(_positions(x_shape, sizes, start, steps), x_shape)
        added_at(out, places, np.reshape(g, -1))


def _unseen(g: Any, x_shape: Any, x_dtype: np.dtype, sizes: Any, start: Any, steps: Any) -> Any:
    """The transpose: each element is added to where it was seen."""
    if is_apart(tuple(x_shape), sizes, steps):
        return unstrided(g, shape=tuple(x_shape), start=start, steps=steps)
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


register(globals())
