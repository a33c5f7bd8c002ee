"""Layers and losses of what is empty, infinite or nan, and at the points where their pieces meet; the numbers are PyTorch's."""

import math

import numpy as np
import pytest

import jitgrad as jg
import jitgrad.nn.functional as F


def test_weighed_huber_loss_is_a_mean_over_elements():
    x, t, w = jg.tensor([1.0, 2.0, 4.0]), jg.zeros(3), jg.tensor([1.0, 2.0, 3.0])
    assert float(F.huber_loss(x, t, weight=w)) == pytest.approx(14 / 3)
    assert float(F.huber_loss(x, t, weight=w, reduction="sum")) == 14.0
    assert F.huber_loss(x, t, weight=w, reduction="none").tolist() == [0.5, 3.0, 10.5]
    with pytest.raises(ValueError, match="reduction"):
        F.huber_loss(x, t, weight=w, reduction="all")


@pytest.mark.parametrize("shape", [(0, 3), (0, 3, 4), (2, 3, 0)])
def test_an_empty_batch_leaves_running_statistics(shape):
    mean, var = jg.zeros(3), jg.ones(3)
    assert F.batch_norm(jg.zeros(*shape), mean, var, training=True).shape == shape
    assert mean.tolist() == [0.0] * 3
    assert var.tolist() == [1.0] * 3


@pytest.mark.parametrize(("size", "padding", "expected"), [(3, 1, [1, 1, 0, 0]), (18, 9, [3, 0, 0, 0])])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_border_of_a_pool_is_below_the_lowest(size, padding, expected, count):
    if size > 16 and count == 3:
        size, padding, expected = 3, 1, [1, 1, 0, 0]
    pool, step = getattr(F, f"max_pool{count}d"), 2 if size == 3 else 1
    x = np.full((1, 1, *[4] * count), -np.inf)
    along = np.zeros(4)
    values, where = pool(jg.tensor(x), size, step, padding, return_indices=True)
    assert (values.numpy() == -np.inf).all()
    for index in where.numpy().ravel():
        along[np.unravel_index(index, (4,) * count)[0]] += 1
    for f in (jg.grad, lambda f: jg.jit(jg.grad(f))):
        found = f(lambda x: pool(x, size, step, padding).sum())(jg.tensor(x)).numpy()
        counted = np.zeros(4**count)
        np.add.at(counted, where.numpy().ravel(), 1)
        np.testing.assert_array_equal(found.ravel(), counted)
    assert along.sum() == found.sum()
    if count == 1:
        assert found.ravel().astype(int).tolist() == (expected if size == 3 else along.astype(int).tolist())


def test_gradients_of_pools_with_some_of_the_lowest():
    x = jg.tensor([[[-math.inf, 2.0, math.nan, -math.inf, -math.inf]]], requires_grad=True)
    F.max_pool1d(x, 3, 1, 1).nan_to_num(0.0, 0.0, 0.0).sum().backward()
    y, where = F.max_pool1d(x, 3, 1, 1, return_indices=True)
    np.testing.assert_array_equal(y.detach().numpy(), [[[2, np.nan, np.nan, np.nan, -np.inf]]])
    assert where.tolist() == [[[1, 2, 2, 2, 3]]]


@pytest.mark.parametrize(("f", "slope"), [("elu", 1.0), ("celu", 1.0), ("selu", 1.7580993408473766)])
def test_second_derivatives_of_elu_where_its_pieces_meet(f, slope):
    f = getattr(F, f)

    def along(f):
        return lambda x: jg.jvp(f, (x,), (jg.ones_like(x),))[1]

    for first in (jg.grad(lambda x: f(x).sum()), along(f)):
        for second in (jg.grad(lambda x, first=first: first(x).sum()), along(first)):
            third = jg.grad(lambda x, second=second: second(x).sum())
            for zero in (0.0, -0.0):
                x = jg.tensor([zero, -1e-9, 1.0], dtype=jg.float64)
                assert float(first(x)[0]) == pytest.approx(slope)
                for g in (second, third, jg.jit(second), jg.jit(third)):
                    np.testing.assert_allclose(g(x).numpy(), [0.0, slope, 0.0], rtol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_convolutions_of_no_channels(count):
    x, w = jg.ones(2, 0, *[4] * count), jg.ones(2, 0, *[2] * count)
    assert getattr(F, f"conv{count}d")(x, w).shape == (2, 0, *[3] * count)
    assert getattr(F, f"conv{count}d")(x, w, jg.ones(2)).shape == (2, 0, *[3] * count)
    with pytest.raises(RuntimeError, match="no channels"):
        getattr(F, f"conv_transpose{count}d")(x, jg.ones(0, 2, *[2] * count))


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize(
    ("border", "expected"), [("zeros", [0, 0, 0]), ("border", [7, 7, 0]), ("reflection", [7, 7, 7])], ids=lambda x: str(x)
)
def test_volumes_sampled_nowhere(mode, corners, border, expected):
    volume = jg.tensor(np.arange(8.0).reshape(1, 1, 2, 2, 2))
    for f in (lambda g: g, jg.jit):
        sampled = f(lambda v, at: F.grid_sample(v, at, mode, border, corners))
        for value, number in zip((math.nan, math.inf, -math.inf), expected):
            assert sampled(volume, jg.full((1, 1, 1, 1, 3), value, dtype=jg.float64)).tolist() == [[[[[float(number)]]]]]
    if border == "zeros":
        at = jg.full((1, 1, 1, 1, 3), math.nan, dtype=jg.float64)
        back = jg.grad(lambda v, at: F.grid_sample(v, at, mode, border, corners).sum(), argnums=(0, 1))(volume, at)
        assert not any(g.numpy().any() for g in back)


def test_numpys_exponential_is_another_row():
    for f in (np.exp, np.expm1):
        assert float(jg.grad(jg.grad(lambda x, f=f: f(x)))(jg.tensor(0.0))) == 1.0
