"""What a program hands out: arrays that kernels wrote, or copies of what belongs to somebody else."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from jitgrad.sweeps.plan.plan import Plan
from jitgrad.tape.device_array import DeviceArray
from jitgrad.tape.row import CONST, Row

SPARE_ARRAYS = 3
"""How many arrays are kept for each output, to be used again once nobody refers to them."""


class Output(NamedTuple):
    """An output of a tape: all that `source` has in memory, in the shape of the row; or, `copied`, perhaps a part of it."""

    row: Row
    source: Row
    copied: bool


def outputs_of(rows: Sequence[Row], plan: Plan, leaves: Collection[Row]) -> list[Output]:
    """How the outputs of a plan come about; what is in the memory of one that goes before is copied."""
    found: list[Output] = []
    for row in rows:
        out = _output_of(row, plan, leaves)
        taken = any(out.source is other.source for other in found if not other.copied)
        found.append(out._replace(copied=out.copied or taken))
    return found


def _output_of(row: Row, plan: Plan, leaves: Collection[Row]) -> Output:
    reshaped = plan.results.get(row)
    if reshaped is not None:
        return Output(row, plan.owner(reshaped), False)
    source = plan.layouts.view(row)[0]
    mine = row not in leaves and row.op is not CONST and (row in plan.native or source is row)
    return Output(row, plan.owner(row) if mine else source, not mine)


class Fresh:
    """Arrays for the outputs of a program: those that nobody refers to any more, or new ones.

    Most often a whole set is unused, which is found out at once; else each output is looked for by itself. An array is taken
    before its references are counted, so that two threads cannot find the same one unused. With several streams an array that
    nobody refers to may still be read by another one: then each is new.
    """

    def __init__(self, compute: Any, rows: Sequence[Row], spare: int = SPARE_ARRAYS) -> None:
        self._compute, self._pool = compute, compute.pool
        self._specs = [(row.shape, row.dtype) for row in rows]
        self._sets: list[list[DeviceArray | None]] = [[None] * len(rows) for _ in range(spare)]
        self._unused, self._unused_one = _counts_of_unused(len(rows))

    def arrays(self) -> list[DeviceArray]:
        """One for each output."""
        if self._pool.streams > 1:
            return [self._compute.empty(*spec) for spec in self._specs]
        for kept in self._sets:
            arrays: Any = kept.copy()
            if list(map(sys.getrefcount, arrays)) == self._unused:
                return arrays
        return [self._one(k) for k in range(len(self._specs))]

    def _one(self, k: int) -> DeviceArray:
        for kept in self._sets:
            array = kept[k]
            if array is not None and sys.getrefcount(array) == self._unused_one:
                return array
        array = self._compute.empty(*self._specs[k])
        for kept in self._sets:
            if kept[k] is None:
                kept[k] = array
                break
        return array

    def release(self) -> None:
        """Let go of all."""
        for kept in self._sets:
            kept[:] = [None] * len(kept)


def _counts_of_unused(n: int) -> tuple[list[int], int]:
    """What `getrefcount` says in `Fresh` of `n` arrays that are in one set only, of all of them and of one; it depends on the
    interpreter."""
    kept = [object() for _ in range(n + 1)]
    copy = kept.copy()
    counts = list(map(sys.getrefcount, copy))[:n]
    del copy
    one = kept[0]
    return counts, sys.getrefcount(one)
