"""A tape as one C function that owns nothing: values and pointers in, results through pointers out.

What `program.py` keeps between calls (cells, temporaries, tables) is here on the stack of the call, or on the heap for
its duration, and what never changes is part of the module, so any number of threads may be inside the function, and
nothing of Python is needed:

    int32_t NAME(double w, const double *x, …, double *value, double *gradient, …);

A 0-d input is passed by value, any other as a pointer to its elements in C order; a result is always written through a
pointer, and must not overlap an input. The function returns 0, or 1 if there was no memory for temporaries.
The name ends in a hash of the text and the constants: the same name means the same function in any process.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jitgrad.errors import NotCompilableError
from jitgrad.handle import make
from jitgrad.ops.elementwise import cast
from jitgrad.ops.linalg import matmul
from jitgrad.record import Trace, current_trace
from jitgrad.sweeps.codegen import Emitter
from jitgrad.sweeps.layouts import Layouts, is_number
from jitgrad.sweeps.plan import Plan
from jitgrad.sweeps.products import product_text
from jitgrad.sweeps.recompute import recompute
from jitgrad.sweeps.segments import make_plan, why_not_native
from jitgrad.sweeps.words import SIZES, WORDS, kind_of, literal
from jitgrad.tape import CONST, Row, Tape, short_type
from jitgrad.tensor import Tensor
from jitgrad.transforms import simplify

STACK_BYTES = 8192
"""Temporaries up to this size lie on the stack, larger ones on the heap."""

DATA = "jitgrad_data"
"""The symbol of the bytes of constant arrays, which the text refers to."""

ALIGN = 64
"""What the addresses of arrays of the function's own are multiples of."""

OUT_OF_MEMORY = 1


class Value(NamedTuple):
    """An input or a result: a number if `shape` is (), else an array."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def word(self) -> str:
        """Its LLVM type in memory."""
        return _word(kind_of(self.dtype))

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


class Exported(NamedTuple):
    """The module that defines the function `name`, the constant arrays it refers to, and what goes in and out."""

    name: str
    text: str
    data: bytes
    inputs: list[Value]
    outputs: list[Value]


def export(label: str, tape: Tape, captured: dict[Row, np.ndarray]) -> Exported:
    """The function of a simplified tape. `captured` are the values of its other leaves, which become constants.

    Raises `NotCompilableError` if NumPy has to run a row, or a value has a dtype that machine code does not know.
    """
    for row in [*tape.inputs, *tape.outputs, *captured]:
        if str(row.dtype) not in _EXPORTED:
            raise NotCompilableError(f"{label} has a value of dtype {row.dtype} among its arguments or results, and there are "
                                     f"C functions of {', '.join(_EXPORTED)} alone: convert with .to(...)")  # fmt: skip
    outputs = [Value(row.shape, row.dtype) for row in tape.outputs]
    tape = _with_numbers_out(_with_native_products(tape))
    plan = make_plan(tape, largest_product=math.inf)
    _refuse_numpy(label, plan)
    recompute(plan)
    return _Wrapper(label, tape, plan, captured).exported(outputs)


_EXPORTED = ("float32", "float64", "int32", "int64", "bool")


def _word(kind: str) -> str:
    return "i8" if kind == "i1" else WORDS[kind]


def _refuse_numpy(label: str, plan: Plan) -> None:
    others = [row for phase in plan.phases for row in phase.others]
    if others:
        rows = "\n".join(f"  {row.op.name} -> {short_type(row)} ({why_not_native(row)})" for row in others[:8])
        more = f"\n  and {len(others) - 8} more" * (len(others) > 8)
        raise NotCompilableError(
            f"{label} cannot become a native function, because NumPy runs these rows of its tape:\n{rows}{more}\n"
            "write them in elementwise operations, sums, extremes, slices and products of matrices, or compute them "
            "outside and pass the result as an argument; jitgrad.jit(f).report() shows which rows are machine code"
        )


def _with_native_products(tape: Tape) -> Tape:
    """The tape with products that read a number repeated (which has no memory of its own) as sums of products."""
    layouts = Layouts()

    def awkward(row: Row) -> bool:
        return row.op is matmul and any(is_number(layouts.access(x).source) for x in row.inputs)

    if not any(awkward(row) for row in tape.rows):
        return tape
    tracing = Trace()
    tracing.rows.update(dict.fromkeys(tape.rows))
    token = current_trace.set(tracing)
    new: dict[Row, Row] = {}
    try:
        for row in tape.rows:
            inputs = tuple(new[x] for x in row.inputs)
            new[row] = row
            if awkward(row):
                x, y = (make(Tensor, None, i) for i in inputs)
                new[row] = (x.unsqueeze(-1) * y.unsqueeze(-3)).sum(-2)._row
            elif inputs != row.inputs:
                new[row] = Row(row.op, inputs, row.params, row.shape, row.dtype, False)
    finally:
        current_trace.reset(token)
    return simplify(Tape(tape.inputs, [new[row] for row in tape.outputs]), Tensor, lambda row: not row.op.composite)


def _with_numbers_out(tape: Tape) -> Tape:
    """The tape with the numbers themselves as outputs where it has views of a number, or of one element of an array."""
    layouts = Layouts()

    def number(row: Row) -> Row:
        if not (is_number(row) and layouts.is_free(row)):
            return row
        source = layouts.access(row).source
        return source if is_number(source) else Row(cast, (row,), {"dtype": row.dtype}, row.shape, row.dtype, False)

    return Tape(tape.inputs, [number(row) for row in tape.outputs])


class _Data:
    """Constant arrays, one after another."""

    def __init__(self) -> None:
        self.bytes = bytearray()

    def place(self, array: np.ndarray) -> int:
        """The offset at which the array is."""
        at = len(self.bytes)
        self.bytes += np.ascontiguousarray(array).tobytes()
        self.bytes += bytes(-len(self.bytes) % ALIGN if self.bytes else ALIGN)  # an empty array has a place, too
        return at


class _Wrapper:
    """The text around the one phase of a plan: fills the table of its function, calls it, hands the results out."""

    def __init__(self, label: str, tape: Tape, plan: Plan, captured: dict[Row, np.ndarray]) -> None:
        self.label, self.tape, self.plan = label, tape, plan
        self.fixed = {row: row.params["value"] for row in tape.rows if row.op is CONST} | captured
        self.cells: dict[str, dict[Row, int]] = {}
        phases = [phase for phase in plan.phases if phase.levels]  # at most one, as NumPy runs nothing in between
        self.body = Emitter(phases[0], plan, self.cells) if phases else None
        self.data = _Data()
        self.places: dict[Row, int] = {}
        self.inputs = {row: i for i, row in enumerate(tape.inputs)}
        self.results: dict[Row, int] = {}  # which result the array of a row is written into
        for i, row in enumerate(tape.outputs):
            source = plan.results.get(row, row)
            if self.body is not None and source in self.body.arrays and source not in self.inputs and source not in self.fixed:
                self.results.setdefault(source, i)
        self.inner: dict[Row, str] = {}  # where the arrays are that only the body reads and writes
        self.heap = False
        self.lines: list[str] = []
        self.declares: set[str] = set()

    def exported(self, outputs: list[Value]) -> Exported:
        inputs = [Value(row.shape, row.dtype) for row in self.tape.inputs]
        if self.body is not None:
            self._run(self.body)
        for i, row in enumerate(self.tape.outputs):
            self._hand_out(i, row)
        if self.heap:
            self._say("call void @free(ptr %memory)")
        given = [f"{_parameter(v)} %a{i}" for i, v in enumerate(inputs)] + [f"ptr %r{i}" for i in range(len(outputs))]
        text = self._module("jitgrad_function", ", ".join(given))
        data = bytes(self.data.bytes)
        digest = hashlib.sha256(text.encode() + b"\0" + data).hexdigest()[:24]
        name = f"jitgrad_{re.sub('[^A-Za-z0-9_]', '_', self.label)}_{digest}"
        return Exported(name, text.replace("@jitgrad_function(", f"@{name}("), data, inputs, outputs)

    def _module(self, name: str, given: str) -> str:
        parts, declares = [], set(self.declares)
        if self.body is not None:
            texts = [self.body.text("body"), *[product_text(symbol) for symbol in sorted(self.body.symbols)]]
            for text in texts:
                lines = text.split("\n")
                declares |= {line for line in lines if line.startswith("declare ")}
                parts.append("\n".join(line for line in lines if not line.startswith("declare ")))
            declares -= {f"declare void @{symbol}(ptr)" for symbol in self.body.symbols}
            parts = [part.replace("define void @", "define internal void @") for part in parts]
            parts[0] = parts[0].replace("@body(ptr %table) {", "@body(ptr %table) alwaysinline {")
        if self.data.bytes:
            declares.add(f"@{DATA} = external global i8")
        wrapper = "\n".join([f"define i32 @{name}({given}) {{", "entry:", *self.lines, "  ret i32 0", "}", ""])
        return "\n".join(sorted(declares)) + "\n" + "\n".join(parts) + "\n" + wrapper

    def _say(self, line: str) -> None:
        self.lines.append("  " + line)

    # Running the body.

    def _run(self, body: Emitter) -> None:
        for kind, places in self.cells.items():
            self._say(f"%cells.{kind} = alloca [{max(len(places), 1)} x {_word(kind)}], align {ALIGN}")
        self._temporaries(body)
        for kind, places in self.cells.items():
            for row, at in places.items():
                if row in self.inputs or row in self.fixed:
                    self._fill_cell(kind, at, row)
        table = [self._pointer(row) for row in body.arrays]
        table += [f"%temporary{i}" for i in range(len(body.temporaries))]
        table += [f"%cells.{kind}" for kind in self.cells]
        table += [self._numbers("constants", "double", [literal(c, "f64") for c in body.constants])]
        table += [self._numbers("sizes", "i64", [str(n) for n in body.sizes])]
        self._say(f"%table = alloca [{len(table)} x ptr], align {ALIGN}")
        for i, pointer in enumerate(table):
            self._say(f"%table.{i} = getelementptr ptr, ptr %table, i64 {i}")
            self._say(f"store ptr {pointer}, ptr %table.{i}")
        self._say("call void @body(ptr %table)")

    def _numbers(self, name: str, word: str, numbers: Sequence[str]) -> str:
        """A constant array in the text itself: what is known of it makes the code quicker."""
        found = ", ".join(f"{word} {n}" for n in numbers) or f"{word} 0"
        count = max(len(numbers), 1)
        found = found if numbers or word == "i64" else f"{word} 0.0"
        self.declares.add(f"@{name} = internal constant [{count} x {word}] [{found}], align {ALIGN}")
        return f"@{name}"

    def _temporaries(self, body: Emitter) -> None:
        """Memory for what the body, and nobody else, reads and writes."""
        made = {f"temporary{i}": (dtype, n) for i, (dtype, n) in enumerate(body.temporaries)}
        inner = [row for row in body.arrays if row not in self.results and row not in self.inputs and row not in self.fixed]
        self.inner = {row: f"inner{i}" for i, row in enumerate(inner)}
        made |= {name: (row.dtype, math.prod(row.shape)) for row, name in self.inner.items()}
        offsets, size = {}, 0
        for name, (dtype, n) in made.items():
            offsets[name] = size
            size += -(-max(n, 1) * np.dtype(dtype).itemsize // ALIGN) * ALIGN
        self.heap = size > STACK_BYTES
        if self.heap:
            self.declares |= {"declare ptr @malloc(i64)", "declare void @free(ptr)"}
            self._say(f"%memory = call ptr @malloc(i64 {size})")
            self._say("%none = icmp eq ptr %memory, null")
            self.lines.append("  br i1 %none, label %failed, label %run\nfailed:\n"
                              f"  ret i32 {OUT_OF_MEMORY}\nrun:")  # fmt: skip
        elif size:
            self._say(f"%memory = alloca [{size} x i8], align {ALIGN}")
        for name, offset in offsets.items():
            self._say(f"%{name} = getelementptr i8, ptr %memory, i64 {offset}")

    def _fill_cell(self, kind: str, at: int, row: Row) -> None:
        cell = f"%cell.{kind}.{at}"
        self._say(f"{cell} = getelementptr {_word(kind)}, ptr %cells.{kind}, i64 {at}")
        self._say(f"store {_word(kind)} {self._number(row)}, ptr {cell}, align {SIZES[kind]}")

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
        self._say(f"{name} = load {_word(kind)}, ptr %a{i}, align {SIZES[kind]}")
        return name

    def _pointer(self, row: Row) -> str:
        """Where the array of a row is."""
        if row in self.results:
            return f"%r{self.results[row]}"
        if row in self.inputs:
            return f"%a{self.inputs[row]}"
        if row not in self.fixed:
            return f"%{self.inner[row]}"
        if row not in self.places:
            self.places[row] = self.data.place(self.fixed[row])
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
            self._say(f"store {_word(kind)} {self._number(row)}, ptr %r{i}, align {SIZES[kind]}")
            return
        at = self.cells.get(kind, {}).get(source)
        if at is not None and source not in self.inputs and source not in self.fixed:
            self._say(f"%out{i}.cell = getelementptr {_word(kind)}, ptr %cells.{kind}, i64 {at}")
            self._say(f"%out{i} = load {_word(kind)}, ptr %out{i}.cell, align {SIZES[kind]}")
            self._say(f"store {_word(kind)} %out{i}, ptr %r{i}, align {SIZES[kind]}")
            return
        self.declares.add("declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)")
        self._say(f"call void @llvm.memcpy.p0.p0.i64(ptr %r{i}, ptr {self._pointer(source)}, i64 {size}, i1 false)")


def _parameter(value: Value) -> str:
    """The LLVM type of a parameter, as C compilers pass it."""
    if value.shape:
        return "ptr"
    return "i8 zeroext" if value.word == "i8" else value.word
