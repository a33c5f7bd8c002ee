"""Two layers by themselves: softmax cross entropy of many classes, and normalisation of rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.contestants import Problem, Workload, differentiated
from bench.libraries import Library
from bench.mlp import cross_entropy_by_hand


def cross_entropy(rows: int = 256, classes: int = 1000) -> Workload:
    """Value, and gradient in the scores, each library with the function that it has for this."""

    def arguments() -> tuple:
        random = np.random.default_rng(8)
        return random.standard_normal((rows, classes), np.float32), random.integers(0, classes, rows)

    title = f"softmax cross entropy, {rows} × {classes}, value and gradient"
    name = f"cross-entropy {rows}x{classes}"
    return differentiated(Problem(name, title, lambda lib: lib.cross_entropy, arguments, 1, cross_entropy_by_hand))


def norm_loss(library: Library) -> Callable:
    """Layer normalisation, summed with given weights: its gradient is that of a layer inside of a network."""
    layer_norm, total = library.layer_norm, library.xp.sum

    def weighted(x: Any, weight: Any, bias: Any, cotangent: Any) -> Any:
        return total(layer_norm(x, weight, bias) * cotangent)

    return weighted


def norm_by_hand(x: Any, weight: Any, bias: Any, cotangent: Any) -> Any:
    """Value and gradient in x, weight and bias (Ba, Kiros, Hinton: Layer Normalization, 2016)."""
    centred = x - x.mean(-1, keepdims=True)
    scale = 1 / np.sqrt(np.mean(centred * centred, -1, keepdims=True) + x.dtype.type(1e-5))
    normal = centred * scale
    back = cotangent * weight
    dx = scale * (back - back.mean(-1, keepdims=True) - normal * np.mean(back * normal, -1, keepdims=True))
    value = np.sum((normal * weight + bias) * cotangent)
    return value, (dx, np.sum(cotangent * normal, 0), np.sum(cotangent, 0))


def layer_norm(rows: int = 512, columns: int = 768) -> Workload:
    """Value, and gradient in x, weight and bias."""

    def arguments() -> tuple:
        random = np.random.default_rng(9)

        def normal(*shape: int) -> np.ndarray:
            return random.standard_normal(shape, np.float32)

        return normal(rows, columns) * 2 + 1, 1 + normal(columns) / 10, normal(columns) / 10, normal(rows, columns)

    title = f"layer_norm, {rows} × {columns}, value and gradient in x, weight and bias"
    return differentiated(Problem(f"layer-norm {rows}x{columns}", title, norm_loss, arguments, 3, norm_by_hand))
