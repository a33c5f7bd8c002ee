"""Functions with loops and branches on the tape, and how results are compared."""

from __future__ import annotations

import numpy as np

import jitgrad as jg
from jitgrad.base.tree import flatten

F64 = jg.float64


def tensor(*sizes, seed=0):
    return jg.tensor(np.random.default_rng(seed).standard_normal(sizes))


def flat(tree):
    leaves = []
    flatten(tree, leaves)
    return [np.asarray(x.detach() if isinstance(x, jg.Tensor) else x) for x in leaves if x is not None]


def same(found, wanted, tolerance=1e-10):
    found, wanted = flat(found), flat(wanted)
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def recurrence(w, x0, xs):
    """A carry of two, captured and sliced tensors, two kinds of ys."""

    def step(carry, x):
        h, total = carry
        h = jg.tanh(w @ h + x)
        total = total + (h * h).sum()
        return (h, total), {"h": h, "total": total * 2}

    (h, total), ys = jg.scan(step, (x0, 0.0 * x0.sum()), xs)
    return (h * ys["h"]).sum() + (ys["total"] ** 2).sum() + total


def backwards(w, x0, xs):
    def step(h, x):
        return jg.sin(w @ h) * x, h.sum()

    h, ys = jg.scan(step, x0, xs, reverse=True)
    return h.sum() + (ys * ys).sum()


def checkpointed(w, x0, xs):
    h, ys = jg.scan(lambda h, x: (jg.tanh(w @ h + x), h * x), x0, xs, checkpoint=2)
    return (h * h).sum() + ys.sum()


def written_out(w, x0, xs):
    h, ys = jg.scan(lambda h, x: (jg.tanh(w @ h + x), h * x), x0, xs, unroll=2, reverse=True)
    return (h * h).sum() + ys.sum()


def nested(w, x0, xs):
    def outer(h, x):
        inner = jg.fori_loop(0, 3, lambda i, v: jg.sin(v + i * x), h)
        return inner, inner.sum()

    h, ys = jg.scan(outer, x0, xs)
    return h.sum() * ys.sum() + w.sum()


def counted(w, x0, xs):
    return jg.fori_loop(2, 6, lambda i, h: h * jg.cos(w @ h) + i * xs[1], x0).sum()


def bounded(w, x0, xs):
    def go_on(state):
        return (state[0] * state[0]).sum() < 40.0

    def step(state):
        h, i = state
        return h * 1.5 + xs[0] * 0.1, i + 1

    h, i = jg.while_loop(go_on, step, (x0, 0), max_steps=30)
    return (h * h * xs[1]).sum() + i * h.sum()


def branched(w, x0, xs):
    def one(x):
        return jg.cond(x.sum() > 0, lambda v: (v * v, v.sum() * w.sum()), lambda v: (jg.exp(v), v.prod() * 1.0), x)

    first, second = one(x0)
    third, fourth = one(-x0)
    return (first * third).sum() + second * fourth


def switched(w, x0, xs):
    total = 0.0
    for k in (-1, 0, 1, 2, 5):
        index = (x0.sum() * 0).to(jg.int64) + k
        total = total + jg.switch(index, [lambda v: v.sum(), lambda v: (v * v).sum(), lambda v: (w @ v).sum()], x0) * (k + 2)
    return total


FUNCTIONS = [recurrence, backwards, checkpointed, written_out, nested, counted, bounded, branched, switched]


def arguments():
    return tensor(3, 3, seed=1) * 0.5, tensor(3, seed=2), tensor(5, 3, seed=3)
