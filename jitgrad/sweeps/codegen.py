"""From the phases of a plan to LLVM text.

The text of a phase is one function `void f(i64* table)`. The table holds, in this order, the addresses of the arrays
it reads and writes, of temporaries, of the cells in which single numbers live (one array for each dtype), of the
constants and of the sizes. Sizes, strides and constants are data and not text, so another shape, or another
constant, needs no new machine code.

A loop runs over W lanes at a time, explicitly; the last, incomplete vector is masked. Sums of floats are kept in W
float64 accumulators, added up in a fixed order: the result is the same on every machine, and as accurate as a sum in
float64.
"""

from __future__ import annotations

import math

import numpy as np

from jitgrad.sweeps.expressions import evaluate
from jitgrad.sweeps.function import Function, moved
from jitgrad.sweeps.lanes import DTYPES, Block, Lane
from jitgrad.sweeps.layouts import Access, is_number, space
from jitgrad.sweeps.loops import LoopEmitter
from jitgrad.sweeps.products import emit_product
from jitgrad.sweeps.segments import Nest, Phase, Plan
from jitgrad.tape import CONST, Row

BAKED = frozenset({0.0, 1.0, -1.0, 2.0, 0.5, -0.5, -2.0, float("inf"), float("-inf")})
TILE_BYTES = 96 * 1024
"""What the loops of a nest may leave for each other in one tile: what a second-level cache holds with ease."""

LEAST_ROWS = 16
"""A tile has a multiple of this, so that loops over its rows fill their vectors."""


class Emitter(Function):
    """The text of one phase, and what its table must hold."""

    def __init__(self, phase: Phase, plan: Plan, cells: dict[str, dict[Row, int]]) -> None:
        super().__init__()
        self.plan = plan
        self.stored = plan.stored
        self.cells = cells
        self.arrays: list[Row] = []
        self.written: set[Row] = set()
        self.temporaries: list[tuple[np.dtype, int]] = []  # dtype and number of elements
        self.tiles: dict[Row, str] = {}
        self.private: dict[Row, str] = {}
        self.constants: list[float] = []
        self.sizes: list[int] = []
        self.numbers: dict[Row, Lane] = {}
        self.symbols: dict[str, int] = {}  # functions that the text calls, and where they are
        for level in phase.ordered():
            for row in level.numbers:
                self._number(row)
            for nest in level.nests.values():
                self._nest(nest)
            for row in level.products:
                emit_product(self, row)
        self.flush()

    def text(self, name: str) -> str:
        """The module."""
        slots = [f"array{i}" for i in range(len(self.arrays))] + [f"temporary{i}" for i in range(len(self.temporaries))]
        return self.define(name, [*slots, *(f"cells.{kind}" for kind in self.cells), "constants", "sizes"])

    # Memory.

    def array(self, row: Row, *, written: bool = False) -> str:
        """The pointer to the array in which the value of a row is, or is to be."""
        while row in self.plan.home:
            row = self.plan.home[row]
        if row in self.tiles:
            return self.tiles[row]
        if row in self.plan.native and row not in self.plan.escaping:
            if row not in self.private:
                self.private[row] = self.temporary(row.dtype, math.prod(row.shape))
            return self.private[row]
        if row not in self.arrays:
            self.arrays.append(row)
        if written:
            self.written.add(row)
        return f"%array{self.arrays.index(row)}"

    def temporary(self, dtype: np.dtype, size: int) -> str:
        """The pointer to memory that only this function uses."""
        self.temporaries.append((np.dtype(dtype), size))
        return f"%temporary{len(self.temporaries) - 1}"

    def size(self, n: int) -> Lane:
        """A size, read from the table."""
        self.sizes.append(n)
        at = self.entry.address("%sizes", len(self.sizes) - 1, "i64")
        return self.entry.load(at, "i64", 1)

    # Single numbers.

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

    def _number(self, row: Row) -> None:
        values = [moved(self.block, self._read(a)) for a in self.plan.operands(row)]
        self.keep_number(row, evaluate(row, values, self.block))

    def _read(self, a: Access) -> Lane:
        """One element, as a number."""
        if is_number(a.source):
            return self.number(a.source)
        kind = DTYPES[str(a.source.dtype)]
        at = self.size(a.offset)
        return self.block.load(self.block.address(self.array(a.source), moved(self.block, at), kind), kind, 1)

    # Nests.

    def _nest(self, nest: Nest) -> None:
        """The loops of a nest, for one tile after the other where there are several stages."""
        tiled = len(nest.stages) > 1
        loops = nest.loops()
        tile = self._tile(nest) if tiled else nest.lead
        for loop in loops:
            for row in loop.items:
                if row in self.plan.local:
                    self.tiles[row] = self.temporary(row.dtype, tile * math.prod(space(row.shape)[1:]))
        emitters = [LoopEmitter(self, loop, tile, tiled) for loop in loops]
        reductions = [r for e in emitters for r in e.reductions]
        lead = self.size(nest.lead)
        self.count += 1
        name, step = f"T{self.count}", self.size(tile)
        for r in reductions:
            r.before_nest()
        start, rows = None, lead
        if tiled:
            start = self.open(name, lead, step=step)
            left = moved(self.block, lead) - start
            rows = (left < step).select(left, step)
        for e in emitters:
            e.emit(start, rows)
        if tiled:
            self.close(name, moved(self.block, step))
        for r in reductions:
            r.after_nest()

    def _tile(self, nest: Nest) -> int:
        """How far along its first dimension the loops of a nest go before the next one starts."""
        widest = max(math.prod(loop.space[1:]) for loop in nest.loops())
        local = {row for loop in nest.loops() for row in loop.items if row in self.plan.local}
        row_bytes = sum(row.dtype.itemsize * math.prod(space(row.shape)[1:]) for row in local) + 4 * widest
        rows = max(TILE_BYTES // max(row_bytes, 1), LEAST_ROWS)
        return max(min(rows - rows % LEAST_ROWS, nest.lead), 1)
