"""A nest whose stages go row by row, as softmax does: a team of threads has a row to itself, and passes over it several times."""

from __future__ import annotations

import math
from collections.abc import Collection

from jitgrad.dtypes import HALF
from jitgrad.sweeps.cuda.body import Body, Names, accumulator, cast_to, indented, register
from jitgrad.sweeps.cuda.nests import begin, kept_of, loop_launches, reductions
from jitgrad.sweeps.cuda.teams import Grid, Team, team_for
from jitgrad.sweeps.cuda.text import Launch, Text, decompose, stored
from jitgrad.sweeps.plan.layouts import same_elements, space
from jitgrad.sweeps.plan.plan import Loop, Nest
from jitgrad.tape.row import Row

FEW = 8
"""Elements of a row up to which a thread keeps what passes from stage to stage in registers."""
LONGEST = 1 << 16
"""Elements of a row beyond which passing over it stage by stage, with all blocks, is quicker."""


def rows_fit(names: Names, nest: Nest) -> bool:
    """Whether a nest has several stages, which need of each other what is by row, and rows of a length for one block."""
    loops = nest.loops()
    others = {row for loop in loops for row in reductions(loop) if not is_by_row(row)}
    read = {a.source for loop in loops for item in loop.items for a in names.plan.operands(item)}
    if others & read:
        return False
    inner = max([math.prod(loop.space[1:]) for loop in loops], default=0)
    return len(nest.stages) > 1 and nest.lead > 1 and inner <= LONGEST and inner > 0


def is_by_row(row: Row) -> bool:
    """Whether a reduction gives one number a row."""
    kept = kept_of(row)
    return bool(kept) and kept[0] and not any(kept[1:])


def by_rows(names: Names, nest: Nest, grid: Grid) -> list[Launch]:
    """One kernel for all stages, and further passes for what is not reduced by row."""
    inner = max(math.prod(loop.space[1:]) for loop in nest.loops())
    text, team = Text(grid.block), team_for(inner, grid)
    results: dict[Row, str] = {}
    registers = _registers(names, nest) if inner <= FEW else {}
    text.head += [f"    {register(names, row)} = cuda.local.array({_inner(row)}, {_kept_as(row)})" for row in registers]
    stages = [[loop for loop in nest.stages[k].values() if loop.items] for k in sorted(nest.stages)]
    inside: list[str] = []
    for loops in stages:
        for loop in loops:
            inside += _pass_over(names, text, loop, results, team, registers)
        results |= {row: f"row_{names.of[row]}" for loop in loops for row in reductions(loop) if is_by_row(row)}
        inside += team.wait
    text.lines += [
        f"    d0 = {team.number}",
        f"    while d0 < {text.size(nest.lead)}:",
        *indented(2, inside),
        f"        d0 = ix(d0 + {team.teams})",
    ]
    launches = [text.launch(team.grid(nest.lead, grid))]
    for loop in nest.loops():
        mine = [row for row in reductions(loop) if is_by_row(row)]
        launches += loop_launches(names, loop, grid, stores=False, leave=mine)
    return launches


def _registers(names: Names, nest: Nest) -> dict[Row, None]:
    """The rows that only this nest knows, and reads as it makes them: element after element, by the same thread."""
    loops, plan = nest.loops(), names.plan
    if any(not is_by_row(row) for loop in loops for row in reductions(loop)):  # which are gone over again, from memory
        return {}
    made = {i: loop.space for loop in loops for i in loop.items if isinstance(i, Row) and i.op.fold is None and i in plan.local}
    for loop in loops:
        for a in [a for item in loop.items for a in plan.operands(item) if a.source in made]:
            if loop.space != made.get(a.source) or not same_elements(a, loop.space):
                made.pop(a.source, None)
    return dict.fromkeys(made)


def _inner(row: Row) -> int:
    return math.prod(space(row.shape)[1:])


def _kept_as(row: Row) -> str:
    """As what an element is kept in a register."""
    return "float32" if row.dtype in HALF else cast_to(row.dtype)


def _pass_over(
    names: Names, text: Text, loop: Loop, results: dict[Row, str], team: Team, registers: Collection[Row]
) -> list[str]:
    """Lines that go once over a row for one loop."""
    rows = [row for row in reductions(loop) if is_by_row(row)]
    inner = math.prod(loop.space[1:])
    body = Body(names, text, loop, results=results)
    body.registers = registers
    body.write(rows, accumulator(names))
    if not body.lines:
        return []
    within = indented(1, [*decompose("q", "j", list(enumerate(loop.space))[1:], body.used, text), *body.lines])
    if registers:  # the number of turns is part of the text, as registers have no addresses
        lines = [*begin(names, rows), f"for j in range({inner}):", *within]
    else:
        lines = [
            *begin(names, rows),
            f"j = {team.first}",
            f"while j < {text.size(inner)}:",
            *within,
            f"    j = ix(j + {team.step})",
        ]
    for row in rows:
        place = f"{names.array(text, row)}[d0] = {stored(f'{cast_to(row.dtype)}(acc_{names.of[row]})', row.dtype)}"
        lines += [*team.fold(names, text, row), *team.written([place])]
        lines.append(f"row_{names.of[row]} = {cast_to(row.dtype)}(acc_{names.of[row]})")
    return lines
