"""Tapes that are ready to run on a device, for whoever has values of their leaves there or on the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitgrad.sweeps.cuda.program import Program
from jitgrad.sweeps.interpreted import Interpreter
from jitgrad.tape.device_array import DeviceArray
from jitgrad.tape.row import Row
from jitgrad.tape.tape import Tape


class Prepared:
    """A tape that is called with values of its leaves, on the device or on the host; its results are on the device."""

    def __init__(self, compute: Any, tape: Tape, leaves: Sequence[Row], fixed: Sequence[bool], row_by_row: bool) -> None:
        self.compute, self.tape, self.leaves, self.row_by_row = compute, tape, leaves, row_by_row
        self._fixed: list[Any] = [None] * len(leaves)
        self._is_fixed = fixed
        self._programs: dict[tuple[bool, ...], Any] = {}  # by which leaves the host has
        self._all_there: Any = None  # the program for what is all on the device

    def __call__(self, *values: Any) -> list[Any]:
        for x in values:
            if x.__class__ is not DeviceArray or not x.in_order:
                return self._generally(values)
        if self._all_there is None:
            self._all_there = self._program((False,) * len(self.leaves))
        return self._all_there.run(*values)

    def _generally(self, values: Sequence[Any]) -> list[Any]:
        given = [self._given(k, value) for k, value in enumerate(values)]
        found = self._program(tuple([not isinstance(x, DeviceArray) for x in given])).run(*given)
        return [x if isinstance(x, DeviceArray) else self.compute.from_host(np.asarray(x)) for x in found]

    def source(self, *values: Any) -> str:
        """The kernels for such values, as Python."""
        return self._program(tuple([not isinstance(x, DeviceArray) and not x.ndim for x in values])).source

    def report(self) -> list[str]:
        """A line for each program that was made so far."""
        made = [
            p.report() if isinstance(p, Program) else "interpreted, a kernel or several a row" for p in self._programs.values()
        ]
        return [f"  {self.compute.name}: {line}" for line in made]

    def release(self) -> None:
        """Give the memory back that is kept for the next run."""
        for program in self._programs.values():
            if isinstance(program, Program):
                program.release()

    def _program(self, on_host: tuple[bool, ...]) -> Any:
        found = self._programs.get(on_host)
        if found is None:
            if self.row_by_row:
                found = Interpreter(self.tape, self.leaves, lambda row: row.op)
            else:
                found = Program(self.compute, self.tape, self.leaves, [x for x, host in zip(self.leaves, on_host) if host])
            self._programs[on_host] = found
        return found

    def _given(self, k: int, value: Any) -> Any:
        if isinstance(value, DeviceArray):
            return value if value.in_order else value.copy()
        if not value.ndim:
            return value[()]
        if self._is_fixed[k]:
            if self._fixed[k] is None:
                self._fixed[k] = self.compute.kept_from_host(value)
            return self._fixed[k]
        return self.compute.from_host(value)
