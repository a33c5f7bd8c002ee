"""The interpreted sweep: a tape run with one NumPy call a row. It is the definition of what every other sweep gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from jitgrad.base.quiet import quietly
from jitgrad.ops.choosing import alias, detach
from jitgrad.ops.shapes import Spec
from jitgrad.tape.device_array import copy_of
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


LARGE = 1 << 17
"""Bytes from which fresh memory costs as much as arithmetic: malloc has it from the system, which clears it page by page."""


def _large(row: Row) -> bool:
    return row.op.ufunc is not None and row.dtype.kind == "f" and prod(row.shape) * row.dtype.itemsize >= LARGE


def _spare(row: Row, last: dict[Row, Row], free: set[Row]) -> int | None:
    """Which operand of a row is read here last, and has memory that the result fits in."""
    for k, x in enumerate(row.inputs):
        if last[x] is row and x in free and x.shape == row.shape and x.dtype == row.dtype:
            return k
    return None


def _into(ufunc: Any, operand: int) -> Callable:
    """A ufunc that writes into the memory of an operand, where the result would be laid out like it."""

    def run(*values: Any) -> Any:
        if all(value.flags.c_contiguous for value in values):
            return ufunc(*values, out=values[operand])
        return ufunc(*values)

    return run


_SAME = (alias, detach)
"""Ops whose result is their operand itself."""


class Interpreter:
    """A tape ready to run row by row; values that no later row reads are dropped on the way."""

    def __init__(self, tape: Tape, leaves: Sequence[Row], runner: Callable[[Row], Callable] | None = None) -> None:
        """`runner` gives what runs a row, if that is not NumPy."""
        places = {leaf: i for i, leaf in enumerate(leaves)}
        self._constants = []
        self._steps: list[tuple] = []
        ends = set(places)
        kept = ends.union(tape.outputs)
        last = {x: row for row in tape.rows for x in row.inputs}
        # What else reads them may be a view of them, or keep them.
        free = {row for row in tape.rows if row not in kept and _large(row) and runner is None}
        free.difference_update(*[row.inputs for row in tape.rows if row.op.ufunc is None])
        read = results_read(tape.rows)
        for row in tape.rows:
            if row in ends:
                continue
            places[row] = len(places)
            if row.op is CONST:
                self._constants.append((places[row], row.params["value"]))
                continue
            reads = [places[x] for x in row.inputs]
            inner = interpreted if runner is None else lambda tape: Interpreter(tape, tape.inputs, runner).plainly
            params = run_by(inner, row, read) if row.op.holds_tapes else row.params
            spare = _spare(row, last, free) if free and _large(row) and not row.params else None
            run = (runner or runner_of)(row) if spare is None else _into(row.op.ufunc, spare)
            dead = [places[x] for x in set(row.inputs) if last[x] is row and x not in kept]
            self._steps.append((run, reads, params, places[row], dead))
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
        return [copy_of(env[p]) if copies else env[p] for p, copies in self._results]

    def _sweep(self, env: list[Any]) -> None:
        for run, reads, params, write, dead in self._steps:
            env[write] = run(*[env[p] for p in reads], **params)
            for place in dead:
                env[place] = None
