"""The primitives on single numbers: what a debugger steps through, and what kernels are outside of `@njit`.

They give the bits of the instructions that compiled kernels have, at some hundred times the cost.
"""

from __future__ import annotations

import ctypes
import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from fractions import Fraction  # which is imported where it is needed: it takes milliseconds

INTEGERS = {"float32": np.int32, "float64": np.int64}
FLOATS = {"int32": np.float32, "int64": np.float64}


def dtype_of(x: Any) -> np.dtype:
    """That of a number; Python's have 64 bits."""
    return x.dtype if isinstance(x, np.generic) else np.dtype(np.float64 if isinstance(x, float) else np.int64)


def fma(x: Any, y: Any, z: Any) -> Any:
    """x * y + z, rounded once: exactly, as a fraction, where all three are finite."""
    from fractions import Fraction

    dtype = dtype_of(x)
    if not (math.isfinite(x) and math.isfinite(y) and math.isfinite(z)):
        return dtype.type(x * y + z)
    exact = Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
    if exact == 0:
        return dtype.type(float(x) * float(y) + float(z)) if dtype == np.float32 else dtype.type(x * y + z)
    return rounded(exact, dtype)


def rounded(exact: Fraction, dtype: np.dtype) -> Any:
    """The nearest number of a dtype, of two as near the even one."""
    from fractions import Fraction

    try:
        near = float(exact)  # right for float64
    except OverflowError:
        return dtype.type(math.inf if exact > 0 else -math.inf)
    if dtype == np.float64:
        return np.float64(near)
    # A float32 is rounded from a float64 whose last bit says that something was cut off, lest it be rounded twice.
    if Fraction(near) != exact:
        inward = near if abs(Fraction(near)) < abs(exact) else math.nextafter(near, 0.0)
        near = float(np.int64(np.float64(inward).view(np.int64) | 1).view(np.float64))
    return np.float32(near)


def bits(x: Any) -> Any:
    dtype = dtype_of(x)
    return dtype.type(x).view(INTEGERS[dtype.name])


def float_of(x: Any) -> Any:
    dtype = dtype_of(x)
    return dtype.type(x).view(FLOATS[dtype.name])


def with_bits(x: Any, k: Any) -> Any:
    dtype = dtype_of(x)
    return np.int64(k).astype(INTEGERS[dtype.name]).view(dtype)


def select(c: Any, a: Any, b: Any) -> Any:
    """a or b, of the narrower of their types: a number of Python's takes that of the other."""
    kinds = [dtype_of(v) for v in (a, b)]
    kind = min(kinds, key=lambda dtype: (dtype.kind in "iu", dtype.itemsize))
    return kind.type(a if c else b)


def isnan(x: Any) -> Any:
    return x != x


def sqrt(x: Any) -> Any:
    return np.sqrt(x)


def floor(x: Any) -> Any:
    return np.floor(x)


def ceil(x: Any) -> Any:
    return np.ceil(x)


def trunc(x: Any) -> Any:
    return np.trunc(x)


def rint(x: Any) -> Any:
    return np.rint(x)


def copysign(x: Any, sign: Any) -> Any:
    return np.copysign(x, dtype_of(x).type(sign))


def to(x: Any, name: str) -> Any:
    """A float towards zero, clamped to the range (0 for nan); an integer modulo 2**bits."""
    dtype = np.dtype({"i": "int", "f": "float"}[name[0]] + name[1:])
    if dtype.kind == "f":
        return dtype.type(x)
    if dtype_of(x).kind != "f":
        return np.int64(x).astype(dtype)
    limits = np.iinfo(dtype)
    return dtype.type(0 if x != x else min(max(int(max(min(float(x), 1e300), -1e300)), limits.min), limits.max))


def to_f32(x: Any) -> Any:
    return to(x, "f32")


def to_f64(x: Any) -> Any:
    return to(x, "f64")


def to_i32(x: Any) -> Any:
    return to(x, "i32")


def to_i64(x: Any) -> Any:
    return to(x, "i64")


def low_product(x: Any, y: Any) -> Any:
    return np.uint64((int(x) & 0xFFFFFFFF) * (int(y) & 0xFFFFFFFF)).view(np.int64)


def rare_sin(c: Any, x: Any, fast: Any) -> Any:
    return libm("sin", x) if c else fast


def rare_cos(c: Any, x: Any, fast: Any) -> Any:
    return libm("cos", x) if c else fast


def rare_tan(c: Any, x: Any, fast: Any) -> Any:
    return libm("tan", x) if c else fast


def rare_lgamma(c: Any, x: Any, fast: Any) -> Any:
    return libm("lgamma", x) if c else fast


def rare_fmod(c: Any, x: Any, y: Any, fast: Any) -> Any:
    return libm("fmod", x, y) if c else fast


def libm(name: str, *xs: Any) -> Any:
    """The C library's function of float64."""
    function = getattr(ctypes.CDLL("ucrtbase" if os.name == "nt" else None), name)
    function.restype, function.argtypes = ctypes.c_double, [ctypes.c_double] * len(xs)
    return dtype_of(xs[0]).type(function(*map(float, xs)))


def typed(xs: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """What a kernel of floats takes: float32, or float64 for all that is not; and how it is called by that type."""
    single = all(dtype_of(x) == np.float32 for x in xs)
    dtype = np.float32 if single else np.float64
    return "f32" if single else "f64", tuple([dtype(x) for x in xs])
