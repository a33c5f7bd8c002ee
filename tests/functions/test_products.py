"""Products of matrices: what becomes of many matrices times one."""

from __future__ import annotations

import itertools

import numpy as np

import jitgrad as jg
from tests.helpers.whole import whole

rng = np.random.default_rng(0)


def tensor(x):
    return jg.tensor(np.asarray(x))


def near(got, want):
    np.testing.assert_allclose(got.detach().numpy(), want, rtol=1e-12, atol=1e-12)


def test_many_times_one_matrix_is_one_product_with_memory_of_its_own():
    many, one, vector = rng.standard_normal((2, 3, 4)), rng.standard_normal((4, 5)), rng.standard_normal(4)
    swapped = many.transpose(1, 0, 2)  # whose rows do not lie one after the other
    whole(
        {
            "matrix": (jg.matmul, [many, one]),
            "vector": (jg.matmul, [many, vector]),
            "swapped": (lambda x, w: x.transpose(0, 1) @ w, [swapped, one]),
            "linear": (jg.nn.functional.linear, [many, one.T, vector[[0, 1, 2, 3, 0]]]),
            "changed": (lambda x, w: (x @ w).mul_(2).add_(x.sum()), [many, one]),
        }
    )
    for other, f in itertools.product((one, vector), (jg.matmul, lambda x, w: jg.nn.functional.linear(x, w.T))):
        x, w = tensor(many).requires_grad_(), tensor(other).requires_grad_()
        out = f(x, w)
        near(out, np.matmul(many, other))
        assert not out._is_view()
        assert {len(row.shape) for row in out.tape().rows if row.op.name == "matmul"} == {2}
        near(jg.vmap(f, (0, None))(x, w), np.matmul(many, other))
        near(jg.jit(f)(x, w), np.matmul(many, other))
        gradients = jg.jit(jg.grad(lambda x, w, f=f: f(x, w).sum(), argnums=1))
        assert {len(row.shape) for row in gradients.tape(x, w).rows if row.op.name == "matmul"} <= {2}
        out.detach_().add_(1)
        near(x @ w, np.matmul(many, other))
    for shapes in (((0, 3, 4), (4, 5)), ((2, 3, 0), (0, 5)), ((2, 0, 4), (4,)), ((2, 3, 0), (0,))):
        x, w = map(np.ones, shapes)
        near(tensor(x) @ tensor(w), x @ w)


def test_batches_of_products_are_those_of_their_matrices():
    rng = np.random.default_rng(3)
    a, b = (jg.tensor(rng.standard_normal(shape), requires_grad=True) for shape in ((2, 3, 4, 5), (2, 3, 5, 2)))
    out = a @ b
    out.backward(jg.ones(2, 3, 4, 2))
    np.testing.assert_allclose(out.detach().numpy(), a.detach().numpy() @ b.detach().numpy())
    np.testing.assert_allclose(a.grad.numpy(), np.ones((2, 3, 4, 2)) @ b.detach().numpy().swapaxes(-1, -2))
    np.testing.assert_allclose(b.grad.numpy(), a.detach().numpy().swapaxes(-1, -2) @ np.ones((2, 3, 4, 2)))
    second = jg.func.jacrev(jg.func.grad(lambda a, b: ((a @ b) ** 2).sum(), 1))(a.detach(), b.detach())
    assert second.shape == (2, 3, 5, 2, 2, 3, 4, 5)
