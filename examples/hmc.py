"""Hamiltonian Monte Carlo with no Python in the loop: Bayesian logistic regression on the breast cancer data.

The sampler is one plain function. Under `@njit`, with the gradient from `compile`, all of it is machine code; the same
function in Python, over `jax.jit` where JAX is installed, is what one would write otherwise. Run it:

    pip install 'jitgrad[demo]'
    python examples/hmc.py [--quick] [--plot FILE]

It prints what a draw costs and the posterior of the intercept.

Source of the method: R. Neal, MCMC using Hamiltonian dynamics, in Handbook of Markov Chain Monte Carlo (2011).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from shared import options, picture, table, tumours

import jitgrad as jg


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


def in_numpy(function: Callable, array: Callable = jg.Tensor.numpy) -> Callable:
    """A function under `jit`, for code that wants a number and an array."""

    def energy_and_force(w: np.ndarray) -> tuple:
        value, slope = function(w)
        return value.item(), array(slope)

    return energy_and_force


def over_jax(x: np.ndarray, y: np.ndarray) -> Callable:
    """The same for Python, from JAX."""
    import jax

    jax.config.update("jax_enable_x64", True)
    return in_numpy(jax.jit(jax.value_and_grad(potential(x, y, jax.numpy))), np.asarray)


def main(arguments: list[str] | None = None) -> tuple:
    """The example; returns the native function, and the draws."""
    given = options(__doc__, arguments)
    x, y = tumours()
    start, chain = np.zeros(x.shape[1]), {"leaps": 20, "step": 0.05, "seed": 1}
    gradient, draws = compiled(x, y), 300 if given.quick else 2000
    found, accepted = native_sample(gradient, start, draws, *chain.values())
    kept = found[draws // 4 :, -1]
    print(f"{accepted:.0%} of {draws} proposals accepted; intercept {kept.mean():.2f} +- {kept.std():.2f}")

    few, under_jit = 20 if given.quick else 100, jg.jit(jg.value_and_grad(potential(jg.tensor(x), jg.tensor(y))))
    calls = {
        "@njit over compile": lambda: native_sample(gradient, start, few, *chain.values()),
        "the same in Python over jit": lambda: sample(in_numpy(under_jit), start, few, *chain.values()),
    }
    try:
        slow = over_jax(x, y)
        calls["the same in Python over jax.jit"] = lambda: sample(slow, start, few, *chain.values())
    except ImportError:
        pass
    table(f"{few} draws of {chain['leaps']} leaps", calls, 3 if given.quick else 7)
    if given.plot:
        with picture(given.plot) as axes:
            axes.plot(found[:, -1], linewidth=0.5)
            axes.set(xlabel="draw", ylabel="intercept")
    return gradient, found


if __name__ == "__main__":
    main()
