"""mean(tanh(x*y) * exp(-x*x) + log1p(exp(y))): one expression, many elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.contestants import Problem, Workload, differentiated, torch_compile
from bench.libraries import Library

SIZES = (100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)
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


def elementwise(size: int, compiled: bool = False) -> Workload:
    """Value and gradient in x and y, float32; with torch.compile as well if `compiled`."""

    def arguments() -> tuple:
        random = np.random.default_rng(2)
        return random.standard_normal(size, np.float32), random.standard_normal(size, np.float32)

    name = f"elementwise {f'{size:.0e}'.replace('e+0', 'e').replace('e+', 'e')}"
    title = f"mean(tanh(x*y)*exp(-x*x) + log1p(exp(y))), value and gradient, float32, {size:,} elements"
    problem = Problem(name, title, loss, arguments, 2, by_hand)
    return differentiated(problem, torch_compile(problem) if compiled else None)
