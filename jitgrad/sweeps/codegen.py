"""From the phases of a plan to LLVM text.

The text of a phase is one function `void f(i64* table)`. The table holds, in this order, the addresses of the arrays
it reads and writes, of the cells in which single numbers live (one array for each dtype), of the constants and of the
sizes. Sizes and constants are data and not text, so another shape, or another constant, needs no new machine code.

A loop runs over W lanes at a time, explicitly; the last, incomplete vector is masked. Sums of floats are kept in W
float64 accumulators, added up in a fixed order: the result is the same on every machine, and as accurate as a sum in
float64.
"""

from __future__ import annotations

import numpy as np

from jitgrad.sweeps.expressions import evaluate
from jitgrad.sweeps.lanes import DTYPES, Block, Lane
from jitgrad.sweeps.loops import LoopEmitter, moved
from jitgrad.sweeps.segments import Phase, access
from jitgrad.tape import CONST, Row

BAKED = frozenset({0.0, 1.0, -1.0, 2.0, 0.5, -0.5, -2.0, float("inf"), float("-inf")})


class Emitter:
    """The text of one phase, and what its table must hold."""

    def __init__(self, phase: Phase, stored: set[Row], cells: dict[str, dict[Row, int]]) -> None:
        self.stored = stored
        self.cells = cells
        self.arrays: list[Row] = []
        self.written: set[Row] = set()
        self.temporaries: list[tuple[np.dtype, int]] = []  # float64 accumulators: dtype and number of elements
        self.constants: list[float] = []
        self.sizes: list[int] = []
        self.declares: set[str] = set()
        self.pieces: list[str] = []
        self.allocas: list[str] = []
        self.numbers: dict[Row, Lane] = {}
        self.count = 0
        self.entry = Block(1, "e", self.declares)
        self.block = self.straight()
        for k in sorted(phase.stages):
            stage = phase.stages[k]
            for row in stage.scalars:
                self._scalar(row)
            for loop in stage.loops.values():
                LoopEmitter(self, loop).emit()
        self.flush()

    # The function around the loops.

    def text(self, name: str) -> str:
        """The module."""
        slots = [f"array{i}" for i in range(len(self.arrays))] + [f"temporary{i}" for i in range(len(self.temporaries))]
        slots += [f"cells.{kind}" for kind in self.cells] + ["constants", "sizes"]
        loads = [
            f"  %{slot}.at = getelementptr i64, ptr %table, i64 {i}\n  %{slot} = load ptr, ptr %{slot}.at"
            for i, slot in enumerate(slots)
        ]
        body = "\n".join([*self.allocas, *loads, str(self.entry), *self.pieces])
        head = "\n".join(sorted(self.declares))
        return f"{head}\n\ndefine void @{name}(ptr %table) {{\nentry:\n{body}\n  ret void\n}}\n"

    def straight(self) -> Block:
        """A new block of scalar code, which runs after everything so far."""
        self.count += 1
        return Block(1, f"s{self.count}.", self.declares)

    def flush(self) -> None:
        """End the current straight code."""
        self.pieces.append(str(self.block))
        self.block = self.straight()

    def array(self, row: Row, *, written: bool = False) -> str:
        """The pointer to the array in which the value of a row is, or is to be."""
        if row not in self.arrays:
            self.arrays.append(row)
        if written:
            self.written.add(row)
        return f"%array{self.arrays.index(row)}"

    def size(self, n: int) -> Lane:
        """A size, read from the table."""
        self.sizes.append(n)
        at = self.entry.address("%sizes", len(self.sizes) - 1, "i64")
        return self.entry.load(at, "i64", 1)

    def number(self, row: Row) -> Lane:
        """A single number: a constant, one computed before in this function, or one in a cell."""
        found = self.numbers.get(row)
        if found is None:
            found = self.numbers[row] = self._constant(row) if row.op is CONST else self._from_cell(row)
        return found

    def _constant(self, row: Row) -> Lane:
        kind, value = DTYPES[str(row.dtype)], row.params["value"].reshape(())[()]
        if kind[0] != "f" or float(value) in BAKED or value != value:
            return self.entry.const(value.item(), kind)
        self.constants.append(float(value))
        at = self.entry.address("%constants", len(self.constants) - 1, "f64")
        return self.entry.load(at, "f64", 1).to(kind)

    def _cell(self, row: Row, block: Block) -> str:
        kind = DTYPES[str(row.dtype)]
        places = self.cells.setdefault(kind, {})
        return block.address(f"%cells.{kind}", places.setdefault(row, len(places)), kind)

    def _from_cell(self, row: Row) -> Lane:
        return self.entry.load(self._cell(row, self.entry), DTYPES[str(row.dtype)], 1)

    def keep_number(self, row: Row, value: Lane) -> None:
        """A number is known: remember its register, and store it if somebody outside wants it."""
        self.numbers[row] = value
        if row in self.stored:
            self.block.store(value, self._cell(row, self.block))

    def _scalar(self, row: Row) -> None:
        values = [moved(self.block, self.number(access(x, row.shape).source)) for x in row.inputs]
        self.keep_number(row, evaluate(row, values, self.block))
