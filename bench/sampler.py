"""Hamiltonian Monte Carlo on a logistic regression: the sampler of examples/hmc.py, in `@njit` and in Python."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.contestants import DOUBLE_TOLERANCE, JAX, JIT, NUMPY, Contestant, Workload, waited_for

CHAIN = {"leaps": 20, "step": 0.05, "seed": 1}


@functools.cache
def _example(name: str) -> Any:
    """A module of examples/, which is no package."""
    folder = str(Path(__file__).resolve().parents[1] / "examples")
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module(name)


def _by_hand(x: np.ndarray, y: np.ndarray) -> Callable:
    def energy_and_force(w: np.ndarray) -> tuple:
        e = np.exp(-y * (x @ w))
        return np.log1p(e).sum() + 0.5 * (w * w).sum(), x.T @ (-y * e / (1 + e)) + w

    return energy_and_force


def hamiltonian(draws: int = 50) -> Workload:
    """Where the chain is after some draws of 20 leaps each: 20 gradients a draw."""
    hmc, data = _example("hmc"), functools.cache(_example("shared").tumours)

    def contestant(sample: Callable, gradient: Callable, context: Any = None) -> Contestant:
        def call(start: np.ndarray) -> Any:
            return sample(gradient, start, draws, *CHAIN.values())[0]

        own = {} if context is None else {"context": context}
        return Contestant(call, (np.zeros(data()[0].shape[1]),), lambda found: [found], **own)

    def jax() -> Contestant:
        import jax

        context = functools.partial(jax.enable_x64, True)
        x, y = data()
        with context():
            function = waited_for(jax.jit(jax.value_and_grad(hmc.potential(x, y, jax.numpy))))
            return contestant(hmc.sample, hmc.in_numpy(function, np.asarray), context)

    entrants = {
        JIT: lambda: contestant(hmc.native_sample, hmc.compiled(*data())), JAX: jax,
        NUMPY: lambda: contestant(hmc.sample, _by_hand(*data())),
    }  # fmt: skip
    title = f"Hamiltonian Monte Carlo, {draws} draws of 20 leaps, float64: jitgrad in @njit, the others in Python"
    reference = lambda: [hmc.sample(_by_hand(*data()), np.zeros(data()[0].shape[1]), draws, *CHAIN.values())[0]]
    return Workload(f"hmc {draws}", title, JIT, entrants, reference, DOUBLE_TOLERANCE)
