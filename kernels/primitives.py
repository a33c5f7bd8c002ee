"""The few operations that Python's own operators cannot say.

A kernel is ordinary Python over these and `+ - * / abs < …`.  Called with traced values (`jitgrad.sweeps.lanes.Lane`),
each asks the value, which writes an LLVM instruction; under `@njit` Numba replaces each by the same instruction
(`jitgrad.kernels.launch`), and on plain numbers it is computed (`jitgrad.kernels.plain`).  No compiler is imported here: a
process that finds its machine code on disk needs none.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.kernels import plain

NUMBERS = (int, float, np.generic)


def primitive(traced: Callable[..., Any]) -> Callable[..., Any]:
    """What is written for traced values, which on numbers is what `plain` has under that name."""
    computed = getattr(plain, traced.__name__)

    @functools.wraps(traced)
    def call(*values: Any) -> Any:
        return computed(*values) if isinstance(values[0], NUMBERS) else traced(*values)

    return call


@primitive
def fma(x: Any, y: Any, z: Any) -> Any:
    """x * y + z, rounded once."""
    return x.fma(y, z)


@primitive
def bits(x: Any) -> Any:
    """The bits of a float as a signed integer of the same width."""
    return x.bits()


@primitive
def float_of(x: Any) -> Any:
    """The float with the bits of an integer of the same width."""
    return x.float_of()


@primitive
def with_bits(x: Any, k: Any) -> Any:
    """The float of x's type with the bits k; of a wider integer, with its low bits."""
    return k.float_of()


@primitive
def select(c: Any, a: Any, b: Any) -> Any:
    """a where c is true, else b; both are computed, and NaN or infinity in the one not taken does no harm."""
    return c.select(a, b)


@primitive
def isnan(x: Any) -> Any:
    return x.isnan()


@primitive
def sqrt(x: Any) -> Any:
    return x.sqrt()


@primitive
def floor(x: Any) -> Any:
    return x.floor()


@primitive
def ceil(x: Any) -> Any:
    return x.ceil()


@primitive
def trunc(x: Any) -> Any:
    return x.trunc()


@primitive
def rint(x: Any) -> Any:
    """To the nearest whole number, halves to the even one."""
    return x.rint()


@primitive
def copysign(x: Any, sign: Any) -> Any:
    return x.copysign(sign)


def span(first: Any, end: Any) -> Any:
    """The whole numbers from the first up to the end, without it: `range`, or a loop that is written."""
    return end.span(first) if hasattr(end, "span") else range(first, end)


@primitive
def to_f32(x: Any) -> Any:
    return x.to("f32")


@primitive
def to_f64(x: Any) -> Any:
    return x.to("f64")


@primitive
def to_i32(x: Any) -> Any:
    """A float towards zero, clamped to the range; an integer modulo 2**32."""
    return x.to("i32")


@primitive
def to_i64(x: Any) -> Any:
    """A float towards zero, clamped to the range; an integer with its sign."""
    return x.to("i64")


@primitive
def low_product(x: Any, y: Any) -> Any:
    """The product, in 64 bits, of the lower halves of two integers of 64 bits, which have no sign."""
    return (x & 0xFFFFFFFF) * (y & 0xFFFFFFFF)


@primitive
def rare_sin(c: Any, x: Any, fast: Any) -> Any:
    """The C library's sin(x) where c is true, else `fast`; costs a test where c is true nowhere."""
    return x.rarely(c, "sin", fast)


@primitive
def rare_cos(c: Any, x: Any, fast: Any) -> Any:
    return x.rarely(c, "cos", fast)


@primitive
def rare_tan(c: Any, x: Any, fast: Any) -> Any:
    return x.rarely(c, "tan", fast)


@primitive
def rare_lgamma(c: Any, x: Any, fast: Any) -> Any:
    return x.rarely(c, "lgamma", fast)


@primitive
def rare_fmod(c: Any, x: Any, y: Any, fast: Any) -> Any:
    return x.rarely(c, "fmod", fast, y)
