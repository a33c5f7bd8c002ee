"""Training steps with Adam on scikit-learn's digits: loss, gradient and update, eagerly and under `jit`."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from bench.contestants import JIT, NUMPY, Workload
from bench.mlp import network_by_hand, network_loss
from bench.training import BETAS, EPS, RATE, Training

SHAPE = (20, 64, 64)
"""Steps, rows of a batch, hidden units."""


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

    training = Training(network_loss, arguments)
    entrants = training.entrants() | {NUMPY: lambda: training.contestant(_by_hand, np.asarray)}
    title = f"{steps} steps of Adam on digits, batch {rows} × 64 → {hidden} → 10, float32"
    right = lambda: [np.array(_by_hand(*training.doubled()))]
    return Workload(f"digits {steps}x{rows}-{hidden}", title, JIT, entrants, right)


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
