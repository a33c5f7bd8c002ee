"""Matrix products in tiles, for where there is no cuBLAS.

A block computes a tile of the result. It goes along the inner dimension in slices: all threads bring a slice of both operands
into shared memory, then each adds products up for its own few elements, which stay in registers. (V. Volkov and J. Demmel,
Benchmarking GPUs to tune dense linear algebra, SC 2008.)
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from jitgrad.sweeps.cuda.kernel import Kernel
from jitgrad.sweeps.cuda.library.launches import (
    FLAT,
    FLOATS,
    STEP,
    Launch,
    Operand,
    Scratch,
    blocks_over,
    indented,
    kernel,
    loaded,
    memory,
    small,
    stored,
)

Steps = tuple[int, int, int]
"""From one element of an operand to the next along its batch, rows and columns, in elements; 0 where one is repeated."""
PADDING = 2
"""Rows of a slice are this much longer in shared memory, so that threads that write a column do not meet in one bank."""

ENOUGH, LONG = 256, 16
"""Blocks that are enough to keep a GPU busy, and slices that are enough to keep a block busy."""


class Tiles(NamedTuple):
    """How a block of `high` times `wide` threads shares a tile: each has `each` times `each` elements, over slices of `depth`."""

    high: int
    wide: int
    each: int
    depth: int

    @property
    def rows(self) -> int:
        return self.high * self.each

    @property
    def columns(self) -> int:
        return self.wide * self.each


def tiles(block: int) -> Tiles:
    """64 times 64 elements over slices of 16 for 256 threads, and little for the few threads of a simulated block."""
    bits = block.bit_length() - 1
    high = 1 << (bits // 2)
    each, depth = (4, 16) if block >= 64 else (2, 4)
    return Tiles(high, block // high, each, depth)


def matmul(dtype: str, batch: int, m: int, k: int, n: int, block: int, a_steps: Steps, b_steps: Steps) -> list[Launch]:
    """`c[i] = a[i] @ b[i]`, of matrices m × k and k × n; operands a, b and c, which lies in order.

    Half precision is added up in float32, whole numbers in 64 bits, and the others in their own dtype.
    """
    if not small(batch * m * n, "a product"):
        return []
    small(max(_reach(a_steps, batch, m, k), _reach(b_steps, batch, k, n)), "an operand of a product")
    shape, held = tiles(block), _held(dtype)
    down, across = -(-m // shape.rows), -(-n // shape.columns)
    size = _part(batch * down * across, k, shape.depth)
    parts = max(1, -(-k // size))
    numbers = [batch, m, k, n, down, across, parts, size, *a_steps, *b_steps]
    # An operand is read along the dimension whose neighbours are neighbours in memory.
    ways = [abs(steps[2]) > abs(steps[1]) > 0 for steps in (a_steps, b_steps)]
    grid, c = small(batch * down * across * parts, "a grid"), Operand(2)
    if parts == 1:
        return [(_kernel(dtype, dtype, block, *ways), grid, [Operand(0), Operand(1), c, *numbers])]
    total = batch * m * n
    sums = Scratch(held, small(parts * total, "the parts of a product"))
    made: Launch = _kernel(dtype, held, block, *ways), grid, [Operand(0), Operand(1), sums, *numbers]
    return [made, (_joined(dtype, block), blocks_over(total, block), [sums, c, total, parts])]


def _part(tiles: int, k: int, depth: int) -> int:
    """How much of the inner dimension a block goes along: if there are few tiles, and it is long, several blocks share it."""
    parts = max(1, min(ENOUGH // tiles, k // (LONG * depth)))
    slices = -(-k // (parts * depth))
    return max(1, slices) * depth


def _reach(steps: Steps, *sizes: int) -> int:
    return sum(abs(step) * (size - 1) for step, size in zip(steps, sizes) if size) + 1


@cache
def _kernel(dtype: str, out: str, block: int, a_by_rows: bool, b_by_rows: bool) -> Kernel:
    """Products of what is stored as `dtype`, or parts of them, stored as `out`."""
    shape, held = tiles(block), _held(dtype)
    sizes = ["batch", "m", "k", "n", "down", "across", "parts", "size"]
    names = [*sizes, *[f"{operand}_{step}" for operand in "ab" for step in ("batch", "row", "column")]]
    sums = f"for y in range({shape.each}):\n    for x in range({shape.each}):\n        "
    lines = [
        _START.format(**_sizes(shape), held=held),
        f"{sums}total[{shape.each} * y + x] = {held}(0)",
        "k0 = i32(part * size)\nend = i32(min(k, i32(k0 + size)))\nwhile k0 < end:",
        indented(_slice("a", dtype, held, block, (shape.rows, shape.depth), a_by_rows), 1),
        indented(_slice("b", dtype, held, block, (shape.depth, shape.columns), b_by_rows), 1),
        indented(_PRODUCTS.format(**_sizes(shape)), 1),
        _END.format(**_sizes(shape), value=_result(f"total[{shape.each} * y + x]", out)),
    ]
    return kernel(block, {"a": memory(dtype), "b": memory(dtype), "c": memory(out)} | dict.fromkeys(names, "int32"), lines)


def _held(dtype: str) -> str:
    if dtype in FLOATS:
        return "float64" if dtype == "float64" else "float32"
    return "uint64" if dtype.startswith("uint") else "int64"


def _result(value: str, dtype: str) -> str:
    return stored(f"{value} != 0" if dtype == "bool" else value, dtype)


def _sizes(shape: Tiles) -> dict[str, int]:
    a_line, b_line = shape.rows + PADDING, shape.columns + PADDING
    places = {"a_line": a_line, "b_line": b_line, "a_size": shape.depth * a_line, "b_size": shape.depth * b_line}
    return shape._asdict() | places | {"rows": shape.rows, "columns": shape.columns, "sums": shape.each**2}


_START = """
a_slice = cuda.shared.array({a_size}, {held})
b_slice = cuda.shared.array({b_size}, {held})
total = cuda.local.array({sums}, {held})
t = i32(cuda.threadIdx.x)
ty = i32(t // {wide})
tx = i32(t % {wide})
tile = i32(cuda.blockIdx.x)
column0 = i32(i32(tile % across) * {columns})
tile = i32(tile // across)
row0 = i32(i32(tile % down) * {rows})
tile = i32(tile // down)
part = i32(tile % parts)
image = i32(tile // parts)
"""

_PRODUCTS = """
cuda.syncthreads()
for s in range({depth}):
    for y in range({each}):
        for x in range({each}):
            product = a_slice[s * {a_line} + ty + y * {high}] * b_slice[s * {b_line} + tx + x * {wide}]
            total[{each} * y + x] += product
cuda.syncthreads()
k0 = i32(k0 + {depth})
"""

_END = """
for y in range({each}):
    row = i32(row0 + ty + y * {high})
    for x in range({each}):
        column = i32(column0 + tx + x * {wide})
        if row < m and column < n:
            c[i32(i32(i32(part * batch + image) * m + row) * n + column)] = {value}
"""


def _slice(name: str, dtype: str, held: str, block: int, size: tuple[int, int], by_rows: bool) -> str:
    """Lines in which the threads bring a slice of an operand into shared memory, zeros where the matrix has ended.

    It lies there with the inner dimension outside, for either operand. Neighbouring threads go along a row, or `by_rows`
    down a column.
    """
    rows, columns = size
    row, column = ("row0 + r", "k0 + q") if name == "a" else ("k0 + r", "column0 + q")
    limits = ("m", "end") if name == "a" else ("end", "n")
    place = f"q * {rows + PADDING} + r" if name == "a" else f"r * {columns + PADDING} + q"
    within = (f"at % {rows}", f"at // {rows}") if by_rows else (f"at // {columns}", f"at % {columns}")
    element = f"{name}[i32(image * {name}_batch + row * {name}_row + column * {name}_column)]"
    return f"""
for turn in range({max(rows * columns // block, 1)}):
    at = i32(t + turn * {block})
    r = i32({within[0]})
    q = i32({within[1]})
    row = i32({row})
    column = i32({column})
    value = {held}(0)
    if row < {limits[0]} and column < {limits[1]}:
        value = {held}({loaded(element, dtype)})
    {name}_slice[i32({place})] = value
"""


@cache
def _joined(dtype: str, block: int) -> Kernel:
    """The parts of every element, added up in order."""
    held = _held(dtype)
    text = f"""
i = {FLAT}
while i < total:
    value = sums[i]
    part = i32(1)
    while part < parts:
        value = {held}(value + sums[i32(part * total + i)])
        part = i32(part + 1)
    c[i] = {_result("value", dtype)}
    i = i32(i + {STEP})
"""
    return kernel(block, {"sums": memory(held), "c": memory(dtype), "total": "int32", "parts": "int32"}, [text])
