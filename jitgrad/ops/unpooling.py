"""What undoes a pool of maxima: elements are put back where they were."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.ops.indexing import Slot, index_put, places, read_back
from jitgrad.ops.movement import reshape
from jitgrad.ops.shapes import Spec
from jitgrad.ops.table import Op, register


def _unpool(x: np.ndarray, index: np.ndarray, size: int) -> np.ndarray:
    out = np.zeros((*x.shape[:-1], size), x.dtype)
    np.put_along_axis(out, index, x, -1)
    return out


def _places(index: Any) -> tuple:
    """The index arrays that address the elements, and the index that they stand in."""
    lead = index.shape[:-1]
    own = [reshape(places(index, size=n), shape=(n, *(1,) * (len(lead) - k))) for k, n in enumerate(lead)]
    return (*own, index), tuple(map(Slot, range(index.ndim)))


def _written(x: Any, index: Any, size: int) -> Any:
    """The same as an indexed write."""
    zeros = np.broadcast_to(np.zeros((), getattr(x, "_held", x).dtype), (*x.shape[:-1], size))
    arrays, at = _places(index)
    return index_put(zeros, x, *arrays, index=at)


def _read(g: Any, index: Any) -> Any:
    arrays, at = _places(index)
    return read_back(g, arrays, tuple(g.shape), at)


unpool = Op(
    _unpool,
    kind="linalg",
    linear=True,
    exact=True,
    inputs=("x", "index"),
    output="y",
    internal=True,
    label="max_unpool",
    checks=lambda row: row.inputs[1:],
    vjp=(lambda g, index: _read(g, index), None),
    lower=_written,
    shape=lambda x, index, size: Spec((*x.shape[:-1], size), x.dtype),
    samples=lambda: [([(2, 3), np.array([[4, 0, 1], [2, 3, 0]])], {"size": 5}), ([(2,), np.array([0, 2])], {"size": 3})],
    oracle="np.array([[sum(v for v, j in zip(row, at) if j == i) for i in range(size)] for row, at in"
    " zip(np.atleast_2d(x), np.atleast_2d(index))]).reshape(*x.shape[:-1], size)",
)
"""Zeros with the elements of `x` at the places along the last dimension that `index`, of its shape, names. A place that is
named several times keeps the last one, to which its cotangent goes."""

register(globals())
