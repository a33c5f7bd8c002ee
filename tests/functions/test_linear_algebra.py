"""Linear algebra: against NumPy and SciPy, in every way of running, at its edges, and with wrong arguments."""

from __future__ import annotations

import functools
import math
import pickle

import numpy as np
import pytest
import scipy.linalg

import jitgrad as jg
from jitgrad.errors import LinAlgError
from tests.helpers.whole import whole

rng = np.random.default_rng(0)
SQUARE = rng.standard_normal((2, 3, 3)) + 3 * np.eye(3)
TALL, WIDE, TWO = rng.standard_normal((4, 3)), rng.standard_normal((2, 4)), rng.standard_normal((3, 2))
POSITIVE = SQUARE @ SQUARE.swapaxes(-1, -2)
SINGULAR = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 0.0, 1.0]])
linalg = jg.linalg


def tensor(x):
    return jg.tensor(np.asarray(x))


def near(got, want, tol=1e-10):
    np.testing.assert_allclose(got.detach().numpy() if isinstance(got, jg.Tensor) else got, want, rtol=tol, atol=tol)


def symmetric(f):
    return lambda x, *more: f((x + x.mT) / 2, *more)


def lower(x):
    return jg.where(jg.tensor(np.tril(np.ones((3, 3), bool))), x, 0.0)


def test_solvers_are_whole():
    whole(
        {
            "det": (linalg.det, [SQUARE]),
            "logdet": (jg.logdet, [POSITIVE]),
            "inv": (linalg.inv, [SQUARE]),
            "inv_ex": (lambda a: linalg.inv_ex(a).inverse, [SQUARE]),
            "solve": (linalg.solve, [SQUARE, TWO]),
            "solve vectors": (linalg.solve, [SQUARE, SQUARE[:, 0]]),
            "solve right": (lambda a, b: linalg.solve(a, b, left=False), [SQUARE, TALL]),
            "triangular": (lambda a, b: linalg.solve_triangular(a, b, upper=True), [SQUARE, TWO]),
            "unitriangular": (
                lambda a, b: linalg.solve_triangular(a, b, upper=False, left=False, unitriangular=True),
                [SQUARE, TWO.T],
            ),
            "cholesky_solve": (lambda a, b: jg.cholesky_solve(b, lower(a)), [SQUARE, TWO]),
            "cholesky_inverse": (lambda a: jg.cholesky_inverse(lower(a)), [SQUARE]),
            "lstsq": (lambda a, b: linalg.lstsq(a, b, driver="gels")[:2], [TALL, TALL[:, :2] + 1]),
            "pinv": (linalg.pinv, [WIDE]),
            "tensorsolve": (lambda a, b: linalg.tensorsolve(a.reshape(3, 3), b), [SQUARE[0], TWO[:, 0]]),
        }
    )


def test_factors_are_whole():
    whole(
        {
            "cholesky": (symmetric(lambda a: linalg.cholesky(a, upper=True)), [POSITIVE]),
            "lu": (lambda a: linalg.lu(a)[1:], [SQUARE]),
            "lu, tall": (lambda a: linalg.lu(a)[1:], [TALL]),
            "lu, wide": (lambda a: linalg.lu(a)[1:], [WIDE]),
            "lu_solve": (lambda a, b: linalg.lu_solve(*linalg.lu_factor(a), b, adjoint=True), [SQUARE, SQUARE]),
            "qr": (lambda a: jg.qr(a), [WIDE]),
            "svdvals": (linalg.svdvals, [TALL]),
            "eigvalsh": (symmetric(linalg.eigvalsh), [POSITIVE]),
            "householder_product": (linalg.householder_product, [TALL, TALL[0]]),
            "ormqr": (lambda a, s, c: jg.ormqr(a, s, c, left=False, transpose=True), [TALL, TALL[0, :2], WIDE]),
        }
    )


def test_norms_and_functions_of_matrices_are_whole():
    orders = ["fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf]
    whole(
        {f"matrix_norm {p}": (functools.partial(linalg.matrix_norm, ord=p, dim=(1, 0)), [TALL]) for p in orders}
        | {f"cond {p}": (functools.partial(linalg.cond, p=p), [SQUARE]) for p in (None, -2, 1, "fro")}
        | {
            "vector_norm": (lambda x: linalg.vector_norm(x, 3, dim=-1, keepdim=True), [TALL]),
            "matrix_exp": (linalg.matrix_exp, [SQUARE / 4]),
            "matrix_power": (lambda a: linalg.matrix_power(a, -3), [SQUARE]),
            "multi_dot": (lambda a, b, c: linalg.multi_dot([a, b, c]), [TALL[0], TWO, WIDE[:, 0]]),
            "vander": (lambda x: linalg.vander(x, N=4), [TWO]),
            "diagonal": (lambda x: linalg.diagonal(x, offset=1), [SQUARE]),
        }
    )


def test_products_are_whole():
    whole(
        {
            "addmm": (lambda x, a, b: jg.addmm(x, a, b, beta=0.5, alpha=-2), [TWO[0], TALL, TWO]),
            "addmv": (jg.addmv, [TALL[:, 0], TALL, TWO[:, 0]]),
            "addr": (lambda x, a, b: x.addr(a, b, alpha=3), [TWO, TWO[:, 0], TWO[0]]),
            "addbmm": (lambda x, a, b: jg.addbmm(x, a, b, beta=2), [SQUARE[0], SQUARE, POSITIVE]),
            "baddbmm": (lambda x, a, b: jg.baddbmm(x, a, b, alpha=2), [SQUARE[0], SQUARE, POSITIVE]),
            "tensordot": (lambda a, b: jg.tensordot(a, b, ([0, 2], [1, 0])), [SQUARE, TWO]),
            "kron": (jg.kron, [TWO, SQUARE]),
            "cross": (jg.cross, [TWO, TWO[::-1].copy()]),
            "inner": (jg.inner, [TALL, TWO.T]),
            "cdist": (lambda a, b: jg.cdist(a, b, p=3.0), [SQUARE, TALL]),
            "einsum": (lambda a, b, c: jg.einsum("bij,kj,...k->...ib", a, b, c), [SQUARE, TALL, WIDE]),
            "einsum, diagonal": (lambda a: jg.einsum("...ii->...i", a), [SQUARE]),
        },
    )


EQUATIONS = [
    "ij,jk->ik",
    "ij,jk",
    "ji",
    "ii",
    "iji->j",
    "i,j->ji",
    "ij,ij->",
    "bij,bjk->bik",
    "ab,bc,cd->da",
    "aab,bcc,ac->ab",
    "...ij,...jk->...ik",
    "i...,...->...i",
    "...,j",
    " i j , k ",
    "bij,k,j->",
    "Zz,zA->AZ",
]


@pytest.mark.parametrize("equation", EQUATIONS)
def test_einsum_is_numpys(equation):
    letters = sorted(set(equation) - set(" ,->."))
    sizes = dict(zip(letters, (3, 2, 4, 3, 2)))
    terms = equation.split("->")[0].replace(" ", "").split(",")
    xs = []
    for term in terms:
        shape = []
        for part in term.replace("...", "*"):
            shape += [2, 3] if part == "*" else [sizes[part]]
        xs.append(rng.standard_normal(shape))
    near(jg.einsum(equation, *map(tensor, xs)), np.einsum(equation, *xs))
    near(jg.einsum(equation, [tensor(x) for x in xs]), np.einsum(equation, *xs))


def test_einsum_takes_lists_of_indices_and_broadcasts():
    a, b = rng.standard_normal((2, 3, 4)), rng.standard_normal((4, 1))
    near(jg.einsum(tensor(a), [..., 0, 1], tensor(b), [1, 2], [2, 0, ...]), np.einsum("...ij,jk->ki...", a, b))
    near(jg.einsum("ij,jk->ijk", tensor(a[0]), tensor(b)), a[0][:, :, None] * b)
    near(jg.einsum("ij,kj->ik", tensor(a[0]), tensor(np.ones((5, 1)))), np.repeat(a[0].sum(1)[:, None], 5, 1))
    assert jg.einsum("ij,jk->ik", tensor(np.ones((2, 2), int)), tensor(np.ones((2, 2), int))).dtype is jg.int64
    for wrong, operands in [("ij", 2), ("i2", 1), ("ij->ik", 1), ("ij->ii", 1), ("ijk", 1), ("...ij...", 1)]:
        with pytest.raises(RuntimeError):
            jg.einsum(wrong, *[tensor(TWO)] * operands)


def test_values_are_numpys_and_scipys():
    near(linalg.det(tensor(SQUARE)), np.linalg.det(SQUARE))
    near(tensor(SQUARE).det(), np.linalg.det(SQUARE))
    near(jg.inverse(tensor(SQUARE)), np.linalg.inv(SQUARE))
    near(jg.pinverse(tensor(WIDE)), np.linalg.pinv(WIDE))
    P, L, U = linalg.lu(tensor(TALL))
    near(P @ L @ U, TALL)
    for got, want in zip((P, L, U), scipy.linalg.lu(TALL)):
        near(got, want)
    LU, pivots = linalg.lu_factor(tensor(SQUARE[0]))
    near(pivots.numpy() - 1, scipy.linalg.lu_factor(SQUARE[0])[1])
    near(jg.lu_solve(tensor(TWO), LU, pivots), np.linalg.solve(SQUARE[0], TWO))
    for got, want in zip(jg.lu_unpack(LU, pivots), scipy.linalg.lu(SQUARE[0])):
        near(got, want)
    near(linalg.matrix_exp(tensor(SQUARE)), scipy.linalg.expm(SQUARE))
    solution, residuals, rank, values = linalg.lstsq(tensor(TALL), tensor(TALL[:, :2] + 1), driver="gelsd")
    want = np.linalg.lstsq(TALL, TALL[:, :2] + 1, rcond=None)
    near(solution, want[0])
    near(residuals, want[1])
    assert rank.item() == want[2]
    near(values, want[3])
    near(linalg.tensorinv(tensor(np.eye(6).reshape(2, 3, 6) * 2), ind=2), np.linalg.tensorinv(np.eye(6).reshape(2, 3, 6) * 2))
    for p in (None, "fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf):
        near(linalg.norm(tensor(TALL), p), np.linalg.norm(TALL, p))
    for p in (0, 0.5, 1, 2, 3, math.inf, -math.inf, -2):
        near(linalg.norm(tensor(TALL), p, dim=1), np.linalg.norm(TALL, p, axis=1))
    near(jg.norm(tensor(TALL), "nuc"), np.linalg.norm(TALL, "nuc"))
    near(jg.kron(tensor(TWO), tensor(TALL)), np.kron(TWO, TALL))
    near(linalg.cross(tensor(TALL), tensor(TALL[:1])), np.cross(TALL, TALL[:1]))
    near(linalg.vander(tensor([2.0, 3.0])), np.vander([2.0, 3.0], increasing=True))


def test_householder_reflections_are_those_of_lapack():
    for a in (TALL, SQUARE[0]):
        (h, tau), _ = scipy.linalg.qr(a, mode="raw")
        q = scipy.linalg.qr(a)[0]
        near(linalg.householder_product(tensor(h), tensor(tau)), q[:, : a.shape[1]])
        c = rng.standard_normal((len(a), 2))
        near(jg.ormqr(tensor(h), tensor(tau), tensor(c)), q @ c)
        near(jg.ormqr(tensor(h), tensor(tau), tensor(c), transpose=True), q.T @ c)
        near(jg.ormqr(tensor(h), tensor(tau), tensor(c.T), left=False), c.T @ q)


def test_determinants_of_singular_matrices_have_all_derivatives():
    x = tensor(np.stack([SINGULAR, np.zeros((3, 3)), np.eye(3)])).requires_grad_()
    (g,) = jg.autograd.grad(linalg.det(x).sum(), x, create_graph=True)
    near(g[0], [[4, 4, -4], [-2, -2, 2], [0, 0, 0]])
    near(g[1:], [np.zeros((3, 3)), np.eye(3)])
    (h,) = jg.autograd.grad(g[:, 0, 0].sum(), x)
    near(h[0], [[0, 0, 0], [0, 1, 0], [0, -6, 4]])  # the first minor is x[1, 1] x[2, 2] - x[1, 2] x[2, 1]


def test_singular_matrices_are_errors_and_the_ex_functions_say_where():
    for f in (linalg.inv, lambda a: linalg.solve(a, tensor(TWO)), jg.jit(linalg.inv), lambda a: jg.lu(a)):
        with pytest.raises(LinAlgError):
            f(tensor(SINGULAR))
    with pytest.raises(RuntimeError):  # as PyTorch's
        linalg.cholesky(tensor(-np.eye(2)))
    with pytest.raises(np.linalg.LinAlgError, match="order 2"):
        jg.cholesky(tensor(np.array([[1.0, 2.0], [2.0, 1.0]])))
    both = tensor(np.stack([np.eye(3), SINGULAR]))
    inverse, info = linalg.inv_ex(both)
    assert info.tolist() == [0, 3]
    near(inverse[0], np.eye(3))
    assert linalg.solve_ex(both, tensor(TWO)).info.tolist() == [0, 3]
    assert linalg.cholesky_ex(tensor(np.stack([np.eye(2), [[1.0, 2.0], [2.0, 1.0]]]))).info.tolist() == [0, 2]
    assert linalg.lu_factor_ex(both).info.tolist() == [0, 3]
    near(linalg.cond(both, 1), [1, math.inf])
    assert linalg.matrix_rank(both).tolist() == [3, 2]
    x = linalg.solve_triangular(tensor([[0.0, 1.0], [0.0, 1.0]]), tensor([[1.0], [0.0]]), upper=True)
    assert x.tolist() == [[math.inf], [0.0]]


def test_empty_matrices():
    none = jg.zeros(2, 0, 0, dtype=jg.float64)
    assert linalg.det(none).tolist() == [1, 1]
    assert linalg.slogdet(none).logabsdet.tolist() == [0, 0]
    for f in (linalg.inv, linalg.cholesky, linalg.matrix_exp, linalg.pinv, lambda a: linalg.lu(a).L, lambda a: a.matrix_power(0)):
        assert tuple(f(none).shape) == (2, 0, 0)
    assert tuple(linalg.solve(none, jg.zeros(2, 0, 3, dtype=jg.float64)).shape) == (2, 0, 3)
    assert linalg.cond(none).tolist() == linalg.matrix_rank(none).tolist() == [0, 0]
    assert tuple(linalg.lu_factor(jg.zeros(0, 4, 3)).pivots.shape) == (0, 3)
    assert tuple(jg.einsum("ij,jk->ik", jg.zeros(2, 0), jg.zeros(0, 3)).shape) == (2, 3)
    assert tuple(jg.cdist(jg.zeros(2, 0), jg.zeros(3, 0)).shape) == (2, 3)
    assert linalg.vector_norm(jg.zeros(3, 0)).item() == 0
    with pytest.raises(RuntimeError, match=r"shape \[2\]: b\[:, None\] makes a column"):
        linalg.solve_triangular(jg.eye(2), jg.ones(2), upper=False)
    with pytest.raises(RuntimeError, match="no elements"):
        linalg.vector_norm(jg.zeros(3, 0), math.inf)


def test_nans_of_what_is_not_looked_at_stay_away():
    nan = jg.full((2, 2), math.nan)
    one = jg.ones(2, 2)
    assert jg.addmm(nan, one, one, beta=0).tolist() == [[2, 2], [2, 2]]
    x = tensor(np.tril(np.ones((2, 2))) + np.array([[0, math.nan], [0, 0]]))
    assert linalg.solve_triangular(x, tensor(np.ones((2, 1))), upper=False).tolist() == [[1], [0]]
    y = one.clone()
    assert y.addmm_(one, one) is y
    assert y.tolist() == [[3, 3], [3, 3]]


def test_integers_and_dtypes():
    ints = jg.tensor([[1, 2], [3, 4]])
    assert jg.addmm(ints, ints, ints, beta=2, alpha=3).tolist() == [[23, 34], [51, 74]]
    assert linalg.matrix_power(ints, 3).tolist() == [[37, 54], [81, 118]]
    assert jg.tensordot(ints, ints).item() == 30
    assert linalg.vander(jg.tensor([2, 3])).dtype is jg.int64
    assert linalg.norm(jg.ones(2, 2), dtype=jg.float64).dtype is jg.float64
    assert linalg.det(jg.eye(2)).dtype is jg.float32
    assert linalg.cholesky(jg.eye(2)).dtype is jg.float32
    for f in (linalg.det, linalg.inv, linalg.norm, linalg.svdvals, linalg.matrix_exp, jg.logdet, jg.cholesky):
        with pytest.raises(RuntimeError, match="floating"):
            f(ints)
    with pytest.raises(RuntimeError, match="dtype"):
        linalg.solve(jg.eye(2), jg.eye(2, dtype=jg.float64))
    with pytest.raises(RuntimeError, match="fractions"):
        jg.addmm(ints, ints, ints, alpha=1.5)


@pytest.mark.parametrize(
    "call",
    [
        lambda: linalg.det(jg.ones(2, 3)),
        lambda: linalg.inv(jg.ones(3)),
        lambda: linalg.solve(jg.eye(2), jg.ones(3, 1)),
        lambda: linalg.solve(jg.eye(2), jg.ones(2), left=False),
        lambda: linalg.lu(jg.eye(2), pivot=False),
        lambda: linalg.lstsq(jg.eye(2), jg.ones(2), driver="gel"),
        lambda: linalg.matrix_norm(jg.eye(2), 3),
        lambda: linalg.matrix_norm(jg.eye(2), dim=(0, 0)),
        lambda: linalg.norm(jg.ones(2, 2, 2), 1),
        lambda: linalg.norm(jg.ones(2), "nuc"),
        lambda: linalg.tensorinv(jg.ones(2, 3, 4)),
        lambda: linalg.tensorsolve(jg.ones(2, 3), jg.ones(2)),
        lambda: linalg.householder_product(jg.ones(2, 3), jg.ones(2)),
        lambda: linalg.multi_dot([jg.ones(2, 2)]),
        lambda: linalg.multi_dot([jg.ones(2, 2), jg.ones(3, 2)]),
        lambda: linalg.vander(jg.ones(3), N=1),
        lambda: linalg.lu_solve(jg.eye(2), jg.tensor([1, 2]), jg.ones(2, 1)),
        lambda: linalg.qr(jg.eye(2), "full"),
        lambda: jg.norm(jg.ones(2, 2, 2), "nuc"),
        lambda: jg.cdist(jg.ones(2, 3), jg.ones(2, 4)),
        lambda: jg.cdist(jg.ones(2, 3), jg.ones(2, 3), p=-1),
        lambda: jg.cross(jg.ones(2), jg.ones(2)),
        lambda: jg.inner(jg.ones(2), jg.ones(3)),
        lambda: jg.tensordot(jg.ones(2, 3), jg.ones(3, 2)),
        lambda: jg.tensordot(jg.ones(2), jg.ones(2), 2),
        lambda: jg.baddbmm(jg.ones(2), jg.ones(1, 2, 2), jg.ones(2, 2, 2)),
        lambda: jg.addmm(jg.ones(3), jg.eye(2), jg.eye(2)),
        lambda: jg.chain_matmul(jg.ones(2)),
    ],
)
def test_what_does_not_fit_is_an_error(call):
    with pytest.raises(RuntimeError):
        call()


def test_results_have_names_and_pickle():
    found = linalg.lu_factor(tensor(SQUARE))
    assert found._fields == ("LU", "pivots")
    assert repr(found).startswith("jitgrad.return_types.linalg_lu_factor(")
    assert type(pickle.loads(pickle.dumps(found))) is type(found)
    assert jg.svd(tensor(TALL))._fields == ("U", "S", "V")
    near(jg.svd(tensor(TALL), compute_uv=False).V, np.zeros((3, 3)))
    assert tuple(linalg.qr(tensor(TALL), mode="r").R.shape) == (3, 3)


@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("unit", [False, True])
def test_large_triangular_systems(order, upper, unit):
    n = 60
    x = np.array(rng.standard_normal((n, n)) / n + 3 * np.eye(n), order=order)
    y = rng.standard_normal((n, 2))
    found = linalg.solve_triangular(jg.from_numpy(x), tensor(y), upper=upper, unitriangular=unit)
    near(found, scipy.linalg.solve_triangular(x, y, lower=not upper, unit_diagonal=unit))
    x[n // 2, n // 2] = 0
    found = linalg.solve_triangular(jg.from_numpy(x), tensor(y), upper=upper, unitriangular=unit)
    assert np.isfinite(found.numpy()).all() == unit


def test_norms_and_ranks_of_nothing():
    for shape in ((0, 0), (0, 3), (3, 0), (2, 0, 3)):
        x = jg.zeros(*shape)
        nothing = np.zeros(shape[:-2]).tolist()
        assert linalg.matrix_rank(x).tolist() == nothing
        assert linalg.cond(x).tolist() == nothing
        for ord in ("fro", "nuc", 2, 1, np.inf):
            assert linalg.matrix_norm(x, ord).tolist() == nothing
            assert linalg.matrix_norm(x, ord, keepdim=True).shape == (*shape[:-2], 1, 1)
        with pytest.raises(IndexError, match="nothing to reduce"):
            linalg.matrix_norm(x, -2)


@pytest.mark.parametrize(
    ("equation", "dtypes", "want"),
    [  # as PyTorch: what is summed of one operand alone is an int64
        ("ij->", "uint8", 800),
        ("ij->ij", "uint8", [[200, 200], [200, 200]]),
        ("ij->i", "bool", [2, 2]),
        ("ij,jk->ik", "uint8 uint8", [[128, 128], [128, 128]]),
        ("ij,jk->", "uint8 uint8", 320000),
        ("ij,jk->k", "uint8 uint8", [160000, 160000]),
        ("ij,ij->i", "uint8 uint8", [128, 128]),
    ],
)
def test_einsum_of_small_integers(equation, dtypes, want):
    given = [jg.full((2, 2), 1 if name == "bool" else 200, dtype=getattr(jg, name)) for name in dtypes.split()]
    found = jg.einsum(equation, *given)
    assert found.tolist() == want
    assert found.dtype == (jg.int64 if found.max() > 255 or "bool" in dtypes else jg.uint8)
    assert jg.jit(lambda *xs: jg.einsum(equation, *xs))(*given).tolist() == want
    assert np.einsum(equation, *given).dtype == given[0].dtype


def test_the_first_operand_has_both_names_that_pytorch_gives_it() -> None:
    """Its documents say A where its functions take input, and the other way round."""
    x = 2 * jg.eye(2)
    for name in ("A", "input"):
        given = {name: x}
        assert jg.det(**given) == jg.linalg.det(**given) == jg.linalg.slogdet(**given)[1].exp() == 4
        assert jg.linalg.norm(**given, ord=2) == jg.linalg.qr(**given)[1].abs().max() == 2
        assert jg.matrix_power(**given, n=2).equal(jg.linalg.matrix_power(**given, n=2))
    assert jg.dot(input=jg.ones(2), tensor=jg.ones(2)) == 2
    assert jg.outer(input=jg.ones(2), vec2=jg.ones(3)).shape == (2, 3)
    assert len(jg.split(tensor=jg.ones(4), split_size_or_sections=2)) == 2
    with pytest.raises(TypeError, match="det"):
        jg.det(B=x)
