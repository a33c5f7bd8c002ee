"""`jit(f, guard=True)`: branches on values give what they give without jit, whichever way was recorded before."""

from __future__ import annotations

import functools
import threading
import warnings

import numpy as np
import pytest

import jitgrad as jg
from jitgrad import guards
from jitgrad.errors import MutatedArgumentError, NotCompilableError, TracedValueError
from jitgrad.ops.linalg import solve
from jitgrad.tree import flatten

SWEEPS = ["interpreted", "machine", "jit"]
guarded = functools.partial(jg.jit, guard=True)
LEVEL = jg.tensor(0.5)


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


def bisection(a):
    low, high = a * 0, a + 1
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if middle * middle < a else (low, middle)
    return low


def early(x):
    total = x * 0
    for k in range(1, 8):
        total = total + x**k / k
        if total.abs() > 5:
            return total, k
    return total, 0


def elif_chain(x):
    if x < -1:
        return x.exp()
    if x < 0 or x == 2:
        return x * 3
    return x.sqrt() if not (x > 1 and x < 10) else x.log()


NUMBERS = [-3.0, 0.25, 2.0, 1.5, -0.5, 50.0, 0.25, -3.0, 4.0, 2.0]
FUNCTIONS = [branch, elif_chain, early]


@pytest.mark.quick
@pytest.mark.parametrize("sweep", SWEEPS)
@pytest.mark.parametrize("f", FUNCTIONS)
def test_every_call_takes_the_way_that_python_takes(f, sweep):
    compiled = guarded(f)
    with jg.sweep(sweep):
        for x in tensors(NUMBERS * 2):
            same(compiled(x), f(x))


@pytest.mark.parametrize("sweep", SWEEPS)
@pytest.mark.parametrize("f", [newton, bisection])
def test_loops_end_when_python_ends_them(f, sweep):
    compiled = guarded(jg.value_and_grad(f))
    with jg.sweep(sweep):
        for x in tensors([1.0, 2.0, 3.0, 100.0, 1e4, 2.0, 1.0]):
            same(compiled(x), jg.value_and_grad(f)(x))


@pytest.mark.parametrize(
    ("f", "points"),
    [
        (lambda a, b: (min(a, b), max(a, b)), [(1.0, 2.0), (2.0, 1.0), (1.0, 1.0)]),
        (lambda a, b: tuple(sorted([a, b, a * b])), [(1.0, 2.0), (2.0, -1.0), (-3.0, -2.0), (0.5, 0.5)]),
        (lambda a, b: a if a and not b else b + 1, [(1.0, 0.0), (0.0, 0.0), (-0.0, 1.0), (float("nan"), 0.0)]),
        (lambda a, b: (a > 0 and b > 0) or a < b, [(1.0, 2.0), (1.0, -2.0), (-1.0, 2.0), (-1.0, -2.0)]),
        (lambda a, b: a if jg.stack([a, b]).isnan().any() else b, [(1.0, 2.0), (1.0, float("nan"))]),
        (lambda a, b: a if jg.allclose(a, b) else a - b, [(1.0, 1.0), (1.0, 1.5), (2.0, 2.0)]),
        (lambda a, b: a if b in jg.stack([a, a + 1]) else b, [(1.0, 2.0), (1.0, 3.0)]),
        (lambda a, b: [x for x in (a, b, a - b) if x > 0], [(1.0, 2.0), (2.0, 1.0), (-2.0, -1.0)]),
        (lambda a, b: {"one": a} if a < b else (b, None, "text"), [(1.0, 2.0), (2.0, 1.0)]),
        (lambda a, b: 3 if a < b else 4, [(1.0, 2.0), (2.0, 1.0)]),
        (lambda a, b: a if (a < b).reshape(1, 1) else b, [(1.0, 2.0), (2.0, 1.0)]),
        (lambda a, b: a if a.long() % 2 else b, [(1.0, 2.0), (2.0, 1.0)]),
        (lambda a, b: a if a.detach() < b.data else b, [(1.0, 2.0), (2.0, 1.0)]),
        (lambda a, b: any(x > 1 for x in (a, b)), [(1.0, 2.0), (2.0, 1.0), (0.0, 0.0)]),
    ],
)
def test_whatever_asks_for_the_truth(f, points):
    compiled = guarded(f)
    for point in points * 2:
        same(compiled(*tensors(point)), f(*tensors(point)))


@pytest.mark.quick
def test_comparisons_with_nan():
    f = lambda x: x * 2 if x < 0 else x * 3 if x >= 0 else x.isnan()
    compiled = guarded(f)
    for x in tensors([-1.0, float("nan"), 1.0, float("nan"), -1.0]):
        same(compiled(x), f(x))


def test_an_assertion_holds_in_every_call():
    @guarded
    def f(x):
        assert (x > 0).all(), "positive numbers are wanted"
        return x.log()

    f(jg.tensor([1.0, 2.0]))
    for _ in range(2):
        with pytest.raises(AssertionError, match="positive"):
            f(jg.tensor([1.0, -2.0]))
    same(f(jg.tensor([1.0, 3.0])), jg.tensor([1.0, 3.0]).log())


# Derivatives.


TRANSFORMS = [
    jg.grad,
    jg.value_and_grad,
    lambda f: jg.grad(jg.grad(f)),
    jg.hessian,
    jg.jacfwd,
    lambda f: lambda x: jg.jvp(f, (x,), (jg.ones_like(x),)),
    lambda f: lambda x: jg.vjp(f, x)[1](jg.ones_like(x)),
    lambda f: lambda x: jg.hvp(f, (x,), (jg.ones_like(x),)),
]


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("f", [branch, elif_chain])
def test_derivatives_inside_and_outside(f, transform):
    want, inside, outside = transform(f), guarded(transform(f)), transform(guarded(f))
    for x in tensors(NUMBERS):
        same(inside(x), want(x))
        same(outside(x), want(x))


@pytest.mark.parametrize("sweep", SWEEPS)
def test_backward_through_calls_that_took_different_ways(sweep):
    compiled = guarded(branch)
    with jg.sweep(sweep):
        for values in ([1.0, 2.0], [-1.0, -2.0], [3.0, -1.0], [-3.0, 1.0]):
            x, y = (jg.tensor(values, requires_grad=True) for _ in range(2))
            (compiled(x) * x).sum().backward()
            (branch(y) * y).sum().backward()
            same(x.grad, y.grad)


def test_a_branch_on_a_gradient():
    def f(x):
        g = jg.grad(lambda x: (x**3).sum())(x)
        return x / g.norm() if g.norm() > 1 else x

    compiled = guarded(f)
    for values in ([0.1, 0.1], [3.0, 4.0], [0.1, 0.2], [1.0, 1.0]):
        same(compiled(jg.tensor(values)), f(jg.tensor(values)))


def test_a_branch_inside_of_grad_on_what_it_closes_over():
    def f(x, flag):
        return jg.grad(lambda x: (x * x if flag > x.sum() else x * 3).sum())(x)

    compiled = guarded(f)
    for flag in (9.0, -9.0, 8.0, -8.0):
        same(compiled(jg.tensor([1.0, 2.0]), flag), f(jg.tensor([1.0, 2.0]), jg.tensor(flag)))


def test_a_branch_in_a_derivative_of_ones_own():
    @jg.custom_vjp
    def clipped(x):
        return x if x.abs() < 1 else x / x.abs()

    clipped.defvjp(lambda x: (clipped(x), x), lambda x, g: (g if x.abs() < 1 else g * 10,))
    compiled = guarded(jg.value_and_grad(clipped))
    for x in tensors([0.5, 3.0, -0.25, -4.0, 0.5]):
        same(compiled(x), jg.value_and_grad(clipped)(x))


# Nesting.


@pytest.mark.parametrize("inner", [jg.jit, guarded])
def test_functions_under_jit_inside(inner):
    part = inner(branch)
    compiled = guarded(lambda x: part(x) + part(x * -2))
    for x in tensors(NUMBERS):
        same(compiled(x), branch(x) + branch(x * -2))


def test_the_outermost_jit_decides():
    with pytest.raises(TracedValueError, match="guard=True"):
        jg.jit(lambda x: guarded(branch)(x))(jg.tensor(1.0))


@pytest.mark.parametrize("f", [lambda x: jg.vmap(guarded(branch))(x), guarded(lambda x: jg.vmap(branch)(x))])
def test_many_examples_have_no_one_truth(f):
    with pytest.raises(TracedValueError, match="where"):
        f(jg.tensor([1.0, -1.0]))


def test_under_vmap_a_branch_on_what_all_examples_share():
    f = lambda x, s: jg.vmap(lambda row: row * 2 if s.sum() + 1 > 0 else -row)(x)
    compiled = guarded(f)
    x = jg.tensor([[1.0, 2.0], [3.0, 4.0]])
    for s in ([1.0, 1.0], [-1.0, -1.0], [2.0, 2.0]):
        same(compiled(x, jg.tensor(s)), x * 2 if s[0] > 0 else -x)


# Arguments, and tensors from outside.


def test_arguments_of_every_kind():
    f = lambda x, rate, n=2, *, mode="up": x * rate * n if rate > 0.5 and mode == "up" else x.sum() - rate
    compiled = guarded(f)
    x = jg.tensor([1.0, 2.0])
    for rate in (0.1, 0.9, 0.2, 0.8):
        for kwargs in ({}, {"mode": "down"}, {"n": 3}):
            same(compiled(x, rate, **kwargs), f(x, rate, **kwargs))
    g = guarded(lambda tree: tree["a"] if tree["a"].sum() > tree["b"] else -tree["a"])
    for b in (0.0, 9.0, 1.0):
        array = np.array([1.0, 2.0], np.float32)
        same(g({"a": array, "b": np.float32(b)}), jg.tensor(array if b < 3 else -array))
    for shape in ((2,), (3,), (2, 2)):
        for sign in (1, -1, 1):
            same(guarded(branch)(sign * jg.ones(*shape)), branch(sign * jg.ones(*shape)))


class Holder:
    level = jg.tensor(1.0)


def test_tensors_from_outside_decide_with_the_values_they_have_at_the_call(monkeypatch):
    holder, level, array = Holder(), jg.tensor(1.0), np.array([1.0])
    weight = jg.tensor(1.0, requires_grad=True)
    functions = [
        (lambda x: x * 2 if level > 0 else x, level),
        (lambda x: x * 2 if level * 2 + 1 > 1 else x - level * 3, level),
        (lambda x: x * 2 if holder.level.exp() > 1 else x, holder.level),
        (lambda x: x * 2 if weight * weight.abs() > 0 else x, weight),
        (lambda x: x * 2 if level else x, level),
        (lambda x: x * 2 if (level > 0) or (x.sum() > 5) else x, level),
        (lambda x: x * 2 if (x > array).all() else x * array, array),
    ]
    x = jg.tensor([0.5, 0.75])
    for f, moving in functions:
        compiled = guarded(f)
        for value in (1.0, -1.0, 0.0, 2.0, -3.0):
            with jg.no_grad():
                moving[...] = value
            same(compiled(x), f(x))
    f = guarded(lambda x: x * 2 if LEVEL > 0 else x)
    assert f(x).tolist() == [1.0, 1.5]
    monkeypatch.setitem(globals(), "LEVEL", jg.tensor(-1.0))
    assert f(x).tolist() == [0.5, 0.75]


@pytest.mark.parametrize("use", [float, int, lambda x: x.item(), np.asarray, lambda x: x.tolist(), lambda x: range(x.long())])
def test_values_are_still_not_to_be_had(use):
    with pytest.raises(TracedValueError, match="under jit"):
        guarded(use)(jg.tensor(1.0))


def test_several_elements_have_no_truth():
    with pytest.raises(RuntimeError, match="ambiguous"):
        guarded(lambda x: x if x > 0 else -x)(jg.tensor([1.0, 2.0]))


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
