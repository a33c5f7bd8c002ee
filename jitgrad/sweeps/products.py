"""The LLVM text of small products of matrices: `z[…, m, n] = sum over k of x[…, m, k] * y[…, k, n]`.

Blocks of a few rows by W columns are held in registers while k runs. Where a single row meets a matrix that is
contiguous along k, W steps of k are done at once instead, for a few columns together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.sweeps.lanes import DTYPES, SIZES, WORDS, Block, Lane
from jitgrad.sweeps.layouts import place
from jitgrad.sweeps.loops import moved
from jitgrad.tape import Row

ROWS = 4
"""How many rows (or columns) are computed together: with two registers each, the accumulators stay in registers."""


class _Matrix:
    """A stack of matrices in memory: the pointer, the first element, and the steps (as numbers, and in the text)."""

    def __init__(self, f: Any, pointer: str, part: np.ndarray) -> None:
        self.f, self.pointer, self.part = f, pointer, part
        self.at: Lane = f.size(place(part)[0])
        self.batch = [f.size(s) for s in part.strides[:-2]]
        self.steps = [f.size(s) for s in part.strides[-2:]]

    @property
    def transposed(self) -> _Matrix:
        return _Matrix(self.f, self.pointer, self.part.swapaxes(-1, -2))


def emit_product(f: Any, row: Row) -> None:
    """Append a product to the text of the `Emitter` `f`."""
    x, y = (_Matrix(f, f.array(source), part) for source, part in (f.plan.layouts.view(i) for i in row.inputs))
    z = _Matrix(f, f.array(row, written=True), f.plan.layouts.view(row)[1])
    if row.shape[-1] == 1:  # one column: the transpose of one row
        x, y, z = y.transposed, x.transposed, z.transposed
    _Product(f, DTYPES[str(row.dtype)], x, y, z).emit(row.shape[:-2])


class _Product:
    def __init__(self, f: Any, kind: str, x: _Matrix, y: _Matrix, z: _Matrix) -> None:
        self.f, self.kind, self.x, self.y, self.z = f, kind, x, y, z
        f.count += 1
        self.name = f"P{f.count}"
        self.lanes = 64 // SIZES[kind]
        self.rows, self.columns, self.depth = z.part.shape[-2], z.part.shape[-1], x.part.shape[-1]
        self.m, self.n, self.k = f.size(self.rows), f.size(self.columns), f.size(self.depth)

    def emit(self, batch: tuple[int, ...]) -> None:
        f = self.f
        for d, size in enumerate(batch):
            index = f.open(f"{self.name}.b{d}", f.size(size))
            for matrix in (self.x, self.y, self.z):
                matrix.at = moved(f.block, matrix.at) + index * matrix.batch[d]
        if self.rows == 1 and self.y.part.strides[-2] == 1 and self.x.part.strides[-1] == 1:
            self._by(ROWS, f"{self.name}.d", self.n, self._dots)
        else:
            if self.y.part.strides[-1] != 1:
                self._pack()
            self._by(ROWS, f"{self.name}.m", self.m, self._rows)
        for d in reversed(range(len(batch))):
            f.close(f"{self.name}.b{d}")

    # Loops.

    def _by(self, many: int, name: str, size: Lane, body: Callable[[Lane, int, str], None]) -> None:
        """`body(index, many, name)` for every `many` of `size`, then `body(index, 1, name)` for those that are left."""
        f = self.f
        for count, label in ((many, name), (1, f"{name}.one")):
            start = None if label == name else f.block.load(f"%{name}.counter", "i64", 1)
            body(f.open(label, size, start=start, step=count), count, label)
            f.close(label, count)

    def _vectors(self, name: str, size: Lane, body: Callable[[Lane, Lane | None], None]) -> None:
        """`body(index, mask)` for every W of `size`, the last ones under a mask."""
        f = self.f
        at = f.open(name, size, step=self.lanes)
        f.block.lanes = self.lanes
        body(at, None)
        f.close(name, self.lanes)
        at = f.block.load(f"%{name}.counter", "i64", 1)
        left = moved(f.block, size) - at
        some = left > 0
        f.block.lines.append(f"  br i1 {some.name}, label %{name}.tail, label %{name}.done\n{name}.tail:")
        f.flush()
        f.block.lanes = self.lanes
        body(moved(f.block, at), f.block.mask(moved(f.block, left)))
        f.block.lines.append(f"  br label %{name}.done\n{name}.done:")
        f.flush()

    def _accumulators(self, name: str, count: int) -> list[str]:
        """Registers of W lanes, all 0."""
        f, found = self.f, []
        for i in range(count):
            found.append(f"%{name}.acc{i}")
            f.allocas.append(f"  {found[-1]} = alloca <{self.lanes} x {WORDS[self.kind]}>, align 64")
            f.block.store(f.block.const(0, self.kind, self.lanes), found[-1])
        return found

    def _add(self, block: Block, register: str, x: Lane, y: Lane) -> None:
        block.store(x.fma(y, block.load(register, self.kind, self.lanes)), register)

    # What is in them.

    def _pack(self) -> None:
        """Copy `y` so that its rows are contiguous."""
        f, y, name = self.f, self.y, f"{self.name}.pack"
        packed = _Matrix(f, f.temporary(_NUMPY[self.kind], self.depth * self.columns),
                         np.broadcast_to(np.int8(0), (self.depth, self.columns)))  # fmt: skip
        packed.at, packed.steps = f.entry.const(0, "i64"), [self.n, f.entry.const(1, "i64")]
        k = f.open(name, self.k)
        source, target = moved(f.block, y.at) + k * y.steps[0], k * self.n

        def body(n: Lane, mask: Lane | None) -> None:
            block = f.block
            first = moved(block, source) + n * y.steps[1]
            places = first.splat(self.lanes) + block.iota("i64", self.lanes) * moved(block, y.steps[1])
            value = block.gather(y.pointer, places, self.kind, mask)
            block.store(value, block.address(packed.pointer, moved(block, target) + n, self.kind), mask)

        self._vectors(f"{name}.n", self.n, body)
        f.close(name)
        self.y = packed

    def _rows(self, m: Lane, rows: int, name: str) -> None:
        """`rows` rows of the result from m on, W columns after W columns."""
        f, x, y, z = self.f, self.x, self.y, self.z

        def columns(n: Lane, mask: Lane | None) -> None:
            f.count += 1
            label = f"{self.name}.k{f.count}"
            held = self._accumulators(label, rows)
            first = [moved(f.block, x.at) + (moved(f.block, m) + r) * x.steps[0] for r in range(rows)]
            k = f.open(label, self.k)
            block = f.block
            here = moved(block, y.at) + k * y.steps[0] + n
            many = block.load(block.address(y.pointer, here, self.kind), self.kind, self.lanes, mask)
            for start, register in zip(first, held):
                one = block.address(x.pointer, moved(block, start) + k * x.steps[1], self.kind)
                self._add(block, register, block.load(one, self.kind, 1).splat(self.lanes), many)
            f.close(label)
            block = f.block
            for r, register in enumerate(held):
                where = moved(block, z.at) + (moved(block, m) + r) * z.steps[0] + n
                value = block.load(register, self.kind, self.lanes)
                block.store(value, block.address(z.pointer, where, self.kind), None if mask is None else moved(block, mask))

        self._vectors(f"{name}.n", self.n, columns)

    def _dots(self, n: Lane, count: int, name: str) -> None:
        """`count` elements of a single row, each a sum along k."""
        f, x, y, z = self.f, self.x, self.y, self.z
        held = self._accumulators(name, count)
        first = [moved(f.block, y.at) + (moved(f.block, n) + c) * y.steps[1] for c in range(count)]

        def along(k: Lane, mask: Lane | None) -> None:
            block = f.block
            many = block.load(block.address(x.pointer, moved(block, x.at) + k, self.kind), self.kind, self.lanes, mask)
            for start, register in zip(first, held):
                other = block.address(y.pointer, moved(block, start) + k, self.kind)
                self._add(block, register, many, block.load(other, self.kind, self.lanes, mask))

        self._vectors(f"{name}.k", self.k, along)
        block = f.block
        for c, register in enumerate(held):
            where = moved(block, z.at) + (moved(block, n) + c) * z.steps[1]
            block.store(block.load(register, self.kind, self.lanes).reduce_sum(), block.address(z.pointer, where, self.kind))


_NUMPY = {"f32": np.dtype("f4"), "f64": np.dtype("f8")}
