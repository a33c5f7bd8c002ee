"""What holds of every differentiable function: eager code, both ways of running a tape, vmap and finite differences agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import jitgrad as jg
from jitgrad.testing import gradcheck, gradgradcheck

Cases = Mapping[str, tuple[Callable, Sequence[np.ndarray]]]
"""A function of arrays and its arguments, by a name; those of a floating dtype are differentiated."""


def whole(cases: Cases, *, second: bool = True, mapped: bool = True, rtol: float = 1e-9) -> None:
    """All cases on one tape for each question, since compiling takes longer than all else."""
    names = list(cases)
    functions = [_listed(cases[name][0]) for name in names]
    arguments = [[jg.tensor(a) for a in cases[name][1]] for name in names]
    eager = [f(*xs) for f, xs in zip(functions, arguments)]
    weights = [[_weights(y) for y in ys] for ys in eager]

    def values(*many: Any) -> list[Any]:
        return [f(*xs) for f, xs in zip(functions, many)]

    def weighed(*many: Any) -> Any:
        pairs = [(y, w) for f, xs, ws in zip(functions, many, weights) for y, w in zip(f(*xs), ws)]
        return sum([(y * jg.tensor(w)).sum() for y, w in pairs if y.dtype.is_floating_point], jg.tensor(0.0, dtype=jg.float64))

    slopes = _gradients(weighed, arguments)
    for way in ("jit", "interpreted"):
        with jg.sweep(way):
            _same(names, jg.jit(values)(*arguments), eager, way, rtol)
            _same(names, _gradients(weighed, arguments, jg.jit), slopes, f"the gradient, {way}", rtol)
    for name, f, xs, ys in zip(names, functions, arguments, eager):
        if mapped:
            twice = jg.vmap(f)(*[jg.stack([x, x]) for x in xs])
            _same([name], [twice], [[jg.stack([y, y]) for y in ys]], "vmap", rtol)
        smooth = [i for i, y in enumerate(ys) if y.dtype.is_floating_point]
        arrays = [x.numpy() for x in xs]
        for i in smooth:
            if any(a.dtype.kind == "f" for a in arrays):
                gradcheck(lambda *zs, f=f, i=i: f(*zs)[i], arrays)
                if second:
                    gradgradcheck(lambda *zs, f=f, i=i: f(*zs)[i], arrays)


def _listed(function: Callable) -> Callable:
    def listed(*xs: Any) -> list[Any]:
        found = function(*xs)
        return list(found) if isinstance(found, (tuple, list)) else [found]

    return listed


def _weights(y: Any) -> np.ndarray:
    return np.cos(np.arange(y.numel(), dtype=np.float64)).reshape(tuple(y.shape))


def _gradients(weighed: Callable, arguments: list[list[Any]], around: Callable = lambda f: f) -> list[list[Any]]:
    """By each argument that has a floating dtype."""
    flat = [x for xs in arguments for x in xs if x.dtype.is_floating_point]

    def of_flat(*given: Any) -> Any:
        left = iter(given)
        return weighed(*[[next(left) if x.dtype.is_floating_point else x for x in xs] for xs in arguments])

    found = iter(around(jg.grad(of_flat, tuple(range(len(flat)))))(*flat))
    return [[next(found) for x in xs if x.dtype.is_floating_point] for xs in arguments]


def _same(names: list[str], got: Any, want: Any, what: str, rtol: float) -> None:
    for name, some, others in zip(names, got, want):
        for x, y in zip(some, others, strict=True):
            assert x.dtype == y.dtype, f"{name}, {what}: {x.dtype} for {y.dtype}"
            assert tuple(x.shape) == tuple(y.shape), f"{name}, {what}: {list(x.shape)} for {list(y.shape)}"
            np.testing.assert_allclose(x.numpy(), y.numpy(), rtol=rtol, atol=rtol, err_msg=f"{name}, {what}")
