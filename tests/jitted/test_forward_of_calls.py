"""Forward mode of functions that are themselves under jit: loops without a bound, branches, several results, captured tensors."""

from __future__ import annotations

import numba
import numpy as np
import pytest

import jitgrad as jg
from jitgrad.base.tree import flatten

W = jg.tensor([0.3, 0.2], dtype=jg.float64)
X = jg.tensor([1.0, 2.0], dtype=jg.float64)
T = jg.tensor([0.5, -1.0], dtype=jg.float64)


def unbounded(x):
    return jg.while_loop(lambda c: c.sum() < 20, lambda c: c * 1.5 + jg.sin(c), x)


def counted(x):
    return jg.fori_loop(0, (x.sum() * 2).to(jg.int64), lambda i, c: c * 1.1 + jg.cos(c), x)


def captured(x):
    return jg.while_loop(lambda c: c.sum() < 20, lambda c: c * 1.5 + jg.sin(c * W), x)


def several(x):
    end = unbounded(x)
    return end * x, (end * end).sum()


def branched(x):
    return jg.cond(x.sum() > 1, lambda x: jg.sin(x) * x, lambda x: x * x, x)


def switched(x):
    return jg.switch((x.sum() * 0 + 1).to(jg.int64), [lambda x: x, lambda x: unbounded(x) * x, jg.cos], x)


def nested(x):
    return jg.while_loop(lambda c: c.sum() < 20, lambda c: jg.fori_loop(0, 2, lambda i, d: unbounded(d * 0.2) + i, c), x)


def in_a_scan(x):
    return jg.scan(lambda c, s: (unbounded(c * 0.1) * s, (c.sum(), c * s)), x, x)[1]


def with_ints(x):
    n, end = jg.while_loop(lambda s: s[1].sum() < 20, lambda s: (s[0] + 1, s[1] * 1.5 + x), (jg.tensor(0), x))
    return end * n, n


def straight(x):
    return x.exp().sum() * x


@jg.custom_vjp
def three_times(x):
    return x.sin() * x


three_times.defvjp(lambda x: (three_times(x), x), lambda x, g: (g * x * 3,))


@jg.custom_jvp
def twice(x):
    return unbounded(x)


twice.defjvp(lambda xs, ts: (twice(*xs), 2 * ts[0] * xs[0]))

squared = jg.elementwise(numba.njit(lambda x: x * x))
root_of = jg.func.implicit_root(
    lambda y, a: y * y - a,
    lambda a: jg.while_loop(lambda y: ((y * y - a) ** 2).sum() > 1e-24, lambda y: (y + a / y) / 2, a),
)


def with_rules(x):
    return jg.while_loop(lambda c: c.sum() < 20, lambda c: c * 1.5 + three_times(c) * 0.1 + twice(c * 0.1) + squared(x), x)


def implicit(x):
    return root_of(x) * x


def of_gradients(x):
    return jg.value_and_grad(lambda x: (bounded(x) ** 2).sum())(x), unbounded(x)


def of_examples(x):
    return {"each": jg.vmap(unbounded)(x), "pushed": jg.jvp(unbounded, (x,), (x * 2,))[1]}


def in_jit(x):
    return jg.jit(unbounded)(x) * x


def partly(x):
    return unbounded(W) * 1.0, x * 2, (x * 3).to(jg.int64)


PLAIN = [unbounded, counted, captured, several, branched, switched, nested, in_a_scan, with_ints, straight]
FUNCTIONS = [*PLAIN, with_rules, implicit, of_gradients, of_examples, in_jit, partly]
TRANSFORMS = {
    "jvp": lambda f: lambda x: jg.jvp(f, (x,), (T,)),
    "jacfwd": jg.jacfwd,
    "jacfwd of jacfwd": lambda f: jg.jacfwd(jg.jacfwd(f)),
    "linearize": lambda f: lambda x: jg.linearize(f, x)[1](T),
    "jvp of jvp": lambda f: lambda x: jg.jvp(lambda x: jg.jvp(f, (x,), (T,))[1], (x,), (T,)),
    "vmap of jacfwd": lambda f: lambda x: jg.vmap(jg.jacfwd(f))(jg.stack([x, 2 * x])),
    "jvp of vmap": lambda f: lambda x: jg.jvp(jg.vmap(f), (jg.stack([x, 2 * x]),), (jg.stack([T, 2 * T]),)),
    "vmap of linearize": lambda f: lambda x: jg.vmap(jg.linearize(f, x)[1])(jg.stack([T, 2 * T])),
    "vmap of jvp": lambda f: lambda x: jg.vmap(lambda t: jg.jvp(f, (x,), (t,)))(jg.stack([T, 2 * T])),
}


def bounded(x):
    return jg.while_loop(lambda c: c.sum() < 20, lambda c: c * 1.5 + jg.sin(c * W), x, max_steps=30)


# A reverse sweep needs a bound, over tangents too.
REVERSE = {
    "grad of jvp": lambda f: jg.grad(lambda x: jg.jvp(f, (x,), (T,))[1].sum()),
    "grad in the tangent": lambda f: lambda x: jg.grad(lambda t: (jg.jvp(f, (x,), (t,))[1] ** 2).sum())(T),
    "jacfwd of grad": lambda f: jg.jacfwd(jg.grad(lambda x: f(x).sum())),
}


def leaves_of(tree):
    leaves = []
    flatten(tree, leaves)
    return [np.asarray(leaf.tolist()) for leaf in leaves if leaf is not None]


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_jit_inside_and_outside_gives_what_eager_code_gives(function, transform):
    agrees(function, transform)


@pytest.mark.parametrize("transform", REVERSE.values(), ids=REVERSE)
@pytest.mark.parametrize("function", [bounded, branched, straight], ids=lambda f: f.__name__)
def test_reverse_mode_over_forward_mode(function, transform):
    agrees(function, transform)


def agrees(function, transform):
    wanted = leaves_of(transform(function)(X))
    for way in (transform(jg.jit(function)), jg.jit(transform(function)), jg.jit(transform(jg.jit(function)))):
        for _ in range(2):
            found = leaves_of(way(X))
            assert len(found) == len(wanted)
            for a, b in zip(found, wanted):
                np.testing.assert_allclose(a, b, rtol=1e-12)


def test_tangents_of_captured_tensors_arrive():
    def through(w):
        return jg.jit(lambda x: jg.while_loop(lambda c: c.sum() < 20, lambda c: c * 1.5 + jg.sin(c * w), x))(X)

    def plain(w):
        return jg.while_loop(lambda c: c.sum() < 20, lambda c: c * 1.5 + jg.sin(c * w), X)

    np.testing.assert_allclose(jg.jvp(through, (W,), (T,))[1].tolist(), jg.jvp(plain, (W,), (T,))[1].tolist())


def test_ints_and_inputs_that_are_not_used_have_no_tangents():
    f = jg.jit(lambda x, y, n: (x[n] * x.sum(), n + 1))
    n = jg.tensor([1, 0])
    (value, _), (tangent, none) = jg.jvp(lambda x, y: f(x, y, n), (X, W), (T, T))
    assert value.tolist() == [6.0, 3.0]
    np.testing.assert_allclose(tangent.tolist(), [2 * -0.5 + -1.0 * 3, 1 * -0.5 + 0.5 * 3])
    assert none is None or not np.any(none.tolist())
