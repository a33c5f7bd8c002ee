"""Programs of many blocks that the suite on a GPU runs: what needs threads to wait for each other, or blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import jitgrad as jg


class Program(NamedTuple):
    """`run` of operands that are drawn; shapes are given for the smallest size, and one dimension of them times `scale`."""

    name: str
    run: Callable[..., Any]
    operands: Callable[[np.random.Generator, int], list[np.ndarray]]
    scale: int = 100


def normal(*shapes: tuple[int, ...]) -> Callable[[np.random.Generator, int], list[np.ndarray]]:
    """Normal numbers; the first dimension is scaled."""
    return lambda rng, scale: [rng.normal(size=(shape[0] * scale, *shape[1:])) for shape in shapes]


def wide(*shapes: tuple[int, ...]) -> Callable[[np.random.Generator, int], list[np.ndarray]]:
    """Normal numbers; the last dimension is scaled."""
    return lambda rng, scale: [rng.normal(size=(*shape[:-1], shape[-1] * scale)) for shape in shapes]


def square(rng: np.random.Generator, scale: int) -> list[np.ndarray]:
    """Two matrices to be multiplied."""
    return [rng.normal(size=(5 * scale, 3 * scale)), rng.normal(size=(3 * scale, 4 * scale))]


def batched(rng: np.random.Generator, scale: int) -> list[np.ndarray]:
    """Two stacks of matrices to be multiplied."""
    return [rng.normal(size=(2, 5 * scale, 3 * scale)), rng.normal(size=(2, 3 * scale, 4))]


def classes(rng: np.random.Generator, scale: int) -> list[np.ndarray]:
    """Scores and classes."""
    return [rng.normal(size=(3 * scale, 37)), rng.integers(0, 37, 3 * scale)]


def places(rng: np.random.Generator, scale: int) -> list[np.ndarray]:
    """Rows, and numbers of rows, of which many recur."""
    return [rng.normal(size=(5 * scale, 3)), rng.integers(0, 5 * scale, 7 * scale)]


def affine(rng: np.random.Generator, scale: int) -> list[np.ndarray]:
    """Rows, with a weight and a bias for each column."""
    return [rng.normal(size=(4 * scale, 33)), rng.normal(size=33), rng.normal(size=33)]


def layers(rng: np.random.Generator, scale: int) -> list[np.ndarray]:
    """Parameters of two layers, and a batch."""
    n = 3 * scale
    return [
        rng.normal(size=(n, n + 1)) / n**0.5,
        rng.normal(size=n + 1),
        rng.normal(size=(n + 1, 5)) / n**0.5,
        rng.normal(size=(8, n)),
    ]


def layer_norm(x: Any, weight: Any, bias: Any) -> Any:
    """Normalisation of rows."""
    centred = x - jg.mean(x, -1, keepdim=True)
    return centred / jg.sqrt(jg.mean(centred * centred, -1, keepdim=True) + 1e-5) * weight + bias


def several(x: Any) -> Any:
    """Reductions along different dimensions in one expression."""
    return x * x.sum(0) + x.mean(1, keepdim=True) * x.max() + jg.tanh(x)


PROGRAMS = [
    Program("sum", lambda x: x.sum(), normal((11, 97))),
    Program("sum of columns", lambda x: x.sum(0), normal((11, 97))),
    Program("sum of rows", lambda x: x.sum(1), normal((11, 97))),
    Program("sum of long rows", lambda x: x.sum(1), wide((5, 130))),
    Program("sum of short rows", lambda x: x.sum(1), normal((40, 7))),
    Program("sum of the middle", lambda x: x.sum(1), normal((3, 29, 17))),
    Program("mean of both ends", lambda x: x.mean((0, 2)), normal((3, 29, 17))),
    Program("standard deviation", lambda x: x.std(0), normal((11, 19))),
    Program("largest of rows", lambda x: x.max(1).values, normal((11, 97))),
    Program("place of the largest", lambda x: x.argmax(1), normal((11, 97))),
    Program("softmax of rows", lambda x: jg.softmax(x, -1), normal((11, 97))),
    Program("softmax of short rows", lambda x: jg.softmax(x, -1), normal((40, 7))),
    Program("softmax of columns", lambda x: jg.softmax(x, 0), normal((11, 19))),
    Program("logsumexp of long rows", lambda x: jg.logsumexp(x, 1), wide((5, 130))),
    Program("layer normalisation", layer_norm, affine),
    Program("several reductions", several, normal((11, 23))),
    Program("cross entropy", lambda x, y: jg.cross_entropy(x, y), classes),
    Program("product", lambda x, y: x @ y, square, 40),
    Program("product of transposes", lambda x, y: y.transpose(0, 1) @ x.transpose(0, 1), square, 40),
    Program("products of a stack", lambda x, y: x @ y, batched, 30),
    Program("two layers", lambda w, b, v, x: jg.logsumexp(jg.tanh(x @ w + b) @ v, 1), layers, 50),
    Program("running sums of rows", lambda x: x.cumsum(1), wide((5, 130))),
    Program("running sums of columns", lambda x: x.cumsum(0), normal((11, 19))),
    Program("sorted rows", lambda x: x.sort(1).values, wide((3, 75)), 30),
    Program("five largest", lambda x: x.topk(5, 1).values, wide((3, 75)), 30),
    Program("looked up", lambda x, i: x[i] * 2, places),
    Program("added at places", lambda x, i: jg.zeros_like(x).index_add(0, i, x[i] * x[i]), places),
    Program("joined", lambda x, y: jg.cat([x, y * 2, x], 0), normal((11, 19), (5, 19))),
]
