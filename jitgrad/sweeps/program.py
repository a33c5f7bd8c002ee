"""A compiled tape: machine code for its native phases, NumPy for the other rows, and the buffers between them."""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jitgrad.record import quiet
from jitgrad.sweeps.codegen import Emitter
from jitgrad.sweeps.native import Kernel, compile_text, trampolines
from jitgrad.sweeps.segments import Plan, make_plan, why_not_native
from jitgrad.tape import CONST, Row, Tape

_NUMPY = {"f16": np.float16, "f32": np.float32, "f64": np.float64, "i32": np.int32, "i64": np.int64, "i1": np.bool_}
_kernels: dict[str, Kernel] = {}
SPARE_BUFFERS = 3
"""How many arrays are kept for each output, to be used again once nobody refers to them."""

Cell = tuple[str, int]
"""Where a single number lives: the array of its dtype, and the place there."""


@dataclass
class Native:
    """One call of machine code: the arrays of its table, by place, and what else the table holds."""

    kernel: Kernel
    arrays: list[tuple[int, tuple[int, ...] | None, np.dtype, bool]]  # place; shape if written; dtype; may get out
    constants: np.ndarray
    sizes: np.ndarray
    temporaries: list[tuple[np.dtype, int]]
    rows: int
    text: str


@dataclass
class Interpreted:
    """One row that NumPy runs."""

    row: Row
    run: Callable
    reads: list[tuple[int, Cell | None, tuple[int, ...]]]
    write: int
    cell: Cell | None
    why: str


class Workspace:
    """What one run of a program writes into: cells for single numbers, arrays for what is between its loops."""

    def __init__(self, program: Program) -> None:
        self.cells = {kind: np.zeros(max(len(places), 1), _NUMPY[kind]) for kind, places in program.cells.items()}
        for (kind, place), value in program.number_constants:
            self.cells[kind][place] = value
        self.arrays: dict[int, np.ndarray] = {}
        self.tails = [
            (*[np.empty(max(n, 1), dtype) for dtype, n in step.temporaries], *self.cells.values(), step.constants, step.sizes)
            for step in program.steps if isinstance(step, Native)
        ]  # fmt: skip


class Program:
    """A tape ready to run: `run(values)` gives the values of its outputs for the values of inputs and captured leaves.

    Several threads may run a program at once; each run has a workspace to itself.
    """

    def __init__(self, tape: Tape, leaves: Sequence[Row]) -> None:
        self.tape = tape
        self.plan: Plan = make_plan(tape)
        self.cells: dict[str, dict[Row, int]] = {}
        self._places: dict[Row, int] = {}
        for leaf in leaves:
            self._place(leaf)
        # The cells of single numbers come into being while the phases are written, so all are written first.
        emitters = [Emitter(p, self.plan.stored, self.cells) if p.stages else None for p in self.plan.phases]
        escaping = set(tape.outputs) | {x for p in self.plan.phases for row in p.others for x in row.inputs}
        self.steps: list[Native | Interpreted] = []
        for phase, emitter in zip(self.plan.phases, emitters):
            if emitter is not None:
                self.steps.append(self._native(emitter, escaping, len(phase.native_rows())))
            self.steps += [self._interpreted(row) for row in phase.others]
        constants = [row for row in tape.rows if row.op is CONST]
        self.number_constants = [
            (cell, row.params["value"]) for row in constants if (cell := self._cell(row)) is not None
        ]
        self._constants = [(self._place(row), row.params["value"]) for row in constants]
        self._ways_in = [(self._cell(leaf), self._place(leaf)) for leaf in leaves]
        computed = {step.row for step in self.steps if isinstance(step, Interpreted) and step.row.op.view}
        given = set(leaves)
        self._ways_out = [
            (None if row in given else self._cell(row), self._place(row), row.shape, row in computed) for row in tape.outputs
        ]
        self._size = len(self._places)
        self._spare = [Workspace(self)]
        self._pool: dict[int, list[np.ndarray]] = {}
        self._lock = threading.Lock()
        self._call = trampolines().call

    def _place(self, row: Row) -> int:
        return self._places.setdefault(row, len(self._places))

    def _cell(self, row: Row) -> Cell | None:
        return next(((kind, places[row]) for kind, places in self.cells.items() if row in places), None)

    def _native(self, emitter: Emitter, escaping: set[Row], rows: int) -> Native:
        name = "f" + hashlib.sha256(emitter.text("f").encode()).hexdigest()[:16]
        text = emitter.text(name)
        kernel = _kernels.get(text)
        if kernel is None:
            kernel = _kernels[text] = compile_text(text, name)
        arrays = [
            (self._place(row), row.shape if row in emitter.written else None, row.dtype, row in escaping)
            for row in emitter.arrays
        ]
        constants = np.array(emitter.constants or [0.0])
        return Native(kernel, arrays, constants, np.array(emitter.sizes or [0], np.int64), emitter.temporaries, rows, text)

    def _interpreted(self, row: Row) -> Interpreted:
        run = row.op.run
        if row.params:
            params = row.params
            run = lambda *values: row.op.run(*values, **params)
        reads = [(self._place(x), self._cell(x), x.shape) for x in row.inputs]
        return Interpreted(row, run, reads, self._place(row), self._cell(row), why_not_native(row))

    def run(self, values: Sequence[Any]) -> list[Any]:
        """The values of the outputs (arrays and NumPy scalars) for values of the leaves of the right shapes and dtypes."""
        try:
            space = self._spare.pop()
        except IndexError:
            space = Workspace(self)
        try:
            return self._run(values, space)
        finally:
            self._spare.append(space)

    def _run(self, values: Sequence[Any], space: Workspace) -> list[Any]:
        cells = space.cells
        env: list[Any] = [None] * self._size
        for value, (cell, place) in zip(values, self._ways_in):
            if cell is not None:
                cells[cell[0]][cell[1]] = value if value.__class__ is not np.ndarray else value.reshape(())
            env[place] = value
        for place, value in self._constants:
            env[place] = value
        native = 0
        for step in self.steps:
            if step.__class__ is Native:
                self._call_native(step, env, space, space.tails[native])
                native += 1
            else:
                self._call_numpy(step, env, cells)
        out = []
        for cell, place, shape, copies in self._ways_out:
            if cell is not None:
                value = cells[cell[0]][cell[1]]
                out.append(value if shape == () else np.full(shape, value))
            else:
                value = env[place]
                out.append(value.copy() if copies else value)
        return out

    def _call_native(self, step: Native, env: list, space: Workspace, tail: tuple) -> None:
        arrays: list[Any] = []
        for place, shape, dtype, escapes in step.arrays:
            if shape is None:
                array = env[place]
                if not array.flags.c_contiguous:
                    array = env[place] = np.ascontiguousarray(array)
            elif escapes:
                array = env[place] = self._fresh(place, shape, dtype)
            else:
                array = space.arrays.get(place)
                if array is None:
                    array = space.arrays[place] = np.empty(shape, dtype)
                env[place] = array
            arrays.append(array)
        self._call(step.kernel.address, *arrays, *tail)

    def _fresh(self, place: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """An array for a result: one of an earlier call that nobody refers to any more, or a new one."""
        with self._lock:
            pool = self._pool.setdefault(place, [])
            for array in pool:
                if sys.getrefcount(array) == _UNUSED:
                    return array
            array = np.empty(shape, dtype)
            if len(pool) < SPARE_BUFFERS:
                pool.append(array)
            return array

    def _call_numpy(self, step: Interpreted, env: list, cells: dict) -> None:
        inputs = []
        for place, cell, shape in step.reads:
            value = env[place]
            if value is None and cell is not None:
                value = cells[cell[0]][cell[1]]
                value = value if shape == () else np.full(shape, value)
            inputs.append(value)
        value = quiet.run(step.run, *inputs)
        env[step.write] = value
        if step.cell is not None:
            cells[step.cell[0]][step.cell[1]] = np.asarray(value).reshape(())


for _array in [np.empty(0)]:
    _UNUSED = sys.getrefcount(_array)  # what an array has that only a list and a loop variable refer to
