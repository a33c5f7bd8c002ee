"""The machine: a tape as a list of instructions for code that is compiled already, so that no tape needs compiling.

Every value of the tape lives in one block of memory, a number in a slot of 8 bytes, an array in as many slots as it
needs. Rows of numbers, elementwise rows over arrays, reductions, and movements of small arrays are instructions (see
`handlers`, and `assembly` for how they are put together); NumPy runs the other rows in between, on arrays that show the
same memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.base.quiet import quietly
from jitgrad.sweeps.code.compile import trampolines
from jitgrad.sweeps.machine.assembly import Assembly, Numpy
from jitgrad.sweeps.plan.segments import MOST_ROWS
from jitgrad.tape.row import Row
from jitgrad.tape.tape import Tape

LONG = 20_000
"""The number of elements and rows from which on other Python threads may run meanwhile."""

MANY_ROWS, FEW_ELEMENTS = 200, 16
"""A tape of so many rows, of so many elements on average, is not worth compiling: that takes a millisecond or so a row,
and makes a row a few nanoseconds quicker."""


def is_better(tape: Tape) -> bool:
    """Whether the machine is a better choice for a tape than compiling it."""
    rows = len(tape)
    if rows <= MANY_ROWS or any(row.op.holds_tapes for row in tape.rows):
        return False
    return rows > MOST_ROWS or sum([math.prod(row.shape) for row in tape.rows if not row.op.several]) <= FEW_ELEMENTS * rows


def _aligned(slots: int) -> np.ndarray:
    """Memory that begins at a multiple of 64 bytes, with room for vectors that reach past the end of the last array."""
    room = np.empty(slots + 24, np.int64)
    return room[-(trampolines().address_of(room) // 8) % 8 :]


class Workspace:
    """The memory of one run, and the arrays in it that Python reads and writes."""

    def __init__(self, code: Assembly) -> None:
        self.memory = _aligned(code.slots)
        for slot, value in code.constants.items():
            self.view(slot, value.shape, value.dtype)[...] = value
        self.leaves = [self.view(*place) for place in code.leaves]
        self.outputs = [self.view(*place) for place in code.outputs]
        self.steps: list[tuple[Any, Callable | None, Any]] = [
            ([self.view(*place) for place in step.reads], step.run, [self.view(*place) for place in step.writes])
            if isinstance(step, Numpy)
            else (step, None, None)
            for step in code.steps
        ]

    def view(self, slot: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """The array that begins in a slot."""
        size = math.prod(shape) * dtype.itemsize
        return self.memory.view(np.uint8)[8 * slot : 8 * slot + size].view(dtype).reshape(shape)


class Machine:
    """A tape ready to run: `run(*values)` gives the values of its outputs for the values of `leaves`.

    Several threads may run it at once; each run has a workspace to itself.
    """

    def __init__(self, tape: Tape, leaves: Sequence[Row]) -> None:
        self._code = code = Assembly(tape, leaves)
        self.steps, self.handlers, self.slots = code.steps, code.handlers, code.slots
        self._spare: list[Workspace] = []

    def release(self) -> None:
        """Give the memory back that is kept for the next run."""
        self._spare.clear()

    def run(self, *values: Any) -> list[Any]:
        """The values of the outputs."""
        try:
            space = self._spare.pop()
        except IndexError:
            space = Workspace(self._code)
        for view, value in zip(space.leaves, values):
            view[...] = value
        call = trampolines().call_nogil if self._code.work > LONG else trampolines().call
        enter, memory = self._code.enter.address, space.memory
        for code, numpy, write in space.steps:
            if numpy is None:
                call(enter, code, memory)
            else:
                found = quietly(numpy, *[view if view.ndim else view[()] for view in code])
                for view, value in zip(write, found):
                    view[...] = value
        results = [view.copy() if view.ndim else view[()] for view in space.outputs]
        self._spare.append(space)
        return results
