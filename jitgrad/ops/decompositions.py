"""Rows of linear algebra with several results: determinants, eigenvalues, singular values, orthogonal factors.

Matrices are the last two dimensions. Derivatives of eigenvectors and singular vectors exist where the eigenvalues or singular
values are all different; they are divided by the gaps, and infinite or nan where these are 0. A function of these must not
depend on the sign that each vector happens to have. Formulas: M. Giles, "An extended collection of matrix derivative results
for forward and reverse mode algorithmic differentiation", 2008; of QR: H.-J. Liao et al., "Differentiable programming tensor
networks", Phys. Rev. X 9, 2019.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jitgrad.dtypes import real_of
from jitgrad.ops import elimination
from jitgrad.ops.arithmetic import exp2
from jitgrad.ops.choosing import cast, conj, eq, imag_part, imaginary, is_complex, where, zeros_like
from jitgrad.ops.elimination import INTEGER
from jitgrad.ops.lapack import by_numpy
from jitgrad.ops.linalg import WELL_CONDITIONED, adjoint, matmul, solve
from jitgrad.ops.movement import cat, expand, narrow, pad, reshape
from jitgrad.ops.shapes import Spec
from jitgrad.ops.table import Loops, register, several
from jitgrad.ops.triangular import solve_triangular

_eigh, _svd = by_numpy("eigh"), by_numpy("svd")


def eye(n: int) -> np.ndarray:
    """Where the diagonal of square matrices is."""
    return np.eye(n, dtype=bool)


def row_of(v: Any) -> Any:
    """Vectors as matrices of one row."""
    return reshape(v, shape=(*v.shape[:-1], 1, v.shape[-1]))


def column_of(v: Any) -> Any:
    """Vectors as matrices of one column."""
    return reshape(v, shape=(*v.shape, 1))


def diagonals(v: Any, beside: Any) -> Any:
    """Diagonal matrices, complex ones beside complex matrices, which they are to be multiplied by."""
    n = v.shape[-1]
    if is_complex(beside):
        v = cast(v, dtype=getattr(beside, "_held", beside).dtype)
    return where(eye(n), expand(row_of(v), shape=(*v.shape, n)), 0)


def _total(*parts: Any) -> Any:
    """The sum of what is there; None if nothing is."""
    there = [part for part in parts if part is not None]
    return None if not there else there[0] if len(there) == 1 else there[0] + _total(*there[1:])


def _over_gaps(x: Any, values: Any) -> Any:
    """`x[i, j] / (values[j] - values[i])`, and 0 on the diagonal."""
    n = values.shape[-1]
    gaps = where(eye(n), 1, row_of(values) - column_of(values))
    return where(eye(n), 0, x / gaps)


def columns(x: Any, start: int, length: int) -> Any:
    """Some of the columns of matrices."""
    return narrow(x, dim=x.ndim - 1, start=start, length=length)


def rows(x: Any, start: int, length: int) -> Any:
    """Some of the rows of matrices."""
    return narrow(x, dim=x.ndim - 2, start=start, length=length)


def _numbers(x: Any, rows: int, columns: int) -> Spec:
    return Spec((*x.shape[:-2], rows, columns), x.dtype)


def matrix_params(x: Any) -> dict[str, Any]:
    """Check that there are matrices; no parameters."""
    if x.ndim < 2:
        raise RuntimeError(f"a matrix has at least two dimensions, and this tensor has shape {list(x.shape)}")
    return {}


def _square(x: Any) -> dict[str, Any]:
    matrix_params(x)
    if x.shape[-1] != x.shape[-2]:
        raise RuntimeError(f"the matrices must be square, and are {x.shape[-2]} by {x.shape[-1]} (shape {list(x.shape)})")
    return {}


def _slogdet_vjp(g_sign: Any, g_logabsdet: Any, x: Any, sign: Any, logabsdet: Any) -> Any:
    """Signs of real matrices pass zeros on, as PyTorch's do; singular matrices, which have no derivative, nans."""
    g = zeros_like(logabsdet) if g_logabsdet is None else g_logabsdet
    if g_sign is not None and is_complex(x):  # the sign turns with the imaginary part of the logarithm
        g = g + imaginary(imag_part(conj(sign) * g_sign))
    unit = np.broadcast_to(np.eye(x.shape[-1], dtype=x.dtype), x.shape)
    singular = expand(reshape(eq(logabsdet, -math.inf), shape=(*logabsdet.shape, 1, 1)), shape=tuple(x.shape))
    found = adjoint(solve(where(singular, unit, x), unit))
    return expand(reshape(g, shape=(*g.shape, 1, 1)), shape=tuple(x.shape)) * where(singular, math.nan, found)


slogdet = several(
    np.linalg.slogdet,
    kind="linalg",
    namespace="linalg",
    aliases=("slogdet",),
    doc="Sign and logarithm of the absolute value of the determinants of square matrices",
    outputs=("sign", "logabsdet"),
    prepare=_square,
    result="floating",
    loops=Loops(elimination.slogdet, elimination.factors_room),
    on_complex="adjoint",
    shape=lambda x: [Spec(x.shape[:-2], x.dtype), Spec(x.shape[:-2], real_of(x.dtype))],
    vjp=_slogdet_vjp,
    samples=lambda: [([WELL_CONDITIONED], {}), ([np.stack([WELL_CONDITIONED, -WELL_CONDITIONED])], {})],
    oracle="(np.sign(np.linalg.det(x)), np.log(abs(np.linalg.det(x))))",
)

SYMMETRIC = WELL_CONDITIONED + WELL_CONDITIONED.T


def _eigh_params(x: Any, UPLO: str = "L") -> dict[str, Any]:
    _square(x)
    if UPLO not in ("L", "U", "l", "u"):
        raise RuntimeError(f"eigh: UPLO must be 'L' or 'U', the triangle that is read, not {UPLO!r}")
    return {"UPLO": UPLO.upper()}


def _eigh_vjp(g_eigenvalues: Any, g_eigenvectors: Any, eigenvalues: Any, eigenvectors: Any) -> Any:
    back = adjoint(eigenvectors)
    inner = None if g_eigenvectors is None else _over_gaps(matmul(back, g_eigenvectors), eigenvalues)
    inner = _total(inner, None if g_eigenvalues is None else diagonals(g_eigenvalues, back))
    if inner is None:
        return None
    found = matmul(matmul(eigenvectors, inner), back)
    return (found + adjoint(found)) / 2  # both triangles say the same, though one is read


eigh = several(
    lambda x, UPLO: _eigh(x, UPLO),
    kind="linalg",
    namespace="linalg",
    doc="Eigenvalues, ascending, and eigenvectors of symmetric matrices, of which one triangle is read",
    outputs=("eigenvalues", "eigenvectors"),
    prepare=_eigh_params,
    result="floating",
    symmetric=True,
    checks=lambda row: row.inputs,
    on_complex="adjoint",
    shape=lambda x, UPLO: [Spec(x.shape[:-1], real_of(x.dtype)), Spec(x.shape, x.dtype)],
    vjp=_eigh_vjp,
    samples=lambda: [([SYMMETRIC], {"UPLO": "L"}), ([np.stack([SYMMETRIC, 2 * SYMMETRIC])], {"UPLO": "U"})],
    oracle="np.linalg.eigh((x + np.swapaxes(x, -1, -2)) / 2)",
)


def _svd_params(x: Any, full_matrices: bool = True, *, driver: None = None) -> dict[str, Any]:
    if driver is not None:
        raise RuntimeError(f"svd: drivers are for GPUs, and this runs on the CPU: leave driver={driver!r} out")
    return matrix_params(x) | {"full_matrices": bool(full_matrices)}


def _svd_vjp(g_U: Any, g_S: Any, g_Vh: Any, U: Any, S: Any, Vh: Any) -> Any:
    """Vectors beyond the smaller dimension, which `full_matrices` adds, are arbitrary, and pass nothing on."""
    k, s = S.shape[-1], S
    u, vh = columns(U, 0, k), rows(Vh, 0, k)
    g_u = None if g_U is None else columns(g_U, 0, k)
    g_v = None if g_Vh is None else adjoint(rows(g_Vh, 0, k))
    v = adjoint(vh)
    inner, left, right = None if g_S is None else diagonals(g_S, u), None, None
    if g_u is not None:
        along = matmul(adjoint(u), g_u)
        x = _over_gaps(along, s * s)
        inner = _total(inner, (x + adjoint(x)) * row_of(s))
        if is_complex(x):  # of vectors that turn, as those of V do the other way
            inner = _total(inner, imaginary(where(np.eye(k, dtype=bool), imag_part(along), 0) / row_of(s)))
        left = g_u / row_of(s)
        left = matmul(left - matmul(u, matmul(adjoint(u), left)), vh)
    if g_v is not None:
        x = _over_gaps(matmul(adjoint(v), g_v), s * s)
        inner = _total(inner, column_of(s) * (x + adjoint(x)))
        right = g_v / row_of(s)
        right = matmul(u, adjoint(right - matmul(v, matmul(vh, right))))
    return _total(None if inner is None else matmul(matmul(u, inner), vh), left, right)


def _svd_shapes(x: Any, full_matrices: bool) -> list[Spec]:
    m, n = x.shape[-2:]
    k = min(m, n)
    return [
        _numbers(x, m, m if full_matrices else k),
        Spec((*x.shape[:-2], k), real_of(x.dtype)),
        _numbers(x, n if full_matrices else k, n),
    ]


TALL = np.array([[2.0, 0.3], [-1.0, 1.5], [0.4, -0.7]])
svd = several(
    lambda x, full_matrices: _svd(x, full_matrices),
    kind="linalg",
    namespace="linalg",
    doc="Singular value decomposition of matrices: U, the singular values in descending order, and V transposed",
    outputs=("U", "S", "Vh"),
    prepare=_svd_params,
    result="floating",
    checks=lambda row: row.inputs,
    on_complex="adjoint",
    shape=_svd_shapes,
    vjp=_svd_vjp,
    samples=lambda: [([a], {"full_matrices": False}) for a in (TALL, TALL.T, WELL_CONDITIONED, np.stack([TALL, -3 * TALL]))],
    oracle="np.linalg.svd(x, full_matrices)",
)


def _qr_params(x: Any, mode: str = "reduced") -> dict[str, Any]:
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(f"qr: mode must be 'reduced', 'complete' or 'r', not {mode!r}")
    return matrix_params(x) | {"mode": mode}


def qr_vjp(g_q: Any, g_r: Any, q: Any, r: Any) -> Any:
    """Of a wide matrix the columns beyond the square part are `q` times their part of `r`."""
    if g_q is None and g_r is None:
        return None
    k, n = r.shape[-2:]
    if n > k:
        square, beyond = columns(r, 0, k), columns(r, k, n - k)
        g_square = None if g_r is None else columns(g_r, 0, k)
        g_beyond = None if g_r is None else columns(g_r, k, n - k)
        more = None if g_beyond is None else matmul(matmul(q, beyond), adjoint(g_beyond))
        first = qr_vjp(_total(g_q, more), g_square, q, square)
        rest = None if g_beyond is None else matmul(q, g_beyond)
        dim = first.ndim - 1
        return pad(first, dim=dim, start=0, size=n) if rest is None else cat(first, rest, dim=dim)
    back = None if g_q is None else -matmul(adjoint(g_q), q)
    inner = _total(None if g_r is None else matmul(r, adjoint(g_r)), back)
    below, lower = np.tril(np.ones((k, k), bool), -1), np.tril(np.ones((k, k), bool))
    mirrored = where(lower, inner, 0) + adjoint(where(below, inner, 0))
    if is_complex(mirrored):  # the diagonal of R is real
        mirrored = mirrored - imaginary(where(np.eye(k, dtype=bool), imag_part(mirrored), 0))
    return adjoint(solve_triangular(r, adjoint(_total(g_q, matmul(q, mirrored))), upper=True, unit=False))


def _qr_shapes(x: Any, mode: str) -> list[Spec]:
    m, n = x.shape[-2:]
    k = m if mode == "complete" else min(m, n)
    return [Spec((0,), x.dtype) if mode == "r" else _numbers(x, m, k), _numbers(x, k, n)]


def _qr_rule(g_Q: Any, g_R: Any, Q: Any, R: Any, mode: str) -> Any:
    m, n = Q.shape[-2] if mode != "r" else 0, R.shape[-1]
    if mode == "r":
        raise RuntimeError("qr: mode='r' has no derivative, as that takes Q: use 'reduced'")
    if mode == "complete" and m > n:
        raise RuntimeError(
            "qr: mode='complete' of a tall matrix has no derivative, as its last columns are arbitrary: use 'reduced'"
        )
    return qr_vjp(g_Q, g_R, Q, R)


def _qr(x: Any, mode: str) -> tuple[Any, Any]:
    return (np.zeros(0, x.dtype), np.linalg.qr(x, "r")) if mode == "r" else np.linalg.qr(x, mode)


qr = several(
    _qr,
    kind="linalg",
    namespace="linalg",
    doc="Matrices as products of Q with orthonormal columns and an upper triangular R",
    outputs=("Q", "R"),
    prepare=_qr_params,
    result="floating",
    on_complex="adjoint",
    shape=_qr_shapes,
    vjp=_qr_rule,
    samples=lambda: [([a], {"mode": "reduced"}) for a in (TALL, TALL.T, WELL_CONDITIONED, np.stack([TALL, -3 * TALL]))],
    oracle="np.linalg.qr(x, mode)",
)

frexp = several(
    np.frexp,
    kind="splitting",
    doc="Numbers as `mantissa * 2**exponent`, with a mantissa from 0.5 to 1 in absolute value",
    outputs=("mantissa", "exponent"),
    result="floating",
    shape=lambda x: [Spec(x.shape, x.dtype), Spec(x.shape, INTEGER)],
    vjp=lambda g_mantissa, exponent, x_dtype: None if g_mantissa is None else g_mantissa * exp2(cast(-exponent, dtype=x_dtype)),
    samples=lambda: [((2, 3), {})],
    oracle="(x / 2.0 ** (np.floor(np.log2(abs(x))) + 1), (np.floor(np.log2(abs(x))) + 1).astype(np.int32))",
)

register(globals())
