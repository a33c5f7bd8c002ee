"""Gradients by compiled sweeps and by the interpreted one, for the tests of both."""

from __future__ import annotations

import numpy as np

import jitgrad as jg
from jitgrad.eager import background
from jitgrad.eager import backward as structures


def gradients(f, leaves):
    for leaf in leaves:
        leaf.grad = None
    f(*leaves).backward()
    found = [None if leaf.grad is None else leaf.grad.numpy().copy() for leaf in leaves]
    for leaf in leaves:
        leaf.grad = None
    return found


def make_hot(f, leaves):
    """Run until there is an entry for the sweep of `f`, and see that it is taken."""
    gradients(f, leaves)
    background.wait()
    out = f(*leaves)
    assert any(entry(out._row, False, None) for entry in structures.entries[out._row.op])
    for leaf in leaves:
        leaf.grad = None


def interpreted(f, leaves):
    with jg.config(structure_cache=False):
        return gradients(f, leaves)


def same(found, wanted, tolerance=1e-5):
    for a, b in zip(found, wanted, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert a.dtype == b.dtype
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def leaf(value, dtype=np.float32):
    return jg.tensor(np.asarray(value, dtype), requires_grad=True)


def numbers(*shape, seed=0, dtype=np.float32):
    return leaf(np.random.default_rng(seed).uniform(0.2, 1.5, shape), dtype)
