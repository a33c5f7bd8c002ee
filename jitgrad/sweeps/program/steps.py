"""The steps of a program: a kernel of machine code, or a call of NumPy's."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jitgrad.sweeps.code.compile import Kernel
from jitgrad.sweeps.program.direct import CallPlan
from jitgrad.tape.row import Row

if TYPE_CHECKING:
    from jitgrad.sweeps.program.program import Program


LONG = 20_000
"""The size of a loop from which on other Python threads may run meanwhile (giving up the lock costs a little)."""
Cell = tuple[str, int]
"""Where a single number lives: the array of its dtype, and the place there."""


class Native(NamedTuple):
    """One call of machine code: the arrays of its table, by place, and what else the table holds."""

    kernel: Kernel
    arrays: list[tuple[int, tuple[int, ...] | None, np.dtype, bool]]  # place; shape if written; dtype; may get out
    constants: np.ndarray
    sizes: np.ndarray
    temporaries: list[tuple[np.dtype, int]]
    rows: int
    loops: int
    longest: float  # elements of its largest loop
    chunks: int  # how many pieces several threads may share; 0 if it is run as a whole
    flagged: bool  # whether its table ends with a flag, for what may be wrong with values
    text: str


class Interpreted(NamedTuple):
    """One row that NumPy runs."""

    row: Row
    run: Callable
    reads: list[tuple[int, Cell | None, tuple[int, ...]]]
    write: int
    cell: Cell | None
    why: str


class Direct(NamedTuple):
    """How a program runs in one C function: `enter(plan.address, *arguments, *(make() for make in made))`."""

    enter: Callable
    plan: CallPlan
    made: list[Callable[[], np.ndarray]]
    program: Program  # whose code and constants the plan points to


def _from_cell(cell: Cell, shape: tuple[int, ...]) -> str:
    value = f"cells_{cell[0]}[{cell[1]}]"
    return value if shape == () else f"full({shape}, {value})"


def _count_of_one() -> int:
    """What `getrefcount` says of an array that only one variable refers to; it depends on the interpreter."""
    array = np.empty(0)
    return sys.getrefcount(array)
