"""What is kept for shapes and numbers that do not come back is bounded, and right for those that do."""

from __future__ import annotations

import gc
import tracemalloc
import warnings
import weakref

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.eager import background
from jitgrad.eager import backward as structures
from jitgrad.eager import operations as large
from jitgrad.ops import TABLE
from tests.helpers.sweeps import SWEEPS


@pytest.fixture(autouse=True)
def few():
    with jg.config(tapes=8):
        yield


def ones(n):
    return jg.tensor(np.ones(n, np.float32))


def growth(step, first, many):
    """Bytes that `many` more steps leave behind."""
    for n in range(1, first):
        step(n)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for n in range(first, first + many):
            step(n)
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def test_shapes_and_ints_keep_as_much_as_the_limit_allows():
    by_shape, by_int = jg.jit(lambda x: (x * x).sum()), jg.jit(lambda x, k: (x * k).sum())
    guarded = jg.jit(lambda x: x.sum() if x.sum() > 0 else -x.sum(), guard=True)
    slope = jg.jit(jg.grad(lambda x: (x * x).sum()))

    def recorded(n):
        by_shape(ones(n).requires_grad_()).backward()

    five = ones(5)
    steps = [*[lambda n, f=f: f(ones(n)) for f in (by_shape, guarded, slope)], lambda n: by_int(five, n), recorded]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ints that change may be warned of
        for step in steps:
            assert growth(step, 20, 30) < 500_000  # unbounded it is 20 to 60 kB a step
    for f in (by_shape, by_int, guarded, slope):
        assert len(f._compiled.tapes()) <= 8


@pytest.mark.parametrize("guard", [False, True])
@pytest.mark.parametrize("sweep", SWEEPS)
def test_what_was_forgotten_is_right_when_it_comes_back(guard, sweep):
    def f(x, k, y):
        kept = x * k + y
        return (kept.sum() if guard and x.sum() > 0 else kept.sum() * 1), kept

    g = jg.jit(f, guard=guard)
    with jg.sweep(sweep), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for n in [*range(1, 14), 1, 5, 13, 2, 1, *range(13, 0, -1)]:
            x, y = jg.tensor(np.linspace(-1, 1, n)), np.arange(float(n))
            total, kept = g(x, n % 3, y)
            np.testing.assert_allclose(kept.numpy(), np.linspace(-1, 1, n) * (n % 3) + y)
            np.testing.assert_allclose(float(total), kept.numpy().sum(), atol=1e-12)
            w = jg.tensor(np.linspace(-1, 1, n), requires_grad=True)
            g(w, n % 3, y)[0].backward()
            np.testing.assert_allclose(w.grad.numpy(), np.full(n, float(n % 3)))


def test_the_report_says_what_is_kept_and_forgotten():
    f = jg.jit(lambda x: x + 1)
    for n in range(1, 12):
        f(ones(n))
    assert "f32[11]" in f.report()
    assert "f32[2]" not in f.report()
    kept = "8 tapes are kept, of at most 8 (jitgrad.config.tapes); 3 that were used longest ago are forgotten"
    assert f.report().endswith(kept)
    one = jg.jit(lambda x: x + 1)
    one(ones(3))
    assert "tapes are kept" not in one.report()


def test_the_limit_counts_the_tapes_of_guarded_functions():
    f = jg.jit(lambda x: x * 2 if x.sum() > 0 else (x * 3 if x.sum() < -2 else x * 4), guard=True)
    for n in range(2, 9):
        for sign in (1.0, -0.1, -2.0):
            x = jg.full((n,), sign)
            np.testing.assert_allclose(f(x).numpy(), x.numpy() * (2 if sign > 0 else 3 if sign * n < -2 else 4))
    assert len(f._compiled.tapes()) <= 8
    f(jg.full((8,), 1.0))
    assert f._compiled.forgotten > 0


@pytest.mark.usefixtures("believed")
def test_what_was_used_last_stays():
    f = jg.jit(lambda x: x * 2)
    first = ones(3)
    f(first)
    with jg.config(tapes=16):
        for n in range(10, 60):
            f(ones(n))
            assert f(first).tolist() == [2.0] * 3
    assert f._compiled.recorded == 51


def test_memory_of_results_and_temporaries_is_that_of_a_few_shapes():
    with jg.config(tapes=64):
        f = jg.jit(lambda x: (x + 1, (x * 2).cumsum(0)))
        left = growth(lambda n: f(jg.ones(100_000 + n)), 15, 20)
    assert left < 16 * 3 * 400_000  # not 35 shapes with two or three arrays each


def test_spare_memory_is_given_back_and_made_anew():
    f = jg.jit(lambda x: (x * 2 + 1).sum() + (x @ x))
    want = {n: float((np.arange(n) * 2.0 + 1).sum() + (np.arange(n) ** 2.0).sum()) for n in range(2, 20)}
    for n in [*range(2, 20), *range(2, 20)]:
        found = f(jg.tensor(np.arange(float(n))))
        for tape in f._compiled.tapes():
            tape.release()
        assert float(found) == pytest.approx(want[n])
        assert float(f(jg.tensor(np.arange(float(n))))) == pytest.approx(want[n])


def test_a_call_made_for_one_trace_is_not_kept_for_ever():
    @jg.custom_vjp
    def double(x):
        return x * 2

    double.defvjp(lambda x: (double(x), None), lambda _, g: (g * 2,))
    f = jg.jit(jg.grad(lambda x: double(x).sum() * 3))
    assert f(ones(2)).tolist() == [6.0, 6.0]
    tape = weakref.ref(f._compiled.tapes()[0].tape)
    del f
    gc.collect()
    assert tape() is None


def test_rules_for_any_number_of_parts_are_bounded():
    x = ones(2).requires_grad_()
    for n in range(1, 150):
        jg.cat([x] * n).sum().backward()
        assert x.grad.tolist() == [n, n]
        x.grad = None
    assert len(TABLE["cat"].known_needs) <= 64


def test_eager_reductions_keep_the_shapes_seen_last():
    with jg.config(structures=4, hot_after=0):
        op = large.recurring[TABLE["sum"]]
        for n in range(200, 220):
            x = ones(n)
            for _ in range(3):
                assert float(x.sum()) == n
                background.wait()
        assert len(op.seen) <= 4
        assert len(op.kernels) <= 4
        assert float(ones(200).sum()) == 200


def test_compiled_reverse_sweeps_are_bounded_together(hot_at_once):
    with jg.config(structures=3):
        for n in range(2, 12):
            for _ in range(3):
                x = ones(n).requires_grad_()
                (x * x).sum().backward()
                background.wait()
                np.testing.assert_allclose(x.grad.numpy(), np.full(n, 2.0))
        assert sum(map(len, structures.entries.values())) + sum(map(len, structures.seeded.values())) <= 3
