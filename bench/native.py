"""A compiled gradient inside of somebody else's `@njit` code: gradient descent on the neuron, a call a step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from bench import neuron
from bench.by_hand import njit
from bench.contestants import JIT, NUMBA, NUMPY, STRICT, Contestant, Workload
from bench.libraries import load

RATE = np.float32(0.01)


def _descent(gradient: Callable, steps: int) -> Callable:
    """`steps` of gradient descent; also for Numba."""

    def descent(w, b, x, y):
        for _ in range(steps):
            _, (dw, db) = gradient(w, b, x, y)
            w, b = w - RATE * dw, b - RATE * db
        return w, b

    return descent


def _by_hand(w: Any, b: Any, x: Any, y: Any) -> Any:
    one, low = np.float32(1), np.float32(neuron.EPSILON)
    high = one - low
    s = one / (one + math.exp(-(w * x + b)))
    p = min(max(s, low), high)
    value = -(y * math.log(p) + (one - y) * math.log(one - p))
    dz = (p - y) / (p * (one - p)) * s * (one - s) if low <= s <= high else np.float32(0)
    return value, (dz * x, dz)


def descent(steps: int = 100_000) -> Workload:
    """Where the descent ends; each step waits for the one before."""

    def contestant(call: Callable) -> Contestant:
        return Contestant(call, neuron.arguments(), lambda found: [np.asarray(part) for part in found])

    def jitgrad() -> Contestant:
        import jitgrad as jg

        gradient = jg.value_and_grad(neuron.loss(load("jitgrad")), argnums=(0, 1)).compile(*neuron.arguments())
        return contestant(njit()(_descent(gradient.njit, steps)))

    def reference() -> list[np.ndarray]:
        found = _descent(neuron.by_hand, steps)(*map(np.float64, neuron.arguments()))
        return [np.asarray(part) for part in found]

    def by_hand(compiler: Callable) -> Contestant:
        return contestant(compiler(_descent(compiler(_by_hand), steps)))

    def strict() -> Contestant:
        """As the compiled gradient: without fastmath, which knows that (1 - s) / (1 - s) is 1."""
        import numba

        return by_hand(numba.njit)

    entrants = {
        JIT: jitgrad,
        NUMBA: lambda: by_hand(njit()),
        STRICT: strict,
        NUMPY: lambda: contestant(_descent(neuron.by_hand, steps)),
    }
    title = f"{steps:,} steps of descent on the neuron inside of @njit, float32"
    return Workload(f"njit descent {steps}", title, JIT, entrants, reference, 1e-3)
