"""Gradients of every sample of a batch, each shortened to a bound, and summed (see examples/per_sample.py)."""

from __future__ import annotations

import functools
from contextlib import nullcontext
from typing import Any

import numpy as np

from bench.contestants import INTERPRETED, JAX, JIT, NUMPY, TORCH, Contestant, Entrants, Workload, numbers, waited_for

SHAPE = (128, 64, 32, 10)
"""Samples, inputs, hidden units, classes."""
BOUND = 1.0


def loss(xp: Any, w1: Any, w2: Any, x: Any, y: Any) -> Any:
    """Of one sample; y is 1 at its class."""
    scores = xp.tanh(x @ w1) @ w2
    return xp.logsumexp(scores, 0) - xp.sum(y * scores)


def summed(xp: Any, first: Any, second: Any) -> tuple:
    """The sum of the gradients, shortened, in both matrices."""
    squares = xp.sum(first * first, (1, 2)) + xp.sum(second * second, (1, 2))
    factor = BOUND / xp.sqrt(xp.maximum(squares, 0 * squares + BOUND**2))
    return xp.sum(factor[:, None, None] * first, 0), xp.sum(factor[:, None, None] * second, 0)


def by_hand(w1: Any, w2: Any, x: Any, y: Any) -> list[np.ndarray]:
    """The same without forming any sample's gradient: products of vectors have the products of their lengths."""
    hidden = np.tanh(x @ w1)
    scores = hidden @ w2
    p = np.exp(scores - scores.max(1, keepdims=True))
    back = p / p.sum(1, keepdims=True) - y
    before = (back @ w2.T) * (1 - hidden * hidden)
    squares = (x * x).sum(1) * (before * before).sum(1) + (hidden * hidden).sum(1) * (back * back).sum(1)
    factor = BOUND / np.sqrt(np.maximum(squares, BOUND**2))[:, None]
    return [x.T @ (factor * before), hidden.T @ (factor * back)]


def samples(count: int = SHAPE[0], inputs: int = SHAPE[1], hidden: int = SHAPE[2], classes: int = SHAPE[3]) -> Workload:
    """The summed gradients, float32."""

    @functools.cache
    def arguments() -> tuple:
        random = np.random.default_rng(13)
        w1 = random.standard_normal((inputs, hidden), np.float32) / np.float32(inputs**0.5)
        w2 = random.standard_normal((hidden, classes), np.float32) / np.float32(hidden**0.5)
        x = random.standard_normal((count, inputs), np.float32)
        return w1, w2, x, np.eye(classes, dtype=np.float32)[random.integers(0, classes, count)]

    def contestant(call: Any, array: Any, context: Any = nullcontext) -> Contestant:
        return Contestant(call, tuple(array(a) for a in arguments()), lambda found: [numbers(part) for part in found], context)

    def jitgrad(sweep: str) -> Contestant:
        import jitgrad as jg

        each = jg.vmap(jg.grad(functools.partial(loss, jg), argnums=(0, 1)), (None, None, 0, 0))
        return contestant(jg.jit(lambda *args: summed(jg, *each(*args))), jg.tensor, lambda: jg.sweep(sweep))

    def jax() -> Contestant:
        import jax

        class Names:  # NumPy's, and one of jax.nn
            sum, sqrt, tanh, maximum, logsumexp = (
                jax.numpy.sum, jax.numpy.sqrt, jax.numpy.tanh, jax.numpy.maximum, jax.nn.logsumexp,
            )  # fmt: skip

        each = jax.vmap(jax.grad(functools.partial(loss, Names), argnums=(0, 1)), (None, None, 0, 0))
        return contestant(waited_for(jax.jit(lambda *args: summed(Names, *each(*args)))), jax.numpy.asarray)

    def torch() -> Contestant:
        import torch
        from torch.func import grad, vmap

        each = vmap(grad(functools.partial(loss, torch), argnums=(0, 1)), (None, None, 0, 0))
        return contestant(lambda *args: summed(torch, *each(*args)), torch.tensor)

    entrants: Entrants = {
        JIT: lambda: jitgrad("auto"), INTERPRETED: lambda: jitgrad("interpreted"), TORCH: torch, JAX: jax,
        NUMPY: lambda: contestant(by_hand, np.asarray),
    }  # fmt: skip
    title = f"gradients of {count} samples, each shortened, summed: network {inputs}–{hidden}–{classes}, float32"
    name = f"samples {count}x{inputs}-{hidden}-{classes}"
    return Workload(name, title, JIT, entrants, lambda: by_hand(*[a.astype(np.float64) for a in arguments()]))
