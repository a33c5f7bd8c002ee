"""What programs under stress do: a bit of everything, each time with a result that is known."""

from __future__ import annotations

import itertools
import random

import numpy as np
from numpy.testing import assert_allclose

import jitgrad as jg
from jitgrad.eager import background
from jitgrad.eager import backward as structures
from jitgrad.record import trace as tracing

_X = np.random.default_rng(0).random((7, 3))
_numbers = itertools.count(1)
_known = jg.jit(lambda x: (x * 2 + 1).sum())


def close(found, wanted):
    found = found.detach().numpy() if isinstance(found, jg.Tensor) else found
    assert_allclose(np.asarray(found, float), wanted, rtol=1e-4, atol=1e-6)


def product():
    k = next(_numbers) % 50 + 0.5
    step = jg.jit(jg.value_and_grad(lambda w, x, y: (((x @ w) * k - y) ** 2).mean()))
    value, slope = step(np.ones(3), _X, _X[:, 0])
    rest = _X.sum(1) * k - _X[:, 0]
    close(value, (rest**2).mean())
    close(slope, 2 * k / 7 * _X.T @ rest)


def guarded():
    k = next(_numbers) % 50
    f = jg.jit(jg.grad(lambda x: x * x * k if x > 0 else -x), guard=True)
    close(f(jg.tensor(3.0)), 6 * k)
    close(f(jg.tensor(-3.0)), -1)


def loop():
    k = next(_numbers) % 5 + 1
    f = jg.jit(jg.grad(lambda x: jg.fori_loop(0, k, lambda i, c: c * 2.0, x).sum()))
    close(f(jg.ones(2)), [2.0**k] * 2)


def backward():
    w = jg.ones(50, requires_grad=True)
    for _ in range(5):
        (jg.sigmoid(w) * w * 2).sum().backward()
    s = 1 / (1 + np.exp(-1))
    close(w.grad, [10 * (s + s * (1 - s))] * 50)


def backward_of_large():
    w = jg.ones(100_000, requires_grad=True)
    (w.exp() * 2).sum().backward()
    close(w.grad, np.full(100_000, 2 * np.e))


def gradient():
    close(jg.grad(lambda x: (x.sin() * x).sum())(jg.ones(3)), [np.sin(1) + np.cos(1)] * 3)


def mapped():
    of_one = jg.grad(lambda w, row: (w * row).sum() ** 2)
    close(jg.vmap(of_one, (None, 0))(jg.ones(2), jg.tensor([[1.0, 2.0], [3.0, 4.0]])), [[6, 12], [42, 56]])


def jitted():
    close(_known(jg.ones(4)), 12)


def machine():
    k = next(_numbers) % 7 + 1
    with jg.sweep("machine"):
        close(jg.jit(lambda x: (x * k).tanh().sum() + x.exp().sum())(jg.ones(3)), 3 * np.tanh(k) + 3 * np.e)


def native():
    k = next(_numbers) % 7 + 1
    value, slope = jg.value_and_grad(lambda x: (x * x * k).sum()).compile(np.zeros(3))(np.ones(3))
    close(value, 3 * k)
    close(slope, [2 * k] * 3)


def shared_out():
    x = np.linspace(0, 1, 300_000)
    close(jg.jit(lambda x: (jg.sin(x) * jg.exp(x)).sum())(x), (np.sin(x) * np.exp(x)).sum())


def in_place():
    w = jg.ones(3, requires_grad=True)
    a = w * 1
    a[0] = 5
    a.mul_(2)
    a.sum().backward()
    close(w.grad, [0, 2, 2])


WORK = [product, guarded, loop, backward, backward_of_large, gradient, mapped, jitted, machine, native, shared_out, in_place]


def healthy():
    """Nothing of what has been begun goes on."""
    assert tracing.current_trace.get() is None
    assert tracing.grad_mode.get() is True
    assert not tracing.lifting


def everything():
    """All of it, and nobody holds a lock."""
    for work in WORK:
        work()
    background.wait()
    healthy()


def at_once(seed):
    """Random work; what recurs is compiled in the background the first time."""
    structures.chance = lambda: 0.0
    jg.config.hot_after = 0
    return random.Random(seed)
