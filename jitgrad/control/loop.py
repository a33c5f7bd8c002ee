"""`loop`: one row for all loops on the tape.

    i = 0
    while i < length and cond(*asked, *carry):
        carry, y = body(*consts, *carry, *(x[i] for x in xs))
        i += 1

Its results are the last carry, the `ys` stacked, then for each carry what it was before every step (the history, for
whoever sweeps back), and the number of steps. `scan` has no `cond`; a loop without `length` has no `xs`, no `ys`, no
history and so no reverse sweep. With `reverse` the steps go from the last element to the first. A counted loop has one
more input, the number of steps to go, at most `length`.

Its derivatives (`loop_forward`, `loop_reverse`) and its batching are loops again, so that they can be differentiated, batched
and compiled as well. The reverse sweep computes a step again from the carry before it, instead of keeping every value of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jitgrad.control.body import (
    Body,
    Control,
    Tensors,
    again,
    body,
    differing,
    spec,
    unbatched,
    uniform,
)
from jitgrad.control.examples import as_wide, only_looked_up, standing_in
from jitgrad.functions.shaping import movedim, stack
from jitgrad.ops.choosing import cast, where
from jitgrad.ops.shapes import Spec
from jitgrad.passes.batch import Batch, Operands, replay
from jitgrad.record.apply import apply, zeros
from jitgrad.record.trace import constant_tensor
from jitgrad.tape.device_array import DeviceArray, copy_of, device_among, placed_like
from jitgrad.tape.row import Row
from jitgrad.tape.tape import Tape
from jitgrad.tensors.tensor import wrap

COUNT = Spec((), np.dtype(np.int64))


class Layout(NamedTuple):
    """How many of the operands are what."""

    consts: int
    asked: int
    carry: int
    xs: int
    counted: bool

    def split(self, operands: Sequence[Any]) -> tuple[list, list, list, list, Any]:
        """Consts, what `cond` asks for, carry, xs, and the count or None."""
        found, start = [], 0
        for n in self[:4]:
            found.append(list(operands[start : start + n]))
            start += n
        return (*found, operands[start] if self.counted else None)  # type: ignore[return-value]

    def after(self, consts: int, asked: int = 0) -> Layout:
        """The layout with so many more in front of the consts, and of what `cond` asks for."""
        return self._replace(consts=self.consts + consts, asked=self.asked + asked)


class Results:
    """The results of a loop that has been run on tensors; what nobody asks for is not stacked."""

    def __init__(self, carry: list, ys: list[list], history: list[list], count: int, results: Sequence[Spec], backwards: bool):
        self.carry, self.stacks, self.count, self.results, self.backwards = carry, [*ys, *history], count, results, backwards

    def __getitem__(self, k: int) -> Any:
        n = len(self.carry)
        if k < n:
            return self.carry[k]
        if k == len(self.results) - 1:
            return wrap(np.int64(self.count))
        parts, shape = self.stacks[k - n], self.results[k].shape
        there = [*self.carry, *parts]
        empty = zeros(Spec(shape[1:], self.results[k].dtype), there)
        parts = [*(parts[::-1] if self.backwards else parts), *[empty] * (shape[0] - len(parts))]
        return stack(parts) if parts else zeros(Spec(shape, self.results[k].dtype), there)


def _steps(length: int | None, count: Any) -> int | None:
    return length if count is None else min(max(int(count), 0), length)  # type: ignore[type-var]


def _run(
    *values: Any,
    body: Callable,
    cond: Callable | None,
    layout: Layout,
    length: int | None,
    reverse: bool,
    results: tuple,
    wanted: set[int] | None = None,
) -> list[Any]:
    """The loop on arrays; only the results `wanted` are there, if that is given."""
    consts, asked, carry, xs, count = layout.split(values)
    n, most = layout.carry, _steps(length, count)
    kept: list[Any] = [None] * len(results)
    for k, (shape, dtype) in enumerate(results[n:-1], n):
        if wanted is None or k in wanted:
            kept[k] = placed_like(device_among(values), np.zeros(shape, dtype))
    stacks = kept[n:-1]
    outputs = len(stacks) - (n if length is not None else 0)
    i = 0
    while (most is None or i < most) and (cond is None or cond(*asked, *carry)[0]):
        t = i if not reverse else most - 1 - i  # type: ignore[operator]
        for history, c in zip(stacks[outputs:], carry):
            if history is not None:
                history[t] = c
        out = body(*consts, *carry, *[x[t] for x in xs])
        carry = out[:n]
        for y, o in zip(stacks, out[n:]):
            if y is not None:
                y[t] = o
        i += 1
    return [*map(copy_of, carry), *stacks, np.int64(i)]


def _plainly(
    *operands: Any, body: Tape, cond: Tape | None, layout: Layout, length: int | None, reverse: bool, results: tuple
) -> Results:
    """The loop on tensors with values, recorded step by step if a gradient may be wanted."""
    consts, asked, carry, xs, count = layout.split(operands)
    n, most = layout.carry, _steps(length, count)
    ys: list[list] = [[] for _ in body.outputs[n:]]
    history: list[list] = [[] for _ in range(n if length is not None else 0)]
    i = 0
    while (most is None or i < most) and (cond is None or bool(again(cond, [*asked, *carry])[0])):
        t = i if not reverse else most - 1 - i  # type: ignore[operator]
        for kept, c in zip(history, carry):
            kept.append(c)
        out = again(body, [*consts, *carry, *[x[t] for x in xs]])
        carry = out[:n]
        for y, o in zip(ys, out[n:]):
            y.append(o)
        i += 1
    return Results(carry, ys, history, i, results, reverse)


# Recording.


class Looped(NamedTuple):
    """The results of a loop, by what they are."""

    carry: list[Any]
    ys: list[Any]
    history: list[Any]
    count: Any


def record(
    step: Body,
    carry: Tensors,
    xs: Tensors,
    *,
    length: int | None,
    reverse: bool = False,
    cond: Body | None = None,
    count: Any = None,
) -> Looped:
    """A loop of `step`, whose arguments are carry and elements of `xs`, and whose results are carry and ys."""
    asked = [] if cond is None else cond.captured
    layout = Layout(len(step.captured), len(asked), len(carry), len(xs), count is not None)
    ends, n = step.tape.outputs, len(carry)
    lead = () if length is None else (length,)
    ys = [Spec((*lead, *y.shape), y.dtype) for y in ends[n:]]
    history = [] if length is None else [Spec((*lead, *c.shape), c.dtype) for c in ends[:n]]
    results = (*[Spec(c.shape, c.dtype) for c in ends[:n]], *ys, *history, COUNT)
    found = LOOP(
        *step.captured,
        *asked,
        *carry,
        *xs,
        *([] if count is None else [count]),
        body=step.tape,
        cond=None if cond is None else cond.tape,
        layout=layout,
        length=length,
        reverse=reverse,
        results=results,
    )
    many = [found[k] for k in range(len(results))]
    return Looped(many[:n], many[n : len(ends)], many[len(ends) : -1], many[-1])


def elements(xs: Tensors) -> list[Spec]:
    return [Spec(tuple(x.shape[1:]), spec(x).dtype) for x in xs]


# Batching.


def _differ(
    row: Row, consts: Operands, asked: Operands, ragged: bool, carry: Operands, x_flags: list[bool]
) -> tuple[bool, list[bool], list[bool]]:
    """Whether the examples stop at different steps, and in which entries of the carry and which ys they differ."""
    inner, cond, n = row.params["body"], row.params["cond"], len(carry)
    flags = [ragged or isinstance(c, Batch) for c in carry]
    ours, theirs = [isinstance(c, Batch) for c in consts], [isinstance(c, Batch) for c in asked]
    while True:
        if cond is not None and differing(cond, [*theirs, *flags])[0]:
            ragged, flags = True, [True] * n
        ends = differing(inner, [*ours, *flags, *x_flags])
        grown = [a or b for a, b in zip(flags, ends)]
        if grown == flags:
            return ragged, flags, [ragged or end for end in ends[n:]]
        flags = grown


def _batches(given: Tensors, which: Sequence[bool]) -> list[Any]:
    return [Batch(x) if flag else x for x, flag in zip(given, which)]


def _counters(size: int, beside: Sequence[Any]) -> list[Any]:
    """How many steps each example has taken, and how many were taken in all: none."""
    there = next((x for x in beside if isinstance(x._held, DeviceArray)), beside[0] if beside else None)
    return [constant_tensor(np.zeros(size, np.int64), there), wrap(np.int64(0))]


def _batch(row: Row, operands: Operands, size: int) -> list[Any]:
    """A loop over all examples together; those that have stopped before the others stay as they are."""
    p, layout = row.params, row.params["layout"]
    consts, asked, carry, xs, count = layout.split(operands)
    n, inner, cond = layout.carry, p["body"], p["cond"]
    ragged = isinstance(count, Batch)
    x_flags = [isinstance(x, Batch) for x in xs]
    ragged, flags, y_flags = _differ(row, consts, asked, ragged, carry, x_flags)
    carried = uniform(carry, flags, size)
    over = [movedim(x.value, 0, 1) if isinstance(x, Batch) else x for x in xs]
    counters = _counters(size, [*carried, *over]) if ragged else []
    most = None if not isinstance(count, Batch) else count.value
    last = count if most is None else most.amax() if size else wrap(np.int64(0))

    def asks(given: list[Any]) -> Any:
        """Which examples go on."""
        found = replay(cond, dict(zip(cond.inputs, [*asked, *_batches(given[:n], flags)])), size)
        return unbatched(uniform(found, [ragged], size)[0])

    tables = only_looked_up(inner, inner.inputs[: layout.consts])  # to copy them at every step would take long

    def step(given: list[Any]) -> list[Any]:
        c, numbers, x = given[:n], given[n : n + len(counters)], given[n + len(counters) :]
        operands = [*consts, *_batches(c, flags), *_batches(x, x_flags)]
        if ragged:
            t = numbers[1] if not p["reverse"] else last - 1 - numbers[1]
            active = asks(c) if cond is not None else t < most
            operands = standing_in(inner, operands, active, size, tables)[0]
        out = replay(inner, dict(zip(inner.inputs, operands)), size)
        out = [unbatched(t) for t in uniform(out, [*flags, *y_flags], size)]
        if not ragged:
            return out
        old = [*c, *[zeros(y) for y in out[n:]]]
        out = [where(as_wide(active, new), new, before) for new, before in zip(out, old)]
        return [*out[:n], numbers[0] + active, numbers[1] + 1, *out[n:]]

    made = body(step, [*map(spec, [*carried, *counters]), *elements(over)])

    def goes_on(given: list[Any]) -> list[Any]:
        found = asks(given)
        return [apply(cast, (found,), {"dtype": np.dtype(np.float32)}).sum() > 0 if ragged else found]

    question = None if cond is None else body(goes_on, list(map(spec, [*carried, *counters])))
    done = record(made, [*carried, *counters], over, length=p["length"], reverse=p["reverse"], cond=question, count=last)
    steps = Batch(done.carry[n]) if ragged else done.count
    stacked = [*zip(done.ys, y_flags), *zip(done.history[:n], flags)]
    return [
        *_batches(done.carry[:n], flags),
        *[Batch(movedim(y, 1, 0)) if flag else y for y, flag in stacked],
        steps,
    ]


def _may_never_end(row: Row) -> Sequence[Row]:
    return row.inputs if row.params["length"] is None else ()


LOOP = Control(_run, _plainly, kind="loop", batch=_batch, checks=_may_never_end)
