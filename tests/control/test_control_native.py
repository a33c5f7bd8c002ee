"""Loops and branches as machine code: computed indices, native functions, carries of any size, and their source."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.errors import NotCompilableError
from tests.helpers.loop_cases import (
    FUNCTIONS,
    arguments,
    backwards,
    bounded,
    branched,
    checkpointed,
    flat,
    nested,
    recurrence,
    same,
    switched,
    tensor,
)
from tests.helpers.sweeps import SWEEPS

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


@pytest.mark.usefixtures("compiled_by_numba")
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


SOURCES = [recurrence, backwards, nested, bounded, switched, checkpointed]


@pytest.mark.usefixtures("compiled_by_numba")
@pytest.mark.parametrize("function", SOURCES, ids=lambda f: f.__name__)
def test_the_source_runs_and_gives_the_same(function):
    args = arguments()
    check_source(jg.jit(jg.value_and_grad(function, argnums=(0, 1, 2))), args)


@pytest.mark.usefixtures("compiled_by_numba")
@pytest.mark.parametrize("function", [summed, rewritten, scattered], ids=lambda f: f.__name__)
def test_the_source_of_what_is_indexed(function):
    check_source(jg.jit(jg.value_and_grad(function)), (tensor(12, seed=4),))


def check_source(compiled, args):
    """Run the source of a tape that is one native phase, and compare what it gives for the outputs."""
    wanted = flat(compiled(*args))
    assert "NumPy" not in compiled.source(*args)
    with jg.sweep("numba"):
        found = flat(compiled(*args))
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_loops_that_are_written_out_are_refused_where_compiling_would_take_minutes():
    def written_out(x):
        for _ in range(6000):
            x = jg.sin(x) * x
        return x

    with pytest.raises(NotCompilableError, match="write its loop with scan"):
        jg.jit(written_out).compile(jg.tensor(1.0))
