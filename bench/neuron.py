"""One sigmoid neuron with one input and binary cross entropy: all numbers, so all overhead."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.contestants import (
    AUTOGRAD,
    EAGER,
    NUMBA,
    NUMPY,
    TORCH,
    Contestant,
    Problem,
    Workload,
    differentiated,
    flat,
    numbers,
)
from bench.libraries import Library, load

EPSILON = 1e-8


def loss(library: Library) -> Callable:
    """The neuron as one writes it in an eager library."""
    log, clamp, sigmoid = library.xp.log, library.clamp, library.sigmoid

    def binary_cross_entropy(prediction: Any, target: Any) -> Any:
        epsilon = 1e-8
        prediction = clamp(prediction, epsilon, 1 - epsilon)
        return -(target * log(prediction) + (1 - target) * log(1 - prediction))

    def neuron(w: Any, b: Any, x: Any, y: Any) -> Any:
        z = w * x + b
        return binary_cross_entropy(sigmoid(z), y)

    return neuron


def arguments() -> tuple:
    """w, b, x, y, as float32."""
    return tuple(np.array(v, np.float32)[()] for v in (1.0, 0.0, 6.7, 0.0))


def by_hand(w: Any, b: Any, x: Any, y: Any) -> Any:
    """Value and gradient in w and b, derived by hand, with NumPy's numbers."""
    s = 1 / (1 + np.exp(-(w * x + b)))
    p = min(max(s, EPSILON), 1 - EPSILON)
    value = -(y * np.log(p) + (1 - y) * np.log(1 - p))
    inside = EPSILON <= s <= 1 - EPSILON
    dz = (p - y) / (p * (1 - p)) * s * (1 - s) if inside else s * 0
    return value, (dz * x, dz)


def neuron() -> Workload:
    """Value and gradient, tensors in and out."""
    title = "sigmoid neuron, value and gradient under jit, tensors in and out"
    return differentiated(Problem("neuron", title, loss, arguments, 2, by_hand), {NUMBA: _numba})


def _numba() -> Contestant:
    import numba

    @numba.njit
    def value_and_gradient(w, b, x, y):
        one, low = np.float32(1), np.float32(EPSILON)
        high = one - low
        s = one / (one + math.exp(-(w * x + b)))
        p = min(max(s, low), high)
        value = -(y * math.log(p) + (one - y) * math.log(one - p))
        dz = (p - y) / (p * (one - p)) * s * (one - s) if low <= s <= high else np.float32(0)
        return value, (dz * x, dz)

    return Contestant(value_and_gradient, arguments(), flat)


def eager_neuron() -> Workload:
    """A whole step of training without the update: forward, backward, zero the gradients."""
    entrants: dict[str, Callable[[], Contestant]] = {
        EAGER: lambda: _step("jitgrad"),
        TORCH: lambda: _step("torch"),
        AUTOGRAD: _autograd_step,
        NUMPY: lambda: Contestant(by_hand, arguments(), flat),
    }
    title = "sigmoid neuron, whole eager step: forward, backward, zero the gradients"
    return Workload("neuron eager", title, EAGER, entrants, lambda: flat(by_hand(*map(np.float64, arguments()))))


def _step(name: str) -> Contestant:
    library = load(name)
    forward = loss(library)
    w, b, x, y = (library.array(a) for a in arguments())
    w.requires_grad_(True)
    b.requires_grad_(True)

    def step() -> None:
        forward(w, b, x, y).backward()
        w.grad.zero_()
        b.grad.zero_()

    def arrays(_: None) -> list[np.ndarray]:
        value = forward(w, b, x, y)
        value.backward()
        found = [numbers(part).copy() for part in (value, w.grad, b.grad)]
        w.grad.zero_()
        b.grad.zero_()
        return found

    return Contestant(step, (), arrays)


def _autograd_step() -> Contestant:
    import autograd

    step = autograd.value_and_grad(loss(load("autograd")), argnum=(0, 1))
    return Contestant(step, arguments(), flat)
