"""Rows of factorisations that LAPACK keeps in one matrix: L and D of symmetric matrices, and the reflections that make Q.

Formula of the reflections: G. Ballard et al., "Reconstructing Householder vectors from tall-skinny QR", 2014.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.errors import HoleError, LinAlgError
from jitgrad.ops.choosing import conj, eq, is_complex, logical_and, where, zeros_like
from jitgrad.ops.decompositions import SYMMETRIC, columns, eye, matrix_params, qr_vjp, rows
from jitgrad.ops.elimination import INTEGER
from jitgrad.ops.factoring import LU_SAMPLES, product_vjp
from jitgrad.ops.lapack import lapack
from jitgrad.ops.linalg import adjoint, matmul
from jitgrad.ops.movement import expand, reshape
from jitgrad.ops.shapes import Spec
from jitgrad.ops.table import Op, register, several, todo
from jitgrad.ops.triangular import solve_triangular, triangle


def _of(kind: str, x: np.ndarray, hermitian: bool, what: str) -> Any:
    """LAPACK's routine for symmetric matrices, or for Hermitian ones, which real ones are as well."""
    return lapack(f"{'he' if hermitian and x.dtype.kind == 'c' else 'sy'}{kind}", x, what)


def _ldl_factor(x: np.ndarray, check: bool, hermitian: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    factors, pivots, info = np.tril(x), np.zeros(x.shape[:-1], INTEGER), np.zeros(x.shape[:-2], INTEGER)
    if x.size:
        trf = _of("trf", x, hermitian, "the LDL factorisation")
        for place in np.ndindex(info.shape):
            factors[place], pivots[place], info[place] = trf(factors[place], lower=1)
    if check and info.any():
        raise LinAlgError(f"ldl_factor: block {info[info > 0][0]} of D is singular, and so is the matrix")
    return factors, pivots, info


ldl_factor = several(
    _ldl_factor,
    kind="linalg",
    outputs=("LD", "pivots", "info"),
    internal=True,
    result="floating",
    checks=lambda row: row.inputs if row.params["check"] else (),
    vjp=todo("factor a detached matrix, and take linalg.solve for derivatives"),
    on_complex="adjoint",
    shape=lambda x, check, hermitian: [Spec(x.shape, x.dtype), Spec(x.shape[:-1], INTEGER), Spec(x.shape[:-2], INTEGER)],
    samples=lambda: [([x], {"check": False, "hermitian": False}) for x in (SYMMETRIC, np.stack([SYMMETRIC, -2 * SYMMETRIC]))],
    oracle=(
        "(np.reshape([np.tril(l, -1) + d for l, d, _ in map(scipy.linalg.ldl, x.reshape(-1, 3, 3))], x.shape),"
        " np.broadcast_to(np.int32([1, 2, 3]), x.shape[:-1]), np.zeros(x.shape[:-2], np.int32))"
    ),
)
"""L and D in one matrix, of symmetric or Hermitian matrices of which the lower triangle is read, and the pivots of LAPACK."""


def _ldl_solve(x: np.ndarray, pivots: np.ndarray, y: np.ndarray, hermitian: bool) -> np.ndarray:
    found = np.array(y)
    if y.size:
        trs = _of("trs", x, hermitian, "solving with LDL factors")
        for place in np.ndindex(x.shape[:-2]):
            found[place] = trs(x[place], pivots[place], y[place], lower=1)[0]
    return found


def _ldl_solve_vjp(g: Any, x: Any, pivots: Any, hermitian: bool) -> Any:
    if hermitian or not is_complex(g):
        return ldl_solve(x, pivots, g, hermitian=hermitian)
    return conj(ldl_solve(x, pivots, conj(g), hermitian=False))


ldl_solve = Op(
    _ldl_solve,
    kind="linalg",
    inputs=("x", "pivots", "y"),
    output="z",
    internal=True,
    result="floating",
    vjp=(
        todo("the factors have no derivative: differentiate linalg.solve instead"),
        None,
        _ldl_solve_vjp,
    ),
    on_complex="adjoint",
    shape=lambda x, pivots, y, hermitian: Spec(y.shape, y.dtype),
    samples=lambda: [([SYMMETRIC, np.array([1, 2, 3], np.int32), (3, 2)], {"hermitian": False})],
    oracle="np.linalg.solve((np.tril(x, -1) + np.eye(3)) @ np.diag(np.diag(x)) @ (np.tril(x, -1) + np.eye(3)).T, y)",
)


def _geqrf(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    h, tau = np.linalg.qr(x, "raw")
    return np.swapaxes(h, -1, -2), tau


def _geqrf_vjp(g_a: Any, g_tau: Any, a: Any, tau: Any) -> Any:
    """The first columns of Q are E - V T V1^T, with E those of the identity and V1 the square part of V: so V, which is a lower
    triangle, and -T V1^T, an upper one, are the LU factors of Q - E; and a tau is 2 / v^T v."""
    if is_complex(a):
        raise HoleError("geqrf has no derivative of complex matrices, of which a tau is complex: take linalg.qr")
    m, n = a.shape[-2:]
    k = tau.shape[-1]
    below, unit = np.tril(np.ones((m, k), bool), -1), np.eye(m, k, dtype=a.dtype)
    V, R = where(below, columns(a, 0, k), unit), where(np.triu(np.ones((k, n), bool)), rows(a, 0, k), 0)
    scale = reshape(tau, shape=(*tau.shape, 1))
    inner = scale * where(triangle(k, True, True), matmul(adjoint(V), V), 0)
    U = -solve_triangular(inner, scale * adjoint(rows(V, 0, k)), upper=True, unit=True)
    flat = logical_and(eye(k), expand(eq(scale, 0), shape=tuple(U.shape)))  # no reflection: nothing depends on it
    g_a = zeros_like(a) if g_a is None else g_a
    g_V = columns(g_a, 0, k)
    if g_tau is not None:
        g_V = g_V - V * expand(reshape(g_tau * tau * tau, shape=(*tau.shape[:-1], 1, k)), shape=tuple(V.shape))
    g_Q = product_vjp(where(below, g_V, 0), zeros_like(U), V, where(flat, 1, U))
    g_R = where(np.triu(np.ones((k, n), bool)), rows(g_a, 0, k), 0)
    return qr_vjp(g_Q, g_R, matmul(V, U) + unit, R)


geqrf = several(
    _geqrf,
    kind="linalg",
    doc="R, and below its diagonal the vectors of the reflections whose product Q is, with their factors tau",
    outputs=("a", "tau"),
    result="floating",
    prepare=matrix_params,
    vjp=_geqrf_vjp,
    on_complex="adjoint",
    shape=lambda x: [Spec(x.shape, x.dtype), Spec((*x.shape[:-2], min(x.shape[-2:])), x.dtype)],
    samples=lambda: [([x], {}) for x in LU_SAMPLES],
    oracle="(lambda h, tau: (np.swapaxes(h, -1, -2), tau))(*np.linalg.qr(x, 'raw'))",
)

register(globals())
