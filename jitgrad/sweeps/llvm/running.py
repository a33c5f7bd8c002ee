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

LEAST_APART = 4
"""As many lines are computed together though they are not neighbours in memory: each waits for its last result, all at once."""


def emit_running(f: Any, row: Row) -> None:
    """Append the loops of a running result to the text of `f`: one along the dimension inside of all others."""
    along, whole = row.params["dim"], stand_in(row.shape)
    operands = [f.operand(x) for x in row.inputs]
    operands.append((f.array(row, written=True), whole))
    f.count += 1
    name = f"R{f.count}"
    others = [d for d in range(row.ndim) if d != along and row.shape[d] != 1]
    apart = [part.strides[others[-1]] if others else 1 for _, part in operands]
    vectors = bool(others) and (apart.count(1) == len(apart) or row.shape[others[-1]] >= LEAST_APART)
    places = [moved(f.block, f.size(place(part)[0])) for _, part in operands]
    outer = others[: len(others) - vectors]
    for d in outer:
        index = f.open(f"{name}.{d}", f.size(row.shape[d]))
        places = [moved(f.block, at) + index * f.size(part.strides[d]) for at, (_, part) in zip(places, operands)]

    steps = [None if not vectors or n == 1 else f.size(n) for n in apart]

    def column(at: Lane, mask: Lane | None) -> None:
        further = [at if step is None else at * step for step in steps]
        _emit_column(f, row, operands, [moved(f.block, start) + more for start, more in zip(places, further)], steps, mask)

    if vectors:
        f.vectors(f"{name}.v", f.size(row.shape[others[-1]]), 8, column)
    else:
        column(f.block.const(0, "i64"), None)
    for d in reversed(outer):
        f.close(f"{name}.{d}")


def _emit_column(f: Any, row: Row, operands: list, starts: list[Lane], steps: list[Lane | None], mask: Lane | None) -> None:
    """The results of one element after the other, or of W at a time, which are so many elements apart in each operand."""
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
    for (pointer, _), at, step, x in zip(operands, places, steps, row.inputs):
        kind = kind_of(x.dtype)
        if step is None:
            found = block.load(block.address(pointer, at, kind), kind, lanes, mask)
        else:
            found = block.gather(pointer, block.spaced(at, step, lanes), kind, mask)
        values.append(found.to(held[0]))
    values.append(k.splat(lanes))
    for register, type, step in zip(carried, held, row.op.running.steps):
        found = evaluate(Row(step, (), {}, (), NUMPY[type], False), values, block)
        block.store(found, register)
    found, target = found.to(kind_of(row.dtype)), operands[-1][0]
    if steps[-1] is None:
        block.store(found, block.address(target, places[-1], found.type), mask)
    else:
        block.scatter(found, target, block.spaced(places[-1], steps[-1], lanes), mask)
    f.close(label)
