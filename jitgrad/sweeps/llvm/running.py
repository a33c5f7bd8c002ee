"""Running sums and products along one dimension, `z[k] = x[0] + … + x[k]`, as loops in machine code."""

from __future__ import annotations

from typing import Any

from jitgrad.sweeps.llvm.folds import joined
from jitgrad.sweeps.llvm.function import moved
from jitgrad.sweeps.llvm.lanes import Lane
from jitgrad.sweeps.plan.folds import RUNNING, held_as, neutral
from jitgrad.sweeps.plan.layouts import place, stand_in
from jitgrad.sweeps.plan.machine_types import kind_of
from jitgrad.tape.row import Row


def emit_running(f: Any, row: Row) -> None:
    """Append the loops of a running sum or product to the text of `f`: one along the dimension inside of all others."""
    along = row.params["dim"]
    (pointer, part), whole = f.operand(row.inputs[0]), stand_in(row.shape)
    result, kind, source = f.array(row, written=True), kind_of(row.dtype), kind_of(row.inputs[0].dtype)
    fold = RUNNING[row.op]
    held = held_as(fold, kind)
    f.count += 1
    name = f"R{f.count}"
    others = [d for d in range(row.ndim) if d != along and row.shape[d] != 1]
    vectors = bool(others) and part.strides[others[-1]] == whole.strides[others[-1]] == 1
    here, there = moved(f.block, f.size(place(part)[0])), f.block.const(0, "i64")
    for d in others[: len(others) - vectors]:
        index = f.open(f"{name}.{d}", f.size(row.shape[d]))
        here = moved(f.block, here) + index * f.size(part.strides[d])
        there = moved(f.block, there) + index * f.size(whole.strides[d])

    def column(at: Lane, mask: Lane | None) -> None:
        """The results of one element after the other, or of W side by side."""
        lanes = f.block.lanes
        ours, theirs = moved(f.block, here) + at, moved(f.block, there) + at
        f.count += 1
        total = f"{name}.total{f.count}"
        f.register(f"%{total}", held, lanes)
        f.block.store(f.block.const(neutral(fold, held), held, lanes), f"%{total}")
        k = f.open(total, f.size(row.shape[along]))
        block = f.block
        mask = None if mask is None else moved(block, mask)
        where = block.address(pointer, moved(block, ours) + k * f.size(part.strides[along]), source)
        value = joined(fold, block.load(f"%{total}", held, lanes), block.load(where, source, lanes, mask).to(held))
        block.store(value, f"%{total}")
        block.store(value.to(kind), block.address(result, moved(block, theirs) + k * f.size(whole.strides[along]), kind), mask)
        f.close(total)

    if vectors:
        f.vectors(f"{name}.v", f.size(row.shape[others[-1]]), 8, column)
    else:
        column(f.block.const(0, "i64"), None)
    for d in reversed(others[: len(others) - vectors]):
        f.close(f"{name}.{d}")
