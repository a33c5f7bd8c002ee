"""A compiled tape: machine code for its native phases, NumPy for the other rows, and the buffers between them."""

from __future__ import annotations

import hashlib
import math
import sys
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from jitgrad.base.locks import lazily
from jitgrad.base.quiet import quietly
from jitgrad.ops.complexes import view_as_complex, view_as_real
from jitgrad.ops.faults import FAULTS
from jitgrad.ops.linalg import matmul
from jitgrad.sweeps.code.compile import Kernel, compile_text, trampolines
from jitgrad.sweeps.interpreted import run_by, runner_of
from jitgrad.sweeps.llvm.control import work
from jitgrad.sweeps.llvm.phase import Emitter
from jitgrad.sweeps.plan.chunks import split_large
from jitgrad.sweeps.plan.machine_types import NUMPY
from jitgrad.sweeps.plan.plan import Phase, Plan
from jitgrad.sweeps.plan.recompute import recompute
from jitgrad.sweeps.plan.segments import make_plan, why_not_native
from jitgrad.sweeps.program.direct import NOWHERE, NUMBERS, ROOM, Input, Output, TableEntry, enter, write_plan
from jitgrad.sweeps.program.steps import LONG, Cell, Direct, Interpreted, Native, _count_of_one, _from_cell
from jitgrad.sweeps.program.threads import run_chunks
from jitgrad.tape.row import CONST, Row, results_read
from jitgrad.tape.tape import Tape, with_outputs_apart

_kernels: WeakValueDictionary[str, Kernel] = WeakValueDictionary()  # those of living programs, by their text
_VIEWS = (view_as_real, view_as_complex)
_recent: deque[Kernel] = deque(maxlen=100)  # and the last ones, for functions that are made and dropped in a loop
SPARE_BUFFERS = 3
"""How many arrays are kept for each output, to be used again once nobody refers to them."""


class Workspace(tuple):
    """What one run of a program writes into: the cells by dtype, then for each native step the end of its table."""

    __slots__ = ()

    @classmethod
    def of(cls, program: Program) -> Workspace:
        cells: dict[str, np.ndarray] = {
            kind: np.zeros(max(len(places), 1), NUMPY[kind]) for kind, places in program.cells.items()
        }
        for (kind, place), value in program.number_constants:
            cells[kind][place] = value
        tails = [
            (
                *[np.empty(max(n, 1), dtype) for dtype, n in step.temporaries],
                *cells.values(),
                step.constants,
                step.sizes,
                *[np.zeros(3, np.int64)] * step.flagged,
            )
            for step in program.steps
            if isinstance(step, Native)
        ]
        return cls((*cells.values(), *tails, {}))


class Program:
    """A tape ready to run: `run(values)` gives the values of its outputs for the values of inputs and captured leaves.

    Several threads may run a program at once; each run has a workspace to itself.
    """

    def __init__(self, tape: Tape, leaves: Sequence[Row]) -> None:
        self.tape = tape = with_outputs_apart(tape)
        self.plan: Plan = make_plan(tape)
        recompute(self.plan)
        split_large(self.plan)
        self.cells: dict[str, dict[Row, int]] = {}
        self._places: dict[Row, int] = {}
        self._wholes = self._complex_memory()
        for leaf in leaves:
            self._place(leaf)
        # The cells of single numbers come into being while the phases are written, so all are written first.
        emitters = [Emitter(p, self.plan, self.cells) if p.levels else None for p in self.plan.phases]
        read_by_numpy = {x for p in self.plan.phases for row in p.others for x in row.inputs}
        escaping = {self.plan.results.get(row, row) for row in tape.outputs} | read_by_numpy
        self._shapes = {source: row.shape for row, source in self.plan.results.items() if source not in read_by_numpy}
        self._read = results_read(tape.rows)
        self.steps: list[Native | Interpreted] = []
        viewed = self._wholes.keys() | self._wholes.values()
        for phase, emitter in zip(self.plan.phases, emitters):
            if emitter is not None:
                self.steps.append(self._native(emitter, escaping, phase))
            self.steps += [self._interpreted(row) for row in phase.others if not (row.op in _VIEWS and row in viewed)]
        constants = [row for row in tape.rows if row.op is CONST]
        self.number_constants = [(cell, row.params["value"]) for row in constants if (cell := self._cell(row)) is not None]
        self.constants = {row: np.asarray(row.params["value"], order="C")[()] for row in constants}
        self._spare: list[Workspace] = []
        self._pools: dict[int, tuple[Callable, deque]] = {}  # by the place of what they give, temporaries before 0
        self._leaves = list(leaves)

    def run(self, *values: Any) -> tuple:
        """The values of the outputs for values of the leaves."""
        return self._run(*values)

    def release(self) -> None:
        """Give the memory back that is kept for the next run. Other threads may be running meanwhile."""
        self._spare.clear()
        for _, queue in list(self._pools.values()):
            queue.clear()

    def _pool(self, place: int, shape: tuple[int, ...], dtype: np.dtype) -> Callable[[], np.ndarray]:
        queue: deque[np.ndarray] = deque()
        return self._pools.setdefault(place, (pool(shape, dtype, queue), queue))[0]

    @lazily
    def driver(self) -> str:
        """The text of what `run` runs, which is written when it is first needed: see `direct`."""
        return self._write_driver(self._leaves)

    @lazily
    def _run(self) -> Callable:
        return self._load_driver()

    def _place(self, row: Row) -> int:
        return self._places.setdefault(self._wholes.get(row, row), len(self._places))

    def _complex_memory(self) -> dict[Row, Row]:
        """For the parts of complex numbers, as machine code has them, the numbers in whose memory they are: NumPy has these."""
        views = [row for phase in self.plan.phases for row in phase.others if row.op in _VIEWS]
        others = (row for phase in self.plan.phases for row in phase.others if row.op not in _VIEWS)
        bare = {*self.tape.outputs, *self.plan.results.values(), *(x for row in others for x in row.inputs)}
        pairs = [(row, row.inputs[0])[:: 1 if row.op is view_as_real else -1] for row in views]
        mine = [(parts, whole) for parts, whole in pairs if whole.op is not view_as_complex or parts in self.plan.native]
        return {parts: whole for parts, whole in mine if parts not in bare and whole.shape}

    def _cell(self, row: Row) -> Cell | None:
        return next(((kind, places[row]) for kind, places in self.cells.items() if row in places), None)

    def _native(self, emitter: Emitter, escaping: set[Row], phase: Phase) -> Native:
        draft = emitter.text("f")
        name = "f" + hashlib.sha256(draft.encode()).hexdigest()[:16]
        text = draft.replace("define void @f(", f"define void @{name}(")
        kernel = _kernels.get(text)
        if kernel is None:
            kernel = _kernels[text] = compile_text(text, name, symbols=emitter.symbols)
            kernel.text = text
            _recent.append(kernel)
        arrays = []
        for row in emitter.arrays:
            held = self._wholes.get(row, row)
            shape = self._shapes.get(row, held.shape) if row in emitter.written else None
            arrays.append((self._place(row), shape, held.dtype, held in escaping))
        constants = np.array(emitter.constants or [0.0])
        sizes = np.array(emitter.sizes or [0], np.int64)
        loops = phase.loops()
        rows = phase.native_rows()
        longest = max(
            [math.prod(loop.space) for loop in loops] + [work(x) for x in rows if x.op.holds_tapes or x.op.loops], default=0
        )
        more = (len(rows), len(loops), longest, emitter.chunks, emitter.flagged, kernel.text)  # one text for all
        return Native(kernel, arrays, constants, sizes, emitter.temporaries, *more)

    def _interpreted(self, row: Row) -> Interpreted:
        params = row.params
        if row.op.holds_tapes:
            params = run_by(lambda tape: Program(tape, tape.inputs).run, row, self._read)
        run = partial(runner_of(row), **params) if params else runner_of(row)
        reads = [(self._place(x), self._cell(x), x.shape) for x in row.inputs]
        return Interpreted(row, run, reads, self._place(row), self._cell(row), why_not_native(row))

    # The driver: the steps of this program as a Python function without a loop or a test that could be spared.

    def _write_driver(self, leaves: list[Row]) -> str:
        """Its text: `run(v0, v1, …)` takes the values of the leaves and returns the tuple of the outputs."""
        kinds = list(self.cells)
        names = [f"cells_{kind}" for kind in kinds]
        tails = [f"tail{i}" for i, step in enumerate(self.steps) if isinstance(step, Native)]
        given = ", ".join(f"v{i}" for i in range(len(leaves)))
        lines = [
            f"def run({given}):",
            "    try:",
            "        space = spare.pop()",
            "    except IndexError:",
            "        space = workspace()",
            f"    {', '.join([*names, *tails, 'temporary'])} = space",
        ]
        known = set(leaves)
        for i, leaf in enumerate(leaves):
            cell = self._cell(leaf)
            if cell is not None:
                lines.append(f"    cells_{cell[0]}[{cell[1]}] = v{i}" + (".reshape(())" if leaf.shape else ""))
        known |= set(self.constants)
        made: set[int] = set()
        for i, step in enumerate(self.steps):
            lines += self._native_lines(i, step, made) if isinstance(step, Native) else self._numpy_lines(i, step, known)
        results = [self._result(row, leaves) for row in self.tape.outputs]
        lines += [
            f"    result = ({', '.join(results)}{',' * (len(results) == 1)})",
            "    spare.append(space)",
            "    return result",
        ]
        return "\n".join(lines) + "\n"

    def _native_lines(self, i: int, step: Native, made: set[int]) -> list[str]:
        lines = []
        fixed = {self._place(row) for row in self.constants}
        for place, shape, dtype, escapes in step.arrays:
            if place in fixed:
                continue
            if shape is None:
                lines += [f"    if not v{place}.flags.c_contiguous:", f"        v{place} = ascontiguousarray(v{place})"]
            elif place in made:
                continue
            elif escapes:
                lines.append(f"    v{place} = fresh{place}()")
            else:
                lines += [
                    f"    if {place} not in temporary:",
                    f"        temporary[{place}] = empty({shape}, d_{dtype.name})",
                    f"    v{place} = temporary[{place}]",
                ]
        made |= {place for place, shape, *_ in step.arrays if shape is not None}
        arrays = "".join(f"v{place}, " for place, *_ in step.arrays)
        if step.chunks:
            lines.append(f"    run_chunks(call_nogil, kernel{i}, {step.chunks}, ({arrays}*tail{i}))")
        else:
            call = "call_nogil" if step.longest >= LONG else "call"
            lines.append(f"    {call}(address{i}, {arrays}*tail{i})")
        if step.flagged:
            lines += [f"    if tail{i}[-1][0]:", f"        fault(tail{i}[-1])"]
        return lines

    def _numpy_lines(self, i: int, step: Interpreted, known: set[Row]) -> list[str]:
        reads = []
        for row, (place, cell, shape) in zip(step.row.inputs, step.reads):
            from_cell = cell is not None and row not in known
            reads.append(_from_cell(cell, shape) if from_cell and cell is not None else f"v{place}")
        quiet_already = step.row.op.view or step.row.op.holds_tapes  # programs inside see to that themselves
        quiet_run = f"run{i}(" if quiet_already else f"quiet(run{i}, "
        if _is_written_into(step):
            reads.append(f"fresh{step.write}()")
        lines = [f"    v{step.write} = {quiet_run}{', '.join(reads)})"]
        known.add(step.row)
        if step.cell is not None:
            lines.append(f"    cells_{step.cell[0]}[{step.cell[1]}] = asarray(v{step.write}).reshape(())")
        return lines

    def _result(self, row: Row, leaves: list[Row]) -> str:
        if row in self.plan.results:
            source = self.plan.results[row]
            cell = self._cell(source)
            if cell is not None:
                return _from_cell(cell, row.shape)
            return f"v{self._place(source)}" + ("" if source in self._shapes else f".reshape({row.shape})")
        cell, place = self._cell(row), self._place(row)
        numpy_made = {step.row for step in self.steps if isinstance(step, Interpreted)}
        if cell is not None and row not in leaves and row not in numpy_made and row.op is not CONST:
            return _from_cell(cell, row.shape)
        copied = (row in numpy_made and row.op.view) or (row in leaves and row.shape)
        return f"v{place}" if not copied else f"v{place}.copy()" if row.shape else f"v{place}[()]"

    def _load_driver(self) -> Callable:
        names: dict[str, Any] = {
            "spare": self._spare,
            "workspace": lambda: Workspace.of(self),
            "empty": np.empty,
            "ascontiguousarray": np.ascontiguousarray,
            "asarray": np.asarray,
            "full": np.full,
            "quiet": quietly,
            "call": trampolines().call,
            "call_nogil": trampolines().call_nogil,
            "run_chunks": run_chunks,
            "fault": fault,
        }
        names |= {f"d_{d.name}": d for d in {dtype for s in self.steps if isinstance(s, Native) for _, _, dtype, _ in s.arrays}}
        names |= {f"v{self._place(row)}": value for row, value in self.constants.items()}
        for i, step in enumerate(self.steps):
            if isinstance(step, Native):
                names |= {f"address{i}": step.kernel.address, f"kernel{i}": step.kernel}
                names |= {f"fresh{p}": self._pool(p, s, d) for p, s, d, escapes in step.arrays if s is not None and escapes}
            elif _is_written_into(step):
                names |= {f"run{i}": np.matmul, f"fresh{step.write}": self._pool(step.write, step.row.shape, step.row.dtype)}
            else:
                names[f"run{i}"] = step.run
        exec(compile(self.driver, "<driver of a compiled tape>", "exec"), names)
        return names["run"]

    # The way around the driver, for programs of machine code alone.

    def direct(self, numbers: Sequence[tuple[type | None, bool]], cls: type) -> Direct | None:
        """How `enter` runs this program; None where it cannot.

        `numbers` are the types of the leaves that are numbers, and whether a number is given as it is or held by a tensor; `cls`
        is the class of tensors.
        """
        step = self.steps[0] if len(self.steps) == 1 else None
        if enter(cls) is None or not isinstance(step, Native) or step.longest >= LONG or step.chunks or step.flagged:
            return None
        bases, end = {}, 0
        for kind, places in self.cells.items():
            bases[kind] = end
            end += -(-len(places) * NUMPY[kind].itemsize // 64) * 64
        fixed = {self._place(row): value.ctypes.data for row, value in self.constants.items() if row.shape}
        slots = [TableEntry(fixed.get(place, 0)) for place, *_ in step.arrays] + [TableEntry(0)] * len(step.temporaries)
        slots += [TableEntry(base, in_cells=True) for base in bases.values()]
        slots += [TableEntry(step.constants.ctypes.data), TableEntry(step.sizes.ctypes.data)]
        entries = {place: i for i, (place, *_) in enumerate(step.arrays)}
        made = [(i, place, shape, dtype) for i, (place, shape, dtype, _) in enumerate(step.arrays) if shape is not None]
        made += [(len(step.arrays) + i, -1 - i, (max(n, 1),), dtype) for i, (dtype, n) in enumerate(step.temporaries)]
        inputs = [self._input(row, *number, bases, entries) for row, number in zip(self._leaves, numbers)]
        arguments = {entry: 1 + len(inputs) + i for i, (entry, *_) in enumerate(made)}
        outputs = [o for row in self.tape.outputs if (o := self._output(row, bases, entries, arguments)) is not None]
        if end > 8 * ROOM or len(slots) >= NOWHERE or len(outputs) < len(self.tape.outputs):
            return None
        plan = write_plan(step.kernel.address, inputs, list(arguments), slots, outputs)
        return Direct(enter(cls), plan, [self._pool(place, shape, dtype) for _, place, shape, dtype in made], self)

    def _input(self, row: Row, number: type | None, bare: bool, bases: dict[str, int], entries: dict[int, int]) -> Input:
        cell, dtype = self._cell(row), None if bare else row.dtype
        if cell is None:
            return Input(number, dtype, row.shape, entries.get(self._place(row), NOWHERE), 0, bare)
        return Input(number, dtype, row.shape, bases[cell[0]] + cell[1] * row.dtype.itemsize, row.dtype.itemsize, bare)

    def _output(self, row: Row, bases: dict[str, int], entries: dict[int, int], arguments: dict[int, int]) -> Output | None:
        if row in self._leaves or row.op is CONST:
            return None
        plain = row.shape == () and row.dtype in NUMBERS
        row = self.plan.results.get(row, row)
        cell = self._cell(row)
        if cell is None:
            argument = arguments.get(entries.get(self._place(row), -1))
            return None if argument is None else Output(None, argument)
        return Output(row.dtype, bases[cell[0]] + cell[1] * row.dtype.itemsize) if plain else None


def pool(shape: tuple[int, ...], dtype: np.dtype, queue: deque[np.ndarray]) -> Callable[[], np.ndarray]:
    """A function that gives an array: one of the `queue` that nobody refers to any more, or a new one.

    An array is out of the queue while it is looked at, so that two threads cannot find the same one unused.
    """

    def fresh() -> np.ndarray:
        for _ in range(len(queue)):
            try:
                array = queue.popleft()
            except IndexError:  # other threads are looking at the rest
                break
            unused = sys.getrefcount(array) == _UNUSED
            queue.append(array)
            if unused:
                return array
        array = np.empty(shape, dtype)
        if len(queue) < SPARE_BUFFERS:
            queue.append(array)
        return array

    return fresh


def fault(flag: np.ndarray) -> None:
    """Raise what the flag of a native step says. Its workspace is not used again."""
    number, *facts = flag.tolist()
    raise FAULTS[number].raised(*facts)


def _is_written_into(step: Interpreted) -> bool:
    """Whether NumPy is given the memory for a result: new pages would cost a large product a tenth of its time."""
    return step.row.op is matmul and step.cell is None and step.row.dtype.name in ("float32", "float64")


_UNUSED = _count_of_one()
