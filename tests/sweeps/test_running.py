"""Running sums and products in machine code: along any dimension, in native functions, in steps of loops."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.ops.scans import recurrence
from jitgrad.record.apply import apply
from jitgrad.sweeps.numba.names import namespace
from tests.helpers.sweeps import SWEEPS

FLOATS, WHOLE = ("float32", "float64"), ("int32", "int64", "bool")
SHAPES = [(5,), (3, 4), (4, 3, 2), (1, 4), (4, 1), (17, 33), (2, 20, 9), (0, 3), (3, 0)]


def array(shape, dtype="float64", seed=0):
    return (np.random.default_rng(seed).standard_normal(shape) * 2).astype(dtype)


def check(f, *args, rtol=1e-5):
    """The results of the sweeps, one or a list, are those of eager code; the report."""
    listed = lambda result: result if isinstance(result, list) else [result]
    wanted = listed(f(*args))
    for name in ("jit", "machine"):
        g = jg.jit(f)
        with jg.sweep(name):
            for _ in range(2):
                for found, want in zip(listed(g(*args)), wanted, strict=True):
                    assert found.dtype == want.dtype
                    np.testing.assert_allclose(found.numpy(), want.numpy(), rtol=rtol, atol=rtol)
        if name == "jit":
            report = g.report()
    return report


@pytest.mark.parametrize("dtype", [*FLOATS, *WHOLE])
@pytest.mark.parametrize("op", [jg.cumsum, jg.prod])
@pytest.mark.parametrize("small", [True, False])
def test_along_every_dimension(op, small, dtype):
    xs = [jg.tensor(array(shape, dtype)) for shape in SHAPES if (np.prod(shape) <= 4) == small]

    def plain(*xs):
        return [op(x, d) for x in xs for d in range(x.dim())]

    def turned(*xs):
        return [op(x.transpose(0, -1) * 1, d) * 2 for x in xs for d in range(x.dim())]

    reports = [check(plain, *xs, rtol=1e-4), check(turned, *xs, rtol=1e-4)]
    assert small or not any("NumPy" in report for report in reports)


@pytest.mark.parametrize("shape", [(5,), (3, 4), (7, 3, 2), (40,)], ids=str)
@pytest.mark.parametrize("op", [jg.cumsum, jg.prod])
def test_derivatives_and_native_functions(op, shape):
    x, w = jg.tensor(array(shape)), jg.tensor(array(shape, seed=1))

    def along(x, d):
        return (op(jg.exp(x * w / 4), d) * jg.sin(x.sum(d, keepdim=op is jg.cumsum))).sum()

    def f(x):
        return sum(along(x, d) * (d + 1) for d in range(len(shape)))

    check(lambda x: [jg.grad(f)(x), jg.hessian(f)(x), jg.jvp(f, (x,), (w,))[1]], x)
    native = jg.value_and_grad(f).compile(x)
    for found, wanted in zip(native.njit(x.numpy()), jg.value_and_grad(f)(x)):
        np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-9)


@pytest.mark.parametrize("size", [3, 30])
def test_in_steps_of_loops(size):
    """Small steps are written out number by number."""

    def last(start, xs):
        return jg.scan(lambda c, x: (jg.cumsum(c * 0.5 + x, 0) / 3, c.prod()), start, xs)

    start, xs = jg.tensor(array(size)), jg.tensor(array((6, size)))
    for f in (lambda c, x: last(c, x)[0], lambda c, x: last(c, x)[1], jg.grad(lambda c, x: sum(v.sum() for v in last(c, x)))):
        assert "NumPy" not in check(f, start, xs)
        np.testing.assert_allclose(jg.jit(f).compile(start, xs)(start, xs).numpy(), f(start, xs).numpy(), rtol=1e-9)


@pytest.mark.parametrize("op", [jg.cumsum, jg.prod])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_the_source_does_the_same(op, dtype):
    x = array((3, 4, 5), dtype)
    for d in range(3):
        names = dict(namespace())
        f = jg.jit(lambda x, d=d: op(x, d))
        exec(f.source(x), names)
        wanted = f(x).numpy()
        out = np.empty_like(wanted)
        names["lambda_0"](x, out)
        np.testing.assert_allclose(out, wanted, rtol=1e-6)


def test_float32_is_summed_up_and_multiplied_in_float64():
    x = jg.full((100_000,), 0.1)
    exact = 0.1 * np.arange(1, 100_001) * (float(np.float32(0.1)) / 0.1)
    np.testing.assert_allclose(jg.jit(lambda x: jg.cumsum(x, 0))(x).numpy(), exact, rtol=6e-8)
    many = jg.full((1000,), 1.001)
    assert float(jg.jit(jg.prod)(many)) == pytest.approx(float(np.float32(1.001)) ** 1000, rel=6e-8)


def test_of_one_element_there_is_nothing_to_add_up_or_to_move():
    def f(x):
        y = jg.cumsum(x.flip(0), 0).transpose(0, 1)[::2]
        return jg.cumsum(y.long(), 0), jg.cumsum(y > 0, 1), y.prod(0), y

    x = jg.tensor([[2.5]])
    wanted = f(x)
    for found in (jg.jit(f)(x), jg.jit(f).compile(x)(x)):
        for a, b in zip(found, wanted):
            assert (a.dtype, a.tolist()) == (b.dtype, b.tolist())
    assert "NumPy" not in check(lambda x: f(x)[-1], x)


def test_an_index_into_one_element_is_still_checked():
    pick = jg.jit(lambda x, i: x.gather(0, i))
    assert pick(jg.tensor([3.0]), jg.tensor([0])).tolist() == [3.0]
    for _ in range(2):
        with pytest.raises((IndexError, RuntimeError)):
            pick(jg.tensor([3.0]), jg.tensor([1]))


@pytest.mark.parametrize("dtype", ["float16", *FLOATS, "int32", "int64"])
@pytest.mark.parametrize("op", [jg.cummax, jg.cummin])
def test_extremes_so_far_and_where_they_are(op, dtype):
    many = np.round(array((9, 20), dtype, 3).astype("float64"))  # with equal ones
    if "float" in dtype:
        many[3, 4], many[5, 0], many[7, 1:3] = np.nan, np.inf, -np.inf
    x = jg.tensor(many.astype(dtype))
    for d in (0, 1):
        for k in (0, 1):
            for name in ("jit", "numba"):
                with jg.sweep(name):
                    f = jg.jit(lambda x, d=d, k=k: op(x, d)[k])
                    np.testing.assert_array_equal(f(x).numpy(), op(x, d)[k].numpy())
        f = jg.jit(lambda x, d=d: op(x, d)[1])
        f(x)
        assert "NumPy" not in f.report()


@pytest.mark.parametrize("op", [jg.cumprod, jg.logcumsumexp])
def test_derivatives_of_scans_are_machine_code(op):
    """They are linear recurrences, also where factors are zero or infinite: the first element has no product."""
    many = array((6, 19), seed=4)
    many[2, 3] = many[0, 0] = 0
    x, w = jg.tensor(many), jg.tensor(array((6, 19), seed=5))
    for d in (0, 1):
        f = jg.grad(lambda x, d=d: (op(x, d) * w).sum())
        check(f, x)
        for name in ("jit", "numba"):
            with jg.sweep(name):
                np.testing.assert_allclose(jg.jit(f)(x).numpy(), f(x).numpy(), rtol=1e-9, atol=1e-12)
    f = jg.jit(jg.grad(lambda x: (jg.cumprod(x, 0) * w).sum()))
    f(x)
    assert "NumPy" not in f.report()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_recurrences_of_infinite_numbers_go_step_by_step(dtype) -> None:
    inf = np.inf
    cases = [
        ([1, 0, inf, 1], [1, inf, 1, 1]),
        ([1, inf, 0, 1], [0, 1, 1, 1]),
        ([1, 1e200, 1e200, 1e-300], [1, 1, 1, 1]),
        ([1, 1, 0, 2], [1, inf, 1, -inf]),
        ([1, np.nan, 0, 1], [1, 1, 1, 1]),
    ]
    f = lambda x, y: apply(recurrence, (x, y), {"dim": 0})
    with np.errstate(all="ignore"):
        for x, y in ([np.array(v).astype(dtype) for v in case] for case in cases):
            want = y.astype(float)
            for k in range(1, 4):
                want[k] += x[k] * want[k - 1]
            found = [f(jg.tensor(x), jg.tensor(y))]
            for sweep in SWEEPS:
                with jg.sweep(sweep):
                    found.append(jg.jit(f)(jg.tensor(x), jg.tensor(y)))
            for z in found:
                np.testing.assert_array_equal(z.numpy(), want.astype(dtype))
