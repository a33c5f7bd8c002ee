"""`switch`: one row for all branches on the tape.

Its first operand says which of its branches, functions of the other operands, gives the results; a number below 0 means
the first, one beyond the last the last. Derivatives are switches between the derivatives of the branches: what has none in
any branch has none, and in a branch that has none where another has one it is 0. Where the choice differs from example to
example, all branches that one of them takes are computed and their results picked from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.control.body import (
    Body,
    Control,
    Tensors,
    again,
    body,
    carries,
    differing,
    fresh,
    seeds_of,
    spec,
    swept,
    unbatched,
    uniform,
)
from jitgrad.control.examples import as_wide, standing_in
from jitgrad.ops.choosing import cast, where
from jitgrad.ops.shapes import Spec
from jitgrad.passes.batch import Batch, Operands, replay
from jitgrad.passes.forward import forward
from jitgrad.record.apply import apply, zeros
from jitgrad.tape.device_array import DeviceArray
from jitgrad.tape.row import Row, beyond
from jitgrad.tape.tape import Tape
from jitgrad.tensors.tensor import Tensor


def _chosen(index: Any, branches: Sequence[Any]) -> Any:
    return branches[min(max(int(index), 0), len(branches) - 1)]


def _run(index: Any, *values: Any, branches: Sequence[Callable], results: tuple, wanted: Any = None) -> list[Any]:
    return [out if isinstance(out, DeviceArray) else np.array(out)[()] for out in _chosen(index, branches)(*values)]


def _plainly(index: Any, *operands: Any, branches: tuple[Tape, ...], results: tuple) -> list[Any]:
    return again(_chosen(index, branches), operands)


def record(index: Tensor, bodies: Sequence[Body], operands: Tensors) -> list[Any]:
    """The results of a switch between bodies, all of them functions of the operands."""
    captured = [x for b in bodies for x in b.captured]
    leaves = [row for b in bodies for row in b.tape.inputs[: len(b.captured)]]
    # Every branch gets what any of them captured.
    tapes = tuple(Tape([*leaves, *b.tape.inputs[len(b.captured) :]], b.tape.outputs) for b in bodies)
    results = tuple(Spec(row.shape, row.dtype) for row in tapes[0].outputs)
    found = SWITCH(index, *captured, *operands, branches=tapes, results=results)
    return [found[k] for k in range(len(results))]


def _switched(index: Any, steps: Sequence[Callable], operands: Tensors) -> list[Any]:
    return record(index, [body(step, list(map(spec, operands))) for step in steps], operands)


def _pullback(sweep: Any, row: Row, g: dict[int, Any], values: Tensors) -> list[Any]:
    index, *operands = values
    needed = [x in sweep.needed and carries(x) for x in row.inputs[1:]]
    seeds, arrived = list(g.values()), set[int]()

    def back(tape: Tape) -> Callable:
        def step(given: list[Any]) -> list[Any]:
            xs = fresh(given[len(seeds) :], needed)
            out = again(tape, xs)
            ends = [x._row for x, need in zip(xs, needed) if need]
            found = swept(seeds_of([out[k] for k in g], given[: len(seeds)]), set(ends))
            arrived.update(i for i, x in enumerate(xs) if x._row in found)
            return [found.get(x._row, zeros(x)) for x, need in zip(xs, needed) if need]

        return step

    parts = iter(_switched(index, [back(tape) for tape in row.params["branches"]], [*seeds, *operands]))
    found = [next(parts) if need else None for need in needed]
    return [None, *[part if i in arrived else None for i, part in enumerate(found)]]


def _pushforward(sweep: Any, row: Row, ts: Tensors) -> dict[int, Any]:
    index, *operands = sweep.values(row)
    tangents = [t for t in ts[1:] if t is not None]
    moving, arrived = [k for k, out in enumerate(row.params["results"]) if carries(out)], set[int]()

    def on(tape: Tape) -> Callable:
        def step(given: list[Any]) -> list[Any]:
            carried = iter(given[: len(tangents)])
            xs = fresh(given[len(tangents) :], [t is not None for t in ts[1:]])
            known = {x._row: next(carried) for x, t in zip(xs, ts[1:]) if t is not None}
            out = again(tape, xs)
            ends = [o._row for o in out]
            found = forward(known, ends, recorded=True, history=beyond(ends, known))
            arrived.update(k for k in moving if ends[k] in found)
            return [found.get(out[k]._row, zeros(out[k])) for k in moving]

        return step

    pushed = _switched(index, [on(tape) for tape in row.params["branches"]], [*tangents, *operands])
    return {k: t for k, t in zip(moving, pushed) if k in arrived}


def _batch(row: Row, operands: Operands, size: int) -> list[Any]:
    index, *rest = operands
    tapes = row.params["branches"]
    if isinstance(index, Batch):
        ours = _shares(index.value, len(tapes))
        return _picked(ours, [_for_some(tape, rest, some, size) for tape, some in zip(tapes, ours)], size)
    flags = [isinstance(x, Batch) for x in rest]
    out_flags = [any(many) for many in zip(*[differing(tape, flags) for tape in tapes])]

    def step(tape: Tape) -> Callable:
        def call(given: list[Any]) -> list[Any]:
            known = [Batch(x) if flag else x for x, flag in zip(given, flags)]
            return [unbatched(x) for x in uniform(replay(tape, dict(zip(tape.inputs, known)), size), out_flags, size)]

        return call

    results = _switched(index, [step(tape) for tape in tapes], [unbatched(x) for x in rest])
    return [Batch(out) if flag else out for out, flag in zip(results, out_flags)]


def _shares(index: Any, count: int) -> list[Any]:
    """For each branch, which examples take it."""
    if count == 1:
        return [index == index]
    return [index <= 0, *[index == k for k in range(1, count - 1)], index >= count - 1]


def _for_some(tape: Tape, operands: Operands, ours: Any, size: int) -> list[Any]:
    """The results of a branch for the examples that take it, and anything for the others. Where these had to be given the
    operands of one that takes it, the branch runs if there is one."""
    given, place = standing_in(tape, operands, ours, size)
    if place is None:
        return replay(tape, dict(zip(tape.inputs, given)), size)
    flags = [isinstance(x, Batch) for x in given]
    out_flags = differing(tape, flags)

    def taken(xs: list[Any]) -> list[Any]:
        known = [Batch(x) if flag else x for x, flag in zip(xs, flags)]
        return [unbatched(x) for x in uniform(replay(tape, dict(zip(tape.inputs, known)), size), out_flags, size)]

    def left(xs: list[Any]) -> list[Any]:
        shapes = [(size, *row.shape) if flag else row.shape for row, flag in zip(tape.outputs, out_flags)]
        return [zeros(Spec(shape, row.dtype), xs) for row, shape in zip(tape.outputs, shapes)]

    nobody = apply(cast, (place < 0,), {"dtype": np.dtype(np.int64)})
    results = _switched(nobody, [taken, left], [unbatched(x) for x in given])
    return [Batch(out) if flag else out for out, flag in zip(results, out_flags)]


def _picked(ours: Sequence[Any], outputs: Sequence[list[Any]], size: int) -> list[Any]:
    """Of the results of all branches, for each example those of its own."""
    found = []
    for many in zip(*outputs):
        choices = [unbatched(x) for x in uniform(many, [True] * len(many), size)]
        out = choices[-1]
        for k in reversed(range(len(choices) - 1)):
            out = where(as_wide(ours[k], out), choices[k], out)
        found.append(Batch(out))
    return found


SWITCH = Control(_run, _plainly, kind="switch", pullback=_pullback, pushforward=_pushforward, batch=_batch)
