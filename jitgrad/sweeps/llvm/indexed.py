"""Reading and writing with index arrays: `x[i]`, where machine code works out the addresses.

An index that is out of bounds is replaced by 0, so that no foreign memory is touched, and noted in the flag of the function:
whoever called it raises `IndexError`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.ops.faults import OUT_OF_BOUNDS
from jitgrad.ops.indexing import within
from jitgrad.sweeps.llvm.function import moved
from jitgrad.sweeps.llvm.lanes import Lane
from jitgrad.sweeps.plan.indexing import Picked, is_below, value_of
from jitgrad.sweeps.plan.layouts import is_number, place, stand_in
from jitgrad.sweeps.plan.machine_types import kind_of
from jitgrad.tape.row import Row


def emit_indexed(f: Any, row: Row) -> None:
    """Append the loops of a row with index arrays to the text of the `Emitter` `f`."""
    if row.op is within:
        _emit_within(f, row)
        return
    picked, kind = Picked(row), kind_of(row.dtype)
    if not row.op.writes:
        pointer, whole = f.operand(row.inputs[0])
        one = is_number(row)
        other, part = (f.stack(row) if one else f.array(row, written=True)), stand_in(row.shape)
    else:
        other, part = f.operand(value_of(row))
        pointer, whole = f.array(row, written=True), stand_in(row.shape)
        source = f.plan.layouts.view(row.inputs[0])[0]
        if is_number(source) or f.array(source) != pointer:
            f.write(row.inputs[0], pointer)
    f.count += 1
    name = f"I{f.count}"
    indices = [f.operand(a) for _, a in picked.slots]
    indices = [(p, np.broadcast_to(where, picked.block)) for p, where in indices]
    here, there = moved(f.block, f.size(place(whole)[0])), moved(f.block, f.size(place(part)[0]))
    outer = [(d, k) for d, k in picked.kept if k < min(picked.block_at, default=0)]
    for d, k in outer:  # in the order of what is picked: of several writes to one place, the last one counts there, too
        step = f.open(f"{name}.k{d}", f.size(whole.shape[d]))
        here = moved(f.block, here) + step * f.size(whole.strides[d])
        there = moved(f.block, there) + step * f.size(part.strides[k])
    starts = [moved(f.block, f.size(place(where)[0])) for _, where in indices]
    for b, n in enumerate(picked.block):
        step = f.open(f"{name}.b{b}", f.size(n))
        there = moved(f.block, there) + step * f.size(part.strides[picked.block_at[b]])
        starts = [moved(f.block, s) + step * f.size(where.strides[b]) for s, (_, where) in zip(starts, indices)]
        for d in [d for d, k in picked.walked if k == b]:
            here = moved(f.block, here) + step * f.size(whole.strides[d])
    for (d, a), start, (p, _) in zip(picked.slots, starts, indices):
        index = _index(f, a, p, start, whole.shape[d])
        here, there = moved(f.block, here) + index * f.size(whole.strides[d]), moved(f.block, there)
    inner = [(d, k) for d, k in picked.kept if (d, k) not in outer and whole.shape[d] != 1]
    steps = [(whole.shape[d], whole.strides[d], part.strides[k]) for d, k in inner]
    _over(f, name, steps, here, there, _body(f, row, kind, pointer, other))
    for b in reversed(range(len(picked.block))):
        f.close(f"{name}.b{b}")
    for d, _ in reversed(outer):
        f.close(f"{name}.k{d}")
    if not row.op.writes and is_number(row):
        f.keep_number(row, f.block.load(other, kind, 1))


def _index(f: Any, array: Row, pointer: str, start: Lane, size: int) -> Lane:
    """The element at `start` of an index array, from 0 to size - 1."""
    word = kind_of(array.dtype)
    index = f.block.load(f.block.address(pointer, moved(f.block, start), word), word, 1).to("i64")
    return index if is_below(f.plan.layouts.access(array).source, size) else _checked(f, index, size)


def _emit_within(f: Any, row: Row) -> None:
    """Indices as they are, after a look at whether they are in bounds."""
    pointer, where = f.operand(row.inputs[0])
    one = is_number(row)
    target, whole = (f.stack(row) if one else f.array(row, written=True)), stand_in(row.shape)
    f.count += 1
    name = f"I{f.count}"
    here, there = moved(f.block, f.size(place(where)[0])), f.block.const(0, "i64")
    for d, n in enumerate(row.shape):
        step = f.open(f"{name}.{d}", f.size(n))
        here = moved(f.block, here) + step * f.size(where.strides[d])
        there = moved(f.block, there) + step * f.size(whole.strides[d])
    kind = kind_of(row.inputs[0].dtype)
    found = f.block.load(f.block.address(pointer, here, kind), kind, 1).to("i64")
    index = _checked(f, found, row.params["size"], from_end=False).to("i32")
    f.block.store(index, f.block.address(target, moved(f.block, there), "i32"))
    for d in reversed(range(row.ndim)):
        f.close(f"{name}.{d}")
    if one:
        f.keep_number(row, f.block.load(target, "i32", 1))


def _body(f: Any, row: Row, kind: str, pointer: str, other: str) -> Callable[[Lane, Lane, Lane | None], None]:
    """What is done for the elements at `here` of what is indexed and `there` of the rest."""

    def body(here: Lane, there: Lane, mask: Lane | None) -> None:
        block, lanes = f.block, f.block.lanes
        inside, outside = block.address(pointer, here, kind), block.address(other, there, kind)
        if not row.op.writes:
            block.store(block.load(inside, kind, lanes, mask), outside, mask)
            return
        value = block.load(outside, kind, lanes, mask)
        if row.op.adds:
            value = block.load(inside, kind, lanes, mask) + value
        block.store(value, inside, mask)

    return body


def _over(f: Any, name: str, steps: Sequence[tuple[int, int, int]], here: Lane, there: Lane, body: Callable) -> None:
    """Loops over the dimensions that are kept; the last in vectors if both sides are without gaps."""
    vectors = bool(steps) and steps[-1][1:] == (1, 1)
    for d, (n, ours, theirs) in enumerate(steps[: len(steps) - vectors]):
        index = f.open(f"{name}.{d}", f.size(n))
        here = moved(f.block, here) + index * f.size(ours)
        there = moved(f.block, there) + index * f.size(theirs)
    if vectors:
        f.vectors(
            f"{name}.v",
            f.size(steps[-1][0]),
            8,
            lambda at, mask: body(moved(f.block, here) + at, moved(f.block, there) + at, mask),
        )
    else:
        body(here, there, None)
    for d in reversed(range(len(steps) - vectors)):
        f.close(f"{name}.{d}")


def _checked(f: Any, index: Lane, size: int, from_end: bool = True) -> Lane:
    """The index counted from 0; 0, and a note in the flag, if it is out of bounds."""
    n = f.size(size)
    counted = (index < 0).select(index + n, index) if from_end else index
    bad = (counted < 0) | (counted >= n)
    f.count += 1
    name, flag = f"B{f.count}", f.flag()
    f.block.lines.append(f"  br i1 {bad.name}, label %{name}.bad, label %{name}.fine\n{name}.bad:")
    f.flush()
    for k, value in enumerate((f.block.const(OUT_OF_BOUNDS.number, "i64"), index, f.size(size))):
        f.block.store(moved(f.block, value), f.block.address(flag, k, "i64"))
    f.block.lines.append(f"  br label %{name}.fine\n{name}.fine:")
    f.flush()
    return moved(f.block, bad).select(f.block.const(0, "i64"), moved(f.block, counted))
