"""Rows that say in loops what becomes of one matrix after the other (`ops/elimination`), as one native function for each.

Their functions are run once, on matrices whose elements are instructions. Of a batch W matrices are done side by side, one in
each lane: they are brought into memory of their own, element by element, and what comes out is taken from there. Where less than
W are left, the last one is done in several lanes. A matrix that is alone is read and written where it is. Sizes and steps are
arguments, as those of `products` are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jitgrad.base.locks import once
from jitgrad.base.signals import importing
from jitgrad.ops import TABLE
from jitgrad.ops.shapes import Spec
from jitgrad.ops.table import infer_several
from jitgrad.sweeps.code.compile import Kernel, compile_text
from jitgrad.sweeps.code.scipys import routines
from jitgrad.sweeps.llvm.function import Function, moved
from jitgrad.sweeps.llvm.lanes import Lane, side_by_side
from jitgrad.sweeps.llvm.written import Matrix, Value, lane_of
from jitgrad.sweeps.plan.layouts import is_number, place, stand_in
from jitgrad.sweeps.plan.machine_types import NUMPY, SIZES, kind_of
from jitgrad.sweeps.plan.supported import MACHINE_CODE
from jitgrad.tape.row import Row

FEWEST = 4
"""Matrices that are worth being done side by side."""


class Sort(NamedTuple):
    """What there is one native function for."""

    op: str
    params: tuple[tuple[str, Any], ...]
    given: int
    slots: tuple[tuple[str, int], ...]
    """Of operands and results, then of the room, the type and the number of dimensions."""
    made: int
    lanes: int
    checked: bool
    large: bool
    """Whether LAPACK does it."""

    @property
    def symbol(self) -> str:
        words = [f"{name}{int(value)}" for name, value in self.params]
        return ".".join(
            ["jitgrad.matrices", self.op, *words, f"{self.slots[0][0]}x{self.lanes}{'c' * self.checked}{'l' * self.large}"]
        )

    @property
    def pointers(self) -> list[str]:
        return [*[f"s{k}" for k in range(len(self.slots))], *[f"p{k}" for k in range(self.made)], "flag"]

    @property
    def numbers(self) -> list[str]:
        found = ["count", "number", "number.step"]
        for k, (_, rank) in enumerate(self.slots):
            found += [f"s{k}.step", *[f"s{k}.n{d}" for d in range(rank)], *[f"s{k}.t{d}" for d in range(rank)]]
        return found


_sorts: dict[str, Sort] = {}


def matrices_text(symbol: str) -> set[str]:
    """The function of that name and what it needs, for those who want it in their own machine code."""
    sort = _sorts[symbol]
    function = _Loops(sort)
    return {*function.declares, function.function(symbol, sort.pointers, sort.numbers, sort="internal ")}


@once
def _kernel(sort: Sort) -> Kernel:
    name = sort.symbol.replace(".", "_")
    return compile_text(_Loops(sort).define(name, sort.pointers, sort.numbers), name)


class _Loops(Function):
    """The text of the function."""

    def __init__(self, sort: Sort) -> None:
        super().__init__()
        self.sort, self.loops = sort, TABLE[sort.op].loops
        if sort.lanes == 1:
            self._some([self._number("number")], [[self.block.const(0, "i64")] for _ in sort.slots])
        else:
            last = self._number("count") - 1
            index = self.open("matrices", self._number("count"))
            lanes = [moved(self.block, index) + k for k in range(sort.lanes)]
            lanes = [(k < last).select(k, last) for k in lanes]
            numbers = [moved(self.block, self._number("number")) + k * self._number("number.step") for k in lanes]
            self._some(numbers, [[k * self._number(f"s{i}.step") for k in lanes] for i in range(sort.made)])
            self.close("matrices", sort.lanes)
        self.flush()

    def _number(self, name: str) -> Lane:
        return self.block.value(f"%{name}", "i64")

    def _some(self, numbers: list[Lane], starts: list[list[Lane]]) -> None:
        """One matrix of each operand and each result, or those of W lanes; of each lane where they begin."""
        sort = self.sort
        side = sort.lanes > 1 or sort.large
        matrices = [self._matrix(k, packed=side or k >= sort.made) for k in range(len(sort.slots))]
        if side:
            for k in range(sort.given):
                self._move(k, matrices[k], starts[k], out=False)
        run = _by_lapack(self.loops.run) if sort.large else self.loops.run
        wrong = run(*matrices, **dict(sort.params))
        if side:
            for k in range(sort.given, sort.made):
                self._move(k, matrices[k], starts[k], out=True)
        if sort.checked:
            self._note(lane_of(self, wrong), moved(self.block, numbers[0]))

    def _matrix(self, k: int, packed: bool) -> Matrix:
        """An operand, a result or room, where it is or, if `packed`, in the memory of the lanes, element by element."""
        kind, rank = self.sort.slots[k]
        sizes, steps = (tuple([Value(self, self._number(f"s{k}.{c}{d}")) for d in range(rank)]) for c in "nt")
        if packed:
            step: Any = Value(self, self.block.const(self.sort.lanes, "i64"))
            found: list[Any] = []
            for size in reversed(sizes):
                found.append(step)
                step = step * size
            steps = tuple(reversed(found))
        side = packed and k < self.sort.made
        start = Value(self, self.block.const(0, "i64"))
        return Matrix(f"%{'p' if side else 's'}{k}", start, sizes, steps, kind, self.sort.lanes)

    def _move(self, k: int, matrix: Matrix, starts: list[Lane], *, out: bool) -> None:
        """Bring an operand into its room, or a result from there."""
        kind, rank = self.sort.slots[k]
        at: Any = Value(self, self.block.const(0, "i64"))
        indices: list[Any] = []
        names = []
        for d in range(rank):
            self.count += 1
            names.append(f"m{self.count}")
            indices.append(Value(self, self.open(names[-1], self._number(f"s{k}.n{d}"))))
            at = at + indices[-1] * Value(self, self._number(f"s{k}.t{d}"))
        block = self.block
        places = [block.address(f"%s{k}", moved(block, start) + lane_of(self, at), kind) for start in starts]
        if out:
            room = block.address(matrix.pointer, matrix.place(tuple(indices)), kind)
            value = block.load(room, kind, self.sort.lanes)
            for i, pointer in enumerate(places):
                block.store(value.at(i), pointer)
        else:
            loaded = [block.load(pointer, kind, 1) for pointer in places]
            matrix[tuple(indices)] = Value(self, side_by_side(loaded) if len(loaded) > 1 else loaded[0])
        for name in reversed(names):
            self.close(name)

    def _note(self, wrong: Lane, number: Lane) -> None:
        """Note the first matrix with which something is wrong, unless there is something in the flag already."""
        block, lanes = self.block, self.sort.lanes
        bad = wrong != 0
        bits = block.emit(f"bitcast {bad} to i{lanes}", f"u{lanes}", 1) if lanes > 1 else bad
        noted = block.load(block.address("%flag", 0, "i64"), "i64", 1)
        here = (bits != 0) & (noted == 0)
        block.lines.append(f"  br i1 {here.name}, label %wrong, label %fine\nwrong:")
        self.flush()
        block = self.block
        order, first = moved(block, wrong), moved(block, number)
        if lanes > 1:
            width = f"i{lanes}"
            block.declares.add(f"declare {width} @llvm.cttz.{width}({width}, i1)")
            lane = block.emit(f"call {width} @llvm.cttz.{width}({width} {bits.name}, i1 true)", f"u{lanes}", 1).to("u64")
            order = block.emit(f"extractelement {order}, i64 {lane.name}", "i64", 1)
            first = first + block.value(lane.name, "i64", 1) * self._number("number.step")
        for k, value in enumerate((block.const(self.loops.fault.number, "i64"), first, order)):
            block.store(value, block.address("%flag", k, "i64"))
        block.lines.append("  br label %fine\nfine:")
        self.flush()


class Slot(NamedTuple):
    """An operand or a result of a row: its memory, and where in it the elements are."""

    pointer: str
    part: np.ndarray
    kind: str


def emit_matrices(f: Any, row: Row) -> None:
    """Append the calls for a row to the text of the `Emitter` `f`."""
    inputs = list(row.inputs)
    specs = infer_several(row.op, inputs, row.params) if row.op.several else (Spec(row.shape, row.dtype),)
    items = {x.params["k"]: x for x in f.items[row]} if row.op.several else {0: row}
    given = [Slot(pointer, part, kind_of(x.dtype)) for x in inputs for pointer, part in [f.operand(x)]]
    made = [_result(f, items.get(k), spec) for k, spec in enumerate(specs)]
    _call(f, row, len(given), [*given, *made])
    for k, x in items.items():
        if is_number(x):
            f.keep_number(x, f.block.load(made[k].pointer, kind_of(x.dtype), 1))


def _by_lapack(run: Callable) -> Callable:
    with importing("jitgrad.sweeps.llvm.lapack"):  # few programs have large matrices in native functions
        from jitgrad.sweeps.llvm.lapack import with_lapack

    return with_lapack(run.__name__)


def _is_large(row: Row) -> bool:
    """Whether LAPACK is quicker than our own loops, copies and call included, and there."""
    sizes = row.inputs[0].shape[-2:]
    return min(sizes) == max(sizes) > MACHINE_CODE.largest_matrix and bool(routines())


def _result(f: Any, row: Row | None, spec: Spec) -> Slot:
    """Where a result goes: the memory of its row, the stack, or, if nobody reads it, where it is forgotten."""
    if row is None:
        pointer = f.temporary(spec.dtype, math.prod(spec.shape))
    else:
        pointer = f.stack(row) if is_number(row) else f.array(row, written=True)
    return Slot(pointer, stand_in(spec.shape), kind_of(spec.dtype))


def _call(f: Any, row: Row, given: int, slots: list[Slot]) -> None:
    """The loops over what is not done side by side, and the call in them."""
    rank = row.inputs[0].ndim - 2
    batch = row.inputs[0].shape[:rank]
    room = row.op.loops.room(*row.inputs, **row.params)
    groups = _merged(batch, [stand_in(batch).strides, *[slot.part.strides[:rank] for slot in slots]])
    groups.sort(key=lambda group: group[0])
    large = _is_large(row)
    lanes = 64 // SIZES[slots[0].kind] if not large and groups and groups[-1][0] >= FEWEST else 1
    count, steps = groups.pop() if lanes > 1 else (1, [0] * (len(slots) + 1))
    checked = row.op.loops.fault is not None and bool(row.op.checks(row))
    kinds = [*[(slot.kind, slot.part.ndim - rank) for slot in slots], *[(kind_of(dtype), len(shape)) for shape, dtype in room]]
    sort = Sort(row.op.name, tuple(row.params.items()), given, tuple(kinds), len(slots), lanes, checked, large)
    _sorts[sort.symbol] = sort
    f.count += 1
    name = f"B{f.count}"
    starts = [f.block.const(0, "i64"), *[moved(f.block, f.size(place(slot.part)[0])) for slot in slots]]
    for d, (n, by) in enumerate(groups):
        index = f.open(f"{name}.{d}", f.size(n))
        starts = [moved(f.block, start) + index * f.size(step) for start, step in zip(starts, by)]
    number, *starts = starts
    pointers = [f.block.address(slot.pointer, start, slot.kind) for slot, start in zip(slots, starts)]
    pointers += [f.temporary(dtype, math.prod(shape) * lanes) for shape, dtype in room]
    sizes = [math.prod(slot.part.shape[rank:]) * lanes if lanes > 1 or large else 0 for slot in slots]
    pointers += [f.temporary(NUMPY[slot.kind], size) if size else "null" for slot, size in zip(slots, sizes)]
    numbers: list[Any] = [count, number, steps[0]]
    for step, slot in zip(steps[1:], slots):
        inner = slot.part.shape[rank:]
        numbers += [step, *inner, *[0 if n == 1 else s for n, s in zip(inner, slot.part.strides[rank:])]]
    for shape, _ in room:
        numbers += [0, *shape, *[0] * len(shape)]
    f.call(sort.symbol, _kernel(sort), [*pointers, f.flag() if checked else "null"], numbers)
    for d in reversed(range(len(groups))):
        f.close(f"{name}.{d}")


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
