"""gather and scatter_add as machine code, with indices that are smaller than what they point into."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.sweeps.plan.segments import whole_plan
from jitgrad.sweeps.plan.supported import MACHINE_CODE

X = np.random.default_rng(1).standard_normal((4, 5, 6))
SHAPES = [((4, 3, 6), 1), ((2, 5, 6), 0), ((3, 2, 9), 2), ((4, 5, 1), 2), ((4, 7, 6), 1)]


def index(shape, size, dtype="int64"):
    return jg.tensor(np.random.default_rng(2).integers(0, size, shape).astype(dtype))


@pytest.mark.parametrize("sweep", ["jit", "numba"])
@pytest.mark.parametrize(("shape", "dim"), SHAPES, ids=str)
def test_as_eager_code_in_every_sweep(shape, dim, sweep):
    x, at = jg.tensor(X), index(shape, X.shape[dim])
    src = jg.tensor(np.random.default_rng(3).standard_normal([n + 1 for n in shape]))

    def read(x, at):
        return jg.gather(x.flip(0) * 1, dim, at).sin()

    def added(x, at, src):
        return jg.scatter_add(x, dim, at, src)

    def slopes(x, at, src):
        return jg.grad(lambda x, s: read(x, at).sum() + (added(x, at, s) ** 2).sum(), (0, 1))(x, src)

    with jg.sweep(sweep):
        for f, given in ((read, (x, at)), (added, (x, at, src)), (slopes, (x, at, src))):
            for found, wanted in zip(_many(jg.jit(f)(*given)), _many(f(*given))):
                np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=1e-12)


def _many(found):
    return found if isinstance(found, tuple) else (found,)


def test_nothing_is_left_to_numpy_and_the_operand_stays():
    x, at, src = jg.tensor(X), index((4, 3, 6), 5), jg.tensor(X[:, :3])
    f = jg.jit(lambda x, at, src: (jg.gather(x, 1, at), jg.scatter_add(x, 1, at, src)))
    f(x, at, src)
    assert "NumPy" not in f.report()
    np.testing.assert_array_equal(x.numpy(), X)


@pytest.mark.parametrize("sweep", ["jit", "numba", "interpreted"])
def test_an_index_out_of_bounds_is_an_error(sweep):
    x, at = jg.tensor(X), jg.tensor(np.full((4, 3, 6), 5))
    with jg.sweep(sweep), pytest.raises(IndexError, match=r"out of (bounds|range)"):
        jg.jit(lambda x, at: jg.gather(x, 1, at))(x, at)


def looked_up(name):
    """What is looked up among other rows: across lines, whole lines, in a part of an array, in what was just computed."""
    return {
        "across": lambda x, at: (jg.index_select(x, 1, at) * 2 + x[:, :1]).sin(),
        "lines": lambda x, at: jg.index_select(x, 0, at % 4) * jg.index_select(x, 0, at % 3),
        "last": lambda x, at: jg.index_select(x.exp(), 2, at).sum(1),
        "part": lambda x, at: jg.index_select(x.flip(1)[..., ::2], 2, at % 3) + 1,
        "whole numbers": lambda x, at: jg.index_select((x * 9).long(), 2, at) + 1,
        "again": lambda x, at: jg.index_select(jg.index_select(x, 1, at) + 1, 2, at) - x.sum(),
        "repeated": lambda x, at: (
            jg.gather(x, 2, at.expand(4, 5, 37)) * jg.gather(x, 1, at.reshape(1, 37, 1).expand(4, 37, 6)).mean()
        ),
        "one": lambda x, at: jg.index_select(x, 2, at[:1]) * x,
    }[name]


NAMES = ("across", "lines", "last", "part", "whole numbers", "again", "repeated", "one")


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("name", NAMES)
def test_loops_look_elements_up_in_passing(name, dtype):
    x, at = jg.tensor(X.astype(dtype)), index((37,), 5)
    f = looked_up(name)
    g = jg.value_and_grad(lambda x, at: (f(x, at) ** 2).sum()) if name != "whole numbers" else f
    with jg.sweep("jit"):
        found, slope = jg.jit(f)(x, at), jg.jit(g)(x, at)
    with jg.sweep("interpreted"):
        wanted, wanted_slope = jg.jit(f)(x, at), jg.jit(g)(x, at)
    rtol = {"float64": 1e-12, "float32": 2e-5, "float16": 2e-2}[dtype]
    for a, b in zip((*_many(found), *_many(slope)), (*_many(wanted), *_many(wanted_slope))):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=rtol, atol=rtol)


def test_what_is_looked_up_needs_no_loop_of_its_own():
    f = jg.jit(lambda x, at: jg.index_select(x, 2, at) * 2)
    plan = whole_plan(f.tape(jg.tensor(X), index((37,), 5)), MACHINE_CODE)[1]
    assert [[row.op.name for row in loop.items] for phase in plan.phases for loop in phase.loops()] == [["getitem", "mul"]]


def test_a_repeated_index_is_checked_once():
    f = jg.jit(lambda x, at: jg.gather(x, 2, at.expand(4, 5, 9)))
    x, at = jg.tensor(X), index((1, 1, 9), 6)
    np.testing.assert_array_equal(f(x, at).numpy(), X[:, :, at.numpy().ravel()])
    with pytest.raises(IndexError, match=r"out of (bounds|range)"):
        f(x, jg.tensor(np.full((1, 1, 9), 6)))
