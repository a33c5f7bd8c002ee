"""Which rows of a tape become machine code, and in which order.

A row is *native* if machine code computes it: elementwise rows with a kernel, sums and extremes, small products of
matrices, and rows that put values into parts of an array. Every other row is run as it stands, by NumPy, between two
native *phases*; a phase is one machine-code function. Rows that only look at memory in another way (`layouts`) are free.
The words for the rest are in `plan`.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from jitgrad.ops.choosing import cast
from jitgrad.sweeps.plan.indexing import is_indexed, is_lookup
from jitgrad.sweeps.plan.layouts import (
    Access,
    Layouts,
    contiguous,
    is_number,
    is_view,
    place,
    reduced_strides,
    same_elements,
    space,
    space_of,
    stand_in,
    within_lead,
)
from jitgrad.sweeps.plan.machine_types import DTYPES
from jitgrad.sweeps.plan.plan import Loop, Nest, Phase, Plan, Write, reads_of
from jitgrad.sweeps.plan.recompute import recompute
from jitgrad.sweeps.plan.supported import MACHINE_CODE, NATIVE_DTYPES, Target, is_call, why_no_kernel
from jitgrad.tape.row import CONST, ITEM, LEAF, Row
from jitgrad.tape.tape import Tape, tapes_of

MOST_ROWS = 2000
"""Rows of a native function beyond which compiling takes longer than anybody would wait for."""


class Place(NamedTuple):
    """When a value is there: in which level, in which nest (None: after all of the level), after which of its stages."""

    level: int
    lead: int | None = None
    stage: int = 0


def why_not_native(row: Row, target: Target = MACHINE_CODE) -> str:
    """Why NumPy runs a row ("" if it is native); shown by `report()`."""
    if not row.op.holds_tapes:
        return why_no_kernel(row, target)
    if not target.calls:
        return "its tapes are run one after the other"
    for tape in tapes_of(row):
        for x in (*tape.inputs, *tape.outputs):
            if x.dtype.name not in DTYPES or x.dtype in NATIVE_DTYPES - target.dtypes:
                return f"there is {x.dtype.name} in it"
        for x in left_to_numpy(whole_plan(tape, target)[1]):
            return f"NumPy runs {x.op.name} in it: {why_not_native(x, target)}"
    return ""


def left_to_numpy(plan: Plan) -> list[Row]:
    """The rows of a plan that are not machine code."""
    return [row for phase in plan.phases for row in phase.others]


def whole_plan(tape: Tape, target: Target, given_up: frozenset[Row] = frozenset()) -> tuple[Tape, Plan]:
    """A tape whose outputs are what one function can hand out, and its plan; made once."""
    known: dict[Any, tuple[Tape, Plan]] = vars(tape).setdefault("whole_plans", {})
    key = target, given_up
    if key not in known:
        handed = _with_numbers_out(tape)
        plan = make_plan(handed, target, given_up)
        recompute(plan)
        known[key] = handed, plan
    return known[key]


def _with_numbers_out(tape: Tape) -> Tape:
    """The tape with the numbers themselves as outputs where it has views of a number, or of one element of an array."""
    layouts = Layouts()

    def number(row: Row) -> Row:
        if not (is_number(row) and layouts.is_free(row)):
            return row
        source = layouts.access(row).source
        return source if is_number(source) else Row(cast, (row,), {"dtype": row.dtype}, row.shape, row.dtype, False)

    return Tape(tape.inputs, [number(row) for row in tape.outputs])


def make_plan(
    tape: Tape,
    target: Target = MACHINE_CODE,
    given_up: frozenset[Row] = frozenset(),
    laid: Mapping[Row, np.ndarray] = MappingProxyType({}),
) -> Plan:
    """Sort the rows of a simplified tape into phases, levels, nests, stages and loops.

    The memory of the inputs that are `given_up` may be written to, by a row that changes a part of them. `laid` has stand-ins for
    inputs whose elements are not in order.
    """
    return _Planner(tape, target, given_up, laid).plan()


class _Planner:
    """The state of `make_plan`."""

    def __init__(self, tape: Tape, target: Target, given_up: frozenset[Row], laid: Mapping[Row, np.ndarray]) -> None:
        self.tape, self.given_up = tape, given_up
        self.target = target
        self.layouts = Layouts(laid)
        self.given = {row for row in tape.rows if row.op in (LEAF, CONST)}.union(tape.inputs)
        self.native: set[Row] = set()
        for row in tape.rows:
            if self._is_native(row):
                self.native.add(row)
        self.lookups = {row for row in self.native if target.lookups and is_lookup(row, self.layouts)}
        self.results = self._reshaped_outputs()
        self.native |= {row for row in tape.outputs if self._is_copied(row)}
        self.wanted, self.read_outside = self._wanted()
        self.phase = self._phases()
        self.place: dict[Row, Place] = {}
        self.home: dict[Row, Row] = {}
        self.stored: set[Row] = set()
        self.shared: set[Row] = set()
        self.escaping = set(self.read_outside)
        self.uses = Counter(x for row in tape.rows if row in self.wanted for x in self._sources(row))

    def _is_native(self, row: Row) -> bool:
        if row in self.given or self.layouts.is_free(row):
            return False
        if row.op is ITEM:
            return row.inputs[0] in self.native
        return self._copies(row) or not why_not_native(row, self.target)

    def _copies(self, row: Row) -> bool:
        """Whether a row is a reshape that has to copy: its input is written out in order."""
        return is_view(row) and row.dtype in self.target.dtypes and not self.layouts.is_free(row) and not is_number(row)

    def _is_copied(self, row: Row) -> bool:
        """Whether a row is an output in somebody else's memory, and has to be written out for that."""
        mine = row in self.results or is_number(row) or row.dtype not in self.target.dtypes
        return self.layouts.is_free(row) and not mine

    def _sources(self, row: Row) -> list[Row]:
        """The rows whose memory or registers a row reads; NumPy takes views as they are, which are rows of their own."""
        if row in self.native or not self.target.calls:
            return [self.layouts.access(x).source for x in row.inputs]
        return list(row.inputs)

    def _reshaped_outputs(self) -> dict[Row, Row]:
        """Outputs that have the memory of another row to themselves."""
        found: dict[Row, Row] = {}
        for row in self.tape.outputs:
            a = self.layouts.access(row)
            taken = a.source in self.tape.outputs or a.source in found.values()
            alike = same_elements(a, space(row.shape)) and math.prod(row.shape) == math.prod(a.source.shape)
            if a.source in self.native and row is not a.source and alike and not taken:
                found[row] = a.source
        return found

    def _wanted(self) -> tuple[set[Row], set[Row]]:
        """The rows that have to be computed at all (an expand that loops walk over is not), and those that NumPy reads."""
        wanted: set[Row] = set()
        ends = [self.results.get(row, row) for row in self.tape.outputs]
        outside, waiting = set(ends), list(ends)
        while waiting:
            row = waiting.pop()
            if row in wanted or row in self.given:
                continue
            wanted.add(row)
            if row not in self.native:
                outside.update(self._sources(row))
            waiting.extend(self._sources(row))
        return wanted, outside

    def _phases(self) -> dict[Row, int]:
        """The native phase that computes a row, or after which NumPy does; -1 for what needs no machine code."""
        phase: dict[Row, int] = {}
        for row in self.tape.rows:
            if row in self.given:
                phase[row] = -1
            elif row in self.native:
                phase[row] = max([0, *(phase[s] + (s not in self.native) for s in self._sources(row))])
            else:
                phase[row] = max([phase[x] for x in row.inputs], default=-1)
        return phase

    def plan(self) -> Plan:
        phases: dict[int, Phase] = defaultdict(Phase)
        for row in self.tape.rows:
            if row not in self.wanted:
                continue
            phase = phases[self.phase[row]]
            if row not in self.native:
                phase.others.append(row)
            elif row.op is ITEM:
                self._item(row, phase)
            elif self._is_call(row) or row.op.holds_tapes:
                self._call(row, phase)
            elif row.op.parts is not None or self._copies(row) or self.layouts.is_free(row):
                self._writes(row, phase)
            elif is_number(row) and row.op.fold is None:
                self._number(row, phase)
            else:
                self._looped(row, phase)
        in_memory = self.shared | self.read_outside
        self.stored |= in_memory & self.native
        plan = Plan(self.layouts, self.native, self.home, self.results, self.target)
        plan.phases = [phases[k] for k in sorted(phases)]
        plan.stored, plan.escaping, plan.lookups = self.stored, self.escaping, self.lookups
        plan.local = {row for row in self.stored - in_memory - set(self.home) if not is_number(row)}
        return plan

    # Where the rows of each sort go.

    def _number(self, row: Row, phase: Phase) -> None:
        level = 0
        for x in row.inputs:
            a = self.layouts.access(x)
            level = max(level, self._level_after(a.source, row, number=True))
            self._note_read(a, row, None)
        self.place[row] = Place(level)
        phase.levels[level].numbers.append(row)

    def _call(self, row: Row, phase: Phase) -> None:
        """A product, something indexed, a loop or a switch: it reads its operands from memory.

        What needs nothing of this phase goes before everything, lest it part the loops that read it from the others.
        """
        level = 0 if row.op.holds_tapes or row.op.parts is not None else -1
        for x in row.inputs:
            source = self.layouts.access(x).source
            if self._here(source, row):
                # These come last in a level, so what its numbers and nests compute is there.
                level = max(level, self.place[source].level + self._is_call(source))
            self._note_read(self.layouts.access(x), row, None)
        if is_indexed(row) and row.op.writes:
            self._move_in(row)
        self.place[row] = Place(level)
        if self._is_call(row) and not is_number(row):
            self.shared.add(row)
        phase.levels[level].products.append(row)

    def _item(self, row: Row, phase: Phase) -> None:
        """A result of a loop or a switch: in memory, or a number."""
        self.place[row] = self.place[row.inputs[0]]
        if not is_number(row):
            self.shared.add(row)
        phase.levels[self.place[row].level].products.append(row)

    def _looped(self, row: Row, phase: Phase) -> None:
        over = space_of(row)
        reads, lookup = reads_of(row, self.layouts, row in self.lookups), row in self.lookups
        places = [self._after(a, row, over) for a in reads[lookup:]]
        if lookup:  # all of what elements are looked up in is there
            places.append(Place(self._level_after(reads[0].source, row), _lead(over)))
            self._note_read(reads[0], row, None)
        at = max(places, default=Place(0, _lead(over)))
        for a in reads[lookup:]:
            self._note_read(a, row, (at, over))
        self._loop(phase, at, over).items.append(row)
        self.place[row] = at
        if row.op.fold is not None and (not over or reduced_strides(row)[0] == 0):
            self.place[row] = Place(at.level)  # complete after the last tile

    def _writes(self, row: Row, phase: Phase) -> None:
        """A loop for each part; what is written over all of the array comes a level before the rest."""
        values = [value for value, part, _ in self._parts(row) if _is_whole(part, row)]
        if values[:1] == [row.inputs[0]]:
            self._move_in(row)
        level = last = 0
        for value, part, adds in self._parts(row):
            if value is not None and self.home.get(value) is row and _is_whole(part, row):
                level = last = max(level, self._level_after(value, row))
                continue
            access = None if value is None else self.layouts.access(value)
            over = space(part.shape)
            at = Place(level, _lead(over))
            if access is not None:
                at = max(at, self._after(access, row, over))
            self._loop(phase, at, over).items.append(Write(row, access, over, *place(part), adds))
            if access is not None:
                self._note_read(access, row, (at, over))
            last = max(last, at.level)
            level = at.level + 1 if _is_whole(part, row) else level
        self.place[row] = Place(last)
        self.shared.add(row)

    def _move_in(self, row: Row) -> None:
        """Where `row` changes a part of a value that nobody else reads, it goes on in the memory of that value."""
        first = row.inputs[0]
        alone = self.uses[first] == 1 and first not in self.read_outside and not is_number(first)
        if alone and (first in self.given_up or (self._here(first, row) and first in self.native)):
            self.home[first] = row
            self.shared.add(first)

    def _parts(self, row: Row) -> list[tuple[Row | None, np.ndarray, bool]]:
        """What is written where, in order, to make up a row; None is zeros, true adds to what is there."""
        if row.op.parts is not None:
            return row.op.parts(stand_in(row.shape), *row.inputs, **row.params)
        if self.layouts.is_free(row):
            return [(row, stand_in(row.shape), False)]
        source = row.inputs[0]
        return [(source, stand_in(source.shape), False)]

    # What may read what, and when.

    def _here(self, source: Row, row: Row) -> bool:
        """Whether machine code of the same phase computes `source`."""
        return source in self.native and self.phase[source] == self.phase[row]

    def _is_call(self, row: Row) -> bool:
        return is_call(row) and row not in self.lookups

    def _level_after(self, source: Row, row: Row, number: bool = False) -> int:
        """The first level that can read `source` before its nests; or among its numbers."""
        if not self._here(source, row):
            return 0
        plain = number and self._is_plain_number(source)
        return self.place[source].level + (not plain)

    def _after(self, a: Access, row: Row, over: tuple[int, ...]) -> Place:
        """The first place at which a loop over `over` can read `a`."""
        source, lead = a.source, _lead(over)
        if not self._here(source, row):
            return Place(0, lead)
        at = self.place[source]
        if self._is_plain_number(source):
            return Place(at.level, lead)
        if at.lead is None or at.lead != lead or not self._tiled_alike(a, over):
            return Place(at.level + 1, lead)
        return at if self._in_register(a, over) else Place(at.level, lead, at.stage + 1)

    @staticmethod
    def _is_plain_number(source: Row) -> bool:
        return is_number(source) and source.op.fold is None and source.op.parts is None and not is_call(source)

    @staticmethod
    def _in_register(a: Access, over: tuple[int, ...]) -> bool:
        """Whether a loop over `over` that also computes the source of `a` has it in a register when it needs it."""
        return a.source.op.fold is None and space_of(a.source) == over and same_elements(a, over)

    @staticmethod
    def _tiled_alike(a: Access, over: tuple[int, ...]) -> bool:
        """Whether a tile of a loop over `over` reads just the same tile of the source."""
        shape = space(a.source.shape)
        return bool(shape) and bool(over) and shape[0] == over[0] and within_lead(a, over, contiguous(shape)[0])

    def _note_read(self, a: Access, row: Row, at: tuple[Place, tuple[int, ...]] | None) -> None:
        """Find out how far the value of a source has to go: to a register, to a tile or to memory."""
        source = a.source
        if source not in self.native or (is_number(source) and self._here(source, row)):
            return
        if not self._here(source, row):
            self.escaping.add(source)
        if at is not None and self._here(source, row) and not is_number(source):
            (where, over), made = at, self.place[source]
            if made[:2] == where[:2] and self._tiled_alike(a, over):
                if made.stage != where.stage or not self._in_register(a, over):
                    self.stored.add(source)
                return
        self._share(source)

    def _share(self, source: Row) -> None:
        self.stored.add(source)
        self.shared.add(source)

    def _loop(self, phase: Phase, at: Place, over: tuple[int, ...]) -> Loop:
        assert at.lead is not None
        nest = phase.levels[at.level].nests.setdefault(at.lead, Nest(at.lead))
        return nest.stages[at.stage].setdefault(over, Loop(over))


def _lead(over: tuple[int, ...]) -> int:
    """The size of the first dimension of a space; one element counts as a dimension of 1."""
    return over[0] if over else 1


def _is_whole(part: np.ndarray, row: Row) -> bool:
    """Whether a part is all of the memory of a row, in order."""
    return part.shape == row.shape and part.strides == stand_in(row.shape).strides
