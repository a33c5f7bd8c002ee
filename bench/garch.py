"""A recursion through time: the likelihood of a GARCH(1, 1) model, a day of returns after the other (see examples/garch.py)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.by_hand import njit
from bench.contestants import AUTOGRAD, COMPILED, NUMBA, Contestant, Problem, Workload, differentiated, flat
from bench.libraries import Library

DAYS = 2000


def returns(days: int) -> np.ndarray:
    """Squares of daily returns, in percent."""
    random = np.random.default_rng(12)
    return (random.standard_normal(days) * (1 + 0.5 * np.sin(np.arange(days) / 50))) ** 2


def garch_loss(library: Library, squares: np.ndarray) -> Callable:
    """Of omega, alpha and beta."""
    xp, first, fixed = library.xp, float(squares.mean()), library.array(squares)

    def loss(p: Any) -> Any:
        variance = library.scan(lambda v, s: (p[0] + p[1] * s + p[2] * v, v), p[0] * 0 + first, fixed, len(squares))[1]
        if isinstance(variance, list):  # from libraries without a scan
            variance = xp.stack(variance)
        return xp.mean(xp.log(variance) + fixed / variance)

    return loss


def garch_by_hand(p: Any, squares: Any) -> Any:
    """Value and gradient, the derivatives of the variance going along with it; also for Numba."""
    omega, alpha, beta = p[0], p[1], p[2]
    variance, value = squares.mean(), 0.0
    gradient, change = np.zeros(3), np.zeros(3)
    for square in squares:
        value += np.log(variance) + square / variance
        slope = (1 - square / variance) / variance
        for i in range(3):
            gradient[i] += slope * change[i]
            change[i] *= beta
        change[0] += 1
        change[1] += square
        change[2] += variance
        variance = omega + alpha * square + beta * variance
    return value / len(squares), gradient / len(squares)


def garch(days: int = DAYS) -> Workload:
    """Value and gradient, float64; torch.compile would compile it for minutes, and autograd takes seconds a call."""
    squares = returns(days)

    def arguments() -> tuple:
        return (np.array([0.1, 0.1, 0.8]),)

    def numba() -> Contestant:
        function = njit()(garch_by_hand)
        return Contestant(lambda p: function(p, squares), arguments(), flat)

    title = f"likelihood of a GARCH model over {days:,} days, value and gradient, float64"
    problem = Problem(
        f"garch {days}",
        title,
        lambda library: garch_loss(library, squares),
        arguments,
        1,
        lambda p: garch_by_hand(p, squares),
        double=True,
    )
    return differentiated(problem, {NUMBA: numba}, without=(COMPILED, AUTOGRAD))
