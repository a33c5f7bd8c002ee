"""Tensors that a function makes and fills in place, under jit, vmap, gradients and in steps of loops."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.errors import MutatedArgumentError

X = jg.tensor([1.0, -2.0, 3.0], dtype=jg.float64)


def zeros(*sizes):
    return jg.zeros(*sizes, dtype=jg.float64)


def filled(x):
    z = zeros(4)
    for i in range(3):
        z[i] = x[i] * (i + 1)
    z[3] += z[:3].sum()
    return z * z


def through_a_view(x):
    z = zeros(2, 3)
    row, corner = z[1], z[:, 2]
    row += x
    corner *= 2.0
    z[0] = row.flip(0)
    return (z * row).sum(0) + corner.sum()


def used_before_it_changes(x):
    z = zeros(3)
    y = x + z
    z[0] = 5.0
    w = y + z
    z += 1.0
    z[1] = x[2]
    return (w + z) * y


def a_view_used_before_it_changes(x):
    z = zeros(3)
    v = z[1:]
    y = x[1:] + v
    z += 2.0
    return jg.cat([y * v, x[:1] * v[:1]])


def a_number(x):
    z = zeros(())
    for k in range(3):
        z += x[k] ** 2
    return z * x


def in_a_scan(x):
    def step(carry, v):
        pair = zeros(2)
        pair[0] = v
        pair[1] = carry * v
        return pair.sum(), pair

    return jg.scan(step, x[0], x)[1].reshape(-1)


FUNCTIONS = [filled, through_a_view, used_before_it_changes, a_view_used_before_it_changes, a_number, in_a_scan]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_it_is_the_same_everywhere(function):
    expected, slope = function(X).numpy(), jg.jacrev(function)(X).numpy()
    many = jg.stack([X, 2 * X])
    compiled = jg.jit(function)
    for _ in range(2):
        np.testing.assert_allclose(compiled(X).numpy(), expected, rtol=1e-12)
        np.testing.assert_allclose(compiled(-X).numpy(), function(-X).numpy(), rtol=1e-12)
    jacobians = [jg.jacfwd(function), *(jg.jit(way(f)) for way in (jg.jacrev, jg.jacfwd) for f in (function, compiled))]
    for way in jacobians:
        np.testing.assert_allclose(way(X).numpy(), slope, rtol=1e-12)
    for way in (jg.vmap(function), jg.jit(jg.vmap(function)), jg.vmap(jg.jit(function))):
        np.testing.assert_allclose(way(many).numpy(), np.stack([expected, function(2 * X).numpy()]), rtol=1e-12)
    np.testing.assert_allclose(np.asarray(compiled.compile(X)(X).detach()), expected, rtol=1e-12)


def shared_with_numpy(x):
    z = zeros(3)
    array = z.numpy()
    z[0] = x[0]
    return x + jg.tensor(array)


def shared_with_a_detached_tensor(x):
    z = zeros(3)
    alias = z.detach()
    z[0] = x[0]
    return x + alias


def made_outside_of_the_step(x):
    z = zeros(3)

    def step(carry, v):
        z[0] = v
        return carry + v, v

    return jg.scan(step, x[0], x)[1]


@pytest.mark.parametrize("function", [shared_with_numpy, shared_with_a_detached_tensor, made_outside_of_the_step])
def test_where_somebody_would_not_see_the_change_it_is_refused(function):
    with pytest.raises(MutatedArgumentError):
        jg.jit(function)(X)
