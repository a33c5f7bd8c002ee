"""Activations, by values, derivatives and forms in place."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

import jitgrad as jg
from jitgrad.nn import functional as f
from tests.helpers.whole import whole

rng = np.random.default_rng(5)
X = rng.normal(size=(3, 4)) * 2
T = jg.tensor
EDGES = np.array([0.0, -0.0, 1e-3, -1e-3, 700.0, -700.0, 1e300, -1e300, math.nan])


def close(found, want, rtol=1e-12) -> None:
    np.testing.assert_allclose(np.asarray(found.detach().numpy()), want, rtol=rtol, atol=1e-15)


# Activations.

PIECES = {
    "relu": (f.relu, lambda x: np.maximum(x, 0)),
    "relu6": (f.relu6, lambda x: np.clip(x, 0, 6)),
    "threshold": (lambda x: f.threshold(x, 0.3, -1.5), lambda x: np.where(x <= 0.3, -1.5, x)),
    "hardtanh": (lambda x: f.hardtanh(x, -0.5, 2.0), lambda x: np.clip(x, -0.5, 2)),
    "leaky_relu": (lambda x: f.leaky_relu(x, 0.2), lambda x: np.where(x > 0, x, 0.2 * x)),
    "rrelu": (f.rrelu, lambda x: np.where(x > 0, x, (1 / 8 + 1 / 3) / 2 * x)),
    "hardsigmoid": (f.hardsigmoid, lambda x: np.clip(x + 3, 0, 6) / 6),
    "hardswish": (f.hardswish, lambda x: x * np.clip(x + 3, 0, 6) / 6),
    "hardshrink": (lambda x: f.hardshrink(x, 0.7), lambda x: np.where(abs(x) <= 0.7, x * 0, x)),
    "softshrink": (lambda x: f.softshrink(x, 0.7), lambda x: np.sign(x) * np.maximum(abs(x) - 0.7, 0)),
}
SMOOTH = {
    "elu": (lambda x: f.elu(x, 0.7), lambda x: np.where(x > 0, x, 0.7 * np.expm1(np.minimum(x, 0)))),
    "celu": (lambda x: f.celu(x, 0.7), lambda x: np.where(x > 0, x, 0.7 * np.expm1(np.minimum(x, 0) / 0.7))),
    "selu": (
        f.selu,
        lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0))),
    ),
    "silu": (f.silu, lambda x: x * special.expit(x)),
    "mish": (f.mish, lambda x: x * np.tanh(np.logaddexp(0, x))),
    "gelu": (f.gelu, lambda x: x * special.ndtr(x)),
    "gelu by tanh": (
        lambda x: f.gelu(x, approximate="tanh"),
        lambda x: x * special.expit(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)),
    ),
    "logsigmoid": (f.logsigmoid, special.log_expit),
    "softsign": (f.softsign, lambda x: x / (1 + abs(x))),
    "tanhshrink": (f.tanhshrink, lambda x: x - np.tanh(x)),
    "softplus": (lambda x: f.softplus(x, 2.0, 1.5), lambda x: np.where(2 * x > 1.5, x, np.logaddexp(0, 2 * x) / 2)),
    "tanh": (f.tanh, np.tanh),
    "sigmoid": (f.sigmoid, special.expit),
}


@pytest.mark.parametrize("name", PIECES | SMOOTH)
def test_activations(name) -> None:
    function, oracle = (PIECES | SMOOTH)[name]
    with np.errstate(all="ignore"):
        for x in (X, X[::2, 1:].T, np.float64(-0.3), np.zeros((0, 2)), EDGES):
            close(function(T(x)), oracle(x), 1e-11)
    half = T(X).half()
    assert function(half).dtype is jg.float16
    np.testing.assert_allclose(function(half).float().numpy(), oracle(half.double().numpy()), rtol=2e-3, atol=1e-3)


def test_activations_are_whole() -> None:
    whole({name: (function, [X]) for name, (function, _) in (PIECES | SMOOTH).items()})
    weights = np.array([0.1, 0.5, -0.2, 0.3])
    whole(
        {
            "prelu": (f.prelu, [X, weights]),
            "prelu of one": (f.prelu, [X, weights[:1]]),
            "glu": (f.glu, [X]),
            "softmin": (lambda x: f.softmin(x, 0), [X]),
            "log_softmax": (lambda x: f.log_softmax(x, dim=1), [X]),
        }
    )


@pytest.mark.parametrize("dtype", [jg.float16, jg.bfloat16, jg.float32, jg.float64])
def test_negative_zero_stays(dtype) -> None:
    for count in (1, 100):
        x = jg.full((count,), -0.0, dtype=dtype)
        for function in (f.relu, f.relu6, f.elu, f.selu, f.celu, f.softshrink, f.leaky_relu, f.hardtanh, f.hardswish):
            for made in (function, jg.jit(function)):
                assert made(x).signbit().all(), function
                assert not made(-x).signbit().any(), function


def test_derivatives_where_pieces_meet() -> None:
    at = {"relu": [0.0], "relu6": [0.0, 6.0], "hardtanh": [-0.5, 2.0], "hardsigmoid": [-3.0, 3.0], "hardshrink": [0.7, -0.7]}
    for name, numbers in at.items():
        assert jg.grad(lambda x, name=name: PIECES[name][0](x).sum())(T(numbers, dtype=jg.float64)).tolist() == [0.0] * len(
            numbers
        )
    assert jg.grad(lambda x: f.leaky_relu(x, 0.2))(T(0.0)).item() == pytest.approx(0.2)
    x = T(X).requires_grad_()
    (first,) = jg.autograd.grad(f.relu(x).sum(), x, create_graph=True)
    (second,) = jg.autograd.grad(first.sum(), x)
    assert second.tolist() == np.zeros_like(X).tolist()
    assert jg.grad(lambda x: f.elu(x).sum())(T([800.0, -800.0])).tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    "name",
    ["relu", "elu", "selu", "celu", "leaky_relu", "rrelu", "hardtanh", "hardswish", "hardsigmoid", "silu", "mish", "relu6"],
)
def test_activations_in_place(name) -> None:
    function = getattr(f, name)
    want, x = function(T(X)), T(X)
    assert function(x, inplace=True) is x
    close(x, want.numpy())
    if hasattr(f, name + "_"):
        x = T(X)
        assert getattr(f, name + "_")(x) is x
        close(x, want.numpy())
    x = T(X).requires_grad_()
    function(x * 1, inplace=True).sum().backward()
    close(x.grad, jg.grad(lambda x: function(x).sum())(T(X)).numpy())


def test_activations_of_integers_and_wrong_arguments() -> None:
    whole_numbers = T([-8, 0, 9])
    assert f.relu6(whole_numbers).tolist() == [0, 0, 6]
    assert f.hardtanh(whole_numbers, -2, 3).tolist() == [-2, 0, 3]
    assert f.threshold(whole_numbers, 1, 5).tolist() == [5, 5, 9]
    assert f.softsign(T([1, -3])).tolist() == [0.5, -0.75]
    for function in (f.elu, f.gelu, f.leaky_relu, f.mish, f.silu, f.hardshrink, f.softplus):
        with pytest.raises(NotImplementedError, match="floating"):
            function(whole_numbers)
    x = T(X)
    for call, error, said in (
        (lambda: f.hardtanh(x, 1.0, 0.0), ValueError, "greater"),
        (lambda: f.softshrink(x, -1.0), RuntimeError, "negative"),
        (lambda: f.celu(x, 0.0), RuntimeError, "ZeroDivision"),
        (lambda: f.gelu(x, "exact"), RuntimeError, "'none' or 'tanh'"),
        (lambda: f.glu(x[:, :3]), RuntimeError, "even"),
        (lambda: f.glu(x[0, 0]), RuntimeError, "0-d"),
        (lambda: f.prelu(x, T([1.0, 2.0], dtype=jg.float64)), RuntimeError, "4 channels"),
        (lambda: f.prelu(x, T([1.0])), RuntimeError, "float64 and weight float32"),
        (lambda: f.rrelu(x, 0.5, 0.1), RuntimeError, "lower"),
    ):
        with pytest.raises(error, match=said):
            call()


def test_at_the_top_and_as_methods() -> None:
    x = T(X)
    for name in ("selu", "celu", "rrelu", "hardshrink"):
        assert getattr(jg, name)(x).tolist() == getattr(f, name)(x).tolist()
    assert x.hardshrink(0.7).tolist() == f.hardshrink(x, 0.7).tolist()
    assert x.prelu(T([0.5], dtype=jg.float64)).tolist() == jg.threshold(x, 0, 0).add(x.clamp(max=0) * 0.5).tolist()
    for name in ("relu_", "selu_", "celu_", "rrelu_"):
        y = T(X)
        assert getattr(jg, name)(y) is y
        assert y.tolist() == getattr(f, name[:-1])(x).tolist()
    assert jg.threshold_(T([1.0, 3.0]), 2.0, 0.0).tolist() == [0.0, 3.0]


def test_softmax_says_which_dimension_it_takes() -> None:
    with pytest.warns(UserWarning, match="name the dimension"):
        close(f.softmax(T(X)), special.softmax(X, 1))
    with pytest.warns(UserWarning, match="name the dimension"):
        close(f.log_softmax(T(X[0])), special.log_softmax(X[0], 0))
    assert f.softmax(T(X).float(), 0, dtype=jg.float64).dtype is jg.float64
    one = T(2.0, dtype=jg.float64).requires_grad_()
    (slope,) = jg.autograd.grad(f.softmax(one, 0), one, create_graph=True)
    assert jg.autograd.grad(slope, one)[0].item() == 0


def test_samples_of_gumbel_softmax() -> None:
    jg.manual_seed(0)
    logits = T(np.log([0.2, 0.5, 0.3])).expand(4000, 3).requires_grad_()
    hard = f.gumbel_softmax(logits, tau=0.7, hard=True)
    assert sorted(set(hard.detach().numpy().round(12).ravel())) == [0.0, 1.0]
    np.testing.assert_allclose(hard.mean(0).detach().numpy(), [0.2, 0.5, 0.3], atol=0.03)
    soft = f.gumbel_softmax(logits, tau=0.7)
    close(soft.sum(1), np.ones(4000), 1e-12)
    assert soft.requires_grad
    slopes = f.rrelu(jg.full((5000,), -1.0), training=True)
    assert -1 / 3 <= slopes.min().item() < -0.32
    assert -0.13 < slopes.max().item() <= -1 / 8
