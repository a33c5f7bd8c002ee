"""Running results along one dimension (sums, products, extremes, linear recurrences) as loops in machine code."""

from __future__ import annotations

from typing import Any

from jitgrad.sweeps.llvm.expressions import evaluate
from jitgrad.sweeps.llvm.function import moved
from jitgrad.sweeps.llvm.lanes import Lane
from jitgrad.sweeps.plan.folds import carried_as, neutral
from jitgrad.sweeps.plan.layouts import place, stand_in
from jitgrad.sweeps.plan.machine_types import NUMPY, kind_of
from jitgrad.tape.row import Row


def emit_running(f: Any, row: Row) -> None:
    """Append the loops of a running result to the text of `f`: one along the dimension inside of all others."""
    along, whole = row.params["dim"], stand_in(row.shape)
    operands = [f.operand(x) for x in row.inputs]
    operands.append((f.array(row, written=True), whole))
    f.count += 1
    name = f"R{f.count}"
    others = [d for d in range(row.ndim) if d != along and row.shape[d] != 1]
    vectors = bool(others) and all(part.strides[others[-1]] == 1 for _, part in operands)
    places = [moved(f.block, f.size(place(part)[0])) for _, part in operands]
    for d in others[: len(others) - vectors]:
        index = f.open(f"{name}.{d}", f.size(row.shape[d]))
        places = [moved(f.block, at) + index * f.size(part.strides[d]) for at, (_, part) in zip(places, operands)]

    def column(at: Lane, mask: Lane | None) -> None:
        _emit_column(f, row, operands, [moved(f.block, start) + at for start in places], mask)

    if vectors:
        f.vectors(f"{name}.v", f.size(row.shape[others[-1]]), 8, column)
    else:
        column(f.block.const(0, "i64"), None)
    for d in reversed(others[: len(others) - vectors]):
        f.close(f"{name}.{d}")


def _emit_column(f: Any, row: Row, operands: list, starts: list[Lane], mask: Lane | None) -> None:
    """The results of one element after the other, or of W side by side."""
    along, lanes, held = row.params["dim"], f.block.lanes, carried_as(row)
    f.count += 1
    label = f"C{f.count}.running"
    carried = [f"%{label}{j}" for j in range(len(held))]
    for register, type, start in zip(carried, held, row.op.running.start):
        f.register(register, type, lanes)
        f.block.store(f.block.const(neutral(start, type), type, lanes), register)
    k = f.open(label, f.size(row.shape[along]))
    block = f.block
    mask = None if mask is None else moved(block, mask)
    places = [moved(block, at) + k * f.size(part.strides[along]) for at, (_, part) in zip(starts, operands)]
    values = [block.load(register, type, lanes) for register, type in zip(carried, held)]
    for (pointer, _), at, x in zip(operands, places, row.inputs):
        kind = kind_of(x.dtype)
        values.append(block.load(block.address(pointer, at, kind), kind, lanes, mask).to(held[0]))
    values.append(k.splat(lanes))
    for register, type, step in zip(carried, held, row.op.running.steps):
        found = evaluate(Row(step, (), {}, (), NUMPY[type], False), values, block)
        block.store(found, register)
    result = kind_of(row.dtype)
    block.store(found.to(result), block.address(operands[-1][0], places[-1], result), mask)
    f.close(label)
