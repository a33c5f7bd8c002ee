"""A tape ready to run on a device: its kernels, the rows with kernels of their own, and the memory between them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from jitgrad.dtypes import HALF
from jitgrad.sweeps.cuda.emitter import steps_of
from jitgrad.sweeps.cuda.memory import Memory
from jitgrad.sweeps.cuda.outputs import SPARE_ARRAYS, Fresh, Output, outputs_of
from jitgrad.sweeps.cuda.replay import Replay
from jitgrad.sweeps.cuda.text import Launch, Scratch
from jitgrad.sweeps.plan.recompute import recompute
from jitgrad.sweeps.plan.segments import make_plan
from jitgrad.sweeps.plan.supported import GPU
from jitgrad.tape.device_array import DeviceArray, whole
from jitgrad.tape.row import CONST, ITEM, Row, Several
from jitgrad.tape.strides import shifted, stand_in, start_of
from jitgrad.tape.tape import Tape, short_type, with_outputs_apart


class Call(NamedTuple):
    """A row that is run by itself: `run(row, operands, results)` writes into the arrays of the results."""

    row: Row
    run: Callable[[Row, list[DeviceArray], list[DeviceArray]], None]
    results: list[Row]


class Started(NamedTuple):
    """A launch whose kernel is loaded. `holes` are the arguments that differ from run to run: their place, and whose they are."""

    loaded: Any
    launch: Launch
    holes: list[tuple[int, Row]]


class Workspace:
    """What runs of a program use one at a time: memory for what is not handed out, and the arguments of launches in it."""

    def __init__(self) -> None:
        self.scratch: dict[Scratch, Memory] = {}
        self.arrays: dict[Row, DeviceArray] = {}
        self.arguments: dict[int, list[Any]] = {}


class Program:
    """`run(values)` gives the values of the outputs for those of the leaves: arrays of the device, numbers for what is `on_host`.

    `laid` has stand-ins for leaves whose elements are not in order; those of the others are. `spare` is how many arrays are kept
    for each output, to be used again once nobody refers to them: 0 if their memory is handed on without them.
    """

    def __init__(
        self,
        compute: Any,
        tape: Tape,
        leaves: Sequence[Row],
        on_host: Collection[Row] = (),
        laid: Mapping[Row, np.ndarray] = MappingProxyType({}),
        spare: int = SPARE_ARRAYS,
    ) -> None:
        self.compute, self.leaves, self.on_host, self.laid = compute, list(leaves), frozenset(on_host), laid
        self.tape = tape = with_outputs_apart(tape)
        self.plan = make_plan(tape, GPU, laid=laid)
        recompute(self.plan)
        self.outputs: list[Output] = outputs_of(tape.outputs, self.plan, self.leaves)
        self.handed_out = {self.plan.owner(out.source) for out in self.outputs if not out.copied}
        self.steps = self._steps()
        self.constants = {row: compute.kept_from_host(np.asarray(row.params["value"])) for row in self._constants()}
        self._spare: dict[Any, list[Workspace]] = defaultdict(list)
        self._fresh = Fresh(compute, [out.row for out in self.outputs], spare)
        self._looks_up = any(isinstance(step, Call) and step.row.op.indexed for step in self.steps)
        compute.programs.add(self)
        self.replay = Replay(self) if all(self._repeats(step) for step in self.steps) else None

    def _steps(self) -> list[Started | Call]:
        items: dict[Row, list[Row]] = {}
        for row in self.tape.rows:
            if row.op is ITEM:
                items.setdefault(row.inputs[0], []).append(row)
        found: list[Started | Call] = []
        for step in steps_of(self.plan, self.tape.rows, self.on_host, self.compute.grid):
            if isinstance(step, Launch):
                found.append(Started(self.compute.driver.load(step.kernel), step, self._holes(step)))
            elif step.op is not ITEM:
                found.append(Call(step, self.compute.library(step), _results(step, items)))
        return found

    def _holes(self, launch: Launch) -> list[tuple[int, Row]]:
        varies = {*self.leaves, *self.handed_out}
        return [(i, x) for i, x in enumerate(launch.arguments) if isinstance(x, Row) and x in varies]

    def _constants(self) -> list[Row]:
        """Those that are needed in memory."""
        read = {x for step in self.steps if isinstance(step, Started) for x in step.launch.arguments if isinstance(x, Row)}
        read.update(self._source(x) for step in self.steps if isinstance(step, Call) for x in step.row.inputs)
        read.update(out.source for out in self.outputs)
        return [row for row in self.tape.rows if row.op is CONST and row in read]

    def _source(self, row: Row) -> Row:
        return self.plan.layouts.view(row)[0]

    def _repeats(self, step: Started | Call) -> bool:
        """Whether a step does the same at every run, so that it can be part of a graph: the host decides and brings nothing."""
        if isinstance(step, Started):
            return True
        from_host = any(self._source(x) in self.on_host for x in step.row.inputs)
        return not (step.row.op.holds_tapes or from_host)

    @property
    def source(self) -> str:
        """All kernels in order, and which rows are run by kernels that were written by hand."""
        parts = [
            f"# {step.launch.grid} blocks of {step.launch.kernel.block} threads\n@cuda.jit\n{step.launch.kernel.text}"
            if isinstance(step, Started)
            else f"# {step.row.op.name}: a kernel that was written by hand, or a library\n"
            for step in self.steps
        ]
        return "\n".join(parts)

    def report(self) -> str:
        """How many kernels there are, and which rows have kernels of their own."""
        launches = [step for step in self.steps if isinstance(step, Started)]
        others = [f"{step.row.op.name} -> {short_type(step.row)}" for step in self.steps if isinstance(step, Call)]
        beside = f", and by hand or by a library {', '.join(others)}" if others else ""
        repeated = "" if self.replay is None else ", repeated as one graph"
        return f"{len(launches)} kernel{'s' * (len(launches) != 1)}{beside}{repeated}"

    def run(self, *values: Any) -> list[DeviceArray]:
        """The values of the outputs, each in memory of its own."""
        results = self._fresh.arrays()
        if self._looks_up:
            self.compute.flag()  # which is looked at when values are asked for
        if self.replay is None or not self.replay.run(values, results):
            self.run_steps(values, results)
        return results

    def run_steps(self, values: Sequence[Any], results: Sequence[DeviceArray], space: Workspace | None = None) -> None:
        """Do everything once, in a workspace that may be given."""
        env: dict[Row, Any] = dict(zip(self.leaves, values))
        for out, result in zip(self.outputs, results):
            if not out.copied:
                env[out.source] = result if result.shape == out.source.shape else result.reshape(out.source.shape)
        mine = space
        if mine is None:
            spare = self._spare[self.compute.driver.queue()]  # what one stream's work is in, another must not write into
            try:
                mine = spare.pop()
            except IndexError:
                mine = self.workspace()
        launch = self.compute.driver.launch
        for i, step in enumerate(self.steps):
            if isinstance(step, Call):
                operands = [self._seen(x, env, mine) for x in step.row.inputs]
                step.run(step.row, operands, [self._array(row, env, mine) for row in step.results])
                continue
            arguments = mine.arguments.get(i)
            if arguments is None:
                arguments = mine.arguments[i] = [self._given(x, env, mine) for x in step.launch.arguments]
            else:
                for place, row in step.holes:
                    arguments[place] = self._given(row, env, mine)
            launch(step.loaded, step.launch.grid, arguments)
        for out, result in zip(self.outputs, results):
            if out.copied:
                self.compute.write(result, self._seen(out.row, env, mine))
        if space is None:
            spare.append(mine)

    @staticmethod
    def workspace() -> Workspace:
        """A new one, of which nothing is there yet."""
        return Workspace()

    def release(self) -> None:
        """Give the memory back that is kept for the next run."""
        self._spare.clear()
        self._fresh.release()
        if self.replay is not None:
            self.replay.release()

    def _given(self, x: Any, env: dict[Row, Any], space: Workspace) -> Any:
        """What a kernel is called with for one of its parameters."""
        if isinstance(x, Scratch):
            found = space.scratch.get(x)
            if found is None:
                found = space.scratch[x] = self.compute.pool.allocate(x.elements * np.dtype(x.dtype).itemsize)
            return found.raw
        if not isinstance(x, Row):
            return x
        if x in self.on_host:
            return np.float32(env[x]) if x.dtype in HALF else env[x]
        return self._array(x, env, space).pointer

    def _array(self, row: Row, env: dict[Row, Any], space: Workspace) -> DeviceArray:
        """The array of a row that has memory of its own."""
        row = self.plan.owner(row)
        found = env.get(row)
        if found is None:
            found = (self.constants if row.op is CONST else space.arrays).get(row)
        if found is None:
            memory = self.compute.pool.allocate(math.prod(row.shape) * row.dtype.itemsize)
            found = space.arrays[row] = whole(self.compute, memory, row.shape, row.dtype)
        return found

    def _seen(self, row: Row, env: dict[Row, Any], space: Workspace) -> DeviceArray:
        """The array that a row is, perhaps a view of that of another one."""
        source, part = self.plan.layouts.view(row)
        if source in self.on_host:
            array = self.compute.from_host(np.asarray(env[source], source.dtype).reshape(source.shape))
        else:
            array = self._array(source, env, space)
        if source is row:
            return array if array.shape == row.shape else array.reshape(row.shape)
        start = start_of(self.laid[source]) if source in self.laid else 0
        return DeviceArray(self.compute, array.buffer, shifted(part, start_of(part) - start + array.offset), row.dtype, array)


def _results(row: Row, items: Mapping[Row, list[Row]]) -> list[Row]:
    """The rows that hold the results of a row, one for each, also where nobody reads it."""
    if not isinstance(row, Several):
        return [row]
    known = {item.params["k"]: item for item in items.get(row, [])}
    return [known.get(k) or Row(ITEM, (row,), {"k": k}, s.shape, s.dtype, False) for k, s in enumerate(row.results)]


def laid_like(array: DeviceArray) -> np.ndarray | None:
    """A stand-in for a leaf that lies like this, counted from its lowest element; None if its elements are in order."""
    if array.in_order:
        return None
    steps = array.layout.strides
    part = stand_in(array.shape, tuple([abs(s) for s in steps]))
    return part[tuple([slice(None, None, -1) if s < 0 else slice(None) for s in steps])]
