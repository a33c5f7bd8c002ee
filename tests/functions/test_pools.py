"""Pools of norms, and what undoes a pool of maxima, where derivatives are special."""

from __future__ import annotations

import math

import pytest

import jitgrad as jg

F = jg.nn.functional


@pytest.mark.parametrize(
    ("p", "want", "slope"),
    [(math.inf, [2.0, 4.0, 5.0], [0, -1, 0, 1, -1, 0]), (-math.inf, [1.0, 3.0, 5.0], [1, 0, 1, 0, -1, 0])],
)
def test_norms_of_windows_that_are_extremes(p: float, want: list, slope: list) -> None:
    x = jg.tensor([[[1.0, -2.0, 3.0, 4.0, -5.0, -5.0]]])
    f = lambda x: F.lp_pool1d(x, p, 2)
    for jitted in (lambda f: f, jg.jit):
        assert jitted(f)(x).tolist() == [[want]]
        assert jitted(jg.grad(lambda x: f(x).sum()))(x).tolist() == [[slope]]


@pytest.mark.parametrize("p", [1, 2, 3])
def test_norms_of_windows_of_zeros_are_flat_in_both_modes(p: int) -> None:
    x = jg.tensor([[[0.0, 0.0, 3.0, 0.0]]])
    f = lambda x: F.lp_pool1d(x, p, 2)
    for back, forth in ((jg.jacrev(f), jg.jacfwd(f)), (jg.jit(jg.jacrev(f)), jg.jit(jg.jacfwd(f)))):
        assert back(x).tolist() == forth(x).tolist()
        assert back(x)[0, 0, 0].tolist() == [[[0.0, 0.0, 0.0, 0.0]]]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_what_is_put_twice_has_the_derivative_of_the_last(count: int) -> None:
    shape = (1, 1, *(1,) * (count - 1), 2)
    i, o = jg.ones(shape, dtype=jg.int64), jg.tensor([5.0, 7.0]).reshape(shape)
    unpool = getattr(F, f"max_unpool{count}d")
    f = lambda v: unpool(v, i, (1,) * (count - 1) + (2,), 1, output_size=(*shape[2:-1], 3)).flatten()
    for transform in (jg.jacrev, jg.jacfwd):
        for made in (transform(f), jg.jit(transform(f))):
            assert made(o).reshape(3, 2).tolist() == [[0, 0], [0, 1], [0, 0]]
