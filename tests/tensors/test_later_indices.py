"""Changes in place where an index or a value comes later, or is not recorded: under jit and vmap as in eager code."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.errors import MutatedArgumentError, TracedValueError

M = jg.tensor(np.arange(12.0).reshape(3, 4))
W = jg.ones(3)


def seen_before(y, i):
    v = y[i]
    y.mul_(2)
    return v


def kept_apart(y, i):
    v = y[i]
    y[i] = 0.0
    return v * 1


def index_that_changes(y, i):
    j = i * 1
    v = y[j]
    j.add_(1)
    v.mul_(3)
    return y


CHANGES = {
    "row": lambda y, i: y[i].add_(1),
    "part of a row": lambda y, i: y[i][0:1].fill_(7.0),
    "row and column": lambda y, i: y[i, 0].fill_(5.0),
    "column": lambda y, i: y[:, i].fill_(5.0),
    "new dimension": lambda y, i: y[i, None].fill_(3.0),
    "select": lambda y, i: y.select(0, i).fill_(2.0),
    "reshaped column": lambda y, i: y[:, i].reshape(3, 1).fill_(2.0),
    "column as it is": lambda y, i: y[:, i].view(3).add_(3),
    "of the transposed": lambda y, i: y.T[i].mul_(2.0),
    "of a part": lambda y, i: y[1:][:, i].zero_(),
    "twice": lambda y, i: y[i, i].add_(1),
    "parts of a row": lambda y, i: y[i].reshape(2, 2)[0].add_(3),
    "seen before": seen_before,
    "kept apart": kept_apart,
    "an index that changes": index_that_changes,
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_view_at_an_index_that_comes_later(name):
    def f(x, i):
        y = x * 1
        out = CHANGES[name](y, i)
        return y, out * 2

    def loss(x, i):
        return sum((part * jg.arange(1.0, part.numel() + 1).reshape(part.shape)).sum() for part in f(x, i))

    for i in (0, 1, 2, -3):
        later = jg.tensor(i)
        if name == "an index that changes" and i == 2:
            continue
        want = [part.tolist() for part in f(M, later)]
        assert [part.tolist() for part in jg.jit(f)(M, later)] == want
        assert [part[0].tolist() for part in jg.vmap(f, (None, 0))(M, later[None])] == want
        assert [part[0].tolist() for part in jg.jit(jg.vmap(f))(M[None], later[None])] == want
        assert jg.jit(jg.grad(loss))(M, later).tolist() == jg.grad(loss)(M, later).tolist()


def test_ints_that_become_numbers_of_the_tape():
    def f(x, i):
        y = x * 1
        y[i].mul_(10)
        return y

    compiled = jg.jit(f)
    assert [compiled(W, k).tolist() for k in (0, 1, 2)] == [[10, 1, 1], [1, 10, 1], [1, 1, 10]]
    gradient = jg.jit(jg.grad(lambda x, i: f(x, i).sum()))
    assert [gradient(W, k).tolist() for k in (0, 1, 2)] == [[10, 1, 1], [1, 10, 1], [1, 1, 10]]


def test_steps_of_loops_change_rows_of_the_carry():
    def step(i, c):
        row = c[i]
        row += 1
        return c

    loop = lambda c: jg.fori_loop(0, 3, step, c * 1)
    for run in (loop, jg.jit(loop), jg.jit(loop).compile(jg.zeros(3, 2))):
        assert run(jg.zeros(3, 2)).tolist() == [[1, 1]] * 3


def test_what_the_caller_holds_is_not_changed():
    def f(i):
        W[i].add_(1)
        return W.sum()

    for run in (lambda: jg.jit(f)(jg.tensor(1)), lambda: jg.vmap(f)(jg.tensor([1]))):
        with pytest.raises(MutatedArgumentError):
            run()
    assert W.tolist() == [1, 1, 1]


def copied(x):
    b = x.clone()
    b.copy_(jg.arange(3.0))
    return b.add_(x)


def filled_through_a_view(x):
    y = x * 1
    y.view(3, 1).fill_(3.0)
    return y + x


def seen_after(x):
    y = x * 1
    v = y[1:]
    y.copy_(W * 2)
    return v.sum() * x


@pytest.mark.parametrize(
    "f",
    [
        copied,
        filled_through_a_view,
        seen_after,
        lambda x: (x * 1).fill_(2),
        lambda x: (x * 1).copy_(W) * x,
        lambda x: (x * 1).unsqueeze(0).copy_(jg.ones(1, 3)),
    ],
)
def test_values_that_are_not_recorded_fill_what_is(f):
    x = jg.tensor([1.0, 2.0, 3.0])
    want, slope = f(x).tolist(), jg.grad(lambda x: f(x).sum())(x).tolist()
    for g in (jg.jit(f), lambda x: jg.vmap(f)(x[None])[0], jg.jit(lambda x: jg.vmap(f)(x[None])[0]), jg.jit(f).compile(x)):
        assert g(x).tolist() == want
    assert jg.jit(jg.grad(lambda x: f(x).sum()))(x).tolist() == slope
    assert jg.vmap(jg.grad(lambda x: f(x).sum()))(x[None])[0].tolist() == slope


def set_item(x, a):
    y = x * 1
    y[0] = a
    return y


@pytest.mark.parametrize("f", [set_item, lambda x, a: x.masked_fill(x > 0, a), lambda x, a: (x * 1).fill_(a)])
def test_a_float_that_comes_later_does_not_go_into_whole_numbers(f):
    whole, x = jg.tensor([1, -2]), jg.tensor([1.0, -2.0])
    with pytest.raises(RuntimeError, match="inf does not fit into int64"):
        f(whole, float("inf"))
    with pytest.raises(TracedValueError, match="a float that is an argument under jit"):
        jg.jit(f)(whole, float("inf"))
    assert jg.jit(f)(whole, 2).tolist() == f(whole, 2).tolist()
    assert jg.jit(f)(x, 2.5).tolist() == f(x, 2.5).tolist()


@pytest.mark.parametrize("shape", [(), (2,)])
def test_bounds_beyond_a_dtype_are_its_limits(shape):
    x = jg.full(shape, 4, dtype=jg.uint8)
    for call in (lambda f: f(x), lambda f: jg.jit(f)(x), lambda f: jg.vmap(f)(x[None])[0]):
        assert call(lambda x: x.clamp(-1, 2)).tolist() == jg.full(shape, 2).tolist()
        assert call(lambda x: x.clamp(max=300)).tolist() == x.tolist()
        with pytest.raises(RuntimeError, match="min=300 does not fit into uint8"):
            call(lambda x: x.clamp(min=300))


def test_a_copy_that_an_index_array_picks_is_the_functions_own():
    def f(x):
        b = jg.zeros(3, 3)
        b[[0, 1, 2], [0, 1, 2]].copy_(x)
        return b + x

    x = jg.tensor([1.0, 2.0, 3.0])
    assert jg.vmap(f)(x[None])[0].tolist() == jg.jit(f)(x).tolist() == f(x).tolist()
