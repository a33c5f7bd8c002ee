"""`autograd.functional` under `jit` and `vmap`, and Jacobians of complex numbers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.autograd import functional as F
from jitgrad.errors import TracedValueError

X, V = jg.tensor([1.0, 2.0]), jg.tensor([0.5, -1.0])
FORWARD = {"vectorize": True, "strategy": "forward-mode"}
OUTSIDE = {"vectorize": True, "outer_jacobian_strategy": "forward-mode"}


def many(t: Any) -> Any:
    return t**3 + t.sum() * t


def one(t: Any) -> Any:
    return (t**4).sum() * t[0].sin()


CALLS: dict[str, Callable] = {
    "jacobian": lambda z: F.jacobian(many, z),
    "jacobian, vectorized": lambda z: F.jacobian(many, z, vectorize=True),
    "jacobian, forward": lambda z: F.jacobian(many, z, **FORWARD),
    "jacobian, strict": lambda z: F.jacobian(many, z, strict=True),
    "jacobian, recorded": lambda z: F.jacobian(many, z, create_graph=True),
    "jacobian of several": lambda z: F.jacobian(lambda a, b: (a * b, b.sum()), (z, z * 2)),
    "hessian": lambda z: F.hessian(one, z),
    "hessian, vectorized": lambda z: F.hessian(one, z, vectorize=True),
    "hessian, forward": lambda z: F.hessian(one, z, **OUTSIDE),
    "hessian, strict": lambda z: F.hessian(one, z, strict=True),
    "hessian, recorded": lambda z: F.hessian(one, z, create_graph=True),
    "vjp": lambda z: F.vjp(many, z, V),
    "vjp of a number": lambda z: F.vjp(one, z),
    "jvp": lambda z: F.jvp(many, z, V),
    "hvp": lambda z: F.hvp(one, z, V),
    "hvp, strict": lambda z: F.hvp(one, z, V, strict=True),
    "vhp": lambda z: F.vhp(one, z, V),
    "vhp, recorded": lambda z: F.vhp(one, z, V, create_graph=True, strict=True),
}


def flat(tree: Any) -> list[Any]:
    return [leaf for part in tree for leaf in flat(part)] if isinstance(tree, tuple) else [tree.detach().numpy()]


@pytest.mark.parametrize("name", CALLS)
def test_under_jit_and_vmap(name: str) -> None:
    call = CALLS[name]
    right = flat(call(X))
    assert all(np.any(part) for part in right) or name == "jacobian of several"
    batch = jg.stack([X, X * 1.5])
    second = flat(call(X * 1.5))
    for found in (jg.jit(call)(X), jg.jit(call, guard=True)(X)):
        for a, b in zip(flat(found), right, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5)
    for found in (jg.vmap(call)(batch), jg.jit(jg.vmap(call))(batch)):
        for a, b, c in zip(flat(found), right, second, strict=True):
            np.testing.assert_allclose(a, np.stack([b, c]), rtol=1e-5)


def test_results_that_are_differentiated() -> None:
    for call in (lambda z: F.jacobian(many, z, create_graph=True), lambda z: F.hessian(one, z, create_graph=True)):
        loss = lambda z, call=call: (call(z) ** 2).sum()
        z = X.clone().requires_grad_()
        loss(z).backward()
        for f in (jg.grad(loss), jg.jit(jg.grad(loss))):
            np.testing.assert_allclose(f(X).numpy(), z.grad.numpy(), rtol=1e-5)


def test_strict_under_jit() -> None:
    for call in (
        lambda z: F.jacobian(lambda t: t.detach() * 2, z, strict=True),
        lambda z: F.hessian(lambda t: t.sum(), z, strict=True),
        lambda z: F.vhp(lambda t: t.sum(), z, V, strict=True),
        lambda z: F.jvp(lambda t: jg.ones(2), z, V, strict=True),
    ):
        for f in (call, jg.jit(call)):
            with pytest.raises(RuntimeError, match="output 0 of the function does not depend on input 0"):
                f(X)


def test_asking_for_a_gradient_of_no_values() -> None:
    for f in (
        lambda z: z.requires_grad_(),
        lambda z: (z * 2).requires_grad_(),
        lambda z: z.detach().requires_grad_(),
    ):
        for g in (jg.jit(f), jg.vmap(f)):
            with pytest.raises(TracedValueError, match=r"requires_grad_\(\) asks for a gradient of values"):
                g(X)
    assert jg.jit(lambda z: z * jg.ones(2, requires_grad=True).detach())(X).tolist() == [1, 2]


def test_jacobians_that_would_lose_half() -> None:
    z = jg.tensor([1 + 2j, 2 - 1j])
    for jit in (lambda f: f, jg.jit):
        with pytest.raises(RuntimeError, match=r"jacrev: a result is complex64.*take jacfwd"):
            jit(jg.jacrev(lambda a: (a, a * 1j)))(X)
        with pytest.raises(RuntimeError, match=r"jacfwd: an argument is complex64.*take jacrev"):
            jit(jg.jacfwd(lambda a: a.abs()))(z)
        with pytest.raises(RuntimeError, match="hessian: an argument is complex64"):
            jit(jg.hessian(lambda a: (a.abs() ** 4).sum()))(z)
        assert jit(jg.jacfwd(lambda a: a * 1j))(X).tolist() == [[1j, 0], [0, 1j]]
        np.testing.assert_allclose(jit(jg.jacrev(lambda a: a * a))(z).numpy(), np.diag(2 * z.numpy().conj()))
        np.testing.assert_allclose(jit(jg.jacfwd(lambda a: a * a))(z).numpy(), np.diag(2 * z.numpy()))
    pytest.importorskip("scipy")
    with pytest.raises(RuntimeError, match="a result is complex64"):
        jg.jacrev(lambda a: a * 1j, sparsity=np.eye(2))(X)
