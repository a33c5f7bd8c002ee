"""The types of lanes: what they are called in LLVM and in NumPy, and how their numbers are written.

f16 half float16     i8 i16 i32 i64    signed     int8 … int64
f32 float float32    u8 u16 u32 u64    unsigned   uint8 … uint64 (the same LLVM types, other instructions)
f64 double float64   i1                bool       one byte in memory, one bit in a register
"""

from __future__ import annotations

import functools
import struct
from typing import Any

import numpy as np

from jitgrad.dtypes import ALL

WORDS = {"f16": "half", "f32": "float", "f64": "double", "i1": "i1"} | {
    f"{sign}{bits}": f"i{bits}" for sign in "iu" for bits in (8, 16, 32, 64)
}
SIZES = {"i1": 1} | {type: int(type[1:]) // 8 for type in WORDS if type != "i1"}  # bytes of an element in memory
DTYPES = {d.name: d.machine for d in ALL.values() if d.machine} | {
    f"{name}{bits}": f"{sign}{bits}" for sign, name in (("i", "int"), ("u", "uint")) for bits in (8, 16, 32, 64)
}
"""Those that tapes may have in machine code, and those that it also computes with."""

NUMPY = {type: np.dtype(name) for name, type in DTYPES.items()}


@functools.cache
def kind_of(dtype: Any) -> str:
    """What the type of a NumPy dtype is called here."""
    return DTYPES[str(dtype)]


def word_of(type: str) -> str:
    """The LLVM name of a type in memory."""
    return WORDS[kept(type)]


def spelled(type: str, lanes: int) -> str:
    """The LLVM name of a type: `float`, `<16 x float>`."""
    return WORDS[type] if lanes == 1 else f"<{lanes} x {WORDS[type]}>"


def kept(type: str) -> str:
    """The type as which a value lies in memory: a bool takes a byte."""
    return "u8" if type == "i1" else type


def suffix(type: str, lanes: int) -> str:
    """How an overloaded intrinsic spells a type in its name: f32, v16f32."""
    word = type.replace("u", "i")
    return word if lanes == 1 else f"v{lanes}{word}"


def literal(value: Any, type: str) -> str:
    """A number as exact LLVM text: the bits of a float, rounded once to its type.

    Raises `OverflowError` for an integer that does not fit and `TypeError` for a fraction in an integer type.
    """
    if type == "i1":
        return "true" if value else "false"
    if type[0] in "iu":
        whole = int(value)
        if whole != value:
            raise TypeError(f"{value!r} is not a whole number, as {type} needs")
        low, bits = (-1 if type[0] == "i" else 0), int(type[1:]) - (type[0] == "i")
        if not low << bits <= whole < 1 << bits:
            raise OverflowError(f"{value!r} does not fit in {type}")
        return str(whole)
    number = float(value)
    if type != "f64":
        code = "e" if type == "f16" else "f"
        try:
            packed = struct.pack("<" + code, number)
        except OverflowError:  # finite, but rounds to infinity
            packed = struct.pack("<" + code, float("inf") if number > 0 else float("-inf"))
        if type == "f16":
            return f"0xH{int.from_bytes(packed, 'little'):04X}"
        (number,) = struct.unpack("<f", packed)  # LLVM writes a float as the double of the same value
    return f"0x{int.from_bytes(struct.pack('<d', number), 'little'):016X}"


def type_of(number: Any) -> str:
    """The type of a number that stands alone: that of its NumPy dtype, or Python's."""
    dtype = getattr(number, "dtype", None)
    if dtype is not None:
        return DTYPES[str(dtype)]
    return "i1" if isinstance(number, bool) else "i64" if isinstance(number, int) else "f64"
