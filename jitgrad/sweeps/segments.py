"""Which rows of a tape become one loop.

A row is *native* if it is elementwise (or a sum, max, min) and has a kernel; every other row is run as it stands, by
NumPy. The tape is cut into phases: native code, then the NumPy rows that need its results, then native code again.
A phase is one machine-code function. In it, rows over the same index space whose inputs are ready at the same stage
share one loop, whether or not they have anything else in common; single numbers stay in registers between the loops.

`expand` and the reshapes that only add or drop dimensions of size 1 cost nothing: they say how a loop walks over a
smaller array (`Access`).
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from jitgrad.ops.elementwise import cast
from jitgrad.ops.movement import expand, reshape, sum
from jitgrad.ops.reductions import amax, amin
from jitgrad.tape import CONST, LEAF, Row, Tape

NATIVE_DTYPES = frozenset({"float16", "float32", "float64", "int32", "int64", "bool"})
REDUCTIONS = (sum, amax, amin)
MOST_ROWS = 2000
"""Rows of a native function beyond which compiling takes longer than anybody would wait for."""


class Access(NamedTuple):
    """Where a loop reads: the row whose value is in memory, and for each dimension of the loop whether it moves there."""

    source: Row
    flags: tuple[bool, ...]


@dataclass
class Loop:
    """Rows that are computed in one pass over `space`."""

    space: tuple[int, ...]
    rows: list[Row] = field(default_factory=list)


@dataclass
class Stage:
    """Numbers that are ready before some loops, and those loops."""

    scalars: list[Row] = field(default_factory=list)
    loops: dict[tuple[int, ...], Loop] = field(default_factory=dict)


@dataclass
class Phase:
    """One native function (its stages in order), and the rows that NumPy runs after it."""

    stages: dict[int, Stage] = field(default_factory=dict)
    others: list[Row] = field(default_factory=list)

    def native_rows(self) -> list[Row]:
        return [r for k in sorted(self.stages) for s in (self.stages[k],)
                for r in (*s.scalars, *(r for loop in s.loops.values() for r in loop.rows))]  # fmt: skip


@dataclass
class Plan:
    """All phases of a tape, and the rows whose values must be in memory."""

    phases: list[Phase]
    stored: set[Row]
    native: set[Row]


def is_number(row: Row) -> bool:
    """Whether a row has one element, which then lives in a register."""
    return math.prod(row.shape) == 1


def why_not_native(row: Row) -> str:
    """Why NumPy runs a row ("" if it is native); shown by `report()`."""
    if row.op in REDUCTIONS:
        supported = row.inputs[0].dtype.name in NATIVE_DTYPES and row.dtype.name != "bool"
        return "" if supported else f"no kernel for {row.dtype.name}"
    if row.op.kind != "elementwise" or row.op.kernel is None:
        return "no kernel expression" if row.op.kind == "elementwise" else f"{row.op.kind} is left to NumPy"
    for dtype in (row.dtype, *(x.dtype for x in row.inputs)):
        if dtype.name not in NATIVE_DTYPES:
            return f"no kernel for {dtype.name}"
    if row.inputs[-1].dtype.name == "bool" and row.op is not cast and row.op.name not in _BOOL_OPS:
        return "no kernel for bool"
    if row.dtype.name in ("float16", "float32", "float64") or row.op.result == "bool" or row.op is cast:
        return ""
    return "" if row.op.name in _INTEGER_OPS else "no integer kernel"


_BOOL_OPS = frozenset((
    "where", "zeros_like", "eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_xor",
    "logical_not", "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not",
))  # fmt: skip
_INTEGER_OPS = frozenset((
    "add", "sub", "mul", "neg", "abs", "sign", "maximum", "minimum", "where", "clamp", "zeros_like", "bitwise_and",
    "bitwise_or", "bitwise_xor", "bitwise_not", "square", "relu",
))  # fmt: skip


def access(row: Row, space: tuple[int, ...]) -> Access:
    """How a loop over `space` (the shape of `row`) reads `row`: through expands and reshapes to what is in memory."""
    where: list[int | None] = list(range(len(space)))
    while True:
        if row.op is expand:
            source = row.inputs[0]
            lead = row.ndim - source.ndim
            where = [None if w is None or w < lead or source.shape[w - lead] == 1 else w - lead for w in where]
        elif row.op is reshape and _only_ones_differ(row.shape, row.inputs[0].shape):
            source = row.inputs[0]
            places = iter([i for i, n in enumerate(source.shape) if n != 1])
            moved = {i: next(places) for i, n in enumerate(row.shape) if n != 1}
            where = [None if w is None else moved.get(w) for w in where]
        else:
            return Access(row, tuple(w is not None and row.shape[w] != 1 for w in where))
        row = source


def _only_ones_differ(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return [n for n in a if n != 1] == [n for n in b if n != 1]


def space_of(row: Row) -> tuple[int, ...]:
    """The index space that a native row is computed over."""
    return row.inputs[0].shape if row.op in REDUCTIONS else row.shape


def operands(row: Row) -> list[Access]:
    """How a native row reads its inputs."""
    space = space_of(row)
    return [access(x, space) for x in row.inputs]


def make_plan(tape: Tape) -> Plan:
    """Sort the rows of a simplified tape into phases, stages and loops."""
    native = {row for row in tape.rows if row.op not in (LEAF, CONST) and not why_not_native(row)} - set(tape.inputs)
    wanted, stored = _wanted(tape, native)
    phase = _phases(tape, native)
    stage = _stages(tape, native, phase)
    phases: dict[int, Phase] = defaultdict(Phase)
    loop_of: dict[Row, tuple] = {}
    for row in tape.rows:
        if row not in wanted:
            continue
        if row not in native:
            phases[phase[row]].others.append(row)
            continue
        at = phases[phase[row]].stages.setdefault(stage[row], Stage())
        space = space_of(row)
        if is_number(row) and row.op not in REDUCTIONS:
            at.scalars.append(row)
            continue
        at.loops.setdefault(space, Loop(space)).rows.append(row)
        loop_of[row] = (phase[row], stage[row], space)
    for row in native & wanted:  # what another loop or phase reads has to be in memory
        here = loop_of.get(row)
        for source, flags in operands(row):
            same_loop = here is not None and loop_of.get(source) == here and source.op not in REDUCTIONS
            register = is_number(source) and phase.get(source) == phase[row]
            if source in native and not register and not (same_loop and _whole(source, flags)):
                stored.add(source)
    return Plan([phases[k] for k in sorted(phases)], stored, native)


def _whole(source: Row, flags: tuple[bool, ...]) -> bool:
    return sum_of(flags) == len([n for n in source.shape if n != 1])


def sum_of(flags: tuple[bool, ...]) -> int:
    """How many of the flags are set."""
    return flags.count(True)


def _wanted(tape: Tape, native: set[Row]) -> tuple[set[Row], set[Row]]:
    """The rows that have to be computed at all (an expand that loops walk over is not), and those kept in memory."""
    ends = set(tape.inputs)
    wanted: set[Row] = set()
    stored: set[Row] = set(tape.outputs)
    waiting = list(tape.outputs)
    while waiting:
        row = waiting.pop()
        if row in wanted or row in ends or row.op in (LEAF, CONST):
            continue
        wanted.add(row)
        sources = [a.source for a in operands(row)] if row in native else list(row.inputs)
        if row not in native:
            stored.update(sources)
        waiting.extend(sources)
    return wanted, stored


def _phases(tape: Tape, native: set[Row]) -> dict[Row, int]:
    phase: dict[Row, int] = {}
    ends = set(tape.inputs)
    for row in tape.rows:
        if row in ends or row.op in (LEAF, CONST):
            phase[row] = 0
        elif row in native:
            phase[row] = max([_ready(a.source, phase, native, ends) for a in operands(row)], default=0)
        else:
            phase[row] = max([phase[x] for x in row.inputs], default=0)
    return phase


def _ready(source: Row, phase: dict[Row, int], native: set[Row], ends: set[Row]) -> int:
    given = source in native or source in ends or source.op in (LEAF, CONST)
    return phase[source] if given else phase[source] + 1


def _stages(tape: Tape, native: set[Row], phase: dict[Row, int]) -> dict[Row, int]:
    stage: dict[Row, int] = {}
    for row in tape.rows:
        if row not in native:
            continue
        space = space_of(row)
        alone = is_number(row) and row.op not in REDUCTIONS
        at = 0
        for source, flags in operands(row):
            if source not in native or phase[source] != phase[row]:
                continue
            number = is_number(source) and source.op not in REDUCTIONS
            together = not alone and source.op not in REDUCTIONS and space_of(source) == space and _whole(source, flags)
            at = max(at, stage[source] + (0 if number or together else 1))
        stage[row] = at
    return stage
