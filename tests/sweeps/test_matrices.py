"""Small matrices as loops of machine code: values and derivatives of every sweep, what is wrong with them, native functions."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.ops import elimination

BATCHES = [((), 3), ((), 1), ((2,), 5), ((19,), 5), ((3, 2), 4), ((9,), 16)]
NAN, INF = float("nan"), float("inf")


def positive(batch, n, dtype="float64", seed=0):
    x = np.random.default_rng(seed).standard_normal((*batch, n, n))
    return jg.tensor((x @ np.swapaxes(x, -1, -2) / n + np.eye(n)).astype(dtype))


def general(batch, n, columns, dtype="float64", seed=1):
    return jg.tensor(np.random.default_rng(seed).standard_normal((*batch, n, columns)).astype(dtype))


def triangular(A, B, **how):
    return jg.linalg.solve_triangular(A + jg.eye(A.shape[-1], dtype=A.dtype) * 3, B, **how)


FUNCTIONS = {
    "cholesky": lambda A, G, B: jg.linalg.cholesky(A),
    "cholesky_ex": lambda A, G, B: jg.linalg.cholesky_ex(A - 0.8 * jg.eye(A.shape[-1], dtype=A.dtype)),
    "upper": lambda A, G, B: jg.linalg.cholesky(A, upper=True),
    "lower system": lambda A, G, B: triangular(G, B, upper=False),
    "upper system": lambda A, G, B: triangular(G, B, upper=True),
    "unit system": lambda A, G, B: triangular(G.mT, B, upper=False, unitriangular=True),
    "right system": lambda A, G, B: triangular(G, B.mT, upper=True, left=False),
    "solve": lambda A, G, B: jg.linalg.solve(G, B),
    "solve_ex": lambda A, G, B: jg.linalg.solve_ex(G, B),
    "inv": lambda A, G, B: jg.linalg.inv(G),
    "det": lambda A, G, B: jg.linalg.det(G),
    "slogdet": lambda A, G, B: jg.linalg.slogdet(G),
    "lu_factor": lambda A, G, B: jg.linalg.lu_factor_ex(G),
    "cholesky_solve": lambda A, G, B: jg.cholesky_solve(B, jg.linalg.cholesky(A)),
}


def same(found, wanted, rtol):
    for x, y in zip(*[v if isinstance(v, tuple) else (v,) for v in (found, wanted)], strict=True):
        assert (x.dtype, x.shape) == (y.dtype, y.shape)
        np.testing.assert_allclose(x.numpy(), y.numpy(), rtol=rtol, atol=rtol)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("batch", "n"), BATCHES, ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_are_those_of_lapack(name, batch, n, dtype):
    f, args = FUNCTIONS[name], (positive(batch, n, dtype), general(batch, n, n, dtype), general(batch, n, 2, dtype, 2))
    with jg.sweep("jit"):
        g = jg.jit(f)
        same(g(*args), f(*args), 1e-9 if dtype == "float64" else 2e-3)
        assert "NumPy:" not in g.report()


@pytest.mark.parametrize(("batch", "n"), [((), 3), ((2, 3), 4)], ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_numba_compiles_the_same_functions(name, batch, n):
    f, args = FUNCTIONS[name], (positive(batch, n), general(batch, n, n), general(batch, n, 2, seed=2))
    with jg.sweep("numba"):
        same(jg.jit(f)(*args), f(*args), 1e-9)


@pytest.mark.parametrize("name", ["cholesky", "lower system", "solve", "inv", "det", "slogdet", "cholesky_solve"])
def test_derivatives(name):
    args = positive((9,), 3), general((9,), 3, 3), general((9,), 3, 2, seed=2)

    def f(*args):
        out = FUNCTIONS[name](*args)
        out = out[1] if isinstance(out, tuple) else out
        return (jg.sin(out) * out).sum()

    with jg.sweep("jit"):
        for d in (
            jg.grad(f, (0, 1, 2)),
            jg.jacfwd(f, (0, 1, 2)),
            jg.vmap(jg.grad(f, (0, 1, 2))),
            jg.grad(lambda *x: jg.grad(f)(*x).sum(), 1),
        ):
            same(jg.jit(d)(*args), d(*args), 1e-8)


def test_layouts_of_operands():
    x, y = general((6, 2), 4, 4), general((4,), 4, 3)
    for f in (
        lambda x, y: jg.linalg.solve(jg.permute(x, (3, 1, 2, 0))[..., :4, :4], y[:, None]),  # strides that do not merge
        lambda x, y: jg.linalg.solve(x[0, 0], y),  # one matrix for all
        lambda x, y: jg.linalg.inv(x.flip(0)[::2, 1].mT),
        lambda x, y: jg.linalg.det(x[1:, 1, :3, 1:]),
        lambda x, y: jg.linalg.solve(x[0, 0, :1, :1], y[0, :1, :1]),  # matrices of one element
    ):
        x_ = general((4, 2), 4, 4) if f(general((4, 2), 4, 4), y).shape[:1] == (4,) else x
        with jg.sweep("jit"):
            same(jg.jit(f)(x_, y), f(x_, y), 1e-8)


def message(f, *args):
    with pytest.raises(jg.linalg.LinAlgError) as error:
        f(*args)
    return str(error.value)


@pytest.mark.parametrize("sweep", ["jit", "numba", "machine"])
def test_what_is_wrong_is_said_as_in_eager_code(sweep):
    bad = positive((11,), 3).numpy()
    bad[7] = [[1, 2, 0], [2, 1, 0], [0, 0, 1]]
    singular = general((11,), 3, 3).numpy()
    singular[10, 1] = 0
    for f, x in (
        (jg.linalg.cholesky, bad),
        (jg.linalg.cholesky, bad[7]),
        (jg.linalg.inv, singular),
        (jg.linalg.lu_factor, singular * 0),
        (lambda x: jg.linalg.solve(x, x), singular),
        (lambda x: jg.linalg.solve(x, x), singular[10]),
    ):
        if f is jg.linalg.lu_factor:
            f = lambda x: jg.linalg.lu_factor_ex(x, check_errors=True)
        with jg.sweep(sweep):
            g = jg.jit(f)
            for _ in range(2):
                assert message(g, jg.tensor(x)) == message(f, jg.tensor(x))
            good = positive(x.shape[:-2], 3)
            same(tuple(g(good)) if isinstance(g(good), tuple) else g(good), f(good), 1e-9)


@pytest.mark.parametrize("batch", [(), (9,)], ids=str)
def test_values_that_are_not_finite(batch):
    for values in ([[NAN, 0], [0, 1]], [[4, NAN], [NAN, 1]], [[4, 0], [NAN, 1]], [[0, 0], [0, 0]], [[-1, 0], [0, 1]]):
        x = jg.tensor(np.broadcast_to(np.array(values, float), (*batch, 2, 2)).copy())
        for f in (jg.linalg.cholesky_ex, jg.linalg.slogdet, jg.linalg.det):
            with jg.sweep("jit"):
                same(jg.jit(f)(x), f(x), 1e-12)
    zero = jg.tensor([[1.0, 2.0], [0.0, 0.0]], dtype=jg.float64)
    f = lambda x: jg.linalg.solve_triangular(x, x + 1, upper=True)
    same(jg.jit(f)(zero), f(zero), 1e-12)


@pytest.mark.parametrize("n", [3, 20])
def test_native_functions(n):
    def f(A, y):
        L = jg.linalg.cholesky(A)
        z = jg.linalg.solve_triangular(L, y, upper=False)
        return (z * z).sum() + 2 * jg.log(jg.diagonal(L, dim1=-2, dim2=-1)).sum() + jg.linalg.slogdet(A)[1].sum()

    A, y = positive((5,), n), general((5,), n, 1)
    native = jg.value_and_grad(f).compile(A, y)
    same(native(A, y), jg.value_and_grad(f)(A, y), 1e-9)
    assert "positive definite" in message(native, -A, y)
    assert "positive definite" in message(native.njit, -A.numpy(), y.numpy())
    assert "5 for a singular matrix" in native.header()
    inverse = jg.jit(jg.linalg.inv).compile(A[0])
    assert "singular" in message(inverse, A[0] * 0)


def test_the_functions_are_python_too():
    """As a debugger steps through them."""
    x, y = positive((), 4).numpy(), general((), 4, 2).numpy()
    z, info = np.empty((4, 4)), np.zeros(1, np.int32)
    assert elimination.cholesky(x, z, info, True) == 0
    np.testing.assert_allclose(z, np.linalg.cholesky(x))
    out = np.empty((4, 2))
    room = [np.empty(shape, dtype) for shape, dtype in elimination.factors_room(x)]
    assert elimination.solve(x[::-1].copy(), y, out, *room) == 0
    np.testing.assert_allclose(out, np.linalg.solve(x[::-1], y))


def test_a_kalman_filter_is_one_native_function():
    """Its steps in a scan, with the gradient of the likelihood."""
    H, Q, R = (jg.tensor(v, dtype=jg.float64) for v in ([[1.0, 0.0]], [[0.01, 0.0], [0.0, 0.01]], [[0.1]]))
    ys = jg.tensor(np.sin(np.arange(30) / 4)[:, None])

    def likelihood(F):
        def step(carry, y):
            m, P = carry
            m, P = F @ m, F @ P @ F.mT + Q
            S = H @ P @ H.mT + R
            K = jg.linalg.solve(S, H @ P).mT
            e = y - (H @ m)
            term = -0.5 * (e * jg.linalg.solve(S, e)).sum() - 0.5 * jg.linalg.slogdet(S)[1]
            return (m + (K @ e[:, None])[:, 0], P - K @ H @ P), term

        start = jg.zeros(2, dtype=jg.float64), jg.eye(2, dtype=jg.float64)
        return jg.scan(step, start, ys)[1].sum()

    F = jg.tensor([[1.0, 0.2], [-0.1, 1.0]], dtype=jg.float64)
    d = jg.value_and_grad(likelihood)
    same(jg.jit(d)(F), d(F), 1e-9)
    same(d.compile(F)(F), d(F), 1e-9)
