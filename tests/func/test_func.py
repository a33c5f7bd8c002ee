"""vjp, jvp, linearize, hvp, jacrev, jacfwd and hessian: nests, closures, repeated use, jit, and what wrong use is told."""

from __future__ import annotations

import itertools
from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import jitgrad as jg

X = jg.tensor([0.5, -1.0, 2.0], dtype=jg.float64)
V = jg.tensor([1.0, 2.0, -0.5], dtype=jg.float64)


def f(x):
    return (x.tanh() * x).sum() ** 2


def same(got, want):
    got, want = (np.asarray(v.detach().numpy() if isinstance(v, jg.Tensor) else v) for v in (got, want))
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-12)


JACOBIANS = {"fwd": jg.jacfwd, "rev": jg.jacrev}
H = jg.jacrev(jg.jacrev(f))(X)


@pytest.mark.quick
@pytest.mark.parametrize("order", [2, 3])
def test_jacobians_nest_in_every_order(order):
    want = None
    for ways in itertools.product(JACOBIANS, repeat=order):
        g = f
        for way in ways:
            g = JACOBIANS[way](g)
        found = g(X)
        assert found.shape == (3,) * order
        assert not found.requires_grad
        want = found if want is None else want
        same(found, want)
        same(jg.jit(g)(X), want)


def test_jit_in_any_place():
    j = jg.jit
    for h in (
        jg.hessian(j(f)),
        jg.jacfwd(j(jg.grad(f))),
        jg.jacrev(j(jg.grad(f))),
        j(jg.hessian(f)),
        j(jg.jacfwd(j(jg.grad(j(f))))),
        lambda x: jg.vmap(lambda v: jg.hvp(j(f), (x,), (v,)))(jg.eye(3, dtype=jg.float64)),
        lambda x: jg.vmap(j(lambda v: jg.hvp(f, (x,), (v,))))(jg.eye(3, dtype=jg.float64)),
        lambda x: j(jg.vmap(jg.vjp(j(jg.grad(f)), x)[1]))(jg.eye(3, dtype=jg.float64))[0],
        lambda x: j(jg.vmap(jg.linearize(j(jg.grad(f)), x)[1]))(jg.eye(3, dtype=jg.float64)),
    ):
        found = h(X)
        same(found, H)
        assert not found.requires_grad


def test_products_with_vectors_are_those_of_the_matrices():
    g = lambda x: jg.stack([x.prod(), x.softmax(0)[0], x.sum().exp()])
    matrix = jg.jacrev(g)(X)
    value, pull = jg.vjp(g, X)
    same(value, g(X))
    for _ in range(2):
        same(pull(V)[0], matrix.T @ V)
    value, push = jg.linearize(g, X)
    same(value, g(X))
    for _ in range(2):
        same(push(V), matrix @ V)
    same(jg.jvp(g, (X,), (V,))[1], matrix @ V)
    same(jg.hvp(f, (X,), (V,)), H @ V)
    for result in (value, pull(V)[0], push(V), jg.jvp(g, (X,), (V,))[1]):
        assert not result.requires_grad


def test_branches_on_values_are_free_outside_of_traces():
    def g(x):
        return x * x if x.sum() > 0 else -x

    same(jg.jvp(g, (X,), (V,))[1], 2 * X * V)
    same(jg.jacfwd(g)(-X), -np.eye(3))
    same(jg.vjp(g, X)[1](V)[0], 2 * X * V)


@dataclass
class Weights:
    w: Any
    b: Any


Two = namedtuple("Two", "first second")


def test_nested_arguments_and_results():
    g = lambda p, s: {"y": p.w * s[0], "z": Two(p.b.sum(), [p.w.sum() * p.b])}
    p, s = Weights(X, V), (jg.tensor(2.0, dtype=jg.float64), 3)
    for jac in JACOBIANS.values():
        found = jac(g)(p, s)
        assert isinstance(found["y"], Weights)
        same(found["y"].w, 2 * np.eye(3))
        same(found["y"].b, np.zeros((3, 3)))
        same(found["z"].first.b, np.ones(3))
        same(found["z"].second[0].w, np.outer(V.numpy(), np.ones(3)))
        pair = jac(g, (0,))(p, s)
        assert isinstance(pair["z"].first, tuple)
        found, aux = jac(lambda p, s: (g(p, s)["y"], {"aux": p.w}), has_aux=True)(p, s)
        same(found.w, 2 * np.eye(3))
        assert not aux["aux"].requires_grad
    value, pull = jg.vjp(g, p, s)
    back = pull({"y": V, "z": Two(1.0, [X])})
    same(back[0].w, 2 * V.numpy() + float((X * V).sum()))
    assert isinstance(back[1], tuple)
    value, change, aux = jg.jvp(lambda p: (p.w * p.b, p), (p,), (Weights(V, None),), has_aux=True)
    same(change, V * V)
    same(value, aux.w * aux.b)
    both = jg.hvp(lambda x, y: (x * x * y).sum(), (X, V), (V, X))
    same(both[0], 2 * V * V + 2 * X * X)
    same(both[1], 2 * X * V)


def test_what_the_function_closes_over():
    c = V.clone().requires_grad_()
    jg.jvp(lambda x: (x * x * c).sum(), (X,), (V,))[1].backward()
    same(c.grad, 2 * X * V)
    c.grad = None
    (jg.hessian(lambda x: (x**3 * c).sum())(X).sum()).backward()
    same(c.grad, 6 * X)
    c.grad = None
    jg.vjp(lambda x: x * x * c, X)[1](V)[0].sum().backward()
    same(c.grad, 2 * X * V)
    c.grad = None
    jg.vmap(jg.vjp(lambda x: x * x * c, X)[1])(jg.eye(3, dtype=jg.float64))[0].sum().backward()
    same(c.grad, 2 * X)
    nested = jg.grad(lambda y: jg.jvp(lambda x: (x * y).sin().sum(), (X,), (V,))[1])(V)
    want = jg.grad(lambda y: ((X * y).cos() * y * V).sum())(V)
    same(nested, want)
    assert not nested.requires_grad
    perturbation = jg.jvp(
        lambda x: x * jg.jvp(lambda y: x + y, (jg.tensor(1.0),), (jg.tensor(1.0),))[1], (jg.tensor(1.0),), (jg.tensor(1.0),)
    )[1]
    assert perturbation.item() == 1  # not 2, which engines that mix up perturbations give


def test_derivatives_in_tangents_and_cotangents():
    same(jg.grad(lambda t: (jg.jvp(lambda x: x**2, (X,), (t,))[1] ** 2).sum())(V), 8 * X * X * V)
    same(jg.grad(lambda g: (jg.vjp(lambda x: x**2, X)[1](g)[0] ** 2).sum())(V), 8 * X * X * V)


def test_functions_that_ignore_their_argument():
    same(jg.jvp(lambda x: V * 1, (X,), (V,))[1], np.zeros(3))
    same(jg.jacfwd(lambda x: V * 1)(X), np.zeros((3, 3)))
    same(jg.jacrev(lambda x: V * 1)(X), np.zeros((3, 3)))
    same(jg.hessian(lambda x: x.sum())(X), np.zeros((3, 3)))
    same(jg.jit(jg.hessian(lambda x: x.sum()))(X), np.zeros((3, 3)))
    same(jg.jvp(lambda x: x.detach() * x, (X,), (V,))[1], X * V)
    same(jg.jacfwd(lambda x: x)(X), np.eye(3))
    same(jg.jacfwd(lambda x: jg.zeros(0) if x is None else x[:0])(X), np.zeros((0, 3)))
    assert jg.jvp(lambda x: x.argmax(), (X,), (V,))[1].item() == 0


def test_in_place_changes_between_the_run_and_the_sweep_are_noticed():
    x = X.clone()
    _, push = jg.linearize(lambda x: x.exp() * x, x)
    x.add_(1)
    with pytest.raises(jg.errors.OverwrittenError):
        push(V)


def test_dtypes_are_kept():
    x = jg.tensor([1.0, 2.0])
    for dtype in (jg.float16, jg.float32, jg.float64):
        y = x.to(dtype)
        assert jg.jvp(jg.sin, (y,), (x,))[1].dtype is dtype
        assert jg.hessian(lambda y: y.sin().sum())(y).dtype is dtype
        assert jg.jvp(lambda y: y.double(), (y,), (y,))[1].dtype is jg.float64
        assert jg.jacrev(lambda y: y.double())(y).dtype is dtype
    assert jg.jvp(lambda x: x * x, (3.0,), (1,))[1].item() == 6
    assert jg.jvp(lambda x: x * x, (np.ones(2),), (np.ones(2),))[1].dtype is jg.float64


def test_names_of_torch_func():
    for name in ("grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp", "linearize", "vjp", "vmap"):
        assert callable(getattr(jg.func, name))
    gradient, value = jg.func.grad_and_value(f)(X)
    same(value, f(X))
    same(gradient, jg.grad(f)(X))
    gradient, (value, aux) = jg.func.grad_and_value(lambda x: (f(x), "aux"), has_aux=True)(X)
    assert aux == "aux"


WRONG = [
    (lambda: jg.grad(lambda x: x)(X), RuntimeError, r"scalar.*shape \[3\]: reduce it.*jacrev"),
    (lambda: jg.grad(lambda x: (x.sum(), 1))(X), TypeError, "must return tensors, not int"),
    (lambda: jg.grad(lambda x: (x.sum(), x))(X), TypeError, r"must return a tensor, not \(\*, \*\).*has_aux"),
    (lambda: jg.grad(f, (0, 0))(X), ValueError, "names an argument twice"),
    (lambda: jg.grad(f, 1)(X), ValueError, "called with 1 positional"),
    (lambda: jg.grad(3)(X), TypeError, "takes a function, not int"),
    (lambda: jg.jvp(f, X, V), TypeError, r"primals must be a tuple.*write \(x,\)"),
    (lambda: jg.jvp(f, (X,), V), TypeError, "tangents must be a tuple"),
    (lambda: jg.jvp(f, (), ()), TypeError, "nothing to differentiate in"),
    (lambda: jg.jvp(f, (X,), (V, V)), RuntimeError, r"nested as \(\*, \*\) and primals as \(\*\)"),
    (lambda: jg.jvp(f, (X,), (V[:2],)), RuntimeError, r"tangent 0 has shape \[2\], and its primal has \[3\]"),
    (lambda: jg.jvp(f, (jg.tensor(1),), (V,)), TypeError, "argument 0 is int64"),
    (lambda: jg.vjp(f, X)[1](V), RuntimeError, r"shape \[3\].* has \[\]"),
    (lambda: jg.vjp(f, X)[1]((V, V)), RuntimeError, r"nested as \(\*, \*\), and the result.* as \*"),
    (lambda: jg.vjp(f), TypeError, r"vjp\(f, x, y\)"),
    (lambda: jg.vjp(f, "x"), TypeError, "argument 0 cannot be differentiated"),
    (lambda: jg.jacrev(lambda x: 3.0)(X), TypeError, "must return a tensor, not float"),
    (lambda: jg.jacfwd(lambda x: x, has_aux=True)(X), TypeError, r"must return \(value, aux\)"),
    (lambda: jg.linearize(f, X)[1](V, V), RuntimeError, "must be alike"),
    (lambda: jg.grad(f, 0.5)(X), TypeError, "an int or a tuple of ints, not 0.5"),
]


@pytest.mark.quick
@pytest.mark.parametrize(("call", "error", "match"), WRONG)
def test_wrong_use_is_told(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_no_grad_stops_derivatives_also_under_jit():
    def g(x):
        with jg.no_grad():
            c = x * x
        return (c * x).sum()

    for way in (jg.grad(g), jg.jit(jg.grad(g)), jg.grad(jg.jit(g)), jg.jacfwd(g), jg.jit(jg.jacfwd(g))):
        same(way(X), X * X)


def test_results_have_no_history_when_nobody_can_ask_for_it():
    """The cotangents that forward sweeps make up for rows without a rule for tangents are of no interest to anybody."""

    def cubed(x):
        return (x**3).sum()

    def along(f):
        return lambda x: jg.jvp(f, (x,), (x * x,))[1]

    for f in (cubed, jg.jit(cubed), jg.jit(jg.prod)):
        for derivative in (jg.grad(along(f)), jg.jacrev(along(f)), jg.jacfwd(along(f)), along(along(f))):
            assert not derivative(X).requires_grad
