"""A loop of a thousand steps: van der Pol's oscillator by the classical Runge–Kutta method, and the gradient of where it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.by_hand import njit
from bench.contestants import COMPILED, NUMBA, Contestant, Problem, Workload, differentiated, flat
from bench.libraries import Library

STEP = 0.01


def oscillator_loss(steps: int) -> Callable[[Library], Callable]:
    """The squared distance from the origin after so many steps, of the start and the stiffness."""

    def loss_in(library: Library) -> Callable:
        xp = library.xp

        def slope(y: Any, mu: Any) -> Any:
            return xp.stack([y[1], mu * (1 - y[0] * y[0]) * y[1] - y[0]])

        def oscillator(y: Any, mu: Any) -> Any:
            def step(y: Any, _: Any) -> Any:
                first = slope(y, mu)
                second = slope(y + STEP / 2 * first, mu)
                third = slope(y + STEP / 2 * second, mu)
                fourth = slope(y + STEP * third, mu)
                return y + STEP / 6 * (first + 2 * second + 2 * third + fourth), None

            end = library.scan(step, y, None, steps)[0]
            return xp.sum(end * end)

        return oscillator

    return loss_in


def _slope(a: float, b: float, mu: float) -> tuple[float, float]:
    return b, mu * (1 - a * a) * b - a


def _slope_vjp(a: float, b: float, mu: float, ga: float, gb: float) -> tuple[float, float, float]:
    return gb * (-2 * mu * a * b - 1), ga + gb * mu * (1 - a * a), gb * (1 - a * a) * b


def _by_hand(steps: int, slope: Callable, vjp: Callable) -> Callable:
    """Value and gradient: the steps, kept, and then each of them backwards."""

    def oscillator(y, mu):
        h = STEP
        kept = np.empty((steps, 2))
        a, b = y[0], y[1]
        for i in range(steps):
            kept[i, 0], kept[i, 1] = a, b
            p, q = slope(a, b, mu)
            r, s = slope(a + h / 2 * p, b + h / 2 * q, mu)
            t, u = slope(a + h / 2 * r, b + h / 2 * s, mu)
            v, w = slope(a + h * t, b + h * u, mu)
            a, b = a + h / 6 * (p + 2 * r + 2 * t + v), b + h / 6 * (q + 2 * s + 2 * u + w)
        value, ga, gb, gm = a * a + b * b, 2 * a, 2 * b, 0.0
        for i in range(steps - 1, -1, -1):
            a, b = kept[i, 0], kept[i, 1]
            p, q = slope(a, b, mu)
            r, s = slope(a + h / 2 * p, b + h / 2 * q, mu)
            t, u = slope(a + h / 2 * r, b + h / 2 * s, mu)
            a4, b4, m4 = vjp(a + h * t, b + h * u, mu, h / 6 * ga, h / 6 * gb)
            a3, b3, m3 = vjp(a + h / 2 * r, b + h / 2 * s, mu, h / 3 * ga + h * a4, h / 3 * gb + h * b4)
            a2, b2, m2 = vjp(a + h / 2 * p, b + h / 2 * q, mu, h / 3 * ga + h / 2 * a3, h / 3 * gb + h / 2 * b3)
            a1, b1, m1 = vjp(a, b, mu, h / 6 * ga + h / 2 * a2, h / 6 * gb + h / 2 * b2)
            ga, gb, gm = ga + a1 + a2 + a3 + a4, gb + b1 + b2 + b3 + b4, gm + m1 + m2 + m3 + m4
        return value, (np.array([ga, gb]), gm)

    return oscillator


def oscillator(steps: int = 1000) -> Workload:
    """Value and gradient, float64."""

    def arguments() -> tuple:
        return np.array([1.0, 0.5]), np.float64(1.5)

    def numba() -> Contestant:
        return Contestant(njit()(_by_hand(steps, njit()(_slope), njit()(_slope_vjp))), arguments(), flat)

    title = f"An oscillator through {steps:,} Runge–Kutta steps in a scan, value and gradient, float64"
    by_hand = _by_hand(steps, _slope, _slope_vjp)
    problem = Problem(f"oscillator {steps}", title, oscillator_loss(steps), arguments, 2, by_hand, double=True)
    return differentiated(problem, {NUMBA: numba}, without=(COMPILED,))  # which would write the steps out
