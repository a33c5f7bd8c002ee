"""Gradients where no derivative exists: the values PyTorch gives, in every sweep."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

import jitgrad as jg
from tests.helpers.sweeps import SWEEPS

NAN, INF = math.nan, math.inf
SINGULAR: dict[str, tuple[Callable, list, list]] = {
    "abs(0)": (lambda x: x.abs(), [0.0], [0.0]),
    "relu(0)": (lambda x: x.relu(), [0.0], [0.0]),
    "maximum(1, 1)": (lambda x, y: x.maximum(y), [1.0, 1.0], [0.5, 0.5]),
    "minimum(1, 1)": (lambda x, y: x.minimum(y), [1.0, 1.0], [0.5, 0.5]),
    "max ties": (lambda x: x.max(), [[1.0, 1.0, 0.0]], [[0.5, 0.5, 0.0]]),
    "max(dim) ties": (lambda x: x.max(0)[0], [[1.0, 1.0, 0.0]], [[1.0, 0.0, 0.0]]),
    "amax(dim) ties": (lambda x: x.amax(0), [[1.0, 1.0, 0.0]], [[0.5, 0.5, 0.0]]),
    "sqrt(0)": (lambda x: x.sqrt(), [0.0], [INF]),
    "pow(0, 0)": (lambda x, y: x**y, [0.0, 0.0], [0.0, 0.0]),
    "pow(0, number 0)": (lambda x: x**0, [0.0], [0.0]),
    "pow(inf, number 0)": (lambda x: x**0, [INF], [0.0]),
    "norm(p=0) of inf": (lambda x: x.norm(0), [[INF, 1.0]], [[0.0, 0.0]]),
    "softmax of a number": (lambda x: x.softmax(0), [INF], [0.0]),
    "log_softmax of a number": (lambda x: x.log_softmax(0), [INF], [0.0]),
    "pow(0, 0.5)": (lambda x, y: x**y, [0.0, 0.5], [INF, 0.0]),
    "pow(-2, 3)": (lambda x, y: x**y, [-2.0, 3.0], [12.0, NAN]),
    "clamp": (lambda x: x.clamp(0, 1), [[0.0, 1.0, 2.0, -1.0, 0.5]], [[1.0, 1.0, 0.0, 0.0, 1.0]]),
    "where log": (lambda x: jg.where(x > 0, x.log(), 0), [[-1.0, 0.0]], [[-0.0, NAN]]),
    "where sqrt": (lambda x: jg.where(x > 0, x.sqrt(), 0), [0.0], [NAN]),
    "norm(0)": (lambda x: x.norm(), [[0.0, 0.0]], [[0.0, 0.0]]),
    "std of equals": (lambda x: x.std(), [[1.0, 1.0]], [[0.0, 0.0]]),
    "binary_cross_entropy": (
        lambda p, t: jg.binary_cross_entropy(p, t, reduction="none"),
        [[0.0, 1.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0]],
        [[0.0, 0.0, -1e12, 1e12], [100.0, -100.0, 100.0, -100.0]],
    ),
    "prod of nothing": (lambda x: x.prod() + 2 * x.prod(0, True), [[]], [[]]),
    "prod with a zero": (lambda x: x.prod(), [[0.0, 2.0, 3.0]], [[6.0, 0.0, 0.0]]),
    "log(0)": (lambda x: x.log(), [0.0], [INF]),
    "asin(1)": (lambda x: x.asin(), [1.0], [INF]),
    "atan2(0, 0)": (lambda x, y: x.atan2(y), [0.0, 0.0], [0.0, -0.0]),
    "hypot(0, 0)": (lambda x, y: x.hypot(y), [0.0, 0.0], [NAN, NAN]),
    "logsumexp(-inf)": (lambda x: x.logsumexp(0), [[-INF, -INF]], [[NAN, NAN]]),
    "maximum(nan, 1)": (lambda x, y: x.maximum(y), [NAN, 1.0], [1.0, 1.0]),
    "relu(nan)": (lambda x: x.relu(), [NAN], [1.0]),
    "softplus(+-1000)": (lambda x: jg.softplus(x), [[1000.0, -1000.0]], [[1.0, 0.0]]),
    "sigmoid(1000)": (lambda x: x.sigmoid(), [1000.0], [0.0]),
}


@pytest.mark.quick
@pytest.mark.parametrize("name", SINGULAR)
def test_singular_points_in_the_eager_sweep(name: str) -> None:
    function, points, want = SINGULAR[name]
    xs = [jg.tensor(p, dtype=jg.float64, requires_grad=True) for p in points]
    function(*xs).sum().backward()
    for x, w in zip(xs, want):
        np.testing.assert_array_equal(x.grad.numpy(), np.array(w), strict=True)


@pytest.mark.parametrize("sweep", SWEEPS)
def test_singular_points_under_jit(sweep: str) -> None:
    def gradients(points: list[list[jg.Tensor]]) -> list[tuple]:
        return [
            jg.grad(lambda *xs: f(*xs).sum(), tuple(range(len(xs))))(*xs)  # noqa: B023 - called at once
            for (f, _, _), xs in zip(SINGULAR.values(), points)
        ]

    points = [[jg.tensor(p, dtype=jg.float64) for p in given] for _, given, _ in SINGULAR.values()]
    with jg.sweep(sweep):
        found = jg.jit(gradients)(points)
    for (name, (_, _, want)), got in zip(SINGULAR.items(), found):
        for g, w in zip(got, want):
            np.testing.assert_array_equal(g.numpy(), np.array(w), err_msg=name, strict=True)
