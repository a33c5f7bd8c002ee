"""`jit(f, guard=True)`: ways that are wrong or too many, what comes back, threads, and programs drawn at random."""

from __future__ import annotations

import threading
import warnings

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.errors import MutatedArgumentError, NotCompilableError
from jitgrad.jitted import paths as guards
from jitgrad.ops.linalg import solve
from tests.helpers.branching import NUMBERS, branch, elif_chain, guarded, leaves, newton, same, tensors
from tests.helpers.sweeps import SWEEPS

# Ways that are wrong.


@pytest.mark.parametrize("sweep", SWEEPS)
def test_what_fails_on_a_wrong_way_is_not_seen(sweep):
    def f(x, i):
        return x[i].sum() if i.max() < 3 else -x.sum()

    compiled, x = guarded(f), jg.tensor([1.0, 2.0, 3.0])
    with jg.sweep(sweep):
        for i in ([0, 2], [0, 7], [1, 1], [5, 9], [0, 0]):
            same(compiled(x, jg.tensor(i)), f(x, jg.tensor(i)))
    inverse = lambda a: a * 0 if a[0, 0] * a[1, 1] == 0 else solve(a, a + 1)
    compiled = guarded(inverse)
    with jg.sweep(sweep):
        for d in (2.0, 0.0, 1.0, 0.0):
            same(compiled(jg.tensor([[1.0, 0.0], [0.0, d]])), inverse(jg.tensor([[1.0, 0.0], [0.0, d]])))


def test_what_fails_on_the_right_way_is_an_error_every_time():
    f = guarded(lambda x, i: x[i] if x.sum() > 0 else x)
    x = jg.tensor([1.0, 2.0])
    assert f(x, jg.tensor([1])).tolist() == [2.0]
    for _ in range(2):
        with pytest.raises(IndexError):
            f(x, jg.tensor([5]))
    assert f(-x, jg.tensor([5])).tolist() == [-1.0, -2.0]
    assert f(x, jg.tensor([0])).tolist() == [1.0]


def test_machine_code_that_rounds_otherwise_than_numpy_ends_in_a_result():
    """The condition is decided by NumPy when it is recorded, by machine code later; at the border they may differ."""
    xs = np.random.default_rng(0).standard_normal(2000).astype(np.float32)
    differing = [x for x, a, b in zip(xs, np.exp(xs), jg.jit(lambda x: x.exp())(jg.tensor(xs)).numpy()) if a != b]
    f = lambda x, c: (x.exp(), 1) if x.exp() > c else (x, 0)
    compiled = guarded(f)
    for x in differing[:5]:
        y, c = jg.tensor(x), jg.tensor(np.exp(x))
        for border in (c, jg.tensor(np.nextafter(c.numpy(), np.float32(-9))), jg.tensor(np.nextafter(c.numpy(), np.float32(9)))):
            for _ in range(3):
                assert float(compiled(y, border)[0]) in (pytest.approx(float(y.exp())), float(y))
    assert len(next(iter(compiled._compiled.values())).paths) <= 2


def test_the_number_of_ways_is_bounded(monkeypatch):
    monkeypatch.setattr(guards, "MOST_PATHS", 4)

    def halved(x):
        n = 0
        while x.abs().sum() > 1:
            x, n = x / 2, n + 1
        return x * x, n

    compiled = guarded(halved)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        for k in range(10):
            same(compiled(jg.tensor([2.0**k])), halved(jg.tensor([2.0**k])))
    assert [(w.category, w.filename) for w in found] == [(RuntimeWarning, __file__)]
    assert "while_loop" in str(found[0].message)
    (paths,) = compiled._compiled.values()
    assert len(paths.paths) == 4
    for k in (9, 2, 7):  # none of them warns again, and gradients are right
        x, y = (jg.tensor([1.5 * 2.0**k], requires_grad=True) for _ in range(2))
        compiled(x)[0].sum().backward()
        halved(y)[0].sum().backward()
        same(x.grad, y.grad)
    slope = guarded(jg.value_and_grad(lambda x: halved(x)[0].sum()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for k in range(8):
            same(slope(jg.tensor([2.0**k])), jg.value_and_grad(lambda x: halved(x)[0].sum())(jg.tensor([2.0**k])))


def test_a_function_that_changed_unseen_is_not_taken_for_the_one_recorded():
    class Model:
        mode = 0

    f = guarded(lambda x: (x * 2 if x > 0 else x * 3) if Model.mode == 0 else (x * 5 if x < 0 else x * 7))
    assert f(jg.tensor(1.0)).item() == 2
    Model.mode = 1
    assert f(jg.tensor(-1.0)).item() == -5  # recorded now, with the same outcome of another condition


# What comes back.


@pytest.mark.parametrize("sweep", SWEEPS)
def test_results_share_no_memory(sweep):
    f = guarded(lambda x: (x.T, x[0], x.reshape(-1)) if x.sum() > 0 else (x, x[1:]))
    with jg.sweep(sweep):
        for sign in (1.0, -1.0, 1.0):
            x = jg.full((2, 3), sign)
            first = f(x)
            kept = leaves(first)
            f(x * 2)
            f(x * -2)
            assert leaves(first) == kept
            if sign > 0:
                for out in first:
                    out.zero_()
                assert (x == sign).all()


def test_changes_in_place():
    def f(x):
        y = x * 1
        part = y[1:]
        if y.sum() > 0:
            part.mul_(3)
        else:
            y[0] = 7.0
        return (y, part) if part.sum() > 5 else (part, y)

    compiled = guarded(f)
    for values in ([1.0, 2.0], [-1.0, -2.0], [1.0, 1.0], [-9.0, 8.0]):
        same(compiled(jg.tensor(values)), f(jg.tensor(values)))
    with pytest.raises(MutatedArgumentError, match="return the new value"):
        guarded(lambda x: x.mul_(2) if x > 0 else x)(jg.tensor(1.0))


def test_a_function_without_branches_is_as_ever():
    f, g = guarded(jg.value_and_grad(lambda x: (x * x).sum())), jg.jit(jg.value_and_grad(lambda x: (x * x).sum()))
    x = jg.tensor([1.0, 2.0])
    same(f(x), g(x))
    assert str(f.tape(x)) == str(g.tape(x))
    same(f.compile(x)(x), g(x))


def test_the_report_the_tape_and_the_source_show_the_guards():
    f = guarded(branch)
    x = jg.tensor([1.0, 2.0])
    f(x)
    f(-x)
    assert f.report().count("guards, looked at in every call: ") == 2
    assert "gt is True" in f.report()
    assert "gt is False" in f.report()
    assert "guard 1: False" in str(f.tape(-x))
    assert "gt" in f.source(x)
    f.tape(x).check()
    loop = guarded(newton)
    loop(jg.tensor(1e4, dtype=jg.float64))
    assert "more" in loop.report()


def test_native_code_has_no_guards():
    with pytest.raises(NotCompilableError, match="while_loop"):
        guarded(branch).compile(jg.tensor([1.0]))


@pytest.mark.usefixtures("believed")
def test_calls_go_the_quick_way(monkeypatch):
    f = guarded(jg.value_and_grad(lambda x: branch(x).sum()))
    for x in tensors([1.0, -1.0, 2.0]):
        f(x)
    monkeypatch.setattr(f, "_call", lambda *_: pytest.fail("the general way was taken"))
    for x in tensors([1.0, -1.0, 2.0, 3.0, -4.0]):
        same(f(x), jg.value_and_grad(lambda x: branch(x).sum())(x))


def test_threads_take_their_own_ways():
    f, wrong = guarded(elif_chain), []
    eager = jg.tensor(2.0, requires_grad=True)

    def work(seed):
        for v in np.random.default_rng(seed).choice(NUMBERS, 100):
            x = jg.tensor(v, dtype=jg.float64)
            got, want = f(x).item(), elif_chain(x).item()
            if not (np.isclose(got, want) or (np.isnan(got) and np.isnan(want))) or (eager * 3 + eager[None].sum()).item() != 8:
                wrong.append((v, got, want))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


# Programs drawn at random.


def program(seed):
    """A function of two tensors of three elements that computes and branches at random."""
    draw = np.random.default_rng(seed)
    steps = [(draw.integers(7), draw.integers(9, size=3), float(draw.normal())) for _ in range(draw.integers(4, 12))]

    def f(x, y):
        known, depth = [x, y], 0
        for kind, picks, number in steps:
            a, b, c = (known[p % len(known)] for p in picks)
            if kind == 0:
                known.append(a * b + number)
            elif kind == 1:
                known.append(jg.tanh(a) - b)
            elif kind == 2:
                known.append(a if a.sum() > b.mean() + number else b * c)
            elif kind == 3:
                while a.abs().sum() > 2 and depth < 6:
                    a, depth = a * 0.5, depth + 1
                known.append(a)
            elif kind == 4:
                known.append(max(a[0], b[1]) * c if (c < number).any() else a / (1 + b * b))
            elif kind == 5:
                slope = jg.grad(lambda t, c=c, n=number: (t * t * c.sin() if t.sum() > n else t * c).sum())(a)
                known.append(slope + b if slope.norm() > 1 else slope - b)
            else:
                known = sorted(known, key=lambda t: t.sum())
        return (known[-1] * known[-2]).sum()

    return f


@pytest.mark.parametrize("seed", range(15))
def test_random_programs(seed):
    f, draw = program(seed), np.random.default_rng(1000 + seed)
    plain = jg.value_and_grad(f, argnums=(0, 1))
    inside, outside = guarded(plain), jg.value_and_grad(guarded(f), argnums=(0, 1))
    for k in range(8):
        point = tensors(draw.normal(size=(2, 3)) * draw.choice([0.3, 1.0, 4.0]))
        with jg.sweep(SWEEPS[(seed + k) % 3]):
            same(inside(*point), plain(*point))
            same(outside(*point), plain(*point))
            same(inside(*point), plain(*point))
