"""Hamiltonian Monte Carlo on a logistic regression: the sampler of examples/hmc.py, in `@njit` and in Python."""

from __future__ import annotations

import functools
import importlib
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from bench.contestants import DOUBLE_TOLERANCE, JAX, JIT, NUMPY, Contestant, Workload, waited_for

CHAIN = {"leaps": 20, "step": 0.05, "seed": 1}


@functools.cache
def _example(name: str) -> Any:
    """A module of examples/, which is no package; when it is needed, since it imports Numba."""
    folder = str(Path(__file__).resolve().parents[1] / "examples")
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module(name)


@functools.cache
def _data(name: str) -> tuple[np.ndarray, np.ndarray]:
    found: tuple[np.ndarray, np.ndarray] = getattr(_example("shared"), name)()
    return found


def _by_hand(x: np.ndarray, y: np.ndarray) -> tuple:
    def energy(w: np.ndarray) -> Any:
        return np.log1p(np.exp(-y * (x @ w))).sum() + 0.5 * (w * w).sum()

    def force(w: np.ndarray) -> np.ndarray:
        e = np.exp(-y * (x @ w))
        return x.T @ (-y * e / (1 + e)) + w

    return energy, force


def hamiltonian(data: str, draws: int = 50) -> Workload:
    """Where the chain is after some draws of 20 leaps each: 20 gradients and a value a draw."""

    def contestant(sample: str, functions: tuple, context: Any = nullcontext) -> Contestant:
        def call(start: np.ndarray) -> Any:
            return getattr(_example("hmc"), sample)(*functions, start, draws, *CHAIN.values())[0]

        return Contestant(call, (np.zeros(_data(data)[0].shape[1]),), lambda found: [found], context)

    def jax() -> Contestant:
        import jax

        context, hmc = functools.partial(jax.enable_x64, True), _example("hmc")
        with context():
            energy = hmc.potential(*_data(data), jax.numpy)
            functions = [waited_for(jax.jit(function)) for function in (energy, jax.grad(energy))]
            return contestant("sample", hmc.in_numpy(*functions, np.asarray), context)

    entrants = {
        JIT: lambda: contestant("native_sample", _example("hmc").compiled(*_data(data))),
        JAX: jax,
        NUMPY: lambda: contestant("sample", _by_hand(*_data(data))),
    }

    def reference() -> list[np.ndarray]:
        by_hand = entrants[NUMPY]()
        return by_hand.arrays(by_hand.call(*by_hand.args))

    title = f"Hamiltonian Monte Carlo, {draws} draws of 20 leaps, {data}, float64: jitgrad in @njit, the others in Python"
    return Workload(f"hmc {data}", title, JIT, entrants, reference, DOUBLE_TOLERANCE)
