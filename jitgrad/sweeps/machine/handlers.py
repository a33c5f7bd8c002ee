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
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from jitgrad.base.locks import compiling, once
from jitgrad.ops.arithmetic import POWERS, pow, pow_scalar
from jitgrad.ops.choosing import clamp
from jitgrad.ops.table import Op
from jitgrad.sweeps.code.compile import Kernel, compile_text
from jitgrad.sweeps.llvm.expressions import evaluate
from jitgrad.sweeps.llvm.folds import joined
from jitgrad.sweeps.llvm.function import Function, moved
from jitgrad.sweeps.llvm.lanes import Lane
from jitgrad.sweeps.plan.folds import held_as, neutral
from jitgrad.sweeps.plan.machine_types import SIZES, kind_of
from jitgrad.tape.row import Row

WORDS = 8


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
        with compiling:
            f = Handler()
            _BODIES[type(kind)](f, kind)
            found = _handlers.get(key) or _handlers.setdefault(key, compile_text(f.text(), "handler"))
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


@once
def entry() -> tuple[Kernel, int]:
    """`machine(instructions, memory)` runs instructions until it comes to one whose handler is at the second address."""
    found = compile_text(ENTRY, "machine", also=("stop",))
    return found, found.also["stop"]


_JUMP = f"""  %next.ip = getelementptr i32, ptr %ip, i64 {WORDS}
  %next = load ptr, ptr %next.ip
  musttail call void %next(ptr %next.ip, ptr %memory)
  ret void"""


class Handler(Function):
    """A handler under construction; `entry` is where it reads the instruction."""

    def word(self, place: int) -> Lane:
        """A word of the instruction."""
        return self.entry.load(self.entry.address("%ip", place, "i32"), "i32", 1).to("i64")

    def pointer(self, place: int) -> str:
        """The address of an operand (or, at 2, the result)."""
        return self.entry.address("%memory", self.word(place), "i64")

    def text(self) -> str:
        """The module, with the jump at the end of the handler."""
        self.flush()
        return self.module(self.between("void @handler(ptr %ip, ptr %memory)", (), _JUMP))


def _elementwise(f: Handler, kind: Elementwise) -> None:
    sources, result = [f.pointer(3 + k) for k in range(len(kind.operands))], f.pointer(2)
    out = kind_of(kind.result)

    def computed(values: list[Lane]) -> Lane:
        inputs = len(kind.op.inputs)
        params = {name: values[p] if isinstance(p, Operand) else p for name, p in kind.params}
        return evaluate(Row(kind.op, (), params, (), kind.result, False), values[:inputs], f.block)

    if not kind.moving:
        f.block.store(computed([f.block.load(p, type, 1) for p, type in zip(sources, kind.operands)]), result)
        return
    lanes = _lanes(out, *kind.operands)
    fixed = [None if moves else f.entry.load(p, type, 1) for p, type, moves in zip(sources, kind.operands, kind.moving)]
    at = f.open("i", f.word(6))
    values = [
        f.block.load(f.block.address(p, at, type), type, lanes) if one is None else moved(f.block, one)
        for p, type, one in zip(sources, kind.operands, fixed)
    ]
    f.block.store(computed(values).splat(lanes), f.block.address(result, at, out))
    f.close("i", lanes)


def _fold(f: Handler, kind: Fold) -> None:
    """Every repetition has its vector of parts, joined in a fixed order at its end."""
    out, join = kind_of(kind.result), partial(joined, kind.op.fold)
    held, lanes = held_as(kind.op.fold, out), _lanes(out, kind.operand)
    source, result, size = f.pointer(3), f.pointer(2), f.word(6)
    nothing = f.entry.const(neutral(kind.op.fold.neutral, held), held, lanes)
    f.register("%parts", held, lanes)
    r = f.open("r", f.word(7))
    f.block.store(nothing, "%parts")
    row = f.block.address(source, r * size, kind.operand)
    at = f.open("i", size)
    value = f.block.load(f.block.address(row, at, kind.operand), kind.operand, lanes).to(held)
    value = f.block.mask(size - at, lanes).select(value, nothing)
    f.block.store(join(f.block.load("%parts", held, lanes), value), "%parts")
    f.close("i", lanes)
    total = f.block.load("%parts", held, lanes).reduce(join)
    f.block.store(total.to(out), f.block.address(result, r, out))
    f.close("r")


def _pick(f: Handler, kind: Pick) -> None:
    type = f"u{8 * kind.size}"
    source, indices, result = f.pointer(3), f.pointer(4), f.pointer(2)
    at = f.open("i", f.word(6))
    index = f.block.load(f.block.address(indices, at, "i32"), "i32").to("i64")
    some = index > 0
    value = f.block.load(f.block.address(source, some.select(index - 1, 0), type), type)
    f.block.store(some.select(value, 0), f.block.address(result, at, type))
    f.close("i")


def _put(f: Handler, kind: Put) -> None:
    source, indices, result = f.pointer(3), f.pointer(4), f.pointer(2)
    at = f.open("i", f.word(6))
    index = f.block.load(f.block.address(indices, at, "i32"), "i32").to("i64")
    place = f.block.address(result, index, kind.type)
    value = f.block.load(f.block.address(source, at, kind.type), kind.type)
    f.block.store(f.block.load(place, kind.type) + value if kind.adds else value, place)
    f.close("i")


def _product(f: Handler, kind: Product) -> None:
    """Row by row: W columns at once, for each a sum over what the matrices share; a single column W of that at once."""
    type, lanes = kind.type, _lanes(kind.type)
    left, right, result = f.pointer(3), f.pointer(4), f.pointer(2)
    shared, columns = f.word(5), f.word(6)
    nothing = f.entry.const(0, type, lanes)
    f.register("%total", type, lanes)
    row = f.open("row", f.word(7))
    start = row * shared  # of this row of the first matrix

    def add(x: Lane, y: Lane) -> None:
        f.block.store(x.fma(y, f.block.load("%total", type, lanes)), "%total")

    def several_columns() -> None:
        target = row * columns
        column = f.open("column", columns)
        f.block.store(nothing, "%total")
        k = f.open("k", shared)
        x = f.block.load(f.block.address(left, k + start, type), type, 1)
        add(x.splat(lanes), f.block.load(f.block.address(right, k * columns + column, type), type, lanes))
        f.close("k")
        column = moved(f.block, column)
        total, left_over = f.block.load("%total", type, lanes), f.block.mask(columns - column, lanes)
        f.block.store(total, f.block.address(result, column + target, type), left_over)
        f.close("column", lanes)

    def one_column() -> None:
        f.block.store(nothing, "%total")
        k = f.open("k", shared)
        inside = f.block.mask(shared - k, lanes)
        x = f.block.load(f.block.address(left, k + start, type), type, lanes, inside)
        add(x, f.block.load(f.block.address(right, k, type), type, lanes, inside))
        f.close("k", lanes)
        total = f.block.load("%total", type, lanes).reduce(operator.add)
        f.block.store(total, f.block.address(result, row, type))

    one_column() if kind.column else several_columns()
    f.close("row")


def _lanes(*types: str) -> int:
    return 8 if max(SIZES[type] for type in types) == 8 else 16


Kind = Elementwise | Fold | Pick | Put | Product
_BODIES: dict[type, Callable] = {Elementwise: _elementwise, Fold: _fold, Pick: _pick, Put: _put, Product: _product}
