"""Complex matrices: values against NumPy and SciPy, those that LAPACK does, dtypes, and what is not for them."""

import numpy as np
import pytest
import scipy.linalg

import jitgrad as jg
from jitgrad.errors import HoleError

RNG = np.random.default_rng(11)


def numbers(*shape):
    return RNG.normal(size=shape) + 1j * RNG.normal(size=shape)


A, B, TALL = numbers(2, 3, 3) + 2 * np.eye(3), numbers(2, 3, 2), numbers(4, 3)
H, S = A @ A.conj().swapaxes(-1, -2) + np.eye(3), A + A.swapaxes(-1, -2)
VALUES = {
    "det": (lambda: jg.linalg.det(jg.tensor(A)), np.linalg.det(A)),
    "inv": (lambda: jg.linalg.inv(jg.tensor(A)), np.linalg.inv(A)),
    "inv_ex": (lambda: jg.linalg.inv_ex(jg.tensor(A[0])).inverse, np.linalg.inv(A[0])),
    "solve": (lambda: jg.linalg.solve(jg.tensor(A), jg.tensor(B)), np.linalg.solve(A, B)),
    "solve_triangular": (
        lambda: jg.linalg.solve_triangular(jg.tensor(A[0]), jg.tensor(B[0]), upper=False),
        scipy.linalg.solve_triangular(A[0], B[0], lower=True),
    ),
    "cholesky": (lambda: jg.linalg.cholesky(jg.tensor(H)), np.linalg.cholesky(H)),
    "lu_factor": (lambda: jg.linalg.lu_factor(jg.tensor(A[0])).LU, scipy.linalg.lu_factor(A[0])[0]),
    "eigvalsh": (lambda: jg.linalg.eigvalsh(jg.tensor(H)), np.linalg.eigvalsh(H)),
    "svdvals": (lambda: jg.linalg.svdvals(jg.tensor(TALL)), np.linalg.svd(TALL, compute_uv=False)),
    "pinv": (lambda: jg.linalg.pinv(jg.tensor(TALL)), np.linalg.pinv(TALL)),
    "hermitian pinv": (lambda: jg.linalg.pinv(jg.tensor(H), hermitian=True), np.linalg.inv(H)),
    "matrix_exp": (lambda: jg.linalg.matrix_exp(jg.tensor(A)), scipy.linalg.expm(A)),
    "matrix_power": (lambda: jg.linalg.matrix_power(jg.tensor(A), -3), np.linalg.matrix_power(A, -3)),
    "matrix_rank": (lambda: jg.linalg.matrix_rank(jg.tensor(TALL @ np.diag([1, 1j, 0]))), np.array(2)),
    "hermitian matrix_rank": (lambda: jg.linalg.matrix_rank(jg.tensor(H), hermitian=True), np.array([3, 3])),
    "cond": (lambda: jg.linalg.cond(jg.tensor(A)), np.linalg.cond(A)),
    "cond 1": (lambda: jg.linalg.cond(jg.tensor(A), 1), np.linalg.cond(A, 1)),
    "vector_norm": (lambda: jg.linalg.vector_norm(jg.tensor(TALL), 3, dim=1), np.linalg.norm(TALL, 3, axis=1)),
    "matrix_norm": (lambda: jg.linalg.matrix_norm(jg.tensor(TALL), "nuc"), np.linalg.norm(TALL, "nuc")),
    "lstsq": (lambda: jg.linalg.lstsq(jg.tensor(TALL), jg.tensor(TALL[:, :1] * 1j)).solution, np.array([[1j], [0], [0]])),
    "ormqr": (
        lambda: jg.ormqr(*map(jg.tensor, (*scipy.linalg.lapack.zgeqrf(TALL)[:2], np.eye(4) + 0j)), transpose=True),
        scipy.linalg.qr(TALL)[0].conj().T,
    ),
    "geqrf": (lambda: jg.geqrf(jg.tensor(TALL))[0], scipy.linalg.lapack.zgeqrf(TALL)[0]),
    "ldl_factor": (
        lambda: jg.linalg.ldl_factor(jg.tensor(H), hermitian=True).LD[0],
        np.tril(scipy.linalg.lapack.zhetrf(H[0], lower=1)[0]),
    ),
    "ldl_solve": (
        lambda: jg.linalg.ldl_solve(*jg.linalg.ldl_factor(jg.tensor(S)), jg.tensor(B)),
        np.linalg.solve(S, B),
    ),
    "hermitian ldl_solve": (
        lambda: jg.linalg.ldl_solve(*jg.linalg.ldl_factor(jg.tensor(H), hermitian=True), jg.tensor(B), hermitian=True),
        np.linalg.solve(H, B),
    ),
    "logdet": (lambda: jg.logdet(jg.tensor(A)).exp(), np.linalg.det(A)),
    "np.linalg.slogdet": (lambda: np.linalg.slogdet(jg.tensor(A)).sign, np.linalg.slogdet(A).sign),
    "np.linalg.norm": (lambda: np.linalg.norm(jg.tensor(TALL), 2), np.linalg.norm(TALL, 2)),
    "np.linalg.pinv": (lambda: np.linalg.pinv(jg.tensor(TALL)), np.linalg.pinv(TALL)),
    "singular": (lambda: jg.linalg.det(jg.tensor(np.outer(TALL[0], TALL[1]))), np.array(0j)),
}


@pytest.mark.parametrize("name", VALUES)
def test_values(name):
    call, want = VALUES[name]
    found = call()
    assert found.numpy().dtype == want.dtype
    np.testing.assert_allclose(found.numpy(), want, rtol=1e-9, atol=1e-11)


BIG = numbers(52, 52) / 8 + 3 * np.eye(52)
LARGE = {
    "solve_triangular": lambda x: jg.linalg.solve_triangular(x, x.mT, upper=True),
    "transposed": lambda x: jg.linalg.solve_triangular(x.mT, x, upper=False, unitriangular=True) / 1e6,
    "cholesky": lambda x: jg.linalg.cholesky(x @ x.mH),
    "cholesky_solve": lambda x: jg.cholesky_solve(x, jg.linalg.cholesky(x @ x.mH)),
    "upper cholesky_solve": lambda x: jg.cholesky_solve(x, jg.linalg.cholesky(x @ x.mH, upper=True), upper=True),
    "det": lambda x: jg.linalg.det(x / 3),
}


@pytest.mark.parametrize("name", LARGE)
def test_large_matrices_have_the_derivatives_that_differences_have(name):
    """Those beyond the size up to which NumPy does them."""
    x, t = jg.tensor(BIG), jg.tensor(numbers(52, 52))
    f = lambda x: (lambda y: (y * y.conj()).real.sum() + (y * 1j).real.sum())(LARGE[name](x))
    g, step = jg.grad(f)(x), 1e-6
    along = ((f(x + step * t) - f(x - step * t)) / (2 * step)).item()
    assert (g.conj() * t).real.sum().item() == pytest.approx(along, rel=1e-5)


def test_the_derivative_of_a_singular_determinant():
    x = jg.tensor(np.outer(A[0, 0], A[0, 1]))
    want = np.array(
        [[(-1) ** (i + j) * np.linalg.det(np.delete(np.delete(x.numpy(), i, 0), j, 1)) for j in range(3)] for i in range(3)]
    )
    found = jg.grad(lambda x: jg.linalg.det(x).real)(x)
    np.testing.assert_allclose(found.numpy(), want.conj(), atol=1e-12)


def test_single_precision_stays():
    x = jg.tensor(A[0], dtype=jg.complex64)
    sign, size = jg.linalg.slogdet(x)
    assert (sign.dtype, size.dtype) == (jg.complex64, jg.float32)
    for call in (jg.linalg.inv, jg.linalg.matrix_exp, jg.linalg.pinv, lambda x: jg.cumprod(x, 0), jg.cov, jg.linalg.vander):
        assert call(x).dtype == jg.complex64
        assert jg.grad(lambda x, call=call: call(x).abs().sum())(x).dtype == jg.complex64
    for call in (
        jg.linalg.svdvals,
        jg.linalg.cond,
        jg.linalg.norm,
        lambda x: jg.linalg.lstsq(x, x, driver="gelsd").singular_values,
    ):
        assert call(x).dtype == jg.float32
    assert jg.linalg.cond(jg.zeros(2, 0, 0, dtype=jg.complex64)).dtype == jg.float32


def test_nothing_loses_an_imaginary_part():
    i = jg.tensor([1j, 2.0])
    for call in (
        lambda: np.bincount(jg.tensor([0, 1]), weights=i),
        lambda: jg.bincount(jg.tensor([0, 1]), weights=i),
        lambda: np.concatenate([i], dtype=np.float32, casting="same_kind"),
        lambda: jg.jit(lambda x: np.cov(x, dtype=np.float32))(i),
    ):
        with pytest.raises(TypeError, match="complex"):
            call()
    assert i.to(jg.float64).tolist() == [0.0, 2.0]  # which says so
    assert jg.grad(lambda x: (x.to(jg.complex64) * i).real.sum())(jg.ones(2)).tolist() == [0.0, 2.0]


def test_parts_that_are_no_finite_numbers():
    nan, inf = np.nan, np.inf
    given = np.array([complex(nan, inf), complex(-inf, 2), 1 + 1j])
    np.testing.assert_array_equal(np.nan_to_num(jg.tensor(given)).numpy(), np.nan_to_num(given))
    x = jg.tensor(given)
    assert x.nan_to_num(3.0, 4.0, 5.0).tolist() == [3 + 4j, 5 + 2j, 1 + 1j]
    assert jg.grad(lambda x: (x.nan_to_num() * (1 - 1j)).real.sum())(x).tolist() == [0, 1j, 1 + 1j]


@pytest.mark.parametrize(
    "call",
    [
        np.cov,
        np.corrcoef,
        lambda x: np.cov(x, aweights=np.array([1.0, 2.0, 3.0])),
        lambda x: np.vander(x[0], 4),
        lambda x: np.float_power(x, 1.5 - 1j),
        lambda x: np.vdot(x, x * 1j),
        lambda x: np.linalg.vecdot(x, x * 1j),
        lambda x: np.clip(x, 0.2, None),
        lambda x: np.cumprod(x, 1),
    ],
)
def test_functions_of_numpy_s_keep_both_parts(call):
    found, want = call(jg.tensor(TALL)), call(TALL)
    assert found.numpy().dtype == want.dtype
    np.testing.assert_allclose(found.numpy(), want, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("hermitian", [False, True])
def test_solutions_by_ldl_factors_are_differentiable(hermitian):
    x, y = jg.tensor(H if hermitian else S), jg.tensor(B)
    factors = jg.linalg.ldl_factor(x, hermitian=hermitian)
    loss = lambda y: jg.linalg.ldl_solve(*factors, y, hermitian=hermitian).abs().sum()
    want = jg.grad(lambda y: jg.linalg.solve(x, y).abs().sum())(y)
    for run in (lambda g: g, jg.jit):
        np.testing.assert_allclose(run(jg.grad(loss))(y).numpy(), want.numpy(), rtol=1e-10, atol=1e-12)
    with pytest.raises(HoleError, match=r"take linalg\.qr"):
        jg.grad(lambda x: jg.geqrf(x)[0].abs().sum())(x[0])
