"""The LLVM text of a reduction: where its partial results are held while a loop runs, and what happens around it."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from jitgrad.kernels import primitives
from jitgrad.ops.movement import sum
from jitgrad.sweeps.llvm.blocks import Block
from jitgrad.sweeps.llvm.folds import joined
from jitgrad.sweeps.llvm.function import moved
from jitgrad.sweeps.llvm.lanes import Lane
from jitgrad.sweeps.plan.folds import held_as, neutral
from jitgrad.sweeps.plan.machine_types import NUMPY, kind_of
from jitgrad.tape.row import Row


class Accumulator:
    """How one reduction of a loop nest is accumulated.

    In registers where everything is reduced, or the innermost dimension and no other; else in memory. Sums of floats
    are accumulated in float64; of float32, four neighbours are added first where the registers are.
    """

    def __init__(self, nest: Any, row: Row) -> None:
        self.nest, self.row, self.f = nest, row, nest.f
        self.kind = kind_of(row.dtype)
        self.held = held_as(row.op.fold, self.kind)
        self.join = functools.partial(joined, row.op.fold)
        self.lanes = nest.lanes
        self.out = nest.writes[row]
        steps = nest.strides(self.out)
        self.everything = not any(self.out.strides)
        self.inner = steps[-1] == 0
        self.by_tile = bool(self.out.strides) and self.out.strides[0] != 0
        at_once = self.inner and all(steps[:-1]) and (self.by_tile or not nest.tiled)
        self.in_memory = not self.everything and not at_once
        # A short row that every outer loop adds to stays in a register meanwhile.
        self.columns = self.in_memory and nest.short and steps[-1] == 1 and not any(steps[:-1])
        self.rest = math.prod(n for n, s in zip(nest.space[1:], self.out.strides[1:]) if s)
        self.place = f"{nest.name}.{nest.items.index(row)}"
        if self.inner and row.op is sum and self.kind == "f32" and nest.lanes in (8, 16):
            self.lanes = 4
        if self.in_memory:
            self.size = (nest.tile if self.by_tile else 1) * self.rest
        elif self.everything:
            self.size = self.lanes
        if self.in_memory or (self.everything and nest.chunks > 1):
            self.memory = self.all_memory = self.f.temporary(NUMPY[self.held], self.size * nest.chunks)
        if self.inner or self.columns:
            self.register = f"%{self.place}.acc"
            self.f.register(self.register, self.held, self.lanes)

    def _start(self, block: Block, lanes: int) -> Lane:
        return block.const(neutral(self.row.op.fold.neutral, self.held), self.held, lanes)

    def _clear(self) -> None:
        self.f.block.store(self._start(self.f.block, self.lanes), self.register)

    def choose(self, chunk: Lane) -> None:
        """From here on, the memory of this chunk."""
        if self.in_memory:
            block = self.f.block
            self.memory = block.address(self.all_memory, moved(block, chunk) * self.f.size(self.size), self.held)

    def before_nest(self) -> None:
        if self.everything:
            self._clear()
        elif self.in_memory and not self.by_tile:
            self._initialise(self.f.size(self.rest))

    def before_loop(self, rows: Lane) -> None:
        if self.in_memory and self.by_tile:
            self._initialise(moved(self.f.block, rows) * self.f.size(self.rest))
        if self.columns:
            self.f.block.store(self.f.block.load(self.memory, self.held, self.nest.lanes), self.register)

    def before_inner(self) -> None:
        if self.inner and not self.everything:
            self._clear()

    def combine(self, value: Lane, block: Block, at: Lane, mask: Lane | None) -> None:
        value = moved(block, value)
        if self.inner or self.columns:
            value = self._folded(value.splat(self.nest.lanes), mask).to(self.held)
            block.store(self.join(block.load(self.register, self.held, self.lanes), value), self.register)
            return
        value = value.to(self.held).splat(self.nest.lanes)
        step = self.nest.inner_steps[self.out]
        assert step is not None
        if step.name == "1":
            where = block.address(self.memory, moved(block, self._offset(block)) + at, self.held)
            block.store(self.join(block.load(where, self.held, self.nest.lanes, mask), value), where, mask)
            return
        places = block.spaced(moved(block, self._offset(block)) + moved(block, at) * step, step, self.nest.lanes)
        old = block.gather(self.memory, places, self.held, mask)
        block.scatter(self.join(old, value), self.memory, places, mask)

    def _folded(self, value: Lane, mask: Lane | None) -> Lane:
        """As many lanes as the register has."""
        if mask is not None:
            value = primitives.select(
                mask, value, value.block.const(neutral(self.row.op.fold.neutral, value.type), value.type, value.lanes)
            )
        while value.lanes > self.lanes:
            half = value.lanes // 2
            value = value.part(0, half) + value.part(half, half)
        return value

    def _offset(self, block: Block) -> Lane:
        """Where the accumulators in memory stand, which hold one tile where the result goes tile by tile."""
        at = moved(block, self.nest.offsets[self.out])
        return at if self._relative() else at - moved(block, self.nest.bases[self.out])

    def _relative(self) -> bool:
        return not self.by_tile or self.nest.start is None or self.row in self.f.tiles

    def after_inner(self) -> None:
        if not self.inner or self.everything:
            return
        block = self.f.block
        total = block.load(self.register, self.held, self.lanes).reduce(self.join)
        if self.in_memory:
            where = block.address(self.memory, self._offset(block), self.held)
            block.store(self.join(block.load(where, self.held, 1), total), where)
        else:
            offset = moved(block, self.nest.offsets[self.out])
            block.store(total.to(self.kind), block.address(self.f.array(self.row, written=True), offset, self.kind))

    def after_loop(self, rows: Lane) -> None:
        if self.columns:
            self.f.block.store(self.f.block.load(self.register, self.held, self.nest.lanes), self.memory)
        if self.in_memory and self.by_tile:
            self._finish(moved(self.f.block, rows) * self.f.size(self.rest), self.nest.bases[self.out])

    def after_nest(self) -> None:
        if self.everything:
            self._keep(self.f.block.load(self.register, self.held, self.lanes))
        elif self.in_memory and not self.by_tile:
            self._finish(self.f.size(self.rest), self.f.block.const(0, "i64"))

    def after_chunk(self, chunk: Lane) -> None:
        """Keep what the accumulators hold for `join_chunks`."""
        if self.everything:
            block = self.f.block
            here = block.address(self.all_memory, moved(block, chunk) * self.lanes, self.held)
            block.store(block.load(self.register, self.held, self.lanes), here)

    def join_chunks(self, count: Lane) -> None:
        """Put what the chunks hold together, in their order."""
        f = self.f
        if self.everything:
            self._keep(self._joined(count, None, None, self.lanes))
        elif self.in_memory and not self.by_tile:
            out = f.array(self.row, written=True)

            def body(at: Lane, mask: Lane | None) -> None:
                total = self._joined(count, at, mask, self.nest.width).to(self.kind)
                where = f.block.address(out, moved(f.block, at), self.kind)
                f.block.store(total, where, None if mask is None else moved(f.block, mask))

            f.vectors(f"{self.place}.finish", f.size(self.rest), self.nest.width, body)

    def _joined(self, count: Lane, at: Lane | None, mask: Lane | None, lanes: int) -> Lane:
        """W accumulators, from `at` on, of all chunks."""
        f = self.f
        f.count += 1
        name = f"{self.place}.join{f.count}"
        f.register(f"%{name}", self.held, lanes)
        f.block.store(self._start(f.block, lanes), f"%{name}")
        where = f.open(name, count) * f.size(self.size)
        block = f.block
        where = where if at is None else where + at
        part = block.load(block.address(self.all_memory, where, self.held), self.held, lanes, mask)
        block.store(self.join(block.load(f"%{name}", self.held, lanes), part), f"%{name}")
        f.close(name)
        return f.block.load(f"%{name}", self.held, lanes)

    def _keep(self, total: Lane) -> None:
        self.f.keep_number(self.row, total.reduce(self.join).to(self.kind))

    def _initialise(self, size: Lane) -> None:
        self._over_memory(
            "init",
            size,
            lambda block, at, mask: block.store(
                self._start(block, self.nest.width), block.address(self.memory, at, self.held), mask
            ),
        )

    def _finish(self, size: Lane, base: Lane) -> None:
        out = self.f.array(self.row, written=True)

        def body(block: Block, at: Lane, mask: Lane | None) -> None:
            total = block.load(block.address(self.memory, at, self.held), self.held, self.nest.width, mask)
            block.store(total.to(self.kind), block.address(out, moved(block, base) + at, self.kind), mask)

        self._over_memory("finish", size, body)

    def _over_memory(self, what: str, size: Lane, body: Callable[[Block, Lane, Lane | None], None]) -> None:
        """A loop over all accumulators in memory."""
        f = self.f
        f.vectors(f"{self.place}.{what}", size, self.nest.width, lambda at, mask: body(f.block, at, mask))
