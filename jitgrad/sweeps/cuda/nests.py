"""The loops of a plan as kernels: flat, by what a reduction keeps, by rows.

Every grid and every order of adding up depends on sizes alone, so that results are the same from run to run; nothing is added up
by atomics. Where blocks each have a part of a result, a further launch joins the parts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from jitgrad.sweeps.cuda.body import Body, Names, accumulator, cast_to, held, indented, joined, start
from jitgrad.sweeps.cuda.teams import SHORT, THREAD, Grid, team_for, tree
from jitgrad.sweeps.cuda.text import Launch, Scratch, Text, decompose, stored
from jitgrad.sweeps.plan.layouts import reduced_strides
from jitgrad.sweeps.plan.plan import Loop, Write
from jitgrad.tape.row import Row

EACH = 8
"""Elements that a thread adds up, at least, before parts are joined."""


class Part(NamedTuple):
    """Parts of a reduction that are to be joined: `parts` times `size` elements."""

    row: Row
    scratch: Scratch
    parts: int
    size: int


def loop_launches(names: Names, loop: Loop, grid: Grid, stores: bool = True, leave: Sequence[Row] = ()) -> list[Launch]:
    """The kernels of one loop; it is gone through again for each way in which its reductions go. Some may be left out."""
    ways: dict[tuple[bool, ...], list[Row]] = {}
    for row in reductions(loop):
        if row not in leave:
            ways.setdefault(kept_of(row), []).append(row)
    launches: list[Launch] = []
    writes = stores and any(isinstance(i, Write) or (i.op.fold is None and i in names.plan.stored) for i in loop.items)
    if writes and not ways:
        return [_flat(names, loop, grid, [], True)[0]]
    for k, (kept, rows) in enumerate(ways.items()):
        first = writes and k == 0
        whole = not any(kept)
        if not whole and not math.prod(rows[0].shape):
            continue
        made, parts = _flat(names, loop, grid, rows, first) if whole else _kept(names, loop, grid, rows, kept, first)
        launches += [made, *[_joined(names, part, grid) for part in parts]]
    return launches


def reductions(loop: Loop) -> list[Row]:
    return [item for item in loop.items if isinstance(item, Row) and item.op.fold is not None]


def kept_of(row: Row) -> tuple[bool, ...]:
    """Which dimensions of the space of its loop a reduction keeps."""
    return tuple([bool(step) for step in reduced_strides(row)])


def begin(names: Names, rows: Sequence[Row]) -> list[str]:
    return [f"acc_{names.of[row]} = {start(row)}" for row in rows]


def _flat(names: Names, loop: Loop, grid: Grid, rows: Sequence[Row], stores: bool) -> tuple[Launch, list[Part]]:
    """One pass over all elements, a grid's stride apart; what is reduced is reduced to a number."""
    n, text = math.prod(loop.space), Text(grid.block)
    blocks = grid.over(n, EACH if rows else 1)
    body = Body(names, text, loop, "i", stores=stores).write(rows, accumulator(names))
    text.lines += [
        f"    i = {THREAD}",
        "    step = ix(ix(cuda.gridDim.x) * ix(cuda.blockDim.x))",
        *indented(1, begin(names, rows)),
        f"    while i < {text.size(n)}:",
        *indented(2, decompose("q", "i", list(enumerate(loop.space)), body.used, text)),
        *indented(2, body.lines),
        "        i = ix(i + step)",
    ]
    parts = _whole_results(names, text, rows, blocks)
    return text.launch(blocks), parts


def _whole_results(names: Names, text: Text, rows: Sequence[Row], blocks: int) -> list[Part]:
    """Lines that make the numbers that the threads of a block have into one, and put it where it belongs."""
    parts = []
    for row in rows:
        text.lines += indented(1, tree(names, text, row))
        if blocks == 1:
            place, value = f"{names.array(text, row)}[0]", stored(f"{cast_to(row.dtype)}(acc_{names.of[row]})", row.dtype)
        else:
            scratch = Scratch(held(row).name, blocks, row)
            parts.append(Part(row, scratch, blocks, 1))
            place, value = f"{text.array(scratch, held(row))}[cuda.blockIdx.x]", f"acc_{names.of[row]}"
        text.lines += ["    if ix(cuda.threadIdx.x) == 0:", f"        {place} = {value}"]
    return parts


def _joined(names: Names, part: Part, grid: Grid) -> Launch:
    """The launch that joins parts: by one block if there is one result, else by a thread for each."""
    row, text = part.row, Text(grid.block)
    acc, parts = f"acc_{names.of[row]}", text.array(part.scratch, held(row))
    place = "i" if part.size == 1 else f"c * {text.size(part.size)} + i"
    read = f"{acc} = {joined(row.op.fold, acc, f'{parts}[{place}]', held(row))}"
    result = stored(f"{cast_to(row.dtype)}({acc})", row.dtype)
    if part.size == 1:
        text.lines += [
            f"    {acc} = {start(row)}",
            "    i = ix(cuda.threadIdx.x)",
            f"    while i < {text.size(part.parts)}:",
            f"        {read}",
            "        i = ix(i + ix(cuda.blockDim.x))",
            *indented(1, tree(names, text, row)),
            "    if ix(cuda.threadIdx.x) == 0:",
            f"        {names.array(text, row)}[0] = {result}",
        ]
        return text.launch(1)
    text.lines += [
        f"    i = {THREAD}",
        f"    while i < {text.size(part.size)}:",
        f"        {acc} = {start(row)}",
        "        c = ix(0)",
        f"        while c < {text.size(part.parts)}:",
        f"            {read}",
        "            c = ix(c + 1)",
        f"        {names.array(text, row)}[i] = {result}",
        "        i = ix(i + ix(cuda.gridDim.x) * ix(cuda.blockDim.x))",
    ]
    return text.launch(grid.over(part.size))


def _kept(
    names: Names, loop: Loop, grid: Grid, rows: Sequence[Row], kept: tuple[bool, ...], stores: bool
) -> tuple[Launch, list[Part]]:
    """Reductions that keep some dimensions: by a team for each result where neighbours in memory are reduced, else a thread."""
    ours = [(d, n) for d, n in enumerate(loop.space) if kept[d]]
    theirs = [(d, n) for d, n in enumerate(loop.space) if not kept[d]]
    many, each = math.prod(n for _, n in ours), math.prod(n for _, n in theirs)
    text = Text(grid.block)
    body = Body(names, text, loop, stores=stores).write(rows, accumulator(names))
    inside = [*indented(1, decompose("w", "r", theirs, body.used, text)), *indented(1, body.lines)]
    outside = decompose("q", "j", ours, body.used, text)
    if not kept[-1] and each > SHORT:
        return _team_each(names, text, rows, (many, each), outside, inside, grid), []
    return _thread_each(names, text, rows, (many, each), outside, inside, grid)


def _team_each(
    names: Names, text: Text, rows: Sequence[Row], sizes: tuple[int, int], outside: list[str], inside: list[str], grid: Grid
) -> Launch:
    many, each = sizes
    team = team_for(each, grid)
    text.lines += [
        f"    j = {team.number}",
        f"    while j < {text.size(many)}:",
        *indented(2, [*outside, *begin(names, rows), f"r = {team.first}", f"while r < {text.size(each)}:"]),
        *indented(2, inside),
        f"            r = ix(r + {team.step})",
    ]
    for row in rows:
        text.lines += indented(2, team.fold(names, text, row))
        value = stored(f"{cast_to(row.dtype)}(acc_{names.of[row]})", row.dtype)
        text.lines += indented(2, team.written([f"{names.array(text, row)}[j] = {value}"]))
    text.lines.append(f"        j = ix(j + {team.teams})")
    return text.launch(team.grid(many, grid))


def _thread_each(
    names: Names, text: Text, rows: Sequence[Row], sizes: tuple[int, int], outside: list[str], inside: list[str], grid: Grid
) -> tuple[Launch, list[Part]]:
    """A thread for each result, or for each of several parts of it where there are few results."""
    many, each = sizes
    chunks = max(1, min(grid.blocks * grid.block // many, each // (4 * EACH)))
    length = max(1, -(-each // chunks))
    chunks = max(1, -(-each // length))
    text.lines += [
        f"    i = {THREAD}",
        f"    while i < {text.size(many * chunks)}:",
        f"        c = ix(ux(i) // ux({text.size(many)}))",
        f"        j = ix(i - c * {text.size(many)})",
        f"        r = ix(c * {text.size(length)})",
        f"        last = ix(min(r + {text.size(length)}, {text.size(each)}))",
        *indented(2, [*outside, *begin(names, rows), "while r < last:"]),
        *indented(2, inside),
        "            r = ix(r + 1)",
    ]
    parts = []
    for row in rows:
        acc = f"acc_{names.of[row]}"
        if chunks == 1:
            text.lines.append(f"        {names.array(text, row)}[j] = {stored(f'{cast_to(row.dtype)}({acc})', row.dtype)}")
        else:
            scratch = Scratch(held(row).name, many * chunks, row)
            parts.append(Part(row, scratch, chunks, many))
            text.lines.append(f"        {text.array(scratch, held(row))}[i] = {acc}")
    text.lines.append("        i = ix(i + ix(cuda.gridDim.x) * ix(cuda.blockDim.x))")
    return text.launch(grid.over(many * chunks)), parts
