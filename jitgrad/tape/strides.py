"""How the elements of arrays lie in memory, asked of NumPy on stand-ins: arrays of bytes with the same strides, never read."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from jitgrad.ops.choosing import detach
from jitgrad.ops.complexes import view_as_complex, view_as_real
from jitgrad.ops.indexing import Slot, getitem, part_at
from jitgrad.ops.movement import reshape
from jitgrad.ops.table import Op
from jitgrad.tape.row import Row

ANYTHING = np.zeros(1, np.int8)  # one byte an element: strides in bytes are strides in elements
_START = ANYTHING.__array_interface__["data"][0]


def stand_in(shape: tuple[int, ...], strides: tuple[int, ...] | None = None) -> np.ndarray:
    """An array of bytes with these strides, in elements, or with its elements in order; never to be read or written."""
    return as_strided(ANYTHING, shape, in_order(shape) if strides is None else strides)


def start_of(part: np.ndarray) -> int:
    """The first element of what was sliced out of a stand-in."""
    return part.__array_interface__["data"][0] - _START


def shifted(part: np.ndarray, start: int) -> np.ndarray:
    """A stand-in with the same strides, whose first element is that of the number `start`."""
    return as_strided(stand_in((start + 1,))[start:], part.shape, part.strides, writeable=part.flags.writeable)


@functools.lru_cache(4096)
def in_order(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of an array of this shape whose elements are in order without gaps."""
    steps, step = [], 1
    for n in reversed(shape):
        steps.append(step)
        step *= n or 1
    return tuple(reversed(steps))


def part_of(x: np.ndarray, op: Op, params: dict[str, Any]) -> np.ndarray | None:
    """The part of the stand-in `x` that a view looks at; None for a reshape that has to copy, or elements of another size."""
    if op is view_as_real or op is view_as_complex:
        return None
    if op is reshape:
        try:
            return np.reshape(x, params["shape"], copy=False)
        except ValueError:
            return None
    if op is getitem:
        return part_at(x, tuple(0 if isinstance(i, Slot) else i for i in params["index"]))  # whichever: the strides are the same
    return x if op is detach else op.run(x, **params)


def result_of(row: Row, operands: list[np.ndarray]) -> np.ndarray:
    """The stand-in for what `row` computes of stand-ins."""
    op, shape = row.op, row.shape
    if op.in_order or len(shape) < 2 or (op.elementwise and all(x.flags.c_contiguous for x in operands)):
        return stand_in(shape)
    if not op.elementwise or not op.checks(row):  # else zeros might be an error
        with np.errstate(all="ignore"):
            out = np.asarray(op.run(*map(_numbers, operands, row.inputs), **row.params))
        return stand_in(shape, steps_of(out))
    given: Any = [*operands, None]
    flags: Any = [*[["readonly"]] * len(operands), ["writeonly", "allocate"]]
    return stand_in(shape, np.nditer(given, ["zerosize_ok"], flags, [np.dtype(np.int8)] * len(given)).operands[-1].strides)


def _numbers(x: np.ndarray, row: Row) -> np.ndarray:
    """An array of zeros with the strides of a stand-in."""
    ends = [(n - 1) * s for n, s in zip(x.shape, x.strides)] if x.size else []
    low, high = -sum(e for e in ends if e < 0), sum(e for e in ends if e > 0)
    room = np.zeros(low + high + 1, row.dtype)
    return as_strided(room[low:], x.shape, [s * row.dtype.itemsize for s in x.strides])


def steps_of(value: Any) -> tuple[int, ...]:
    return tuple([s // value.itemsize for s in value.strides])


def lies(value: Any) -> tuple[int, ...] | None:
    """How an array lies in memory, for a key: None if in order."""
    return None if not hasattr(value, "flags") or value.flags.c_contiguous else value.strides
