"""What is done with floats as such: remainders, signs, neighbours, infinities, extremes that pass over nan, degrees."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jitgrad.ops.arithmetic import _divides, _divisor
from jitgrad.ops.choosing import isnan, logical_or, ne, sign, trunc, where, zeros_like
from jitgrad.ops.table import binary, predicate, register, unary


def _first(x: Any, y: Any, first: Any) -> Any:
    """Whether fmax or fmin is `x`: where that is the extreme one, or `y` is nan."""
    return logical_or(first, isnan(y))


fmod = binary(
    "fmod(x, y)",
    _divides(np.fmod),
    vjp=(lambda g: g, lambda g, x, y: -g * trunc(x / y)),
    domain=((-3.0, 3.0), (3.2, 5.0)),
    checks=_divisor,
    jumps=True,
    bools="beside",
    doc="What is left of x when y was taken away as often as it fits, with the sign of x, elementwise",
)
copysign = binary(
    "copysign(x, y)",
    np.copysign,
    vjp=(lambda g, x, z: g * (sign(x) * sign(z)), lambda g: zeros_like(g)),
    result="float",
    doc="The size of x with the sign of y, which zeros have too, elementwise",
)
nextafter = binary(
    "nextafter(x, y)",
    np.nextafter,
    vjp=(lambda g, x, y: where(ne(x, y), g, 0), lambda g: zeros_like(g)),
    result="floating",
    exact=True,
    doc="The floating number next to x in the direction of y, elementwise",
)
fmax = binary(
    "select((x >= y) | (y != y), x, y)",
    np.fmax,
    vjp=(lambda g, x, y: where(_first(x, y, x >= y), g, 0), lambda g, x, y: where(_first(x, y, x >= y), 0, g)),
    also="i",
    cheap=True,
    doc="The larger of two numbers, of a number and nan the number, elementwise",
)
fmin = binary(
    "select((x <= y) | (y != y), x, y)",
    np.fmin,
    vjp=(lambda g, x, y: where(_first(x, y, x <= y), g, 0), lambda g, x, y: where(_first(x, y, x <= y), 0, g)),
    also="i",
    cheap=True,
    doc="The smaller of two numbers, of a number and nan the number, elementwise",
)
isposinf = predicate(
    "(x > 0) & (x - x != 0)", lambda x: np.equal(x, np.inf), inputs=("x",), inplace=False, oracle="np.equal(x, np.inf)"
)
isneginf = predicate(
    "(x < 0) & (x - x != 0)", lambda x: np.equal(x, -np.inf), inputs=("x",), inplace=False, oracle="np.equal(x, -np.inf)"
)
deg2rad = unary(
    f"x * {math.pi / 180!r}",
    np.deg2rad,
    vjp=lambda g: deg2rad(g),
    result="float",
    cheap=True,
    doc="Degrees as radians, elementwise",
)
rad2deg = unary(
    f"x * {180 / math.pi!r}",
    np.rad2deg,
    vjp=lambda g: rad2deg(g),
    result="float",
    cheap=True,
    doc="Radians as degrees, elementwise",
)


register(globals())
