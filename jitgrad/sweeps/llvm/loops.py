"""The LLVM text of one loop nest over a tile of rows, and of the reductions in it."""

from __future__ import annotations

import itertools
import math
from typing import Any

from jitgrad.sweeps.llvm.accumulators import Accumulator
from jitgrad.sweeps.llvm.blocks import Block
from jitgrad.sweeps.llvm.expressions import evaluate
from jitgrad.sweeps.llvm.function import moved
from jitgrad.sweeps.llvm.lanes import Lane
from jitgrad.sweeps.llvm.schedule import interleaved
from jitgrad.sweeps.plan.indexing import lookup_steps
from jitgrad.sweeps.plan.layouts import Access, contiguous, is_number, reduced_strides
from jitgrad.sweeps.plan.machine_types import kind_of
from jitgrad.sweeps.plan.plan import Loop, Write
from jitgrad.tape.row import Row


class LoopEmitter:
    """The text of one loop nest; `outer` is the `Emitter` of the function around it."""

    def __init__(self, outer: Any, loop: Loop, tile: int, tiled: bool, chunks: int) -> None:
        self.f = outer
        self.items = loop.items
        self.space = loop.space
        self.tile, self.tiled, self.chunks = tile, tiled, chunks
        outer.count += 1
        self.name = f"L{outer.count}"
        self.reads = {item: outer.plan.operands(item) for item in loop.items}
        self.writes = {item: self._write(item) for item in loop.items}
        accesses = [a for reads in self.reads.values() for a in reads] + list(self.writes.values())
        self.groups = _merged(self.space, [a.strides for a in accesses]) or [[]]
        self.width = self.lanes = 8 if any(a.source.dtype.itemsize == 8 for a in accesses) else 16
        innermost = math.prod(self.space[d] for d in self.groups[-1])
        # Short rows are one vector each, of just their length: masks would cost more than all the rest.
        known = not tiled or 0 not in self.groups[-1]
        self.short = known and len(self.groups) > 1 and 0 < innermost <= self.width
        if self.short:
            self.lanes = innermost
        lookups = [item for item in loop.items if isinstance(item, Row) and item in outer.plan.lookups]
        self.lookups = {row: lookup_steps(row, outer.plan.layouts) for row in lookups}
        self.reductions = [Accumulator(self, row) for row in loop.items if isinstance(row, Row) and row.op.fold is not None]
        self.seconds = self._pairs_written() if self.lanes > 1 else {}
        self.sizes: list[Lane] = []
        self.bases: dict[Access, Lane] = {}
        self.offsets: dict[Access, Lane] = {}

    def _pairs_written(self) -> dict[Row | Write, Write]:
        """Writes to every other element, by those to the elements between: both are stored in one, once the second is known."""
        found: dict[Row | Write, Write] = {}
        for first, second in itertools.pairwise(item for item in self.items if isinstance(item, Write)):
            a, b = self.writes[first], self.writes[second]
            between = self.strides(a)[-1] == 2 and b == a._replace(offset=a.offset + 1)
            if between and None not in (first.value, second.value) and not (first.adds or second.adds) and first not in found:
                found[second] = first
        return found

    def _write(self, item: Row | Write) -> Access:
        if isinstance(item, Write):
            return Access(item.row, item.offset, item.strides)
        return Access(item, 0, reduced_strides(item) if item.op.fold is not None else contiguous(self.space))

    def strides(self, a: Access) -> list[int]:
        """The step for each level of this nest."""
        return [a.strides[group[-1]] if group else 0 for group in self.groups]

    def emit(self, start: Lane | None, rows: Lane) -> None:
        """The loops, for the tile of `rows` that begins at `start`."""
        f = self.f
        self.sizes = [self._size(group, rows) for group in self.groups]
        self.start = start
        for r in self.reductions:
            r.before_loop(rows)
        accesses = dict.fromkeys(a for item in self.items for a in (*self.reads[item], self.writes[item]))
        self.bases = {a: self._base(a) for a in accesses}
        self.offsets = dict(self.bases)
        steps = {a: self._steps(a) for a in accesses}
        for level in range(len(self.groups) - 1):
            index = f.open(f"{self.name}.{level}", self.sizes[level])
            for a in accesses:
                step = steps[a][level]
                if step is not None:
                    self.offsets[a] = moved(f.block, self.offsets[a]) + index * moved(f.block, step)
        self.inner_steps = {a: steps[a][-1] for a in accesses}
        self._inner()
        for level in reversed(range(len(self.groups) - 1)):
            f.close(f"{self.name}.{level}")
        for r in self.reductions:
            r.after_loop(rows)

    def _size(self, group: list[int], rows: Lane) -> Lane:
        if 0 not in group:
            return self.f.size(math.prod(self.space[d] for d in group))
        rest = math.prod(self.space[d] for d in group if d)
        return moved(self.f.block, rows) if len(group) == 1 else moved(self.f.block, rows) * self.f.size(rest)

    def _base(self, a: Access) -> Lane:
        """Where an access stands at the beginning of the tile."""
        f = self.f
        at = moved(f.block, f.size(a.offset)) if a.offset else f.block.const(0, "i64")
        if self.start is not None and a.strides and a.strides[0] and a.source not in f.tiles:
            at = at + moved(f.block, self.start) * f.size(a.strides[0])
        return at

    def _steps(self, a: Access) -> list[Lane | None]:
        """The steps as values: None where nothing moves, and the constant 1."""
        f = self.f
        return [None if s == 0 else f.entry.const(1, "i64") if s == 1 else f.size(s) for s in self.strides(a)]

    def _inner(self) -> None:
        f = self.f
        for r in self.reductions:
            r.before_inner()
        fixed = self._fixed_along_inner()
        if self.short:
            f.block.lanes = self.lanes
            self._body(f.entry.const(0, "i64"), None, fixed)
        else:
            f.vectors(f"{self.name}.v", self.sizes[-1], self.lanes, lambda at, mask: self._body(at, mask, fixed))
        for r in self.reductions:
            r.after_inner()

    def _made_here(self, a: Access) -> bool:
        """Whether an operand is in a register because this loop has just computed it."""
        return a.source in self.writes and a.source.op.fold is None and a == self.writes[a.source]

    def _fixed_along_inner(self) -> dict[Access, Lane]:
        """What does not move along the innermost dimension, read once before it."""
        found: dict[Access, Lane] = {}
        reads = [a for item, reads in self.reads.items() for a in reads[item in self.lookups :]]
        for a in (a for a in reads if not self._made_here(a)):
            if is_number(a.source):
                found[a] = self.f.number(a.source)
            elif self.inner_steps[a] is None and a not in found:
                kind, block = kind_of(a.source.dtype), self.f.block
                found[a] = block.load(block.address(self.f.array(a.source), moved(block, self.offsets[a]), kind), kind, 1)
        return found

    def _body(self, at: Lane, mask: Lane | None, fixed: dict[Access, Lane]) -> None:
        f, block = self.f, self.f.block
        known = dict(fixed)
        seconds = self.seconds if mask is None else {}
        firsts: dict[Row | Write, Lane | None] = dict.fromkeys(seconds.values())
        for item in self.items:
            reads = self.reads[item][item in self.lookups :]
            inputs = [moved(block, self._operand(a, known, block, at, mask)) for a in reads]
            if item in firsts:
                firsts[item] = inputs[0].splat(self.lanes)
            elif item in seconds:
                self._put_both(block, seconds[item], firsts[seconds[item]], inputs[0].splat(self.lanes), at)
            elif isinstance(item, Write):
                self._put(block, item, inputs, at, mask)
            elif item.op.fold is not None:
                next(r for r in self.reductions if r.row is item).combine(inputs[0], block, at, mask)
            else:
                value = self._look_up(block, item, inputs, at, mask) if item in self.lookups else evaluate(item, inputs, block)
                value = known[self.writes[item]] = value.splat(self.lanes)
                if item in f.stored:
                    self._store(block, self.writes[item], value, at, mask)
        block.lines = interleaved(block.lines)

    def _operand(self, a: Access, known: dict[Access, Lane], block: Block, at: Lane, mask: Lane | None) -> Lane:
        found = known.get(a)
        if found is None:
            found = known[a] = self._load(block, a, at, mask)
        return found

    def _load(self, block: Block, a: Access, at: Lane, mask: Lane | None) -> Lane:
        kind, step = kind_of(a.source.dtype), self.inner_steps[a]
        base = self.f.array(a.source)
        if step is None or step.name == "1":
            return block.load(block.address(base, moved(block, self.offsets[a]) + at, kind), kind, self.lanes, mask)
        if mask is None and self._in_pairs(a):
            start = moved(block, self.offsets[a]) + moved(block, at) * step - a.offset % 2
            return block.load(block.address(base, start, kind), kind, 2 * self.lanes).part(a.offset % 2, self.lanes, 2)
        return block.gather(base, self._places(block, a, step, at), kind, mask)

    def _look_up(self, block: Block, item: Row, indices: list[Lane], at: Lane, mask: Lane | None) -> Lane:
        """The elements at indices, which are neighbours where all indices are the same along the innermost dimension."""
        a = self.reads[item][0]
        kind, step, base = kind_of(item.dtype), self.inner_steps[a], self.f.array(a.source)
        start = moved(block, self.offsets[a])
        if step is not None:
            start = start + moved(block, at) * step
        further = block.const(0, "i64")
        for index, apart in zip(indices, self.lookups[item]):
            index = index.to("i64")
            further = further + (index if apart == 1 else index * self.f.size(apart))
        if further.lanes == 1 and (step is None or step.name == "1"):
            return block.load(block.address(base, start + further, kind), kind, *((1,) if step is None else (self.lanes, mask)))
        if step is not None:
            further = further + block.spaced(block.const(0, "i64"), step, self.lanes)
        return block.gather(block.address(base, start, kind), further, kind, mask)

    def _in_pairs(self, a: Access) -> bool:
        """Whether every other element is read, each of a pair that is in memory, as real and imaginary parts are. To load both
        and drop one is quicker than a gather."""
        if self.lanes == 1 or self.strides(a)[-1] != 2 or a.source in self.f.tiles or any(s < 0 for s in a.strides):
            return False
        last = a.offset + sum((n - 1) * s for n, s in zip(self.space, a.strides))
        return last + 1 - a.offset % 2 < math.prod(a.source.shape)

    def _store(self, block: Block, a: Access, value: Lane, at: Lane, mask: Lane | None) -> None:
        step = self.inner_steps[a]
        base = self.f.array(a.source, written=True)
        if step is None or step.name == "1":
            block.store(value, block.address(base, moved(block, self.offsets[a]) + at, value.type), mask)
        else:
            block.scatter(value, base, self._places(block, a, step, at), mask)

    def _places(self, block: Block, a: Access, step: Lane, at: Lane) -> Lane:
        return block.spaced(moved(block, self.offsets[a]) + moved(block, at) * step, step, self.lanes)

    def _put_both(self, block: Block, item: Write, x: Any, y: Lane, at: Lane) -> None:
        """Two values in turn, from the first element of `item` on."""
        a, kind = self.writes[item], kind_of(item.row.dtype)
        start = moved(block, self.offsets[a]) + moved(block, at) * self.inner_steps[a]
        block.store(block.in_turn(x, y), block.address(self.f.array(a.source, written=True), start, kind))

    def _put(self, block: Block, item: Write, inputs: list[Lane], at: Lane, mask: Lane | None) -> None:
        kind, a = kind_of(item.row.dtype), self.writes[item]
        value = (inputs[0] if inputs else block.const(0, kind)).splat(self.lanes)
        if item.adds:
            value = self._load(block, a, at, mask) + value
        self._store(block, a, value, at, mask)


def _merged(over: tuple[int, ...], strides: list[tuple[int, ...]]) -> list[list[int]]:
    """The levels of a nest, from the outermost in: neighbouring dimensions that every array walks over as if one.

    The innermost is the one along which most arrays are contiguous. A tile may end the first dimension early, so
    nothing outside of it is merged into it.
    """
    if not over:
        return []
    votes = [len([s for s in strides if s[d] == 1]) for d in range(len(over))]
    inner = max(range(len(over)), key=lambda d: (votes[d], d))
    order = [d for d in range(len(over)) if d != inner] + [inner]
    groups = [[order[0]]]
    for outer, d in itertools.pairwise(order):
        if d != 0 and all(s[outer] == s[d] * over[d] for s in strides):
            groups[-1].append(d)
        else:
            groups.append([d])
    return groups
