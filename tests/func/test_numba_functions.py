"""The user's `@njit` functions as operations."""

import math
import os
import subprocess
import sys
from math import exp
from pathlib import Path

import numba
import numpy as np
import pytest

import jitgrad as jg
from jitgrad.testing import gradcheck, gradgradcheck
from tests.helpers.sweeps import SWEEPS


@jg.elementwise
@numba.njit
def wave(x, k):
    return math.sin(k * x) * exp(-x * x) + np.sqrt(x * x + 1.0)


def wave_in_operations(x, k):
    return jg.sin(k * x) * jg.exp(-x * x) + jg.sqrt(x * x + 1.0)


@jg.elementwise(derivative=lambda x: jg.where(x > 0, 2 * x, 0))
@numba.njit
def half_parabola(x):
    if x > 0:
        return x * x
    return 0.0


@numba.njit
def product_slopes(x, y):
    return y, x


@jg.elementwise(derivative=product_slopes)
@numba.njit
def product(x, y):
    return x * y


def doubles(*shape):
    return jg.tensor(np.random.default_rng(1).normal(size=shape), requires_grad=True)


def test_values_gradients_and_second_derivatives():
    assert gradcheck(wave, (doubles(3), doubles(3)))
    assert gradgradcheck(wave, (doubles(3), doubles(3)))
    assert gradcheck(half_parabola, (doubles(5),))
    assert gradgradcheck(half_parabola, (doubles(5),))
    assert gradcheck(product, (doubles(2, 3), doubles(3)))


@pytest.mark.parametrize("sweep", SWEEPS)
@pytest.mark.parametrize("dtype", [jg.float32, jg.float64])
def test_every_sweep(sweep, dtype):
    x, k = jg.linspace(-2, 2, 37, dtype=dtype), jg.tensor(1.5, dtype=dtype)
    f, want = (jg.value_and_grad(lambda x, k, w=w: w(x, k).sum(), argnums=(0, 1)) for w in (wave, wave_in_operations))
    with jg.sweep(sweep):
        value, slopes = jg.jit(f)(x, k)
    for a, b in zip((value, *slopes), _flat(want(x, k))):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5 if dtype is jg.float32 else 1e-12, atol=1e-5)


def _flat(result):
    return result[0], *result[1]


def test_dtypes_broadcasting_and_numbers():
    assert wave(jg.ones(2, 1), jg.ones(3)).shape == (2, 3)
    assert wave(jg.tensor([1, 2]), 1.0).dtype is jg.float32
    assert isinstance(half_parabola(np.array([2.0])), jg.Tensor)
    assert half_parabola(3.0).item() == 9.0
    with pytest.raises(TypeError, match="wave takes 2 arguments, and 1 were given"):
        wave(jg.ones(2))


def test_in_native_functions(tmp_path):
    gradient = jg.value_and_grad(lambda x: (wave(x, 2.0) * product(x, x)).sum()).compile(np.zeros(4))
    x = np.linspace(-1, 1, 4)
    want = jg.value_and_grad(lambda x: (wave_in_operations(x, 2.0) * x * x).sum())(jg.tensor(x))
    value, slope = gradient.njit(x)
    np.testing.assert_allclose(value, want[0].item())
    np.testing.assert_allclose(slope, want[1].numpy())
    gradient.save(tmp_path / "f.native")
    paths = os.pathsep.join([str(Path(jg.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", f"import jitgrad; jitgrad.load_compiled({str(tmp_path / 'f.native')!r})"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": paths},
    )
    assert "CompileError: the text declares the function jitgrad_user_" in done.stderr


def test_what_elementwise_refuses():
    with pytest.raises(TypeError, match=r"elementwise takes a function made by numba\.njit, not function"):
        jg.elementwise(lambda x: x)
    with pytest.raises(TypeError, match=r"cannot be recorded to find its derivative .* give it"):

        @jg.elementwise
        @numba.njit
        def branches(x):
            return x if x > 0 else -x

    with pytest.raises(TypeError, match="has no parameters"):
        jg.elementwise(numba.njit(lambda: 1.0))
    x = doubles(3)
    wrong = {
        "shape .3., and its arguments have .2.": lambda x: jg.zeros(3),
        "must return tensors, arrays or numbers, not NoneType": lambda x: None,
    }
    for match, derivative in wrong.items():
        slope = jg.grad(lambda x: jg.elementwise(derivative=derivative)(numba.njit(lambda x: x * x))(x).sum())  # noqa: B023
        for f in (slope, jg.jit(slope)):
            with pytest.raises((TypeError, RuntimeError), match=match):
                f(jg.ones(2))
    both = jg.elementwise(derivative=lambda x, y: x)(numba.njit(lambda x, y: x * y))
    with pytest.raises(TypeError, match="a tuple of 2 partial derivatives, one for each argument, not Tensor"):
        jg.grad(lambda x: both(x, x).sum())(jg.ones(2))
    (slope,) = jg.autograd.grad(product(x, x).sum(), x, create_graph=True)
    with pytest.raises(jg.errors.HoleError, match="has no derivative of its own: write it in jitgrad's operations"):
        slope.sum().backward()


def test_a_derivative_may_be_a_number_or_of_another_dtype():
    for derivative in (lambda x: 1.0, lambda x: np.float64(1), lambda x: (x * 0 + 1).double()):
        f = jg.elementwise(derivative=derivative)(numba.njit(lambda x: x + 1.0))
        slope = jg.grad(lambda x: f(x).sum())  # noqa: B023
        for g in (slope, jg.jit(slope)):
            found = g(jg.ones(2))
            assert (found.tolist(), found.dtype) == ([1.0, 1.0], jg.float32)

    third = jg.elementwise(derivative=lambda x: 1 / 3)(numba.njit(lambda x: x / 3))
    assert jg.grad(third)(jg.tensor(2.0, dtype=jg.float64)).item() == 1 / 3
    x, y = doubles(2, 1), doubles(3)
    assert gradcheck(product, (x, y))


def test_numbers_are_as_exact_under_jit():
    same = jg.from_njit(numba.njit(lambda x: x * x))
    assert same(2.0).dtype is jg.jit(same)(2.0).dtype is jg.float64
    assert same(np.float64(2.0)).dtype is jg.jit(same)(np.float64(2.0)).dtype is jg.float64


# Functions of arrays.


@numba.njit
def _scaled_sums(x, index, scale):
    out = np.zeros(x.shape[0], x.dtype)
    for i in range(x.shape[0]):
        out[i] = x[i, index[i] :].sum() * scale
    return out


@numba.njit
def _scaled_sums_vjp(g, x, index, scale):
    dx, dscale = np.zeros_like(x), 0.0
    for i in range(x.shape[0]):
        dx[i, index[i] :] = g[i] * scale
        dscale += g[i] * x[i, index[i] :].sum()
    return dx, index, dscale


scaled_sums = jg.from_njit(_scaled_sums, vjp=_scaled_sums_vjp)
INDEX = jg.tensor([0, 2, 1])


def test_a_function_of_arrays_integers_and_numbers():
    scale = jg.tensor(1.5, dtype=jg.float64, requires_grad=True)
    assert gradcheck(lambda x, s: scaled_sums(x, INDEX, s), (doubles(3, 4), scale))
    assert gradcheck(lambda x, s: scaled_sums(x.t(), INDEX, s) ** 2, (doubles(4, 3), scale))


@pytest.mark.parametrize("sweep", SWEEPS)
def test_a_function_of_arrays_under_jit(sweep):
    x, s = doubles(3, 4).detach(), jg.tensor(2.0, dtype=jg.float64)
    f = jg.value_and_grad(lambda x, s: (scaled_sums(jg.exp(x), INDEX, s) ** 2).sum(), argnums=(0, 1))
    want = f(x, s)
    with jg.sweep(sweep):
        value, slopes = jg.jit(f)(x, s)
    for a, b in zip((value, *slopes), _flat(want)):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12)


@jg.from_njit
@numba.njit
def norm(x):
    return np.sqrt((x * x).sum())


def test_numbers_as_results_keep_their_dtype():
    assert norm(jg.tensor([3.0, 4.0])).item() == 5.0
    assert norm(jg.tensor([3.0, 4.0])).dtype is jg.float32
    assert jg.jit(norm)(jg.tensor([3.0, 4.0], dtype=jg.float64)).dtype is jg.float64


def test_what_from_njit_refuses():
    x = doubles(3)
    with pytest.raises(jg.errors.HoleError, match="norm was wrapped by from_njit without a vjp"):
        norm(x).backward()
    with pytest.raises(TypeError, match=r"vjp takes a function made by numba\.njit"):
        jg.from_njit(_scaled_sums, vjp=lambda g, x, i, s: x)
    with pytest.raises(jg.errors.NotCompilableError, match="norm -> f32"):
        jg.jit(norm).compile(jg.ones(3))
    with pytest.raises(RuntimeError, match=r"returned a cotangent of shape \(1,\) for an argument of shape \(3,\)"):
        jg.from_njit(numba.njit(lambda x: x * 2), vjp=numba.njit(lambda g, x: g[:1]))(x).sum().backward()
    with pytest.raises(TypeError, match="must return 2 cotangents"):
        jg.from_njit(numba.njit(lambda x, y: x * y), vjp=numba.njit(lambda g, x, y: g))(x, x).sum().backward()
    (slope,) = jg.autograd.grad(scaled_sums(doubles(3, 4), INDEX, x[0]).sum(), x, create_graph=True)
    with pytest.raises(jg.errors.HoleError, match="vjp_of__scaled_sums has no derivative"):
        slope.sum().backward()


def test_the_source_calls_the_function_by_its_name():
    @numba.njit
    def bump(x):
        return math.exp(-x * x)

    operation = jg.elementwise(bump)
    f, x = jg.jit(lambda x: (operation(x) * 2).sum()), jg.tensor([0.5, 1.0])
    text = f.source(x)
    assert "bump(float64(" in text
    names = {name: getattr(numba, name) for name in ("njit", "float32", "float64")} | {"np": np, "bump": bump}
    exec(text, names)
    (found,) = names["lambda_0"](x.numpy())
    assert found == pytest.approx(f(x).item(), rel=1e-6)


def test_a_derivative_may_be_a_lambda():
    two = jg.elementwise(numba.njit(lambda x, y: x * y), derivative=numba.njit(lambda x, y: (y, x)))
    assert jg.grad(lambda x: two(x, x * 3).sum())(jg.tensor([1.0, 2.0])).tolist() == [6.0, 12.0]


def test_a_division_by_zero_is_that_of_numpy():
    inverse = jg.elementwise(numba.njit(lambda x: 1 / x))
    f = jg.value_and_grad(lambda x: inverse(x).sum())
    x = jg.tensor([0.0, 1.0])
    for found in (f(x), jg.jit(f)(x)):
        assert [found[0].tolist(), found[1].tolist()] == [np.inf, [-np.inf, -1.0]]


def test_a_result_of_another_shape_than_recorded_is_an_error():
    positive = jg.from_njit(numba.njit(lambda x: x[x > 0]))
    for name in SWEEPS:
        f = jg.jit(lambda x: positive(x) * 2)
        with jg.sweep(name):
            assert f(jg.ones(5)).tolist() == [2.0] * 5
            with pytest.raises(RuntimeError, match=r"shape \[0\] of float32, and \[5\]"):
                f(-jg.ones(5))


def test_functions_of_arrays_neither_share_nor_change_what_they_are_given():
    @numba.njit
    def back(g, x):
        found = np.zeros_like(x)
        found[1:] = g
        return found

    @jg.from_njit(vjp=back)
    @numba.njit
    def tail(x):
        return x[1:]

    @jg.from_njit(vjp=numba.njit(lambda g, x: 2 * g))
    @numba.njit
    def writes(x):
        x[0] = 99.0
        return 2 * x

    x = jg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    h = x * 1
    z = (h * h).sum()
    tail(h).detach().mul_(100)
    writes(h.detach())
    z.backward()
    assert x.grad.tolist() == [2.0, 4.0, 6.0]


def test_a_vjp_that_writes_into_its_cotangent_changes_no_other_gradient():
    @numba.njit
    def back(g, x):
        g *= 2
        return g

    double = jg.from_njit(numba.njit(lambda x: 2 * x), vjp=back)
    g = jg.grad(lambda a, b: ((double(a) + b) * jg.tensor([1.0, 3.0])).sum(), argnums=(0, 1))
    for f in (g, jg.jit(g)):
        assert [x.tolist() for x in f(jg.ones(2), jg.ones(2))] == [[2.0, 6.0], [1.0, 3.0]]


@numba.njit
def cholesky_back(g, a):
    factor = np.linalg.cholesky(a)
    inner = factor.T @ g
    for i in range(a.shape[0]):
        inner[i, i] *= 0.5
        inner[i, i + 1 :] = 0.0
    inverse = np.linalg.inv(factor)
    found = inverse.T @ inner @ inverse
    return 0.5 * (found + found.T)


def cholesky(**options):
    return jg.from_njit(vjp=cholesky_back, **options)(numba.njit(lambda a: np.linalg.cholesky(a)))


def positive_matrices(*many):
    b = np.random.default_rng(0).normal(size=(*many, 3, 3))
    return b @ b.swapaxes(-1, -2) + 3 * np.eye(3)


@pytest.mark.parametrize("options", [{}, {"shape": lambda a: a}])
def test_functions_that_fail_on_ones_under_every_transform(options):
    def f(a):
        return (factor(a) ** 3).sum()

    a, many = positive_matrices(), positive_matrices(2, 3)
    factor = cholesky(**options)
    slope = np.asarray(jg.grad(f)(a))
    assert gradcheck(lambda a: (cholesky(**options)((a + a.T) / 2) ** 3).sum(), (jg.tensor(a, requires_grad=True),))
    for name in SWEEPS:
        factor = cholesky(**options)  # of which nothing is known yet
        with jg.sweep(name):
            np.testing.assert_allclose(float(jg.jit(f)(a)), (np.linalg.cholesky(a) ** 3).sum())
            np.testing.assert_allclose(np.asarray(jg.jit(jg.grad(f))(a)), slope)
    for transform in (lambda f: f, jg.jit, jg.jit(guard=True)):
        for g, want in ((f, (np.linalg.cholesky(many) ** 3).sum((-1, -2))), (jg.grad(f), None)):
            factor = cholesky(**options)
            found = np.asarray(transform(jg.vmap(jg.vmap(g)))(many))
            each = want if want is not None else [[np.asarray(jg.grad(f)(a)) for a in some] for some in many]
            np.testing.assert_allclose(found, each)
    factor = cholesky(**options)
    np.testing.assert_allclose(np.asarray(jg.jit(jg.jacrev(factor))(a)), np.asarray(jg.jacrev(factor)(a)))


def test_functions_that_fail_on_ones_in_loops_and_branches():
    a = positive_matrices(4)
    want = np.linalg.cholesky(a).sum()

    def by_scan(a):
        factor = cholesky()
        return jg.scan(lambda s, m: (s + factor(m).sum(), None), jg.zeros((), dtype=jg.float64), a)[0]

    def by_branch(m):
        factor = cholesky()
        return jg.cond(m.sum() > -100, lambda m: factor(m).sum(), lambda m: m.sum(), m)

    np.testing.assert_allclose(float(jg.jit(by_scan)(a)), want)
    np.testing.assert_allclose(float(jg.jit(jg.vmap(by_branch))(a).sum()), want)
    factor = cholesky()
    shrunk = jg.jit(lambda m: jg.fori_loop(0, 2, lambda i, x: factor(x) @ factor(x).T, m))(a[0])
    np.testing.assert_allclose(np.asarray(shrunk), a[0])


def test_inputs_that_the_examples_share():
    product = jg.from_njit(vjp=numba.njit(lambda g, a, b: (np.outer(g, b), a.T @ g)))(numba.njit(lambda a, b: a @ b))
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(4, 3, 2)), rng.normal(size=(5, 2))

    def nested(f):
        return jg.vmap(jg.vmap(f, (None, 0)), (0, None))

    for wrap in (lambda f: f, jg.jit):
        for k in (0, 1):
            both = []
            for f in (product, lambda a, b: a @ b):
                square = lambda a, b, f=f: f(a, b).sum() ** 2
                outer = jg.grad(lambda a, b, square=square: nested(square)(a, b).sum(), k)
                both.append([np.asarray(wrap(g)(a, b)) for g in (nested(jg.grad(square, k)), outer)])
            for found, want in zip(*both):
                np.testing.assert_allclose(found, want)
    assert jg.vmap(product, (None, 0))(a[0], b[:0]).shape == (0, 3)


def test_what_is_not_known_of_a_result_is_asked_for():
    with pytest.raises(np.linalg.LinAlgError) as caught:
        jg.jit(cholesky())(-np.eye(3))
    assert "shape=" in caught.value.__notes__[0]
    with pytest.raises(TypeError, match="shape must be a function"):
        cholesky(shape=3)
    with pytest.raises(ValueError, match=r"shape rule.*2 dimensions"):
        jg.jit(cholesky(shape=lambda a: (3,)))(np.eye(3))


def test_a_derivative_is_one_function():
    with pytest.raises(TypeError, match="takes one function as the derivative, not tuple"):
        jg.elementwise(derivative=(abs, abs))(numba.njit(lambda x, y: x * y))
