"""The reverse sweep: cotangents carried backwards along the tape.

One sweep serves three cases, because the rules of the op table are written in recorded operations: on plain arrays
(the usual `backward()`), on tensors with `create_graph=True` (the sweep is recorded and can be differentiated again),
and on traced tensors (the sweep becomes part of the tape that `jit` compiles).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import numpy as np

from jitgrad.errors import FreedTapeError
from jitgrad.ops.choosing import where
from jitgrad.ops.table import OUTPUT, REST, RESULTS, Needs
from jitgrad.passes.hooks import hooked, leaves_at_once, through_hooks, with_tensor_hooks
from jitgrad.record.apply import item_of, watched
from jitgrad.record.trace import in_mode
from jitgrad.tape import origins
from jitgrad.tape.device_array import ARRAYS, DeviceArray
from jitgrad.tape.handle import Handle, check_guards, tensor
from jitgrad.tape.packing import Packed
from jitgrad.tape.row import FREED, ITEM, LEAF, Row, Several, beyond, by_serial

ndarray = np.ndarray


def reverse(
    seeds: dict[Row, Any],
    wanted: set[Row] | None,
    *,
    recorded: bool,
    retain: bool,
    values: Callable[[Row], Sequence[Any]] | None = None,
    history: Collection[Row] | None = None,
    arrive: Callable[[Sweep, Row, Any], None] | None = None,
) -> dict[Row, Any]:
    """Carry the cotangents in `seeds` backwards; return those that arrive at `wanted`, or at the leaves if it is None.

    Cotangents are arrays, or tensors if the sweep is `recorded`. Unless `retain`, values saved in the
    rows are dropped as the sweep passes. `values` gives what a row saved, if that is not to be found in the row. A
    recorded sweep takes saved values of rows that are not in `history` for constants, if that is given. Where leaves have hooks,
    `arrive` gets their cotangents as soon as they are whole.
    """
    order = _needed(seeds, wanted)
    if hooked:
        order = leaves_at_once(order)
    sweep = Sweep(recorded, set(order), history)
    checked = sweep.check is not None
    sweep.given = values
    for row, g in seeds.items():
        sweep.add(row, g, False)
    arrived = {}
    take = sweep.cotangents.pop
    for row in reversed(order):
        g = take(row, None)
        if g is None:
            continue
        special, before = checked or row.extra is not None, g
        goes_on = bool(row.inputs)
        if special:
            g = with_tensor_hooks(sweep, row, g)
        if row.op is LEAF or (wanted is not None and row in wanted):
            goes_on = any(x in sweep.needed for x in row.inputs)  # else what it saved is left for other sweeps
            own = before if goes_on else g  # as in PyTorch, where what goes on is taken before hooks
            fresh = recorded or not isinstance(own, ARRAYS) or (row in sweep.owned and own.flags.c_contiguous)
            own = own if fresh else own.copy()  # in order
            if row.op is LEAF and hooked and arrive is not None:
                arrive(sweep, row, own)
            else:
                arrived[row] = own
        if goes_on:
            needs = row.needs
            if special and row.op is not ITEM:
                through_hooks(sweep, row, g)
            elif not recorded and needs is not None and needs.plain:
                sweep.plainly(row, needs, g)
            else:
                sweep.step(row, g)
            if not retain and row.saved:
                row.saved = FREED
        sweep.owned.discard(row)
    return arrived


def _needed(seeds: Iterable[Row], wanted: set[Row] | None) -> list[Row]:
    """The rows on a way from `seeds` to `wanted` (or to any leaf that requires grad), in order."""
    found: set[Row] = set()
    waiting = list(seeds)
    asked: Collection[Row] = wanted or ()
    while waiting:
        row = waiting.pop()
        if (row.requires or row in asked) and row not in found:
            found.add(row)
            waiting += row.inputs
    order = sorted(found, key=by_serial)
    if wanted is None:
        return order
    reaching = dict.fromkeys(wanted)
    for row in order:
        for x in row.inputs:
            if x in reaching:
                reaching[row] = None
                break
    return [row for row in order if row in reaching]


class Sweep:
    """The accumulators of one reverse sweep, and how a row passes its cotangent on."""

    def __init__(self, recorded: bool, needed: set[Row], history: Collection[Row] | None) -> None:
        self.recorded = recorded
        self.history = history
        self.needed = needed
        self.cotangents: dict[Row, Any] = {}
        self.given: Callable[[Row], Sequence[Any]] | None = None
        self.owned: set[Row] = set()  # rows whose accumulator is an array that nobody else sees
        self.check = origins.check  # what goes through rows where that is watched

    def add(self, row: Row, g: Any, fresh: bool) -> None:
        """Add `g` to the cotangent of `row`."""
        old = self.cotangents.get(row)
        if old is None:
            self.cotangents[row] = g
            if fresh:
                self.owned.add(row)
        elif row in self.owned:
            old += g
        else:
            self.cotangents[row] = total = old + g
            if not self.recorded and isinstance(total, ARRAYS):
                self.owned.add(row)

    def step(self, row: Row, g: Any) -> None:
        """Apply the rules of `row` to its cotangent, by the quickest way that there is for it."""
        needs = row.needs
        if not self.recorded and needs is not None and needs.plain:
            self.plainly(row, needs, g)
        elif self.recorded and self.given is None and row.saved is None and row.op.elementwise:
            self.traced(row, g)
        else:
            self.through(row, g)

    def apart(self, row: Row, g: Any) -> list[Any]:
        """What the rules of `row` give for each of its inputs, None where nothing goes on."""
        inner = _Apart(self.recorded, self.needed, self.history)
        inner.given = self.given
        inner.through(row, g)
        return [inner.parts[x].pop(0) if inner.parts.get(x) else None for x in row.inputs]

    def through(self, row: Row, g: Any) -> None:
        """Apply the rules of `row` to its cotangent."""
        op = row.op
        if op is ITEM:
            parts, k = self.cotangents.setdefault(row.inputs[0], {}), row.params["k"]
            parts[k] = parts[k] + g if k in parts else g
            return
        values = self.values(row)
        if op.pullback is not None or op.composite:
            pull = op.pullback or through_lower
            parts = in_mode(self.recorded, lambda: pull(self, row, g, values))
            for x, part in zip(row.inputs, parts):
                if part is not None and x in self.needed:
                    self.add(x, part, False)
            return
        for i, rule, picks in self.needs(row).calls:
            x = row.inputs[i]
            if x not in self.needed:
                continue
            arguments = [values[p] for p in picks]
            facts = rule.facts(row, i) if rule.statics else ()
            if op.several:
                part = rule(g, [*arguments, *facts])
                if part is not None:
                    self.add(x, part, False)
                continue
            if op.accumulate is not None and not self.recorded and g.__class__ is not DeviceArray:
                op.accumulate(self._accumulator(x), g, *arguments, *facts)
            elif op.partials:
                self.add(x, scaled(g, rule.function(*arguments, *facts)), not self.recorded and g.ndim > 0)
            else:
                part = rule.function(g, *arguments, *facts)
                fresh = not self.recorded and part is not g and isinstance(part, ARRAYS) and part.base is None
                self.add(x, part, fresh)

    def traced(self, row: Row, g: Any) -> None:
        """`through` for an elementwise row that saved nothing, as rows have no values while `jit` traces."""
        inputs, needed = row.inputs, self.needed
        mask = tuple([x in needed for x in inputs])
        plain = row.dtype.kind == "f" and row.op.complex_rules is row.op.rules
        needs = row.op.needs(mask) if plain else row.op.needs_of(mask, row.dtype, inputs)
        if not needs.plain:
            return self.through(row, g)
        saved = [tensor(None, row if slot == OUTPUT else inputs[slot]) for slot in needs.slots]
        for i, function, picks, _, names in needs.quick:
            arguments = [saved[p] for p in picks]
            if names:
                arguments += [row.params[name] for name in names]
            if not row.op.partials:
                part = function(g, *arguments)
            else:
                partial = function(*arguments)
                plain = isinstance(partial, Handle) and partial._value is None and partial._row.dtype.kind == "f"
                part = g * partial if plain else scaled(g, partial)
            self.add(inputs[i], part, False)
        return None

    def plainly(self, row: Row, needs: Needs, g: Any) -> None:
        """`through` for what most rows are: arrays and rules that need nothing but saved values."""
        saved = row.saved
        if saved is FREED or row.guards is not None:
            saved = self.values(row)
        partials = row.op.partials
        cotangents, inputs, needed = self.cotangents, row.inputs, self.needed
        for i, function, picks, n, names in needs.quick:
            x = inputs[i]
            if x not in needed:
                continue
            if partials:
                if n == 1:
                    part = function(saved[picks[0]])
                else:
                    part = function(*[saved[p] for p in picks], *[row.params[name] for name in names])
                kind = part.__class__
                if kind is np.bool_ or (kind is ndarray and part.dtype == np.bool_):
                    part = where.run(part, g, 0)
                elif kind is DeviceArray and part.dtype == np.bool_:
                    part = where(part, g, 0)
                else:
                    part = g * part
            elif n == 0:
                part = function(g)
            else:
                part = (
                    function(g, saved[picks[0]])
                    if n == 1
                    else function(g, *[saved[p] for p in picks], *[row.params[name] for name in names])
                )
            if x in cotangents:
                self.add(x, part, False)
            else:
                cotangents[x] = part
                if part.__class__ in ARRAYS and part is not g and part.base is None:
                    self.owned.add(x)

    def _accumulator(self, row: Row) -> np.ndarray:
        """The accumulator of `row` as an array to add into in place."""
        old = self.cotangents.get(row)
        if old is None or row not in self.owned:
            old = np.zeros(row.shape, row.dtype) if old is None else np.array(old)
            self.cotangents[row] = old
            self.owned.add(row)
        return old

    def needs(self, row: Row) -> Needs:
        """How `row` is treated: as it was recorded, or, on a tape that is being traced, as this sweep needs it."""
        found = row.needs
        if found is None:
            mask = tuple([x in self.needed for x in row.inputs])
            found = row.op.needs(mask) if row.op.several else row.op.needs_of(mask, row.dtype, row.inputs)
        return found

    def values(self, row: Row) -> Sequence[Any]:
        """What `row` saved: arrays, or tensors that know the rows they came from."""
        if self.given is not None:
            return self.given(row)
        if row.needs is not None and not row.needs.slots:
            return ()
        if row.saved is FREED:
            raise FreedTapeError(
                f"the values saved for {row.op.name} were freed by an earlier reverse sweep: call "
                "backward(retain_graph=True) the first time, or compute the result again"
            )
        saved = row.saved
        if row.guards is not None:
            check_guards(row)
            if saved.__class__ is Packed:
                saved = saved.unpacked()
        if not self.recorded:
            return saved or ()
        needs = self.needs(row)
        values = saved if saved is not None else (None,) * len(needs.slots)
        guards = row.guards or (None,) * len(needs.slots)
        return [self._tensor(row, slot, v, guard) for slot, v, guard in zip(needs.slots, values, guards)]

    def _tensor(self, row: Row, slot: int, value: Any, guard: Any) -> Any:
        if slot == REST:
            rest = row.inputs[len(row.op.inputs) - 1 :]
            return value if value is not None else tuple(tensor(None, x) for x in rest)
        source = item_of(row, RESULTS - slot) if isinstance(row, Several) and slot <= RESULTS else row
        source = row.inputs[slot] if slot >= 0 else source
        if value is not None and np.shape(value) != source.shape:
            value = np.broadcast_to(value, source.shape)
        known = value is None or self.history is None or (row if slot <= RESULTS else source) in self.history
        handle = tensor(value, source if known else None)
        if guard is not None:
            handle._storage = guard[0]
        return handle


class _Apart(Sweep):
    """A sweep through one row, of which each part that it passes on is kept apart."""

    def __init__(self, recorded: bool, needed: set[Row], history: Collection[Row] | None) -> None:
        super().__init__(recorded, needed, history)
        self.parts: dict[Row, list[Any]] = {}

    def add(self, row: Row, g: Any, fresh: bool) -> None:
        self.parts.setdefault(row, []).append(g)

    def _accumulator(self, row: Row) -> np.ndarray:
        self.add(row, zero := np.zeros(row.shape, row.dtype), True)
        return zero


def scaled(g: Any, partial: Any) -> Any:
    """Cotangent (or tangent) times partial derivative; a boolean one is a mask, which lets no `inf * 0` arise."""
    if isinstance(partial, Handle):
        masked = partial._held.dtype == np.bool_
    else:
        masked = isinstance(partial, (np.bool_, bool)) or getattr(partial, "dtype", None) == np.bool_
    return where(partial, g, 0) if masked else g * partial


def through_lower(sweep: Sweep, row: Row, g: Any, values: Sequence[Any]) -> list[Any]:
    """The cotangents of the inputs of an op that has no rule: those of the simpler rows it is made of."""
    handles = [v if isinstance(v, Handle) else tensor(v) for v in values]
    inputs = [watched(v) if x in sweep.needed else v for v, x in zip(handles, row.inputs)]
    assert row.op.lower is not None
    out = in_mode(True, functools.partial(row.op.lower, *inputs, **row.params))
    ends = [x._row for x in inputs]
    wanted = {end for end, x in zip(ends, row.inputs) if x in sweep.needed}
    history = beyond([out._row], wanted) if sweep.recorded else None
    found = reverse({out._row: g}, wanted, recorded=sweep.recorded, retain=sweep.recorded, history=history)
    return [found.get(end) for end in ends]
