"""Loops and branches on the tape: the same as Python's, under every sweep and every transform."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.errors import HoleError, MutatedArgumentError, NotCompilableError
from jitgrad.sweeps.source import namespace
from jitgrad.tape import CONST
from jitgrad.tree import flatten

SWEEPS = ("interpreted", "jit", "machine")
F64 = jg.float64


def tensor(*sizes, seed=0):
    return jg.tensor(np.random.default_rng(seed).standard_normal(sizes))


def flat(tree):
    leaves = []
    flatten(tree, leaves)
    return [np.asarray(x.detach() if isinstance(x, jg.Tensor) else x) for x in leaves if x is not None]


def same(found, wanted, tolerance=1e-10):
    found, wanted = flat(found), flat(wanted)
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def recurrence(w, x0, xs):
    """A carry of two, captured and sliced tensors, two kinds of ys."""
    def step(carry, x):
        h, total = carry
        h = jg.tanh(w @ h + x)
        total = total + (h * h).sum()
        return (h, total), {"h": h, "total": total * 2}

    (h, total), ys = jg.scan(step, (x0, 0.0 * x0.sum()), xs)
    return (h * ys["h"]).sum() + (ys["total"] ** 2).sum() + total


def backwards(w, x0, xs):
    def step(h, x):
        return jg.sin(w @ h) * x, h.sum()

    h, ys = jg.scan(step, x0, xs, reverse=True)
    return h.sum() + (ys * ys).sum()


def checkpointed(w, x0, xs):
    h, ys = jg.scan(lambda h, x: (jg.tanh(w @ h + x), h * x), x0, xs, checkpoint=2)
    return (h * h).sum() + ys.sum()


def written_out(w, x0, xs):
    h, ys = jg.scan(lambda h, x: (jg.tanh(w @ h + x), h * x), x0, xs, unroll=2, reverse=True)
    return (h * h).sum() + ys.sum()


def nested(w, x0, xs):
    def outer(h, x):
        inner = jg.fori_loop(0, 3, lambda i, v: jg.sin(v + i * x), h)
        return inner, inner.sum()

    h, ys = jg.scan(outer, x0, xs)
    return h.sum() * ys.sum() + w.sum()


def counted(w, x0, xs):
    return jg.fori_loop(2, 6, lambda i, h: h * jg.cos(w @ h) + i * xs[1], x0).sum()


def bounded(w, x0, xs):
    def go_on(state):
        return (state[0] * state[0]).sum() < 40.0

    def step(state):
        h, i = state
        return h * 1.5 + xs[0] * 0.1, i + 1

    h, i = jg.while_loop(go_on, step, (x0, 0), max_steps=30)
    return (h * h * xs[1]).sum() + i * h.sum()


def branched(w, x0, xs):
    def one(x):
        return jg.cond(x.sum() > 0, lambda v: (v * v, v.sum() * w.sum()), lambda v: (jg.exp(v), v.prod() * 1.0), x)

    first, second = one(x0)
    third, fourth = one(-x0)
    return (first * third).sum() + second * fourth


def switched(w, x0, xs):
    total = 0.0
    for k in (-1, 0, 1, 2, 5):
        index = (x0.sum() * 0).to(jg.int64) + k
        total = total + jg.switch(index, [lambda v: v.sum(), lambda v: (v * v).sum(), lambda v: (w @ v).sum()], x0) * (k + 2)
    return total


FUNCTIONS = [recurrence, backwards, checkpointed, written_out, nested, counted, bounded, branched, switched]


def arguments():
    return tensor(3, 3, seed=1) * 0.5, tensor(3, seed=2), tensor(5, 3, seed=3)


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
@pytest.mark.parametrize("transform", [jg.hessian, lambda f, **k: jg.func.jacrev(jg.func.jacrev(f, **k), **k),
                                       lambda f, **k: jg.func.jacfwd(jg.func.jacfwd(f, **k), **k)])  # fmt: skip
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


# Elements at an index that is known only when the loop runs.


def summed(x):
    return jg.fori_loop(0, x.shape[0], lambda i, s: s + jg.sin(x[i]) * s * 0.1, 1.0 + 0 * x.sum())


def rewritten(x):
    def step(i, c):
        c = c.clone()
        c[i] = c[i - 1] * 1.1 + c[i]
        return c

    return (jg.fori_loop(0, x.shape[0], step, x) ** 2).sum()


def scattered(x):
    table = x.reshape(3, 4)

    def step(total, i):
        row = table[i % 3]
        total = total.clone()
        total[-1 - i] += row * row[i]
        total[:, 0] += row[:3]
        return total, row[i - 4] * total[i - 3, 1]

    total, ys = jg.scan(step, table * 0, jg.arange(3))
    return (total**2).sum() + ys.sum()


@pytest.mark.parametrize("function", [summed, rewritten, scattered], ids=lambda f: f.__name__)
@pytest.mark.parametrize("sweep", SWEEPS)
def test_indices_that_the_loop_computes(function, sweep):
    x = tensor(12, seed=4)
    gradients = jg.value_and_grad(function)
    with jg.sweep(sweep):
        same(jg.jit(gradients)(x), gradients(x))
    same(jg.jit(jg.hessian(function))(x), jg.hessian(function)(x), 1e-9)
    many = tensor(3, 12, seed=5)
    same(jg.jit(jg.vmap(gradients))(many), jg.vmap(gradients)(many))
    same(gradients.compile(x)(x), gradients(x))


@pytest.mark.parametrize("index", [7, -8])
def test_an_index_out_of_bounds(index):
    f = lambda x, i: jg.fori_loop(0, 2, lambda k, s: s + x[i], x.sum())
    x, i = jg.zeros(7), jg.tensor(index)
    for sweep in SWEEPS:
        with jg.sweep(sweep), pytest.raises(IndexError, match=f"{index} is out of bounds"):
            jg.jit(f)(x, i)
    native = jg.jit(f).compile(x, i)
    with pytest.raises(IndexError, match="out of bounds"):
        native(x, i)
    same(native(x + 1, jg.tensor(-7)), jg.tensor(9.0))


# Compiled.


@pytest.mark.parametrize("function", [f for f in FUNCTIONS if f is not branched], ids=lambda f: f.__name__)
def test_native_functions_agree(function):
    gradients = jg.value_and_grad(function, argnums=(0, 1, 2))
    same(gradients.compile(*arguments())(*arguments()), gradients(*arguments()))


def test_loops_are_machine_code():
    f = jg.jit(jg.value_and_grad(recurrence))
    f(*arguments())
    assert "NumPy" not in f.report()


def test_a_loop_with_large_products_is_left_to_programs_of_its_own():
    w, x = tensor(80, 80) * 0.1, tensor(80, 80, seed=1)
    f = lambda w, x: jg.scan(lambda h, _: (jg.tanh(w @ h), None), x, length=4)[0].sum()
    same(jg.jit(jg.value_and_grad(f))(w, x), jg.value_and_grad(f)(w, x))
    g = jg.jit(f)
    g(w, x)
    assert "NumPy runs matmul in it: a product of this size is left to BLAS" in g.report()


@pytest.mark.parametrize("n", [3, 700, 3000])
def test_carries_of_any_size(n):
    """On the stack, in memory, and in tiles."""
    x = tensor(n, seed=6)
    f = lambda x: jg.scan(lambda c, _: (jg.sin(c) * (c * c).mean() + x.flip(0), c.sum()), x, length=5)
    g = jg.value_and_grad(lambda x: (f(x)[0] ** 2).sum() + f(x)[1].sum())
    same(jg.jit(g)(x), g(x))
    same(g.compile(x)(x), g(x))


@pytest.mark.parametrize("dtype", [jg.float16, jg.float32, jg.int32, jg.bool])
def test_dtypes(dtype):
    x = jg.tensor([1, 0, 1, 1], dtype=dtype)
    f = lambda x: jg.scan(lambda c, v: ((c | v), c) if dtype is jg.bool else (c + v * v, c), x[0], x)
    same(jg.jit(f)(x), f(x))


def test_threads_share_a_compiled_loop():
    f = jg.jit(jg.value_and_grad(recurrence))
    inputs = [tuple(x + k for x in arguments()) for k in range(8)]
    wanted = [f(*given) for given in inputs]
    with ThreadPoolExecutor(4) as pool:
        for found, want in zip(pool.map(lambda given: f(*given), inputs * 5), wanted * 5):
            same(found, want, 0)


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


SOURCES = [recurrence, backwards, nested, bounded, switched, checkpointed]


@pytest.mark.parametrize("function", SOURCES, ids=lambda f: f.__name__)
def test_the_source_runs_and_gives_the_same(function):
    args = arguments()
    check_source(jg.jit(jg.value_and_grad(function, argnums=(0, 1, 2))), args)


@pytest.mark.parametrize("function", [summed, rewritten, scattered], ids=lambda f: f.__name__)
def test_the_source_of_what_is_indexed(function):
    check_source(jg.jit(jg.value_and_grad(function)), (tensor(12, seed=4),))


def check_source(compiled, args):
    """Run the source of a tape that is one native phase, and compare what it gives for the outputs."""
    wanted = flat(compiled(*args))
    names = namespace()
    exec(compiled.source(*args), names)
    (entry,) = compiled._compiled.values()
    program, rows = entry.program, entry.simplified().rows
    (phase,) = [phase for phase in program.plan.phases if phase.levels]
    function = next(names[k] for k in names if k.endswith(f"_{program.plan.phases.index(phase)}"))
    env = dict(zip(entry.leaves, [np.asarray(a._value) for a in (*args, *entry.captured)], strict=True))
    env |= {row: row.params["value"] for row in rows if row.op is CONST}
    code = function.py_func.__code__
    given = [rows[int(name[1:])] for name in code.co_varnames[: code.co_argcount]]
    result = iter(function(*[env.setdefault(row, np.empty(row.shape, row.dtype)) for row in given]))
    for row in phase.native_rows():
        if np.prod(row.shape) == 1 and row in program.plan.stored:
            env[row] = next(result)
    found = [env[program.plan.results.get(row, row)] for row in program.tape.outputs]
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(np.reshape(a, b.shape), b, rtol=1e-10, atol=1e-12)


def test_loops_that_are_written_out_are_refused_where_compiling_would_take_minutes():
    def written_out(x):
        for _ in range(6000):
            x = jg.sin(x) * x
        return x

    with pytest.raises(NotCompilableError, match="write its loop with scan"):
        jg.jit(written_out).compile(jg.tensor(1.0))
