"""What the names in the texts of kernels mean in the simulator: Python and NumPy, one number at a time.

Mathematics is that of the op table, so a kernel is held against what its operation means. What only kernels say (`fma`, `bits`)
is computed by `jitgrad.kernels.plain`. Indices and words of bits are plain ints: they are quicker than NumPy's, and a value that
does not fit is seen. Nothing here imports Numba.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from jitgrad.kernels import plain, primitives, scalar
from jitgrad.ops.table import TABLE

FLOATS = {"float32": np.float32, "float64": np.float64, "half": np.float16, "boolean": np.bool_}
WHOLE = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
QUIET, HIGH = 0x40, 0x7F800000
"""The bit of a bfloat16 that says that a nan is no error, and a float32 that is infinite, as a word."""


def _index(name: str, bits: int) -> Callable[[Any], int]:
    """An index as a plain int. A word without sign is taken for one with it, as on a device; any other number has to fit."""
    beyond, unsigned = 1 << (bits - 1), np.dtype(f"uint{bits}").type

    def index(x: Any) -> int:
        i = int(x)
        if -beyond <= i < beyond:
            return i
        if x.__class__ is unsigned:
            return i - 2 * beyond
        raise OverflowError(f"{name}({i}): an index beyond {bits} bits, which a device would cut off")

    index.__name__ = name
    return index


def _word(name: str, bits: int) -> Callable[[Any], int]:
    """A number without sign, modulo 2**bits, as a plain int."""
    mask = (1 << bits) - 1

    def word(x: Any) -> int:
        return int(x) & mask

    word.__name__ = name
    return word


class Whole:
    """A type of whole numbers: called, it makes NumPy's numbers of what it is given, modulo 2**bits, as a device does."""

    def __init__(self, name: str) -> None:
        self.dtype = np.dtype(name)  # which makes it a dtype for NumPy
        self._type = self.dtype.type
        self._mask = 2 ** (8 * self.dtype.itemsize) - 1

    def __call__(self, x: Any) -> Any:
        try:
            return self._type(x)
        except (OverflowError, ValueError):
            if x.__class__ is not int:  # a float64 of Python's that is nan or too large
                return np.asarray(x).astype(self.dtype)[()]
            return np.uint64(x & self._mask).astype(self.dtype)

    def __repr__(self) -> str:
        return self.dtype.name


def from_bf16(word: Any) -> Any:
    """The float32 of a bfloat16, which is its upper half."""
    return np.uint32(int(word) << 16).view(np.float32)


def to_bf16(x: Any) -> Any:
    """The nearest bfloat16 of a float32, of two the even one, as a word of 16 bits; nan stays nan."""
    word = int(np.float32(x).view(np.uint32))
    if word & 0x7FFFFFFF > HIGH:
        return np.uint16(word >> 16 | QUIET)
    return np.uint16(word + 0x7FFF + (word >> 16 & 1) >> 16)


def bfloat16(x: Any) -> Any:
    """A float32, rounded to a bfloat16."""
    return from_bf16(to_bf16(x))


def float16(x: Any) -> Any:
    """A number, rounded to a float16, as a float32."""
    return np.float32(np.float16(x))


def select(c: Any, a: Any, b: Any) -> Any:
    """a or b, of the narrower of their types."""
    if a.__class__ is b.__class__:
        return a if c else b
    return plain.select(c, a, b)


def towards_zero_32(x: Any) -> Any:
    """What NumPy makes of a float on x86: of nan, and of what is beyond, the smallest."""
    return np.int32(x) if abs(x) < 2147483648.0 else np.int32(-2147483648)


def towards_zero_64(x: Any) -> Any:
    return np.int64(x) if abs(x) < 9223372036854775808.0 else np.int64(-9223372036854775808)


def _meaning(name: str) -> Callable[..., Any]:
    """What the op table says an operation is, for single numbers: of the type of the first, as kernels are."""
    run = TABLE[name].run
    if isinstance(run, np.ufunc):
        return run

    def compute(*xs: Any) -> Any:
        type, xs = plain.typed(xs)
        return (np.float32 if type == "f32" else np.float64)(run(*xs))

    compute.__name__ = name
    return compute


def _primitives() -> dict[str, Callable[..., Any]]:
    """Those of the kernels: as one of NumPy's functions where `plain` does no more than call it."""
    names = [name for name in vars(primitives) if hasattr(plain, name) and callable(getattr(plain, name)) and name[0].islower()]
    direct = {name: getattr(np, name) for name in ("sqrt", "floor", "ceil", "trunc", "rint", "isnan")}
    return {name: getattr(plain, name) for name in names} | direct


@cache
def namespace() -> dict[str, Any]:
    """The global names of the texts of kernels: `exec(text, dict(namespace()))`."""
    typed = {f"{name}_{type}": kernel for name, kernels in scalar.KERNELS.items() for type, kernel in kernels.items()}
    of_floats = {name for name, kernels in scalar.KERNELS.items() if "f32" in kernels}
    means = {name: _meaning(name) if name in TABLE and name in of_floats else k for name, k in scalar.GENERIC.items()}
    own = (from_bf16, to_bf16, bfloat16, float16, select, towards_zero_32, towards_zero_64)
    return {
        "np": np,
        **typed,
        **means,
        **_primitives(),
        **{name: Whole(name) for name in WHOLE},
        **FLOATS,
        "i32": _index("i32", 32),
        "i64": _index("i64", 64),
        "u32": _word("u32", 32),
        "u64": _word("u64", 64),
        **{f.__name__: f for f in own},
        "whole_remainder": np.remainder,
        "whole_quotient": np.floor_divide,
    }
