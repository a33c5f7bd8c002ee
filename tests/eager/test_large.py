"""Large arrays: an op that has been used enough runs by its compiled kernel, and gives what NumPy gives."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.eager import background
from jitgrad.eager import operations as large
from jitgrad.ops import TABLE


@pytest.fixture(autouse=True)
def afresh():
    """No op has a kernel, and every op gets one at its first use."""
    with jg.config(large_kernels=False):
        pass
    with jg.config(hot_after=0):
        yield
        background.wait()
    with jg.config(large_kernels=False):
        pass


def by_kernel(op):
    """Whether the op has a kernel for float32."""
    return large.known[op].kernels.get(np.dtype(np.float32)) is not None


@pytest.mark.parametrize("name", [op.name for op in large.known if op.name != "softplus"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kernels_give_what_numpy_gives(name, dtype):
    op, function = TABLE[name], getattr(jg, name)
    low, high = op.domain[0]
    x = np.random.default_rng(0).uniform(low, high, (30, 50)).astype(dtype)
    x[0, :7] = [0, -0.0, np.inf, -np.inf, np.nan, 1e30, -1e30]
    first = function(jg.tensor(x)).numpy()
    background.wait()
    second = function(jg.tensor(x)).numpy()
    assert second.dtype == dtype
    assert second.shape == x.shape
    np.testing.assert_allclose(first, second, rtol=2e-5 if dtype == np.float32 else 1e-12, atol=1e-7)
    for part in (x.T, x[:, ::2], x[:2]):  # not contiguous, and too few elements
        np.testing.assert_allclose(function(jg.tensor(part)).numpy(), function(jg.tensor(part.copy())).numpy(), rtol=2e-5)
    with np.errstate(all="ignore"):
        wanted = op.run(x.T)
    np.testing.assert_allclose(function(jg.from_numpy(x).T).numpy(), wanted, rtol=2e-5, atol=1e-7)


def test_gradients_flow_through_kernels():
    x = jg.tensor(np.linspace(0.1, 2, 3000), dtype=jg.float64, requires_grad=True)
    for _ in range(3):
        x.grad = None
        jg.tanh(x).sum().backward()
        background.wait()
        np.testing.assert_allclose(x.grad.numpy(), 1 / np.cosh(x.detach().numpy()) ** 2, rtol=1e-10)
    assert np.dtype(np.float64) in large.known[TABLE["tanh"]].kernels


def test_limits():
    x = jg.tensor(np.ones(3000, np.float32))
    with jg.config(background_compile=False):
        jg.exp(x)
        assert background.state.worker is None
    with jg.config(large=5000):
        jg.exp(x)
        background.wait()
        assert not by_kernel(TABLE["exp"])
    jg.exp(x)
    background.wait()
    assert by_kernel(TABLE["exp"])
    with jg.config(large_kernels=False):
        jg.exp(x)
        background.wait()
        assert not by_kernel(TABLE["exp"])


def test_results_have_memory_of_their_own():
    x = jg.tensor(np.ones(3000, np.float32))
    jg.exp(x)
    background.wait()
    a, b = jg.exp(x), jg.exp(x)
    a.zero_()
    assert b[0].item() == pytest.approx(np.e)
    assert jg.exp(jg.ones(0)).shape == (0,)


SHAPES = [(4, 8), (30, 50), (7,), (2, 3, 400), (1, 5), (5, 1), (0, 3)]


@pytest.mark.parametrize("name", [op.name for op in large.recurring])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kernels_of_shapes_that_recur_give_what_numpy_gives(name, dtype):
    ran, function = 0, (lambda x, dim: x.norm(dim=dim)) if name == "norm" else (lambda x, dim: getattr(x, name)(dim))
    for shape in SHAPES:
        x = jg.tensor(np.random.default_rng(0).normal(size=shape).astype(dtype), requires_grad=True)
        for dim in range(len(shape)):
            seen = []
            for _ in range(3):
                x.grad = None
                y = function(x, dim)
                assert isinstance(y._value, np.ndarray) == bool(y.shape)
                y.square().sum().backward()
                seen.append((y.detach().numpy().copy(), x.grad.numpy().copy()))
                background.wait()
            ran += any(kernel is not None for kernel in large.recurring[TABLE[name]].kernels.values())
            assert seen[0][0].dtype == seen[2][0].dtype == dtype
            for first, later in zip(seen[0], seen[2]):
                np.testing.assert_allclose(first, later, rtol=1e-5 if dtype == np.float32 else 1e-12, atol=1e-5)
            for other in (x.detach().mT if x.ndim > 1 else x.detach()[::2], x.detach().flip(0)):  # with gaps, other numbers
                np.testing.assert_allclose(function(other, 0).numpy(), function(other.clone(), 0).numpy(), rtol=1e-5, atol=1e-6)
    assert ran > 5


def test_kernels_of_shapes_keep_nan_inf_and_their_memory():
    x = jg.tensor([[np.nan, 1.0], [np.inf, 1.0], [-np.inf, -np.inf], [1e30, 1e30]])
    functions = [lambda x: x.softmax(1), lambda x: x.logsumexp(1), lambda x: x.sum(0), lambda x: x.var(1), lambda x: x.cumsum(0)]
    for f in functions:
        first = f(x).numpy().copy()
        background.wait()
        one, other = f(x), f(x)
        np.testing.assert_allclose(one.numpy(), first, rtol=1e-6)
        kept = other.numpy().copy()
        one.add_(1)
        np.testing.assert_array_equal(other.numpy(), kept)
    assert any(large.recurring[TABLE["softmax"]].kernels.values())


def test_only_so_many_shapes_are_kept():
    large.recurring[TABLE["sum"]].kernels.clear()
    with jg.config(structures=4):
        for n in range(1, 20):
            jg.ones(n).sum(0)
            background.wait()
    assert 0 < len(large.recurring[TABLE["sum"]].kernels) <= 4
