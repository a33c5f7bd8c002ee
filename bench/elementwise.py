"""mean(tanh(x*y) * exp(-x*x) + log1p(exp(y))): one expression, many elements."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.by_hand import by_c, njit
from bench.contestants import COMPILED, NUMBA, C, Contestant, Problem, Workload, differentiated, eager, flat
from bench.libraries import Library

SIZES = (100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)
EAGER_SIZES = (10_000, 1_000_000, 10_000_000)
WITH_TORCH_COMPILE = (10_000, 1_000_000)


def loss(library: Library) -> Callable:
    """The expression; it reads the same in every library."""
    xp = library.xp

    def expression(x: Any, y: Any) -> Any:
        return xp.mean(xp.tanh(x * y) * xp.exp(-x * x) + xp.log1p(xp.exp(y)))

    return expression


def by_hand(x: Any, y: Any) -> Any:
    """Value and gradient, with what both need computed once and temporaries written over."""
    t, e, g = np.tanh(x * y), np.exp(-x * x), np.exp(y)
    te = t * e
    value = np.mean(te + np.log1p(g))
    n = x.dtype.type(x.size)
    np.multiply(t, te, out=t)
    np.subtract(e, t, out=e)  # (1 - tanh²) exp(-x²)
    dx = e * y
    te *= x
    te *= 2
    dx -= te
    dx /= n
    e *= x
    g /= 1 + g
    e += g
    e /= n
    return value, (dx, e)


def elementwise(size: int) -> Workload:
    """Value and gradient in x and y, float32; torch.compile, which compiles for long, at two sizes only."""
    without = () if size in WITH_TORCH_COMPILE else (COMPILED,)
    return differentiated(_problem(size), {NUMBA: lambda: _numba(size), C: lambda: _c(size)}, without)


def eager_elementwise(size: int) -> Workload:
    """The same without jit: recorded, swept back and dropped at every call."""
    return eager(_problem(size), f"the same without jit: forward, backward(), gradients dropped, {size:,} elements")


def power(size: int) -> str:
    """A round size as it is written: 1e6."""
    return f"{size:.0e}".replace("e+0", "e").replace("e+", "e")


def _arguments(size: int) -> tuple:
    random = np.random.default_rng(2)
    return random.standard_normal(size, np.float32), random.standard_normal(size, np.float32)


def _problem(size: int) -> Problem:
    title = f"mean(tanh(x*y)*exp(-x*x) + log1p(exp(y))), value and gradient, float32, {size:,} elements"
    return Problem(f"elementwise {power(size)}", title, loss, lambda: _arguments(size), 2, by_hand)


def _numba(size: int) -> Contestant:
    @njit()
    def value_and_gradient(x, y):
        one, two, n = np.float32(1), np.float32(2), np.float32(x.size)
        dx, dy, total = np.empty_like(x), np.empty_like(y), 0.0
        for i in range(x.size):
            t, e, g = math.tanh(x[i] * y[i]), math.exp(-x[i] * x[i]), math.exp(y[i])
            total += t * e + math.log1p(g)
            inner = (one - t * t) * e
            dx[i] = (inner * y[i] - two * x[i] * t * e) / n
            dy[i] = (inner * x[i] + g / (one + g)) / n
        return total / x.size, (dx, dy)

    return Contestant(value_and_gradient, _arguments(size), flat)


def _c(size: int) -> Contestant:
    function = by_c("elementwise", "n****", returns="f")

    def call(x: np.ndarray, y: np.ndarray) -> Any:
        dx, dy = np.empty_like(x), np.empty_like(y)
        value = function(x.size, x.ctypes.data, y.ctypes.data, dx.ctypes.data, dy.ctypes.data)
        return value, (dx, dy)

    return Contestant(call, _arguments(size), flat)
