"""custom_vjp and custom_jvp under every transform, and what rules that do not fit are told."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.base.tree import flatten

X = jg.tensor([1.0, 2.0, 3.0], dtype=jg.float64)
Y = jg.tensor([0.5, -1.0, 2.0], dtype=jg.float64)
XS = jg.stack([X, 2 * X])


def plain(x, y):
    return x.sin() * y, {"dot": (x * y).sum(), "largest": x.argmax()}


by_vjp = jg.custom_vjp(plain)
by_vjp.defvjp(
    lambda x, y: (by_vjp(x, y), (x, y)),
    lambda r, g: (g[0] * r[0].cos() * r[1] + g[1]["dot"] * r[1], g[0] * r[0].sin() + g[1]["dot"] * r[0]),
)
by_jvp = jg.custom_jvp(plain)


@by_jvp.defjvp
def rule(primals, tangents):
    (x, y), (a, b) = primals, tangents
    return by_jvp(x, y), (a * x.cos() * y + b * x.sin(), {"dot": (a * y + x * b).sum(), "largest": None})


def leaves(tree):
    found: list = []
    flatten(tree, found)
    return found


def scalar(f):
    return lambda x, y: f(x, y)[0].sum() ** 2 + f(x, y)[1]["dot"].tanh()


def total(f):
    return lambda x, y: jg.vmap(scalar(f), (0, None))(x, y).sum()


BOTH = (0, 1)
WAYS = {
    "value": lambda f: f(X, Y),
    "grad": lambda f: jg.grad(scalar(f), BOTH)(X, Y),
    "hessian": lambda f: jg.hessian(scalar(f), BOTH)(X, Y),
    "jacrev of jacrev": lambda f: jg.jacrev(jg.jacrev(scalar(f), BOTH), BOTH)(X, Y),
    "jacfwd of jacfwd": lambda f: jg.jacfwd(jg.jacfwd(scalar(f), BOTH), BOTH)(X, Y),
    "jvp": lambda f: jg.jvp(f, (X, Y), (Y, X)),
    "vmap": lambda f: jg.vmap(f, (0, None))(XS, Y),
    "vmap of vmap": lambda f: jg.vmap(jg.vmap(f, (None, 0)), (0, None))(XS, XS),
    "vmap of grad": lambda f: jg.vmap(jg.grad(scalar(f), BOTH), (0, None))(XS, Y),
    "grad of vmap": lambda f: jg.grad(total(f), BOTH)(XS, Y),
    "hessian of vmap": lambda f: jg.hessian(total(f), BOTH)(XS, Y),
    "jvp of vmap": lambda f: jg.jvp(jg.vmap(f, (0, None)), (XS, Y), (XS, X)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("custom", [by_vjp, by_jvp], ids=["vjp", "jvp"])
def test_a_right_rule_changes_nothing(way, custom):
    want = leaves(WAYS[way](plain))
    for f in (custom, jg.jit(custom)):
        for got, expected in zip(leaves(WAYS[way](f)), want, strict=True):
            assert not got.requires_grad
            np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=1e-10, atol=1e-12)
    for name in ("interpreted", "jit"):
        with jg.sweep(name):
            compiled = jg.jit(lambda x: WAYS[way](custom))
            for got, expected in zip(leaves(compiled(X)), want, strict=True):
                np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.quick
def test_the_rule_is_what_counts():
    f = jg.custom_vjp(lambda x: x * x)
    f.defvjp(lambda x: (f(x), None), lambda _, g: (g * 100,))
    s = lambda x: f(x).sum()
    for gradient in (
        jg.grad(s),
        jg.jit(jg.grad(s)),
        jg.grad(jg.jit(s)),
        jg.jit(jg.grad(jg.jit(s))),
        lambda x: jg.vmap(jg.grad(f))(x),
        lambda x: jg.grad(lambda x: jg.vmap(f)(x).sum())(x),
        lambda x: jg.jvp(s, (x,), (jg.ones_like(x),))[1] / 3 * jg.ones_like(x),
        lambda x: jg.jit(lambda x: jg.grad(lambda x: jg.vmap(f)(x).sum())(x))(x),
    ):
        assert gradient(X).tolist() == [100, 100, 100]
    w = X.clone().requires_grad_()
    f(w).sum().backward()
    assert w.grad.tolist() == [100, 100, 100]
    assert f(w)._row.inputs[0].op.name == "<lambda>"


def test_clipped_gradients_and_other_arguments():
    @jg.custom_vjp
    def clip(x, bounds, name="clip"):
        return {"a": x["a"] * 1, "b": [x["b"] * 1]}

    clip.defvjp(
        lambda x, bounds, name="clip": (clip(x, bounds), bounds),
        lambda bounds, g: ({"a": g["a"].clamp(*bounds), "b": g["b"][0].clamp(*bounds)}, None),
    )
    f = lambda a, b: (
        (clip({"a": a, "b": b}, (-1.0, 1.0), name="x")["a"] * a * 5).sum()
        + (clip({"a": a, "b": b}, (-1.0, 1.0))["b"][0] * -7).sum()
    )
    for g in (jg.grad(f, BOTH), jg.jit(jg.grad(f, BOTH))):
        a, b = g(X, Y)
        np.testing.assert_allclose(a.numpy(), 5 * X.numpy() + np.clip(5 * X.numpy(), -1, 1))
        assert b.tolist() == [-1, -1, -1]


def test_a_tensor_from_outside_that_requires_grad_is_refused():
    def outer(x, y):
        f = jg.custom_vjp(lambda x: x * y * 2)
        f.defvjp(lambda x: (f(x), None), lambda _, g: (g * 3,))
        return f(x).sum()

    for g in (jg.grad(outer, BOTH), jg.jit(jg.grad(outer, BOTH)), jg.grad(outer, 1)):
        with pytest.raises(RuntimeError, match="uses a tensor from outside that requires grad"):
            g(X, Y)
    np.testing.assert_allclose(jg.grad(outer)(X, Y).numpy(), 3 * np.ones(3))
    np.testing.assert_allclose(jg.jit(jg.grad(outer))(X, Y).numpy(), 3 * np.ones(3))
    np.testing.assert_allclose(jg.vmap(jg.grad(outer), (0, None))(XS, Y).numpy(), 3 * np.ones((2, 3)))


def test_arguments_by_keyword_have_their_places():
    @jg.custom_vjp
    def product(a, b=2.0, *, name=""):
        return a * b

    product.defvjp(lambda a, b=2.0, *, name="": (product(a, b), (a, b)), lambda kept, g: (g * kept[1], g * kept[0]))
    for transform in (lambda f: f, jg.jit):
        a, b = transform(jg.grad(lambda a, b: product(a, b=b, name="x").sum(), BOTH))(X, Y)
        assert (a.tolist(), b.tolist()) == (Y.tolist(), X.tolist())
        a, b = transform(jg.grad(lambda a, b: product(b=b, a=a).sum(), BOTH))(X, Y)
        assert (a.tolist(), b.tolist()) == (Y.tolist(), X.tolist())


@pytest.mark.parametrize("transform", [lambda f: f, jg.jit])
def test_results_have_memory_of_their_own(transform):
    @jg.custom_vjp
    def views(a):
        return a[1:], a[:2]

    views.defvjp(lambda a: (views(a), None), lambda _, g: (jg.cat([g[1], g[0][1:]]),))

    def changed(a):
        p, q = views(a * 1)
        p[0] = 100.0
        return q

    assert transform(changed)(X).tolist() == X[:2].tolist()
    assert transform(changed)(X.clone().requires_grad_()).tolist() == X[:2].tolist()


@pytest.mark.parametrize("transform", [lambda f: f, jg.jit])
@pytest.mark.parametrize(
    ("given", "want"), [(np.full(3, 2.0), 2.0), (np.full(3, 2), 2.0), (None, 0.0), ("a", None), (True, None), ([X], None)]
)
def test_what_a_rule_may_return(given, want, transform):
    f = jg.custom_vjp(lambda x: x * 1)
    f.defvjp(lambda x: (f(x), None), lambda _, g: (given,))
    g = transform(jg.grad(lambda x: f(x).sum()))
    if want is None:
        with pytest.raises((TypeError, ValueError), match=r"a cotangent is a tensor|nested as"):
            g(X)
    else:
        assert g(X).tolist() == [want] * 3
        assert g(X).dtype is jg.float64


def test_a_forward_rule_that_returns_something_else_is_told():
    f = jg.custom_vjp(lambda x: x * 1)
    f.defvjp(lambda x: (f(x).sum(), None), lambda _, g: (g,))
    with pytest.raises(ValueError, match=r"what the forward rule returned has shape \[\]"):
        jg.grad(lambda x: f(x).sum())(X)


def test_dtypes_and_branches():
    f = jg.custom_vjp(lambda x: (x.float(), x) if x.sum() > 0 else (-x.float(), -x))
    f.defvjp(lambda x: (f(x), None), lambda _, g: (g[0] + g[1],))
    y, z = f(X)
    assert y.dtype is jg.float32
    assert z.dtype is jg.float64
    assert jg.grad(lambda x: f(x)[0].sum() + f(x)[1].sum())(X).dtype is jg.float64


def _with(forward=lambda x: (x, None), backward=lambda r, g: (g,)):
    f = jg.custom_vjp(lambda x: x * 2)
    f.defvjp(forward, backward)
    return jg.grad(lambda x: f(x).sum())(X)


def _jvp(rule):
    f = jg.custom_jvp(lambda x: x * 2)
    if rule is not None:
        f.defjvp(rule)
    return jg.jvp(f, (X,), (Y,))


WRONG = [
    (lambda: jg.grad(jg.custom_vjp(lambda x: x.sum()))(X), TypeError, "has no rules: call .*defvjp"),
    (lambda: jg.custom_vjp(3), TypeError, "custom_vjp takes a function, not int"),
    (lambda: _with(forward=lambda x: x), TypeError, r"forward must return \(result, residuals\)"),
    (lambda: _with(backward=lambda r, g: g), TypeError, "entry for each of the 1 arguments"),
    (lambda: _with(backward=lambda r, g: (g, g)), TypeError, "entry for each of the 1 arguments"),
    (lambda: _with(backward=lambda r, g: ((g, g),)), ValueError, r"returned \(\*, \*\) for argument 0, which is nested as \*"),
    (lambda: _with(backward=lambda r, g: (g[:2],)), ValueError, r"cotangent of shape \[2\] for a tensor of shape \[3\]"),
    (lambda: _jvp(None), TypeError, "has no rule"),
    (lambda: _jvp(lambda p, t: t[0]), TypeError, r"must return \(result, tangent\)"),
    (lambda: _jvp(lambda p, t: (p[0], t[0][:2])), ValueError, r"the tangent that the rule returned has shape \[2\]"),
    (lambda: _jvp(lambda p, t: (p[0], (t[0], t[0]))), ValueError, "is nested as"),
    (lambda: jg.grad(jg.custom_vjp(lambda x: x.argmax()))(X), TypeError, "at least one floating tensor"),
]


@pytest.mark.quick
@pytest.mark.parametrize(("call", "error", "match"), WRONG)
def test_wrong_rules_are_told(call, error, match):
    with pytest.raises(error, match=match):
        call()
