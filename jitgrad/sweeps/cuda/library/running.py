"""Running sums along one dimension, `z[k] = x[0] + … + x[k]`.

The threads of a block add up neighbouring elements in shared memory, in as many steps as their number has bits (W. Hillis and
G. Steele, Data parallel algorithms, CACM 1986), and carry the sum on to the next. A long line is divided between blocks: these
first add their parts up, the sums of parts are added up in their turn, and each block begins with that of all before. Many
short lines have a thread each. All of this depends on sizes alone, so that results are the same from run to run.

Floats are held as float64, as on the CPU; whole numbers in 64 bits.
"""

from __future__ import annotations

from functools import cache

from jitgrad.sweeps.cuda.kernel import Kernel
from jitgrad.sweeps.cuda.library.launches import (
    FLAT,
    FLOATS,
    STEP,
    Launch,
    Operand,
    Scratch,
    blocks_over,
    kernel,
    loaded,
    memory,
    small,
    stored,
)

SHORT = 16
"""Elements of a line that one thread adds up rather than a block."""
TURNS = 16
"""So many elements a thread are a part of a line at least, if it is divided."""
PARTS = 1024
"""Blocks among which a line is divided at most, and lines from which on there is enough to do without."""


def cumsum(dtype: str, outer: int, n: int, inner: int, block: int) -> list[Launch]:
    """The running sums along the middle one of three dimensions; operands x and the result, which may be the same memory."""
    lines = outer * inner
    if not small(lines * n, "running sums"):
        return []
    x, out = Operand(0), Operand(1)
    if n <= SHORT or (inner > 1 and 4 * lines >= n):
        return [(_by_threads(dtype, block), blocks_over(lines, block), [x, out, lines, n, inner])]
    parts = min(PARTS, -(-n // (TURNS * block))) if lines < PARTS else 1
    size = -(-n // parts)
    parts = -(-n // size)
    where = [n, inner, size, parts]
    if parts == 1:
        return [(_by_blocks(dtype, block), lines, [x, out, *where])]
    sums = Scratch(_held(dtype), lines * parts)
    before = (_by_blocks(sums.dtype, block), lines, [sums, sums, parts, 1, parts, 1])
    return [
        (_part_sums(dtype, block), lines * parts, [x, sums, *where]),
        before,
        (_by_blocks(dtype, block, True), lines * parts, [x, out, sums, *where]),
    ]


def _held(dtype: str) -> str:
    return "float64" if dtype in FLOATS else "uint64" if dtype.startswith("uint") else "int64"


def _nothing(held: str) -> str:
    """What changes nothing when it is added: for floats that is -0.0, as -0.0 + 0.0 would be 0.0."""
    return "float64(-0.0)" if held == "float64" else f"{held}(0)"


@cache
def _by_threads(dtype: str, block: int) -> Kernel:
    held = _held(dtype)
    value = loaded("x[i32(start + k * inner)]", dtype)
    text = f"""
i = {FLAT}
while i < lines:
    start = i32(i32(i // inner) * n * inner + i32(i % inner))
    total = {_nothing(held)}
    k = i32(0)
    while k < n:
        total = {held}(total + {held}({value}))
        z[i32(start + k * inner)] = {stored("total", dtype)}
        k = i32(k + 1)
    i = i32(i + {STEP})
"""
    return kernel(block, {"x": memory(dtype), "z": memory(dtype)} | dict.fromkeys(("lines", "n", "inner"), "int32"), [text])


_PART = """
t = i32(cuda.threadIdx.x)
line = i32(i32(cuda.blockIdx.x) // parts)
part = i32(i32(cuda.blockIdx.x) % parts)
start = i32(i32(line // inner) * n * inner + i32(line % inner))
k = i32(part * size)
end = i32(min(n, i32(k + size)))
"""
_WHERE = dict.fromkeys(("n", "inner", "size", "parts"), "int32")


@cache
def _part_sums(dtype: str, block: int) -> Kernel:
    """A block adds up its part of a line: a thread every so manieth element, and then all in a tree."""
    held, lines = _held(dtype), [_PART]
    value = loaded("x[i32(start + k * inner)]", dtype)
    lines.append(f"""
shared = cuda.shared.array({block}, {held})
total = {_nothing(held)}
k = i32(k + t)
while k < end:
    total = {held}(total + {held}({value}))
    k = i32(k + {block})
shared[t] = total
""")
    half = block // 2
    while half:
        lines.append(f"cuda.syncthreads()\nif t < {half}:\n    shared[t] = {held}(shared[t] + shared[t + {half}])")
        half //= 2
    lines.append("if t == 0:\n    sums[i32(cuda.blockIdx.x)] = shared[0]")
    return kernel(block, {"x": memory(dtype), "sums": memory(held)} | _WHERE, lines)


@cache
def _by_blocks(dtype: str, block: int, goes_on: bool = False) -> Kernel:
    """A block goes along its part of a line, as many elements at once as it has threads.

    If it `goes_on`, it begins with the sum of the parts before.

    Every step reads one half of shared memory and writes the other, so that one barrier a step is enough.
    """
    held = _held(dtype)
    value, last = loaded("x[i32(start + at * inner)]", dtype), (block.bit_length() - 1) % 2 * block
    # The sums of the parts of a line are running sums themselves by now.
    carry = f"sums[i32(line * parts + part - 1)] if part > 0 else {_nothing(held)}" if goes_on else _nothing(held)
    text = f"""
shared = cuda.shared.array({2 * block}, {held})
carry = {carry}
while k < end:
    at = i32(k + t)
    value = {_nothing(held)}
    if at < end:
        value = {held}({value})
    shared[t] = value
"""
    lines, here = [_PART, text], 0  # those of the loop are indented already
    for step in (1 << bit for bit in range(block.bit_length() - 1)):
        there = block - here
        lines.append(f"""
    cuda.syncthreads()
    value = shared[t + {here}]
    if t >= {step}:
        value = {held}(shared[t - {step} + {here}] + value)
    shared[t + {there}] = value
""")
        here = there
    lines.append(f"""
    cuda.syncthreads()
    value = {held}(carry + value)
    if at < end:
        z[i32(start + at * inner)] = {stored("value", dtype)}
    carry = {held}(carry + shared[{last + block - 1}])
    cuda.syncthreads()
    k = i32(k + {block})
""")
    before = {"sums": memory(held)} if goes_on else {}
    return kernel(block, {"x": memory(dtype), "z": memory(dtype)} | before | _WHERE, lines)
