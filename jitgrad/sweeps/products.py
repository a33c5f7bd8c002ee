"""The LLVM text of a small product of matrices: blocks of a few rows by W columns, held in registers."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.sweeps.lanes import DTYPES, SIZES, WORDS, Block, Lane
from jitgrad.sweeps.layouts import place
from jitgrad.sweeps.loops import moved
from jitgrad.tape import Row

ROWS = 4
"""How many rows of the result are computed together: with two registers a row, the accumulators stay in registers."""


def emit_product(f: Any, row: Row) -> None:
    """`z[…, m, n] = sum over k of x[…, m, k] * y[…, k, n]` as text of the `Emitter` `f`."""
    _Product(f, row).emit()


class _Product:
    def __init__(self, f: Any, row: Row) -> None:
        self.f, self.row = f, row
        f.count += 1
        self.name = f"P{f.count}"
        self.kind = DTYPES[str(row.dtype)]
        self.lanes = 64 // SIZES[self.kind]
        self.m, self.n, self.k = (f.size(size) for size in (*row.shape[-2:], row.inputs[0].shape[-1]))
        views = [f.plan.layouts.view(x) for x in row.inputs]
        self.x, self.y = (f.array(source) for source, _ in views)
        self.z = f.array(row, written=True)
        self.x_part, self.y_part = (part for _, part in views)
        self.offsets = [f.size(place(part)[0]) for part in (self.x_part, self.y_part)] + [f.entry.const(0, "i64")]

    def emit(self) -> None:
        f, batch = self.f, self.row.shape[:-2]
        at = [moved(f.block, o) for o in self.offsets]
        result_step = self.row.shape[-2] * self.row.shape[-1]
        steps = [self.x_part.strides[: len(batch)], self.y_part.strides[: len(batch)], []]
        for d in reversed(range(len(batch))):
            steps[2] = [result_step, *steps[2]]
            result_step *= batch[d]
        for d, size in enumerate(batch):
            index = f.open(f"{self.name}.b{d}", f.size(size))
            at = [moved(f.block, o) + index * f.size(step[d]) for o, step in zip(at, steps)]
        self.at_x, self.at_y, self.at_z = at
        self.y_step = f.size(self.y_part.strides[-2])
        if self.y_part.strides[-1] != 1:
            self._pack()
        self._rows()
        for d in reversed(range(len(batch))):
            f.close(f"{self.name}.b{d}")

    def _pack(self) -> None:
        """Copy `y` so that its rows are contiguous."""
        f, name = self.f, f"{self.name}.pack"
        dtype: np.dtype = self.row.dtype
        packed = f.temporary(dtype, self.row.inputs[1].shape[-2] * self.row.shape[-1])
        k = f.open(f"{name}.k", self.k)
        source = moved(f.block, self.at_y) + k * self.y_step
        target = k * self.n
        step = f.size(self.y_part.strides[-1])

        def body(n: Lane, block: Block, mask: Lane | None) -> None:
            first = moved(block, source) + n * moved(block, step)
            places = first.splat(self.lanes) + block.iota("i64", self.lanes) * moved(block, step)
            value = block.gather(self.y, places, self.kind, mask)
            block.store(value, block.address(packed, moved(block, target) + n, self.kind), mask)

        self._columns(f"{name}.n", body)
        f.close(f"{name}.k")
        self.y, self.at_y, self.y_step = packed, f.entry.const(0, "i64"), self.n

    def _rows(self) -> None:
        """Blocks of `ROWS` rows, then the rows that are left one by one."""
        self._rows_by(ROWS, f"{self.name}.m", None)
        self._rows_by(1, f"{self.name}.r", self.f.block.load(f"%{self.name}.m.counter", "i64", 1))

    def _rows_by(self, rows: int, name: str, start: Lane | None) -> None:
        m = self.f.open(name, self.m, start=start, step=rows)
        self._columns(f"{name}.n", lambda n, block, mask: self._block(m, n, rows, mask))
        self.f.close(name, rows)

    def _columns(self, name: str, body: Any) -> None:
        """`body(n, block, mask)` for every W columns, the last ones under a mask."""
        f = self.f
        n = f.open(name, self.n, step=self.lanes)
        f.block.lanes = self.lanes
        body(n, f.block, None)
        f.close(name, self.lanes)
        n = f.block.load(f"%{name}.counter", "i64", 1)
        left = moved(f.block, self.n) - n
        some = left > 0
        f.block.lines.append(f"  br i1 {some.name}, label %{name}.tail, label %{name}.done\n{name}.tail:")
        f.flush()
        f.block.lanes = self.lanes
        body(moved(f.block, n), f.block, f.block.mask(moved(f.block, left)))
        f.block.lines.append(f"  br label %{name}.done\n{name}.done:")
        f.flush()

    def _block(self, m: Lane, n: Lane, rows: int, mask: Lane | None) -> None:
        f = self.f
        f.count += 1
        name = f"{self.name}.k{f.count}"
        word = f"<{self.lanes} x {WORDS[self.kind]}>"
        held = [f"%{name}.acc{r}" for r in range(rows)]
        f.allocas += [f"  {register} = alloca {word}, align 64" for register in held]
        for register in held:
            f.block.store(f.block.const(0, self.kind, self.lanes), register)
        steps = [f.size(s) for s in self.x_part.strides[-2:]]
        first = [moved(f.block, self.at_x) + (moved(f.block, m) + r) * steps[0] for r in range(rows)]
        k = f.open(name, self.k)
        block = f.block
        y_at = moved(block, self.at_y) + k * self.y_step + n
        y = block.load(block.address(self.y, y_at, self.kind), self.kind, self.lanes, mask)
        for r, register in enumerate(held):
            x_at = moved(block, first[r]) + k * steps[1]
            x = block.load(block.address(self.x, x_at, self.kind), self.kind, 1).splat(self.lanes)
            block.store(x.fma(y, block.load(register, self.kind, self.lanes)), register)
        f.close(name)
        for r, register in enumerate(held):
            block = f.block
            where = moved(block, self.at_z) + (moved(block, m) + r) * moved(block, self.n) + moved(block, n)
            value = block.load(register, self.kind, self.lanes)
            block.store(value, block.address(self.z, where, self.kind), None if mask is None else moved(block, mask))

