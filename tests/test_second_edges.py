"""Second derivatives where arguments are tiny or huge, against their formulas in 50 digits."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest

import jitgrad as jg

mp.mp.dps = 50


def _r2(x, y):
    return x * x + y * y


ONE = {
    "reciprocal": (jg.reciprocal, lambda x: 2 / x**3),
    "sqrt": (jg.sqrt, lambda x: -(x ** mp.mpf(-1.5)) / 4),
    "rsqrt": (jg.rsqrt, lambda x: x ** mp.mpf(-2.5) * mp.mpf(0.75)),
    "cbrt": (jg.cbrt, lambda x: mp.mpf(-2) / 9 * mp.cbrt(x) / x**2),
    "log": (jg.log, lambda x: -1 / x**2),
    "log2": (jg.log2, lambda x: -1 / x**2 / mp.log(2)),
    "log1p": (jg.log1p, lambda x: -1 / (1 + x) ** 2),
    "square": (jg.square, lambda x: mp.mpf(2)),
    "x ** 3": (lambda x: x**3, lambda x: 6 * x),
    "x ** 0.5": (lambda x: x**0.5, lambda x: -(x ** mp.mpf(-1.5)) / 4),
    "x ** -2": (lambda x: x**-2, lambda x: 6 / x**4),
    "x ** 2.5": (lambda x: x**2.5, lambda x: mp.mpf(3.75) * mp.sqrt(x)),
    "asinh": (jg.asinh, lambda x: -x / (1 + x * x) ** mp.mpf(1.5)),
    "atan": (jg.atan, lambda x: -2 * x / (1 + x * x) ** 2),
    "tanh": (jg.tanh, lambda x: -2 * mp.tanh(x) * mp.sech(x) ** 2),
}
"""Functions of one number, and their second derivatives."""

TWO = {
    "x * y": (lambda x, y: x * y, [lambda x, y: 0, lambda x, y: 1, lambda x, y: 0]),
    "x / y": (lambda x, y: x / y, [lambda x, y: 0, lambda x, y: -1 / y**2, lambda x, y: 2 * x / y**3]),
    "x ** y": (
        lambda x, y: x**y,
        [
            lambda x, y: y * (y - 1) * x ** (y - 2),
            lambda x, y: x ** (y - 1) * (1 + y * mp.log(x)),
            lambda x, y: x**y * mp.log(x) ** 2,
        ],
    ),
    "xlogy": (jg.xlogy, [lambda x, y: 0, lambda x, y: 1 / y, lambda x, y: -x / y**2]),
    "atan2": (
        jg.atan2,
        [
            lambda x, y: -2 * x * y / _r2(x, y) ** 2,
            lambda x, y: (x * x - y * y) / _r2(x, y) ** 2,
            lambda x, y: 2 * x * y / _r2(x, y) ** 2,
        ],
    ),
    "hypot": (
        jg.hypot,
        [
            lambda x, y: y * y / _r2(x, y) ** mp.mpf(1.5),
            lambda x, y: -x * y / _r2(x, y) ** mp.mpf(1.5),
            lambda x, y: x * x / _r2(x, y) ** mp.mpf(1.5),
        ],
    ),
}
"""Functions of two numbers, and their derivatives in x and x, in x and y, in y and y."""

POINTS = {
    np.float64: [1e-200, 1e-150, 1e-100, 1e-20, 0.5, 1.0, 3.0, 1e20, 1e100, 1e150, 1e200],
    np.float32: [float(np.float32(x)) for x in (1e-30, 1e-20, 1e-10, 0.5, 1.0, 3.0, 1e10, 1e20, 1e30)],
}

BEYOND = {(1e-150, 3.0), (1e150, 3.0)}
"""Where x ** y itself is 0 or inf, its derivative in y loses what that would have in x: see docs/derivatives.md."""


def is_close(got, exact, dtype):
    """Whether a number is right, if the exact one is among the normal numbers of the dtype."""
    info = np.finfo(dtype)
    if exact and not 100 * float(info.tiny) < abs(exact) < float(info.max) / 4:
        return True
    return bool(abs(mp.mpf(float(got)) - exact) <= 50 * float(info.eps) * abs(exact))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", ONE)
def test_functions_of_one_number(name, dtype):
    f, exact = ONE[name]
    reverse = jg.grad(jg.grad(f))
    ways = [reverse, jg.jit(reverse), lambda x: jg.jvp(jg.grad(f), (x,), (jg.ones_like(x),))[1]]
    for point in POINTS[dtype]:
        x = jg.tensor(point, dtype=getattr(jg, dtype.__name__))
        for way in ways:
            assert is_close(way(x), exact(mp.mpf(point)), dtype), (point, way(x))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", TWO)
def test_functions_of_two_numbers(name, dtype):
    f, exact = TWO[name]
    points = [(a, b) for a in POINTS[dtype] for b in POINTS[dtype] if name != "x ** y" or 1e-3 < b < 100]
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        way = jg.grad(jg.grad(f, argnums=i), argnums=j)
        for run in (way, jg.jit(way)):
            for point in points:
                x, y = (jg.tensor(value, dtype=getattr(jg, dtype.__name__)) for value in point)
                right = is_close(run(x, y), exact[i + j](*map(mp.mpf, point)), dtype)
                beyond = name == "x ** y" and (i, j) == (1, 0) and point in BEYOND and dtype is np.float64
                assert right != beyond, (point, i, j, run(x, y))
