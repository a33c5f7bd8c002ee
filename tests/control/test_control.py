"""Loops and branches on the tape: the same as Python's, under every sweep and every transform."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.errors import HoleError, MutatedArgumentError
from tests.helpers.loop_cases import F64, FUNCTIONS, arguments, recurrence, same, tensor
from tests.helpers.sweeps import SWEEPS


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("sweep", SWEEPS)
def test_value_and_gradient_agree_with_python(function, sweep):
    gradients = jg.value_and_grad(function, argnums=(0, 1, 2))
    wanted = gradients(*arguments())
    with jg.sweep(sweep):
        same(jg.jit(gradients)(*arguments()), wanted)
        same(jg.jit(function)(*arguments()), wanted[0])
    jg.jit(gradients).tape(*arguments()).check()


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_forward_mode_agrees(function):
    tangents = tuple(tensor(*x.shape, seed=9) for x in arguments())
    wanted = jg.func.jvp(function, arguments(), tangents)
    same(jg.jit(lambda *xs: jg.func.jvp(function, xs, tangents))(*arguments()), wanted)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "transform",
    [
        jg.hessian,
        lambda f, **k: jg.func.jacrev(jg.func.jacrev(f, **k), **k),
        lambda f, **k: jg.func.jacfwd(jg.func.jacfwd(f, **k), **k),
    ],
)
def test_second_derivatives_agree(function, transform):
    second = transform(function, argnums=1)
    same(jg.jit(second)(*arguments()), second(*arguments()), 1e-8)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("in_dims", [(None, 0, None), (0, 0, 0), (None, None, 1)])
def test_vmap_agrees_with_a_loop(function, in_dims):
    shapes = [x.shape for x in arguments()]
    many = []
    for k, (shape, dim) in enumerate(zip(shapes, in_dims)):
        size = list(shape) if dim is None else [*shape[:dim], 4, *shape[dim:]]
        many.append(tensor(*size, seed=20 + k) * 0.7)

    def one(i):
        return [x if d is None else x.select(d, i) for x, d in zip(many, in_dims)]

    mapped = jg.vmap(jg.value_and_grad(function, argnums=1), in_dims)
    parts = [jg.value_and_grad(function, argnums=1)(*one(i)) for i in range(4)]
    wanted = jg.stack([p[0] for p in parts]), jg.stack([p[1] for p in parts])
    same(mapped(*many), wanted)
    same(jg.jit(mapped)(*many), wanted)
    total = jg.grad(lambda x1: jg.vmap(function, in_dims)(many[0], x1, many[2]).sum())
    if in_dims[1] is not None:
        same(total(many[1]), wanted[1])
        same(jg.jit(total)(many[1]), wanted[1])


def test_a_while_loop_has_a_reverse_sweep_only_with_a_bound():
    f = lambda x: jg.while_loop(lambda v: v < 10, lambda v: v * x, x)
    same(jg.jit(f)(jg.tensor(3.0)), jg.tensor(27.0))
    same(jg.grad(f)(jg.tensor(3.0)), jg.tensor(27.0))
    same(jg.jit(lambda x: jg.func.jvp(f, (x,), (jg.tensor(1.0),)))(jg.tensor(3.0)), (jg.tensor(27.0), jg.tensor(27.0)))
    with pytest.raises(HoleError, match="max_steps"):
        jg.jit(jg.grad(f))(jg.tensor(3.0))


def test_a_while_loop_stops_at_max_steps():
    f = lambda x: jg.while_loop(lambda v: v < 1000, lambda v: v * 2, x, max_steps=3)
    same([f(jg.tensor(1.0)), jg.jit(f)(jg.tensor(1.0))], [jg.tensor(8.0)] * 2)


def test_bounds_may_be_tensors():
    f = lambda n, x: jg.fori_loop(1, n, lambda i, v: v * i, x)
    same([f(jg.tensor(5), jg.tensor(1.0)), jg.jit(f)(jg.tensor(5), jg.tensor(1.0))], [jg.tensor(24.0)] * 2)
    same(jg.jit(f)(jg.tensor(0), jg.tensor(1.0)), jg.tensor(1.0))


@pytest.mark.parametrize("run", [lambda f: f, jg.jit], ids=["eager", "jit"])
class TestWrongUse:
    def test_a_carry_that_changes_its_shape(self, run):
        with pytest.raises(TypeError, match=r"entry 0 of the carry is float32\[3\], and the function returned float32\[1, 3\]"):
            run(lambda x: jg.scan(lambda c, _: (c.unsqueeze(0), None), x, length=2)[0])(jg.zeros(3))

    def test_a_carry_that_changes_its_nesting(self, run):
        with pytest.raises(TypeError, match="nested as"):
            run(lambda x: jg.while_loop(lambda c: c.sum() < 1, lambda c: (c, c), x))(jg.zeros(3))

    def test_no_pair(self, run):
        with pytest.raises(TypeError, match=r"must return \(carry, y\)"):
            run(lambda x: jg.scan(lambda c, _: c, x, length=2))(jg.zeros(3))

    def test_lengths_that_differ(self, run):
        with pytest.raises(ValueError, match="must be equal"):
            run(lambda x: jg.scan(lambda c, _: (c, None), x, (jg.zeros(3), jg.zeros(4))))(jg.zeros(3))
        with pytest.raises(ValueError, match="without xs, length"):
            run(lambda x: jg.scan(lambda c, _: (c, None), x))(jg.zeros(3))
        with pytest.raises(ValueError, match="0-d tensor among xs"):
            run(lambda x: jg.scan(lambda c, _: (c, None), x, x))(jg.tensor(1.0))

    def test_a_condition_that_is_no_bool(self, run):
        with pytest.raises(TypeError, match=r"cond_fun must return a 0-d bool tensor.*float32\[3\]"):
            run(lambda x: jg.while_loop(lambda c: c, lambda c: c, x))(jg.zeros(3))
        with pytest.raises(TypeError, match="pred must be a 0-d bool"):
            run(lambda x: jg.cond(x, lambda v: v, lambda v: v, x))(jg.tensor(1.0))

    def test_an_index_that_is_no_int(self, run):
        with pytest.raises(TypeError, match="index must be an int"):
            run(lambda x: jg.switch(x, [lambda v: v], x))(jg.tensor(1.0))
        with pytest.raises(ValueError, match="at least one"):
            run(lambda x: jg.switch(0, [], x))(jg.tensor(1.0))


def test_branches_that_differ():
    with pytest.raises(TypeError, match=r"branch 0 returns \* of float32\[3\], and branch 1 \* of float32\[\]"):
        jg.jit(lambda x: jg.cond(x.sum() > 0, lambda v: v, lambda v: v.sum(), x))(jg.zeros(3))


@pytest.mark.parametrize("sweep", SWEEPS)
def test_no_steps(sweep):
    f = lambda x, xs: jg.scan(lambda c, x: (c + x, c * x), x, xs)
    empty = jg.zeros(0, 2, dtype=F64)
    wanted = tensor(2), empty
    same(f(tensor(2), empty), wanted)
    with jg.sweep(sweep):
        same(jg.jit(f)(tensor(2), empty), wanted)
        same(jg.jit(jg.grad(lambda x, xs: f(x, xs)[0].sum()))(tensor(2), empty), jg.ones(2, dtype=F64))


def test_integers_and_bools_are_carried():
    def f(x):
        def step(carry, i):
            count, found, best = carry
            better = i * x > best
            return (count + better, found | better, jg.where(better, i * x, best)), better

        return jg.scan(step, (0, False, x * 0), jg.arange(5))

    same(jg.jit(f)(jg.tensor(2.0)), f(jg.tensor(2.0)))


def test_what_runs_is_not_changed():
    x = tensor(3)
    f = jg.jit(lambda x: jg.scan(lambda c, _: (c, c), x, length=2))
    carry, _ = f(x)
    carry += 1
    same(x, tensor(3))


# What steps may do, and what they may not.


def test_numbers_take_the_dtype_of_the_steps():
    x = tensor(3)
    for run in (lambda f: f, jg.jit):
        same(run(lambda x: jg.scan(lambda c, v: (c * 2 + v, None), 1.0, x)[0])(x).dtype is F64, True)
        same(run(lambda x: jg.while_loop(lambda v: v < 9, lambda v: v * 2.5 + 0 * x.sum(), 1))(x), jg.tensor(15.625, dtype=F64))
        same(run(lambda x: jg.fori_loop(0, 3, lambda i, v: v + i * 0.5, 0))(x), jg.tensor(1.5))


def test_a_step_may_change_in_place_what_it_gets():
    def f(x):
        def step(c, v):
            c.mul_(v)
            v += 1
            return c, c

        return jg.scan(step, x[0] * 1, x)[1].sum()

    x = tensor(4)
    wanted = jg.value_and_grad(f)(x)
    same(x, tensor(4))
    same(jg.jit(jg.value_and_grad(f))(x), wanted)
    y = x.numpy().copy()
    same(wanted[0], jg.tensor(sum(np.cumprod(y)[k] * y[0] for k in range(4))))


def test_a_step_may_not_change_what_is_outside():
    def f(x):
        total = jg.zeros(3)

        def step(c, v):
            total.add_(1)
            return c + total.sum(), None

        return jg.scan(step, x[0], x)[0]

    with pytest.raises(MutatedArgumentError, match="from outside in place"):
        jg.jit(f)(jg.zeros(3))


def test_gradients_reach_captured_tensors():
    w = jg.tensor(np.float64(0.5), requires_grad=True)
    f = lambda x: jg.scan(lambda c, v: (jg.sin(c * w) + v, c * v), x[0], x)[1].sum()
    x = tensor(4)
    jg.jit(f)(x).backward()
    found, w.grad = w.grad, None
    f(x).backward()
    same(found, w.grad)


def test_what_has_no_gradient_passes_none():
    def f(x):
        def step(c, v):
            with jg.no_grad():
                k = jg.exp(c)
            return c * k * v, k

        c, ks = jg.scan(step, x[0], x)
        return c + ks.sum()

    x = tensor(4)
    same(jg.jit(jg.grad(f))(x), jg.grad(f)(x))


def test_rules_of_the_user_hold_inside_and_around():
    @jg.custom_vjp
    def double(x):
        return x * 1

    double.defvjp(lambda x: (double(x), None), lambda _, g: (g * 2,))
    f = lambda x: jg.scan(lambda c, v: (double(c) * v, None), x[0], x)[0]

    @jg.custom_vjp
    def around(x):
        return f(x)

    around.defvjp(lambda x: (around(x), x), lambda x, g: (g * jg.grad(f)(x),))
    x = tensor(3)
    for g in (f, around):
        same(jg.jit(jg.grad(g))(x), jg.grad(f)(x))
        same(jg.jit(jg.vmap(jg.grad(g)))(jg.stack([x, x])), jg.stack([jg.grad(f)(x)] * 2))


def test_sparsity_is_seen_through_loops():
    x = tensor(4)
    running = lambda x: jg.scan(lambda c, v: (c + v * v, c * v), 0.0 * x[0], x)[1]
    assert jg.jacobian_sparsity(running, x).toarray().tolist() == np.tri(4, dtype=bool).tolist()
    around = lambda x: jg.scan(lambda c, v: (c + v * v, c * v), 0.0 * x[-1], x, reverse=True)[1]
    assert jg.jacobian_sparsity(around, x).toarray().tolist() == np.triu(np.ones((4, 4), bool)).tolist()
    picked = lambda x: jg.fori_loop(0, 3, lambda i, c: c + x[i] * x, x)
    assert jg.jacobian_sparsity(picked, x).toarray().tolist() == (np.eye(4) + [[1, 1, 1, 0]] * 4 > 0).tolist()
    chosen = lambda x: jg.cond(x.sum() > 0, lambda v: v * v, lambda v: v.flip(0), x)
    assert jg.jacobian_sparsity(chosen, x).toarray().tolist() == (np.eye(4) + np.eye(4)[::-1] > 0).tolist()
    unbounded = lambda x: jg.while_loop(lambda c: c.sum() < 9, lambda c: c + 1, x)
    assert jg.jacobian_sparsity(unbounded, x).toarray().all()
    same(jg.jacfwd(running, sparsity=jg.jacobian_sparsity(running, x))(x).toarray(), jg.jacfwd(running)(x).numpy())


def test_the_printed_tape_shows_what_is_inside():
    text = str(jg.jit(recurrence).tape(*arguments()))
    assert "    body:\n" in text
    assert "= tanh" in text
    assert "length=5" in text


def test_a_step_may_return_what_is_outside_as_it_is():
    def f(x, w):
        last, ys = jg.scan(lambda c, v: (c * v, (w, 2.0, v)), x[0], x)
        return last + (ys[0] * ys[2]).sum() + ys[1].sum() + jg.cond(last > 0, lambda: w, lambda: x[0])

    x, w = tensor(3), tensor(seed=8)
    gradients = jg.value_and_grad(f, argnums=(0, 1))
    same(jg.jit(gradients)(x, w), gradients(x, w))
    same(jg.jit(jg.vmap(gradients, (0, None)))(jg.stack([x, x]), w)[0], jg.stack([f(x, w)] * 2))


def test_numbers_from_outside_may_be_looked_at_as_arrays():
    w = tensor(seed=8)
    f = lambda x: jg.scan(lambda c, v: (c * v + w.reshape(1)[0], w.unsqueeze(0)), x[0], x)[1].sum()
    same(jg.jit(f)(tensor(3)), f(tensor(3)))


def test_a_number_of_a_branch_adapts_where_nothing_is_traced():
    for f in (
        lambda x: jg.switch(1, [lambda: 1.0, lambda: 2.0]) * x,
        lambda x: jg.cond(jg.tensor(True), lambda a: a * 0.1, lambda a: a, 3.0) * x,
        lambda x: jg.cond(True, lambda: 1.0, lambda: 2.0) * x,
    ):
        for x in (jg.tensor(2.0), jg.ones(2)):
            assert f(x).dtype is jg.jit(f)(x).dtype is jg.float32
        assert jg.vmap(f)(jg.ones(2)).dtype is jg.float32
