"""Hessians: of Rosenbrock's function, and of the logarithm of a sum of exponentials, whose products are BLAS's."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np

from bench.contestants import INTERPRETED, JAX, JIT, NUMPY, TORCH, Contestant, Workload, numbers, waited_for
from bench.libraries import Library, load
from bench.science import rosenbrock_loss


def rosenbrock_by_hand(x: np.ndarray) -> np.ndarray:
    """The Hessian, derived by hand."""
    here, after = x[:-1], x[1:]
    found = np.zeros((x.size, x.size))
    rows = np.arange(x.size - 1)
    found[rows, rows] = 1200 * here**2 - 400 * after + 2
    found[rows + 1, rows + 1] += 200
    found[rows, rows + 1] = found[rows + 1, rows] = -400 * here
    return found


def smooth_maximum_loss(matrix: np.ndarray) -> Callable[[Library], Callable]:
    """The logarithm of the sum of the exponentials of the rows of a matrix times x."""

    def loss_in(library: Library) -> Callable:
        a = library.array(matrix)

        def smooth_maximum(x: Any) -> Any:
            return library.xp.log(library.xp.sum(library.xp.exp(a @ x)))

        return smooth_maximum

    return loss_in


def _smooth_maximum_by_hand(matrix: np.ndarray, x: np.ndarray) -> np.ndarray:
    p = np.exp(matrix @ x)
    p /= p.sum()
    mean = p @ matrix
    return (matrix.T * p) @ matrix - np.outer(mean, mean)


def _hessian(name: str, title: str, loss: Callable[[Library], Callable], size: int, by_hand: Callable) -> Workload:
    @functools.cache
    def arguments() -> np.ndarray:
        return np.random.default_rng(7).uniform(-1, 1, size)

    def contestant(call: Callable, x: Any, context: Any = nullcontext) -> Contestant:
        return Contestant(call, (x,), lambda found: [numbers(found)], context)

    def jitgrad(sweep: str) -> Contestant:
        import jitgrad as jg

        return contestant(jg.jit(jg.hessian(loss(load("jitgrad")))), jg.tensor(arguments()), lambda: jg.sweep(sweep))

    def torch() -> Contestant:
        from torch.func import hessian

        library = load("torch")
        return contestant(hessian(loss(library)), library.array(arguments()))

    def jax() -> Contestant:
        import jax

        context = functools.partial(jax.enable_x64, True)
        with context():
            library = load("jax")
            return contestant(waited_for(jax.jit(jax.hessian(loss(library)))), library.array(arguments()), context)

    entrants = {
        JIT: lambda: jitgrad("auto"),
        INTERPRETED: lambda: jitgrad("interpreted"),
        TORCH: torch,
        JAX: jax,
        NUMPY: lambda: contestant(by_hand, arguments()),
    }
    return Workload(f"{name} {size}", title, JIT, entrants, lambda: [by_hand(arguments())], 1e-9)


def rosenbrock_hessian(size: int = 100) -> Workload:
    """Float64."""
    title = f"Hessian of Rosenbrock's function of {size} variables, float64"
    return _hessian("hessian rosenbrock", title, rosenbrock_loss, size, rosenbrock_by_hand)


def smooth_maximum_hessian(size: int = 100) -> Workload:
    """Float64, of as many rows as variables."""
    matrix = np.random.default_rng(8).standard_normal((size, size)) / size**0.5
    title = f"Hessian of log(sum(exp(A x))), {size} variables, float64"
    by_hand = functools.partial(_smooth_maximum_by_hand, matrix)
    return _hessian("hessian smooth-maximum", title, smooth_maximum_loss(matrix), size, by_hand)
