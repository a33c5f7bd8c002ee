"""`nn.utils`: gradients made shorter; the expected values were taken from PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.nn import utils


def parameters():
    p, q = jg.ones(2, 2, requires_grad=True), jg.tensor(2.0, requires_grad=True)
    p.grad, q.grad = jg.tensor([[1.0, -2.0], [3.0, 0.5]]), jg.tensor(-4.0)
    return p, q, jg.ones(3, requires_grad=True)


@pytest.mark.parametrize(("order", "norm"), [(2.0, 5.5), (1, 10.5), (float("inf"), 4.0), (3, 4.6435), (0, 2.0), (-1, 0.2449)])
def test_the_norm_of_all_gradients(order, norm):
    ps = parameters()
    before = ps[0].grad
    total = utils.clip_grad_norm_(ps, 1.0, order)
    assert total.item() == pytest.approx(norm, rel=1e-3)
    factor = min(1.0, 1.0 / (total.item() + 1e-6))
    np.testing.assert_allclose(ps[0].grad, np.array([[1.0, -2.0], [3.0, 0.5]]) * factor, rtol=1e-6)
    assert ps[0].grad is before
    assert ps[1].grad.item() == pytest.approx(-4 * factor)


def test_short_gradients_stay_as_they_are():
    ps = parameters()
    utils.clip_grad_norm_(iter(ps), 100)
    assert ps[1].grad.item() == -4
    assert utils.clip_grad_norm_(ps[2], 1.0).item() == 0


def test_a_norm_that_is_not_finite():
    p = jg.ones(2, requires_grad=True)
    p.grad = jg.tensor([float("inf"), 1.0])
    with pytest.raises(RuntimeError, match="error_if_nonfinite=False"):
        utils.clip_grad_norm_(p, 1.0, error_if_nonfinite=True)
    assert p.grad.tolist() == [float("inf"), 1.0]
    assert utils.clip_grad_norm_(p, 1.0).item() == float("inf")
    np.testing.assert_array_equal(p.grad, [float("nan"), 0.0])


def test_values():
    ps = parameters()
    utils.clip_grad_value_(ps, 1.5)
    assert (ps[0].grad.tolist(), ps[1].grad.item()) == ([[1.0, -1.5], [1.5, 0.5]], -1.5)


def test_vectors_of_parameters():
    ps = parameters()
    vector = utils.parameters_to_vector(ps)
    assert (vector.shape, vector.requires_grad) == ((8,), True)
    array = ps[0].detach().numpy()
    utils.vector_to_parameters(jg.arange(8.0), ps)
    assert (array.tolist(), ps[1].item(), ps[0].requires_grad) == ([[0.0, 1.0], [2.0, 3.0]], 4.0, True)
    with pytest.raises(RuntimeError, match="a vector of 7 elements for parameters of 8"):
        utils.vector_to_parameters(jg.arange(7.0), ps)
    with pytest.raises(TypeError, match="must be a tensor"):
        utils.vector_to_parameters([1.0], ps)


@pytest.mark.parametrize("transform", ["jit", "vmap", "both"])
@pytest.mark.parametrize("name", ["get_total_norm", "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_"])
def test_under_transforms(transform, name):
    def f(x):
        if name == "get_total_norm":
            return utils.get_total_norm([x, x * 2])
        p = x * 1
        p.grad = x * 5
        getattr(utils, name)([p], 1.0, *[jg.tensor(2.0)] * (name == "clip_grads_with_norm_"))
        return p.grad

    x = jg.tensor([[3.0, 4.0], [1.0, 2.0]])
    g = {"jit": jg.jit(f), "vmap": jg.vmap(f), "both": jg.jit(jg.vmap(f))}[transform]
    assert jg.allclose(g(x), f(x) if transform == "jit" else jg.stack([f(x[0]), f(x[1])]))
