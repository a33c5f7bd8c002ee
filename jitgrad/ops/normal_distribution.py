"""The normal distribution: its distribution function and the logarithm of it, its quantiles, and e**(x^2) erfc(x)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jitgrad.kernels.error import ER64, I64
from jitgrad.kernels.normal import Q64, S64
from jitgrad.ops import special
from jitgrad.ops.arithmetic import exp
from jitgrad.ops.choosing import abs, maximum, minimum, where
from jitgrad.ops.table import Op, register, unary

_ROOT = math.sqrt(0.5)
_DENSITY = 1 / math.sqrt(2 * math.pi)
_FAR = 30.0
_SERIES = 1e4
_TAIL = [  # of erfcx'(x) in 1/(2 x^2), DLMF 7.12.1
    c * 2 / math.sqrt(math.pi) for c in (2027025.0, -135135.0, 10395.0, -945.0, 105.0, -15.0, 3.0, -1.0)
]


def _erfcx(x: Any) -> Any:
    """As its kernel computes it, but around 0."""
    z = np.asarray(x, np.float64)
    a = np.abs(z)
    near = np.polyval(ER64.erfc, (a - ER64.erfc_middle) / (a + ER64.erfc_middle)) / (1 + 2 * a)
    y = np.where(a < ER64.erfc_max, near, np.polyval(S64.far, 0.5 / (a * a)) / a)
    y = np.where(np.isinf(a), 0, y)
    return np.where(z < 0, 2 * np.exp(z * z) - y, y).astype(x.dtype)[()]


def _erfcx_slope(x: Any) -> Any:
    z = np.asarray(x, np.float64)
    w = 0.5 / (z * z)
    near = 2 * z * _erfcx(z) - 2 / math.sqrt(math.pi)
    return np.where(z > _FAR, w * np.polyval(_TAIL, w), near).astype(x.dtype)[()]


def _ndtri(x: Any) -> Any:
    """As its kernel computes it."""
    z, i = np.asarray(x, np.float64), I64
    w = -np.log(4 * (z * (1 - z)))
    root = np.sqrt(w)
    parts = [
        np.polyval(i.near, w - i.near_at),
        np.polyval(i.middle, root - i.middle_at),
        np.polyval(i.far, root - i.far_at),
        root * np.polyval(Q64.tail, (root - Q64.tail_at) / (root + Q64.tail_at)),
    ]
    y = np.select([w < i.near_end, w < i.middle_end, w < Q64.tail_from], parts[:3], parts[3])
    y = np.where(np.isinf(w), math.inf, y)
    return (math.sqrt(8) * (z - 0.5) * y).astype(x.dtype)[()]


def _log_ndtr(x: Any) -> Any:
    z = np.asarray(x, np.float64)
    low = np.minimum(z, -1)
    tail = np.log(_erfcx(-_ROOT * low) / 2) - z * z / 2
    return np.where(z < -1, tail, np.log1p(-special.erfc(_ROOT * z) / 2)).astype(x.dtype)[()]


def _ndtri_slope(x: Any, y: Any) -> Any:
    """One over the density at y: in the tails by x itself, since an error of y grows by y * y in exp(y * y / 2)."""
    far = abs(y) > 1
    size = abs(y)
    share = erfcx(where(size == math.inf, 1, size) * _ROOT)  # at 0 and 1 the quotient of two zeros would be nan
    tail = math.sqrt(math.pi / 2) * share / where(far, minimum(x, 1 - x), 1)
    return where(far, tail, (1 / _DENSITY) * exp(0.5 * where(far, 0, y) * where(far, 0, y)))


def _rate(x: Any) -> Any:
    """The density over the distribution function, without overflow on either side; far out by its series (DLMF 7.12.1)."""
    far = x < -_SERIES
    out, low, high = where(far, x, -1), maximum(minimum(x, 0), -_SERIES), maximum(x, 0)
    near = where(x < 0, (2 * _DENSITY) / erfcx(low * -_ROOT), _DENSITY * exp(-0.5 * high * high) / ndtr(high))
    return where(far, -out - 1 / out, near)


def _second_of_erfcx(x: Any, y: Any) -> Any:
    """Its second derivative: that of the series where the first one is taken of that."""
    far = x > _FAR
    z = where(far, x, 1)
    w, total = 0.5 / (z * z), 0.0
    for k, c in enumerate(_TAIL):
        total = total * w + (len(_TAIL) - k) * c
    return where(far, total * (-1 / (z * z * z)), 2 * (erfcx(x) + x * y))


def _in_half_square(coefficients: list[float]) -> str:
    """The polynomial in 1 / (2 x^2) with these coefficients, of the highest power first and none constant, as text."""
    text = repr(coefficients[0])
    for c in coefficients[1:]:
        text = f"({text}) / (2 * x * x) + {c!r}"
    return f"({text}) / (2 * x * x)"


def _special(formula: str, run: Any, **more: Any) -> Op:
    return unary(formula, run, result="float", method=False, inplace=False, **({"namespace": "special"} | more))


ndtr = _special(
    f"erfc(x * {-_ROOT!r}) / 2",
    lambda x: special.erfc(x * -_ROOT) / 2,
    d=lambda x: _DENSITY * exp(-0.5 * x * x),
    doc="The standard normal distribution function, elementwise",
    oracle="scipy.special.ndtr(x)",
)
ndtri = _special(
    "ndtri(x)",
    _ndtri,
    d=lambda x, y: _ndtri_slope(x, y),
    domain=(0.1, 0.9),
    doc="The quantiles of the standard normal distribution, elementwise",
    oracle="scipy.special.ndtri(x)",
)
log_ndtr = _special(
    f"select(x < -1, log(erfcx(x * {-_ROOT!r}) / 2) - x * x / 2, log1p(erfc(x * {_ROOT!r}) / -2))",
    _log_ndtr,
    d=lambda x: _rate(x),
    doc="The logarithm of the standard normal distribution function, elementwise",
    oracle="scipy.special.log_ndtr(x)",
)
erfcx = _special(
    "erfcx(x)",
    _erfcx,
    d=lambda x: erfcx_slope(x),
    doc="exp(x * x) * erfc(x), without overflow, elementwise",
    oracle="scipy.special.erfcx(x)",
)
erfcx_slope = _special(
    f"select(x > {_FAR!r}, {_in_half_square(_TAIL)}, 2 * x * erfcx(x) - {2 / math.sqrt(math.pi)!r})",
    _erfcx_slope,
    d=lambda x, y: _second_of_erfcx(x, y),
    internal=True,
    namespace="",
    oracle="2 * x * scipy.special.erfcx(x) - 2 / np.sqrt(np.pi)",
)
"""The derivative of erfcx, by its asymptotic series where the two terms are nearly equal."""


register(globals())
