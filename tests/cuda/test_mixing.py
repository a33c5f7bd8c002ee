"""Tensors of several devices: what copies from one to another, what is refused, and that arrays of NumPy are on none."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as jg


def on(data, **more):
    return jg.tensor(data, device="cuda", **more)


def test_mixing_names_both():
    both = r"there are tensors on cpu and cuda:0"
    x, y = jg.tensor([1.0, 2.0]), on([1.0, 2.0])
    for mix in (lambda: x + y, lambda: y * x, lambda: jg.where(y > 0, x, y), lambda: jg.cat([x, y]), lambda: y.add_(x)):
        with pytest.raises(RuntimeError, match=both):
            mix()
    for index in (on([0, 1]), on([True, False])):
        with pytest.raises(RuntimeError, match=both):
            x[index]
        with pytest.raises(RuntimeError, match=both):
            x[index] = 1.0
    assert y[jg.tensor([True, False])].tolist() == [1.0]  # an index may come from the host
    with pytest.raises(RuntimeError, match=both):
        jg.jit(lambda a, b: a * b)(x, y)
    with pytest.raises(RuntimeError, match=both):
        jg.jit(lambda a: a * x)(y)
    assert (y * jg.tensor(2.0)).tolist() == [2.0, 4.0]  # one number may come from the host
    y[0] = jg.tensor(5.0)
    assert y.tolist() == [5.0, 2.0]
    zero, one = jg.tensor(1.0), on(1.0)
    with pytest.raises(RuntimeError, match=f"add_: {both}"):
        zero += one
    with pytest.raises(RuntimeError, match=both):
        x += one
    with pytest.raises(RuntimeError, match=f"setitem: {both}"):
        x[[0, 1]] = y
    with pytest.raises(RuntimeError, match=f"setitem: {both}"):
        y[[0, 1]] = x


@pytest.mark.parametrize(("here", "there"), [("cpu", "cuda"), ("cuda", "cpu")])
def test_writing_copies_from_one_device_to_another(here, there):
    x, y = jg.tensor([1.0, 2.0], device=here), jg.tensor([3.0, 4.0], device=there)
    assert x.clone().copy_(y).tolist() == [3.0, 4.0]
    z = x.clone()
    z[1:] = y[:1]
    z[0] = y[1]
    assert z.tolist() == [4.0, 3.0]
    z[[1]] = y[1]
    z[z == 4] = y[0]
    assert z.tolist() == [3.0, 3.0]
    assert z.fill_(y[1]).tolist() == [4.0, 4.0]
    assert z.device == x.device
    leaf = y.clone().requires_grad_()
    z[:] = leaf * 2
    (z * x).sum().backward()
    assert leaf.grad.tolist() == [2.0, 4.0]
    assert leaf.grad.device == y.device


def test_conversions_that_name_a_device():
    x, y = jg.tensor([1.0, 2.0]), on([1, 2])
    assert (x.type(), y.type(), x.type(y.type()).dtype) == ("jitgrad.float32", "jitgrad.cuda.int64", jg.int64)
    for moved in (x.type_as(y), x.type(y.type()), x.to(0), x.to(0, jg.int64), x.to(device=0)):
        assert str(moved.device) == "cuda:0"
    assert not y.type_as(x).is_cuda
    assert y.type("float64").is_cuda
    assert jg.tensor([[y[0], 2.5], [x[1], y[1]]]).tolist() == [[1.0, 2.5], [2.0, 2.0]]
    assert jg.tensor([y[0], y[1]], device="cuda").is_cuda
    with pytest.raises(RuntimeError, match="there is no cuda:99"):
        x.to(99)


def _pulled_by(custom, rule):
    """The gradient of a function whose rule returns what is given."""
    f = custom(lambda x: x * x)
    if custom is jg.custom_vjp:
        f.defvjp(lambda x: (f(x), None), lambda _, g: (rule,))
    else:
        f.defjvp(lambda primals, tangents: (f(*primals), rule))
    return jg.grad(lambda x: f(x).sum())


SEEDED = {
    "backward": lambda x, g: (x * x).backward(g),
    "grad": lambda x, g: jg.autograd.grad(x * x, x, g),
    "create_graph": lambda x, g: jg.autograd.grad(x * x, x, g, create_graph=True),
    "hook of a leaf": lambda x, g: (x.register_hook(lambda _: g), (x * x).sum().backward()),
    "hook": lambda x, g: ((y := x * x).register_hook(lambda _: g), y.sum().backward()),
    "vjp": lambda x, g: jg.vjp(lambda x: x * x, x)[1](g),
    "jvp": lambda x, g: jg.jvp(lambda x: x * x, (x,), (g,)),
    "linearize": lambda x, g: jg.linearize(lambda x: x * x, x)[1](g),
    "hvp": lambda x, g: jg.hvp(lambda x: (x * x).sum(), (x,), (g,)),
    "custom_vjp": lambda x, g: _pulled_by(jg.custom_vjp, g)(x),
    "custom_jvp": lambda x, g: _pulled_by(jg.custom_jvp, g)(x),
    "grad of a tensor": lambda x, g: setattr(x, "grad", g),
    "data": lambda x, g: setattr(x, "data", g),
}


@pytest.mark.parametrize(("here", "there"), [("cpu", "cuda:0"), ("cuda:0", "cpu")])
@pytest.mark.parametrize("way", SEEDED)
def test_a_gradient_from_another_device_is_an_error_that_names_both(way, here, there):
    for _ in range(3):
        x = jg.tensor([1.0, 2.0], device=here, requires_grad=True)
        with pytest.raises(RuntimeError, match=f"on the device of its tensor, '{here}', not on '{there}'"):
            SEEDED[way](x, jg.ones(2, device=there))
    assert str(x.device) == here
    assert x.grad is None
    SEEDED[way](jg.tensor([1.0, 2.0], device=here, requires_grad=True), jg.ones(2, device=here))


def test_arrays_are_on_no_device_under_jit():
    """Beside arguments and tensors from outside; a tensor on the host in their place is refused all the same."""
    x, host = on([[1.0, 2.0], [3.0, 4.0]]), np.array([1.0, 2.0], np.float32)
    for f, given in ((jg.jit(lambda a, x: x @ a), (x,)), (jg.jit(lambda a: x @ a), ())):
        for _ in range(3):
            assert f(host, *given).tolist() == [5.0, 11.0]
            assert f(host + 1, *given).tolist() == [8.0, 18.0]
            with pytest.raises(RuntimeError, match="matmul: there are tensors on cpu and cuda:0"):
                f(jg.tensor(host), *given)
            assert f(on([1.0, 2.0]), *given).tolist() == [5.0, 11.0]
    f = jg.jit(lambda a: a * 2)
    assert not f(host).is_cuda
    assert not f(jg.tensor(host)).is_cuda
    assert f(on([1.0])).is_cuda
    assert str(jg.jit(lambda a: x @ a + jg.ones(2, device="cuda"))(host).device) == "cuda:0"


def test_mixing_under_jit_names_the_operation():
    x, y = jg.ones(2), on([1.0, 2.0])
    both = "there are tensors on cpu and cuda:0: bring them to one device"
    for f, args in ((lambda a, b: (a.exp() * 2).sin() - b, (x, y)), (lambda a: a.exp() - x, (y,)), (lambda a: a - y, (x,))):
        with pytest.raises(RuntimeError, match=f"sub: {both}"):
            jg.jit(f)(*args)
    with pytest.raises(RuntimeError, match=f"cat: {both}"):
        jg.jit(lambda a, b: jg.cat([a, b]))(x, y)

    def apart(a, b):
        return a + 1, b + 1

    with pytest.raises(RuntimeError, match=f"apart: {both}"):
        jg.jit(apart)(x, y)


def test_solvers_of_scipy_where_the_data_are_on_a_device():
    optimize = pytest.importorskip("scipy.optimize")
    x = on([[1.0, 2.0], [3.0, 4.0]]).double()
    both = jg.jit(jg.value_and_grad(lambda w: ((x @ w - 1) ** 2).sum()))

    def f(w):
        value, gradient = both(w)
        return value.item(), gradient.cpu().numpy()

    assert optimize.minimize(f, np.zeros(2), jac=True).x == pytest.approx([-1.0, 1.0], abs=1e-4)


def test_one_number_and_arrays_are_cotangents_of_any_device():
    x = on([1.0, 2.0], requires_grad=True)
    (x * x).sum().backward(jg.tensor(2.0))
    assert x.grad.tolist() == [4.0, 8.0]
    for g in (np.ones(2), np.ones(2, np.float32)):
        square = lambda x: x * x
        pulled, pushed = lambda x: jg.vjp(square, x)[1](g)[0], lambda x: jg.jvp(square, (x,), (g,))[1]  # noqa: B023  called at once
        for f in (pulled, pushed, jg.jit(pulled), jg.jit(pushed)):
            assert f(x.detach()).tolist() == [2.0, 4.0]
            assert jg.vmap(f)(x.detach()[None]).tolist() == [[2.0, 4.0]]
