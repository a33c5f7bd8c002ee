"""From the phases of a plan to LLVM text.

The text of a phase is one function `void f(i64* table)`. The table holds, in this order, the addresses of the arrays
it reads and writes, of the cells in which single numbers live (one array for each dtype), of the constants and of the
sizes. Sizes and constants are data and not text, so another shape, or another constant, needs no new machine code.

A loop runs over W lanes at a time, explicitly; the last, incomplete vector is masked. Sums of floats are kept in W
float64 accumulators, added up in a fixed order: the result is the same on every machine, and as accurate as a sum in
float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.kernels import primitives, scalar
from jitgrad.ops.movement import sum
from jitgrad.ops.reductions import amax
from jitgrad.sweeps.lanes import DTYPES, Block, Lane
from jitgrad.sweeps.segments import REDUCTIONS, Loop, Phase, access, is_number, operands
from jitgrad.tape import CONST, Row

BAKED = frozenset({0.0, 1.0, -1.0, 2.0, 0.5, -0.5, -2.0, float("inf"), float("-inf")})


def _libm(name: str) -> Callable:
    return lambda x, *rest: x.libm(name, *rest)


def _rounding(name: str) -> Callable:
    return lambda x: getattr(x, name)() if x.type[0] == "f" else x


def _clamp(x: Lane, min: Any, max: Any) -> Lane:
    if min is not None:
        x = primitives.select(x < min, min, x)
    return x if max is None else primitives.select(x > max, max, x)


def _sign(x: Lane) -> Lane:
    below = primitives.select(x < 0, x.block.const(-1, x.type), x - x if x.type[0] == "f" else x * 0)
    return primitives.select(x > 0, x.block.const(1, x.type), primitives.select(x == 0, x, below))


def _remainder(x: Lane, y: Lane) -> Lane:
    rest = x.libm("fmod", y)
    return primitives.select((rest != 0) & ((rest < 0) ^ (y < 0)), rest + y, primitives.select(rest == 0, rest.copysign(y), rest))


def _power(x: Lane, exponent: float) -> Lane:
    if exponent in _POWERS:
        return _POWERS[exponent](x)
    return x.libm("pow", x.block.const(exponent, x.type))


_POWERS: dict[float, Callable] = {
    0: lambda x: x.block.const(1, x.type, x.lanes), 1: lambda x: x, 2: lambda x: x * x, 3: lambda x: x * x * x,
    4: lambda x: (x * x) * (x * x), -1: lambda x: 1 / x, -2: lambda x: 1 / (x * x), 0.5: primitives.sqrt,
}  # fmt: skip

class Names(dict):
    """What the names in a kernel expression mean on lanes; one that is not ours is a function of the C library."""

    def __missing__(self, name: str) -> Callable:
        return _libm(name)


NAMES: dict[str, Any] = {
    **{n: getattr(scalar, n) for n in scalar.KERNELS},
    **{n: _rounding(n) for n in ("floor", "ceil", "trunc", "rint")},
    "select": primitives.select, "sqrt": primitives.sqrt, "abs": abs, "sign": _sign, "clamp": _clamp, "power": _power,
    "remainder": _remainder, "to": lambda x, dtype: x.to(DTYPES[str(dtype)]), "inf": float("inf"),
    "floor_divide": lambda x, y: (x / y).floor(),
}  # fmt: skip

_CODE: dict[str, Any] = {}


def evaluate(row: Row, values: list[Lane], block: Block) -> Lane:
    """The kernel expression of a row on lanes; half precision is computed in single and rounded after every row."""
    code = _CODE.get(row.op.kernel or "")
    if code is None:
        code = _CODE[row.op.kernel or ""] = compile(row.op.kernel or "", f"<{row.op.name}>", "eval")
    wide = [v.to("f32") if v.type == "f16" else v for v in values]
    result = eval(code, {}, Names(NAMES | dict(zip(row.op.inputs, wide)) | row.params))
    kind = DTYPES[str(row.dtype)]
    if not isinstance(result, Lane):
        return block.const(result, kind, values[0].lanes)
    return result if result.type == kind else result.to(kind)


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
        values = [_in(self.block, self.number(access(x, row.shape).source)) for x in row.inputs]
        self.keep_number(row, evaluate(row, values, self.block))


class LoopEmitter:
    """The text of one loop nest."""

    def __init__(self, outer: Emitter, loop: Loop) -> None:
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
        return _in(f.block, index)

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
        f.block.store(_in(f.block, at) + self.lanes, f"%{name}.counter")
        f.block.lines.append(f"  br label %{name}.head\n{name}.rest:")
        f.flush()
        some = _in(f.block, left) > 0
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
        mask = None if left is None else block.mask(_in(block, left))
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
            return _in(block, found)
        kind = DTYPES[str(a.source.dtype)]
        where = _in(block, self.offsets[self.pattern(a.flags)]) + at
        loaded[a] = block.load(block.address(self.f.array(a.source), where, kind), kind, self.lanes, mask)
        return loaded[a]

    def store(self, block: Block, row: Row, value: Lane, at: Lane, mask: Lane | None) -> None:
        where = _in(block, self.offsets[self.pattern(_moving_of(row))]) + at
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
            word = f"<{nest.lanes} x {_WORDS[self.held]}>"
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
        value = _in(block, value).to(self.held).splat(self.nest.lanes)
        if self.plain:
            self.nest.store(block, self.row, value.to(self.kind), at, mask)
            return
        if mask is not None and (self.inner or self.adds):
            value = primitives.select(mask, value, self._start(block, self.nest.lanes))
        if self.inner:
            block.store(self._join(block.load(self.register, self.held, self.nest.lanes), value), self.register)
            return
        where = block.address(self.memory, _in(block, self.nest.offsets[self.out]) + at, self.held)
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
                block.store(total.to(self.kind), block.address(self.f.array(self.row, written=True), at, self.kind), mask)

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
        body(block, _in(block, at), block.mask(_in(block, left)))
        f.pieces.append(str(block))
        f.block = f.straight()
        f.block.store(_in(f.block, at) + self.nest.lanes, f"%{name}.counter")
        f.block.lines.append(f"  br label %{name}.head\n{name}.end:")
        f.flush()


_WORDS = {"f16": "half", "f32": "float", "f64": "double", "i32": "i32", "i64": "i64"}
_NUMPY = {"f16": "f2", "f32": "f4", "f64": "f8", "i32": "i4", "i64": "i8"}


def id_of(nest: LoopEmitter, row: Row) -> int:
    """The place of a row in its loop, which makes names unique."""
    return nest.rows.index(row)


def _in(block: Block, value: Lane) -> Lane:
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
