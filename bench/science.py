"""Two gradients as optimisation and simulation need them: Rosenbrock's function, and the energy of n bodies."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.by_hand import njit
from bench.contestants import NUMBA, Contestant, Problem, Workload, differentiated, flat
from bench.elementwise import power
from bench.libraries import Library

SOFTENING = 0.01


def rosenbrock_loss(library: Library) -> Callable:
    """The sum of 100 (x[i+1] - x[i]²)² + (1 - x[i])²."""
    total = library.xp.sum

    def rosenbrock(x: Any) -> Any:
        here, after = x[:-1], x[1:]
        steep, flat = after - here * here, 1 - here
        return total(100 * steep * steep + flat * flat)

    return rosenbrock


def rosenbrock_by_hand(x: Any) -> Any:
    """Value and gradient."""
    here = x[:-1]
    steep, flat = x[1:] - here * here, 1 - here
    gradient = np.zeros_like(x)
    gradient[:-1] = -400 * here * steep - 2 * flat
    gradient[1:] += 200 * steep
    return np.sum(100 * steep * steep + flat * flat), gradient


def rosenbrock(size: int = 100_000) -> Workload:
    """Value and gradient, float64."""

    def arguments() -> tuple:
        return (np.random.default_rng(6).uniform(-2, 2, size),)

    def numba() -> Contestant:
        @njit()
        def value_and_gradient(x):
            gradient, total = np.zeros_like(x), 0.0
            for i in range(x.size - 1):
                steep, flat = x[i + 1] - x[i] * x[i], 1 - x[i]
                total += 100 * steep * steep + flat * flat
                gradient[i] -= 400 * x[i] * steep + 2 * flat
                gradient[i + 1] = 200 * steep
            return total, gradient

        return Contestant(value_and_gradient, arguments(), flat)

    title = f"Rosenbrock's function, value and gradient, float64, n = {size:,}"
    name = f"rosenbrock {power(size)}"
    problem = Problem(name, title, rosenbrock_loss, arguments, 1, rosenbrock_by_hand, double=True)
    return differentiated(problem, {NUMBA: numba})


def energy_loss(library: Library) -> Callable:
    """Gravitational energy of softened bodies, each pair counted once; a body with itself is a constant that is taken off."""
    xp = library.xp

    def energy(x: Any, mass: Any) -> Any:
        apart = x[:, None, :] - x[None, :, :]
        distance = xp.sqrt(xp.sum(apart * apart, -1) + SOFTENING**2)
        pairs = mass[:, None] * mass[None, :] / distance
        return xp.sum(mass * mass) / (2 * SOFTENING) - xp.sum(pairs) / 2

    return energy


def energy_by_hand(x: Any, mass: Any) -> Any:
    """Value and gradient in the positions."""
    apart = x[:, None, :] - x[None, :, :]
    square = np.einsum("ijk,ijk->ij", apart, apart) + SOFTENING**2
    pairs = mass[:, None] * mass[None, :] / np.sqrt(square)
    value = np.sum(mass * mass) / (2 * SOFTENING) - np.sum(pairs) / 2
    return value, np.einsum("ij,ijk->ik", pairs / square, apart)


def n_bodies(count: int = 10) -> Workload:
    """Value, and gradient in the positions, float64."""

    def arguments() -> tuple:
        random = np.random.default_rng(7)
        return random.standard_normal((count, 3)), random.uniform(0.5, 1.5, count)

    def numba() -> Contestant:
        @njit()
        def value_and_gradient(x, mass):
            gradient, total = np.zeros_like(x), 0.0
            for i in range(len(x)):
                for j in range(i):
                    a, b, c = x[i, 0] - x[j, 0], x[i, 1] - x[j, 1], x[i, 2] - x[j, 2]
                    square = a * a + b * b + c * c + SOFTENING**2
                    pair = mass[i] * mass[j] / math.sqrt(square)
                    total -= pair
                    pull = pair / square
                    gradient[i, 0] += pull * a
                    gradient[i, 1] += pull * b
                    gradient[i, 2] += pull * c
                    gradient[j, 0] -= pull * a
                    gradient[j, 1] -= pull * b
                    gradient[j, 2] -= pull * c
            return total, gradient

        return Contestant(value_and_gradient, arguments(), flat)

    title = f"gravitational energy of {count} bodies, value and gradient in the positions, float64"
    problem = Problem(f"bodies {count}", title, energy_loss, arguments, 1, energy_by_hand, double=True)
    return differentiated(problem, {NUMBA: numba})
