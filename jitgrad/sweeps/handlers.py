"""The machine's instructions: for each operation on each kind of operands one small function of machine code.

An instruction is eight 32-bit words. The first two are the address of the function that carries it out, its *handler*;
the others say where the result and the operands are, as numbers of 8-byte slots in one block of memory, and how many
elements there are:

    word    0 1        2       3 4 5        6          7
            handler    result  operands     elements   repetitions (of reductions; the rows of a product)

A handler ends with a jump to the handler of the next instruction, so there is no loop around them and no switch: every
handler has an indirect jump of its own, which a processor predicts from what usually follows (J. R. Bell, "Threaded
code", CACM 16, 1973). Its arithmetic is the kernel expression of the op table, so the machine computes what the
compiled sweep does.

A handler is made when the first tape needs it, in a few milliseconds, and comes from disk from then on. Handlers of
arrays run over whole vectors: what lies behind an array up to the next 64 bytes is scratch.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jitgrad.ops.elementwise import add, clamp, maximum, minimum, pow, pow_scalar
from jitgrad.ops.movement import sum
from jitgrad.ops.reductions import amax, amin
from jitgrad.ops.table import Op
from jitgrad.sweeps.expressions import POWERS, evaluate
from jitgrad.sweeps.lanes import Block, Declares, Lane
from jitgrad.sweeps.native import Kernel, compile_text
from jitgrad.sweeps.words import SIZES, kind_of, spelled
from jitgrad.tape import Row

WORDS = 8
FOLDS = {sum: add, amax: maximum, amin: minimum}
"""What joins two parts of a reduction."""


class Elementwise(NamedTuple):
    """One kernel expression on operands of these types; `moving` says which are arrays, and is empty for numbers."""

    op: Op
    params: tuple[tuple[str, Any], ...]  # an `Operand` stands for one that is read from memory
    result: np.dtype
    operands: tuple[str, ...]
    moving: tuple[bool, ...] = ()


class Fold(NamedTuple):
    """A reduction of the last dimension."""

    op: Op
    result: np.dtype
    operand: str


class Pick(NamedTuple):
    """Elements of `size` bytes picked by 32-bit indices that start at 1; 0 picks a zero."""

    size: int


class Put(NamedTuple):
    """All elements of the operand put to (or added at) the places of the result that 32-bit indices from 0 on name."""

    type: str
    adds: bool


class Product(NamedTuple):
    """A product of matrices of floats, the second of them a single column or not; word 5 is how many they share."""

    type: str
    column: bool


class Operand(int):
    """The place of a parameter among the operands."""

    def __repr__(self) -> str:
        return f"operand {int(self)}"


def parameters(row: Row) -> tuple[Op, tuple[tuple[str, Any], ...], tuple[Any, ...]]:
    """Op and parameters of a row as an `Elementwise` wants them, with the values of those that become operands.

    Numbers become operands, so that other bounds or exponents need no other handler; an exponent for which there is
    something simpler than `pow` is part of the handler.
    """
    if not row.params:
        return row.op, (), ()
    if row.op is pow_scalar and row.params["exponent"] not in POWERS:
        return pow, (), (row.params["exponent"],)
    if row.op is clamp:
        given = [(name, value) for name, value in row.params.items() if value is not None]
        places = {name: Operand(1 + i) for i, (name, _) in enumerate(given)}
        return clamp, tuple((name, places.get(name)) for name in row.params), tuple(value for _, value in given)
    return row.op, tuple(row.params.items()), ()


_handlers: dict[str, Kernel] = {}  # by what they do, in words: equal tuples may be different kinds, and 0.0 is -0.0


def handler(kind: Kind) -> Kernel:
    """The machine code of an instruction."""
    key = repr(kind)
    found = _handlers.get(key)
    if found is None:
        body: Callable[..., Text] = _BODIES[type(kind)]
        found = _handlers[key] = compile_text(body(kind).module(), "handler")
    return found


ENTRY = """
define void @machine(ptr %table) {
  %ip = load ptr, ptr %table
  %memory.at = getelementptr ptr, ptr %table, i64 1
  %memory = load ptr, ptr %memory.at
  %first = load ptr, ptr %ip
  call void %first(ptr %ip, ptr %memory)
  ret void
}

define void @stop(ptr %ip, ptr %memory) {
  ret void
}
"""


def entry() -> tuple[Kernel, int]:
    """`machine(instructions, memory)` runs instructions until it comes to one whose handler is at the second address."""
    found = _handlers.get(ENTRY)
    if found is None:
        found = _handlers[ENTRY] = compile_text(ENTRY, "machine", also=("stop",))
    return found, found.also["stop"]


class Text:
    """A handler under construction: straight code, loops over vectors, and the jump at the end."""

    def __init__(self) -> None:
        self.declares = Declares()
        self.allocas: list[str] = []
        self.lines: list[str] = []
        self.count = 0

    def block(self, lanes: int = 1) -> Block:
        """A new piece of straight code, to be handed to `add`."""
        self.count += 1
        return Block(lanes, f"b{self.count}.", self.declares)

    def add(self, block: Block) -> None:
        self.lines += block.lines

    def word(self, block: Block, place: int) -> Lane:
        """A word of the instruction."""
        return block.load(block.address("%ip", place, "i32"), "i32", 1).to("i64")

    def pointer(self, block: Block, place: int) -> str:
        """The address of an operand (or, at 2, the result)."""
        return block.address("%memory", self.word(block, place), "i64")

    def loop(self, size: Lane, step: int, body: Callable[[Lane], None]) -> None:
        """Run `body(i)` for i = 0, step, … below `size`; what it computes it adds as blocks."""
        self.count += 1
        name = f"L{self.count}"
        before = self.block()
        self.allocas.append(f"  %{name}.counter = alloca i64")
        self.lines += [f"  store i64 0, ptr %{name}.counter", f"  br label %{name}.head", f"{name}.head:"]
        at = before.load(f"%{name}.counter", "i64", 1)
        more = _here(before, size)[0] > at
        self.add(before)
        self.lines += [f"  br i1 {more.name}, label %{name}.body, label %{name}.end", f"{name}.body:"]
        body(at)
        after = self.block()
        after.store(_here(after, at)[0] + step, f"%{name}.counter")
        self.add(after)
        self.lines += [f"  br label %{name}.head", f"{name}.end:"]

    def register(self, name: str, type: str, lanes: int) -> None:
        """Something that keeps a vector between the turns of a loop."""
        self.allocas.append(f"  {name} = alloca {spelled(type, lanes)}, align 64")

    def module(self) -> str:
        """The whole text."""
        head, body = "\n".join(sorted(self.declares)), "\n".join([*self.allocas, *self.lines])
        return f"""{head}

define void @handler(ptr %ip, ptr %memory) {{
{body}
  %next.ip = getelementptr i32, ptr %ip, i64 {WORDS}
  %next = load ptr, ptr %next.ip
  musttail call void %next(ptr %next.ip, ptr %memory)
  ret void
}}
"""


def _elementwise(kind: Elementwise) -> Text:
    text = Text()
    first = text.block()
    pointers = [text.pointer(first, 3 + k) for k in range(len(kind.operands))]
    result = text.pointer(first, 2)
    out = kind_of(kind.result)

    def computed(block: Block, values: list[Lane]) -> Lane:
        inputs = len(kind.op.inputs)
        params = {name: values[p] if isinstance(p, Operand) else p for name, p in kind.params}
        return evaluate(Row(kind.op, (), params, (), kind.result, False), values[:inputs], block)

    if not kind.moving:
        values = [first.load(p, type, 1) for p, type in zip(pointers, kind.operands)]
        first.store(computed(first, values), result)
        text.add(first)
        return text
    lanes = _lanes(out, *kind.operands)
    fixed = [None if moves else first.load(p, type, 1) for p, type, moves in zip(pointers, kind.operands, kind.moving)]
    size = text.word(first, 6)
    text.add(first)

    def body(at: Lane) -> None:
        block = text.block(lanes)
        values = [
            block.load(block.address(p, at, type), type) if one is None else _here(block, one)[0]
            for p, type, one in zip(pointers, kind.operands, fixed)
        ]
        block.store(computed(block, values).splat(lanes), block.address(result, at, out))
        text.add(block)

    text.loop(size, lanes, body)
    return text


def _fold(kind: Fold) -> Text:
    """Every repetition has its vector of parts, joined in a fixed order at its end; floats are summed in float64."""
    text = Text()
    out = kind_of(kind.result)
    held = "f64" if kind.op is sum and out[0] == "f" else out
    lanes = _lanes(out, kind.operand)
    join = Row(FOLDS[kind.op], (), {}, (), np.dtype(_NUMPY[held]), False)
    first = text.block()
    source, result = text.pointer(first, 3), text.pointer(first, 2)
    size, repetitions = text.word(first, 6), text.word(first, 7)
    text.add(first)
    text.register("%parts", held, lanes)

    def repetition(r: Lane) -> None:
        start = text.block(lanes)
        start.store(start.const(_neutral(kind.op, held), held, lanes), "%parts")
        at, length = _here(start, r, size)
        row = start.address(source, at * length, kind.operand)
        text.add(start)

        def body(at: Lane) -> None:
            block = text.block(lanes)
            value = block.load(block.address(row, at, kind.operand), kind.operand).to(held)
            length, i = _here(block, size, at)
            inside = block.mask(length - i)
            value = inside.select(value, block.const(_neutral(kind.op, held), held, lanes))
            block.store(evaluate(join, [value, block.load("%parts", held)], block), "%parts")
            text.add(block)

        text.loop(size, lanes, body)
        end = text.block(lanes)
        total = end.load("%parts", held).reduce(lambda a, b: evaluate(join, [b, a], end))
        end.store(total.to(out), end.address(result, _here(end, r)[0], out))
        text.add(end)

    text.loop(repetitions, 1, repetition)
    return text


def _pick(kind: Pick) -> Text:
    text = Text()
    type = f"u{8 * kind.size}"
    first = text.block()
    source, indices, result = text.pointer(first, 3), text.pointer(first, 4), text.pointer(first, 2)
    size = text.word(first, 6)
    text.add(first)

    def body(at: Lane) -> None:
        block = text.block()
        index = block.load(block.address(indices, at, "i32"), "i32").to("i64")
        some = index > 0
        value = block.load(block.address(source, some.select(index - 1, 0), type), type)
        block.store(some.select(value, 0), block.address(result, at, type))
        text.add(block)

    text.loop(size, 1, body)
    return text


def _put(kind: Put) -> Text:
    text = Text()
    first = text.block()
    source, indices, result = text.pointer(first, 3), text.pointer(first, 4), text.pointer(first, 2)
    size = text.word(first, 6)
    text.add(first)

    def body(at: Lane) -> None:
        block = text.block()
        place = block.address(result, block.load(block.address(indices, at, "i32"), "i32").to("i64"), kind.type)
        value = block.load(block.address(source, at, kind.type), kind.type)
        block.store(block.load(place, kind.type) + value if kind.adds else value, place)
        text.add(block)

    text.loop(size, 1, body)
    return text


def _product(kind: Product) -> Text:
    """Row by row: W columns at once, for each a sum over what the matrices share; a single column W of that at once."""
    text = Text()
    type, lanes = kind.type, _lanes(kind.type)
    first = text.block()
    left, right, result = text.pointer(first, 3), text.pointer(first, 4), text.pointer(first, 2)
    shared, columns, rows = text.word(first, 5), text.word(first, 6), text.word(first, 7)
    text.add(first)
    text.register("%total", type, lanes)

    def clear() -> None:
        start = text.block(lanes)
        start.store(start.const(0, type, lanes), "%total")
        text.add(start)

    def columns_of(row: Lane) -> Callable[[Lane], None]:
        def some_columns(column: Lane) -> None:
            def step(k: Lane) -> None:
                block = text.block(lanes)
                at, i, j = _here(block, k, row, column)
                x = block.load(block.address(left, i * shared + at, type), type, 1)
                y = block.load(block.address(right, at * columns + j, type), type)
                block.store(x.splat(lanes).fma(y, block.load("%total", type)), "%total")
                text.add(block)

            clear()
            text.loop(shared, 1, step)
            end = text.block(lanes)
            i, j = _here(end, row, column)
            where = end.address(result, i * columns + j, type)
            end.store(end.load("%total", type), where, end.mask(columns - j))
            text.add(end)

        return some_columns

    def along(row: Lane) -> None:
        def step(k: Lane) -> None:
            block = text.block(lanes)
            at, i = _here(block, k, row)
            inside = block.mask(shared - at)
            x = block.load(block.address(left, i * shared + at, type), type, mask=inside)
            y = block.load(block.address(right, at, type), type, mask=inside)
            block.store(x.fma(y, block.load("%total", type)), "%total")
            text.add(block)

        clear()
        text.loop(shared, lanes, step)
        end = text.block(lanes)
        end.store(end.load("%total", type).reduce(operator.add), end.address(result, _here(end, row)[0], type))
        text.add(end)

    text.loop(rows, 1, along if kind.column else lambda row: text.loop(columns, lanes, columns_of(row)))
    return text


def _here(block: Block, *values: Lane) -> list[Lane]:
    """The same values as ones of `block`, so that what is computed from them is written there."""
    return [block.value(v.name, v.type, v.lanes) for v in values]


def _neutral(op: Op, held: str) -> Any:
    if op is sum:
        return 0
    low, high = (float("-inf"), float("inf")) if held[0] == "f" else (np.iinfo(_NUMPY[held]).min, np.iinfo(_NUMPY[held]).max)
    return low if op is amax else high


def _lanes(*types: str) -> int:
    return 8 if max(SIZES[type] for type in types) == 8 else 16


Kind = Elementwise | Fold | Pick | Put | Product
_BODIES: dict[type, Callable] = {Elementwise: _elementwise, Fold: _fold, Pick: _pick, Put: _put, Product: _product}
_NUMPY = {"f16": "float16", "f32": "float32", "f64": "float64", "i32": "int32", "i64": "int64"}
