"""The reverse sweep through a loop: a loop the other way, over the history."""

from __future__ import annotations

from typing import Any

from jitgrad.control.body import Body, Tensors, again, body, carries, fresh, result_of, seeds_of, spec, swept
from jitgrad.control.loop import LOOP, elements, record
from jitgrad.control.loop_sweeps import LoopSweep
from jitgrad.errors import HoleError
from jitgrad.record.apply import zeros
from jitgrad.tape.row import Row


def _pullback(sweep: Any, row: Row, g: dict[int, Any], values: Tensors) -> list[Any]:
    if row.params["length"] is None:
        raise HoleError(
            "a reverse sweep through while_loop needs to know how much to keep: pass max_steps=..., a bound for the "
            "number of steps; or use scan or fori_loop, or forward mode (jvp)"
        )
    found = _Backwards(sweep, row, g, values)
    found.go()
    return found.parts()


class _Backwards(LoopSweep):
    """Computes each step again, from the last to the first, and sweeps back through it."""

    def __init__(self, sweep: Any, row: Row, g: dict[int, Any], values: Tensors) -> None:
        super().__init__(row, list(values), ascending=row.params["reverse"])
        needed = [x in sweep.needed and carries(x) for x in row.inputs]
        self.const_needed, self.asked_needed, _, self.x_needed, _ = self.layout.split(needed)
        n, self.outputs = self.layout.carry, len(self.tape.outputs)
        self.stacked = [k for k in g if n <= k < len(self.params["results"]) - 1]  # ys and history that have cotangents
        history = [result_of(row, self.outputs + j) for j in range(n)]
        self.slices = [*history, *self.xs, *[g[k] for k in self.stacked]]
        self.known = {j: g[j] for j in self.moving if j in g}
        self.sums: list[Any] = [None] * sum(self.const_needed)
        self.alone: list[list[Any]] = []  # the cotangents of xs for each step taken alone
        self.over: list[Any] = [None] * sum(self.x_needed)  # and for those in the loop

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
        of_consts, of_xs = (
            [found.get(t._row) for t, w in zip(each, which) if w] for each, which in ((k, self.const_needed), (x, self.x_needed))
        )
        return before, of_consts, of_xs

    def take_alone(self, at: int) -> None:
        self.known, of_consts, of_xs = self.through(self.known, [x[at] for x in self.slices])
        self.sums = list(map(_sum, self.sums, of_consts))
        self.alone.append(of_xs)

    def traced(self, held: list[int]) -> tuple[Body, set[int]]:
        n, many, arrived = self.layout.carry, len(self.sums), set[int]()
        consts = [c for c, w in zip(self.consts, self.const_needed) if w]

        def step(given: list[Any]) -> list[Any]:
            cts, sums, rest = dict(zip(held, given)), given[len(held) : len(held) + many], given[len(held) + many :]
            before, of_consts, of_xs = self.through(cts, rest)
            arrived.update(before)
            self.reached = [t is not None for t in of_consts], [t is not None for t in of_xs]
            xs = [x for x, w in zip(rest[n:], self.x_needed) if w]
            over = [zeros(x) if t is None else t for x, t in zip(xs, of_xs)]
            return [*[before[j] if j in before else zeros(cts[j]) for j in held], *map(_sum, sums, of_consts), *over]

        return body(step, [*map(spec, [*[self.carry[j] for j in held], *consts]), *elements(self.slices)]), arrived

    def take_the_rest(self, held: list[int], step: Body) -> None:
        p, consts = self.params, [c for c, w in zip(self.consts, self.const_needed) if w]
        done = record(
            step,
            [*self.start(held), *[zeros(c) if t is None else t for c, t in zip(consts, self.sums)]],
            self.left(self.slices),
            length=self.high - self.low,
            reverse=not p["reverse"],
            count=result_of(self.row, len(p["results"]) - 1) if p["cond"] is not None else self.count,
        )
        consts_reached, xs_reached = self.reached
        self.known = dict(zip(held, done.carry))
        self.sums = [new if there else old for old, new, there in zip(self.sums, done.carry[len(held) :], consts_reached)]
        self.over = [y if there else None for y, there in zip(done.ys, xs_reached)]

    def parts(self) -> list[Any]:
        """The cotangents of the inputs of the row."""
        sums, over = iter(self.sums), iter(range(len(self.over)))
        elements_of_xs = self.tape.inputs[self.layout.consts + self.layout.carry :]
        parts = [
            *[next(sums) if w else None for w in self.const_needed],
            *[None] * len(self.asked_needed),
            *map(self.known.get, range(self.layout.carry)),
            *[self._stacked(next(over), x) if w else None for w, x in zip(self.x_needed, elements_of_xs)],
        ]
        return [*parts, *[None] * (len(self.row.inputs) - len(parts))]

    def _stacked(self, k: int, like: Row) -> Any:
        """The cotangents for the elements of the k-th of the xs that need one, each of which is like that row."""
        return self.joined([step[k] for step in self.alone], self.over[k], like)


def _sum(a: Any, b: Any) -> Any:
    return b if a is None else a if b is None else a + b


LOOP.pullback, LOOP.differentiable = _pullback, True
