"""Whole numbers without sign that are in the order of the values of a dtype, made of their bits: what a sort compares."""

from __future__ import annotations

from typing import NamedTuple

from jitgrad.sweeps.cuda.library.launches import BITS, FLOATS, words

INFINITE = {"float16": 0x7C00, "bfloat16": 0x7F80, "float32": 0x7F800000, "float64": 0x7FF0000000000000}


class Key(NamedTuple):
    """How a word `w` from memory of a type is made into `c`, a number of `kind`, uint32 or uint64, by lines of text."""

    memory: str
    kind: str
    lines: list[str]

    @property
    def word(self) -> str:
        """What makes a number of the kind in a text."""
        return {"uint32": "u32", "uint64": "u64"}[self.kind]

    @property
    def largest(self) -> str:
        return f"{self.word}({2 ** int(self.kind[4:]) - 1})"


PLACE = Key("*int64", "uint32", ["c = u32(w)"])
"""Numbers of elements, which are below 2**31."""


def key_of(dtype: str, descending: bool) -> Key:
    """The key of values of a dtype, or the other way round; narrow ones are compared as 32 bits.

    nan is the largest of all, whatever its sign, and 0.0 equals -0.0.
    """
    bits = BITS[dtype]
    key = Key(words(dtype), f"uint{max(bits, 32)}", [])
    word, sign = key.word, f"{key.word}({1 << (bits - 1)})"
    if dtype in FLOATS:
        # The bits of positive floats are in their order, and those of negative ones in reverse.
        key.lines.extend([
            f"m = {word}(w & {word}({2 ** (bits - 1) - 1}))",
            f"c = {word}(w | {sign})",
            "if w > m:",
            f"    c = {word}(w ^ {word}({2**bits - 1}))",
            f"if m == {word}(0):",
            f"    c = {sign}",
            f"if m > {word}({INFINITE[dtype]}):",
            f"    c = {key.largest}",
        ])  # fmt: skip
    else:
        key.lines.append(f"c = {word}(w ^ {sign})" if dtype.startswith("int") else f"c = {word}(w)")
    if descending:
        key.lines.append(f"c = {word}(c ^ {key.largest})")
    return key
