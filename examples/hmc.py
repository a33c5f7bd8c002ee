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


def sample(energy: Callable, force: Callable, start: np.ndarray, draws: int, leaps: int, step: float, seed: int) -> tuple:
    """Draws of the weights (one a row), and the share of proposals that was accepted; `force` is the slope of `energy`."""
    np.random.seed(seed)
    here, here_energy, here_slope = start, energy(start), force(start)
    found, accepted = np.empty((draws, start.size)), 0
    for i in range(draws):
        momentum = np.random.standard_normal(start.size)
        before = here_energy + 0.5 * (momentum * momentum).sum()
        there, slope = here, here_slope
        for _ in range(leaps):
            momentum = momentum - 0.5 * step * slope
            there = there + step * momentum
            slope = force(there)
            momentum = momentum - 0.5 * step * slope
        there_energy = energy(there)
        after = there_energy + 0.5 * (momentum * momentum).sum()
        if np.log(np.random.random()) < before - after:
            here, here_energy, here_slope, accepted = there, there_energy, slope, accepted + 1
        found[i] = here
    return found, accepted / draws


native_sample = numba.njit(sample, nogil=True)


def compiled(x: np.ndarray, y: np.ndarray) -> tuple:
    """Energy and force for `@njit` code; the data are part of them."""
    energy, example = potential(jg.tensor(x), jg.tensor(y)), np.zeros(x.shape[1])
    return jg.jit(energy).compile(example).njit, jg.grad(energy).compile(example).njit


def in_numpy(energy: Callable, force: Callable, array: Callable = jg.Tensor.numpy) -> tuple:
    """The two functions, of some library, for code that wants a number and an array."""
    return lambda w: energy(w).item(), lambda w: array(force(w))


def over_jax(x: np.ndarray, y: np.ndarray) -> tuple:
    """The same for Python, from JAX."""
    import jax

    jax.config.update("jax_enable_x64", True)
    energy = potential(x, y, jax.numpy)
    return in_numpy(jax.jit(energy), jax.jit(jax.grad(energy)), np.asarray)


def main(arguments: list[str] | None = None) -> tuple:
    """The example; returns the native functions, and the draws."""
    given = options(__doc__, arguments)
    x, y = tumours()
    start, chain = np.zeros(x.shape[1]), {"leaps": 20, "step": 0.05, "seed": 1}
    native, draws = compiled(x, y), 300 if given.quick else 2000
    found, accepted = native_sample(*native, start, draws, *chain.values())
    kept = found[draws // 4 :, -1]
    print(f"{accepted:.0%} of {draws} proposals accepted; intercept {kept.mean():.2f} +- {kept.std():.2f}")

    few, energy = 20 if given.quick else 100, potential(jg.tensor(x), jg.tensor(y))
    under_jit = in_numpy(jg.jit(energy), jg.jit(jg.grad(energy)))
    calls = {
        "@njit over compile": lambda: native_sample(*native, start, few, *chain.values()),
        "the same in Python over jit": lambda: sample(*under_jit, start, few, *chain.values()),
    }
    try:
        slow = over_jax(x, y)
        calls["the same in Python over jax.jit"] = lambda: sample(*slow, start, few, *chain.values())
    except ImportError:
        pass
    table(f"{few} draws of {chain['leaps']} leaps", calls, 3 if given.quick else 7)
    if given.plot:
        with picture(given.plot) as axes:
            axes.plot(found[:, -1], linewidth=0.5)
            axes.set(xlabel="draw", ylabel="intercept")
    return native, found


if __name__ == "__main__":
    main()
