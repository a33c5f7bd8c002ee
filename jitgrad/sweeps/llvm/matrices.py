"""Rows that say in loops what becomes of one matrix after the other (`ops/elimination`), in machine code.

Their functions are run once, on matrices whose elements are instructions. Of a batch W matrices are done side by side, one in each
lane: they are gathered into memory of their own, element by element, and what comes out is scattered from there. One that is
alone is read and written where it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from jitgrad.ops.shapes import Spec
from jitgrad.sweeps.llvm.function import moved
from jitgrad.sweeps.llvm.lanes import Lane
from jitgrad.sweeps.plan.layouts import is_number, place, stand_in
from jitgrad.sweeps.plan.machine_types import NUMPY, SIZES, kind_of
from jitgrad.tape.row import Row

FEWEST = 4
"""Matrices that are worth being done side by side."""


class Value:
    """A number in each lane, or the index of a loop: what is computed from it is written where the function then stands."""

    __slots__ = ("f", "lane")

    def __init__(self, f: Any, lane: Lane) -> None:
        self.f, self.lane = f, lane

    @property
    def type(self) -> str:
        return self.lane.type

    def span(self, first: Any) -> Iterator[Value]:
        """The indices from the first on up to this one: a loop, whose body is written meanwhile."""
        f = self.f
        f.count += 1
        name = f"M{f.count}"
        yield Value(f, f.open(name, _lane(f, self), start=_lane(f, first)))
        f.close(name)


def _lane(f: Any, value: Any) -> Any:
    """A value as one of the block that is being written; numbers as they are, but for indices."""
    if isinstance(value, Value):
        return moved(f.block, value.lane)
    return f.block.const(value, "i64") if isinstance(value, int) and not isinstance(value, bool) else value


def _written(name: str) -> Callable:
    def method(self: Value, *others: Any) -> Value:
        given = [_lane(self.f, x) if isinstance(x, Value) else x for x in others]
        return Value(self.f, getattr(_lane(self.f, self), name)(*given))

    return method


_ARITHMETIC = ("add", "sub", "mul", "truediv", "radd", "rsub", "rmul", "rtruediv", "and", "or", "xor", "lshift", "rshift")
for _name in (*_ARITHMETIC, "neg", "abs", "invert", "lt", "le", "gt", "ge", "eq", "ne"):
    setattr(Value, f"__{_name}__", _written(f"__{_name}__"))
for _name in ("select", "fma", "sqrt", "to", "bits", "float_of", "isnan", "copysign", "floor", "rint"):
    setattr(Value, _name, _written(_name))


class Matrix:
    """A matrix, vector or number in memory, of which there are so many side by side; integers are i64 while one computes."""

    def __init__(
        self, pointer: str, start: Value, shape: tuple[Value, ...], strides: tuple[Value, ...], kind: str, lanes: int
    ) -> None:
        self.f, self.pointer, self.start = start.f, pointer, start
        self.shape, self.strides, self.kind, self.lanes = shape, strides, kind, lanes

    def __getitem__(self, index: Any) -> Value:
        found = self.f.block.load(self.address(index), self.kind, self.lanes)
        return Value(self.f, found if self.kind[0] == "f" else found.to("i64"))

    def __setitem__(self, index: Any, value: Any) -> None:
        block = self.f.block
        lane = _lane(self.f, value) if isinstance(value, Value) else block.const(value, self.kind, self.lanes)
        block.store(lane.to(self.kind).splat(self.lanes), self.address(index))

    def address(self, index: Any) -> str:
        """The pointer to an element."""
        at = self.start
        for i, stride in zip(index if isinstance(index, tuple) else (index,), self.strides):
            at = at + stride * i
        return self.f.block.address(self.pointer, _lane(self.f, at), self.kind)


class Slot(NamedTuple):
    """An operand or a result of a row: its memory, and where in it the elements are."""

    pointer: str
    part: np.ndarray
    kind: str


def emit_matrices(f: Any, row: Row) -> None:
    """Append the loops of a row to the text of the `Emitter` `f`."""
    specs = [Spec(*s) for s in row.op.shape(*row.inputs, **row.params)] if row.op.several else [Spec(row.shape, row.dtype)]
    items = {x.params["k"]: x for x in f.items[row]} if row.op.several else {0: row}
    given = [Slot(*f.operand(x), kind_of(x.dtype)) for x in row.inputs]
    made = [_result(f, items.get(k), spec) for k, spec in enumerate(specs)]
    _Batch(f, row, given, made).write()
    for k, x in items.items():
        if is_number(x):
            f.keep_number(x, f.block.load(made[k].pointer, kind_of(x.dtype), 1))


def _result(f: Any, row: Row | None, spec: Spec) -> Slot:
    """Where a result goes: the memory of its row, the stack, or, if nobody reads it, where it is forgotten."""
    if row is None:
        pointer = f.temporary(spec.dtype, math.prod(spec.shape))
    else:
        pointer = f.stack(row) if is_number(row) else f.array(row, written=True)
    return Slot(pointer, stand_in(spec.shape), kind_of(spec.dtype))


class _Batch:
    """The loops over all matrices, and what is done for one, or for W."""

    def __init__(self, f: Any, row: Row, given: list[Slot], made: list[Slot]) -> None:
        self.f, self.row, self.given, self.made = f, row, given, made
        self.slots = [*given, *made]
        rank = row.inputs[0].ndim - 2
        batch = row.inputs[0].shape[:rank]
        self.shapes = [slot.part.shape[rank:] for slot in self.slots]
        self.inner = [tuple(0 if n == 1 else s for n, s in zip(x.part.shape, x.part.strides))[rank:] for x in self.slots]
        self.groups = _merged(batch, [stand_in(batch).strides, *[slot.part.strides[:rank] for slot in self.slots]])
        self.groups.sort(key=lambda group: group[0])
        self.lanes = 64 // SIZES[given[0].kind] if self.groups and self.groups[-1][0] >= FEWEST else 1
        f.count += 1
        self.name = f"B{f.count}"

    def write(self) -> None:
        f, one = self.f, self.lanes == 1
        starts = [f.block.const(0, "i64"), *[moved(f.block, f.size(place(slot.part)[0])) for slot in self.slots]]
        outer = self.groups if one else self.groups[:-1]
        for d, (n, steps) in enumerate(outer):
            index = f.open(f"{self.name}.{d}", f.size(n))
            starts = self._further(starts, index, steps)
        if one:
            self._some(starts, None)
        else:
            n, steps = self.groups[-1]
            index = f.open(f"{self.name}.v", f.size(n))
            mask = f.block.mask(moved(f.block, f.size(n)) - index, self.lanes)
            self._some(self._further(starts, index, steps), mask)
            f.close(f"{self.name}.v", self.lanes)
        for d in reversed(range(len(outer))):
            f.close(f"{self.name}.{d}")

    def _further(self, starts: list[Lane], index: Lane, steps: Sequence[int]) -> list[Lane]:
        return [moved(self.f.block, start) + index * self.f.size(step) for start, step in zip(starts, steps)]

    def _some(self, starts: list[Lane], mask: Lane | None) -> None:
        """One matrix of each operand and each result, or those of W lanes."""
        f, loops, params = self.f, self.row.op.loops, self.row.params
        number, *starts = starts
        if mask is None:
            matrices = [
                self._matrix(slot.pointer, Value(f, start), shape, inner, slot.kind)
                for slot, start, shape, inner in zip(self.slots, starts, self.shapes, self.inner)
            ]
        else:
            matrices = [self._room(shape, slot.kind) for slot, shape in zip(self.slots, self.shapes)]
            for k in range(len(self.given)):
                self._move(k, matrices[k], starts[k], mask, out=False)
        room = [self._room(shape, kind_of(dtype)) for shape, dtype in loops.room(*self.row.inputs, **params)]
        wrong = loops.run(*matrices, *room, **params)
        if mask is not None:
            for k in range(len(self.given), len(self.slots)):
                self._move(k, matrices[k], starts[k], mask, out=True)
        if loops.fault is not None and self.row.op.checks(self.row):
            self._note(_lane(f, wrong), number, mask)

    def _matrix(self, pointer: str, start: Value, shape: Sequence[int], strides: Sequence[int], kind: str) -> Matrix:
        sizes, steps = (tuple([Value(self.f, self.f.size(n)) for n in many]) for many in (shape, strides))
        return Matrix(pointer, start, sizes, steps, kind, self.lanes)

    def _room(self, shape: Sequence[int], kind: str) -> Matrix:
        """Memory for a matrix in each lane, element by element."""
        pointer = self.f.temporary(NUMPY[kind], math.prod(shape) * self.lanes)
        strides = [s * self.lanes for s in stand_in(tuple(shape)).strides]
        return self._matrix(pointer, Value(self.f, self.f.block.const(0, "i64")), shape, strides, kind)

    def _move(self, k: int, matrix: Matrix, start: Lane, mask: Lane, *, out: bool) -> None:
        """Gather an operand into its room, or scatter a result from it."""
        f, slot = self.f, self.slots[k]
        step = f.size(self.groups[-1][1][1 + k])
        at, indices, names = Value(f, start), [], []
        for d, (n, s) in enumerate(zip(self.shapes[k], self.inner[k])):
            f.count += 1
            names.append(f"{self.name}.m{f.count}")
            indices.append(Value(f, f.open(names[-1], f.size(n))))
            at = at + Value(f, f.size(s)) * indices[d]
        block, mask = f.block, moved(f.block, mask)
        places = block.spaced(_lane(f, at), moved(block, step), self.lanes)
        if out:
            block.scatter(block.load(matrix.address(tuple(indices)), slot.kind, self.lanes), slot.pointer, places, mask)
        else:
            matrix[tuple(indices)] = Value(f, block.gather(slot.pointer, places, slot.kind, mask))
        for name in reversed(names):
            f.close(name)

    def _note(self, wrong: Lane, number: Lane, mask: Lane | None) -> None:
        """Note the first matrix with which something is wrong, unless there is something in the flag already."""
        f, flag = self.f, self.f.flag()
        block = f.block
        bad = wrong != 0 if mask is None else (wrong != 0) & moved(block, mask)
        bits = block.emit(f"bitcast {bad} to i{self.lanes}", f"u{self.lanes}", 1) if self.lanes > 1 else bad
        noted = block.load(block.address(flag, 0, "i64"), "i64", 1)
        here = (bits != 0) & (noted == 0)
        name = f"{self.name}.wrong"
        block.lines.append(f"  br i1 {here.name}, label %{name}, label %{name}.done\n{name}:")
        f.flush()
        block = f.block
        order, first = moved(block, wrong), moved(block, number)
        if self.lanes > 1:
            width = f"i{self.lanes}"
            block.declares.add(f"declare {width} @llvm.cttz.{width}({width}, i1)")
            lane = block.emit(f"call {width} @llvm.cttz.{width}({width} {bits.name}, i1 true)", f"u{self.lanes}", 1).to("u64")
            order = block.emit(f"extractelement {order}, i64 {lane.name}", "i64", 1)
            first = first + block.value(lane.name, "i64", 1)
        for k, value in enumerate((block.const(self.row.op.loops.fault.number, "i64"), first, order)):
            block.store(value, block.address(flag, k, "i64"))
        block.lines.append(f"  br label %{name}.done\n{name}.done:")
        f.flush()


def _merged(batch: Sequence[int], strides: list[Sequence[int]]) -> list[tuple[int, list[int]]]:
    """Sizes and steps of the loops over a batch: neighbouring dimensions that all walk over as if one are one."""
    groups: list[tuple[int, list[int]]] = []
    for d, n in enumerate(batch):
        steps = [s[d] for s in strides]
        if n == 1:
            continue
        if groups and all(before == step * n for before, step in zip(groups[-1][1], steps)):
            groups[-1] = groups[-1][0] * n, steps
        else:
            groups.append((n, steps))
    return groups
