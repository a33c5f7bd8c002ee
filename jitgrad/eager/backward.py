"""Reverse sweeps that recur: remembered by their structure, and run as one compiled call once they are hot.

The structure of a sweep is which rows it visits and how they hang together, with the dtypes, shapes and parameters
that the derivative rules see; values play no part. A structure that keeps coming back is turned into a tape of its own
(the saved values are the inputs, the gradients of the leaves the outputs), which is compiled in a background thread.
From then on its sweeps go through an entry (see `backward_text`), a function that checks that a graph has this structure and
that nothing it saved was changed or freed, and leaves every other case to `reverse`.

Nothing here refers to a recorded row or to a value: a structure is described by rows of its own. What is compiled agrees
with `reverse` to a few units in the last place, as the sweeps under `jit` do.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.base import locks
from jitgrad.base.settings import config
from jitgrad.base.signals import importing
from jitgrad.eager import background
from jitgrad.eager.backward_text import Saved, Seen, write_backward
from jitgrad.ops.table import Op
from jitgrad.passes.reverse import reverse
from jitgrad.passes.simplify import simplify
from jitgrad.record.apply import Trace, current_trace
from jitgrad.tape.handle import tensor
from jitgrad.tape.row import FREED, ITEM, LEAF, Leaf, Row
from jitgrad.tape.tape import Tape

Entry = Callable[[Row, Any, Any], bool]

entries: dict[Op, list[Entry]] = {}
"""The entries to try for a sweep, by the op of the row that it starts from; the one used last goes first."""

seeded: dict[Op, list[Entry]] = {}
"""The same for sweeps that start from a cotangent that is given, not from 1."""

COMPILING = 0.005, 0.0004
"""What compiling takes, about: seconds for a structure, and for each row and each input in its outline."""

MOST_ALIKE = 32
"""How many entries are kept for one op."""

LOOKED_AT = 8
"""One in so many sweeps is looked at, by chance: looking takes a third of the time of running it."""

LONG = 2e-4
"""Seconds from which on a sweep is long: then the next one is looked at for sure."""

PATIENCE = 64
"""After so many looks none of which found a sweep like an earlier one, only every 16th is taken."""

chance = random.Random(0).random
limits = config.values


class Structure:
    """What is known of sweeps with one outline: what they have cost, and how often such a sweep was compiled.

    Sweeps of one outline may have several structures: other shapes, dtypes or parameters. So a sweep that is not run
    compiled although one with its outline was is compiled too, each time after twice as long.
    """

    __slots__ = ("compiled", "compiling", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0
        self.compiled = 0
        self.compiling = False


class _State:
    """What the cache holds."""

    def __init__(self) -> None:
        self.known: OrderedDict[tuple, Structure] = OrderedDict()
        self.strangers = 0
        self.long = False


state = _State()


@background.forgotten.append
def _after_fork() -> None:
    state.known.clear()


def forget() -> None:
    """Forget all structures, and what was compiled for them."""
    entries.clear()
    seeded.clear()
    state.known.clear()
    state.strangers = 0


@config.watch
def _changed() -> None:
    if not config.structure_cache:
        forget()


def look_up(outcome: Row, seed: Any = None) -> Structure | None:
    """What is known of the sweep from `outcome`, which is about to run; None if it is not to be looked at.

    If it is hot, this has it compiled; for any cotangent to start from if there is a `seed`.
    """
    if not limits["structure_cache"] or not limits["background_compile"] or not (state.long or chance() * LOOKED_AT <= 1):
        return None
    state.strangers += 1
    if state.strangers > PATIENCE and state.strangers % 16:
        return None
    outlined = outline(outcome)
    if outlined is None:
        return None
    key = (seed is None, *outlined)
    known = state.known
    with locks.structures:
        found = known.get(key)
        if found is None:
            found = known[key] = Structure()
            while len(known) > max(limits["structures"], 1):
                known.popitem(last=False)
        else:
            state.strangers = 0
            known.move_to_end(key)
    expected = (COMPILING[0] + COMPILING[1] * len(key)) * 2 ** min(found.compiled, 40)
    if not found.compiling and found.seconds >= limits["hot_after"] * expected and limits["structures"]:
        _submit(found, outcome, seed is not None)
    return found


def note(structure: Structure | None, seconds: float) -> None:
    """Note what a sweep cost, one that was looked at or, with None, another one."""
    state.long = seconds > LONG
    if structure is not None:
        structure.seconds += seconds if state.long else seconds * LOOKED_AT


def _submit(structure: Structure, outcome: Row, given: bool) -> None:
    structure.seconds = 0.0
    structure.compiled += 1
    steps = describe(outcome)
    if steps is None:
        return

    def compile_it() -> None:
        entry = compiled(steps, given)
        if config.structure_cache:
            op, places = steps[0].op, seeded if given else entries
            places[op] = [entry, *places.get(op, [])[: MOST_ALIKE - 1]]
            _forget_some()
        structure.seconds = 0.0
        structure.compiling = False

    structure.compiling = True
    if not background.submit("a recurring reverse sweep", compile_it):
        structure.compiling = False


def _forget_some() -> None:
    """Forget the entries beyond `config.structures`: of the ops that have most of them, those used longest ago."""
    kept = [(places, op) for places in (entries, seeded) for op in places]
    for _ in range(sum(len(places[op]) for places, op in kept) - limits["structures"]):
        places, op = max(kept, key=lambda at: len(at[0][at[1]]))
        places[op] = places[op][:-1]


def outline(outcome: Row) -> tuple | None:
    """The ops of the rows behind `outcome` and how they hang together; None if there are too many rows."""
    numbers = {outcome: 0}
    rows = [outcome]
    key: list[Any] = []
    most = limits["structure_rows"]
    for row in rows:
        key.append(id(row.needs) if row.inputs else row.shape)
        for x in row.inputs:
            if x.requires:
                n = numbers.get(x)
                if n is None:
                    n = numbers[x] = len(rows)
                    rows.append(x)
                key.append(n)
        if len(rows) > most:
            return None
    return tuple(key)


# From recorded rows to a description that holds none of them.


def describe(outcome: Row) -> list[Seen] | None:
    """The rows behind `outcome` that a sweep visits, from the outcome on; None if some cannot be compiled."""
    numbers = {outcome: 0}
    rows = [outcome]
    steps: list[Seen] = []
    places = _Places()
    for row in rows:
        op, needs = row.op, row.needs
        if row.extra is not None:
            return None
        if op is LEAF:
            steps.append(Seen(op, None, row.shape, row.dtype, {}, (), (), row.serial))
            continue
        if needs is None or op is ITEM or op.pullback is not None or op.composite or row.saved is FREED:
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
        kinds = tuple(
            [tuple(map(places.of, value)) if value.__class__ is tuple else places.of(value) for value in row.saved or ()]
        )
        if places.strange:
            return None
        steps.append(Seen(op, needs, row.shape, row.dtype, row.params, tuple(inputs), kinds, row.serial))
    return steps


class _Places:
    """Which place among the arguments of a compiled sweep each saved value has."""

    def __init__(self) -> None:
        self.arrays: dict[int, int] = {}
        self.count = 0
        self.strange = False

    def of(self, value: Any) -> Saved | None:
        """How a value is described; an array that was there before has the place that it had. None if it is no array."""
        if not isinstance(value, (np.ndarray, np.generic)):
            self.strange = True
            return None
        place = self.arrays.setdefault(id(value), self.count) if isinstance(value, np.ndarray) else self.count
        self.count += place == self.count
        return Saved(value.__class__, value.dtype, value.shape, place)


def _rebuilt(steps: list[Seen]) -> tuple[list[Row], dict[Row, tuple[Any, ...]]]:
    """Rows as described, recorded in the same order as those that were seen, and what each saved."""
    rows: dict[int, Row] = {}
    for i in sorted(range(len(steps)), key=lambda i: steps[i].serial):
        step = steps[i]
        if step.op is LEAF:
            rows[i] = Leaf(step.shape, step.dtype, True)
            continue
        inputs = tuple(rows[x] if isinstance(x, int) else Leaf(x[0], x[1], False) for x in step.inputs)
        rows[i] = Row(step.op, inputs, step.params, step.shape, step.dtype, True, step.needs)
    return [rows[i] for i in range(len(steps))], {rows[i]: step.saved for i, step in enumerate(steps)}


# From the description to a tape, and to an entry.


def compiled(steps: list[Seen], given: bool) -> Entry:
    """The entry of a structure: its sweep as a tape, compiled and tried out, behind the checks."""
    with importing("jitgrad.sweeps.program.program"):
        from jitgrad.sweeps.program.program import Program

    tape, arrived, constants = traced(steps, given)
    program = Program(simplify(tape), tape.inputs)
    program.run(*[np.zeros(x.shape, x.dtype)[()] for x in tape.inputs[: len(tape.inputs) - len(constants)]], *constants)
    outputs = program.tape.outputs
    shared = {*program.tape.inputs, *program.constants}
    fresh = [row not in shared and row not in outputs[:i] for i, row in enumerate(outputs)]
    return write_backward(steps, arrived, fresh, program.run, constants, given)


def traced(steps: list[Seen], given: bool) -> tuple[Tape, list[int], list[Any]]:
    """The sweep as a tape from saved values to gradients, and the numbers of the leaves that these belong to.

    After the saved values comes the cotangent to start from, if it is `given`. The last inputs of the tape are constants
    that the rules made, whose values come third.
    """
    rows, values = _rebuilt(steps)
    trace = Trace()
    leaves: list[Row] = []

    def argument(saved: Saved) -> Any:
        if saved.place == len(leaves):
            leaves.append(Leaf(saved.shape, saved.dtype, False))
        return tensor(None, leaves[saved.place])

    arguments = {
        row: [tuple(map(argument, saved)) if saved.__class__ is tuple else argument(saved) for saved in kinds]
        for row, kinds in values.items()
    }
    if given:
        leaves.append(Leaf(rows[0].shape, rows[0].dtype, False))
    trace.rows.update(dict.fromkeys(leaves))
    was = current_trace.get()
    try:
        current_trace.set(trace)
        start = leaves[-1] if given else trace.constant(np.ones(rows[0].shape, rows[0].dtype)[()])
        seeds = {rows[0]: tensor(None, start)}
        found = reverse(seeds, None, recorded=True, retain=True, values=arguments.__getitem__)
    finally:
        current_trace.set(was)
    arrived = [i for i, row in enumerate(rows) if row.op is LEAF and row in found]
    outputs = [found[rows[i]]._row for i in arrived]
    for i, out in zip(arrived, outputs):
        if out.shape != rows[i].shape or out.dtype != rows[i].dtype:
            raise TypeError(f"a gradient of shape {out.shape}, {out.dtype} for a leaf of {rows[i].shape}, {rows[i].dtype}")
    captured = dict(trace.captured.values())
    return Tape([*leaves, *captured], outputs), arrived, [handle._value for handle in captured.values()]
