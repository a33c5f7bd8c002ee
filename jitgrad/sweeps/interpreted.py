"""The interpreted sweep: a tape run with one NumPy call a row. It is the definition of what every other sweep gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.base.quiet import quietly
from jitgrad.ops.choosing import alias, detach
from jitgrad.ops.shapes import Spec
from jitgrad.tape.row import CONST, Row, Several, results_read
from jitgrad.tape.tape import Tape, with_tapes


def run_by(sweep: Callable[[Tape], Callable], row: Row, read: dict[Row, set[int]]) -> dict[str, Any]:
    """The parameters with which a loop or a switch is run by a sweep, for the results that are `read`."""
    return {**with_tapes(row.params, sweep), "wanted": read.get(row, ())}


def interpreted(tape: Tape) -> Callable:
    """A tape as a function of its inputs, for callers that have seen to NumPy's warnings."""
    return Interpreter(tape, tape.inputs).plainly


def runner_of(row: Row) -> Callable:
    """What runs a row; of a function of the user it is made sure that the result is what was recorded."""
    run, several = row.op.run, isinstance(row, Several)
    if not row.op.of_user:
        return run
    specs = row.results if isinstance(row, Several) else [Spec(row.shape, row.dtype)]

    def checked(*values: Any, **params: Any) -> Any:
        found = run(*values, **params)
        for value, spec in zip(found if several else (found,), specs):
            if value.shape != spec.shape or value.dtype != spec.dtype:
                raise RuntimeError(
                    f"{row.op.name} returned shape {list(value.shape)} of {value.dtype}, and {list(spec.shape)} of {spec.dtype} "
                    "when it was recorded: under jit these must follow from the shapes and dtypes of the arguments"
                )
        return found

    return checked


_SAME = (alias, detach)
"""Ops whose result is their operand itself."""


class Interpreter:
    """A tape ready to run row by row; values that no later row reads are dropped on the way."""

    def __init__(self, tape: Tape, leaves: Sequence[Row]) -> None:
        places = {leaf: i for i, leaf in enumerate(leaves)}
        self._constants = []
        self._steps: list[tuple] = []
        last: dict[int, int] = {}
        ends = set(places)
        read = results_read(tape.rows)
        for row in tape.rows:
            if row in ends:
                continue
            places[row] = len(places)
            if row.op is CONST:
                self._constants.append((places[row], row.params["value"]))
                continue
            reads = [places[x] for x in row.inputs]
            for place in reads:
                last[place] = len(self._steps)
            params = run_by(interpreted, row, read) if row.op.holds_tapes else row.params
            self._steps.append((runner_of(row), reads, params, places[row]))
        kept = {places[row] for row in tape.outputs} | set(range(len(leaves)))
        self._dead = [[p for p in set(s[1]) if last[p] == i and p not in kept] for i, s in enumerate(self._steps)]
        self._size = len(places)
        shared = [
            row.shape if row in ends else row.op.view or row.op in _SAME or row in tape.outputs[:k]
            for k, row in enumerate(tape.outputs)
        ]
        self._results = [(places[row], bool(copies)) for row, copies in zip(tape.outputs, shared)]

    def run(self, *values: Any) -> list[Any]:
        """The values of the outputs for values of the leaves; NumPy's floating-point warnings are off."""
        return quietly(self.plainly, *values)

    def plainly(self, *values: Any) -> list[Any]:
        """`run` for callers that have seen to the warnings."""
        env: list[Any] = [*values, *[None] * (self._size - len(values))]
        for place, value in self._constants:
            env[place] = value
        self._sweep(env)
        return [np.array(env[p]) if copies else env[p] for p, copies in self._results]

    def _sweep(self, env: list[Any]) -> None:
        for (run, reads, params, write), dead in zip(self._steps, self._dead):
            env[write] = run(*[env[p] for p in reads], **params)
            for place in dead:
                env[place] = None
