"""The LLVM text of one loop nest, and of the reductions in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.kernels import primitives
from jitgrad.ops.movement import sum
from jitgrad.ops.reductions import amax
from jitgrad.sweeps.expressions import evaluate
from jitgrad.sweeps.lanes import DTYPES, WORDS, Block, Lane
from jitgrad.sweeps.segments import REDUCTIONS, Loop, is_number, operands
from jitgrad.tape import Row


class LoopEmitter:
    """The text of one loop nest; `outer` is the `Emitter` of the function around it."""

    def __init__(self, outer: Any, loop: Loop) -> None:
        self.f = outer
        self.rows = loop.rows
        outer.count += 1
        self.name = f"L{outer.count}"
        reads = [a for row in loop.rows for a in operands(row)]
        own = [_reduced_flags(row) if row.op in REDUCTIONS else _moving(loop.space) for row in loop.rows]
        self.keep = _merged(loop.space, [a.flags for a in reads] + own)
        self.dims = [int(np.prod([loop.space[d] for d in group], dtype=np.int64)) for group in self.keep] or [1]
        self.rank = len(self.dims)
        wide = any(t.itemsize == 8 for row in loop.rows for t in (row.dtype, *(x.dtype for x in row.inputs)))
        self.lanes = 8 if wide else 16
        self.sizes = [outer.size(n) for n in self.dims]
        self.reductions = [Accumulator(self, row) for row in loop.rows if row.op in REDUCTIONS]
        self.offsets: dict[tuple[bool, ...], Lane] = {}

    def pattern(self, flags: tuple[bool, ...]) -> tuple[bool, ...]:
        """Flags for the merged dimensions of this nest."""
        return tuple(flags[group[0]] for group in self.keep) or (False,)

    def emit(self) -> None:
        f = self.f
        for r in self.reductions:
            r.before_all()
        patterns = {self.pattern(a.flags) for row in self.rows for a in operands(row)} | {
            self.pattern(_moving_of(row)) for row in self.rows}  # fmt: skip
        strides = {p: self._strides(p) for p in patterns}
        zero = f.block.const(0, "i64")
        offsets = dict.fromkeys(patterns, zero)
        for level in range(self.rank - 1):
            index = self._open(level)
            for p in patterns:
                if p[level]:
                    offsets[p] = offsets[p] + index * strides[p][level]
        self.offsets = offsets
        self._inner()
        for level in reversed(range(self.rank - 1)):
            self._close(level)
        for r in self.reductions:
            r.after_all()

    def _strides(self, pattern: tuple[bool, ...]) -> list[Lane]:
        """Elements between neighbours along each dimension of an array that has just the moving ones."""
        step = self.f.block.const(1, "i64")
        found = []
        for moving, size in reversed(list(zip(pattern, self.sizes))):
            found.append(step)
            step = step * size if moving else step
        return found[::-1]

    def _open(self, level: int) -> Lane:
        f, name = self.f, f"{self.name}.{level}"
        f.allocas.append(f"  %{name}.counter = alloca i64")
        f.block.lines.append(f"  store i64 0, ptr %{name}.counter\n  br label %{name}.head\n{name}.head:")
        f.flush()
        index = f.block.load(f"%{name}.counter", "i64", 1)
        more = index < self.sizes[level]
        f.block.lines.append(f"  br i1 {more.name}, label %{name}.body, label %{name}.end\n{name}.body:")
        f.flush()
        return moved(f.block, index)

    def _close(self, level: int) -> None:
        f, name = self.f, f"{self.name}.{level}"
        old = f.block.load(f"%{name}.counter", "i64", 1)
        f.block.store(old + 1, f"%{name}.counter")
        f.block.lines.append(f"  br label %{name}.head\n{name}.end:")
        f.flush()

    def _inner(self) -> None:
        """The loop over vectors, then the masked rest."""
        f, name = self.f, f"{self.name}.v"
        for r in self.reductions:
            r.before_inner()
        fixed = self._fixed_along_inner()
        f.allocas.append(f"  %{name}.counter = alloca i64")
        f.block.lines.append(f"  store i64 0, ptr %{name}.counter\n  br label %{name}.head\n{name}.head:")
        f.flush()
        at = f.block.load(f"%{name}.counter", "i64", 1)
        left = self.sizes[-1] - at
        whole = left >= self.lanes
        f.block.lines.append(f"  br i1 {whole.name}, label %{name}.body, label %{name}.rest\n{name}.body:")
        f.flush()
        self._body(at, None, fixed)
        f.block.store(moved(f.block, at) + self.lanes, f"%{name}.counter")
        f.block.lines.append(f"  br label %{name}.head\n{name}.rest:")
        f.flush()
        some = moved(f.block, left) > 0
        f.block.lines.append(f"  br i1 {some.name}, label %{name}.tail, label %{name}.end\n{name}.tail:")
        f.flush()
        self._body(at, left, fixed)
        f.block.lines.append(f"  br label %{name}.end\n{name}.end:")
        f.flush()
        for r in self.reductions:
            r.after_inner()

    def _fixed_along_inner(self) -> dict[Any, Lane]:
        """What does not move along the innermost dimension, read once before it."""
        own = set(self.rows)
        found: dict[Any, Lane] = {}
        for row in self.rows:
            for a in operands(row):
                pattern = self.pattern(a.flags)
                if a.source in own and a.source.op not in REDUCTIONS:
                    continue
                if is_number(a.source):
                    found[a] = self.f.number(a.source)
                elif not pattern[-1] and a not in found:
                    kind = DTYPES[str(a.source.dtype)]
                    pointer = self.f.block.address(self.f.array(a.source), self.offsets[pattern], kind)
                    found[a] = self.f.block.load(pointer, kind, 1)
        return found

    def _body(self, at: Lane, left: Lane | None, fixed: dict[Any, Lane]) -> None:
        f = self.f
        f.count += 1
        block = Block(self.lanes, f"b{f.count}.", f.declares)
        mask = None if left is None else block.mask(moved(block, left))
        values: dict[Row, Lane] = {}
        loaded = dict(fixed)
        for row in self.rows:
            inputs = [self._operand(a, values, loaded, block, at, mask) for a in operands(row)]
            if row.op in REDUCTIONS:
                next(r for r in self.reductions if r.row is row).combine(inputs[0], block, at, mask)
                continue
            values[row] = value = evaluate(row, inputs, block).splat(self.lanes)
            if row in f.stored:
                self.store(block, row, value, at, mask)
        f.pieces.append(str(block))
        f.block = f.straight()

    def _operand(self, a: Any, values: dict, loaded: dict, block: Block, at: Lane, mask: Lane | None) -> Lane:
        found = values.get(a.source) if not is_number(a.source) else None
        if found is None:
            found = loaded.get(a)
        if found is not None:
            return moved(block, found)
        kind = DTYPES[str(a.source.dtype)]
        where = moved(block, self.offsets[self.pattern(a.flags)]) + at
        loaded[a] = block.load(block.address(self.f.array(a.source), where, kind), kind, self.lanes, mask)
        return loaded[a]

    def store(self, block: Block, row: Row, value: Lane, at: Lane, mask: Lane | None) -> None:
        where = moved(block, self.offsets[self.pattern(_moving_of(row))]) + at
        block.store(value, block.address(self.f.array(row, written=True), where, value.type), mask)


class Accumulator:
    """How one reduction of a loop nest is accumulated.

    In W registers where the innermost dimension is reduced; in memory where dimensions further out are reduced and
    inner ones are not. Sums of floats are accumulated in float64.
    """

    def __init__(self, nest: LoopEmitter, row: Row) -> None:
        self.nest, self.row, self.f = nest, row, nest.f
        self.kind = DTYPES[str(row.dtype)]
        self.adds = row.op is sum
        self.held = "f64" if self.adds and self.kind[0] == "f" else self.kind
        self.out = nest.pattern(_reduced_flags(row))
        self.inner = not self.out[-1]
        outer = self.out[:-1]
        self.everything = self.inner and not any(outer)
        self.in_memory = not all(outer) and not self.everything
        self.plain = all(self.out)  # only dimensions of size 1 are reduced
        if self.in_memory:
            self.f.temporaries.append((np.dtype(_NUMPY[self.held]), int(np.prod(row.shape, dtype=np.int64))))
            self.memory = f"%temporary{len(self.f.temporaries) - 1}"
        if self.inner:
            word = f"<{nest.lanes} x {WORDS[self.held]}>"
            self.register = f"%{nest.name}.acc{id_of(nest, row)}"
            self.f.allocas.append(f"  {self.register} = alloca {word}, align 64")

    def _start(self, block: Block, lanes: int) -> Lane:
        if self.adds:
            return block.const(0, self.held, lanes)
        if self.held[0] == "f":
            return block.const(float("-inf") if self.row.op is amax else float("inf"), self.held, lanes)
        info = np.iinfo(_NUMPY[self.held])
        return block.const(info.min if self.row.op is amax else info.max, self.held, lanes)

    def _join(self, old: Lane, new: Lane) -> Lane:
        if self.adds:
            return old + new
        wins = new > old if self.row.op is amax else new < old
        return primitives.select(wins | (new != new) if self.held[0] == "f" else wins, new, old)

    def before_all(self) -> None:
        if self.in_memory:
            self._over_memory("init", lambda block, at, mask: block.store(
                self._start(block, self.nest.lanes), block.address(self.memory, at, self.held), mask))  # fmt: skip
        elif self.everything:
            self.f.block.store(self._start(self.f.block, self.nest.lanes), self.register)

    def before_inner(self) -> None:
        if self.inner and not self.everything:
            self.f.block.store(self._start(self.f.block, self.nest.lanes), self.register)

    def combine(self, value: Lane, block: Block, at: Lane, mask: Lane | None) -> None:
        value = moved(block, value).to(self.held).splat(self.nest.lanes)
        if self.plain:
            self.nest.store(block, self.row, value.to(self.kind), at, mask)
            return
        if mask is not None and (self.inner or self.adds):
            value = primitives.select(mask, value, self._start(block, self.nest.lanes))
        if self.inner:
            block.store(self._join(block.load(self.register, self.held, self.nest.lanes), value), self.register)
            return
        where = block.address(self.memory, moved(block, self.nest.offsets[self.out]) + at, self.held)
        block.store(self._join(block.load(where, self.held, self.nest.lanes, mask), value), where, mask)

    def after_inner(self) -> None:
        if not self.inner or self.everything:
            return
        block = self.f.block
        total = block.load(self.register, self.held, self.nest.lanes).reduce(self._join)
        offset = self.nest.offsets[self.out]
        if self.in_memory:
            where = block.address(self.memory, offset, self.held)
            block.store(self._join(block.load(where, self.held, 1), total), where)
        else:
            block.store(total.to(self.kind), block.address(self.f.array(self.row, written=True), offset, self.kind))

    def after_all(self) -> None:
        if self.everything:
            block = self.f.block
            total = block.load(self.register, self.held, self.nest.lanes).reduce(self._join)
            self.f.keep_number(self.row, total.to(self.kind))
        elif self.in_memory:

            def finish(block: Block, at: Lane, mask: Lane | None) -> None:
                total = block.load(block.address(self.memory, at, self.held), self.held, self.nest.lanes, mask)
                block.store(
                    total.to(self.kind), block.address(self.f.array(self.row, written=True), at, self.kind), mask
                )

            self._over_memory("finish", finish)

    def _over_memory(self, what: str, body: Callable[[Block, Lane, Lane | None], None]) -> None:
        """A loop over all accumulators in memory."""
        f, name = self.f, f"{self.nest.name}.{what}{id_of(self.nest, self.row)}"
        size = f.size(int(np.prod(self.row.shape, dtype=np.int64)))
        f.allocas.append(f"  %{name}.counter = alloca i64")
        f.block.lines.append(f"  store i64 0, ptr %{name}.counter\n  br label %{name}.head\n{name}.head:")
        f.flush()
        at = f.block.load(f"%{name}.counter", "i64", 1)
        left = size - at
        more = left > 0
        f.block.lines.append(f"  br i1 {more.name}, label %{name}.body, label %{name}.end\n{name}.body:")
        f.flush()
        f.count += 1
        block = Block(self.nest.lanes, f"b{f.count}.", f.declares)
        body(block, moved(block, at), block.mask(moved(block, left)))
        f.pieces.append(str(block))
        f.block = f.straight()
        f.block.store(moved(f.block, at) + self.nest.lanes, f"%{name}.counter")
        f.block.lines.append(f"  br label %{name}.head\n{name}.end:")
        f.flush()


_NUMPY = {"f16": "f2", "f32": "f4", "f64": "f8", "i32": "i4", "i64": "i8"}


def id_of(nest: LoopEmitter, row: Row) -> int:
    """The place of a row in its loop, which makes names unique."""
    return nest.rows.index(row)


def moved(block: Block, value: Lane) -> Lane:
    """The value as one of `block`: what is computed from it is written there."""
    return block.value(value.name, value.type, value.lanes)


def _moving(space: tuple[int, ...]) -> tuple[bool, ...]:
    return tuple(n != 1 for n in space)


def _reduced_flags(row: Row) -> tuple[bool, ...]:
    """For each dimension of the input of a reduction: does the result move along it."""
    return tuple(d not in row.params["dim"] and n != 1 for d, n in enumerate(row.inputs[0].shape))


def _moving_of(row: Row) -> tuple[bool, ...]:
    return _reduced_flags(row) if row.op in REDUCTIONS else _moving(row.shape)


def _merged(space: tuple[int, ...], patterns: list[tuple[bool, ...]]) -> list[list[int]]:
    """Groups of neighbouring dimensions that every array walks over alike, those of size 1 left out."""
    groups: list[list[int]] = []
    before: tuple | None = None
    for d, n in enumerate(space):
        if n == 1:
            continue
        column = tuple(p[d] for p in patterns)
        if groups and column == before:
            groups[-1].append(d)
        else:
            groups.append([d])
        before = column
    return groups
