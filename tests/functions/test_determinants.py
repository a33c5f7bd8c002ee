"""Determinants and their derivatives where products of pivots or singular values are too large or too small on the way."""

import numpy as np
import pytest

import jitgrad as jg


def derivatives(x):
    """In every sweep."""
    g = jg.grad(jg.linalg.det)
    yield g(jg.tensor(x)).numpy()
    yield jg.jit(g)(jg.tensor(x)).numpy()
    if len(x) < 12:
        yield np.asarray(g.compile(x)(x))
        yield jg.vmap(g)(jg.tensor(np.stack([x, x])))[1].numpy()


@pytest.mark.parametrize(
    ("diagonal", "dtype"),
    [
        ([1e3, 1e-3] * 16, np.float32),
        ([1e5, 1e-5] * 8, np.float32),
        ([1e8, 1e-8] * 5, np.float32),
        ([1e8] * 5 + [1e-8] * 5, np.float32),
        ([1e200, 1e-200] * 8, np.float64),
        ([1e-200] * 3 + [1e200] * 3, np.float64),
        ([1e300, -1e300, 1e-300, 1e-300], np.float64),
        ([1e300, 1e-300] * 4, np.float64),
        ([3e-160, 2.0, 1e-150], np.float64),
        ([1e150, 1e100, 1e30], np.float64),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_products_of_any_order(diagonal, dtype, turned):
    d = np.array(diagonal, dtype)
    order = np.roll(np.arange(len(d)), 1) if turned else np.arange(len(d))
    sign = (-1) ** (len(d) - 1) if turned else 1
    logs, signs = np.log10(abs(d.astype(np.longdouble))), np.prod(np.sign(d)) * sign
    with np.errstate(over="ignore"):
        each = (signs * np.sign(d) * 10 ** (logs.sum() - logs)).astype(dtype)
    x, expected = np.diag(d)[order], np.diag(each)[order]
    for found in derivatives(x):
        np.testing.assert_allclose(found, expected, rtol=1e-4 if dtype == np.float32 else 1e-9)


def test_determinant_itself():
    x = np.diag([1e200, 1e200, 1e-200, 1e-200, 3.0])
    for found in (jg.linalg.det(jg.tensor(x)), jg.jit(jg.linalg.det)(jg.tensor(x)), jg.jit(jg.linalg.det).compile(x)(x)):
        np.testing.assert_allclose(float(found), 3.0, rtol=1e-12)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("n", [3, 20])
def test_of_what_is_not_finite_nothing_is_known(value, n):
    x = np.eye(n)
    x[1, 2] = value
    for found in derivatives(x):
        assert np.isnan(found).all()
    both = jg.vmap(jg.grad(jg.linalg.det))(jg.tensor(np.stack([np.eye(n), x]))).numpy()
    np.testing.assert_allclose(both[0], np.eye(n), atol=1e-12)
    assert np.isnan(both[1]).all()


def test_second_derivatives_of_wide_ranges():
    d = np.array([1e120, 1e-120] * 3 + [1e-3, 1e3])
    h = jg.hessian(jg.linalg.det)(jg.tensor(np.diag(d))).numpy()
    for i, j in ((0, 1), (0, 2), (1, 3), (6, 7)):
        np.testing.assert_allclose(h[i, i, j, j] * d[i] * d[j], 1.0, rtol=1e-9)
        np.testing.assert_allclose(h[i, j, j, i] * d[i] * d[j], -1.0, rtol=1e-9)


@pytest.mark.parametrize("n", [2, 5, 17])
def test_nan_of_a_matrix_is_everywhere(n):
    for place in ((0, 0), (n - 1, n - 1), (0, n - 1), (n - 1, 0), (n // 2, 0)):
        x, b = np.eye(n), np.ones(n)
        x[place] = np.nan
        for f, given in ((jg.linalg.solve, (x, b)), (jg.linalg.inv, (x,))):
            given = [jg.tensor(v) for v in given]
            assert np.isnan(f(*given).numpy()).all()
            assert np.isnan(jg.jit(f)(*given).numpy()).all()
            assert np.isnan(np.asarray(jg.jit(f).compile(*given)(*[v.numpy() for v in given]))).all()
    two = jg.linalg.inv(jg.tensor(np.stack([np.eye(n), x]))).numpy()
    np.testing.assert_array_equal(two[0], np.eye(n))
    assert np.isnan(two[1]).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (4, 2), (5, 5)])
def test_factors_of_what_is_not_finite(value, shape):
    rng = np.random.default_rng(0)
    for k in range(12):
        x = np.where(rng.random(shape) < (0.2, 1)[k == 0], value, rng.integers(-1, 3, shape))
        x = jg.tensor(x)
        eager, compiled = jg.linalg.lu_factor_ex(x), jg.jit(jg.linalg.lu_factor_ex)(x)
        for a, b in zip(eager, compiled):
            np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize("n", [2, 3, 5])
def test_hessian_compiled(n):
    rng = np.random.default_rng(n)
    for x in (np.eye(n), rng.normal(size=(n, n)), np.outer(np.arange(1, n + 1.0), np.ones(n)), np.zeros((n, n))):
        f = jg.hessian(jg.linalg.det)
        eager = f(jg.tensor(x)).numpy()
        cofactor = lambda i, j, y: (-1.0) ** (i + j) * np.linalg.det(np.delete(np.delete(y, i, 0), j, 1))
        expected = np.zeros((n,) * 4)
        for i, j, k, m in np.ndindex(n, n, n, n):
            if i != k and j != m:
                less, row, column = np.delete(np.delete(x, i, 0), j, 1), k - (k > i), m - (m > j)
                expected[i, j, k, m] = (-1.0) ** (i + j) * (cofactor(row, column, less) if n > 2 else 1.0)
        np.testing.assert_allclose(eager, expected, atol=1e-12)
        np.testing.assert_allclose(jg.jit(f)(jg.tensor(x)).numpy(), expected, atol=1e-12)
        np.testing.assert_allclose(np.asarray(f.compile(x)(x)), expected, atol=1e-12)


def test_third_derivatives():
    """Of a determinant of 3 by 3, by the signs of permutations, also where singular values are equal."""
    signs = np.zeros((3, 3, 3))
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        signs[i, j, k], signs[i, k, j] = 1.0, -1.0
    expected = np.einsum("ikm,jln->ijklmn", signs, signs)
    for x in (np.eye(3), np.arange(9.0).reshape(3, 3) ** 2):
        f = jg.jacfwd(jg.hessian(jg.linalg.det))
        np.testing.assert_allclose(f(jg.tensor(x)).numpy(), expected, atol=1e-12)
        np.testing.assert_allclose(jg.jacrev(jg.hessian(jg.linalg.det))(jg.tensor(x)).numpy(), expected, atol=1e-12)
    more = jg.tensor(np.random.default_rng(0).normal(size=(2, 4, 4)), requires_grad=True)
    along = more.detach() ** 2
    third = lambda x: jg.jvp(jg.jacrev(lambda z: jg.linalg.det(z).sum()), (x,), (along,))[1]
    assert jg.testing.gradcheck(third, (more,))
    assert jg.testing.gradgradcheck(third, (more,))
