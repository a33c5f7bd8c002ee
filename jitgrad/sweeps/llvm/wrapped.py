"""A tape as one function of the module that it is put into: values and pointers in, results through pointers out.

    define internal void @NAME(double %a0, ptr %a1, …, ptr %r0, …, ptr %memory, ptr %flag)

A 0-d input is passed by value, any other as a pointer to its elements in C order; a result is always written through a
pointer, and must not overlap an input. What `program.py` keeps between calls (cells, temporaries, tables) is on the stack of
the call or, if it is large, in the `memory` that the caller brings; what never changes is part of the module. So any number of
threads may be inside the function, and nothing of Python is needed.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jitgrad.sweeps.code.compile import Kernel
from jitgrad.sweeps.plan.layouts import is_number
from jitgrad.sweeps.plan.machine_types import SIZES, kind_of, literal, word_of
from jitgrad.sweeps.plan.plan import Plan
from jitgrad.tape.row import CONST, Row
from jitgrad.tape.tape import Tape

STACK_BYTES = 8192
"""Temporaries up to this size lie on the stack."""

DATA = "jitgrad_data"
"""The symbol of the bytes of constant arrays, which the text refers to."""

ALIGN = 64
"""What the addresses of arrays of the function's own are multiples of."""


class Value(NamedTuple):
    """An input or a result: a number if `shape` is (), else an array."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def word(self) -> str:
        """Its LLVM type in memory."""
        return word_of(kind_of(self.dtype))

    @property
    def parameter(self) -> str:
        """Its LLVM type as a parameter."""
        return "ptr" if self.shape else self.word

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.size * self.dtype.itemsize


class Wrapped(NamedTuple):
    """The function `name`; `text` holds it and all else that a module with it needs."""

    name: str
    text: frozenset[str]
    inputs: list[Value]
    outputs: list[Value]
    memory: int  # bytes that the caller must bring; if 0, the function takes no pointer to them
    flagged: bool  # whether it takes a pointer to a flag, last of all
    symbols: dict[str, Kernel]  # functions that the text calls, and where they are
    data: bytes


def aligned(size: int) -> int:
    """The next multiple of the alignment of arrays."""
    return -(-size // ALIGN) * ALIGN


def wrap(
    tape: Tape, plan: Plan, captured: dict[Row, np.ndarray], emitter: Callable, outputs: list[Value], *, by_element: bool = False
) -> Wrapped:
    """The function of a tape whose plan leaves nothing to NumPy; `emitter` is the class that writes the text of a phase.

    `captured` are the values of leaves that are no inputs, which become constants. With `by_element` the outputs of the tape
    are numbers, the elements of `outputs` one after another.
    """
    return _Wrapper(tape, plan, captured, emitter).wrapped(outputs, by_element)


class _Wrapper:
    """The text around the one phase of a plan: fills the table of its function, calls it, hands the results out."""

    def __init__(self, tape: Tape, plan: Plan, captured: dict[Row, np.ndarray], emitter: Callable) -> None:
        self.tape, self.plan = tape, plan
        self.fixed = {row: row.params["value"] for row in tape.rows if row.op is CONST} | captured
        self.cells: dict[str, dict[Row, int]] = {}
        phases = [phase for phase in plan.phases if phase.levels]  # at most one, as NumPy runs nothing in between
        self.body = emitter(phases[0], plan, self.cells) if phases else None
        self.data = bytearray()  # constant arrays, one after another
        self.places: dict[Row, int] = {}  # where they are
        self.inputs = {row: i for i, row in enumerate(tape.inputs)}
        self.results: dict[Row, int] = {}  # which result the array of a row is written into
        for i, row in enumerate(tape.outputs):
            source = plan.results.get(row, row)
            if self.body is not None and source in self.body.arrays and source not in self.inputs and source not in self.fixed:
                self.results.setdefault(source, i)
        self.inner: dict[Row, str] = {}  # where the arrays are that only the body reads and writes
        self.memory = 0
        self.lines: list[str] = []
        self.text: set[str] = set()

    def wrapped(self, outputs: list[Value], by_element: bool) -> Wrapped:
        inputs = [Value(row.shape, row.dtype) for row in self.tape.inputs]
        self.targets = [f"%r{i}" for i in range(len(outputs))]
        if by_element:
            self.targets = [self._element(i, value, k) for i, value in enumerate(outputs) for k in range(value.size)]
        if self.body is not None:
            self._run(self.body)
        for i, row in enumerate(self.tape.outputs):
            self._hand_out(i, row)
        given = [f"{v.parameter} %a{i}" for i, v in enumerate(inputs)] + [f"ptr %r{i}" for i in range(len(outputs))]
        given += self.extras()
        head = f"define internal void @FUNCTION({', '.join(given)}) alwaysinline {{"
        lines = [head, "entry:", *self.lines, "  ret void", "}"]
        parts = ["\n".join(lines)]
        symbols = {}
        if self.body is not None:
            parts.append(self.body.inner_text("FUNCTION.body"))
            self.text |= self.body.declares
            symbols = self.body.symbols
        data = bytes(self.data)
        digest = hashlib.sha256("\0".join([*parts, *sorted(self.text)]).encode() + data).hexdigest()[:24]
        named = [text.replace("@FUNCTION", f"@tape.{digest}") for text in (*parts, *self.text)]
        flagged = self.body is not None and self.body.flagged
        return Wrapped(f"tape.{digest}", frozenset(named), inputs, outputs, self.memory, flagged, symbols, data)

    def extras(self) -> list[str]:
        """The parameters that a caller beside inputs and results has to give."""
        flagged = self.body is not None and self.body.flagged
        return ["ptr %memory"] * bool(self.memory) + ["ptr %flag"] * flagged

    def _element(self, i: int, value: Value, k: int) -> str:
        """The pointer to an element of a result."""
        self._say(f"%r{i}.{k} = getelementptr {value.word}, ptr %r{i}, i64 {k}")
        return f"%r{i}.{k}"

    def _say(self, line: str) -> None:
        self.lines.append("  " + line)

    # Running the body.

    def _run(self, body: Any) -> None:
        for kind, places in self.cells.items():
            self._say(f"%cells.{kind} = alloca [{max(len(places), 1)} x {word_of(kind)}], align {ALIGN}")
        self._temporaries(body)
        for kind, places in self.cells.items():
            for row, at in places.items():
                if row in self.inputs or row in self.fixed:
                    self._fill_cell(kind, at, row)
        table = [self._pointer(row) for row in body.arrays]
        table += [f"%temporary{i}" for i in range(len(body.temporaries))]
        table += [f"%cells.{kind}" for kind in self.cells]
        table += [self._numbers("constants", "double", [literal(c, "f64") for c in body.constants or [0.0]])]
        table += [self._numbers("sizes", "i64", [str(n) for n in body.sizes or [0]]), *["%flag"] * body.flagged]
        self._say(f"%table = alloca [{len(table)} x ptr], align {ALIGN}")
        for i, pointer in enumerate(table):
            self._say(f"%table.{i} = getelementptr ptr, ptr %table, i64 {i}")
            self._say(f"store ptr {pointer}, ptr %table.{i}")
        self._say("call void @FUNCTION.body(ptr %table)")

    def _numbers(self, name: str, word: str, numbers: Sequence[str]) -> str:
        """A constant array in the text itself: what is known of it makes the code quicker."""
        found = ", ".join(f"{word} {n}" for n in numbers)
        self.text.add(f"@FUNCTION.{name} = internal constant [{len(numbers)} x {word}] [{found}], align {ALIGN}")
        return f"@FUNCTION.{name}"

    def _temporaries(self, body: Any) -> None:
        """Memory for what the body, and nobody else, reads and writes."""
        made = {f"temporary{i}": (dtype, n) for i, (dtype, n) in enumerate(body.temporaries)}
        inner = [row for row in body.arrays if row not in self.results and row not in self.inputs and row not in self.fixed]
        self.inner = {row: f"inner{i}" for i, row in enumerate(inner)}
        made |= {name: (row.dtype, math.prod(row.shape)) for row, name in self.inner.items()}
        offsets, size = {}, 0
        for name, (dtype, n) in made.items():
            offsets[name] = size
            size += aligned(max(n, 1) * np.dtype(dtype).itemsize)
        if size > STACK_BYTES:
            self.memory = size
        elif size:
            self._say(f"%memory = alloca [{size} x i8], align {ALIGN}")
        for name, offset in offsets.items():
            self._say(f"%{name} = getelementptr i8, ptr %memory, i64 {offset}")

    def _fill_cell(self, kind: str, at: int, row: Row) -> None:
        cell = f"%cell.{kind}.{at}"
        self._say(f"{cell} = getelementptr {word_of(kind)}, ptr %cells.{kind}, i64 {at}")
        self._say(f"store {word_of(kind)} {self._number(row)}, ptr {cell}, align {SIZES[kind]}")

    def _number(self, row: Row) -> str:
        """The value of an input or a constant of one element, as it is in memory."""
        kind = kind_of(row.dtype)
        if row in self.fixed:
            value = np.asarray(self.fixed[row]).reshape(())[()]
            return str(int(value)) if kind == "i1" else literal(value.item(), kind)
        i = self.inputs[row]
        if row.shape == ():
            return f"%a{i}"
        name = f"%first{len(self.lines)}"
        self._say(f"{name} = load {word_of(kind)}, ptr %a{i}, align {SIZES[kind]}")
        return name

    def _pointer(self, row: Row) -> str:
        """Where the array of a row is."""
        if row in self.results:
            return self.targets[self.results[row]]
        if row in self.inputs:
            return f"%a{self.inputs[row]}"
        if row not in self.fixed:
            return f"%{self.inner[row]}"
        if row not in self.places:
            self.places[row] = len(self.data)
            self.data += np.ascontiguousarray(self.fixed[row]).tobytes()
            self.data += bytes(-len(self.data) % ALIGN if self.data else ALIGN)  # an empty array has a place, too
        at = self.places[row]
        return f"getelementptr (i8, ptr @{DATA}, i64 {at})" if at else f"@{DATA}"

    # Results.

    def _hand_out(self, i: int, row: Row) -> None:
        """Bring the value of an output to where result `i` is to be."""
        source = self.plan.results.get(row, row)
        if self.results.get(source) == i:
            return
        kind, size = kind_of(row.dtype), math.prod(row.shape) * row.dtype.itemsize
        if is_number(row) and (row in self.inputs or row in self.fixed):
            self._say(f"store {word_of(kind)} {self._number(row)}, ptr {self.targets[i]}, align {SIZES[kind]}")
            return
        at = self.cells.get(kind, {}).get(source)
        if at is not None and source not in self.inputs and source not in self.fixed:
            self._say(f"%out{i}.cell = getelementptr {word_of(kind)}, ptr %cells.{kind}, i64 {at}")
            self._say(f"%out{i} = load {word_of(kind)}, ptr %out{i}.cell, align {SIZES[kind]}")
            self._say(f"store {word_of(kind)} %out{i}, ptr {self.targets[i]}, align {SIZES[kind]}")
            return
        self.text.add("declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)")
        self._say(f"call void @llvm.memcpy.p0.p0.i64(ptr {self.targets[i]}, ptr {self._pointer(source)}, i64 {size}, i1 false)")
