"""Large nests as functions of their own, in chunks that several threads can take.

How a nest is cut depends on its sizes alone, and what the chunks sum up is put together in their order: the result is
the same for any number of threads.
"""

from __future__ import annotations

import math

from jitgrad.sweeps.plan.plan import Nest, Phase, Plan, Write
from jitgrad.tape.row import Row

LARGE = 1 << 20
"""Elements times rows from which on a nest is cut into chunks: a good part of a millisecond."""

CHUNKS = 16
"""Into how many pieces it is cut at most."""


LEAST_ROWS = 16
"""Chunks and tiles have a multiple of this many rows, so that loops over their rows fill their vectors."""


def chunk_size(nest: Nest) -> int:
    """How far along its first dimension each chunk of a nest goes, but the last one."""
    return -(-nest.lead // (CHUNKS * LEAST_ROWS)) * LEAST_ROWS


def split_large(plan: Plan) -> None:
    """Change a plan so that each large nest is a phase of its own."""
    phases: list[Phase] = []
    for phase in plan.phases:
        phases += _pieces(phase)
    if any(phase.chunked for phase in phases):
        plan.phases = phases
        _let_escape(plan)


def _is_large(nest: Nest) -> bool:
    return sum(math.prod(loop.space) * len(loop.items) for loop in nest.loops()) >= LARGE and nest.lead > chunk_size(nest)


def _pieces(phase: Phase) -> list[Phase]:
    """The phase, or the phases that do the same with its large nests apart."""
    pieces = [Phase()]
    for k in sorted(phase.levels):
        level = phase.levels[k]
        large = {lead: nest for lead, nest in level.nests.items() if _is_large(nest)}
        if not large:
            pieces[-1].levels[k] = level
            continue
        small = {lead: nest for lead, nest in level.nests.items() if lead not in large}
        if level.numbers or small:
            pieces[-1].levels[k].numbers, pieces[-1].levels[k].nests = level.numbers, small
        for lead, nest in large.items():
            alone = Phase(chunked=True)
            alone.levels[k].nests[lead] = nest
            pieces.append(alone)
        pieces.append(Phase())
        if level.products:
            pieces[-1].levels[k].products = level.products
    found = [piece for piece in pieces if piece.levels]
    if not found or (phase.others and found[-1].chunked):
        found.append(Phase())
    found[-1].others = phase.others
    return found


def _let_escape(plan: Plan) -> None:
    """What several phases know, numbers or arrays, goes through memory that they share."""
    known: dict[Row, Phase] = {}
    for phase in plan.phases:
        for row in _touched(plan, phase):
            row = plan.owner(row)
            if row in plan.native and known.setdefault(row, phase) is not phase:
                plan.stored.add(row)
                plan.escaping.add(row)


def _touched(plan: Plan, phase: Phase) -> set[Row]:
    """The rows that a phase reads or writes."""
    found = set(phase.native_rows())
    found |= {plan.layouts.access(x).source for row in found for x in row.inputs}
    items = [item for loop in phase.loops() for item in loop.items]
    return found | {item.value.source for item in items if isinstance(item, Write) and item.value is not None}
