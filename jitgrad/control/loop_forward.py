"""The forward sweep through a loop: a loop with the tangents beside the values."""

from __future__ import annotations

from typing import Any

from jitgrad.control.body import Body, Tensors, again, body, carries, fresh, spec
from jitgrad.control.loop import LOOP, elements, record
from jitgrad.control.loop_sweeps import LoopSweep
from jitgrad.ops.shapes import Spec
from jitgrad.passes.forward import forward
from jitgrad.record.apply import zeros
from jitgrad.tape.row import Row, beyond
from jitgrad.tape.tape import Tape


def _pushforward(sweep: Any, row: Row, ts: Tensors) -> dict[int, Any]:
    found = _Ahead(row, sweep.values(row), ts)
    found.go()
    return found.tangents()


class _Ahead(LoopSweep):
    """Takes each step once more, with the tangents that there are."""

    def __init__(self, row: Row, values: Tensors, ts: Tensors) -> None:
        super().__init__(row, list(values), ascending=not row.params["reverse"])
        self.const_ts, _, carry_ts, self.x_ts, _ = self.layout.split(ts)
        self.slices = [*self.xs, *[t for t in self.x_ts if t is not None]]
        self.known = {j: carry_ts[j] for j in self.moving if carry_ts[j] is not None}
        self.moving_ys = [k for k, y in enumerate(self.tape.outputs) if k >= self.layout.carry and carries(y)]
        self.before: list[dict[int, Any]] = []  # for each step taken alone, the tangents of the carry before it
        self.after: list[dict[int, Any]] = []  # and those of what it returned
        self.history: dict[int, Any] = {}  # the tangents of the carry before the steps in the loop
        self.ys: dict[int, Any] = {}  # and those of their ys

    def through(self, c: Tensors, known: dict[int, Any], x: Tensors, x_ts: Tensors) -> tuple[list[Any], dict[int, Any]]:
        """What a step returns, and the tangents of that, by number."""
        ts = [*self.const_ts, *map(known.get, range(len(c))), *x_ts]
        xs = fresh([*self.consts, *c, *x], [t is not None for t in ts])
        given = {x._row: t for x, t in zip(xs, ts) if t is not None}
        out = again(self.tape, xs)
        ends = [o._row for o in out]
        found = forward(given, ends, recorded=True, history=beyond(ends, given))
        return out, {k: found[row] for k, row in enumerate(ends) if row in found}

    def take_alone(self, at: int) -> None:
        n = self.layout.carry
        x_ts = [None if t is None else t[at] for t in self.x_ts]
        out, found = self.through(self.carry, self.known, [x[at] for x in self.xs], x_ts)
        self.before.append(self.known)
        self.after.append(found)
        self.carry, self.known = out[:n], {k: t for k, t in found.items() if k < n}

    def traced(self, held: list[int]) -> tuple[Body, set[int]]:
        n, many, arrived = self.layout.carry, self.layout.xs, set[int]()

        def step(given: list[Any]) -> list[Any]:
            c, known, rest = given[:n], dict(zip(held, given[n:])), given[n + len(held) :]
            theirs = iter(rest[many:])
            out, found = self.through(c, known, rest[:many], [None if t is None else next(theirs) for t in self.x_ts])
            arrived.update(found)
            return [*out[:n], *[found[k] if k in found else zeros(out[k]) for k in [*held, *self.moving_ys]]]

        made = body(step, [*map(spec, [*self.carry, *[self.carry[j] for j in held]]), *elements(self.slices)])
        self.arrived = arrived
        return made, {k for k in arrived if k < n}

    def take_the_rest(self, held: list[int], step: Body) -> None:
        n, start = self.layout.carry, self.start(held)
        done = record(
            step,
            [*self.carry, *start],
            self.left(self.slices),
            length=None if self.high is None else self.high - self.low,
            reverse=self.params["reverse"],
            count=self.count,
            cond=_with_more(self.params["cond"], self.asked, start),
        )
        self.known, self.history = dict(zip(held, done.carry[n:])), dict(zip(held, done.history[n:]))
        self.ys = {k: y for k, y in zip(self.moving_ys, done.ys) if k in self.arrived}

    def tangents(self) -> dict[int, Any]:
        """The tangents of the results of the row, by number."""
        outputs = self.tape.outputs
        found = dict(self.known)
        for k in self.moving_ys:
            found[k] = self.joined([step.get(k) for step in self.after], self.ys.get(k), outputs[k])
        for j in self.moving:
            found[len(outputs) + j] = self.joined([step.get(j) for step in self.before], self.history.get(j), outputs[j])
        return {k: t for k, t in found.items() if t is not None}


def _with_more(cond: Tape | None, asked: Tensors, more: Tensors) -> Body | None:
    """The condition of a loop that carries more."""
    if cond is None:
        return None
    carried = cond.inputs[len(asked) :]
    specs = [*[Spec(c.shape, c.dtype) for c in carried], *map(spec, more)]
    return body(lambda given: again(cond, [*asked, *given[: len(carried)]]), specs)


LOOP.pushforward = _pushforward
