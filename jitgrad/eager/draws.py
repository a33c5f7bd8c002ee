"""Random numbers in eager code: machine code that writes as many as are wanted, made of the rows that a recorded function has."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from jitgrad.base.locks import once
from jitgrad.base.signals import importing
from jitgrad.dtypes import of
from jitgrad.ops.choosing import cast
from jitgrad.ops.random import MAKE
from jitgrad.record.trace import Trace, recording
from jitgrad.tape.handle import Handle, tensor
from jitgrad.tape.row import Leaf
from jitgrad.tape.tape import Tape

CHUNK = 1 << 16
"""How many are written at a time: their places among all, which the machine code reads, then stay in the cache."""
_INT64 = np.dtype(np.int64)

Write = Callable[[Sequence[int], np.ndarray], None]


def written(what: str, dtype: np.dtype, numbers: Sequence[int], count: int) -> np.ndarray:
    """The `count` numbers of a sort that `numbers` say: the key, the first counter, and the bounds of integers."""
    write, made = _loop(what, dtype)
    out = np.empty(count, made)
    write(numbers, out)
    return out if made == dtype else out.astype(dtype)


@once
def _loop(what: str, dtype: np.dtype) -> tuple[Write, np.dtype]:
    """What fills an array of any size, and the dtype of that: NumPy converts to those that machine code does not have. What it
    reads is in memory of one call, so that several threads may be in it."""
    with importing("jitgrad.sweeps.program.program"):
        from jitgrad.passes.simplify import simplify
        from jitgrad.sweeps.code.compile import trampolines
        from jitgrad.sweeps.program.program import Program, Workspace
        from jitgrad.sweeps.program.steps import LONG, Native

    place = Leaf((16,), _INT64, False)
    numbers = [Leaf((), _INT64, False) for _ in range(4 if what == "integers" else 2)]
    tracing = Trace()
    tracing.rows.update(dict.fromkeys((place, *numbers)))
    key, start, *bounds = (tensor(None, row) for row in numbers)

    def make() -> Handle:
        found = MAKE[what](key, start + tensor(None, place), dtype, *bounds)
        return cast(found, dtype=dtype) if of(dtype).machine else found

    out = recording(tracing, make)
    program = Program(simplify(Tape([place, *numbers], [out._row], among=tracing.rows)), [place, *numbers])
    (step,) = program.steps
    if not isinstance(step, Native) or step.sizes.tolist() != [16] or len(step.arrays) != 2 or step.temporaries:
        raise TypeError(f"random {what} numbers are not one loop over one array")
    reads_first = step.arrays[0][1] is None
    space = Workspace.of(program)
    held = list(space[: len(program.cells)])
    ours = list(program.cells).index("i64")
    given_at = [program.cells["i64"][row] for row in numbers]
    call, call_nogil = trampolines().call, trampolines().call_nogil
    address, constants, places = step.kernel.address, step.constants, np.arange(CHUNK)
    cells: list[int] = held[ours].tolist()

    def write(given: Sequence[int], out: np.ndarray, _kept: object = step.kernel) -> None:
        filled = cells.copy()
        for place, number in zip(given_at, given):
            filled[place] = number
        tail = held.copy()
        tail[ours] = now = np.array(filled)
        for begin in range(0, out.size, CHUNK):
            part = out if out.size <= CHUNK else out[begin : begin + CHUNK]
            arrays = (places, part) if reads_first else (part, places)
            (call if part.size < LONG else call_nogil)(address, *arrays, *tail, constants, np.array([part.size]))
            now[given_at[1]] += CHUNK

    return write, out._row.dtype
