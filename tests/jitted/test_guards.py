"""`jit(f, guard=True)`: branches on values give what they give without jit, whichever way was recorded before."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.errors import TracedValueError
from tests.helpers.branching import NUMBERS, branch, elif_chain, guarded, newton, same, tensors
from tests.helpers.sweeps import SWEEPS

LEVEL = jg.tensor(0.5)


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
