"""Loops, branches and rules of the user's under transforms under transforms, with `jit` at any level: the same as by recorded
values alone, one example after the other."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest

import jitgrad as jg
from tests.helpers.nested import PROGRAMS, TRANSFORMS, Jitgrad, Plain, X, levels, nested, total

F64 = jg.float64


def agrees(program: Callable, names: tuple[str, ...], jitted: tuple[bool, ...]) -> None:
    x = jg.tensor(X)
    got, want = nested(Jitgrad, names, jitted, program)(x), nested(Plain, names, jitted, program)(x)
    said = f"{program.__name__} under {names}, jit at {jitted}"
    np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), 1e-7, 1e-9, err_msg=said)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_what_is_compared_with_is_the_limit_of_differences(program: Callable) -> None:
    steps = np.eye(3) * 1e-6
    rows = [program(jg.tensor(X + h)) - program(jg.tensor(X - h)) for h in steps]
    np.testing.assert_allclose(
        Plain.jacrev(program)(jg.tensor(X)).numpy(), np.stack([r.numpy() for r in rows], -1) / 2e-6, 1e-6, 1e-8
    )
    slope = Plain.jacrev(total(program))
    rows = [slope(jg.tensor(X + h)) - slope(jg.tensor(X - h)) for h in steps]
    np.testing.assert_allclose(
        Plain.hessian(total(program))(jg.tensor(X)).numpy(), np.stack([r.numpy() for r in rows], -1) / 2e-6, 1e-5, 1e-7
    )


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_every_transform(program: Callable) -> None:
    masks = itertools.cycle([(False, True), (True, False), (False, True), (True, True), (False, False)])
    for name, jitted in zip(TRANSFORMS, masks):
        agrees(program, (name,), jitted)


@pytest.mark.parametrize("seed", range(6))
def test_transforms_of_transforms(seed: int) -> None:
    draw = random.Random(seed)
    for k in range(5):
        depth = 3 if k == 0 else 2
        agrees(draw.choice(PROGRAMS), tuple(draw.choices(list(TRANSFORMS), k=depth)), draw.choice(levels(depth)))


@pytest.mark.quick
@pytest.mark.parametrize(
    "function",
    [
        lambda x: jg.fori_loop(0, 2, lambda i, c: c.sin(), x),
        lambda x: jg.scan(lambda c, t: (c.sin() * t, c), x, jg.ones(2, dtype=F64))[0],
        lambda x: jg.cond(x.sum() > 0, lambda c: c.sin().sin(), lambda c: c, x),
        lambda x: jg.switch(1, [lambda c: c, lambda c: c.sin().sin()], x),
        lambda x: jg.while_loop(lambda c: c[0] < 2, lambda c: (c[0] + 1, c[1].sin()), (0, x), max_steps=3)[1],
    ],
)
@pytest.mark.parametrize("jit", [jg.jit, lambda f: jg.jit(f, guard=True)], ids=["jit", "guarded"])
def test_sweeps_for_many_cotangents_through_a_compiled_call(function: Callable, jit: Callable) -> None:
    x = np.array([0.5, 1.0])
    want = np.diag(np.cos(np.sin(x)) * np.cos(x))
    f, x = jit(function), jg.tensor(x)
    units = jg.eye(2, dtype=F64)
    many = jg.vmap(jg.vjp(f, x)[1])(units)[0], jg.vmap(jg.linearize(f, x)[1])(units), jg.jacrev(f)(x), jg.jacfwd(f)(x)
    for found in (*many, jg.jit(jg.jacrev(f))(x), jg.jacrev(lambda x: f(x) * 1)(x)):
        np.testing.assert_allclose(found.numpy(), want, 1e-12)
    w = jg.tensor(x.numpy(), requires_grad=True)
    y = f(w)
    found = jg.vmap(lambda g: jg.autograd.grad(y, w, g, retain_graph=True)[0])(units)
    np.testing.assert_allclose(found.numpy(), want, 1e-12)
    assert not found.requires_grad
    with pytest.raises(jg.errors.TracedValueError, match=r"use autograd.grad\(\)"):
        jg.vmap(lambda g: y.backward(g, retain_graph=True))(units)


# What examples do that do not take a branch, or have stopped.

TABLE = jg.tensor([1.0, 2.0, 3.0], dtype=F64)


def halved(n: Any) -> Any:
    """How often a number can be halved; without end for 0."""
    return jg.while_loop(lambda c: c[0] != 1, lambda c: (c[0] // 2, c[1] + 1), (n, 0))[1]


def reciprocal(y: Any) -> Any:
    """By solving an equation, which is singular for 0."""
    return jg.func.implicit_root(lambda z, a: a * z - 1, lambda a: 1 / a)(y)


CHOICES: dict[str, tuple[Callable, list[int], list[float]]] = {
    "an index": (lambda i, x: jg.cond(i < 3, lambda j, y: TABLE[j] * y, lambda j, y: y, i, x), [0, 2, 5, 7], [0, 1, 2, 3]),
    "an index that nobody has": (lambda i, x: jg.cond(i < 3, lambda: TABLE[i] * x, lambda: x), [5, 7], [1, 2]),
    "a table for each": (lambda i, x: jg.cond(i < 3, lambda: (TABLE * x)[i], lambda: x), [5, 1, 3], [1, 2, 3]),
    "a divisor": (lambda i, x: jg.cond(i > 0, lambda j: 7 // j + 7 % j, lambda j: j, i) * x, [0, 2, 5, 0], [1, 2, 3, 4]),
    "a loop without end": (lambda i, x: jg.cond(i > 0, halved, lambda j: j * 0, i) * x, [0, 4, 9, 0], [1, 2, 3, 4]),
    "a singular matrix": (lambda i, x: jg.cond(x > 0, reciprocal, lambda y: y, x), [0, 0, 0], [0, 2, 3]),
    "derivatives": (lambda i, x: jg.cond(x > 0, lambda y: y.log() * y.sqrt(), lambda y: y * y, x), [0, 0, 0, 0], [-1, 0, 2, 3]),
    "derivatives in what all share": (
        lambda i, x: jg.cond(x > 0, lambda y: (y * TABLE).log().sum(), lambda y: y * y, x),
        [0, 0, 0, 0],
        [-1, 0, 2, 3],
    ),
    "three branches": (
        lambda i, x: jg.switch(i, [lambda y: y * 2, lambda y: TABLE[(y + 0.5).long()] * y, lambda y: 1 / y], x),
        [-1, 1, 2, 7, 0],
        [7, 1, 2, 9, 0],
    ),
    "several results": (
        lambda i, x: sum(jg.cond(i < 3, lambda: (TABLE[i] * x, i * 2), lambda: (x, i))),
        [0, 2, 5, 7],
        [0, 1, 2, 3],
    ),
    "a branch in a branch": (
        lambda i, x: jg.cond(i < 6, lambda: jg.cond(i < 3, lambda: TABLE[i] * x, lambda: TABLE[i - 3] * x), lambda: x),
        [0, 4, 8, 7],
        [0, 1, 2, 3],
    ),
    "a loop that stops at the end of a table": (
        lambda i, x: jg.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] + TABLE[c[0]] * x), (i, x), max_steps=4)[1],
        [0, 2, 3, 5],
        [0, 1, 2, 3],
    ),
    "a loop over a table for each": (
        lambda i, x: jg.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] + (TABLE * x)[c[0]]), (i, x), max_steps=4)[1],
        [0, 2, 3, 5],
        [0, 1, 2, 3],
    ),
    "a divisor in a loop": (
        lambda i, x: jg.while_loop(lambda c: c[0] * i > 0, lambda c: (c[0] // (2 * i), c[1] * x), (i * 0 + 9, x), max_steps=5)[1],
        [0, 2, 3, 1],
        [0.5, 1, 2, 3],
    ),
    "derivatives where a loop has stopped": (
        lambda i, x: jg.while_loop(lambda y: y > 0.5, lambda y: (y - 0.5).sqrt() * TABLE[0] * 0.9, x, max_steps=6),
        [0, 0, 0, 0],
        [0.5, 0.75, 1.5, 9.0],
    ),
}


@pytest.mark.parametrize("name", CHOICES)
def test_what_an_example_does_not_do_does_nothing(name: str) -> None:
    function, numbers, values = CHOICES[name]
    i, x = jg.tensor(numbers), jg.tensor(values, dtype=F64)
    one = lambda i, x: function(i, x) * 1.0
    want = jg.stack([one(a, b) for a, b in zip(i, x)]).numpy()
    slopes = jg.stack([jg.grad(one, 1)(a, b) for a, b in zip(i, x)]).numpy()
    many = jg.vmap(one)
    gradient = jg.grad(lambda x: many(i, x).sum())
    change = lambda x: jg.jvp(lambda x: many(i, x), (x,), (jg.ones_like(x),))[1]
    for sweep, jit in (("jit", lambda f: f), ("interpreted", jg.jit), ("machine", jg.jit), ("numba", jg.jit), ("jit", jg.jit)):
        with jg.sweep(sweep):
            twice = jit(jg.vmap(many))(jg.stack([i, i.flip(0)]), jg.stack([x, x.flip(0)]))
            for values in [jit(many)(i, x), jg.vmap(jit(one))(i, x), twice[0], twice[1].flip(0)]:
                np.testing.assert_allclose(values.numpy(), want, 1e-12, err_msg=f"{name} {sweep}")
            for values in [jit(gradient)(x), jit(change)(x), jit(jg.vmap(jg.grad(one, 1)))(i, x)]:
                np.testing.assert_allclose(values.numpy(), slopes, 1e-12, err_msg=f"derivative of {name} {sweep}")


@pytest.mark.parametrize("jit", [lambda f: f, jg.jit], ids=["eager", "jit"])
def test_what_all_share_gets_the_derivatives_of_those_alone_that_take_a_branch(jit: Callable) -> None:
    def choice(w: Any, v: Any) -> Any:
        return jg.cond(v > 0, lambda: (v * w).log() * (v * w).sqrt(), lambda: v * w)

    def repeated(w: Any, v: Any) -> Any:
        return jg.while_loop(lambda c: c.abs() > 0.6, lambda c: c * 0.5 + w / (c * c) * 0.01, v, max_steps=6)

    w = jg.tensor(0.7, dtype=F64)
    for function, many in ((choice, [0, -1, 2, 3]), (choice, [0, -1]), (repeated, [0, 0.3, 2, 5])):
        vs = jg.tensor(many, dtype=F64)
        plain = lambda w, vs=vs, f=function: jg.stack([f(w, v) for v in vs]).sum()
        mapped = lambda w, vs=vs, f=function: jg.vmap(f, (None, 0))(w, vs).sum()
        of_each = lambda w, vs=vs, f=function: jg.vmap(jg.grad(f), (None, 0))(w, vs).sum()
        for order in (jg.grad, lambda f: jg.grad(jg.grad(f)), jg.hessian, jg.jacfwd):
            np.testing.assert_allclose(jit(order(mapped))(w).numpy(), order(plain)(w).numpy(), 1e-10)
        np.testing.assert_allclose(jit(jg.grad(of_each))(w).numpy(), jg.grad(jg.grad(plain))(w).numpy(), 1e-10)


@pytest.mark.parametrize("jit", [lambda f: f, jg.jit], ids=["eager", "jit"])
def test_no_examples(jit: Callable) -> None:
    for function in (
        lambda v: jg.cond(v > 0, lambda y: y.log() * TABLE.sum(), lambda y: y, v),
        lambda v: jg.cond(v > 0, lambda y: TABLE[y.long()], lambda y: y, v),
        lambda v: jg.while_loop(lambda c: c < 3, lambda c: c + TABLE[c.long()], v, max_steps=3),
    ):
        none = jg.zeros(0, dtype=F64)
        assert jit(jg.vmap(function))(none).shape == (0,)
        assert jit(jg.vmap(jg.grad(function)))(none).shape == (0,)
        assert jit(jg.grad(lambda v, f=function: jg.vmap(f)(v).sum()))(none).shape == (0,)


@jg.elementwise
@numba.njit
def bump(x: float, y: float) -> float:
    return math.exp(-x * x) * y


def test_forward_mode_through_a_function_whose_derivative_is_that_of_its_operations() -> None:
    x = jg.tensor([0.3, -0.5], dtype=F64)
    want = -2 * x.numpy() * np.exp(-(x.numpy() ** 2)) * 2.0
    for run in (lambda f: f, jg.jit):
        found = run(lambda x: jg.jvp(lambda z: bump(z, 2.0), (x,), (jg.ones_like(x),))[1])(x)
        np.testing.assert_allclose(found.numpy(), want, 1e-12)
    np.testing.assert_allclose(jg.jacfwd(lambda y: bump(x, y))(x).numpy(), np.diag(np.exp(-(x.numpy() ** 2))), 1e-12)
