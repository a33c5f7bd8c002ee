"""A recorded function with the ways of running it that have been asked for."""

from __future__ import annotations

import functools
import operator
import time
from collections.abc import Sequence
from typing import Any

from jitgrad import dtypes
from jitgrad.base.locks import lazily
from jitgrad.base.signals import importing
from jitgrad.base.tree import COMPUTED
from jitgrad.calls.kinds import compute_among, kind_of, number_of, place_of, spec_of
from jitgrad.devices.cuda import placed
from jitgrad.jitted.paths import Paths
from jitgrad.jitted.rerecording import Recheck
from jitgrad.passes.simplify import simplify
from jitgrad.sweeps.interpreted import Interpreter
from jitgrad.tape.device_array import mixed
from jitgrad.tape.handle import Handle, make
from jitgrad.tape.row import Row
from jitgrad.tape.strides import lies
from jitgrad.tape.tape import Tape
from jitgrad.tensors.tensor import Tensor
from jitgrad.tracing.function import Traced


class Compiled:
    """One tape of a function, for one kind of arguments, with the ways of running it that have been asked for."""

    def __init__(self, traced: Traced, seconds: float, name: str, kinds: Sequence[Any] = ()) -> None:
        self.name = name
        self.traced = traced
        self.tape = traced.tape
        self.trace_seconds = seconds
        self.captured = list(traced.captured.values())
        self.leaves = [*traced.tape.inputs, *traced.captured]
        self.simple: Tape | None = None
        self.compile_seconds = self.machine_seconds = 0.0
        self.captured_kinds = [kind_of(handle, []) for handle in self.captured]
        anywhere = traced.made | traced.arrays  # what is no tensor of anybody's
        given = [None if id(x) in anywhere else kind for x, kind in zip(self.captured, self.captured_kinds)]
        known = [*[kind for kind in kinds if spec_of(kind) is not None], *given]
        self.compute = compute_among(known)
        if self.compute is not None:
            _refuse_mixed(name, self.tape, {leaf: place_of(kind) for leaf, kind in zip(self.leaves, known)})
        self._runners: dict[str, Any] = {}
        self.outcomes = tuple([outcome for _, outcome in traced.guards])
        self.entry: Any = None  # of a path, beside which there may be others: see `paths.Paths`
        self.others: Any = None
        self.alike: Paths | None = None
        self.kept = True
        self.recheck = Recheck(traced.doubts, seconds) if traced.doubts is not None else None

    def is_right(self) -> bool:
        """Whether what it read from outside is still as it was recorded: the shapes and dtypes of the captured tensors, and
        the values of those that became Python numbers."""
        alike = not self.captured or [kind_of(handle, []) for handle in self.captured] == self.captured_kinds
        start = len(self.tape.inputs)
        laid = all(lies(self.captured[k - start]._value) == how for k, how in self.traced.laid if k >= start)
        return alike and laid and not self.is_outdated()

    def returns_like(self, other: Compiled) -> bool:
        """Whether there are tensors at the same places of the results, and nothing else is different."""
        same = [(a is COMPUTED) == (b is COMPUTED) for a, b in zip(self.traced.outputs, other.traced.outputs)]
        return self.traced.structure == other.traced.structure and all(same)

    def is_outdated(self) -> bool:
        """Whether a tensor from outside that became a Python number has another value now."""
        return not all(known.holds() for known in self.traced.looked_at)

    @lazily
    def reaches(self) -> list[int]:
        """For each output, which leaves a gradient of it reaches: bit i stands for leaf i."""
        found = {leaf: 1 << i for i, leaf in enumerate(self.leaves)}
        for row in self.tape.rows:
            if row not in found:
                passes = row.op.differentiable and (row.op.several or dtypes.has_gradient(row.dtype))
                found[row] = functools.reduce(operator.or_, [found[x] for x in row.inputs], 0) if passes else 0
        return [found[row] if dtypes.has_gradient(row.dtype) else 0 for row in self.tape.outputs]

    def chosen(self, *_: Any) -> tuple[Compiled, Any]:
        """The one to run, and the values of its outputs if they are known."""
        return self, None

    def brought(self, handles: list[Handle]) -> list[Handle]:
        """Arguments and captured tensors, arrays among these brought to the device of the tape."""
        if self.compute is None:
            return handles
        values = [placed(x._value, self.compute.name) if x._value.ndim else x._value for x in handles]
        return [x if value is x._value else make(Tensor, value, x._row) for x, value in zip(handles, values)]

    def runner(self, name: str) -> Any:
        """The `run(values)` of a sweep, made on first need; of what is on a device, "cuda" stands for all that compile."""
        if self.compute is not None:
            name = name if name == "interpreted" else "cuda"
        found = self._runners.get(name)
        if found is None:
            found = self._runners[name] = self._make(name)
        return found

    def direct(self, run: Any, kinds: list[Any]) -> Any:
        """How `run` goes in one C function for inputs of those kinds; None where it does not."""
        if run is not self._runners.get("jit") or any(how for _, how in self.traced.laid):
            return None  # the C function takes arrays whose elements lie in order
        return self.program.direct([number_of(kind) for kind in [*kinds, *self.captured_kinds]], Tensor)

    def release(self) -> None:
        """Give the memory back that runs left for the next one."""
        for made in (getattr(self, "program", None), getattr(self, "machine", None), getattr(self, "on_device", None)):
            if made is not None:
                made.release()

    @lazily
    def phases(self) -> Any:
        """The tape as functions under `@njit`."""
        with importing("jitgrad.sweeps.numba.sweep"):
            from jitgrad.sweeps.numba.sweep import Phases
        return Phases(self.simplified(), self.leaves, self.name)

    def source(self, values: Sequence[Any]) -> str:
        """What is compiled for such values, as Python: functions under `@njit`, or the kernels of a GPU."""
        return self.phases.source if self.compute is None else self.runner("cuda").source(*values)

    def simplified(self) -> Tape:
        """The tape in the rows that are compiled."""
        if self.simple is None:
            self.simple = simplify(self.tape) if self.compute is None else simplify(self.tape, keeps=lambda op: False)
        return self.simple

    def alone(self) -> Tape:
        """The tape in the rows that become a native function, beside which there is no NumPy."""
        return simplify(self.tape, keeps=lambda op: op.numpy and op.running is not None)

    def _on_device(self, name: str) -> Any:
        """The `run(values)` of the device that the tensors are on."""
        start = time.perf_counter()
        fixed = [id(handle) in self.traced.made for handle in self.captured]
        tape = self.tape if name == "interpreted" else self.simplified()
        self.on_device = self.compute.prepare(
            tape, self.leaves, [*[False] * len(self.tape.inputs), *fixed], name == "interpreted"
        )
        self.compile_seconds = time.perf_counter() - start
        return self.on_device

    def _make(self, name: str) -> Any:
        if self.compute is not None:
            return self._on_device(name)
        if name == "interpreted":
            return Interpreter(self.tape, self.leaves).run
        if name == "numba":
            return self.phases.run
        with importing("jitgrad.sweeps.machine.machine"):
            from jitgrad.sweeps.machine.machine import Machine, is_better
            from jitgrad.sweeps.program.program import Program

        if name == "auto":
            return self.runner("machine" if is_better(self.tape) else "jit")
        start = time.perf_counter()
        if name == "machine":
            # Simplifying a row takes a thousand times as long as running it here; only what must be lowered is worth it.
            simple = all(row.op.lower is None for row in self.tape.rows)
            self.machine = Machine(self.tape if simple else self.simplified(), self.leaves)
            self.machine_seconds = time.perf_counter() - start
            return self.machine.run
        self.program = Program(self.simplified(), self.leaves)
        self.compile_seconds = time.perf_counter() - start
        return self.program.run


def _refuse_mixed(name: str, tape: Tape, places: dict[Row, str | None]) -> None:
    """`RuntimeError` if leaves of a tape are on several devices, which names the first operation where they meet."""
    devices = set(places.values()) - {None}
    if len(devices) < 2:
        return
    for row in tape.rows:
        there = {place for x in row.inputs if (place := places.get(x)) is not None}
        if len(there) > 1 or row.op.kind == "move":
            name = row.op.name
            break
        places.setdefault(row, next(iter(there), None))
    raise mixed(name, devices)  # type: ignore[arg-type]
