"""Ints that are others at every call: inputs where the function does without their value."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import jitgrad as jg

STEPS = {
    "product": lambda x, t: x * t,
    "power": lambda x, t: x / (1 - 0.9**t),
    "sums": lambda x, t: x * (2 * t - 1) + t // 2 - t % 3,
    "index": lambda x, t: x[t % 3],
    "loop": lambda x, t: jg.fori_loop(0, t, lambda i, v: v * 1.5, x),
    "choice": lambda x, t: jg.cond(t > 4, jg.sin, jg.cos, x),
    "comparison": lambda x, t: jg.where(x > t, x, t),
    "in a list": lambda x, t: x * {"t": [t]}["t"][0],
}


NEEDED = {
    "range": lambda x, t: sum([x] * t, x),
    "shape": lambda x, t: jg.ones(t + 1) * x[0],
    "branch": lambda x, t: x if t % 2 else -x,
    "type": lambda x, t: x * 2 if isinstance(t, int) else x,
    "key": lambda x, t: x * dict.fromkeys(range(99), 2.0)[t],
    "dimension": lambda x, t: x.reshape(1, 3).sum(t % 2),
    "text": lambda x, t: x * float(f"{t}"),
    "power": lambda x, t: x * 2**t,
}


def recordings(f):
    return len(f._compiled)


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("guard", [False, True])
def test_an_int_that_changes_is_recorded_a_few_times(name, guard):
    f, x = jg.jit(STEPS[name], guard=guard), jg.tensor([0.5, 1.5, 2.5])
    for t in [*range(1, 12), 3, 200, 7]:
        t = t % 8 if name == "loop" else t
        want = STEPS[name](x, t)
        got = f(x, t)
        assert got.dtype is want.dtype
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-6)
    assert recordings(f) == 3


@pytest.mark.parametrize("name", NEEDED)
def test_an_int_whose_value_is_needed_stays_in_the_key(name):
    f, x = jg.jit(NEEDED[name]), jg.tensor([0.5, 1.5, 2.5])
    for t in range(1, 8):
        np.testing.assert_allclose(f(x, t).numpy(), NEEDED[name](x, t).numpy(), rtol=1e-6)
    assert recordings(f) == 7


def test_results_are_of_the_same_kind_at_every_call():
    f = jg.jit(lambda x, t: {"x": x * t, "t": t, "next": [t + 1]})
    for t in range(6):
        found = f(jg.ones(1), t)
        assert (found["t"], found["next"]) == (t, [t + 1])
        assert type(found["t"]) is int
    for t in range(6):
        assert type(jg.jit(lambda c, t: c * t)(2.0, t)) is jg.Tensor


def test_ints_that_grow_and_ints_that_are_large():
    x = jg.ones(2, dtype=jg.float64)
    f = jg.jit(lambda x, t: x * (t * t * t))
    for t in (2, 3, 4, 5, 3_000_000, -3_000_001):
        assert f(x, t).tolist() == [float(t**3)] * 2
    g = jg.jit(lambda x, t: x * t)
    for t in (1, 2, 3, 2**40, -(2**40), 2**31, 2**31 - 1, True):
        assert g(x, t).tolist() == [float(t)] * 2


def test_many_values_of_an_int_that_is_needed_are_worth_a_warning():
    f = jg.jit(lambda x, n: sum([x] * n, x))
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        with jg.sweep("interpreted"):
            for n in range(40):
                f(jg.ones(1), n)
    assert [str(w.message).startswith("<lambda> has been recorded 32 times") for w in found] == [True]


def test_only_the_ints_that_change_are_inputs_and_native_code_keeps_them_fixed():
    f = jg.jit(lambda x, n, t: sum([x * t] * n, x))
    x = jg.ones(2)
    for t in range(9):
        assert f(x, 1 + t % 2, t).tolist() == [1.0 + (1 + t % 2) * t] * 2
    assert recordings(f) <= 6
    assert len(f.compile(x, 2, 3).arguments.values()) == 1
