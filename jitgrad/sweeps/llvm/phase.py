"""From the phases of a plan to LLVM text.

The text of a phase is one function `void f(i64* table)`. The table holds, in this order, the addresses of the arrays
it reads and writes, of temporaries, of the cells in which single numbers live (one array for each dtype), of the
constants and of the sizes. Sizes, strides and constants are data and not text, so another shape, or another
constant, needs no new machine code.

A loop runs over W lanes at a time, explicitly; the last, incomplete vector is masked. Sums of floats are kept in
float64 accumulators, added up in a fixed order: the result is the same on every machine, and nearly as accurate as a
sum in float64.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from jitgrad.ops.linalg import matmul
from jitgrad.sweeps.code.compile import Kernel
from jitgrad.sweeps.llvm.blocks import Block
from jitgrad.sweeps.llvm.control import emit_control
from jitgrad.sweeps.llvm.expressions import evaluate
from jitgrad.sweeps.llvm.function import Function, moved
from jitgrad.sweeps.llvm.indexed import emit_indexed
from jitgrad.sweeps.llvm.lanes import Lane
from jitgrad.sweeps.llvm.loops import LoopEmitter
from jitgrad.sweeps.llvm.matrices import emit_matrices
from jitgrad.sweeps.llvm.products import emit_product
from jitgrad.sweeps.llvm.running import emit_running
from jitgrad.sweeps.plan import chunks
from jitgrad.sweeps.plan.chunks import chunk_size
from jitgrad.sweeps.plan.layouts import Access, contiguous, is_number, place, space, stand_in
from jitgrad.sweeps.plan.machine_types import kind_of, word_of
from jitgrad.sweeps.plan.plan import Nest, Phase, Plan
from jitgrad.tape.row import CONST, ITEM, Row

BAKED = frozenset({0.0, 1.0, -1.0, 2.0, 0.5, -0.5, -2.0, float("inf"), float("-inf")})
TILE_BYTES = 96 * 1024
"""What the loops of a nest may leave for each other in one tile: what a second-level cache holds with ease."""


class Emitter(Function):
    """The text of one phase, and what its table must hold."""

    def __init__(self, phase: Phase, plan: Plan, cells: dict[str, dict[Row, int]]) -> None:
        super().__init__()
        self.plan = plan
        self.stored = plan.stored
        self.cells = cells
        self.arrays: dict[Row, int] = {}  # their places in the table
        self.written: set[Row] = set()
        self.temporaries: list[tuple[np.dtype, int]] = []  # dtype and number of elements
        self.tiles: dict[Row, str] = {}
        self.private: dict[Row, str] = {}
        self.constants: list[float] = []
        self.sizes: list[int] = []
        self.numbers: dict[Row, Lane] = {}
        self.flagged = False  # whether the table ends with a pointer to a flag
        self.chunks = 0  # into how many pieces the nest of a chunked phase is cut
        self.symbols: dict[str, Kernel] = {}  # functions that the text calls, and where they are
        self.items: dict[Row, list[Row]] = defaultdict(list)  # the results of loops and switches, by these
        for row in (row for level in phase.ordered() for row in level.products if row.op is ITEM):
            self.items[row.inputs[0]].append(row)
        for level in phase.ordered():
            for row in level.numbers:
                self._number(row)
            for nest in level.nests.values():
                self._chunked(nest) if phase.chunked else self._nest(nest)
            for row in level.products:
                if row.op is not ITEM:
                    _emitter_of(row)(self, row)
        self.flush()

    def text(self, name: str) -> str:
        """The module."""
        return self.define(name, self._slots(), ("first", "end") if self.chunks else ())

    def inner_text(self, name: str) -> str:
        """The function alone, for a module that is made of several, to be put where it is called."""
        return self.function(name, self._slots(), sort="internal ").replace("(ptr %table) {", "(ptr %table) alwaysinline {")

    def _slots(self) -> list[str]:
        slots = [f"array{i}" for i in range(len(self.arrays))] + [f"temporary{i}" for i in range(len(self.temporaries))]
        return [*slots, *(f"cells.{kind}" for kind in self.cells), "constants", "sizes", *["flag"] * self.flagged]

    # Memory.

    def array(self, row: Row, *, written: bool = False) -> str:
        """The pointer to the array in which the value of a row is, or is to be."""
        row = self.plan.owner(row)
        if row in self.tiles:
            return self.tiles[row]
        if row in self.plan.native and row not in self.plan.escaping:
            if row not in self.private:
                self.private[row] = self.temporary(row.dtype, math.prod(row.shape))
            return self.private[row]
        if written:
            self.written.add(row)
        return f"%array{self.arrays.setdefault(row, len(self.arrays))}"

    def temporary(self, dtype: np.dtype, size: int) -> str:
        """The pointer to memory that only this function uses."""
        self.temporaries.append((np.dtype(dtype), size))
        return f"%temporary{len(self.temporaries) - 1}"

    def size(self, n: int) -> Lane:
        """A size, read from the table."""
        self.sizes.append(n)
        at = self.entry.address("%sizes", len(self.sizes) - 1, "i64")
        return self.entry.load(at, "i64", 1)

    def operand(self, x: Row, *, in_order: bool = False) -> tuple[str, np.ndarray]:
        """The pointer to the memory in which the value of a row is, and the stand-in for where in it; copied if it has none,
        or if the elements are to be `in_order` and are not."""
        source, part = self.plan.layouts.view(x)
        offset, steps = place(part)
        if not is_number(source):
            if not in_order:
                return self.array(source), part
            if steps == contiguous(space(x.shape)):
                pointer = self.array(source)
                if offset:
                    pointer = self.block.address(pointer, moved(self.block, self.size(offset)), kind_of(x.dtype))
                return pointer, stand_in(x.shape)
        pointer = self.temporary(x.dtype, math.prod(x.shape))
        self.write(x, pointer)
        return pointer, stand_in(x.shape)

    def write(self, x: Row, pointer: str) -> None:
        """Write the elements of a row, in order, to memory that does not hold them yet."""
        source, part = self.plan.layouts.view(x)
        offset, target, kind = place(part)[0], stand_in(x.shape), kind_of(x.dtype)
        number = self.number(source) if is_number(source) else None
        if number is not None or part.strides == target.strides:
            part = target = stand_in((math.prod(x.shape),))
        memory = "" if number is not None else self.array(source)
        self.count += 1
        names = [f"C{self.count}.{d}" for d in range(part.ndim)]
        at, to = self.size(offset), self.block.const(0, "i64")
        for name, n, step, target_step in zip(names[:-1], part.shape, part.strides, target.strides):
            index = self.open(name, self.size(n))
            at = moved(self.block, at) + index * self.size(step)
            to = moved(self.block, to) + index * self.size(target_step)
        last = part.strides[-1]

        def body(index: Lane, mask: Lane | None) -> None:
            block = self.block
            if number is not None:
                value = moved(block, number).splat(block.lanes)
            else:
                where = moved(block, at) + index * self.size(last)
                value = block.load(block.address(memory, where, kind), kind, block.lanes, mask)
            block.store(value, block.address(pointer, moved(block, to) + index, kind), mask)

        if number is not None or last == 1:
            self.vectors(names[-1], self.size(part.shape[-1]), 8, body)
        else:
            body(self.open(names[-1], self.size(part.shape[-1])), None)
            self.close(names[-1])
        for name in reversed(names[:-1]):
            self.close(name)

    def stack(self, x: Row) -> str:
        """Memory on the stack for a number."""
        self.count += 1
        self.allocas.append(f"  %N{self.count} = alloca {word_of(kind_of(x.dtype))}, align 8")
        return f"%N{self.count}"

    def flag(self) -> str:
        """The pointer to where a fault is noted: its number, and two facts."""
        self.flagged = True
        return "%flag"

    def call(self, symbol: str, kernel: Kernel, pointers: Sequence[str], numbers: Sequence[int | Lane]) -> None:
        """Call a native function of its own, with a table of pointers and numbers on the stack."""
        self.symbols[symbol] = kernel
        self.declares.add(f"declare void @{symbol}(ptr)")
        self.count += 1
        table = f"%K{self.count}"
        self.allocas.append(f"  {table} = alloca [{len(pointers) + len(numbers)} x i64]")
        for i, pointer in enumerate(pointers):
            self.block.lines.append(f"  store ptr {pointer}, ptr {self.block.address(table, i, 'i64')}")
        for i, number in enumerate(numbers, len(pointers)):
            value = number if isinstance(number, Lane) else self.size(number)
            self.block.store(moved(self.block, value), self.block.address(table, i, "i64"))
        self.block.lines.append(f"  call void @{symbol}(ptr {table})")

    # Single numbers.

    def number(self, row: Row) -> Lane:
        """A single number: a constant, one computed before in this function, or one in a cell."""
        found = self.numbers.get(row)
        if found is None:
            found = self.numbers[row] = self._constant(row) if row.op is CONST else self._from_cell(row)
        return found

    def _constant(self, row: Row) -> Lane:
        kind, value = kind_of(row.dtype), row.params["value"].reshape(())[()]
        if kind[0] != "f" or float(value) in BAKED or value != value:
            return self.entry.const(value.item(), kind)
        self.constants.append(float(value))
        at = self.entry.address("%constants", len(self.constants) - 1, "f64")
        return self.entry.load(at, "f64", 1).to(kind)

    def _cell(self, row: Row, block: Block) -> str:
        kind = kind_of(row.dtype)
        places = self.cells.setdefault(kind, {})
        return block.address(f"%cells.{kind}", places.setdefault(row, len(places)), kind)

    def _from_cell(self, row: Row) -> Lane:
        return self.entry.load(self._cell(row, self.entry), kind_of(row.dtype), 1)

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
        kind = kind_of(a.source.dtype)
        at = self.size(a.offset)
        return self.block.load(self.block.address(self.array(a.source), moved(self.block, at), kind), kind, 1)

    # Nests.

    def _nest(self, nest: Nest) -> None:
        """The loops of a nest, for one tile after the other where there are several stages."""
        work = NestEmitter(self, nest, 1)
        for r in work.reductions:
            r.before_nest()
        work.emit(None, self.size(nest.lead))
        for r in work.reductions:
            r.after_nest()

    def _chunked(self, nest: Nest) -> None:
        """The same for the chunks from `first` up to `end`; called with the number of chunks for both, it finishes."""
        step = chunk_size(nest)
        self.chunks = -(-nest.lead // step)
        work = NestEmitter(self, nest, self.chunks)
        first, end = (Lane(self.entry, f"%{name}", "i64", 1) for name in ("first", "end"))
        chunk = self.open("chunks", end, start=first)
        work.choose(chunk)
        for r in work.reductions:
            r.before_nest()
        start = moved(self.block, chunk) * self.size(step)
        left = moved(self.block, self.size(nest.lead)) - start
        work.emit(start, (left < self.size(step)).select(left, self.size(step)))
        for r in work.reductions:
            r.after_chunk(chunk)
        self.close("chunks")
        last = (moved(self.block, first) == self.size(self.chunks)).to("i64")
        self.open("finish", last)
        for r in work.reductions:
            r.join_chunks(self.size(self.chunks))
        self.close("finish")


def _emitter_of(row: Row) -> Callable[[Emitter, Row], None]:
    """What writes a row that is computed in one go."""
    if row.op.holds_tapes:
        return emit_control
    if row.op.loops is not None:
        return emit_matrices
    return emit_product if row.op is matmul else emit_running if row.op.running is not None else emit_indexed


class NestEmitter:
    """The loops of a nest as text of the function `f`, with memory of its own for each chunk."""

    def __init__(self, f: Emitter, nest: Nest, count: int) -> None:
        self.f, self.nest = f, nest
        self.tiled = len(nest.stages) > 1
        longest = nest.lead if count == 1 else chunk_size(nest)
        self.tile = min(self._tile(), longest) if self.tiled else longest
        loops = nest.loops()
        self.buffers: dict[Row, tuple[str, int]] = {}
        for row in (row for loop in loops for row in loop.items if row in f.plan.local):
            size = self.tile * math.prod(space(row.shape)[1:])
            self.buffers[row] = f.temporary(row.dtype, size * count), size
            f.tiles[row] = self.buffers[row][0]
        self.emitters = [LoopEmitter(f, loop, self.tile, self.tiled or count > 1, count) for loop in loops]
        self.reductions = [r for e in self.emitters for r in e.reductions]

    def choose(self, chunk: Lane) -> None:
        """From here on, the memory of this chunk."""
        f = self.f
        for row, (pointer, size) in self.buffers.items():
            f.tiles[row] = f.block.address(pointer, moved(f.block, chunk) * f.size(size), kind_of(row.dtype))
        for r in self.reductions:
            r.choose(chunk)

    def emit(self, start: Lane | None, rows: Lane) -> None:
        """The loops for `rows` rows from `start` on (None: from the first), tile by tile."""
        f = self.f
        if self.tiled:
            f.count += 1
            name, step = f"T{f.count}", f.size(self.tile)
            end = rows if start is None else moved(f.block, rows) + start
            start = f.open(name, end, start=start)
            left = moved(f.block, end) - start
            rows = (left < step).select(left, step)
        for e in self.emitters:
            e.emit(start, rows)
        if self.tiled:
            f.close(name, moved(f.block, step))

    def _tile(self) -> int:
        """How far along its first dimension the loops of a nest go before the next one starts."""
        nest, plan = self.nest, self.f.plan
        widest = max(math.prod(loop.space[1:]) for loop in nest.loops())
        local = {row for loop in nest.loops() for row in loop.items if row in plan.local}
        row_bytes = sum(row.dtype.itemsize * math.prod(space(row.shape)[1:]) for row in local) + 4 * widest
        rows = max(TILE_BYTES // max(row_bytes, 1), chunks.LEAST_ROWS)
        return max(min(rows - rows % chunks.LEAST_ROWS, nest.lead), 1)
