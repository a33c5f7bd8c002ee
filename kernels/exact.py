"""What is exact, to the bits that NumPy gives: division with a whole quotient, fmod, remainder and floor_divide; and nextafter.

The rounded quotient, cut off, is the whole one or one too large, as long as the whole numbers around it are numbers of the type;
what is left is then exact, by one fma. Of larger quotients the C library is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from jitgrad.kernels.common import F32, F64, Type, both, singles
from jitgrad.kernels.primitives import bits, copysign, floor, fma, rare_fmod, select, trunc, with_bits


class Exact(NamedTuple):
    t: Type
    most: Any  # from here on not all whole numbers are numbers of the type
    least: Any  # the smallest number above 0


X32 = Exact(F32, *singles(2.0**24, 2.0**-149))
X64 = Exact(F64, 2.0**53, 2.0**-1074)


def fmod(x: Any, y: Any, c: Any) -> Any:
    t, a, b = c.t, abs(x), abs(y)
    quotient = trunc(a / b)
    rest = fma(-quotient, b, a)
    rest = select(rest < t.zero, rest + b, rest)
    rest = copysign(select(quotient < t.one, a, rest), x)  # of an infinite y the product above is nan
    return rare_fmod((quotient > c.most) & (a < t.inf) & (b > t.zero), x, y, rest)


def remainder(x: Any, y: Any, c: Any) -> Any:
    """With the sign of y, as Python's."""
    zero = c.t.zero
    rest = fmod(x, y, c)
    return select(rest == zero, copysign(rest, y), select((rest < zero) ^ (y < zero), rest + y, rest))


def floor_divide(x: Any, y: Any, c: Any) -> Any:
    """The quotient that belongs to the remainder, which the floor of the rounded quotient may miss by one."""
    t = c.t
    rest = fmod(x, y, c)
    quotient = (x - rest) / y
    quotient = select((rest != t.zero) & ((rest < t.zero) ^ (y < t.zero)), quotient - t.one, quotient)
    whole = floor(quotient)
    whole = select(quotient - whole > t.half, whole + t.one, whole)
    return select(y == t.zero, x / y, select(quotient == t.zero, copysign(quotient, x / y), whole))


def nextafter(x: Any, y: Any, c: Any) -> Any:
    """The bits are those of a whole number that grows with the size."""
    larger = (x < y) ^ (x < c.t.zero)
    moved = select(larger, with_bits(x, bits(x) + 1), with_bits(x, bits(x) - 1))
    moved = select(x == c.t.zero, copysign(x + c.least, y), moved)
    return select(x == y, y, select((x != x) | (y != y), x + y, moved))


KERNELS: dict[str, dict[str, Callable[..., Any]]] = {
    f.__name__: both(f, (X32, X64)) for f in (fmod, remainder, floor_divide, nextafter)
}
