"""Hamiltonian Monte Carlo with no Python in the loop: Bayesian logistic regression on the breast cancer data.

The sampler is one plain function. Under `@njit`, with the gradient from `compile`, all of it is machine code; the same
function in Python, over `jax.jit` where JAX is installed, is what one would write otherwise. Run it:

    pip install 'jitgrad[demo]'
    python examples/hmc.py

Source of the method: R. Neal, MCMC using Hamiltonian dynamics, in Handbook of Markov Chain Monte Carlo (2011).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

import jitgrad as jg


def data() -> tuple[np.ndarray, np.ndarray]:
    """569 tumours: 30 standardised measurements and a column of ones; 1 or -1."""
    from sklearn.datasets import load_breast_cancer

    x, y = load_breast_cancer(return_X_y=True)
    x = (x - x.mean(0)) / x.std(0)
    return np.hstack([x, np.ones((len(x), 1))]), 2.0 * y - 1


def potential(x: Any, y: Any, xp: Any = jg) -> Callable:
    """Minus the logarithm of the posterior density of the weights, with a standard normal prior."""

    def energy(w: Any) -> Any:
        return xp.log1p(xp.exp(-y * (x @ w))).sum() + 0.5 * (w * w).sum()

    return energy


def sample(energy_and_force: Callable, start: np.ndarray, draws: int, leaps: int, step: float, seed: int) -> tuple:
    """Draws of the weights (one a row), and the share of proposals that was accepted."""
    np.random.seed(seed)
    here = start
    energy, slope = energy_and_force(here)
    found, accepted = np.empty((draws, start.size)), 0
    for i in range(draws):
        momentum = np.random.standard_normal(start.size)
        before = energy + 0.5 * (momentum * momentum).sum()
        there, there_energy, there_slope = here, energy, slope
        for _ in range(leaps):
            momentum = momentum - 0.5 * step * there_slope
            there = there + step * momentum
            there_energy, there_slope = energy_and_force(there)
            momentum = momentum - 0.5 * step * there_slope
        after = there_energy + 0.5 * (momentum * momentum).sum()
        if np.log(np.random.random()) < before - after:
            here, energy, slope, accepted = there, there_energy, there_slope, accepted + 1
        found[i] = here
    return found, accepted / draws


native_sample = numba.njit(sample, nogil=True)


def compiled(x: np.ndarray, y: np.ndarray) -> Any:
    """Energy and gradient for `@njit` code; the data are part of it."""
    return jg.value_and_grad(potential(jg.tensor(x), jg.tensor(y))).compile(np.zeros(x.shape[1])).njit


def over_jax(x: np.ndarray, y: np.ndarray) -> Callable:
    """The same for Python, from JAX."""
    import jax

    jax.config.update("jax_enable_x64", True)
    function = jax.jit(jax.value_and_grad(potential(x, y, jax.numpy)))

    def energy_and_force(w: np.ndarray) -> tuple:
        value, slope = function(w)
        return float(value), np.asarray(slope)

    return energy_and_force


def main() -> None:
    x, y = data()
    start, chain = np.zeros(x.shape[1]), {"leaps": 20, "step": 0.05, "seed": 1}
    gradient = compiled(x, y)
    native_sample(gradient, start, 1, *chain.values())  # Numba compiles the sampler
    began = time.perf_counter()
    found, accepted = native_sample(gradient, start, 2000, *chain.values())
    native = (time.perf_counter() - began) / 2000
    print(f"@njit over jitgrad: {native * 1e6:.0f} us a draw, {accepted:.0%} accepted")
    print("intercept:", f"{found[500:, -1].mean():.2f} +- {found[500:, -1].std():.2f}")
    try:
        slow = over_jax(x, y)
    except ImportError:
        return
    sample(slow, start, 2, *chain.values())
    began = time.perf_counter()
    found, accepted = sample(slow, start, 100, *chain.values())
    seconds = (time.perf_counter() - began) / 100
    print(f"Python over jax.jit: {seconds * 1e6:.0f} us a draw, {accepted:.0%} accepted: {seconds / native:.0f} times as long")


if __name__ == "__main__":
    main()
