"""Trigonometric and hyperbolic functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.ops.arithmetic import AWAY, rsqrt
from jitgrad.ops.choosing import logical_and, where
from jitgrad.ops.table import binary, register, unary

INSIDE = (-0.9, 0.9)


def _tanh_slope(x: Any) -> Any:
    """In the memory of the first step: on large arrays fresh memory takes longer than the arithmetic."""
    if x.dtype.kind == "c":
        y = np.tanh(x)
        return 1 - y * y
    out = np.cosh(x)
    if not isinstance(out, np.ndarray):
        return (1 / out) ** 2
    np.divide(1, out, out=out)
    return np.multiply(out, out, out=out)


def _but_origin(x: Any, y: Any) -> Any:
    """x, but 1 where x and y are 0."""
    return where(logical_and(x == 0, y == 0), 1, x)


sin = unary("sin(x)", np.sin, d=lambda x: cos(x), result="float", hot=True, on_complex="holomorphic")
cos = unary("cos(x)", np.cos, d=lambda x: -sin(x), result="float", hot=True, on_complex="holomorphic")
tan = unary("tan(x)", np.tan, d=lambda y: 1 + y * y, domain=(-1.2, 1.2), result="float", on_complex="holomorphic")
asin = unary(
    "asin(x)", np.arcsin, d=lambda x: asin_slope(x), domain=INSIDE, result="float", aliases=("arcsin",), on_complex="holomorphic"
)
acos = unary(
    "acos(x)", np.arccos, d=lambda x: -asin_slope(x), domain=INSIDE, result="float", aliases=("arccos",), on_complex="holomorphic"
)
asin_slope = unary(
    "1 / sqrt((1 - x) * (1 + x))",
    lambda x: 1 / np.sqrt((1 - x) * (1 + x)),
    domain=INSIDE,
    result="float",
    d=lambda x, y: x * y * y * y,
    internal=True,
    oracle="(1 - x * x) ** (-0.5)",
    on_complex="holomorphic",
)
atan = unary("atan(x)", np.arctan, d=lambda x: atan_slope(x), result="float", aliases=("arctan",), on_complex="holomorphic")
atan_slope = unary(
    "1 / (1 + x * x)",
    lambda x: 1 / (1 + x * x),
    d=lambda x, y: -2 * (x * y * y),
    result="float",
    internal=True,
    oracle="1 / (1 + x * x)",
    on_complex="holomorphic",
)
atan2 = binary(
    "atan2(x, y)",
    np.arctan2,
    result="float",
    domain=AWAY,
    aliases=("arctan2",),
    vjp=(lambda g, x, y: g * inverse(y, _but_origin(x, y)), lambda g, x, y: -g * inverse(x, _but_origin(y, x))),
)
hypot = binary(
    "hypot(x, y)", np.hypot, vjp=(lambda g, x, y: g * cosine(x, y), lambda g, x, y: g * cosine(y, x)), domain=AWAY, result="float"
)
cosine = binary(
    "x / hypot(x, y)",
    lambda x, y: x / np.hypot(x, y),
    domain=AWAY,
    result="float",
    internal=True,
    vjp=(
        lambda g, x, y: g * (cosine(y, x) / hypot(x, y) * cosine(y, x)),
        lambda g, x, y, z: -g * (cosine(y, x) / hypot(x, y) * z),
    ),
    oracle="x / np.hypot(x, y)",
)
"""Of the angle between (x, y) and the first axis: the derivative of hypot in x."""
inverse = binary(
    "x / hypot(x, y) / hypot(x, y)",
    lambda x, y: x / np.hypot(x, y) / np.hypot(x, y),
    domain=AWAY,
    result="float",
    internal=True,
    vjp=(
        lambda g, x, y: g * ((cosine(y, x) - cosine(x, y)) * (cosine(y, x) + cosine(x, y)) / hypot(x, y) / hypot(x, y)),
        lambda g, x, y: -g * (2 * (cosine(x, y) * cosine(y, x)) / hypot(x, y) / hypot(x, y)),
    ),
    oracle="x / np.hypot(x, y) ** 2",
)
"""x / (x^2 + y^2), though the squares might be 0 or infinite: what the derivatives of atan2 are made of."""
sinh = unary("sinh(x)", np.sinh, d=lambda x: cosh(x), result="float", on_complex="holomorphic")
cosh = unary("cosh(x)", np.cosh, d=lambda x: sinh(x), result="float", on_complex="holomorphic")
tanh = unary("tanh(x)", np.tanh, d=lambda x: tanh_slope(x), result="float", hot=True, on_complex="holomorphic")
tanh_slope = unary(
    "tanh_slope(x)",
    _tanh_slope,
    d=lambda x, y: -2 * (tanh(x) * y),
    result="float",
    internal=True,
    oracle="np.cosh(x) ** (-2.0)",
    on_complex="holomorphic",
)
"""1 - tanh(x)^2, also where tanh(x) is rounded to 1."""
asinh = unary(
    "asinh(x)",
    np.arcsinh,
    d=lambda x: 1 / hypot(x, 1.0),
    complex_rules=(lambda x: rsqrt(x * x + 1),),
    result="float",
    aliases=("arcsinh",),
    on_complex="holomorphic",
)
acosh = unary(
    "acosh(x)",
    np.arccosh,
    d=lambda x: rsqrt(x - 1) * rsqrt(x + 1),
    domain=(1.1, 4.0),
    result="float",
    aliases=("arccosh",),
    on_complex="holomorphic",
)
atanh = unary(
    "atanh(x)",
    np.arctanh,
    d=lambda x: atanh_slope(x),
    domain=INSIDE,
    result="float",
    aliases=("arctanh",),
    on_complex="holomorphic",
)
atanh_slope = unary(
    "1 / ((1 - x) * (1 + x))",
    lambda x: 1 / ((1 - x) * (1 + x)),
    d=lambda x, y: 2 * (x * y * y),
    domain=INSIDE,
    result="float",
    internal=True,
    oracle="1 / (1 - x * x)",
    on_complex="holomorphic",
)


register(globals())
