"""What a gradient is asked for cannot be changed in place by the function that it is taken of: eager, jit, nested, vmap alike."""

from __future__ import annotations

import pytest

import jitgrad as jg


def _itself(x):
    x.mul_(3)
    return x.sum()


def _row(x):
    x[0].mul_(3)
    return x.sum()


def _assigned(x):
    x[0] = 2.0
    return (x * x).sum()


def _flat(x):
    y = x.reshape(-1)
    y.neg_()
    return y.sum()


def _grad_of_grad(f):
    return jg.grad(lambda y: jg.grad(f)(y * 1.0).sum())


WAYS = {
    "grad": jg.grad,
    "value_and_grad": jg.value_and_grad,
    "jit(grad)": lambda f: jg.jit(jg.grad(f)),
    "grad(jit)": lambda f: jg.grad(jg.jit(f)),
    "grad of grad": _grad_of_grad,
    "jit(grad of grad)": lambda f: jg.jit(_grad_of_grad(f)),
    "vmap(grad)": lambda f: lambda x: jg.vmap(jg.grad(f))(jg.stack([x, x])),
    "jit(vmap(grad))": lambda f: lambda x: jg.jit(jg.vmap(jg.grad(f)))(jg.stack([x, x])),
    "hessian": jg.hessian,
    "jvp": lambda f: lambda x: jg.jvp(f, (x,), (x,)),
    "jit(jacrev)": lambda f: jg.jit(jg.jacrev(f)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("f", [_itself, _row, _assigned, _flat])
def test_it_is_an_error(way, f):
    x = jg.tensor([[1.0, 2.0], [3.0, 4.0]])
    with pytest.raises(RuntimeError, match=r"requires grad cannot be changed in place|changes a tensor that its caller holds"):
        WAYS[way](f)(x)


@pytest.mark.parametrize("way", ["grad", "jit(grad)", "grad(jit)", "grad of grad", "vmap(grad)", "jit(vmap(grad))"])
def test_a_copy_can_be_changed(way):
    def f(x):
        y = x.clone()
        y[0] *= 3
        y.add_(1).mul_(y)
        return y.sum()

    x = jg.tensor([[1.0, 2.0], [3.0, 4.0]])
    found = WAYS[way](f)(x)
    first = [[24.0, 42.0], [8.0, 10.0]]  # of (3 x + 1)^2, and (x + 1)^2
    want = {"grad of grad": [[18.0, 18.0], [2.0, 2.0]]}.get(way, [first, first] if "vmap" in way else first)
    assert found.tolist() == want
