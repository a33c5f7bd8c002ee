"""Random numbers from Philox4x32-10 (J. Salmon, M. Moraes, R. Dror, D. Shaw, Parallel random numbers: as easy as 1, 2, 3, SC
2011).

Four words are a function of a counter and a key, and of nothing else: any thread computes any of them, and the CPU the same
ones. The seed is the key. The counters of a call begin at `offset`; `counters` says how many it uses, by which the next call
goes on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from jitgrad.sweeps.cuda.kernel import Kernel
from jitgrad.sweeps.cuda.library.launches import (
    BITS,
    FLAT,
    STEP,
    Launch,
    Operand,
    blocks_over,
    indented,
    kernel,
    memory,
    small,
    words,
)

ROUNDS = 10
MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
STEPS = 0x9E3779B9, 0xBB67AE85
"""What the two words of the key grow by from round to round: the golden ratio and √3 - 1."""


def philox(seed: int, offset: int, n: int) -> np.ndarray:
    """n words, uint32, four for every counter from `offset` on."""
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    counter = np.arange(-(-n // 4), dtype=np.uint64) + np.uint64(offset % 2**64)
    zero = np.zeros_like(counter)
    words = [counter & low, counter >> half, zero, zero]
    keys = [seed % 2**32, seed % 2**64 >> 32]
    first, second = map(np.uint64, MULTIPLIERS)
    for _ in range(ROUNDS):
        p, q = words[0] * first, words[2] * second
        words = [(q >> half) ^ words[1] ^ np.uint64(keys[0]), q & low, (p >> half) ^ words[3] ^ np.uint64(keys[1]), p & low]
        keys = [(key + step) % 2**32 for key, step in zip(keys, STEPS)]
    return np.stack(words, axis=1).astype(np.uint32).ravel()[:n]


def counters(dtype: str, n: int) -> int:
    """How many counters n numbers of a dtype use: floats of up to 32 bits have a word each, and all others two."""
    return -(-n // _each(dtype))


def uniform(dtype: str, n: int, seed: int, offset: int, block: int) -> list[Launch]:
    """n numbers from 0 up to 1, which is not reached; operand 0 is the result. Each is a multiple of a power of two."""
    return _launches(_kernel("uniform", dtype, block), dtype, n, seed, offset, [])


def normal(dtype: str, n: int, seed: int, offset: int, block: int) -> list[Launch]:
    """n numbers of the standard normal distribution, two from two uniform ones (G. Box and M. Muller, 1958)."""
    return _launches(_kernel("normal", dtype, block), dtype, n, seed, offset, [])


def integers(dtype: str, n: int, low: int, high: int, seed: int, offset: int, block: int) -> list[Launch]:
    """n whole numbers from `low` up to `high`, which is not reached.

    They are remainders of 64 bits: the fewer of these the span takes, the closer all are to equally likely.
    """
    lowest, beyond = (0, 2) if dtype == "bool" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max) + 1)
    if not lowest <= low < high <= beyond:
        raise RuntimeError(
            f"whole numbers from {low} up to {high}, which is not reached, in {dtype}: it holds {lowest} to {beyond - 1}"
        )
    span = (high - low) % 2**64  # 0 stands for all of 64 bits
    return _launches(_kernel("integers", dtype, block), dtype, n, seed, offset, [np.uint64(low % 2**64), np.uint64(span)])


def _launches(made: Kernel, dtype: str, n: int, seed: int, offset: int, more: Sequence[Any]) -> list[Launch]:
    if not n:
        return []
    small(n + 4, "random numbers")
    halves = [np.uint32(part) for x in (seed, offset) for part in (x % 2**32, x % 2**64 >> 32)]
    return [(made, blocks_over(counters(dtype, n), made.block), [Operand(0), n, *halves, *more])]


def _each(dtype: str) -> int:
    """Numbers that four words are enough for."""
    return 4 if dtype in ("float32", "float16", "bfloat16") else 2


_WORDS = f"""
counter = u64(u64(i) + u64(u64(u64(offset_high) << u64(32)) | u64(offset_low)))
c0 = u32(counter)
c1 = u32(counter >> u64(32))
c2 = u32(0)
c3 = u32(0)
k0 = u32(seed_low)
k1 = u32(seed_high)
for turn in range({ROUNDS}):
    p = u64(u64({MULTIPLIERS[0]}) * u64(c0))
    q = u64(u64({MULTIPLIERS[1]}) * u64(c2))
    c0 = u32(u32(q >> u64(32)) ^ c1 ^ k0)
    c1 = u32(q)
    c2 = u32(u32(p >> u64(32)) ^ c3 ^ k1)
    c3 = u32(p)
    k0 = u32(u64(k0) + u64({STEPS[0]}))
    k1 = u32(u64(k1) + u64({STEPS[1]}))
"""


@cache
def _kernel(what: str, dtype: str, block: int) -> Kernel:
    """A thread makes four words at a time, and the numbers of them."""
    lines, values = {"uniform": _uniform, "normal": _normal, "integers": _integers}[what](dtype)
    each = len(values)
    for k, value in enumerate(values):
        lines += f"\nif i32({each} * i + {k}) < n:\n    out[i32({each} * i + {k})] = {value}"
    text = f"""
i = {FLAT}
while i < i32(i32(n + {each - 1}) // {each}):
{indented(_WORDS, 1)}
{indented(lines, 1)}
    i = i32(i + {STEP})
"""
    more = {"low": "uint64", "span": "uint64"} if what == "integers" else {}
    numbers = dict.fromkeys(("seed_low", "seed_high", "offset_low", "offset_high"), "uint32") | more
    return kernel(block, {"out": words(dtype) if more else memory(dtype), "n": "int32"} | numbers, [text])


def _power(n: int, dtype: str) -> str:
    return f"{dtype}({2.0**n!r})"


_DIGITS = {"float16": 11, "bfloat16": 8, "float32": 24}
"""Bits of a word that a number takes: as many as it has digits, so that nothing is rounded, to 1 least of all."""


def _uniform(dtype: str) -> tuple[str, list[str]]:
    if dtype == "float64":
        return "", [_double(0), _double(2)]
    digits = _DIGITS[dtype]
    values = [f"float32(u32(c{k} >> u32({32 - digits}))) * {_power(-digits, 'float32')}" for k in range(4)]
    return "", [_rounded(value, dtype) for value in values]


def _double(k: int) -> str:
    """53 bits of two words."""
    return f"float64(u64(u64(u64(c{k} >> u32(5)) << u64(26)) | u64(c{k + 1} >> u32(6)))) * {_power(-53, 'float64')}"


def _rounded(value: str, dtype: str) -> str:
    return {"float16": f"half({value})", "bfloat16": f"to_bf16({value})"}.get(dtype, value)


def _normal(dtype: str) -> tuple[str, list[str]]:
    """A radius from a number that is never 0, and an angle."""
    if dtype == "float64":
        pairs, held = [(f"{_double(0)} + {_power(-54, 'float64')}", _double(2))], "float64"
    else:
        held, unit, middle = "float32", _power(-32, "float32"), _power(-33, "float32")
        pairs = [(f"float32(c{k}) * {unit} + {middle}", f"float32(c{k + 1}) * {unit}") for k in (0, 2)]
    lines, values = [], []
    for k, (distance, turn) in enumerate(pairs):
        lines += [f"r{k} = sqrt({held}(-2.0) * log({distance}))", f"a{k} = {held}({2 * math.pi!r}) * ({turn})"]
        values += [_rounded(f"r{k} * cos(a{k})", dtype), _rounded(f"r{k} * sin(a{k})", dtype)]
    return "\n".join(lines), values


def _integers(dtype: str) -> tuple[str, list[str]]:
    """What they are in two's complement, as words of their size: `low` is, too."""
    lines = []
    for k in range(2):
        lines += [
            f"w{k} = u64(u64(u64(c{2 * k}) << u64(32)) | u64(c{2 * k + 1}))",
            f"if u64(span) != u64(0):\n    w{k} = u64(w{k} % u64(span))",
            f"w{k} = u64(w{k} + u64(low))",
        ]
    bits = BITS[dtype]
    made = {8: "uint8(u32(u32({}) & u32(255)))", 16: "uint16(u32(u32({}) & u32(65535)))", 32: "u32({})", 64: "u64({})"}[bits]
    return "\n".join(lines), [made.format(f"w{k}") for k in range(2)]
