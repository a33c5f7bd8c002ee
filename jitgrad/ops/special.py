"""Special functions of NumPy arrays, for what NumPy lacks: the meaning of rows of the op table."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.kernels.gamma import G64


def each(function: Callable[[float], float]) -> Callable:
    """A function of Python floats as a function of arrays, for what NumPy lacks. Slow, and exact to a rounding."""
    ufunc = np.frompyfunc(function, 1, 1)
    return lambda x: np.asarray(ufunc(x), dtype=x.dtype)[()]


erf, erfc = each(math.erf), each(math.erfc)


_EULER_MACLAURIN = (1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000)  # B_2j / (2j)!


def _zeta_less_1(k: int, n: int = 20) -> float:
    """The sum of m^-k over m >= 2: directly below n, from there on after Euler and Maclaurin (DLMF 25.2.9)."""
    terms = [float(m) ** -k for m in range(2, n)] + [float(n) ** (1 - k) / (k - 1), float(n) ** -k / 2]
    rising = float(k)
    for j, bernoulli in enumerate(_EULER_MACLAURIN):
        terms.append(bernoulli * rising * float(n) ** (-k - 1 - 2 * j))
        rising *= (k + 2 * j + 1) * (k + 2 * j + 2)
    return math.fsum(terms)


_EULER = 0.5772156649015329


@functools.cache
def _around_2() -> list[float]:
    """The coefficients of z^30 to z^2 in lgamma(2 + z)."""
    return [(-1) ** k * _zeta_less_1(k) / k for k in range(30, 1, -1)]


def _lgamma_around_2(z: float) -> float:
    """lgamma(2 + z) for |z| <= 1/2 (Abramowitz & Stegun 6.1.33), which is 0 for z = 0."""
    total = 0.0
    for coefficient in _around_2():
        total = total * z + coefficient
    return z * ((1 - _EULER) + z * total)


def _lgamma(x: float) -> float:
    if abs(x - 2) <= 0.5:
        return _lgamma_around_2(x - 2)
    if abs(x - 1) <= 0.5:
        return _lgamma_around_2(x - 1) - math.log1p(x - 1)
    try:
        return math.lgamma(x)
    except (ValueError, OverflowError):  # the poles 0, -1, -2, …; and the end of the range
        return math.inf if x == x else x


lgamma = each(_lgamma)


def digamma(x: np.ndarray) -> Any:
    """Recurrence up to x >= 10, then the asymptotic series; reflection for x < 0 (Abramowitz & Stegun 6.3.5-18).

    Around the root at 1.46 the kernel's polynomial, since the sum would lose its digits.
    """
    z = np.asarray(x, np.float64)
    y = np.where(z < 0, 1 - z, z)
    total = np.zeros_like(y)
    for _ in range(10):
        small = y < 10
        total -= np.where(small, 1 / y, 0)
        y = np.where(small, y + 1, y)
    w = 1 / (y * y)
    series = w * (1 / 12 - w * (1 / 120 - w * (1 / 252 - w * (1 / 240 - w * (1 / 132 - w * 691 / 32760)))))
    total += np.log(y) - 0.5 / y - series
    y = np.where(z < 0, 1 - z, z)
    v = (y - G64.root[0]) - G64.root[1]
    total = np.where((y > 1) & (y < 2.25), np.polyval(G64.digamma, v) * v, total)
    total = np.where(z < 0, total - math.pi / np.tan(math.pi * (z - np.rint(z))), total)
    total = np.where((z < 0) & (z == np.floor(z)), np.nan, total)
    return total.astype(x.dtype)[()]


def _hurwitz(s: int, z: Any) -> Any:
    """The sum of (z + k)^-s over k >= 0, after Euler and Maclaurin (DLMF 25.11.5)."""
    total = np.zeros_like(z)
    for _ in range(16):
        total += z**-s
        z = z + 1
    total += z ** (1 - s) / (s - 1) + 0.5 * z**-s
    rising = float(s)
    for j, coefficient in enumerate(_EULER_MACLAURIN):
        total += coefficient * rising * z ** (-s - 2 * j - 1)
        rising *= (s + 2 * j + 1) * (s + 2 * j + 2)
    return total


def polygamma(x: np.ndarray, n: int) -> Any:
    """(-1)^(n+1) n! times the sum of (x + k)^-(n+1) over k >= 0 (DLMF 5.15.1).

    For x < 0 the terms with x + k > 0 are one Hurwitz zeta function, and those before them the difference of two. (Derivatives of
    cot(pi x), by which one may reflect as well, cancel where n is even.)
    """
    x64, s = np.asarray(x, np.float64), n + 1
    below = x64 < 0
    rest = x64 - np.rint(x64)  # exact, and so is the distance to the nearer pole
    first = np.where(below, np.where(rest < 0, 1 + rest, rest), x64)
    total = _hurwitz(s, first)
    if below.any():
        last = np.where(below, np.where(rest < 0, -rest, 1 - rest), 1)
        both = total + (-1) ** s * _hurwitz(s, last)  # first of all, since they cancel in the middle between poles
        total = np.where(below, both - (-1) ** s * _hurwitz(s, np.where(below, 1 - x64, 1)), total)
    sign = (-1) ** (n + 1)
    total = np.where(below & (x64 == np.floor(x64)), sign * math.inf, sign * math.factorial(n) * total)
    return total.astype(x.dtype)[()]


_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360)


def gamma_density(x: np.ndarray, y: np.ndarray) -> Any:
    """y**(x - 1) e**-y / gamma(x). For large x by Stirling's series (DLMF 5.11.1), in which most of the exponent cancels."""
    a, z = (np.asarray(v, np.float64) for v in np.broadcast_arrays(x, y))
    large = (a > 16) & (a < np.inf) & (z > 0) & (z < np.inf)
    b, c = np.where(large, a, 1), np.where(large, z, 1)
    mu = (c - b) / b
    slight = abs(mu) < 0.1
    m = np.where(slight, mu, 0)
    less = m * m * np.polyval([(-1) ** k / k for k in range(18, 1, -1)], m)
    log = np.log(np.maximum(c / b, np.finfo(np.float64).tiny))
    exponent = -b * np.where(slight, less, mu - log) - np.polyval(_STIRLING[::-1], 1 / (b * b)) / b - log
    far = np.exp(exponent) / np.sqrt(2 * math.pi * b)
    low = a < 1
    power = np.where(a == 1, 0, np.where(low, a, a - 1) * np.log(z))
    near = np.exp(np.where(large, 0, power - z - lgamma(np.where(large, 1.0, a + low))))
    near = np.where(low, np.where(z == 0, np.inf, near * a / z), near)
    found = np.where(large, far, np.where((a == 0) | (a == np.inf) | (z == np.inf), 0, near))
    return np.where((a >= 0) & (z >= 0), found, np.nan).astype(np.result_type(x, y))[()]


def erfinv(x: np.ndarray) -> Any:
    """Winitzki's closed formula, good to 0.3%, then Halley's method for erf(y) = x, or erfc where that is exact."""
    a = np.asarray(abs(x), np.float64)
    log = np.log1p(-a * a)
    half = 2 / (math.pi * 0.147) + log / 2
    y = np.sqrt(np.sqrt(half * half - log / 0.147) - half)
    for _ in range(3):
        excess = np.where(a < 0.5, erf(y) - a, (1 - a) - erfc(y))
        step = excess * (math.sqrt(math.pi) / 2) * np.exp(y * y)
        y = y - step / (1 + y * step)
    y = np.where(a < 1e-8, a * (math.sqrt(math.pi) / 2), np.where(a == 1, math.inf, y))
    return np.copysign(y, x).astype(x.dtype)[()]


SERIES, TERMS = 55, 30
"""How many terms of the power series, which is used up to 20, and of Hankel's expansion."""


def _over_powers(a: Any, n: int) -> Any:
    """I_n(a) / a^n, by the power series (DLMF 10.25.2)."""
    value = np.ones_like(a)
    for k in range(SERIES, 0, -1):
        value = 1 + value * (a * a / (4 * k * (k + n)))
    return value / (2**n * math.factorial(n))


def _hankel(n: int) -> np.ndarray:
    """Coefficients of 1, 1/a, 1/a^2, … in I_n(a) e^-a sqrt(2 pi a), by Hankel's expansion (DLMF 10.40.1)."""
    found = [1.0]
    for k in range(1, TERMS + 1):
        found.append(found[-1] * -(4 * n * n - (2 * k - 1) ** 2) / (8 * k))
    return np.array(found)


def _far(a: Any, coefficients: np.ndarray) -> Any:
    return np.polyval(coefficients[::-1], 1 / a) / (math.sqrt(2 * math.pi) * np.sqrt(a))


def _in_two(x: np.ndarray, near: Callable, far: Callable) -> Any:
    """near(a) for a = |x| < 20, far(a) for larger ones."""
    a = np.asarray(abs(x), np.float64)
    value = np.where(a < 20, near(np.minimum(a, 20)), np.where(a == a, far(np.maximum(a, 20)), a))
    return value.astype(x.dtype)[()]


def bessel(x: np.ndarray, n: int, shrunk: bool = False, over: bool = False) -> Any:
    """I_n(x); times e**-|x| if `shrunk`, divided by x if `over`."""

    def near(a: Any) -> Any:
        return _over_powers(a, n) * a ** (n - over) * (np.exp(-a) if shrunk else 1)

    def far(a: Any) -> Any:
        a = a if shrunk else np.minimum(a, 800)  # I_n(800) is infinite
        value = _far(a, _hankel(n)) * (1 / a if over else 1)
        return value if shrunk else value * np.exp(a / 2) * np.exp(a / 2)  # the exponential alone would be infinite earlier

    value = _in_two(x, near, far)
    return np.copysign(value, x) if (n - over) % 2 else value


def bessel_less(x: np.ndarray, slope: bool) -> Any:
    """(I_0(a) - I_1(a)) e**-a for a = |x|, or its derivative; in Hankel's expansions the leading terms are equal."""

    def near(a: Any) -> Any:
        one = _over_powers(a, 1)
        less = _over_powers(a, 0) - a * one
        return (one - 2 * less if slope else less) * np.exp(-a)

    less = _hankel(0) - _hankel(1)
    powers = np.arange(less.size)
    if slope:
        return _in_two(x, near, lambda a: _far(a, less * -(powers + 0.5)) / a)
    return _in_two(x, near, lambda a: _far(a, less))


def bessel_over_slope(x: np.ndarray) -> Any:
    """The derivative of I_1(a) e**-a / a for a = |x|."""
    far = _hankel(1) * -(np.arange(TERMS + 1) + 1.5)
    return _in_two(x, lambda a: (_over_powers(a, 2) * a - _over_powers(a, 1)) * np.exp(-a), lambda a: _far(a, far) / (a * a))
