"""Sorting along the last dimension: values, and where they were.

A bitonic network (K. Batcher, Sorting networks and their applications, AFIPS 1968) compares pairs at places that depend on the
length alone. What it puts in order are pairs of a key and a place: no two are equal, so that the order is that of a stable
sort.

Each line is filled up to a power of two. What fits there is sorted in shared memory, several lines a block if they are short;
longer lines are compared in global memory as long as pairs are further apart than that.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from jitgrad.sweeps.cuda.kernel import Kernel
from jitgrad.sweeps.cuda.library.keys import PLACE, Key, key_of
from jitgrad.sweeps.cuda.library.launches import (
    FLAT,
    STEP,
    Launch,
    Operand,
    Scratch,
    blocks_over,
    indented,
    kernel,
    small,
    two_power,
    words,
)


class Padded(NamedTuple):
    """Lines of n values in memory for a power of two of them each, in the order of a block's two places a thread."""

    lines: int
    n: int
    block: int

    @property
    def width(self) -> int:
        return two_power(self.n)

    @property
    def shift(self) -> int:
        return self.width.bit_length() - 1

    @property
    def total(self) -> int:
        return self.lines * self.width

    @property
    def chunks(self) -> int:
        return -(-self.total // (2 * self.block))


def sort(dtype: str, lines: int, n: int, descending: bool, block: int) -> list[Launch]:
    """Each of some lines of n values put in order, equal ones as they were; operands x, values, and places, which are int64.

    The results are not the memory of x.
    """
    if not lines * n:
        return []
    shape = _padded(lines, n, block)
    given = [Operand(0), Operand(1), Operand(2)]
    if shape.width <= 2 * block:
        return [(_chunks(dtype, descending, block, True), shape.chunks, [*given, lines, n, shape.shift, shape.width])]
    launches, _, at = _in_scratch(shape, key_of(dtype, descending), _chunks(dtype, descending, block, False))
    deliver = _deliver(dtype, block), blocks_over(lines * n, block), [*given, at, lines * n, n, shape.shift]
    return [*launches, deliver]


def ordered_places(n: int, block: int) -> tuple[list[Launch], Scratch, Scratch]:
    """Launches that put n numbers of elements, operand 0, in order: the numbers as uint32, and where they were as int32."""
    return _in_scratch(_padded(1, n, block), PLACE, _chunks(None, False, block, False))


def _padded(lines: int, n: int, block: int) -> Padded:
    shape = Padded(lines, n, block)
    small(shape.total + 2 * block, "a sort (each line is filled up to a power of two)")
    return shape


def _in_scratch(shape: Padded, key: Key, chunks: Kernel) -> tuple[list[Launch], Scratch, Scratch]:
    """Launches that leave the keys and places of all lines in order in memory, a line every `width` elements."""
    block, pairs = shape.block, shape.total // 2
    keys, at = Scratch(key.kind, shape.total), Scratch("int32", shape.total)
    size, sizes = 2 * block, [shape.lines, shape.n, shape.shift]
    launches: list[Launch] = [(chunks, shape.chunks, [Operand(0), keys, at, *sizes, min(size, shape.width)])]
    while size < shape.width:
        size *= 2
        step = size // 2
        while step > block:
            launches.append((_far(key.word, block), blocks_over(pairs, block), [keys, at, pairs, shape.shift, size, step]))
            step //= 2
        launches.append((_near(key.word, block), shape.chunks, [keys, at, shape.shift, size]))
    return launches, keys, at


_PAIR = """
i = i32(i32(i32({number} & i32(-step)) << 1) | i32({number} & i32(step - 1)))
j = i32(i + step)
c = {word}({keys}[i])
d = {word}({keys}[j])
p = i32({at}[i])
q = i32({at}[j])
falls = i32({first}i & inside & size) != 0
if (c > d or (c == d and p > q)) != falls:
    {keys}[i] = d
    {keys}[j] = c
    {at}[i] = q
    {at}[j] = p
"""
"""The pair of a number, `step` apart, put in order: rising where the place within the line has no bit of `size`."""

_SHARED = """
key = cuda.shared.array({places}, {kind})
place = cuda.shared.array({places}, int32)
t = i32(cuda.threadIdx.x)
first = i32(i32(cuda.blockIdx.x) * {places})
inside = i32((1 << shift) - 1)
"""


def _steps(word: str) -> str:
    """Lines that compare pairs in shared memory, `step` apart, then half of it, and so on."""
    pair = _PAIR.format(number="t", word=word, keys="key", at="place", first="first + ")
    return f"""
while step > 0:
    cuda.syncthreads()
{indented(pair, 1)}
    step = i32(step >> 1)
"""


def _shared(kind: str, block: int) -> str:
    return _SHARED.format(places=2 * block, kind=kind)


def _each(block: int, lines: str) -> str:
    """Lines for both places of a thread: `p` in the block, `g` among all."""
    return f"""
for half in range(2):
    p = i32(t + half * {block})
    g = i32(first + p)
{indented(lines, 1)}
"""


@cache
def _chunks(dtype: str | None, descending: bool, block: int, whole: bool) -> Kernel:
    """Sorts 2 * block values in shared memory: `whole` lines, whose values and places it delivers, or parts that rise and fall.

    `dtype` is None for numbers of elements.
    """
    key = PLACE if dtype is None else key_of(dtype, descending)
    read = f"""
line = i32(g >> shift)
k = i32(g & inside)
key[p] = {key.largest}
place[p] = k
if line < lines and k < n:
    w = {key.word}(x[i32(line * n + k)])
{indented(chr(10).join(key.lines), 1)}
    key[p] = c
"""
    stages = f"""
size = i32(2)
while size <= top:
    step = i32(size >> 1)
{indented(_steps(key.word), 1)}
    size = i32(size << 1)
cuda.syncthreads()
"""
    delivered = """
line = i32(g >> shift)
k = i32(g & inside)
if line < lines and k < n:
    s = i32(place[p])
    values[i32(line * n + k)] = x[i32(line * n + s)]
    places[i32(line * n + k)] = int64(s)
"""
    kept = "if i32(g >> shift) < lines:\n    keys[g] = key[p]\n    places[g] = place[p]"
    out = {"values": key.memory, "places": "*int64"} if whole else {"keys": f"*{key.kind}", "places": "*int32"}
    parameters = {"x": key.memory} | out | dict.fromkeys(("lines", "n", "shift", "top"), "int32")
    lines = [_shared(key.kind, block), _each(block, read), stages, _each(block, delivered if whole else kept)]
    return kernel(block, parameters, lines)


@cache
def _far(word: str, block: int) -> Kernel:
    """One comparison of every pair, in global memory."""
    pair = _PAIR.format(number="n", word=word, keys="keys", at="places", first="")
    lines = f"""
inside = i32((1 << shift) - 1)
n = {FLAT}
while n < pairs:
{indented(pair, 1)}
    n = i32(n + {STEP})
"""
    parameters = {"keys": f"*uint{word[1:]}", "places": "*int32"} | dict.fromkeys(("pairs", "shift", "size", "step"), "int32")
    return kernel(block, parameters, [lines])


@cache
def _near(word: str, block: int) -> Kernel:
    """All comparisons that are left of those of one `size`, in shared memory."""
    kind = f"uint{word[1:]}"
    lines = [
        _shared(kind, block),
        _each(block, "key[p] = keys[g]\nplace[p] = places[g]"),
        f"step = i32({block})",
        _steps(word),
        "cuda.syncthreads()",
        _each(block, "keys[g] = key[p]\nplaces[g] = place[p]"),
    ]
    return kernel(block, {"keys": f"*{kind}", "places": "*int32", "shift": "int32", "size": "int32"}, lines)


@cache
def _deliver(dtype: str, block: int) -> Kernel:
    """The values and places of lines that are in order in memory."""
    text = f"""
i = {FLAT}
while i < total:
    line = i32(i // n)
    s = i32(at[i32(i32(line << shift) + i32(i - line * n))])
    values[i] = x[i32(line * n + s)]
    places[i] = int64(s)
    i = i32(i + {STEP})
"""
    parameters = {"x": words(dtype), "values": words(dtype), "places": "*int64", "at": "*int32"}
    return kernel(block, parameters | dict.fromkeys(("total", "n", "shift"), "int32"), [text])
