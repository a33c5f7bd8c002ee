"""Small products of matrices, `z[m, n] = sum over k of x[m, k] * y[k, n]`, as one native function for each dtype.

Sizes and strides are arguments, so there is nothing to compile for a new shape. Blocks of a few rows by W columns
are held in registers while k runs, of a single row more columns. Where a single row meets a matrix that is contiguous
along k, W steps of k are done at once instead, for a few columns together.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.base.locks import once
from jitgrad.sweeps.code.compile import Kernel, compile_text
from jitgrad.sweeps.llvm.blocks import Block
from jitgrad.sweeps.llvm.function import Function, moved
from jitgrad.sweeps.llvm.lanes import Lane
from jitgrad.sweeps.plan.layouts import place
from jitgrad.sweeps.plan.machine_types import SIZES, kind_of
from jitgrad.tape.row import Row

ROWS = 4
"""How many rows (or columns) are computed together: with two registers each, the accumulators stay in registers."""

POINTERS = ("x", "y", "z", "packed")
NUMBERS = ("m", "n", "k", "x_m", "x_k", "y_k", "y_n", "z_m", "z_n", "packs", "dots", "rows")
"""What the table of the function holds: sizes, steps, and whether (0 or 1) each of its three loops is to run."""


PRODUCT = "jitgrad.product."
"""How the name of the function of a dtype begins."""


def emit_product(f: Any, row: Row) -> None:
    """Append the calls for a row `matmul`, one for each pair of matrices, to the text of the `Emitter` `f`."""
    kind = kind_of(row.dtype)
    (x, x_part), (y, y_part) = (f.operand(i) for i in row.inputs)
    z_part = f.plan.layouts.view(row)[1]
    if row.shape[-1] == 1:  # one column: the transpose of one row
        x, x_part, y, y_part = y, y_part.swapaxes(-1, -2), x, x_part.swapaxes(-1, -2)
        z_part = z_part.swapaxes(-1, -2)
    parts = (x_part, y_part, z_part)
    packed = f.temporary(row.dtype, math.prod(y_part.shape[-2:]))
    pointers = [x, y, f.array(row, written=True)]
    f.count += 1
    name = f"P{f.count}"
    at = [moved(f.block, f.size(place(part)[0])) for part in parts]
    for d, size in enumerate(row.shape[:-2]):
        index = f.open(f"{name}.b{d}", f.size(size))
        at = [moved(f.block, o) + index * f.size(part.strides[d]) for o, part in zip(at, parts)]
    entries = [f.block.address(p, o, kind) for p, o in zip(pointers, at)] + [packed]
    f.call(PRODUCT + kind, _kernel(kind), entries, _numbers(*parts))
    for d in reversed(range(row.ndim - 2)):
        f.close(f"{name}.b{d}")


def _numbers(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> list[int]:
    """The `NUMBERS` for matrices laid out like these."""
    steps = [s for part in (x, y, z) for s in part.strides[-2:]]
    dots = x.shape[-2] == 1 and y.strides[-2] == 1 and x.strides[-1] == 1
    packs = not dots and y.strides[-1] != 1
    return [x.shape[-2], y.shape[-1], x.shape[-1], *steps, int(packs), int(dots), int(not dots)]


def product_text(symbol: str) -> set[str]:
    """The function of that name and what it needs, for those who want it in their own machine code."""
    product = _Product(symbol.rpartition(".")[2])
    return {*product.declares, product.function(symbol, POINTERS, sort="internal ")}


@once
def _kernel(kind: str) -> Kernel:
    name = f"product_{kind}"
    return compile_text(_Product(kind).define(name, POINTERS), name)


class _Product(Function):
    """The text of the function. A loop that runs once or not at all serves as an `if`."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.lanes = kind, 64 // SIZES[kind]
        self.at = {
            name: self.entry.load(self.entry.address("%table", i, "i64"), "i64", 1)
            for i, name in enumerate(NUMBERS, len(POINTERS))
        }
        self.allocas.append("  %y.used = alloca ptr\n  %y.step = alloca i64")
        self.block.lines.append("  store ptr %y, ptr %y.used")
        self.block.store(moved(self.block, self.at["y_k"]), "%y.step")
        for step in ("packs", "dots", "rows"):
            self.open(step, self.at[step])
            getattr(self, f"_{step}")()
            self.close(step)
        self.flush()

    def _number(self, name: str) -> Lane:
        return moved(self.block, self.at[name])

    def _by(self, many: int, name: str, size: Lane, body: Callable[[Lane, int, str], None]) -> None:
        """`body(index, many, name)` for every `many` of `size`, then `body(index, 1, name)` for those that are left."""
        for count, label in ((many, name), (1, f"{name}.one")):
            start = None if label == name else self.block.load(f"%{name}.counter", "i64", 1)
            body(self.open(label, size, start=start, whole=count), count, label)
            self.close(label, count)

    def _accumulators(self, name: str, count: int) -> list[str]:
        """Registers of W lanes, all 0."""
        found = []
        for i in range(count):
            found.append(f"%{name}.acc{i}")
            self.register(found[-1], self.kind, self.lanes)
            self.block.store(self.block.const(0, self.kind, self.lanes), found[-1])
        return found

    def _add(self, block: Block, register: str, x: Lane, y: Lane) -> None:
        block.store(x.fma(y, block.load(register, self.kind, self.lanes)), register)

    def _packs(self) -> None:
        """Copy `y` so that its rows are contiguous."""
        k = self.open("pack", self.at["k"])
        source, target = k * self.at["y_k"], k * self.at["n"]

        def body(n: Lane, mask: Lane | None) -> None:
            block, step = self.block, self.at["y_n"]
            places = block.spaced(moved(block, source) + n * step, step, self.lanes)
            value = block.gather("%y", places, self.kind, mask)
            block.store(value, block.address("%packed", moved(block, target) + n, self.kind), mask)

        self.vectors("pack.n", self.at["n"], self.lanes, body)
        self.close("pack")
        self.block.lines.append("  store ptr %packed, ptr %y.used")
        self.block.store(self._number("n"), "%y.step")

    def _rows(self) -> None:
        self.block.lines.append("  %y.rows = load ptr, ptr %y.used")
        self.step = self.block.load("%y.step", "i64", 1)
        self._by(ROWS, "m", self.at["m"], self._some_rows)

    def _some_rows(self, m: Lane, rows: int, name: str) -> None:
        """`rows` rows of the result from m on."""
        if rows > 1:
            self._narrow(m, rows, name)
            return
        wide = (moved(self.block, self.at["n"]) > 2 * self.lanes).to("i64")
        for label, on, columns in (("wide", wide, self._wide), ("narrow", wide ^ 1, self._narrow)):
            self.open(f"{name}.{label}", on)
            columns(m, rows, f"{name}.{label}")
            self.close(f"{name}.{label}")

    def _wide(self, m: Lane, rows: int, name: str) -> None:
        """A row of the result, `ROWS` times W columns at a time; the last of them overlap, so that none is masked."""
        first = self.open(f"{name}.n", self.at["n"])
        last = self._number("n") - self.lanes
        columns = [moved(self.block, first) + c * self.lanes for c in range(ROWS)]
        columns = [(c < last).select(c, last) for c in columns]
        held, start = self._accumulators(name, ROWS), moved(self.block, m) * self.at["x_m"]
        k = self.open(f"{name}.k", self.at["k"])
        one = self.block.load(self.block.address("%x", start + k * self.at["x_k"], self.kind), self.kind, 1)
        for c, register in zip(columns, held):
            here = self.block.address("%y.rows", k * self.step + c, self.kind)
            self._add(self.block, register, one.splat(self.lanes), self.block.load(here, self.kind, self.lanes))
        self.close(f"{name}.k")
        for c, register in zip(columns, held):
            where = self.block.address("%z", moved(self.block, m) * self.at["z_m"] + c, self.kind)
            self.block.store(self.block.load(register, self.kind, self.lanes), where)
        self.close(f"{name}.n", ROWS * self.lanes)

    def _narrow(self, m: Lane, rows: int, name: str) -> None:
        """`rows` rows of the result from m on, W columns after W columns."""

        def columns(n: Lane, mask: Lane | None) -> None:
            self.count += 1
            label = f"k{self.count}"
            held = self._accumulators(label, rows)
            starts = [(moved(self.block, m) + r) * self.at["x_m"] for r in range(rows)]
            k = self.open(label, self.at["k"])
            block = self.block
            here = block.address("%y.rows", k * self.step + n, self.kind)
            many = block.load(here, self.kind, self.lanes, mask)
            for start, register in zip(starts, held):
                one = block.address("%x", moved(block, start) + k * self.at["x_k"], self.kind)
                self._add(block, register, block.load(one, self.kind, 1).splat(self.lanes), many)
            self.close(label)
            block = self.block
            for r, register in enumerate(held):
                where = block.address("%z", (moved(block, m) + r) * self.at["z_m"] + n, self.kind)
                value = block.load(register, self.kind, self.lanes)
                block.store(value, where, None if mask is None else moved(block, mask))

        self.vectors(f"{name}.n", self.at["n"], self.lanes, columns)

    def _dots(self) -> None:
        self._by(ROWS, "d", self.at["n"], self._some_dots)

    def _some_dots(self, n: Lane, count: int, name: str) -> None:
        """`count` elements of a single row, each a sum along k."""
        held = self._accumulators(name, count)
        starts = [(moved(self.block, n) + c) * self.at["y_n"] for c in range(count)]

        def along(k: Lane, mask: Lane | None) -> None:
            block = self.block
            many = block.load(block.address("%x", k, self.kind), self.kind, self.lanes, mask)
            for start, register in zip(starts, held):
                other = block.address("%y", moved(block, start) + k, self.kind)
                self._add(block, register, many, block.load(other, self.kind, self.lanes, mask))

        self.vectors(f"{name}.k", self.at["k"], self.lanes, along)
        block = self.block
        for c, register in enumerate(held):
            where = block.address("%z", (moved(block, n) + c) * self.at["z_n"], self.kind)
            block.store(block.load(register, self.kind, self.lanes).reduce(operator.add), where)
