"""The JIT sweep against the interpreted one: loops over every kind of index space, phases, dtypes, reports."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.base.tree import flatten
from jitgrad.ops.indexing import getitem, index_add, index_put
from jitgrad.sweeps.numba.names import namespace
from jitgrad.sweeps.program.steps import (
    Native,
)
from tests.helpers.sweeps import SWEEPS


def leaves(tree):
    found: list = []
    flatten(tree, found)
    return [np.asarray(t.numpy()) for t in found]


def both(function, *args, rtol=1e-6):
    """The results of both sweeps, compared; those of the JIT sweep."""
    f = jg.jit(function)
    with jg.sweep("interpreted"):
        want = leaves(f(*args))
    with jg.sweep("jit"):
        got = leaves(f(*args))
    for a, b in zip(want, got, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_allclose(
            b.astype(np.float64), a.astype(np.float64), rtol=rtol, atol=rtol * max(1, np.abs(a).max(initial=0))
        )
    return got


SHAPES = [(), (1,), (7,), (16,), (33,), (0,), (5, 3), (1, 4), (4, 1), (3, 17, 2), (2, 1, 5), (2, 3, 4, 5)]


def data(*shape, dtype=jg.float64, seed=0):
    return jg.tensor(np.random.default_rng(seed).standard_normal(shape)).to(dtype)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_elementwise_rows_and_reductions_over_every_set_of_dimensions(shape):
    dims = [[d for d in range(len(shape)) if mask >> d & 1] for mask in range(1, 1 << len(shape))]

    def f(x):
        y = jg.tanh(x) * x + 1
        results = [y, y.sum(), y.mean()]
        for some in dims:
            results += [y.sum(dim=some), y.sum(dim=some, keepdim=True)]
            if 0 not in shape:
                results += [y.amax(dim=some), y.amin(dim=some, keepdim=True), y.var(dim=some, correction=0)]
        return results

    both(f, data(*shape), rtol=1e-11)


@pytest.mark.parametrize(
    ("a", "b"),
    [((3, 4), (4,)), ((3, 4), (3, 1)), ((3, 1), (1, 4)), ((2, 3, 4), (3, 1)), ((5,), ()), ((2, 1, 4), (3, 1)), ((1, 1), (3, 20))],
)
def test_broadcasting_and_its_transpose(a, b):
    both(
        jg.value_and_grad(lambda x, y: ((x * y + x) * jg.exp(y)).sum(), argnums=(0, 1)),
        data(*a),
        data(*b, seed=1),
        rtol=1e-11,
    )


@pytest.mark.parametrize("dtype", [jg.float16, jg.float32, jg.float64], ids=str)
def test_floating_dtypes(dtype):
    rtol = {"float16": 2e-2, "float32": 2e-6, "float64": 1e-12}[dtype.name]
    x = data(37, dtype=dtype)
    both(
        jg.value_and_grad(lambda x: (jg.sigmoid(x) * jg.sin(x) - jg.log1p(jg.exp(x)) / (2 + jg.cos(x))).sum()),
        x,
        rtol=rtol,
    )


def test_integer_bool_and_mixed_dtypes():
    i, b, x = jg.arange(-5, 6), jg.arange(11) > 4, data(11, dtype=jg.float32)
    both(
        lambda i, b, x: (
            i * 2 - 1,
            i & 3,
            ~b,
            b ^ (x > 0),
            i * x,
            jg.where(b, i, -i),
            i.sum(),
            b.sum(),
            i.double() / 3,
        ),
        i,
        b,
        x,
    )


def test_sums_of_single_precision_are_accurate_and_repeatable():
    x = jg.full((3_000_001,), 0.1)
    f = jg.jit(lambda x: x.sum())
    exact = float(np.float32(0.1)) * 3_000_001
    assert f(x).item() == pytest.approx(exact, rel=1e-7)
    assert f(x).item() == f(x).item()


def test_softmax_layer_norm_and_their_gradients():
    def f(x, g):
        centred = x - x.mean(dim=1, keepdim=True)
        normed = centred / jg.sqrt((centred * centred).mean(dim=1, keepdim=True) + 1e-5) * g
        return (normed.softmax(dim=1) * x).sum() + normed.logsumexp(dim=0).sum() + x.log_softmax(dim=0).mean() + x.std()

    both(jg.value_and_grad(f, argnums=(0, 1)), data(9, 21), data(21, seed=1), rtol=1e-10)


def test_rows_left_to_numpy_between_loops():
    def f(x, w, i):
        h = jg.tanh(x @ w)
        picked = h[i] * 2
        return (picked.cumsum(dim=0).T.reshape(-1) * 3).sum()

    i = jg.tensor([2, 0, 2])
    both(jg.value_and_grad(f, argnums=(0, 1)), data(4, 3), data(3, 5, seed=1), i, rtol=1e-11)


def test_second_derivatives_and_nesting():
    third = jg.grad(jg.grad(jg.grad(lambda x: x**5)))
    assert jg.jit(third)(jg.tensor(2.0)).item() == 240
    assert jg.grad(jg.jit(jg.grad(lambda x: x**3)))(jg.tensor(2.0)).item() == 12
    assert jg.jit(jg.grad(jg.jit(lambda x: x * x)))(jg.tensor(3.0)).item() == 6


def test_report_says_what_runs_how():
    f = jg.jit(lambda x, w: jg.tanh(x @ w).sum())
    assert "not called" in f.report()
    f(data(64, 64), data(64, 64))
    text = f.report()
    assert "machine code" in text
    assert "NumPy: matmul -> f64[64,64] (a product of this size is left to BLAS)" in text
    steps = next(iter(f._compiled.values())).program.steps
    assert [step.rows if isinstance(step, Native) else step.row.op.name for step in steps] == ["matmul", 2]


def test_tape_is_checked_and_printed():
    f = jg.jit(jg.value_and_grad(lambda x: (jg.exp(x) * x).sum()))
    tape = f.tape(data(3))
    text = str(tape.check())
    assert "exp" in text
    assert text.splitlines()[-1].startswith("return")


def test_the_source_runs_and_gives_the_same(compiled_by_numba):
    def f(x, g):
        centred = x - x.mean(dim=1, keepdim=True)
        return (
            (jg.tanh(centred * g) * jg.clamp(x, -1.0, 1.5) + x**2).amax(dim=0),
            (centred * x).sum(),
            jg.where(x > 0, x, 0.1 * x),
        )

    args = (data(5, 18), data(18, seed=1))
    compiled = jg.jit(f)
    want = leaves(compiled(*args))
    with jg.sweep("numba"):
        found = leaves(compiled(*args))
    for a, b in zip(found, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_the_source_divides_as_numpy_does():
    x, y = jg.tensor([1.0, -7.5, 7.5, -0.2, 3.0], dtype=jg.float64), jg.tensor([0.1, 2.0, -2.0, 5.0, 0.0], dtype=jg.float64)
    f = jg.jit(lambda x, y: x.floor_divide(y))
    want = f(x, y).numpy()
    names = dict(namespace())
    exec(f.source(x, y), names)
    out = np.empty(5)
    with np.errstate(all="ignore"):  # as where jitgrad calls it
        names["lambda_0"](x.numpy(), y.numpy(), out)
    np.testing.assert_array_equal(out, want)


SINGLE = {
    np.float32: lambda x: [jg.relu(x), jg.xlogy(x, 2.5), jg.i0(x)],
    np.int32: lambda x: [jg.relu(x), ~x],
    bool: lambda x: [~x],
}


@pytest.mark.parametrize("dtype", SINGLE)
def test_the_source_of_single_operations_gives_the_same(compiled_by_numba, dtype):
    x = np.array([[3, 0, -2], [-1, 1, 0]]).astype(dtype)
    f = jg.jit(SINGLE[dtype])
    want = f(jg.tensor(x))
    with jg.sweep("numba"):
        found = f(jg.tensor(x))
    for a, b in zip(found, want):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_an_unknown_sweep_is_an_error():
    with pytest.raises(ValueError, match="interpreted"):
        jg.sweep("fast")


def test_jit_needs_a_function():
    with pytest.raises(TypeError, match="function"):
        jg.jit(3)


def test_a_value_that_is_read_through_a_view_is_not_written_over():
    place = (slice(None), 4)

    def f(x, g):
        y = x + 1
        return index_add(index_put(y, g, index=place), getitem(y, index=place), index=place)

    both(f, data(5, 5), data(5, seed=1))


def test_a_kernel_used_often_is_called_and_gives_the_same():
    def often(x):
        total = x
        for k in range(6):
            total = total + (x * (k + 1)).exp() * (x - k).sin()
        return total

    for shape in ((), (1003,)):
        x = jg.tensor(np.linspace(-1, 1, math.prod(shape)).reshape(shape), dtype=jg.float32)
        both(often, x, rtol=1e-5)
        compiled = jg.jit(often)
        compiled(x)
        text = next(iter(compiled._compiled.values())).program.steps[0].text
        assert text.count("define internal") >= 2
        alone = [jg.jit(lambda x, k=k: (x * (k + 1)).exp())(x).numpy() for k in range(6)]
        together = jg.jit(lambda x: [(x * (k + 1)).exp() for k in range(6)])(x)
        for a, b in zip(alone, together):  # written out or called, the bits are the same
            np.testing.assert_array_equal(a, b.numpy())


@pytest.mark.parametrize("name", SWEEPS)
@pytest.mark.usefixtures("believed")
def test_one_entry_is_written_for_tensors_and_whatever_else_holds_the_same(name, monkeypatch):
    written = []
    module = sys.modules["jitgrad.jitted.jit"]
    write = module.write_entry
    monkeypatch.setattr(module, "write_entry", lambda *args: written.append(1) or write(*args))
    x, two = np.arange(3.0), jg.tensor(2.0, dtype=jg.float64)
    viewed = jg.tensor(2.0, dtype=jg.float64)
    viewed.reshape(1)  # which keeps it in memory from now on
    arrays = [x, jg.tensor(x), np.arange(0, 6.0)[::2] / 2, jg.tensor(np.repeat(x, 2))[::2]]
    for function in (lambda x, s: (x.exp() * s).sum(), lambda x, s: x.cumsum(0) * s):
        for numbers in ([2.0], [np.float64(2)], [two, np.array(2.0), viewed]):
            f = jg.jit(function)
            written.clear()
            with jg.sweep(name):
                for array in arrays * 2:
                    for number in numbers:
                        want = function(jg.tensor(np.array(array)), number).numpy()
                        np.testing.assert_allclose(f(array, number).numpy(), want, rtol=1e-14)
            assert len(written) == 1
            assert f(jg.tensor(x, requires_grad=True), numbers[0]).requires_grad


def test_arrays_that_a_function_makes_by_numpy_do_not_keep_its_entry_from_being_used(monkeypatch):
    f, slow = jg.jit(lambda x: x * np.arange(3.0)), []
    general = type(f)._call
    monkeypatch.setattr(type(f), "_call", lambda *args: slow.append(1) or general(*args))
    for _ in range(100):  # now and then it is recorded again, to see whether it comes out the same
        f(jg.tensor([1.0, 2.0, 3.0]))
    assert len(slow) < 20
