"""One sigmoid neuron with one input and binary cross entropy: all numbers, so all overhead."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.by_hand import by_c, njit
from bench.contestants import NUMBA, C, Contestant, Problem, Workload, differentiated, eager, flat
from bench.libraries import Library

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


PROBLEM = Problem("neuron", "sigmoid neuron, value and gradient under jit, tensors in and out", loss, arguments, 2, by_hand)


def neuron() -> Workload:
    """Value and gradient, tensors in and out."""
    return differentiated(PROBLEM, {NUMBA: _numba, C: _c})


def eager_neuron() -> Workload:
    """A whole step of training without the update: forward, backward, zero the gradients."""
    return eager(PROBLEM, "sigmoid neuron, whole eager step: forward, backward, zero the gradients", zero=True)


def _numba() -> Contestant:
    @njit()
    def value_and_gradient(w, b, x, y):
        one, low = np.float32(1), np.float32(EPSILON)
        high = one - low
        s = one / (one + math.exp(-(w * x + b)))
        p = min(max(s, low), high)
        value = -(y * math.log(p) + (one - y) * math.log(one - p))
        dz = (p - y) / (p * (one - p)) * s * (one - s) if low <= s <= high else np.float32(0)
        return value, (dz * x, dz)

    return Contestant(value_and_gradient, arguments(), flat)


def _c() -> Contestant:
    function, pair = by_c("neuron", "ffff*", returns="f"), ctypes.c_float * 2

    def call(w: Any, b: Any, x: Any, y: Any) -> Any:
        gradient = pair()
        return function(w, b, x, y, gradient), tuple(gradient)

    return Contestant(call, tuple(map(float, arguments())), flat)
