"""Rows of factorisations that SciPy runs: LU and the exponential of matrices.

Formulas: of LU: S. Axen, "Differentiating the LU decomposition", 2021; of the exponential: I. Najfeld and T. Havel, "Derivatives
of the matrix exponential and their computation", 1995.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.ops import elimination
from jitgrad.ops.choosing import cast, eq, where
from jitgrad.ops.decompositions import column_of, columns, rows
from jitgrad.ops.elimination import INTEGER
from jitgrad.ops.faults import NO_ROW, ZERO_PIVOT
from jitgrad.ops.lapack import lapack, scipys
from jitgrad.ops.linalg import WELL_CONDITIONED, adjoint, matmul
from jitgrad.ops.movement import cat, expand, reshape
from jitgrad.ops.shapes import Spec
from jitgrad.ops.table import Loops, Op, register, several
from jitgrad.ops.triangular import solve_triangular, triangle


def _lu_factor(x: np.ndarray, check: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    k = min(x.shape[-2:])
    factors, pivots, info = np.array(x), np.zeros((*x.shape[:-2], k), INTEGER), np.zeros(x.shape[:-2], INTEGER)
    if x.size:
        getrf = lapack("getrf", x, "the LU factorisation")
        for place in np.ndindex(info.shape):
            factors[place], pivots[place], info[place] = (getrf if np.isfinite(x[place]).all() else _eliminated)(x[place])
    if check and info.any():
        first = np.flatnonzero(info)[0]
        raise ZERO_PIVOT.raised(first, info.flat[first])
    return factors, pivots + INTEGER.type(1), info  # pivots count from 1, as those of LAPACK and PyTorch do


def _eliminated(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """As `elimination.eliminate`, which carries what is not finite further than LAPACK, that passes zeros by."""
    a, k = np.array(x), min(x.shape)
    pivots = np.arange(k)
    for i in range(k):
        sizes = abs(a[i:, i])
        if not np.isnan(sizes[0]):
            pivots[i] += np.argmax(np.where(np.isnan(sizes), -1, sizes))
        a[[i, pivots[i]]] = a[[pivots[i], i]]
        if a[i, i] != 0:
            a[i + 1 :, i] /= a[i, i]
        a[i + 1 :, i + 1 :] -= a[i + 1 :, i, None] * a[i, None, i + 1 :]
    zeros = np.flatnonzero(np.diagonal(a) == 0)
    return a, pivots, int(zeros[0]) + 1 if len(zeros) else 0


def lu_parts(LU: Any) -> tuple[Any, Any]:
    """The lower triangle, with ones on its diagonal, and the upper one that lie in one matrix."""
    m, n = LU.shape[-2:]
    k = min(m, n)
    below, above = np.tril(np.ones((m, k), bool), -1), np.triu(np.ones((k, n), bool))
    return where(below, columns(LU, 0, k), np.eye(m, k, dtype=LU.dtype)), where(above, rows(LU, 0, k), 0)


def swapping(pivots: Any, n: int, dtype: Any) -> Any:
    """The permutation matrices P, of dimension n, for which P L U is what was factored."""
    order = permutation(column_of(pivots), n=n)
    shape = (*order.shape[:-1], n, n)
    wide = expand(reshape(order, shape=(*order.shape[:-1], 1, n)), shape=shape)
    return cast(eq(wide, np.broadcast_to(np.arange(n, dtype=np.int64)[:, None], shape)), dtype=np.dtype(dtype))


def _lu_vjp(g_LU: Any, LU: Any, pivots: Any) -> Any:
    if g_LU is None:
        return None
    m, n = LU.shape[-2:]
    k = min(m, n)
    g_lower = where(np.tril(np.ones((m, k), bool), -1), columns(g_LU, 0, k), 0)
    g_upper = where(np.triu(np.ones((k, n), bool)), rows(g_LU, 0, k), 0)
    return matmul(swapping(pivots, m, LU.dtype), product_vjp(g_lower, g_upper, *lu_parts(LU)))


def product_vjp(g_lower: Any, g_upper: Any, lower: Any, upper: Any) -> Any:
    """The cotangent of a product of triangles, by those of the triangles."""
    m, n, k = lower.shape[-2], upper.shape[-1], lower.shape[-1]
    lower1, upper1 = rows(lower, 0, k), columns(upper, 0, k)
    below, above = matmul(adjoint(lower1), rows(g_lower, 0, k)), matmul(columns(g_upper, 0, k), adjoint(upper1))
    more: Any = None
    if n > m:
        more = columns(g_upper, k, n - k)
        below = below - matmul(more, adjoint(columns(upper, k, n - k)))
    elif m > n:
        more = rows(g_lower, k, m - k)
        above = above - matmul(adjoint(rows(lower, k, m - k)), more)
    inner = where(triangle(k, False, True), below, above)
    found = _over(solve_triangular(adjoint(lower1), inner, upper=True, unit=True), upper1)
    if n > m:
        found = cat(found, solve_triangular(adjoint(lower1), more, upper=True, unit=True), dim=lower.ndim - 1)
    elif m > n:
        found = cat(found, _over(more, upper1), dim=lower.ndim - 2)
    return found


def _over(x: Any, upper: Any) -> Any:
    """`x` times the inverse of `upper` transposed."""
    return adjoint(solve_triangular(upper, adjoint(x), upper=True, unit=False))


_WIDE = np.array([[2.0, 0.3, 1.0], [-1.0, 1.5, 0.5]])
LU_SAMPLES = (WELL_CONDITIONED, WELL_CONDITIONED[[2, 0, 1]], _WIDE, _WIDE.T, np.stack([_WIDE, -3 * _WIDE[::-1]]))
lu_factor = several(
    _lu_factor,
    kind="linalg",
    outputs=("LU", "pivots", "info"),
    internal=True,
    result="floating",
    checks=lambda row: row.inputs if row.params["check"] else (),
    on_complex="adjoint",
    loops=Loops(elimination.lu_factor, lambda x, check: [((1,), x.dtype)], ZERO_PIVOT),
    vjp=_lu_vjp,
    shape=lambda x, check: [
        Spec(x.shape, x.dtype),
        Spec((*x.shape[:-2], min(x.shape[-2:])), INTEGER),
        Spec(x.shape[:-2], INTEGER),
    ],
    samples=lambda: [([x], {"check": False}) for x in LU_SAMPLES],
    oracle="(lambda LU, p: (LU, (p + 1).astype(np.int32), np.zeros(x.shape[:-2], np.int32)))(*scipy.linalg.lu_factor(x))",
)


def _zero_pivot(x: np.ndarray) -> np.ndarray:
    info = np.asarray(np.linalg.slogdet(x)[0] == 0).astype(INTEGER)
    for place in map(tuple, np.argwhere(info)):
        info[place] = lapack("getrf", x, "the place of the pivot that is 0")(x[place])[2]
    return info


zero_pivot = Op(
    _zero_pivot,
    kind="linalg",
    inputs=("x",),
    output="y",
    internal=True,
    result="integer",
    on_complex="adjoint",
    loops=Loops(elimination.zero_pivot, lambda x: [*elimination.factors_room(x)[:2], ((1,), x.dtype)]),
    shape=lambda x: Spec(x.shape[:-2], INTEGER),
    samples=lambda: [([WELL_CONDITIONED], {}), ([np.stack([WELL_CONDITIONED, WELL_CONDITIONED[[0, 1, 1]]])], {})],
    oracle=(
        "np.array([next((k for k in (1, 2, 3) if np.linalg.matrix_rank(m[:, :k] * 1.0) < k), 0) for m in x.reshape(-1, 3, 3)],"
        " np.int32).reshape(x.shape[:-2])"
    ),
)
"""Which pivot of the elimination is 0, counted from 1; 0 for a matrix that is not singular."""


def _permutation(x: np.ndarray, n: int) -> np.ndarray:
    pivots = x[..., 0]
    order = np.array(np.broadcast_to(np.arange(n, dtype=np.int64), (*pivots.shape[:-1], n)))
    for i in range(pivots.shape[-1]):
        other = pivots[..., i, None].astype(np.int64) - 1
        outside = (other < 0) | (other >= n)
        if outside.any():
            raise NO_ROW.raised(np.flatnonzero(outside)[0], i + 1)
        moved = np.take_along_axis(order, other, -1)
        np.put_along_axis(order, other, order[..., i, None], -1)
        order[..., i, None] = moved
    return order


permutation = Op(
    _permutation,
    kind="linalg",
    inputs=("x",),
    output="y",
    internal=True,
    result="integer",
    checks=lambda row: row.inputs,
    loops=Loops(elimination.permutation, lambda x, n: [((1,), INTEGER)], NO_ROW),
    also="i",
    shape=lambda x, n: Spec((*x.shape[:-2], n), np.dtype(np.int64)),
    samples=lambda: [
        ([np.array([[[3], [3], [3]], [[1], [2], [3]]], np.int32)], {"n": 3}),
        ([np.array([[2], [4]], np.int32)], {"n": 4}),
    ],
    oracle="np.array([[2, 0, 1], [0, 1, 2]] if n == 3 else [1, 3, 2, 0])",
)
"""Which row stands where after the interchanges that columns of pivots say, counted from 1."""


def _matrix_exp(x: np.ndarray) -> np.ndarray:
    return scipys("expm", "the exponential of a matrix")(x).astype(x.dtype, copy=False) if x.size else np.array(x)


def _matrix_exp_vjp(g: Any, x: Any) -> Any:
    """What stands beside the exponential in that of a block matrix."""
    n, back = x.shape[-1], adjoint(x)
    zeros = np.broadcast_to(np.zeros((), x.dtype), tuple(x.shape))
    above, below = cat(back, g, dim=x.ndim - 1), cat(zeros, back, dim=x.ndim - 1)
    return columns(rows(matrix_exp(cat(above, below, dim=x.ndim - 2)), 0, n), n, n)


matrix_exp = Op(
    _matrix_exp,
    kind="linalg",
    inputs=("x",),
    output="y",
    internal=True,
    result="floating",
    on_complex="adjoint",
    vjp=(_matrix_exp_vjp,),
    shape=lambda x: Spec(x.shape, x.dtype),
    samples=lambda: [([WELL_CONDITIONED / 4], {}), ([np.stack([WELL_CONDITIONED / 4, -WELL_CONDITIONED / 8])], {})],
    oracle="np.linalg.matrix_power(sum(np.linalg.matrix_power(x / 16, k) / math.factorial(k) for k in range(16)), 16)",
)

register(globals())
