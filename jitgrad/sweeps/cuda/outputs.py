"""What a program hands out: arrays that kernels wrote, or copies of what belongs to somebody else."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Collection, Sequence
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


def fresh_arrays(compute: Any, row: Row, spare: int = SPARE_ARRAYS) -> tuple[Callable[[], DeviceArray], deque[DeviceArray]]:
    """A function that gives an array for a row: one that nobody refers to any more, or a new one; and the arrays that it keeps.

    Each is out of the queue while it is looked at, so that two threads cannot find the same one unused. With several streams an
    array that nobody refers to may still be read by another one: then each is new.
    """
    queue: deque[DeviceArray] = deque()
    shape, dtype, pool, unused = row.shape, row.dtype, compute.pool, _count_of_one()

    def fresh() -> DeviceArray:
        for _ in range(len(queue) if pool.streams == 1 else 0):
            try:
                array = queue.popleft()
            except IndexError:
                break
            queue.append(array)
            if sys.getrefcount(array) == unused:
                return array
        array = compute.empty(shape, dtype)
        if len(queue) < spare:
            queue.append(array)
        return array

    return fresh, queue


def _count_of_one() -> int:
    """What `getrefcount` says of an array in a queue that only one variable refers to; it depends on the interpreter."""
    queue = deque([object()])
    array = queue[0]
    return sys.getrefcount(array)
