"""The interpreted sweep: large results go into the memory of operands that are of no more use, and nothing else sees it."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.sweeps import interpreted


def both(monkeypatch, f, *args):
    """What the interpreted sweep gives with fresh memory for every result, and with memory used again."""
    found = []
    for bytes_ in (1 << 40, 0):
        monkeypatch.setattr(interpreted, "LARGE", bytes_)
        given = [jg.tensor(a) for a in args]
        with jg.sweep("interpreted"):
            found.append([np.array(y) for y in jg.jit(f)(*given)])
        for a, x in zip(args, given):
            np.testing.assert_array_equal(x.numpy(), a)
    return found


def chain(x, y):
    u = jg.tanh(x * y) * jg.exp(-x * x) + jg.log1p(jg.exp(y))
    return [u, *jg.grad(lambda x, y: (jg.sqrt(jg.exp(x) * y * y + 1) / (x * x + 1)).sum(), (0, 1))(x, y)]


def shared(x, y):
    """Results of which views are taken, that are returned beside what is made of them, or read twice."""
    u = x * y
    v = u + 1
    w = (x + y).reshape(-1)
    return [u, v * v, w[::2] * 2, (w + 1).sum(), (x - y).T * 1 + u.T]


def turned(x, y):
    """Results that do not lie in order."""
    u = x.T * y.T
    v = u + 1
    return [(v * x.T).reshape(-1), v.sum(0), ((x.T + 1) * (x * y)).ravel()]


def mixed(x, y):
    u = x * y
    return [(u + x.to(jg.float32)).to(jg.float32) * 2, u.sum(0) * x, (u > 0) * (u * 2)]


@pytest.mark.parametrize("f", [chain, shared, turned, mixed])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_memory_used_again(monkeypatch, f, dtype):
    x, y = np.random.default_rng(0).normal(size=(2, 8, 8)).astype(dtype)
    fresh, again = both(monkeypatch, f, x, y)
    for a, b in zip(fresh, again):
        assert a.dtype == b.dtype
        assert a.strides == b.strides
        np.testing.assert_array_equal(a, b)


def test_it_is_used_again(monkeypatch):
    """`chain` needs less memory at a time, else the tests above would show nothing."""
    calls = []
    into = interpreted._into
    monkeypatch.setattr(interpreted, "_into", lambda *args: calls.append(args) or into(*args))
    both(monkeypatch, chain, np.ones((4, 4)), np.ones((4, 4)))
    assert len(calls) >= 5
