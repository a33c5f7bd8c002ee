"""Training steps with Adam on scikit-learn's digits: loss, gradient and update, eagerly and under `jit`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.contestants import EAGER, INTERPRETED, JIT, NUMPY, TORCH, Contestant, Entrants, Workload
from bench.libraries import load
from bench.mlp import network_by_hand, network_loss

SHAPE = (20, 64, 64)
"""Steps, rows of a batch, hidden units."""
RATE, BETAS, EPS = 1e-3, (0.9, 0.999), 1e-8


def digits(steps: int = SHAPE[0], rows: int = SHAPE[1], hidden: int = SHAPE[2]) -> Workload:
    """Some steps from the same beginning each time; what is right or wrong is the loss before each of them."""

    @functools.cache
    def arguments() -> tuple[list[np.ndarray], list[tuple[np.ndarray, np.ndarray]]]:
        from sklearn.datasets import load_digits

        random = np.random.default_rng(17)
        images, classes = load_digits(return_X_y=True)
        images = (images / 16).astype(np.float32)
        start = [
            random.standard_normal((64, hidden), np.float32) / np.float32(8),
            np.zeros(hidden, np.float32),
            random.standard_normal((hidden, 10), np.float32) / np.float32(hidden**0.5),
            np.zeros(10, np.float32),
        ]
        chosen = [random.choice(len(images), rows, replace=False) for _ in range(steps)]
        return start, [(images[i], classes[i]) for i in chosen]

    def contestant(run: Callable, array: Callable) -> Contestant:
        start, batches = arguments()
        given = [array(a) for a in start], [(array(x), array(y)) for x, y in batches]
        return Contestant(run, given, lambda losses: [np.array([float(loss) for loss in losses])])

    def jitted(sweep: str) -> Contestant:
        import jitgrad as jg

        loss, optimizer = network_loss(load("jitgrad")), jg.optim.functional.adam(RATE, BETAS, EPS)

        @jg.jit
        def step(params: Any, state: Any, x: Any, y: Any) -> Any:
            value, gradients = jg.value_and_grad(lambda params: loss(*params, x, y))(params)
            return value, *optimizer.update(gradients, state, params)

        def run(params: Any, batches: Any) -> list[Any]:
            state, losses = optimizer.init(params), []
            for x, y in batches:
                value, params, state = step(params, state, x, y)
                losses.append(value)
            return losses

        return contestant(run, jg.tensor)._replace(context=lambda: jg.sweep(sweep))

    def eager(library: str) -> Contestant:
        given = load(library)
        return contestant(functools.partial(_eagerly, given.xp, network_loss(given)), given.array)

    entrants: Entrants = {
        JIT: lambda: jitted("auto"),
        INTERPRETED: lambda: jitted("interpreted"),
        EAGER: lambda: eager("jitgrad"),
        TORCH: lambda: eager("torch"),
        NUMPY: lambda: contestant(_by_hand, np.asarray),
    }

    def right() -> list[np.ndarray]:
        start, batches = arguments()
        doubled = [a.astype(np.float64) for a in start], [(x.astype(np.float64), y) for x, y in batches]
        return [np.array(_by_hand(*doubled))]

    title = f"{steps} steps of Adam on digits, batch {rows} × 64 → {hidden} → 10, float32"
    return Workload(f"digits {steps}x{rows}-{hidden}", title, JIT, entrants, right)


def _eagerly(xp: Any, loss: Callable, start: Any, batches: Any) -> list[Any]:
    params = [a.clone().requires_grad_() for a in start]
    optimizer = xp.optim.Adam(params, RATE, BETAS, EPS)
    losses = []
    for x, y in batches:
        optimizer.zero_grad()
        value = loss(*params, x, y)
        value.backward()
        optimizer.step()
        losses.append(value.detach())
    return losses


def _by_hand(start: Any, batches: Any) -> list[Any]:
    params, losses = [a.copy() for a in start], []
    means, squares = [np.zeros_like(p) for p in params], [np.zeros_like(p) for p in params]
    for t, (x, y) in enumerate(batches, 1):
        value, gradients = network_by_hand(*params, x, y)
        losses.append(value)
        for p, g, m, v in zip(params, gradients, means, squares):
            m += (1 - BETAS[0]) * (g - m)
            v += (1 - BETAS[1]) * (g * g - v)
            p -= RATE / (1 - BETAS[0] ** t) * m / (np.sqrt(v / (1 - BETAS[1] ** t)) + EPS)
    return losses
