"""What nobody uses has no cotangent, what is constant no tangent, on the tape as in eager code: nothing infinite meets a 0."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.base.tree import flatten
from tests.helpers.sweeps import SWEEPS

A = jg.tensor([0.5, -1.0], dtype=jg.float64)
NAN, INF = float("nan"), float("inf")


def root(a):
    """What has an infinite derivative, where it has one."""
    return (a - A).sqrt()


def unused(a, xs, back, w):
    return jg.scan(lambda c, s: ((c[0] * s, c[1] * w), None), (a * 2, a), xs, reverse=back)[0][0]


LOOPS = {
    "ys": lambda a, xs, back: jg.scan(lambda c, s: (c.tanh() * 2 + s, (c, c * s)), a, xs, reverse=back)[1][0],
    "other ys": lambda a, xs, back: jg.scan(lambda c, s: (c.tanh() * 2 + s, (c, c * s)), a, xs, reverse=back)[1][1],
    "carry": lambda a, xs, back: jg.scan(lambda c, s: (c.tanh() * 2 + s, c), a, xs, reverse=back)[0],
    "two": lambda a, xs, back: jg.scan(lambda c, s: ((c[0].sin() * s, c[1] + c[0]), c[1]), (a, a * 2), xs, reverse=back)[1],
    "swapped": lambda a, xs, back: jg.scan(lambda c, s: ((c[1] * s, c[0].exp()), c[0]), (a, a * 2), xs, reverse=back)[0][0],
    "swapped ys": lambda a, xs, back: jg.scan(lambda c, s: ((c[1] * s, c[0].exp()), c[0]), (a, a * 2), xs, reverse=back)[1],
    "reset": lambda a, xs, back: jg.scan(lambda c, s: (s * 3 + c * 0, c * s), a, xs, reverse=back)[1],
    "captured": lambda a, xs, back: jg.scan(lambda c, s: (c * a + s, c), a * 0 + 1, xs, reverse=back)[1],
    "reset at first": lambda a, xs, back: jg.scan(lambda c, s: ((a * s, c[1] * 2), None), (root(a), a), xs, reverse=back)[0],
    "shifted": lambda a, xs, back: jg.scan(lambda c, s: ((c[1] * s, c[2] * 2, a * s), None), (root(a), a, a), xs, reverse=back)[
        0
    ][0],
    "unused captured": lambda a, xs, back: unused(a, xs, back, root(a)),
    "unused xs": lambda a, xs, back: jg.scan(
        lambda c, s: (c * 1.5, c * s), a, jg.stack([*[root(a)] * len(xs), a])[1:], reverse=back
    )[0],
    "blocks": lambda a, xs, back: jg.scan(
        lambda c, s: ((c[0] * 1.5, c[0] * c[1]), None), (a, root(a)), xs, reverse=back, checkpoint=2
    )[0][0],
    "bounded": lambda a, xs, back: jg.while_loop(
        lambda c: c[0] < len(xs), lambda c: (c[0] + 1, c[1] * root(a), c[2] * 1.5), (0, root(a), a), max_steps=9
    )[2],
    "both branches": lambda a, xs, back: jg.cond(a.sum() > 0, lambda a, w: (a * 2, w), lambda a, w: (a, w), a, root(a))[0],
    "counted": lambda a, xs, back: jg.fori_loop(0, len(xs), lambda i, c: (c[0] * 1.5, c[0] * c[1]), (a, a))[0],
}


# Of a, and of entries of the carry that are constant until something of a reaches them; Z has infinite derivatives.
Z = jg.tensor([0.0, 2.0], dtype=jg.float64)
CONSTANTS = {
    "constant": lambda a, xs, back: jg.scan(lambda c, s: ((c[0] * s, c[1].sqrt()), c[1]), (a, Z), xs, reverse=back),
    "reached": lambda a, xs, back: jg.scan(lambda c, s: ((c[0] * 2, c[1].sqrt() * c[0]), c[1]), (a, Z), xs, reverse=back),
    "times xs": lambda a, xs, back: jg.scan(lambda c, s: ((c[0] + 1, c[1] * s), c[1] * 2), (a, Z), xs, reverse=back),
    "shifted": lambda a, xs, back: jg.scan(lambda c, s: ((c[1].sqrt(), c[2] * 2, a * s), c[0]), (Z, Z, Z), xs, reverse=back),
    "reset": lambda a, xs, back: jg.scan(lambda c, s: ((Z * s, c[1] * 2), c[0].sqrt()), (a, a * 2), xs, reverse=back),
    "begun inside": lambda a, xs, back: jg.scan(lambda c, s: (c.sqrt() + a, c), Z, xs, reverse=back),
    "ys alone": lambda a, xs, back: jg.scan(lambda c, s: (c * s, (c.sqrt(), c * a)), Z, xs, reverse=back),
    "of xs": lambda a, xs, back: jg.scan(lambda c, s: ((c[0].sqrt(), c[1] * s), s), (Z, a), a, reverse=back),
    "unbounded": lambda a, xs, back: jg.while_loop(
        lambda c: c[0] < len(xs), lambda c: (c[0] + 1, c[1].sqrt(), c[2] * 1.5), (0, Z, a)
    ),
    "counted": lambda a, xs, back: jg.fori_loop(0, len(xs), lambda i, c: (c[0].sqrt(), c[1] * c[0]), (Z, a)),
    "both branches": lambda a, xs, back: jg.cond(a.sum() > 0, lambda a: (Z * 1, a), lambda a: (Z * 2, a), a)[0].sqrt() * a,
}

each_length = pytest.mark.parametrize(
    "values", [[], [1.5], [NAN], [1.5, NAN], [NAN, 1.5], [1.0, 2.0, INF, 3.0], [1.0, 2.0, 3.0, 4.0, 5.0]], ids=str
)
each_direction = pytest.mark.parametrize("back", [False, True])


def leaves_of(tree):
    leaves = []
    flatten(tree, leaves)
    return leaves


def agrees(function, *args):
    """Whether `function` gives under jit, in every sweep, what it gives in eager code."""
    wanted, compiled = leaves_of(function(*args)), jg.jit(function)
    for sweep in ("auto", *SWEEPS):
        with jg.sweep(sweep):
            found = leaves_of(compiled(*args))
        assert len(found) == len(wanted)
        for got, want in zip(found, wanted):
            np.testing.assert_allclose(got.tolist(), want.tolist(), rtol=1e-12)


@each_direction
@each_length
@pytest.mark.parametrize("loop", LOOPS)
def test_loops_on_the_tape_give_the_gradients_of_eager_code(loop, values, back):
    def pulled(a, xs):
        out, pull = jg.vjp(lambda a, xs: LOOPS[loop](a, xs, back), a, xs)
        return pull(jg.ones_like(out) if isinstance(out, jg.Tensor) else tuple(map(jg.ones_like, out)))

    agrees(pulled, A, jg.tensor(values, dtype=jg.float64))


@each_direction
@each_length
@pytest.mark.parametrize("loop", CONSTANTS)
def test_loops_on_the_tape_give_the_tangents_of_eager_code(loop, values, back):
    xs, at = jg.tensor(values, dtype=jg.float64), A + 1.2
    agrees(lambda a: jg.jvp(lambda a: CONSTANTS[loop](a, xs, back), (a,), (A,)), at)
    inside = leaves_of(jg.jvp(jg.jit(lambda a: CONSTANTS[loop](a, xs, back)), (at,), (A,)))
    for got, want in zip(inside, leaves_of(jg.jvp(lambda a: CONSTANTS[loop](a, xs, back), (at,), (A,)))):
        np.testing.assert_allclose(got.tolist(), want.tolist(), rtol=1e-12)


@pytest.mark.parametrize("loop", ["ys", "two", "swapped", "captured"])
def test_second_derivatives(loop):
    xs = jg.tensor([1.0, 2.0, -0.5], dtype=jg.float64)
    hessian = jg.hessian(lambda a: (LOOPS[loop](a, xs, False) ** 2).sum())
    np.testing.assert_allclose(jg.jit(hessian)(A).tolist(), hessian(A).tolist(), rtol=1e-12)
