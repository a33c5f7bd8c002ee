"""The reverse sweep through a loop: a loop the other way, over the history."""

from __future__ import annotations

from typing import Any

from jitgrad.control.body import (
    Tensors,
    again,
    body,
    floating,
    fresh,
    result_of,
    seeds_of,
    spec,
    swept,
    zeros,
)
from jitgrad.control.loop import LOOP, elements, record
from jitgrad.errors import HoleError
from jitgrad.functions.shaping import cat, stack
from jitgrad.tape.row import Row


def _pullback(sweep: Any, row: Row, g: dict[int, Any], values: Tensors) -> list[Any]:
    if row.params["length"] is None:
        raise HoleError(
            "a reverse sweep through while_loop needs to know how much to keep: pass max_steps=..., a bound for the "
            "number of steps; or use scan or fori_loop, or forward mode (jvp)"
        )
    found = _Backwards(sweep, row, g, values)
    found.take_steps_alone()
    found.take_the_rest()
    return found.parts()


class _Backwards:
    """Computes each step again, from the last to the first, and sweeps back through it.

    Where a result of the carry has no cotangent, 0 in its place would be wrong: it may meet an infinite derivative in the last
    steps. So steps of a loop of known length are taken by themselves, until what has a cotangent before a step is what has
    one after it; carries without one stay so.
    """

    def __init__(self, sweep: Any, row: Row, g: dict[int, Any], values: Tensors) -> None:
        p, layout = row.params, row.params["layout"]
        self.row, self.layout, self.tape = row, layout, p["body"]
        self.consts, _, self.carry, self.xs, self.count = layout.split(values)
        needed = [x in sweep.needed and floating(x) for x in row.inputs]
        self.const_needed, self.asked_needed, _, self.x_needed, _ = layout.split(needed)
        self.moving = [j for j, c in enumerate(self.carry) if floating(c)]
        self.outputs = len(self.tape.outputs)
        self.stacked = [k for k in g if layout.carry <= k < len(p["results"]) - 1]  # ys and history that have cotangents
        history = [result_of(row, self.outputs + j) for j in range(layout.carry)]
        self.slices = [*history, *self.xs, *[g[k] for k in self.stacked]]
        self.held = self.moving
        self.cotangents = {j: g[j] for j in self.moving if j in g}  # of the carry, after the steps that are left
        self.sums: list[Any] = [None] * sum(self.const_needed)
        self.alone: list[list[Any]] = []  # the cotangents of xs for each step taken by itself
        self.over: list[Any] = []  # and for those in the loop
        self.low, self.high = 0, p["length"]

    def through(self, cts: dict[int, Any], rest: list[Any]) -> tuple[dict[int, Any], list[Any], list[Any]]:
        """Sweep back through one step, of which `rest` are the elements of `slices`: the cotangents of the carry before it, and
        those of consts and of the elements of xs that need one; None where nothing arrives."""
        n, moving = self.layout.carry, [j in self.moving for j in range(self.layout.carry)]
        c, x, gs = rest[:n], rest[n : n + self.layout.xs], dict(zip(self.stacked, rest[n + self.layout.xs :]))
        k, c, x = fresh(self.consts, self.const_needed), fresh(c, moving), fresh(x, self.x_needed)
        out = again(self.tape, [*k, *c, *x])
        seeds = seeds_of(out, [*map(cts.get, range(n)), *map(gs.get, range(n, self.outputs))])
        wanted = [t for t, w in zip([*k, *c, *x], [*self.const_needed, *moving, *self.x_needed]) if w]
        found = swept(seeds, {t._row for t in wanted})
        arrived = {j: _sum(found.get(c[j]._row), gs.get(self.outputs + j)) for j in self.moving}
        before = {j: t for j, t in arrived.items() if t is not None}
        return before, *[
            [found.get(t._row) for t, w in zip(each, which) if w] for each, which in ((k, self.const_needed), (x, self.x_needed))
        ]  # type: ignore[return-value]

    def take_steps_alone(self) -> None:
        """Steps outside of a loop, while other carries have a cotangent before a step than after it."""
        if self.row.params["cond"] is not None or self.count is not None:
            return
        settled = False
        while not settled and self.low < self.high and len(self.cotangents) < len(self.moving):
            if len(self.alone) > len(self.moving):  # they change for ever
                return
            backwards = self.row.params["reverse"]
            at = self.low if backwards else self.high - 1
            self.low, self.high = (self.low + 1, self.high) if backwards else (self.low, self.high - 1)
            elements_there = [x[at] for x in self.slices]
            before, of_consts, of_xs = self.through(self.cotangents, elements_there)
            settled = before.keys() == self.cotangents.keys()
            self.cotangents, self.sums = before, list(map(_sum, self.sums, of_consts))
            xs = [x for x, w in zip(elements_there[self.layout.carry :], self.x_needed) if w]
            self.alone.append([zeros(x) if t is None else t for x, t in zip(xs, of_xs)])
        self.held = list(self.cotangents)

    def take_the_rest(self) -> None:
        """A loop over the steps that are left."""
        if self.low == self.high:
            return
        held, many = self.held, len(self.sums)

        def step(given: list[Any]) -> list[Any]:
            cts, sums, rest = dict(zip(held, given)), given[len(held) : len(held) + many], given[len(held) + many :]
            before, of_consts, of_xs = self.through(cts, rest)
            xs = [x for x, w in zip(rest[self.layout.carry :], self.x_needed) if w]
            over = [zeros(x) if t is None else t for x, t in zip(xs, of_xs)]
            return [*[before[j] if j in before else zeros(cts[j]) for j in held], *map(_sum, sums, of_consts), *over]

        p, consts = self.row.params, [c for c, w in zip(self.consts, self.const_needed) if w]
        start = [self.cotangents[j] if j in self.cotangents else zeros(self.carry[j]) for j in held]
        carried = [*start, *[zeros(c) if t is None else t for c, t in zip(consts, self.sums)]]
        slices = [x[self.low : self.high] for x in self.slices] if self.alone else self.slices
        done = record(
            body(step, [*map(spec, carried), *elements(slices)]),
            carried,
            slices,
            length=self.high - self.low,
            reverse=not p["reverse"],
            count=result_of(self.row, len(p["results"]) - 1) if p["cond"] is not None else self.count,
        )
        self.cotangents = dict(zip(held, done.carry))
        self.sums, self.over = done.carry[len(held) :], done.ys

    def parts(self) -> list[Any]:
        """The cotangents of the inputs of the row."""
        sums, over = iter(self.sums), iter(range(sum(self.x_needed)))
        parts = [
            *[next(sums) if w else None for w in self.const_needed],
            *[None] * len(self.asked_needed),
            *map(self.cotangents.get, range(self.layout.carry)),
            *[self._stacked(next(over)) if w else None for w in self.x_needed],
        ]
        return [*parts, *[None] * (len(self.row.inputs) - len(parts))]

    def _stacked(self, k: int) -> Any:
        """The cotangents for the elements of the k-th of the xs that need one, in order."""
        backwards = self.row.params["reverse"]
        alone = [step[k] for step in (self.alone if backwards else reversed(self.alone))]
        pieces = [*self.over[k : k + 1], *([stack(alone)] if alone else [])]
        return None if not pieces else pieces[0] if len(pieces) == 1 else cat(pieces[::-1] if backwards else pieces)


def _sum(a: Any, b: Any) -> Any:
    return b if a is None else a if b is None else a + b


LOOP.pullback, LOOP.differentiable = _pullback, True
