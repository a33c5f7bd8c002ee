"""What the tests of guards share: functions that branch on values, and how results are compared."""

from __future__ import annotations

import functools

import numpy as np

import jitgrad as jg
from jitgrad.base.tree import flatten

guarded = functools.partial(jg.jit, guard=True)


def leaves(tree):
    found: list = []
    structure = flatten(tree, found)
    return structure, [x.detach().numpy().tolist() if isinstance(x, jg.Tensor) else x for x in found]


def same(got, want):
    got, want = leaves(got), leaves(want)
    assert got[0] == want[0]
    for a, b in zip(got[1], want[1], strict=True):
        if isinstance(b, (float, list)):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-12)
        else:
            assert a == b


def tensors(values):
    return [jg.tensor(v, dtype=jg.float64) for v in values]


def branch(x):
    return x * x * x if x.sum() > 0 else -x * x


def newton(a):
    x = a
    while (x * x - a).abs() > 1e-9:
        x = 0.5 * (x + a / x)
    return x


def elif_chain(x):
    if x < -1:
        return x.exp()
    if x < 0 or x == 2:
        return x * 3
    return x.sqrt() if not (x > 1 and x < 10) else x.log()


NUMBERS = [-3.0, 0.25, 2.0, 1.5, -0.5, 50.0, 0.25, -3.0, 4.0, 2.0]
