"""Tapes of very small arrays, written out element by element.

A step of a loop often computes with vectors of two or three numbers. Loops over these cost more than what is in them; as numbers
they stay in registers. What is movement at the level of arrays (slices, stacks, transposes) is nothing at all here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jitgrad.ops.arithmetic import add, mul
from jitgrad.ops.choosing import cast
from jitgrad.ops.indexing import getitem, index_add, index_put, within
from jitgrad.ops.linalg import matmul
from jitgrad.ops.movement import reshape, sum
from jitgrad.ops.table import Op
from jitgrad.sweeps.plan.folds import held_as
from jitgrad.sweeps.plan.indexing import arrays_of, is_indexed
from jitgrad.sweeps.plan.layouts import contiguous
from jitgrad.sweeps.plan.machine_types import NUMPY, kind_of
from jitgrad.tape.row import CONST, LEAF, NOTHING, Row, constant
from jitgrad.tape.tape import Tape

MOST_ELEMENTS, MOST_ROWS = 9, 600
"""The largest array that is written out, and how many rows there may be in the end."""


class _TooLarge(Exception):
    """The tape is not one to be written out."""


def written_out(tape: Tape) -> Tape | None:
    """The tape on numbers, whose outputs are the elements of its outputs; None if it is not of very small arrays alone."""
    computed = [row for row in tape.rows if row.op not in (LEAF, CONST) and row not in tape.inputs]
    if not any(row.shape for row in computed) or any(row.op.several or math.prod(row.shape) > MOST_ELEMENTS for row in computed):
        return None
    try:
        writer = _Writer(tape)
        outputs = [writer.of(row) for row in tape.outputs]
    except _TooLarge:
        return None
    return Tape(tape.inputs, [element for many in outputs for element in many])


class _Writer:
    """The elements of the rows of a tape."""

    def __init__(self, tape: Tape) -> None:
        self.elements: dict[Row, list[Row]] = {}
        self.count = 0
        ends = set(tape.inputs)
        for row in tape.rows:
            if row not in ends and row.op is not LEAF:
                self.elements[row] = self._written(row)

    def of(self, row: Row) -> list[Row]:
        """The elements of a row, in order; those of an input, which is in memory, are read there."""
        found = self.elements.get(row)
        if found is None:
            found = self.elements[row] = self._read(row)
        return found

    def _read(self, row: Row) -> list[Row]:
        if row.shape == ():
            return [row]
        size = math.prod(row.shape)
        if size > MOST_ELEMENTS:
            raise _TooLarge
        places = [tuple(int(i) for i in np.unravel_index(k, row.shape)) for k in range(size)]
        return [self._new(getitem, (row,), {"index": place}, row.dtype) for place in places]

    def _new(self, op: Op, inputs: Sequence[Row], params: dict[str, Any], dtype: np.dtype) -> Row:
        self.count += 1
        if self.count > MOST_ROWS:
            raise _TooLarge
        return Row(op, tuple(inputs), params, (), dtype, False)

    def _written(self, row: Row) -> list[Row]:
        op = row.op
        if op is CONST:
            return [constant(value) for value in np.asarray(row.params["value"]).ravel()]
        if op.elementwise:
            return [self._new(op, parts, row.params, row.dtype) for parts in zip(*map(self.of, row.inputs))]
        if op.fold is not None:
            return self._folded(row)
        if op.running is not None:
            return self._running(row)
        if op is matmul:
            return self._product(row)
        if is_indexed(row):
            return self._indexed(row)
        if op in (index_add, index_put):
            return self._changed(row)
        if op.moves or op is getitem:
            return self._moved(row)
        raise _TooLarge

    def _moved(self, row: Row) -> list[Row]:
        """The row itself, run on the numbers of the elements, says where each comes from; 0 is a zero."""
        numbers, known, start = [], [constant(row.dtype.type(0))], 1
        for x in row.inputs:
            size = math.prod(x.shape)
            if size > 100 * MOST_ELEMENTS:
                raise _TooLarge
            numbers.append(np.arange(start, start + size).reshape(x.shape))
            start += size
        picked = np.ravel(row.op.run(*numbers, **row.params)).tolist()
        if len(row.inputs) == 1 and row.inputs[0] not in self.elements:  # some elements of a large input
            place = {k: tuple(int(i) for i in np.unravel_index(k - 1, row.inputs[0].shape)) for k in picked if k}
            if row.inputs[0].shape:
                return [self._new(getitem, row.inputs, {"index": place[k]}, row.dtype) if k else known[0] for k in picked]
        known += [element for x in row.inputs for element in self.of(x)]
        return [known[k] for k in picked]

    def _folded(self, row: Row) -> list[Row]:
        x, dim = row.inputs[0], row.params["dim"]
        kept = [1 if d in dim else n for d, n in enumerate(x.shape)]
        groups = np.broadcast_to(np.arange(math.prod(kept)).reshape(kept), x.shape).ravel()
        parts: list[list[Row]] = [[] for _ in range(math.prod(kept))]
        for k, element in zip(groups.tolist(), self.of(x)):
            parts[k].append(element)
        return [self._fold(row.op.fold.join, many, self._wide(row), row.dtype) for many in parts]

    def _running(self, row: Row) -> list[Row]:
        """Element after element; an element that has gone before is one step back along the dimension."""
        step, (join, *more) = contiguous(row.shape)[row.params["dim"]], row.op.running.steps
        if more or len(join.inputs) != 2:
            raise _TooLarge
        found: list[Row] = []
        for k, x in enumerate(self.of(row.inputs[0])):
            x, first = self._as(x, self._wide(row)), k // step % row.shape[row.params["dim"]] == 0
            found.append(x if first else self._new(join, (found[k - step], x), NOTHING, x.dtype))
        return [self._as(x, row.dtype) for x in found]

    @staticmethod
    def _wide(row: Row) -> np.dtype:
        """The dtype of what is added up or multiplied, as in loops."""
        return NUMPY[held_as(row.op.fold or row.op.running or sum.fold, kind_of(row.dtype))]

    def _fold(self, op: Op, many: list[Row], wide: np.dtype, dtype: np.dtype) -> Row:
        if not many:
            raise _TooLarge
        total = self._as(many[0], wide)
        for x in many[1:]:
            total = self._new(op, (total, self._as(x, wide)), NOTHING, wide)
        return self._as(total, dtype)

    def _as(self, x: Row, dtype: np.dtype) -> Row:
        return x if x.dtype == dtype else self._new(cast, (x,), {"dtype": dtype}, dtype)

    def _product(self, row: Row) -> list[Row]:
        x, y = (np.array([*self.of(x), None], object)[:-1].reshape(x.shape) for x in row.inputs)
        found = []
        for place in np.ndindex(row.shape):
            *batch, i, j = place
            pairs = zip(x[(*batch, i)], y[(*batch, slice(None), j)])
            found.append(self._fold(add, [self._new(mul, pair, NOTHING, row.dtype) for pair in pairs], row.dtype, row.dtype))
        return found

    def _changed(self, row: Row) -> list[Row]:
        found, value = list(self.of(row.inputs[0])), self.of(row.inputs[1])
        places = np.arange(len(found)).reshape(row.shape)[row.params["index"]]
        sources = np.broadcast_to(np.arange(len(value)).reshape(row.inputs[1].shape), np.shape(places))
        for k, v in zip(np.ravel(places).tolist(), np.ravel(sources).tolist()):
            found[k] = self._new(add, (found[k], value[v]), NOTHING, row.dtype) if row.op.adds else value[v]
        return found

    def _indexed(self, row: Row) -> list[Row]:
        """Elements at computed places are read from an input; nothing else has an address."""
        if row.op is within:
            return [self._new(within, (x,), row.params, row.dtype) for x in self.of(row.inputs[0])]
        if row.op is not getitem or row.inputs[0] in self.elements or any(len(self.of(a)) != 1 for a in arrays_of(row)):
            raise _TooLarge
        arrays = [self.of(a)[0] if a.shape == () else self._shaped(a) for a in arrays_of(row)]
        picked = Row(getitem, (row.inputs[0], *arrays), row.params, row.shape, row.dtype, False)
        if row.shape == ():
            return [picked]
        return self._read(picked)

    def _shaped(self, a: Row) -> Row:
        return Row(reshape, (self.of(a)[0],), {"shape": a.shape}, a.shape, a.dtype, False)
