"""Training steps of small models without the update: a two-layer network, and logistic regression."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.contestants import Problem, Workload, differentiated
from bench.libraries import Library

SHAPES = ((32, 16, 32, 2), (64, 784, 128, 10), (256, 1024, 1024, 10))
"""Rows of the batch, inputs, hidden units, classes."""


def network_loss(library: Library) -> Callable:
    """Two layers and softmax cross entropy."""
    tanh, cross_entropy = library.xp.tanh, library.cross_entropy

    def network(w1: Any, b1: Any, w2: Any, b2: Any, x: Any, classes: Any) -> Any:
        return cross_entropy(tanh(x @ w1 + b1) @ w2 + b2, classes)

    return network


def network_by_hand(w1: Any, b1: Any, w2: Any, b2: Any, x: Any, classes: Any) -> Any:
    """Value and gradient in the parameters."""
    rows = np.arange(len(classes))
    hidden = np.tanh(x @ w1 + b1)
    scores = hidden @ w2 + b2
    scores -= scores.max(axis=1, keepdims=True)
    p = np.exp(scores)
    total = p.sum(axis=1, keepdims=True)
    value = np.mean(np.log(total[:, 0]) - scores[rows, classes])
    p /= total
    p[rows, classes] -= 1
    p /= len(classes)
    back = (p @ w2.T) * (1 - hidden * hidden)
    return value, (x.T @ back, back.sum(axis=0), hidden.T @ p, p.sum(axis=0))


def network(rows: int, inputs: int, hidden: int, classes: int) -> Workload:
    """Value and gradient of the loss of a batch in all parameters."""

    def arguments() -> tuple:
        random = np.random.default_rng(3)

        def normal(*shape: int) -> np.ndarray:
            return random.standard_normal(shape, np.float32) / np.float32(np.sqrt(shape[0]))

        w1, b1, w2, b2 = normal(inputs, hidden), normal(hidden), normal(hidden, classes), normal(classes)
        return w1, b1, w2, b2, random.standard_normal((rows, inputs), np.float32), random.integers(0, classes, rows)

    name = f"mlp {rows}x{inputs}-{hidden}-{classes}"
    shape = f"{rows} × {inputs} → {hidden} → {classes}"
    title = f"two-layer network, batch {shape}, softmax cross entropy, value and gradient"
    return differentiated(Problem(name, title, network_loss, arguments, 4, network_by_hand))


def logistic_loss(library: Library) -> Callable:
    """Binary cross entropy of sigmoid(z), written so that nothing overflows."""
    mean, softplus = library.xp.mean, library.softplus

    def regression(w: Any, b: Any, x: Any, y: Any) -> Any:
        z = x @ w + b
        return mean(softplus(z) - y * z)

    return regression


def logistic_by_hand(w: Any, b: Any, x: Any, y: Any) -> Any:
    """Value and gradient in the parameters."""
    z = x @ w + b
    value = np.mean(np.logaddexp(z, 0) - y * z)
    dz = (1 / (1 + np.exp(-z)) - y) / len(y)
    return value, (dz @ x, dz.sum())


def logistic(rows: int = 569, inputs: int = 30) -> Workload:
    """Value and gradient of logistic regression; made-up data of the size of the breast-cancer table."""

    def arguments() -> tuple:
        random = np.random.default_rng(4)
        x = random.standard_normal((rows, inputs), np.float32)
        y = (x[:, 0] + random.standard_normal(rows, np.float32) > 0).astype(np.float32)
        return random.standard_normal(inputs, np.float32) / 5, np.float32(0.1), x, y

    title = f"logistic regression, {rows} × {inputs}, value and gradient"
    return differentiated(Problem(f"logistic {rows}x{inputs}", title, logistic_loss, arguments, 2, logistic_by_hand))
