"""Rows of systems of equations: inverses, Cholesky factors, pseudo-inverses.

Matrices are the last two dimensions. Formulas: M. Giles, "Collected matrix derivative results for forward and reverse mode
algorithmic differentiation", 2008; of the Cholesky factor: I. Murray, "Differentiation of the Cholesky decomposition", 2016; of
the pseudo-inverse: G. Golub and V. Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares problems", 1973.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.ops import elimination
from jitgrad.ops.choosing import conj, where, zeros_like
from jitgrad.ops.decompositions import SYMMETRIC, TALL, eye
from jitgrad.ops.elimination import INTEGER
from jitgrad.ops.faults import NO_INVERSE, NOT_POSITIVE
from jitgrad.ops.lapack import blas, by_numpy, has_scipy, lapack
from jitgrad.ops.linalg import WELL_CONDITIONED, adjoint, matmul, nan_throughout
from jitgrad.ops.shapes import Spec
from jitgrad.ops.table import Loops, Op, register, several
from jitgrad.ops.triangular import SMALL, solve_triangular, solved_by_substitution, triangle


def _inv(x: np.ndarray) -> np.ndarray:
    try:
        return nan_throughout(np.linalg.inv)(x)
    except np.linalg.LinAlgError:
        raise NO_INVERSE.raised() from None


inv = Op(
    _inv,
    kind="linalg",
    inputs=("x",),
    output="z",
    internal=True,
    result="floating",
    checks=lambda row: row.inputs,
    loops=Loops(elimination.inv, elimination.factors_room, NO_INVERSE),
    on_complex="adjoint",
    vjp=(lambda g, z: -matmul(matmul(adjoint(z), g), adjoint(z)),),
    shape=lambda x: Spec(x.shape, x.dtype),
    samples=lambda: [([WELL_CONDITIONED], {}), ([np.stack([WELL_CONDITIONED, -2 * WELL_CONDITIONED])], {})],
    oracle="np.linalg.solve(x, np.broadcast_to(np.eye(3), x.shape))",
)


def _solve_factored(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    if x.shape[-1] > SMALL and has_scipy():
        potrs, z = lapack("potrs", x, "solving with Cholesky factors"), np.empty(y.shape, y.dtype)
        for place in np.ndindex(x.shape[:-2]):
            turned = x[place].flags.c_contiguous
            z[place] = potrs(adjoint(x[place]) if turned else x[place], y[place], lower=int(not turned))[0]
        return z
    return solved_by_substitution(adjoint(x), solved_by_substitution(x, y, False, False), True, False)


def _factor_vjp(g: Any, x: Any, z: Any) -> Any:
    back = solve_factored(x, g)
    if 3 * z.shape[-1] < x.shape[-1]:  # of low rank
        return -(matmul(back, matmul(adjoint(z), x)) + matmul(z, matmul(adjoint(back), x)))
    found = -matmul(back, adjoint(z))
    return matmul(found + adjoint(found), x)


solve_factored = Op(
    _solve_factored,
    kind="linalg",
    inputs=("x", "y"),
    output="z",
    internal=True,
    result="floating",
    hint="x",
    loops=Loops(elimination.solve_factored),
    on_complex="adjoint",
    vjp=(_factor_vjp, lambda g, x: solve_factored(x, g)),
    shape=lambda x, y: Spec(y.shape, y.dtype),
    samples=lambda: [([np.linalg.cholesky(SYMMETRIC), (3, 2)], {})],
)
"""The z with x x^T z = y for lower triangles x. Of others the lower triangle is read, and the derivative is that
of x x^T, as PyTorch's is; so it is no function of a free x."""


def _cholesky(x: np.ndarray, check: bool) -> tuple[np.ndarray, np.ndarray]:
    info = np.zeros(x.shape[:-2], INTEGER)
    try:
        factor = _factors(x) if x.shape[-1] > SMALL and has_scipy() else np.linalg.cholesky(x)
        if np.isfinite(factor).all():  # LAPACK may take nan for positive
            return factor, info
    except np.linalg.LinAlgError:
        pass
    factor = np.zeros_like(x)
    for place in np.ndindex(info.shape):
        info[place] = _first_minors(x[place], factor[place])
    if check and info.any():
        first = np.flatnonzero(info)[0]
        raise NOT_POSITIVE.raised(first, info.flat[first])
    return factor, info


def _factors(x: np.ndarray) -> np.ndarray:
    """By LAPACK in the memory of the result, whose transpose it reads."""
    potrf, found = lapack("potrf", x, "the Cholesky factorisation"), np.array(x, order="C")
    for place in np.ndindex(x.shape[:-2]):
        if potrf(found[place].T, lower=0, overwrite_a=1)[1]:
            raise np.linalg.LinAlgError
    return found


def _first_minors(x: np.ndarray, factor: np.ndarray) -> int:
    """Write the Cholesky factor as far as there is one; the order of the first minor that has none, 0 if all do."""
    for j in range(len(x)):
        rest = x[j, j] - factor[j, :j] @ factor[j, :j]
        if not rest > 0:
            factor[j:] = 0
            return j + 1
        factor[j, j] = np.sqrt(rest)
        factor[j + 1 :, j] = (x[j + 1 :, j] - factor[j + 1 :, :j] @ factor[j, :j]) / factor[j, j]
    return 0


def _cholesky_pullback(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    if x.shape[-1] <= SMALL or not has_scipy():
        return _cholesky_pullback_by_rows(x, y)
    trmm, trsm = (blas(name, x, "the derivative of Cholesky factors") for name in ("trmm", "trsm"))
    found, above = np.array(y, order="C"), triangle(x.shape[-1], True, True)
    for place in np.ndindex(x.shape[:-2]):
        turned, inner = np.ascontiguousarray(x[place]).T, found[place]  # as BLAS has them: x is an upper triangle
        back = conj(turned)
        trmm(1, back, inner.T, side=1, trans_a=1, overwrite_b=1)
        np.copyto(inner, 0, where=above)
        inner.flat[:: len(inner) + 1] /= 2
        trsm(1, back, inner.T, side=1, trans_a=1, overwrite_b=1)
        trsm(1, turned, inner.T, overwrite_b=1)
    found = found + adjoint(found)
    found /= 2
    return found


def _cholesky_pullback_by_rows(x: Any, y: Any) -> Any:
    n = x.shape[-1]
    below = triangle(n, False)
    back = adjoint(where(below, x, 0))
    inner = matmul(back, where(below, y, 0))
    inner = where(triangle(n, False, True), inner, where(eye(n), inner / 2, 0))
    half = solve_triangular(back, inner, upper=True, unit=False)
    found = adjoint(solve_triangular(back, adjoint(half), upper=True, unit=False))
    return (found + adjoint(found)) / 2


cholesky_pullback = Op(
    _cholesky_pullback,
    kind="linalg",
    inputs=("x", "y"),
    output="z",
    internal=True,
    result="floating",
    lower=_cholesky_pullback_by_rows,
    loops=Loops(elimination.cholesky_pullback),
    on_complex="adjoint",
    shape=lambda x, y: Spec(x.shape, x.dtype),
    samples=lambda: [
        ([np.linalg.cholesky(SYMMETRIC), (3, 3)], {}),
        ([np.linalg.cholesky([SYMMETRIC, 2 * SYMMETRIC]), (2, 3, 3)], {}),
    ],
    oracle="_pulled_back(x, y)",
)
"""The symmetric cotangent of x x^T for the cotangent y of lower triangles x: of both the lower triangle is read."""


def _cholesky_vjp(g_L: Any, L: Any) -> Any:
    return None if g_L is None else cholesky_pullback(L, g_L)


cholesky = several(
    _cholesky,
    kind="linalg",
    outputs=("L", "info"),
    internal=True,
    result="floating",
    symmetric=True,
    checks=lambda row: row.inputs if row.params["check"] else (),
    loops=Loops(elimination.cholesky, fault=NOT_POSITIVE),
    on_complex="adjoint",
    vjp=_cholesky_vjp,
    shape=lambda x, check: [Spec(x.shape, x.dtype), Spec(x.shape[:-2], INTEGER)],
    samples=lambda: [([SYMMETRIC], {"check": True}), ([np.stack([SYMMETRIC, 2 * SYMMETRIC])], {"check": False})],
    oracle="(np.linalg.cholesky((x + np.swapaxes(x, -1, -2)) / 2), np.zeros(x.shape[:-2], np.int32))",
)
"""The lower triangles L with x = L L^T, of which the lower one is read, and where that fails."""


def _pinv(x: np.ndarray, atol: np.ndarray, rtol: np.ndarray, hermitian: bool) -> np.ndarray:
    if not x.size:
        return np.zeros((*x.shape[:-2], x.shape[-1], x.shape[-2]), x.dtype)
    if hermitian:
        x = np.tril(x) + adjoint(np.tril(x, -1))
    u, s, vh = by_numpy("svd")(x, False)
    counts = s > np.maximum(atol[..., None], rtol[..., None] * s[..., :1])
    inverse = np.divide(1, s, out=np.zeros_like(s), where=counts)
    return adjoint((u * inverse[..., None, :]) @ vh)


def _pinv_vjp(g: Any, x: Any, z: Any) -> Any:
    """Of symmetric matrices as well, as in PyTorch: a symmetric change of x is not asked for."""
    back, turned = adjoint(z), adjoint(g)
    left, right = matmul(turned, matmul(z, back)), matmul(matmul(back, z), turned)
    return left - matmul(x, matmul(z, left)) + right - matmul(matmul(right, z), x) - matmul(matmul(back, g), back)


pinv = Op(
    _pinv,
    kind="linalg",
    inputs=("x", "atol", "rtol"),
    output="z",
    internal=True,
    result="floating",
    on_complex="adjoint",
    vjp=(_pinv_vjp, lambda g, atol: zeros_like(atol), lambda g, rtol: zeros_like(rtol)),
    shape=lambda x, atol, rtol, hermitian: Spec((*x.shape[:-2], x.shape[-1], x.shape[-2]), x.dtype),
    samples=lambda: [
        ([x, np.zeros(x.shape[:-2]), np.full(x.shape[:-2], 1e-6)], {"hermitian": False})
        for x in (TALL, TALL.T, np.stack([TALL, -3 * TALL]))
    ],
    oracle="np.linalg.pinv(x)",
)
"""The pseudo-inverse, without the singular values up to `atol` or `rtol` times the largest. The rank is taken to be constant."""

register(globals())
