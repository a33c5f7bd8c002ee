"""The three models that `jitgrad compare` trains, as one would write them with PyTorch.

A model is a loss of its parameters and of a batch, a prediction, and where to start. Nothing here knows how it is
run: gradients come from `jitgrad.value_and_grad`, machine code from `jitgrad.jit`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jitgrad as jg


class Model(NamedTuple):
    """A model: `loss(*parameters, x, y)`, `predict(*parameters, x)` gives classes, `start()` the first parameters."""

    name: str
    data: str
    loss: Callable
    predict: Callable
    start: Callable
    rate: float
    batch: int | None  # rows a step; None: all of them


# One sigmoid neuron with one input.


def binary_cross_entropy(prediction: Any, target: Any) -> Any:
    epsilon = 1e-8
    prediction = jg.clamp(prediction, epsilon, 1 - epsilon)
    return -(target * jg.log(prediction) + (1 - target) * jg.log(1 - prediction))


def neuron(w: Any, b: Any, x: Any) -> Any:
    return jg.sigmoid(w * x + b)


def neuron_loss(w: Any, b: Any, x: Any, y: Any) -> Any:
    return binary_cross_entropy(neuron(w, b, x), y).mean()


def neuron_predict(w: Any, b: Any, x: Any) -> Any:
    return neuron(w, b, x) > 0.5


def neuron_start() -> tuple:
    return jg.tensor(1.0), jg.tensor(0.0)


# Logistic regression: many inputs. softplus(z) - y z is the cross entropy of sigmoid(z), without overflow.


def logistic_loss(w: Any, b: Any, x: Any, y: Any) -> Any:
    z = x @ w + b
    return (jg.softplus(z) - y * z).mean()


def logistic_predict(w: Any, b: Any, x: Any) -> Any:
    return x @ w + b > 0


def logistic_start() -> tuple:
    return jg.zeros(30), jg.tensor(0.0)


# A network of two layers for ten classes.


def network(w1: Any, b1: Any, w2: Any, b2: Any, x: Any) -> Any:
    return jg.tanh(x @ w1 + b1) @ w2 + b2


def network_loss(w1: Any, b1: Any, w2: Any, b2: Any, x: Any, y: Any) -> Any:
    scores = jg.log_softmax(network(w1, b1, w2, b2, x), dim=1)
    return -jg.gather(scores, 1, y.reshape(-1, 1)).mean()


def network_predict(w1: Any, b1: Any, w2: Any, b2: Any, x: Any) -> Any:
    return network(w1, b1, w2, b2, x).argmax(dim=1)


def network_start() -> tuple:
    return jg.randn(64, 32) / 8, jg.zeros(32), jg.randn(32, 10) / 6, jg.zeros(10)


MODELS = (
    Model("sigmoid neuron", "one feature", neuron_loss, neuron_predict, neuron_start, 0.5, None),
    Model("logistic regression", "tumours", logistic_loss, logistic_predict, logistic_start, 0.5, None),
    Model("two-layer network", "digits", network_loss, network_predict, network_start, 0.5, 128),
)


def training_step(model: Model) -> Callable:
    """One step of gradient descent: parameters and a batch in; loss, gradients and new parameters out."""
    count, rate = len(model.start()), model.rate
    gradient = jg.value_and_grad(model.loss, argnums=tuple(range(count)))

    def step(parameters: tuple, x: Any, y: Any) -> tuple:
        loss, gradients = gradient(*parameters, x, y)
        return loss, gradients, tuple(p - rate * g for p, g in zip(parameters, gradients))

    return step
