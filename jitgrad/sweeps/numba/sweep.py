"""The numba sweep: the phases of a tape as `@njit` functions, which `f.source()` shows, and NumPy for the rows between.

It runs where Numba does. With `NUMBA_DISABLE_JIT=1` the functions are Python's, and a debugger walks through them.
"""

from __future__ import annotations

import hashlib
import linecache
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jitgrad.base.locks import lazily
from jitgrad.base.quiet import quietly
from jitgrad.base.signals import importing
from jitgrad.errors import NotCompilableError
from jitgrad.sweeps.interpreted import run_by, runner_of
from jitgrad.sweeps.numba.source import PhaseWriter
from jitgrad.sweeps.plan.plan import Phase
from jitgrad.sweeps.plan.recompute import recompute
from jitgrad.sweeps.plan.segments import make_plan
from jitgrad.sweeps.plan.supported import WITHOUT_HALVES
from jitgrad.tape.row import CONST, Row, results_read
from jitgrad.tape.tape import Tape, with_outputs_apart

Values = dict[Row, Any]
MOST_LINES = 2000
"""Of a function beyond which Numba takes longer than anybody would wait for, and cannot be interrupted."""


class Written(NamedTuple):
    """A phase as a function: of the numbers, then the arrays, some of which are made for it; it returns numbers."""

    name: str
    text: str
    numbers: list[Row]
    arrays: list[Row]
    made: list[Row]
    returned: list[Row]


class Called(NamedTuple):
    """A row that NumPy runs."""

    row: Row
    run: Callable
    params: dict[str, Any]


class Phases:
    """A tape ready to run: `run(*values)` gives the values of its outputs for those of the leaves."""

    def __init__(self, tape: Tape, leaves: Sequence[Row], name: str = "function") -> None:
        self.tape = tape = with_outputs_apart(tape)
        self.leaves = list(leaves)
        self.plan = make_plan(tape, WITHOUT_HALVES)
        recompute(self.plan)
        self.scalars: dict[str, Any] = {}
        self.name = re.sub(r"\W", "_", name).strip("_") or "function"
        self.constants = {row: np.asarray(row.params["value"])[()] for row in tape.rows if row.op is CONST}
        self.steps: list[Written | Called] = []
        known = {*self.leaves, *self.constants}
        read = results_read(tape.rows)
        for i, phase in enumerate(self.plan.phases):
            if phase.levels:
                self.steps.append(self._written(phase, f"{self.name}_{i}", known))
            self.steps += [
                Called(row, runner_of(row), run_by(_inner, row, read) if row.op.holds_tapes else row.params)
                for row in phase.others
            ]

    def _written(self, phase: Phase, name: str, known: set[Row]) -> Written:
        writer = PhaseWriter(phase, self.plan, self.tape.rows, self.scalars)
        text = writer.text(name)
        made = [row for row in writer.arrays if row in self.plan.native and row not in known]
        known.update(made)
        return Written(name, text, writer.numbers, writer.arrays, made, writer.returned)

    @property
    def source(self) -> str:
        """All functions, as they are compiled."""
        parts = [step.text for step in self.steps if isinstance(step, Written)]
        return "\n\n".join(parts) if parts else f"# {self.name}: every row is run by NumPy; see report()"

    def run(self, *values: Any) -> list[Any]:
        """The values of the outputs for values of the leaves."""
        return quietly(self._run, *values)

    def _run(self, *values: Any) -> list[Any]:
        env: Values = {**self.constants, **dict(zip(self.leaves, values))}
        for step in self.steps:
            if isinstance(step, Called):
                env[step.row] = step.run(*[env[x] for x in step.row.inputs], **step.params)
                continue
            env |= {row: np.empty(row.shape, row.dtype) for row in step.made}
            numbers = [env[row].reshape(())[()] for row in step.numbers]
            found = self.functions[step.name](*numbers, *[np.ascontiguousarray(env[row]) for row in step.arrays])
            for row, value in zip(step.returned, found):
                env[row] = row.dtype.type(value) if row.shape == () else np.full(row.shape, value, row.dtype)
        return [self._result(row, env) for row in self.tape.outputs]

    def _result(self, row: Row, env: Values) -> Any:
        """The value of an output, in memory of its own."""
        source = self.plan.results.get(row)
        if source is not None:
            return env[source].reshape(row.shape)[()]
        value = env[row]
        return np.array(value)[()] if row not in self.plan.native and isinstance(value, np.ndarray) else value

    @lazily
    def functions(self) -> dict[str, Callable]:
        """The functions by name, compiled by Numba when they are first called."""
        with importing("jitgrad.sweeps.numba.names"):
            import numba

            from jitgrad.sweeps.numba.names import namespace
        names = dict(namespace())
        for name, function in self.scalars.items():
            names[name] = numba.njit(error_model="numpy")(function.py_func)  # as NumPy calls it
        for step in self.steps:
            if isinstance(step, Written):
                lines = step.text.count("\n")
                if lines > MOST_LINES and names["njit"] is numba.njit and not numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
                    raise NotCompilableError(
                        f"{self.name} is {lines} lines of @njit source, and Numba would take minutes to compile more than "
                        f"{MOST_LINES}: take the sweep 'machine', or write its loop with scan, which is one row"
                    )
                exec(compile(step.text, _shown(step), "exec"), names)
        return names


def _shown(step: Written) -> str:
    """A name for a file with the text, which tracebacks and debuggers find."""
    name = f"<{step.name} {hashlib.sha256(step.text.encode()).hexdigest()[:16]}>"
    linecache.cache[name] = (len(step.text), None, step.text.splitlines(keepends=True), name)
    return name


def _inner(tape: Tape) -> Callable:
    return Phases(tape, tape.inputs).run
