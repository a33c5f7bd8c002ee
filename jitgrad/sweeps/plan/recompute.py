"""Computing a value again where that is cheaper than keeping it.

Between the loops of a nest a value goes through memory: a store, and a load in each loop that reads it. Where it is a
step or two of cheap arithmetic away from what is in memory anyway, the loop that needs it computes it once more.
"""

from __future__ import annotations

from jitgrad.sweeps.plan.layouts import Access, contiguous, is_number, same_elements
from jitgrad.sweeps.plan.plan import Loop, Nest, Plan, Write
from jitgrad.tape.row import Row

MOST_ROWS, MOST_LOADS = 4, 2
"""How much is computed again at most, and from how many arrays: beyond, a store and a load are cheaper."""


def recompute(plan: Plan) -> None:
    """Change the loops of a plan so that cheap values are computed where they are read instead of being kept."""
    for phase in plan.phases:
        for level in phase.levels.values():
            for nest in level.nests.values():
                _in_nest(plan, nest)


def _in_nest(plan: Plan, nest: Nest) -> None:
    loops = nest.loops()
    maker = {row: loop for loop in loops for row in loop.items if isinstance(row, Row) and row.op.fold is None}
    for row, made in list(maker.items()):
        if row not in plan.local:
            continue
        readers = [loop for loop in loops if any(a.source is row for a in _reads(plan, loop))]
        elsewhere = [loop for loop in readers if loop is not made]
        whole = Access(row, 0, contiguous(made.space))
        alike = all(a == whole for loop in readers for a in _reads(plan, loop) if a.source is row)
        cone = _cone(plan, row, maker) if alike and all(loop.space == made.space for loop in elsewhere) else None
        if cone is None:
            continue
        for loop in elsewhere:
            loop.items[:] = [*cone, *(item for item in loop.items if item not in cone)]
        plan.local.discard(row)
        plan.stored.discard(row)
        _drop_unread(plan, made)


def _reads(plan: Plan, loop: Loop) -> list[Access]:
    return [a for item in loop.items for a in plan.operands(item)]


def _cone(plan: Plan, row: Row, maker: dict[Row, Loop]) -> list[Row] | None:
    """The rows that lead from memory to `row`, in order; None if they are too many or too dear."""
    rows: list[Row] = []
    loads: set[Access] = set()
    over = maker[row].space

    def visit(r: Row) -> bool:
        if r in rows:
            return True
        if not r.op.cheap:
            return False
        for a in plan.operands(r):
            in_register = a.source in maker and a.source not in plan.stored and same_elements(a, over)
            if in_register and not visit(a.source):
                return False
            if not in_register and not is_number(a.source) and a.strides[-1] != 0:
                loads.add(a)
        rows.append(r)
        return len(rows) <= MOST_ROWS and len(loads) <= MOST_LOADS

    return rows if visit(row) else None


def _drop_unread(plan: Plan, loop: Loop) -> None:
    """Remove what a loop computes for nobody, the last rows first."""
    for item in reversed(list(loop.items)):
        if isinstance(item, Write) or item.op.fold is not None or item in plan.stored:
            continue
        if not any(a.source is item for a in _reads(plan, loop)):
            loop.items.remove(item)
