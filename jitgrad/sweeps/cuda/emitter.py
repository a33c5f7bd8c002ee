"""A plan as launches of kernels, in order, with the rows between them that are done another way."""

from __future__ import annotations

from collections.abc import Collection

from jitgrad.sweeps.cuda.body import Names, computed
from jitgrad.sweeps.cuda.nests import loop_launches
from jitgrad.sweeps.cuda.rows import by_rows, rows_fit
from jitgrad.sweeps.cuda.teams import Grid
from jitgrad.sweeps.cuda.text import Launch, Text, loaded, stored
from jitgrad.sweeps.plan.layouts import Access, is_number
from jitgrad.sweeps.plan.plan import Nest, Plan
from jitgrad.tape.row import ITEM, Row

Step = Launch | Row
"""A launch, or a row that is run by itself."""


def steps_of(plan: Plan, rows: Collection[Row], on_host: Collection[Row], grid: Grid) -> list[Step]:
    """Everything that a plan does, in order. Leaves that are `on_host` are numbers, which are passed by value."""
    names, steps = Names(plan, rows, on_host), list[Step]()
    for phase in plan.phases:
        for level in phase.ordered():
            if level.numbers:
                steps.append(_numbers(names, level.numbers))
            for nest in level.nests.values():
                steps += _nest(names, nest, grid)
            steps += [row for row in level.products if row.op is not ITEM]
        steps += phase.others
    return steps


def _nest(names: Names, nest: Nest, grid: Grid) -> list[Launch]:
    if rows_fit(names, nest):
        return by_rows(names, nest, grid)
    return [launch for loop in nest.loops() for launch in loop_launches(names, loop, grid)]


def _numbers(names: Names, rows: list[Row]) -> Launch:
    """Single numbers, by one thread; each is put into memory, where other kernels find it."""
    text, made = Text(1), dict[Row, str]()

    def read(a: Access) -> str:
        if not is_number(a.source):
            return loaded(f"{names.array(text, a.source)}[{text.size(a.offset)}]", a.source.dtype)
        return made.get(a.source) or names.single(text, a.source)

    for row in rows:
        values = [read(a) for a in names.plan.operands(row)]
        made[row] = f"{names.of[row]}_n"
        text.lines.append(f"    {made[row]} = {computed(row, values)}  # {row.op.name}")
        text.lines.append(f"    {names.array(text, row)}[0] = {stored(made[row], row.dtype)}")
    return text.launch(1)
