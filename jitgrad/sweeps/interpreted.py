"""The interpreted sweep: a tape run with one NumPy call a row. It is the definition of what every other sweep gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitgrad.record import quiet
from jitgrad.tape import CONST, Row, Tape


class Interpreter:
    """A tape ready to run row by row; values that no later row reads are dropped on the way."""

    def __init__(self, tape: Tape, leaves: Sequence[Row]) -> None:
        places = {leaf: i for i, leaf in enumerate(leaves)}
        self._constants = []
        self._steps: list[tuple] = []
        last: dict[int, int] = {}
        ends = set(places)
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
            self._steps.append((row.op.run, reads, row.params, places[row]))
        self._outputs = [places[row] for row in tape.outputs]
        kept = set(self._outputs) | set(range(len(leaves)))
        self._dead = [[p for p in set(s[1]) if last[p] == i and p not in kept] for i, s in enumerate(self._steps)]
        self._size = len(places)
        self._copies = {places[row] for row in tape.outputs if row.op.view and row not in ends}

    def run(self, *values: Any) -> list[Any]:
        """The values of the outputs for values of the leaves."""
        env: list[Any] = [*values, *[None] * (self._size - len(values))]
        for place, value in self._constants:
            env[place] = value
        quiet.run(self._sweep, env)
        return [np.array(env[p]) if p in self._copies else env[p] for p in self._outputs]

    def _sweep(self, env: list[Any]) -> None:
        for (run, reads, params, write), dead in zip(self._steps, self._dead):
            env[write] = run(*[env[p] for p in reads], **params)
            for place in dead:
                env[place] = None
