"""Matrices that are singular, empty, complex, integers or not finite: what there is of them, and which errors."""

import numpy as np
import pytest

import jitgrad as jg
import jitgrad.nn.functional as F


@pytest.mark.parametrize("f", ["eigh", "eigvalsh", "svd", "svdvals", "eig", "eigvals", "pinv", "matrix_rank", "cond"])
def test_what_does_not_converge_is_an_error_of_ours(f):
    f, x = getattr(jg.linalg, f), jg.full((3, 3), np.nan)
    for run in (f, jg.jit(f), jg.vmap(f)):
        with pytest.raises(jg.errors.LinAlgError, match="nan or infinite") as caught:
            run(jg.stack([x, x]))
        assert isinstance(caught.value, RuntimeError)


def test_gradients_of_singular_factors_are_nan():
    for f in (jg.grad, lambda g: jg.jit(jg.grad(g))):
        assert np.isnan(f(lambda x: jg.linalg.qr(x)[1].sum())(jg.zeros(3, 3)).numpy()).all()


def test_factors_of_singular_matrices():
    with pytest.raises(RuntimeError, match="pivot 1"):
        jg.linalg.lu_factor(jg.zeros(2, 2))
    with pytest.raises(RuntimeError, match="pivot 2"):
        jg.jit(jg.linalg.lu_factor)(jg.tensor([[1.0, 2.0], [2.0, 4.0]]))
    assert jg.linalg.lu_factor_ex(jg.zeros(2, 2)).info.item() == 1


@pytest.mark.parametrize("shape", [(0, 3), (0, 3, 3), (3, 0)])
def test_factors_of_nothing_without_pivots(shape):
    P, L, U = jg.linalg.lu(jg.ones(*shape), pivot=False)
    k = min(shape[-2:])
    assert (P.shape, L.shape, U.shape) == ((0,), (*shape[:-1], k), (*shape[:-2], k, shape[-1]))
    with pytest.raises(RuntimeError, match="pivot"):
        jg.linalg.lu(jg.ones(2, 2), pivot=False)


@pytest.mark.parametrize("p", [-1, -np.inf, np.inf])
def test_norms_that_no_elements_have(p):
    for f in (jg.norm, jg.linalg.vector_norm, jg.linalg.norm):
        with pytest.raises(RuntimeError, match="no elements"):
            f(jg.ones(3, 0), p, dim=-1)
    assert jg.norm(jg.ones(3, 0), 2, dim=-1).tolist() == [0.0] * 3


def test_residuals_are_real_and_a_number_a_column():
    A = jg.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]])
    for shape in ((3,), (3, 1)):
        assert jg.linalg.lstsq(A, jg.ones(*shape), driver="gelsd").residuals.tolist() == pytest.approx([0.2857143])
    assert jg.linalg.lstsq(jg.stack([A, A]), jg.ones(2, 3), driver="gelsd").residuals.shape == (2, 1)
    found = jg.linalg.lstsq(jg.ones(2, 3, dtype=jg.complex64), jg.ones(2, 1, dtype=jg.complex64)).residuals
    assert (found.shape, found.dtype) == ((0,), jg.float32)


def test_types_of_errors():
    for f in (jg.linalg.eigh, jg.linalg.lu, jg.linalg.lu_factor, jg.linalg.eigvalsh):
        with pytest.raises(NotImplementedError, match="floating"):  # which is a RuntimeError
            f(jg.ones(2, 2, dtype=jg.int64))
    with pytest.raises(RuntimeError, match="foo"):
        jg.linalg.matrix_norm(jg.ones(2, 3), "foo")
    with pytest.raises(RuntimeError, match="classes"):
        F.nll_loss(jg.ones(2, 3), jg.ones(2, 3, dtype=jg.int64))
    with pytest.raises(ValueError, match="classes"):
        F.nll_loss(jg.ones(2, 3), jg.ones(3, dtype=jg.int64))


def test_complex_numbers_that_are_close():
    x, y = jg.tensor([1 + 1j, 2.0, complex(np.nan, 1), complex(np.inf, 1)]), jg.tensor([1 + 1j, 3.0, np.nan, complex(np.inf, 1)])
    for f in (jg.isclose, jg.jit(jg.isclose)):
        assert f(x, y).tolist() == [True, False, False, True]
        assert f(x, y, equal_nan=True).tolist() == [True, False, True, True]
    assert jg.allclose(jg.tensor([1j]), 1j)
    assert not jg.allclose(jg.tensor([1j, 1.0]), 1.0)


@pytest.mark.parametrize("dtype", [jg.float32, jg.complex64])
def test_logsumexp_of_nothing(dtype):
    for f in (lambda g: g, jg.jit):
        assert f(lambda x: jg.logsumexp(x, 1))(jg.zeros(2, 0, dtype=dtype)).tolist() == [-np.inf] * 2
        assert f(lambda x: jg.logsumexp(x, 0))(jg.zeros(2, 0, dtype=dtype)).shape == (0,)


def test_circular_borders_of_no_channels():
    assert F.pad(jg.ones(2, 0, 5), (1, 1), mode="circular").shape == (2, 0, 7)
    for shape, mode in (((2, 3, 0), "circular"), ((2, 0, 5), "reflect")):
        with pytest.raises(RuntimeError, match=r"empty|leaves"):
            F.pad(jg.ones(*shape), (1, 1), mode=mode)


def test_the_largest_singular_values():
    x = np.random.default_rng(0).normal(size=(2, 7, 4))
    A, m = jg.tensor(x), x.mean(-2, keepdims=True)
    for q in (2, None):
        for found, y in ((jg.svd_lowrank(A, q), x), (jg.svd_lowrank(A, q, M=jg.tensor(m)), x - m), (jg.pca_lowrank(A, q), x - m)):
            U, S, V = (v.numpy() for v in found)
            k = q or 4
            assert (U.shape, S.shape, V.shape) == ((2, 7, k), (2, k), (2, 4, k))
            u, s, vh = np.linalg.svd(y, full_matrices=False)
            np.testing.assert_allclose(S, s[:, :k])
            np.testing.assert_allclose((U * S[:, None]) @ V.swapaxes(-1, -2), (u * s[:, None])[..., :k] @ vh[:, :k])
    assert jg.pca_lowrank(A, 0)[1].shape == (2, 0)
    with pytest.raises(ValueError, match="q must be from 0 to 4"):
        jg.pca_lowrank(A, 5)
    with pytest.raises(RuntimeError, match="negative"):
        jg.svd_lowrank(A, -1)
    assert jg.testing.gradcheck(lambda a: jg.pca_lowrank(a, 2)[1], (A.requires_grad_(),))


@pytest.mark.parametrize("dtype", [jg.float64, jg.complex128])
def test_residuals_that_are_not_there_are_differentiable_all_the_same(dtype):
    found = jg.linalg.lstsq(jg.eye(3, dtype=dtype, requires_grad=True), jg.ones(3, 2, dtype=dtype))
    assert found.residuals.requires_grad
    assert found.residuals.dtype is jg.float64
    assert tuple(found.residuals.shape) == (0,)
