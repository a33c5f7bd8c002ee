"""The polynomials of the kernels, fitted: `python -m jitgrad.kernels.fit [NAME …]` prints their coefficients.

A tool for whoever changes a kernel; nothing imports it, and it alone needs mpmath.  Each fit minimises the largest
relative error of the kernel's result by Remez's exchange algorithm (E. W. Cheney, "Introduction to Approximation
Theory", chapter 3) in 60 digits; then the coefficients are rounded one after the other, from the lowest power on, each
time with the rest fitted again (but for intervals around 0).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import mpmath as mp
import numpy as np

mp.mp.dps = 60


class Fit(NamedTuple):
    """f as a polynomial in v, lo <= v <= hi, which enters a result as weight(v) * f(v), relative to the whole."""

    f: Callable[[Any], Any]
    weight: Callable[[Any], Any]
    lo: Any
    hi: Any
    sizes: dict[str, int]  # of float32 and float64: how many coefficients


def remez(points: list, f: list, weight: list, size: int, lowest: int) -> tuple[list, Any]:
    """The coefficients of v**lowest … that come closest to f, and the largest weighted error."""
    count, last = size + 1, len(points) - 1
    chosen = [round(last * k / size) for k in range(count)]
    best: tuple[list, Any] = ([], mp.inf)
    for _ in range(12):
        system = mp.matrix(count, count)
        for r, i in enumerate(chosen):
            for j in range(size):
                system[r, j] = points[i] ** (lowest + j)
            system[r, size] = (-1) ** r / weight[i]
        try:
            solution = mp.lu_solve(system, mp.matrix([f[i] for i in chosen]))
        except ZeroDivisionError:
            break
        c, level = list(solution[:size]), abs(solution[size])
        error = [w * (y - v**lowest * mp.polyval(c[::-1], v)) for v, y, w in zip(points, f, weight)]
        worst = max(map(abs, error))
        best = min(best, (c, worst), key=lambda pair: pair[1])
        extremes = _alternating(error, count)
        if worst < level * 1.001 or extremes == chosen or len(extremes) < count:
            break
        chosen = extremes
    return best


def _alternating(error: list, count: int) -> list[int]:
    """Where the error is largest between its changes of sign: `count` places, neighbours of opposite sign."""
    found: list[int] = []
    for i, e in enumerate(error):
        if found and (error[found[-1]] < 0) == (e < 0):
            found[-1] = max(found[-1], i, key=lambda k: abs(error[k]))
        else:
            found.append(i)
    while len(found) > count:
        if len(found) == count + 1:
            del found[0 if abs(error[found[0]]) < abs(error[found[-1]]) else -1]
        else:
            k = min(range(len(found) - 1), key=lambda k: abs(error[found[k]]) + abs(error[found[k + 1]]))
            del found[k : k + 2]
    return found


def coefficients(fit: Fit, kind: str) -> tuple[list[float], Any]:
    """The rounded coefficients, of the lowest power first, and the largest relative error that they leave."""
    size, lo, hi = fit.sizes[kind], mp.mpf(fit.lo), mp.mpf(fit.hi)
    many = 14 * (size + 1)
    points = [(lo + hi) / 2 - (hi - lo) / 2 * mp.cos(mp.pi * (k + 0.5) / many) for k in range(many)]
    rest, weight = [mp.mpf(fit.f(v)) for v in points], [abs(fit.weight(v)) for v in points]
    rounded: list[float] = []
    c: list = []
    for k in range(size):
        c = _better(c[1:], remez(points, rest, weight, size - k, k), points, rest, weight, k)
        rounded.append(float(np.float32(float(c[0])) if kind == "f32" else c[0]))
        rest = [y - rounded[-1] * v**k for v, y in zip(points, rest)]
    return rounded, max(abs(w * y) for w, y in zip(weight, rest))


def _better(old: list, new: tuple[list, Any], points: list, f: list, weight: list, k: int) -> list:
    """The new fit, or what is left of the old one: v^k, v^(k+1), … are no Chebyshev system where v changes its sign."""
    left = max(abs(w * (y - v**k * mp.polyval(old[::-1], v))) for v, y, w in zip(points, f, weight))
    return old if old and left < new[1] else new[0]


LN2, X0 = mp.log(2), mp.findroot(mp.digamma, 1.4616)
Z_LN2 = (LN2 / 2) ** 2 * 1.002


def odd(function: Callable[[Any], Any], hi: Any, **sizes: int) -> Fit:
    """(function(a) - a) / a^3 in z = a^2."""
    root = mp.sqrt
    return Fit(lambda z: (function(root(z)) - root(z)) / root(z) ** 3, lambda z: root(z) ** 3 / function(root(z)), 0, hi, sizes)


def erfcx(a: Any) -> Any:
    with mp.workdps(80):
        return mp.exp(a * a) * mp.erfc(a)


def scaled_erfc(k: int, hi: Any, **sizes: int) -> Fit:
    def f(v: Any) -> Any:
        a = k * (1 + v) / (1 - v)
        return (1 + 2 * a) * erfcx(a)

    return Fit(f, lambda v: 1 / f(v), -1, (hi - k) / (hi + k), sizes)


@cache
def erfinv_by_x(w: Any) -> Any:
    """erfinv(x) / x, where w = -log(1 - x^2)."""
    x = mp.sqrt(-mp.expm1(-w))
    c = mp.exp(-w) / (1 + x)
    y = mp.erfinv(x) if w < 1 else mp.sqrt(w)
    for _ in range(12 if w >= 1 else 0):  # Halley's method for erfc(y) = 1 - x
        step = (c - mp.erfc(y)) * mp.sqrt(mp.pi) / 2 * mp.exp(y * y)
        y -= step / (1 + y * step)
    return y / x


def erfinv_part(lo: Any, hi: Any, root: bool, **sizes: int) -> Fit:
    """Around the middle of the interval of w, or of its root."""
    ends = (mp.sqrt(lo), mp.sqrt(hi)) if root else (mp.mpf(lo), mp.mpf(hi))
    middle = mp.mpf(float(np.float32(float(sum(ends) / 2))))

    def f(v: Any) -> Any:
        return erfinv_by_x((v + middle) ** 2 if root else v + middle)

    return Fit(f, lambda v: 1 / f(v), ends[0] - middle, ends[1] - middle, sizes)


def erfinv_tail(k: int, lo: Any, hi: Any, **sizes: int) -> Fit:
    """erfinv(x) / x / r in (r - k) / (r + k), r = sqrt(w)."""
    ends = [(mp.sqrt(w) - k) / (mp.sqrt(w) + k) for w in (lo, hi)]

    def f(v: Any) -> Any:
        root = k * (1 + v) / (1 - v)
        return erfinv_by_x(root**2) / root

    return Fit(f, lambda v: 1 / f(v), *ends, sizes)


def stirling(w: Any) -> Any:
    x = 1 / mp.sqrt(w)
    return (mp.loggamma(x) - (x - 0.5) * mp.log(x) + x - mp.log(2 * mp.pi) / 2) * x


def digamma_far(w: Any) -> Any:
    x = 1 / mp.sqrt(w)
    return (mp.digamma(x) - mp.log(x) + 1 / (2 * x)) / w


def trigamma_far(w: Any) -> Any:
    x = 1 / mp.sqrt(w)
    return (mp.polygamma(1, x) - 1 / x - w / 2) * x**3


def bessel_near(n: int, end: float, **sizes: int) -> Fit:
    def f(z: Any) -> Any:
        return mp.besseli(n, 2 * mp.sqrt(z)) / z ** (mp.mpf(n) / 2)

    return Fit(f, lambda z: 1 / f(z), 0, mp.mpf(end) ** 2 / 4, sizes)


def bessel_far(n: int, end: float, **sizes: int) -> Fit:
    def f(v: Any) -> Any:
        return mp.besseli(n, 1 / v) * mp.exp(-1 / v) / mp.sqrt(v)

    return Fit(f, lambda v: 1 / f(v), 0, 1 / mp.mpf(end), sizes)


def bessel_difference(slope: bool, end: float, **sizes: int) -> Fit:
    """(I_0(a) - I_1(a)) e^-a a^(3/2) in v = 1/a; or the derivative of (I_0 - I_1) e^-a, times a^(5/2)."""

    def f(v: Any) -> Any:
        with mp.workdps(80):
            zero, one = mp.besseli(0, 1 / v), mp.besseli(1, 1 / v)
            found = v * one - 2 * (zero - one) if slope else zero - one
            return found * mp.exp(-1 / v) / mp.sqrt(v) / v ** (1 + slope)

    return Fit(f, lambda v: 1 / f(v), 0, 1 / mp.mpf(end), sizes)


def log2_rest(z: Any) -> Any:
    """(log2((1 + s)/(1 - s)) - 2 s / ln 2 - 2 s^3 / (3 ln 2)) / s^5, z = s^2."""
    with mp.workdps(100):
        s = mp.sqrt(z)
        return (2 * mp.atanh(s) - 2 * s - 2 * s**3 / 3) / s**5 / LN2


@cache
def temme(k: int, many: int = 140) -> list:
    """Taylor's coefficients in eta of c_k, of which the uniform expansion of igamma is made (DLMF 8.12.12)."""
    if k == 0:
        a = [mp.mpf(0), mp.mpf(1), mp.mpf(1) / 3]
        for n in range(3, many + 2):
            a.append((a[n - 1] - sum(j * a[j] * a[n - j + 1] for j in range(2, n))) / (n + 1))
        return [-mp.mpf(1) / 3, *[n * a[n] for n in range(3, many + 2)]]
    logs = [mp.bernoulli(j + 1) / (j * (j + 1)) for j in range(1, k + 1)]  # of Stirling's series
    g = [mp.mpf(1)]
    for n in range(1, k + 1):
        g.append(sum(j * logs[j - 1] * g[n - j] for j in range(1, n + 1)) / n)
    before = temme(k - 1)
    return [(-1) ** k * g[k] * d + (n + 2) * before[n + 2] for n, d in enumerate(temme(0)[: len(before) - 2])]


def temmes(k: int, size: int) -> Fit:
    return Fit(lambda v: mp.polyval(temme(k)[:100][::-1], v), lambda v: mp.mpf(12) ** -k, -0.8, 0.8, {"f64": size})


FITS: dict[str, Fit] = {
    "exp2": Fit(lambda r: (2**r - 1) / r, lambda r: r / 2**r, -0.5, 0.5, {"f32": 6, "f64": 11}),
    "sinh": odd(mp.sinh, 1, f32=4, f64=7),
    "cosh": Fit(lambda z: (mp.cosh(mp.sqrt(z)) - 1 - z / 2) / z**2, lambda z: z * z, 0, Z_LN2, {"f32": 2, "f64": 4}),
    "tan": odd(mp.tan, (mp.pi / 4) ** 2 * 1.0001, f32=7, f64=15),
    "atan": odd(mp.atan, 0.2501, f32=5, f64=12),
    "asin": odd(mp.asin, 0.2501, f32=5, f64=12),
    "cbrt": Fit(lambda e: ((1 - e) ** (-mp.mpf(1) / 3) - 1) / e, lambda e: e, -0.107, 0.107, {"f32": 3, "f64": 6}),
    "pow": Fit(log2_rest, lambda z: z * z / 2, 0, 0.0401, {"f32": 4, "f64": 8}),
    "erfc": scaled_erfc(3, mp.mpf(10.1), f32=11),
    "erfc64": scaled_erfc(4, mp.mpf(27.3), f64=24),
    "erfinv_near": erfinv_part(0, 5, False, f32=11, f64=22),
    "erfinv_middle": erfinv_part(5, 16, True, f32=10, f64=22),
    "erfinv_far": erfinv_part(16, 36.8, True, f64=18),
    "erfinv_tail": erfinv_tail(6, 16, 104, f32=8),
    "erfinv_tail64": erfinv_tail(6, 36.7, 750, f64=18),
    "lgamma_near": Fit(lambda u: mp.loggamma(2 + u) / (u * (1 + u)), lambda u: 1, -0.75, 0.25, {"f32": 10, "f64": 21}),
    "lgamma_far": Fit(stirling, lambda w: mp.sqrt(w), 0, 1 / mp.mpf(3.25) ** 2, {"f32": 3, "f64": 10}),
    "digamma_near": Fit(lambda u: mp.digamma(X0 + u) / u, lambda u: 1, 1 - X0, 2.25 - X0, {"f32": 11, "f64": 25}),
    "digamma_far": Fit(digamma_far, lambda w: w, 0, 1 / mp.mpf(3.25) ** 2, {"f32": 3, "f64": 11}),
    "trigamma_far": Fit(trigamma_far, lambda w: mp.sqrt(w), 0, 1 / mp.mpf(4) ** 2, {"f32": 4, "f64": 10}),
    "i0_near": bessel_near(0, 7.75, f32=10),
    "i0_far": bessel_far(0, 7.75, f32=6),
    "i1_near": bessel_near(1, 7.75, f32=10),
    "i1_far": bessel_far(1, 7.75, f32=6),
    "i0_near64": bessel_near(0, 14, f64=20),
    "i0_far64": bessel_far(0, 14, f64=16),
    "i1_near64": bessel_near(1, 14, f64=20),
    "i1_far64": bessel_far(1, 14, f64=16),
    "i2_near": bessel_near(2, 7.75, f32=10),
    "i2_far": bessel_far(2, 7.75, f32=6),
    "i2_near64": bessel_near(2, 14, f64=20),
    "i2_far64": bessel_far(2, 14, f64=16),
    "difference_far": bessel_difference(False, 7.75, f32=7),
    "difference_far64": bessel_difference(False, 14, f64=16),
    "slope_far": bessel_difference(True, 7.75, f32=7),
    "slope_far64": bessel_difference(True, 14, f64=16),
    **{f"igamma{k}": temmes(k, size) for k, size in enumerate((17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 5, 5))},
}

if __name__ == "__main__":
    for name in sys.argv[1:] or FITS:
        for kind in FITS[name].sizes:
            found, error = coefficients(FITS[name], kind)
            shown = ", ".join(str(np.float32(c)) if kind == "f32" else repr(c) for c in reversed(found))
            print(f"{name} {kind}, relative error 2^{float(mp.log(error, 2)):.1f}\n    ({shown})", flush=True)
