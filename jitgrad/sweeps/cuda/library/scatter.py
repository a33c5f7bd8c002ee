"""Adding values to elements that are named by their numbers, some of them several times, and writing them there.

The numbers are sorted, each with its place, so that those of one element stand together and in order. Then one thread adds up,
or writes, what belongs to one element: results are the same from run to run, and those of NumPy, which goes through the values
in order. Where very many values belong to one element, several threads add up slices, and one joins these in order.
"""

from __future__ import annotations

from functools import cache

from jitgrad.sweeps.cuda.kernel import Kernel
from jitgrad.sweeps.cuda.library.launches import (
    FLAT,
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
    words,
)
from jitgrad.sweeps.cuda.library.sorting import ordered_places

HELD = {"float16": "float32", "bfloat16": "float32", "bool": "uint8"}
"""As what values are added up, if not as themselves."""


def index_add(dtype: str, n: int, size: int, block: int, inner: int = 1) -> list[Launch]:
    """`out[places[i]] += values[i]`: operands are n places, int64, n values, and `out`, which has `size` elements.

    With `inner`, places are those of rows, and each value is a row of so many elements. A place that does not exist is left out.
    """
    if not n * inner:
        return []
    launches, keys, at = _ordered(n, size, block, inner)
    slices = -(-n // slice_of(block))
    parts = Scratch(HELD.get(dtype, dtype), slices * inner)
    given, numbers = [Operand(1), Operand(2), keys, at, parts], [n, size, inner]
    launches.append((_add(dtype, block), blocks_over(n * inner, block), [*given, n * inner, *numbers]))
    if slices > 1:
        launches.append((_join(dtype, block), blocks_over(slices * inner, block), [*given, slices * inner, *numbers]))
    return launches


def index_put(dtype: str, n: int, size: int, block: int, inner: int = 1) -> list[Launch]:
    """`out[places[i]] = values[i]`, as `index_add`; of several values for one element the last one stays."""
    if not n * inner:
        return []
    launches, keys, at = _ordered(n, size, block, inner)
    given = [Operand(1), Operand(2), keys, at, n * inner, n, size, inner]
    return [*launches, (_put(words(dtype), block), blocks_over(n * inner, block), given)]


def slice_of(block: int) -> int:
    """How many values a slice has: so many of one element are always added one after the other, and at times twice as many."""
    return 256 if block >= 64 else 8


def _ordered(n: int, size: int, block: int, inner: int) -> tuple[list[Launch], Scratch, Scratch]:
    small(max(n, size) * inner, "adding or writing at computed places")
    return ordered_places(n, block)


def _over(index: str, lines: str) -> str:
    """Lines for every place in the order of the keys, or every slice, named `index`, and the j-th element of a row."""
    return f"""
i = {FLAT}
while i < total:
    {index} = i32(i // inner)
    j = i32(i - {index} * inner)
{indented(lines, 1)}
    i = i32(i + {STEP})
"""


_NUMBERS = dict.fromkeys(("total", "n", "size", "inner"), "int32")


def _parameters(values: str) -> dict[str, str]:
    return {"values": values, "out": values, "keys": "*uint32", "at": "*int32"}


@cache
def _put(values: str, block: int) -> Kernel:
    """The thread of the last value for an element writes it."""
    lines = """
key = u32(keys[k])
if key < u32(size) and (k == n - 1 or u32(keys[i32(k + 1)]) != key):
    out[i32(i32(key) * inner + j)] = values[i32(i32(at[k]) * inner + j)]
"""
    return kernel(block, _parameters(values) | _NUMBERS, [_over("k", lines)])


def _adding(dtype: str, block: int, index: str, lines: str) -> Kernel:
    """A kernel of lines in which `start` is what stands in `out`, `value` the k-th value, and `part` the sum of a slice."""
    held = HELD.get(dtype, dtype)
    sign = "|" if dtype == "bool" else "+"
    value = loaded("values[i32(i32(at[k]) * inner + j)]", dtype)
    text = lines.format(
        slice=slice_of(block),
        start=f"{held}({loaded('out[place]', dtype)})",
        value=f"{held}({value})",
        with_value=f"{held}(whole {sign} {value})",
        with_part=f"{held}(whole {sign} parts[i32(m * inner + j)])",
        stored=stored("whole", dtype),
    )
    return kernel(block, _parameters(memory(dtype)) | {"parts": memory(held)} | _NUMBERS, [_over(index, text)])


_CUT = "k % {slice} == 0 and k >= {slice} and u32(keys[i32(k - {slice})]) == key"
"""Whether the values of one element are cut at k: where a slice begins, if they fill the slice before that."""

_ADD = f"""
key = u32(keys[k])
if key < u32(size):
    place = i32(i32(key) * inner + j)
    first = k == 0 or u32(keys[i32(k - 1)]) != key
    cut = {_CUT}
    m = i32(k // {{slice}})
    if first or cut:
        whole = {{start}}
        if cut:
            whole = {{value}}
            k = i32(k + 1)
        while k < n and u32(keys[k]) == key and not ({_CUT}):
            whole = {{with_value}}
            k = i32(k + 1)
        if cut:
            parts[i32(m * inner + j)] = whole
        elif k == n or u32(keys[k]) != key:
            out[place] = {{stored}}
"""

_JOIN = """
last = i32(m * {slice})
key = u32(keys[last])
if m > 0 and key < u32(size) and u32(keys[i32(last - {slice})]) == key:
    if m == 1 or u32(keys[i32(last - 2 * {slice})]) != key:
        place = i32(i32(key) * inner + j)
        k = last
        while k > 0 and u32(keys[i32(k - 1)]) == key:
            k = i32(k - 1)
        whole = {start}
        while k < last:
            whole = {with_value}
            k = i32(k + 1)
        while m * {slice} < n and u32(keys[i32(m * {slice})]) == key:
            whole = {with_part}
            m = i32(m + 1)
        out[place] = {stored}
"""


@cache
def _add(dtype: str, block: int) -> Kernel:
    """The thread of the first value for an element adds all of them up, from what is there on, unless they are cut.

    Where they are cut, a thread adds those of the slice up that begins there.
    """
    return _adding(dtype, block, "k", _ADD)


@cache
def _join(dtype: str, block: int) -> Kernel:
    """For what is cut: the thread of the first cut adds up what is before it, and then the sums of slices."""
    return _adding(dtype, block, "m", _JOIN)
