"""Reverse sweeps that recur: remembered by their structure, and run as one compiled call once they are hot.

The structure of a sweep is which rows it visits and how they hang together, with the dtypes, shapes and parameters
that the derivative rules see; values play no part. A structure that keeps coming back is turned into a tape of its own
(the saved values are the inputs, the gradients of the leaves the outputs), which is compiled in a background thread.
From then on its sweeps go through an entry (see `walk.py`), a function that checks that a graph has this structure and
that nothing it saved was changed or freed, and leaves every other case to `reverse`.

Nothing here refers to a recorded row or to a value: a structure is described by rows of its own.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad import background
from jitgrad.handle import make
from jitgrad.ops.table import Op
from jitgrad.record import Trace, current_trace
from jitgrad.reverse import ITEM, reverse
from jitgrad.settings import config
from jitgrad.tape import FREED, LEAF, Leaf, Row, Tape
from jitgrad.transforms import frozen, simplify
from jitgrad.walk import Saved, Step, write_entry

Entry = Callable[[Row, type, Any], bool]

entries: dict[Op, list[Entry]] = {}
"""The entries to try for a sweep, by the op of the row that it starts from; the one used last goes first."""

COMPILING = 0.005, 0.0008
"""What compiling takes, about: seconds for a structure, and for each of its rows."""

MOST_ACCUMULATING = 4
"""Rows that read a part of a tensor, in a sweep that is compiled: each writes all of it, where `reverse` adds in place."""

MOST_ALIKE = 8
"""How many entries are kept for one op."""

LOOKED_AT = 8
"""One in so many sweeps is looked at, by chance: describing a sweep takes as long as running it."""

PATIENCE = 64
"""After so many looks none of which found a sweep like an earlier one, only every 16th is taken."""


chance = random.Random(0).random


class Structure:
    """One kind of sweep: its rows from the outcome on, what they saved, and what its sweeps have cost so far."""

    __slots__ = ("cls", "queued", "seconds", "steps")

    def __init__(self, steps: list[Step], cls: type) -> None:
        self.steps = steps
        self.cls = cls
        self.seconds = 0.0
        self.queued = False

    def compiling(self) -> float:
        """About how many seconds compiling it takes."""
        return COMPILING[0] + COMPILING[1] * len(self.steps)


class _State:
    """What the cache holds."""

    def __init__(self) -> None:
        self.known: OrderedDict[Any, Structure] = OrderedDict()
        self.compiled = 0
        self.strangers = 0


state = _State()


@background.forgotten.append
def _after_fork() -> None:
    state.known.clear()


def forget() -> None:
    """Forget all structures, and what was compiled for them."""
    entries.clear()
    state.known.clear()
    state.compiled = state.strangers = 0


@config.watch
def _changed() -> None:
    if not config.structure_cache:
        forget()


def look_up(outcome: Row, cls: type) -> Structure | None:
    """The structure of the sweep from `outcome`, if such sweeps can be compiled and it is worth to look."""
    if not config.structure_cache or not config.background_compile:
        return None
    if chance() * LOOKED_AT > 1:
        return None
    state.strangers += 1
    if state.strangers > PATIENCE and state.strangers % 16:
        return None
    steps = describe(outcome)
    if steps is None:
        return None
    key = (cls, *[(s.op, id(s.plan), s.shape, s.dtype, frozen(s.params) if s.params else (), s.inputs, s.saved) for s in steps])
    known = state.known
    found = known.get(key)
    if found is None:
        found = known[key] = Structure(steps, cls)
        while len(known) > max(config.structures, 1):
            known.popitem(last=False)
    else:
        state.strangers = 0
        known.move_to_end(key)
    return found


def note(structure: Structure, seconds: float) -> None:
    """Note what one more sweep cost; have the structure compiled once that is as much as compiling it."""
    structure.seconds += seconds * LOOKED_AT
    if structure.queued or structure.seconds < config.hot_after * structure.compiling():
        return
    if state.compiled >= config.structures:
        return
    structure.queued = True
    state.compiled += 1
    background.submit("a recurring reverse sweep", lambda: _compile(structure))


def _compile(structure: Structure) -> None:
    entry = compiled(structure)
    if config.structure_cache:
        op = structure.steps[0].op
        entries[op] = [entry, *entries.get(op, [])[: MOST_ALIKE - 1]]


# From recorded rows to a description that holds none of them.


def describe(outcome: Row) -> list[Step] | None:
    """The rows behind `outcome` that a sweep visits, from the outcome on; None if some cannot be compiled."""
    numbers = {outcome: 0}
    rows = [outcome]
    steps: list[Step] = []
    places = _Places()
    accumulating = 0
    most = config.structure_rows
    for row in rows:
        op, plan = row.op, row.plan
        if row.extra is not None or len(rows) > most:
            return None
        if op is LEAF:
            steps.append(Step(op, None, row.shape, row.dtype, {}, (), (), row.serial))
            continue
        if plan is None or op is ITEM or op.pullback is not None or op.composite or row.saved is FREED:
            return None
        if row.params and any(isinstance(value, np.ndarray) for value in row.params.values()):
            return None
        inputs: list[Any] = []
        for x in row.inputs:
            if not x.requires:
                inputs.append((x.shape, x.dtype))
                continue
            n = numbers.get(x)
            if n is None:
                n = numbers[x] = len(rows)
                rows.append(x)
            inputs.append(n)
        kinds = tuple([
            tuple(map(places.of, value)) if value.__class__ is tuple else places.of(value) for value in row.saved or ()
        ])  # fmt: skip
        accumulating += op.accumulate is not None
        steps.append(Step(op, plan, row.shape, row.dtype, row.params, tuple(inputs), kinds, row.serial))
    return steps if accumulating <= MOST_ACCUMULATING else None


class _Places:
    """Which place among the arguments of a compiled sweep each saved value has."""

    def __init__(self) -> None:
        self.arrays: dict[int, int] = {}
        self.count = 0

    def of(self, value: Any) -> Saved:
        """How a value is described; an array that was there before has the place that it had."""
        place = self.arrays.setdefault(id(value), self.count) if isinstance(value, np.ndarray) else self.count
        self.count += place == self.count
        return Saved(value.__class__, value.dtype, value.shape, place)


def _rebuilt(steps: list[Step]) -> tuple[list[Row], dict[Row, tuple[Any, ...]]]:
    """Rows as described, recorded in the same order as those that were seen, and what each saved."""
    rows: dict[int, Row] = {}
    for i in sorted(range(len(steps)), key=lambda i: steps[i].serial):
        step = steps[i]
        if step.op is LEAF:
            rows[i] = Leaf(step.shape, step.dtype, True)
            continue
        inputs = tuple(rows[x] if isinstance(x, int) else Leaf(x[0], x[1], False) for x in step.inputs)
        rows[i] = Row(step.op, inputs, step.params, step.shape, step.dtype, True, step.plan)
    return [rows[i] for i in range(len(steps))], {rows[i]: step.saved for i, step in enumerate(steps)}


# From the description to a tape, and to an entry.


def compiled(structure: Structure) -> Entry:
    """The entry of a structure: its sweep as a tape, compiled and tried out, behind the checks."""
    from jitgrad.sweeps.program import Program

    tape, arrived, constants = traced(structure)
    program = Program(simplify(tape, structure.cls, lambda row: not row.op.composite), tape.inputs)
    program.run(*[np.zeros(x.shape, x.dtype)[()] for x in tape.inputs[: len(tape.inputs) - len(constants)]], *constants)
    outputs = program.tape.outputs
    given = {*program.tape.inputs, *program.constants}
    fresh = [row not in given and row not in outputs[:i] for i, row in enumerate(outputs)]
    return write_entry(structure.steps, arrived, fresh, program.run, constants)


def traced(structure: Structure) -> tuple[Tape, list[int], list[Any]]:
    """The sweep as a tape from saved values to gradients, and the numbers of the leaves that these belong to.

    The last inputs of the tape are constants that the rules made, whose values come third.
    """
    rows, values = _rebuilt(structure.steps)
    trace = Trace()
    leaves: list[Row] = []

    def given(saved: Saved) -> Any:
        if saved.place == len(leaves):
            leaves.append(Leaf(saved.shape, saved.dtype, False))
        return make(structure.cls, None, leaves[saved.place])

    arguments = {
        row: [tuple(map(given, saved)) if saved.__class__ is tuple else given(saved) for saved in kinds]
        for row, kinds in values.items()
    }
    trace.rows.update(leaves)
    token = current_trace.set(trace)
    try:
        one = make(structure.cls, None, trace.constant(np.ones(rows[0].shape, rows[0].dtype)[()]))
        found = reverse({rows[0]: one}, None, cls=structure.cls, recorded=True, retain=True, values=arguments.__getitem__)
    finally:
        current_trace.reset(token)
    arrived = [i for i, row in enumerate(rows) if row.op is LEAF and row in found]
    outputs = [found[rows[i]]._row for i in arrived]
    for i, out in zip(arrived, outputs):
        if out.shape != rows[i].shape or out.dtype != rows[i].dtype:
            raise TypeError(f"a gradient of shape {out.shape}, {out.dtype} for a leaf of {rows[i].shape}, {rows[i].dtype}")
    captured = dict(trace.captured.values())
    return Tape([*leaves, *captured], outputs), arrived, [handle._value for handle in captured.values()]
