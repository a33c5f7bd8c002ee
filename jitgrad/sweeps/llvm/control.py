"""Loops and switches in machine code.

Each becomes a function of pointers to its operands, to the results that somebody reads, and to memory of its own; the
functions of its tapes (`wrapped`) are put where they are called. A carry that is a number lives in a register. One that is an
array is read from one buffer and written into another, then the two change places; or changed in place, where a step changes a
part of it.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any, NamedTuple

import numpy as np

from jitgrad.sweeps.code.compile import Kernel
from jitgrad.sweeps.llvm.function import moved
from jitgrad.sweeps.llvm.wrapped import Value, Wrapped, aligned, wrap
from jitgrad.sweeps.plan.layouts import is_number
from jitgrad.sweeps.plan.machine_types import SIZES, kind_of
from jitgrad.sweeps.plan.plan import Plan
from jitgrad.sweeps.plan.scalars import written_out
from jitgrad.sweeps.plan.segments import left_to_numpy, whole_plan
from jitgrad.tape.row import Row
from jitgrad.tape.tape import Tape, tapes_of


class Called(NamedTuple):
    """A function `name(operands, results, memory, flag)`, all of them pointers, and what a module needs for it."""

    name: str
    text: set[str]
    memory: int
    flagged: bool
    symbols: dict[str, Kernel]


def emit_control(f: Any, row: Row) -> None:
    """Append the call for a row `loop` or `switch` to the text of the `Emitter` `f`."""
    items = sorted(f.items[row], key=lambda x: x.params["k"])
    make = {"loop": _Loop, "switch": _Switch}[row.op.kind]
    called = make(row, [x.params["k"] for x in items], f).called()
    f.declares |= called.text
    f.symbols |= called.symbols
    pointers = [_operand(f, x) for x in row.inputs]
    for x in items:
        pointers.append(f.stack(x) if is_number(x) else f.array(x, written=True))
    memory = f.temporary(np.dtype(np.uint8), called.memory) if called.memory else "null"
    flag = f.flag() if called.flagged else "null"
    f.block.lines.append(f"  call void @{called.name}({', '.join(f'ptr {p}' for p in [*pointers, memory, flag])})")
    for x, pointer in zip(items, pointers[len(row.inputs) :]):
        if is_number(x):
            f.keep_number(x, f.block.load(pointer, kind_of(x.dtype), 1))


def _operand(f: Any, x: Row) -> str:
    """The pointer to the elements of an operand, in order."""
    source = f.plan.layouts.access(x).source
    if not (is_number(x) and is_number(source)):
        return f.operand(x, in_order=True)[0]
    pointer = f.stack(x)
    f.block.store(moved(f.block, f.number(source)), pointer)
    return pointer


def work(row: Row) -> float:
    """How many elements a row computes, about; for a loop, all of its steps together."""
    if row.op.loops is not None:
        return math.prod(row.inputs[0].shape) * row.inputs[0].shape[-1]
    if not row.op.holds_tapes:
        return math.prod(row.shape)
    once = [sum(work(x) for x in tape.rows) for tape in tapes_of(row)]
    if "branches" in row.params:
        return max(once)
    return sum(once) * (math.inf if row.params["length"] is None else row.params["length"])


class _Text:
    """A function under construction."""

    def __init__(self, row: Row, wanted: list[int], f: Any) -> None:
        self.row, self.wanted, self.f = row, wanted, f
        self.allocas: list[str] = []
        self.lines: list[str] = []
        self.text: set[str] = set()
        self.symbols: dict[str, Kernel] = {}
        self.count = 0
        self.buffers = 0  # bytes of memory for more than one call
        self.memory = 0  # bytes of memory that each call may use
        self.flagged = False

    def called(self) -> Called:
        self.write()
        operands = [f"ptr %o{i}" for i in range(len(self.row.inputs))]
        results = [f"ptr %w{k}" for k in self.wanted]
        head = f"define internal void @FUNCTION({', '.join([*operands, *results, 'ptr %memory', 'ptr %flag'])}) {{"
        text = "\n".join([head, "entry:", *self.allocas, *self.lines, "  ret void", "}"])
        name = f"{self.row.op.kind}.{hashlib.sha256(text.encode()).hexdigest()[:24]}"
        text = text.replace("@FUNCTION", f"@{name}")
        return Called(name, {*self.text, text}, self.buffers + self.memory, self.flagged, self.symbols)

    def write(self) -> None:
        raise NotImplementedError

    def say(self, line: str) -> None:
        self.lines.append("  " + line)

    def label(self, name: str) -> None:
        self.lines.append(f"{name}:")

    def fresh(self) -> str:
        self.count += 1
        return f"%v{self.count}"

    def give(self, line: str) -> str:
        """The name of what an instruction gives."""
        name = self.fresh()
        self.say(f"{name} = {line}")
        return name

    def load(self, value: Value, pointer: str) -> str:
        return self.give(f"load {value.word}, ptr {pointer}, align {SIZES[kind_of(value.dtype)]}")

    def store(self, value: Value, what: str, pointer: str) -> None:
        self.say(f"store {value.word} {what}, ptr {pointer}, align {SIZES[kind_of(value.dtype)]}")

    def element(self, value: Value, pointer: str, index: str) -> str:
        """The pointer to one of the elements, each like `value`, of an array."""
        return self.give(f"getelementptr [{value.bytes} x i8], ptr {pointer}, i64 {index}")

    def copy(self, value: Value, source: str, target: str) -> None:
        if value.shape == ():
            self.store(value, self.load(value, source), target)
        elif value.bytes:
            self.text.add("declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)")
            self.say(f"call void @llvm.memcpy.p0.p0.i64(ptr {target}, ptr {source}, i64 {value.bytes}, i1 false)")

    def clear(self, size: int, pointer: str) -> None:
        self.text.add("declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)")
        self.say(f"call void @llvm.memset.p0.i64(ptr {pointer}, i8 0, i64 {size}, i1 false)")

    def buffer(self, value: Value) -> str:
        """Memory for an array of its own."""
        start = self.buffers
        self.buffers += aligned(value.bytes)
        return self.give(f"getelementptr i8, ptr %memory, i64 {start}")

    def tape(self, tape: Tape, given_up: frozenset[Row] = frozenset()) -> tuple[Wrapped, dict[Row, Row]]:
        """The function of a tape, and which inputs it goes on in the memory of (see `Plan.home`)."""
        outputs = [Value(row.shape, row.dtype) for row in tape.outputs]
        small = written_out(tape)
        planned = self.plan(tape, given_up) if small is None else self.plan(small)
        if small is not None and left_to_numpy(planned[1]):
            small, planned = None, self.plan(tape, given_up)
        found = wrap(*planned, {}, type(self.f), outputs, by_element=small is not None)
        self.text |= found.text
        self.symbols |= found.symbols
        self.memory = max(self.memory, found.memory)
        self.flagged = self.flagged or found.flagged
        return found, planned[1].home

    def plan(self, tape: Tape, given_up: frozenset[Row] = frozenset()) -> tuple[Tape, Plan]:
        return whole_plan(tape, self.f.plan.target, given_up)

    def call(self, function: Wrapped, operands: list[str], results: list[str], memory: str) -> None:
        """Call it: `operands` point to the inputs."""
        given = [
            f"ptr {pointer}" if value.shape else f"{value.word} {self.load(value, pointer)}"
            for value, pointer in zip(function.inputs, operands)
        ]
        given += [f"ptr {pointer}" for pointer in results] + [f"ptr {memory}"] * bool(function.memory)
        given += ["ptr %flag"] * function.flagged
        self.say(f"call void @{function.name}({', '.join(given)})")


class _Loop(_Text):
    """The function of a loop."""

    def write(self) -> None:
        p = self.row.params
        layout, n = p["layout"], p["layout"].carry
        consts, asked, init, xs, count = layout.split([f"%o{i}" for i in range(len(self.row.inputs))])
        outputs = len(p["body"].outputs)
        ys = [k for k in self.wanted if n <= k < outputs]
        tape = _with_outputs(p["body"], [*range(n), *ys])
        carried = list(zip(tape.inputs[len(consts) :], tape.outputs[:n]))
        given_up = frozenset(x for x, out in carried if out.op.writes and out.inputs[0] is x)
        step, home = self.tape(tape, given_up)
        elements = step.inputs[len(consts) + n :]
        self.carry = [
            _Carry(self, value, pointer, home.get(x) is out) for value, pointer, (x, out) in zip(step.outputs, init, carried)
        ]
        after = self.memory_after_buffers()
        most = self._most(count)
        if p["cond"] is not None or count is not None:
            for k in self.wanted:
                if n <= k < len(p["results"]) - 1 and (size := Value(*p["results"][k]).bytes):
                    self.clear(size, f"%w{k}")
        self.allocas.append("  %i.at = alloca i64")
        self.say("store i64 0, ptr %i.at")
        self.say("br label %head")
        self.label("head")
        i = self.give("load i64, ptr %i.at")
        if most is not None:
            self.branch(self.give(f"icmp slt i64 {i}, {most}"), "some")
        now = [c.now() for c in self.carry]
        if p["cond"] is not None:
            flag = "%go.on"
            self.allocas.append(f"  {flag} = alloca i8")
            self.call(self.tape(p["cond"])[0], [*asked, *now], [flag], after)
            self.branch(self.give(f"icmp ne i8 {self.load(Value((), np.dtype(bool)), flag)}, 0"), "step")
        t = i if not p["reverse"] else self.give(f"sub i64 {self.give(f'sub i64 {most}, 1')}, {i}")
        for j, c in enumerate(self.carry):
            if outputs + j in self.wanted and p["length"] is not None:
                self.copy(c.value, now[j], self.element(c.value, f"%w{outputs + j}", t))
        given = [self.element(value, x, t) for value, x in zip(elements, xs)]
        results = [self.element(value, f"%w{k}", t) for value, k in zip(step.outputs[n:], ys)]
        self.call(step, [*consts, *now, *given], [*[c.next() for c in self.carry], *results], after)
        for c in self.carry:
            c.turn(i)
        self.say(f"store i64 {self.give(f'add i64 {i}, 1')}, ptr %i.at")
        self.say("br label %head")
        self.label("end")
        for k in self.wanted:
            if k < n:
                self.copy(self.carry[k].value, self.carry[k].now(), f"%w{k}")
            elif k == len(p["results"]) - 1:
                self.say(f"store i64 {self.give('load i64, ptr %i.at')}, ptr %w{k}")

    def memory_after_buffers(self) -> str:
        """The pointer to what the functions of the tapes may use."""
        return self.give(f"getelementptr i8, ptr %memory, i64 {self.buffers}")

    def branch(self, flag: str, label: str) -> None:
        """Go on at `label`, which comes next, or leave the loop."""
        self.say(f"br i1 {flag}, label %{label}, label %end")
        self.label(label)

    def _most(self, count: str | None) -> str | None:
        """How many steps there are at most."""
        length = self.row.params["length"]
        if count is None:
            return None if length is None else str(length)
        self.text |= {"declare i64 @llvm.smin.i64(i64, i64)", "declare i64 @llvm.smax.i64(i64, i64)"}
        given = self.give(f"call i64 @llvm.smax.i64(i64 {self.give(f'load i64, ptr {count}')}, i64 0)")
        return self.give(f"call i64 @llvm.smin.i64(i64 {given}, i64 {length})")


class _Carry:
    """Where one entry of the carry is: `now` to be read, `next` to be written, which is the same if it is changed in place."""

    def __init__(self, text: _Text, value: Value, init: str, in_place: bool) -> None:
        self.text, self.value, self.in_place = text, value, in_place
        self.name = f"%c{len(text.allocas)}"
        if value.shape == ():
            text.allocas += [f"  {name} = alloca {value.word}, align 8" for name in (self.name, f"{self.name}.next")]
            text.copy(value, init, self.name)
            return
        first = text.buffer(value)
        if in_place:
            text.copy(value, init, first)
            self.name = first
            return
        self.second = text.buffer(value)
        text.allocas += [f"  {self.name} = alloca ptr", f"  {self.name}.next = alloca ptr"]
        text.say(f"store ptr {init}, ptr {self.name}")
        text.say(f"store ptr {first}, ptr {self.name}.next")

    def now(self) -> str:
        fixed = self.value.shape == () or self.in_place
        return self.name if fixed else self.text.give(f"load ptr, ptr {self.name}")

    def next(self) -> str:
        if self.in_place and self.value.shape:
            return self.name
        return f"{self.name}.next" if self.value.shape == () else self.text.give(f"load ptr, ptr {self.name}.next")

    def turn(self, i: str) -> None:
        """What was written is to be read next. The first step reads what the loop was given, which is never written to."""
        text = self.text
        if self.value.shape == ():
            text.copy(self.value, f"{self.name}.next", self.name)
        elif not self.in_place:
            old, new = self.now(), self.next()
            text.say(f"store ptr {new}, ptr {self.name}")
            first = text.give(f"icmp eq i64 {i}, 0")
            free = text.give(f"select i1 {first}, ptr {self.second}, ptr {old}")
            text.say(f"store ptr {free}, ptr {self.name}.next")


class _Switch(_Text):
    """The function of a switch."""

    def write(self) -> None:
        branches = [self.tape(_with_outputs(tape, self.wanted))[0] for tape in self.row.params["branches"]]
        operands = [f"%o{i}" for i in range(1, len(self.row.inputs))]
        index = self.give("load i64, ptr %o0")
        cases = " ".join(f"i64 {k}, label %branch{k}" for k in range(1, len(branches) - 1))
        below = self.give(f"icmp sle i64 {index}, 0")
        self.say(f"br i1 {below}, label %branch0, label %others")
        self.label("others")
        self.say(f"switch i64 {index}, label %branch{len(branches) - 1} [{cases}]")
        for k, branch in enumerate(branches):
            self.label(f"branch{k}")
            self.call(branch, operands, [f"%w{k}" for k in self.wanted], "%memory")
            self.say("br label %end")
        self.label("end")


def _with_outputs(tape: Tape, which: list[int]) -> Tape:
    """The tape with some of its outputs."""
    return tape if which == list(range(len(tape.outputs))) else Tape(tape.inputs, [tape.outputs[k] for k in which])
