"""Training steps of small models without the update: a two-layer network, and logistic regression."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.contestants import Problem, Workload, differentiated
from bench.libraries import Library

SHAPES = ((32, 16, 32, 1), (64, 784, 128, 10), (256, 1024, 1024, 10))
"""Rows of the batch, inputs, hidden units, outputs; one output tells two classes apart."""


def network_loss(library: Library) -> Callable:
    """Two layers and softmax cross entropy."""
    tanh, cross_entropy = library.xp.tanh, library.cross_entropy

    def network(w1: Any, b1: Any, w2: Any, b2: Any, x: Any, classes: Any) -> Any:
        return cross_entropy(tanh(x @ w1 + b1) @ w2 + b2, classes)

    return network


def binary_loss(library: Library) -> Callable:
    """Two layers with one output, and binary cross entropy of its sigmoid."""
    tanh, regression = library.xp.tanh, logistic_loss(library)

    def network(w1: Any, b1: Any, w2: Any, b2: Any, x: Any, y: Any) -> Any:
        return regression(w2, b2, tanh(x @ w1 + b1), y)

    return network


def network_by_hand(w1: Any, b1: Any, w2: Any, b2: Any, x: Any, classes: Any) -> Any:
    """Value and gradient in the parameters, with one output or many."""
    hidden = np.tanh(x @ w1 + b1)
    scores = hidden @ w2 + b2
    value, dscores = (binary_by_hand if w2.shape[1] == 1 else cross_entropy_by_hand)(scores, classes)
    back = (dscores @ w2.T) * (1 - hidden * hidden)
    return value, (x.T @ back, back.sum(axis=0), hidden.T @ dscores, dscores.sum(axis=0))


def binary_by_hand(z: Any, y: Any) -> Any:
    """Binary cross entropy of sigmoid(z), and its derivative in z."""
    return np.mean(np.logaddexp(z, 0) - y * z), (1 / (1 + np.exp(-z)) - y) / z.dtype.type(z.size)


def cross_entropy_by_hand(scores: Any, classes: Any) -> Any:
    """Softmax cross entropy, and its derivative in the scores."""
    rows = np.arange(len(classes))
    shifted = scores - scores.max(axis=1, keepdims=True)
    p = np.exp(shifted)
    total = p.sum(axis=1, keepdims=True)
    value = np.mean(np.log(total[:, 0]) - shifted[rows, classes])
    p /= total
    p[rows, classes] -= 1
    p /= len(classes)
    return value, p


def network(rows: int, inputs: int, hidden: int, outputs: int) -> Workload:
    """Value and gradient of the loss of a batch in all parameters."""

    def arguments() -> tuple:
        random = np.random.default_rng(3)

        def normal(*shape: int) -> np.ndarray:
            return random.standard_normal(shape, np.float32) / np.float32(np.sqrt(shape[0]))

        parameters = normal(inputs, hidden), normal(hidden), normal(hidden, outputs), normal(outputs)
        x = random.standard_normal((rows, inputs), np.float32)
        if outputs == 1:
            return *parameters, x, random.integers(0, 2, (rows, 1)).astype(np.float32)
        return *parameters, x, random.integers(0, outputs, rows)

    loss, what = (binary_loss, "binary") if outputs == 1 else (network_loss, "softmax")
    shape = f"{rows} × {inputs} → {hidden} → {outputs}"
    title = f"two-layer network, batch {shape}, {what} cross entropy, value and gradient"
    name = f"mlp {rows}x{inputs}-{hidden}-{outputs}"
    return differentiated(Problem(name, title, loss, arguments, 4, network_by_hand))


def logistic_loss(library: Library) -> Callable:
    """Binary cross entropy of sigmoid(z), written so that nothing overflows."""
    mean, softplus = library.xp.mean, library.softplus

    def regression(w: Any, b: Any, x: Any, y: Any) -> Any:
        z = x @ w + b
        return mean(softplus(z) - y * z)

    return regression


def logistic_by_hand(w: Any, b: Any, x: Any, y: Any) -> Any:
    """Value and gradient in the parameters."""
    value, dz = binary_by_hand(x @ w + b, y)
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
