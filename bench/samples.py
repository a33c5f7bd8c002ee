"""Gradients of every sample of a batch, each shortened to a bound, and summed (see examples/per_sample.py)."""

from __future__ import annotations

import functools
from collections.abc import Callable
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


def each_by_hand(w1: Any, w2: Any, x: Any, y: Any) -> list[np.ndarray]:
    """The gradient of every sample."""
    hidden = np.tanh(x @ w1)
    p = np.exp(hidden @ w2)
    back = p / p.sum(1, keepdims=True) - y
    before = (back @ w2.T) * (1 - hidden * hidden)
    return [x[:, :, None] * before[:, None, :], hidden[:, :, None] * back[:, None, :]]


def samples(*shape: int) -> Workload:
    """The summed gradients, float32."""
    return _samples(shape or SHAPE, "samples", "each shortened, summed", summed, by_hand)


def each_sample(*shape: int) -> Workload:
    """The gradients of every sample, float32."""
    after = lambda _, *gradients: gradients
    return _samples(shape or (1000, *SHAPE[1:]), "each-sample", "each by itself", after, each_by_hand)


def _samples(shape: tuple, name: str, what: str, after: Callable, by_hand: Callable) -> Workload:
    """What becomes of the gradients of all samples."""
    count, inputs, hidden, classes = shape

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
        return contestant(jg.jit(lambda *args: after(jg, *each(*args))), jg.tensor, lambda: jg.sweep(sweep))

    def jax() -> Contestant:
        import jax

        class Names:  # NumPy's, and one of jax.nn
            sum, sqrt, tanh, maximum, logsumexp = (
                jax.numpy.sum,
                jax.numpy.sqrt,
                jax.numpy.tanh,
                jax.numpy.maximum,
                jax.nn.logsumexp,
            )

        each = jax.vmap(jax.grad(functools.partial(loss, Names), argnums=(0, 1)), (None, None, 0, 0))
        return contestant(waited_for(jax.jit(lambda *args: after(Names, *each(*args)))), jax.numpy.asarray)

    def torch() -> Contestant:
        import torch
        from torch.func import grad, vmap

        each = vmap(grad(functools.partial(loss, torch), argnums=(0, 1)), (None, None, 0, 0))
        return contestant(lambda *args: after(torch, *each(*args)), torch.tensor)

    entrants: Entrants = {
        JIT: lambda: jitgrad("auto"),
        INTERPRETED: lambda: jitgrad("interpreted"),
        TORCH: torch,
        JAX: jax,
        NUMPY: lambda: contestant(by_hand, np.asarray),
    }
    title = f"gradients of {count} samples, {what}: network {inputs}–{hidden}–{classes}, float32"
    right = lambda: by_hand(*[a.astype(np.float64) for a in arguments()])
    return Workload(f"{name} {count}x{inputs}-{hidden}-{classes}", title, JIT, entrants, right)
