"""A reverse-mode engine that is too simple to be wrong: float64 arrays, one dictionary of cotangents, no sharing.

It knows nothing of jitgrad. Every operation says its value and, for each operand, how a cotangent goes back, in plain
NumPy; broadcasting is undone by summing. Programs are lists of `Step`; `run` gives values, `gradients` all gradients
of the weighted sum of one value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Step(NamedTuple):
    """`name` of the values at the places `operands`, with parameters: its value gets the next place."""

    name: str
    operands: tuple[int, ...]
    params: tuple[Any, ...] = ()


def undo_broadcast(g: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The sum of a cotangent over the dimensions along which its operand was repeated."""
    while g.ndim > len(shape):
        g = g.sum(axis=0)
    for d, n in enumerate(shape):
        if n == 1 and g.shape[d] != 1:
            g = g.sum(axis=d, keepdims=True)
    return g


def unreduce(g: np.ndarray, x: np.ndarray, dim: int | None, keepdim: bool) -> np.ndarray:
    """A cotangent of a reduction, repeated to the shape of what was reduced."""
    if dim is not None and not keepdim:
        g = np.expand_dims(g, dim)
    return np.broadcast_to(g, x.shape)


def _spread_of(x: np.ndarray, dim: int | None, keepdim: bool) -> int:
    return x.size if dim is None else x.shape[dim]


def _take_back(g: np.ndarray, x: np.ndarray, index: Any) -> np.ndarray:
    out = np.zeros_like(x)
    for place, source in zip(np.ndindex(g.shape), np.arange(x.size).reshape(x.shape)[index].ravel()):
        out.flat[source] += g[place]
    return out


def _matmul_back(g: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return g @ y.T, x.T @ g


def _chosen(x: np.ndarray, y: np.ndarray, dim: int | None, keepdim: bool) -> np.ndarray:
    hit = (x == unreduce(y, x, dim, keepdim)).astype(float)
    return hit / hit.sum(axis=dim, keepdims=True)


# name: (value of operands and parameters, tuple of cotangents from g, operands, value, parameters)
OPS: dict[str, tuple[Callable, Callable]] = {
    "add": (lambda x, y: x + y, lambda g, xs, z: (g, g)),
    "sub": (lambda x, y: x - y, lambda g, xs, z: (g, -g)),
    "mul": (lambda x, y: x * y, lambda g, xs, z: (g * xs[1], g * xs[0])),
    "div": (
        lambda x, y: x / (1 + y * y),
        lambda g, xs, z: (g / (1 + xs[1] ** 2), -g * xs[0] * 2 * xs[1] / (1 + xs[1] ** 2) ** 2),
    ),
    "maximum": (
        np.maximum,
        lambda g, xs, z: tuple(g * np.where(a > b, 1.0, np.where(a == b, 0.5, 0.0)) for a, b in (xs, xs[::-1])),
    ),
    "where": (lambda x, y: np.where(x > 0, x, y), lambda g, xs, z: (g * (xs[0] > 0), g * (xs[0] <= 0))),
    "sin": (np.sin, lambda g, xs, z: (g * np.cos(xs[0]),)),
    "tanh": (np.tanh, lambda g, xs, z: (g * (1 - z * z),)),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), lambda g, xs, z: (g * z * (1 - z),)),
    "abs": (np.abs, lambda g, xs, z: (g * np.sign(xs[0]),)),
    "relu": (lambda x: np.maximum(x, 0), lambda g, xs, z: (g * (xs[0] > 0),)),
    "neg": (np.negative, lambda g, xs, z: (-g,)),
    "square": (np.square, lambda g, xs, z: (2 * g * xs[0],)),
    "scale": (lambda x, a: x * a, lambda g, xs, z, a: (g * a,)),
    "sum": (lambda x, dim, keep: np.sum(x, dim, keepdims=keep), lambda g, xs, z, dim, keep: (unreduce(g, xs[0], dim, keep),)),
    "mean": (
        lambda x, dim, keep: np.mean(x, dim, keepdims=keep),
        lambda g, xs, z, dim, keep: (unreduce(g, xs[0], dim, keep) / _spread_of(xs[0], dim, keep),),
    ),
    "amax": (
        lambda x, dim, keep: np.max(x, dim, keepdims=keep),
        lambda g, xs, z, dim, keep: (unreduce(g, xs[0], dim, keep) * _chosen(xs[0], z, dim, keep),),
    ),
    "softmax": (
        lambda x, dim: np.exp(x) / np.exp(x).sum(dim, keepdims=True),
        lambda g, xs, z, dim: (z * (g - (g * z).sum(dim, keepdims=True)),),
    ),
    "matmul": (np.matmul, lambda g, xs, z: _matmul_back(g, *xs)),
    "reshape": (lambda x, shape: x.reshape(shape), lambda g, xs, z, shape: (g.reshape(xs[0].shape),)),
    "transpose": (lambda x: x.T, lambda g, xs, z: (g.T,)),
    "expand": (lambda x, shape: np.broadcast_to(x, shape), lambda g, xs, z, shape: (g,)),
    "index": (lambda x, index: x[index], lambda g, xs, z, index: (_take_back(g, xs[0], index),)),
    "cat": (lambda x, y: np.concatenate([x, y]), lambda g, xs, z: (g[: len(xs[0])], g[len(xs[0]) :])),
}


def run(leaves: list[np.ndarray], steps: list[Step]) -> list[np.ndarray]:
    """The values of the leaves, then of all steps."""
    values = list(leaves)
    for step in steps:
        values.append(np.asarray(OPS[step.name][0](*[values[i] for i in step.operands], *step.params)))
    return values


def gradients(leaves: list[np.ndarray], steps: list[Step], weights: np.ndarray) -> list[np.ndarray]:
    """The gradients, in all leaves, of the sum of the last value times `weights`."""
    values = run(leaves, steps)
    cotangents: dict[int, np.ndarray] = {len(values) - 1: weights}
    for place in reversed(range(len(leaves), len(values))):
        if place not in cotangents:
            continue
        step = steps[place - len(leaves)]
        operands = [values[i] for i in step.operands]
        parts = OPS[step.name][1](cotangents[place], operands, values[place], *step.params)
        for i, part in zip(step.operands, parts):
            cotangents[i] = cotangents.get(i, 0) + undo_broadcast(np.asarray(part), values[i].shape)
    return [np.asarray(cotangents.get(i, np.zeros_like(leaf))) for i, leaf in enumerate(leaves)]
