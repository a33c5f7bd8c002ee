"""The few operations that Python's own operators cannot say.

A kernel is ordinary Python over these and `+ - * / abs < …`.  Called with traced values (`jitgrad.sweeps.lanes.Lane`),
each asks the value, which writes an LLVM instruction; under `@njit` Numba replaces each by the same instruction
(`jitgrad.kernels.launch`).  Nothing is imported here: a process that finds its machine code on disk needs no compiler.
"""

from __future__ import annotations

from typing import Any


def fma(x: Any, y: Any, z: Any) -> Any:
    """x * y + z, rounded once."""
    return x.fma(y, z)


def bits(x: Any) -> Any:
    """The bits of a float as a signed integer of the same width."""
    return x.bits()


def float_of(x: Any) -> Any:
    """The float with the bits of an integer of the same width."""
    return x.float_of()


def with_bits(x: Any, k: Any) -> Any:
    """The float of x's type with the bits k; of a wider integer, with its low bits."""
    return k.float_of()


def select(c: Any, a: Any, b: Any) -> Any:
    """a where c is true, else b; both are computed, and NaN or infinity in the one not taken does no harm."""
    return c.select(a, b)


def isnan(x: Any) -> Any:
    return x.isnan()


def sqrt(x: Any) -> Any:
    return x.sqrt()


def floor(x: Any) -> Any:
    return x.floor()


def ceil(x: Any) -> Any:
    return x.ceil()


def trunc(x: Any) -> Any:
    return x.trunc()


def rint(x: Any) -> Any:
    """To the nearest whole number, halves to the even one."""
    return x.rint()


def copysign(x: Any, sign: Any) -> Any:
    return x.copysign(sign)


def to_f32(x: Any) -> Any:
    return x.to("f32")


def to_f64(x: Any) -> Any:
    return x.to("f64")


def to_i32(x: Any) -> Any:
    """A float towards zero, clamped to the range; an integer modulo 2**32."""
    return x.to("i32")


def to_i64(x: Any) -> Any:
    """A float towards zero, clamped to the range; an integer with its sign."""
    return x.to("i64")


def rare_sin(c: Any, x: Any, fast: Any) -> Any:
    """The C library's sin(x) where c is true, else `fast`; costs a test where c is true nowhere."""
    return x.rarely(c, "sin", fast)


def rare_cos(c: Any, x: Any, fast: Any) -> Any:
    return x.rarely(c, "cos", fast)


def rare_tan(c: Any, x: Any, fast: Any) -> Any:
    return x.rarely(c, "tan", fast)


def rare_lgamma(c: Any, x: Any, fast: Any) -> Any:
    return x.rarely(c, "lgamma", fast)
