"""Gradients where no derivative exists: the values PyTorch gives, in every sweep."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

import jitgrad as jg
import jitgrad.nn.functional as F
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
    "leaky_relu(nan)": (lambda x: F.leaky_relu(x, 0.25), [[NAN, 0.0, INF, -INF]], [[0.25, 0.25, 1.0, 0.25]]),
    "prelu(nan)": (lambda x, w: F.prelu(x, w), [[NAN, 0.0, 2.0], [0.25]], [[0.25, 0.25, 1.0], [NAN]]),
    "elu(nan)": (lambda x: F.elu(x), [[NAN, 0.0, INF, -INF]], [[NAN, 1.0, 1.0, 0.0]]),
    "hardtanh(nan)": (lambda x: F.hardtanh(x), [[NAN, 1.0, 0.5, -1.0, INF, -INF]], [[0.0, 0.0, 1.0, 0.0, 0.0, 0.0]]),
    "relu6(nan)": (lambda x: F.relu6(x), [[NAN, 6.0, 0.5, -0.0, INF, -INF]], [[0.0, 0.0, 1.0, 0.0, 0.0, 0.0]]),
    "hardsigmoid(nan)": (lambda x: F.hardsigmoid(x) * 6, [[NAN, 3.0, 0.5, -3.0, INF, -INF]], [[0.0, 0.0, 1.0, 0.0, 0.0, 0.0]]),
    "hardshrink(nan)": (lambda x: F.hardshrink(x), [[NAN, 0.5, 0.75, -0.75, INF, -INF]], [[0.0, 0.0, 1.0, 1.0, 1.0, 1.0]]),
    "softshrink(nan)": (lambda x: F.softshrink(x), [[NAN, 0.5, 0.75, -0.75, INF, -INF]], [[0.0, 0.0, 1.0, 1.0, 1.0, 1.0]]),
    "clamp(nan)": (lambda x: x.clamp(0, 1), [[NAN, INF, -INF]], [[0.0, 0.0, 0.0]]),
    "logsumexp(0, inf)": (lambda x: x.logsumexp(0), [[0.0, INF, -INF]], [[0.0, NAN, 0.0]]),
    "ndtri at the ends": (lambda x: jg.special.ndtri(x), [[0.0, 1.0, NAN, 2.0]], [[INF, INF, NAN, NAN]]),
    "lerp with infinity": (
        lambda x, y, w: jg.lerp(x, y, w),
        [[INF, 2.0, 2.0], [2.0, INF, -INF], [0.25, 2.0, 0.75]],
        [[0.75, -1.0, 0.25], [0.25, 2.0, 0.75], [-INF, INF, -INF]],
    ),
    "div(rounding_mode='trunc')": (
        lambda x, y: jg.div(x, y, rounding_mode="trunc"),
        [[1.0, INF], [0.0, 1.0]],
        [[0.0, 0.0], [0.0, 0.0]],
    ),
    "softplus(+-1000)": (lambda x: jg.softplus(x), [[1000.0, -1000.0]], [[1.0, 0.0]]),
    "sigmoid(1000)": (lambda x: x.sigmoid(), [1000.0], [0.0]),
}

OTHERS: dict[str, tuple[Callable, list, list, list, str]] = {
    # name: function, points, gradients here, those of PyTorch 2.13, and why not these
    "abs(nan)": (lambda x: x.abs(), [NAN], [NAN], [0.0], "nan has a sign to nobody, and a gradient of 0 would hide it"),
    "l1_loss of nan": (lambda x: F.l1_loss(x, 0 * x), [NAN], [NAN], [0.0], "as abs"),
    "norm(p=1) of nan": (lambda x: x.norm(1), [[NAN, 2.0]], [[NAN, 1.0]], [[0.0, 1.0]], "as abs"),
    "norm(p=inf) of nan": (lambda x: x.norm(INF), [[NAN, 2.0]], [[NAN, 0.0]], [[0.0, 0.0]], "as abs"),
    "norm(p=-1) with a zero": (lambda x: x.norm(-1), [[INF, 0.0]], [[NAN, 0.0]], [[0.0, 0.0]], "a quotient of infinities"),
    "amax(nan)": (lambda x: x.amax(0), [[NAN, 3.0]], [[1.0, 0.0]], [[NAN, NAN]], "its max() says so"),
    "amin(nan)": (lambda x: x.amin(0), [[NAN, 3.0]], [[1.0, 0.0]], [[NAN, NAN]], "its min() says so"),
    "clamp of nan by tensors": (lambda x: x.clamp(jg.zeros_like(x)), [NAN], [1.0], [0.0], "nan is within no bounds, and stays"),
    "prod(nan)": (lambda x: x.prod(0), [[NAN, 3.0]], [[3.0, NAN]], [[NAN, NAN]], "the product of the others"),
    "prod(inf)": (lambda x: x.prod(0), [[INF, 3.0]], [[3.0, INF]], [[NAN, INF]], "the product of the others"),
    "cumprod(inf)": (lambda x: x.cumprod(0), [[INF, 3.0]], [[4.0, INF]], [[NAN, INF]], "the product of the others"),
    "logcumsumexp(inf)": (lambda x: x.logcumsumexp(0), [[0.0, INF]], [[1.0, 1.0]], [[1.0, NAN]], "a share of all"),
    "nanmean of nan": (lambda x: x.nanmean(0), [[NAN, NAN]], [[0.0, 0.0]], [[NAN, NAN]], "what is passed over has no part"),
    "copysign(inf)": (lambda x: x.copysign(-x.detach()), [INF], [-1.0], [NAN], "the sign, not a quotient of infinities"),
    "sinc(inf)": (lambda x: x.sinc(), [INF], [0.0], [NAN], "the limit"),
    "i0(-inf)": (lambda x: x.i0(), [-INF], [-INF], [NAN], "the limit"),
    "i1(nan)": (lambda x: jg.special.i1(x), [NAN], [NAN], [0.5], "nan is not 0, where it is 1/2"),
    "log_ndtr(-inf)": (lambda x: jg.special.log_ndtr(x), [-INF], [INF], [NAN], "the limit"),
    "erfcx(inf)": (lambda x: jg.special.erfcx(x), [INF], [-0.0], [NAN], "the limit"),
    "polygamma(1, inf)": (lambda x: jg.polygamma(1, x), [INF], [-0.0], [NAN], "the limit"),
    "sqrt by a power, of -inf": (lambda x: x**0.5, [-INF], [0.0], [NAN], "as of all other powers of -inf"),
    "renorm of nan": (lambda x: x.renorm(2, 0, 1.0), [[[NAN, 3.0]]], [[[NAN, NAN]]], [[[1.0, 1.0]]], "the norm is nan"),
}
"""Where PyTorch says something else. (So it does of values: of sinc, airy_ai, i0 and i1 at infinity, for which it has nan and
here is the limit; and of sign(nan), which is 0 to it, and nan to NumPy and here.)"""
SINGULAR |= {name: case[:3] for name, case in OTHERS.items()}
OF_NAN = [
    *(
        "abs",
        "relu",
        "relu6",
        "leaky_relu",
        "hardsigmoid",
        "hardswish",
        "hardtanh",
        "hardshrink",
        "softshrink",
        "elu",
        "selu",
        "celu",
    ),
    *("gelu", "silu", "mish", "tanhshrink", "softplus", "softsign", "logsigmoid", "sigmoid", "tanh"),
]


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


def test_activations_of_nan_are_nan() -> None:
    """Whichever piece of a line its derivative is taken from."""
    x = jg.tensor([NAN, 1.0], dtype=jg.float64)
    functions = [getattr(F, name, None) or getattr(jg, name) for name in OF_NAN]
    for run in (lambda f: f, jg.jit):
        for name, y in zip(OF_NAN, run(lambda x: [f(x) for f in functions])(x)):
            assert y.isnan().tolist() == [True, False], name
