"""Factorisations and solvers that PyTorch has at the top, by their older names and arguments."""

from __future__ import annotations

import math
from typing import Any

from jitgrad.functions.bind import bound
from jitgrad.functions.creation import zeros
from jitgrad.functions.face import face
from jitgrad.functions.linear_algebra import factoring, norms, solving
from jitgrad.functions.linear_algebra.factoring import _reflected
from jitgrad.functions.linear_algebra.norms import _of_some
from jitgrad.functions.linear_algebra.operands import check_pivots, identity, matrices, powers, together
from jitgrad.functions.numeric import where
from jitgrad.functions.shaping import flip
from jitgrad.ops import TABLE, decompositions
from jitgrad.ops.decompositions import columns, slogdet
from jitgrad.ops.factoring import lu_parts, swapping
from jitgrad.ops.linalg import adjoint as turned
from jitgrad.ops.linalg import transposed
from jitgrad.ops.shapes import axes
from jitgrad.ops.solving import solve_factored
from jitgrad.record.apply import apply
from jitgrad.tensors import return_types
from jitgrad.tensors.results import named
from jitgrad.tensors.tensor import Tensor

_SVD = named("svd_at_top", "U", "S", "V", shown="svd")
_QR = named("qr_at_top", "Q", "R", shown="qr")
_TriangularSolve = named("triangular_solve", "solution", "cloned_coefficient")
_LUUnpack = named("lu_unpack", "P", "L", "U")
_vector_norm = bound(TABLE["norm"])


def norm(input: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Tensor:
    """The norm (sum |x|^p)^(1/p) over dimensions, by default all; "nuc" is the sum of the singular values of matrices."""
    if isinstance(p, str) and p == "nuc":
        if dim is None and input.ndim != 2:
            raise RuntimeError(f"norm: of shape {list(input.shape)}, 'nuc' needs dim, the two dimensions that matrices are")
        return norms.matrix_norm(input, p, (-2, -1) if dim is None else dim, keepdim, dtype=dtype)
    if isinstance(p, (int, float)):
        _of_some("norm", input, p, axes(dim, input.ndim))
    return _vector_norm(norms.widened("norm", input, dtype), 2.0 if p is None else p, dim, keepdim)


@face(method=False)
def frobenius_norm(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """The roots of the sums of squares over dimensions, by default all."""
    return _vector_norm(input, 2.0, dim, keepdim)


@face(method=False)
def nuclear_norm(input: Tensor, dim: Any = (-2, -1), keepdim: bool = False) -> Tensor:
    """The sums of the singular values of matrices."""
    return norm(input, "nuc", dim, keepdim)


@face(method=False)
def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """The powers of numbers, a row each, from N - 1 down to 0, or up if `increasing`; N is by default how many there are."""
    if x.ndim != 1:
        raise RuntimeError(
            f"vander takes a tensor of one dimension, and its shape is {list(x.shape)}: linalg.vander takes others"
        )
    count = x.shape[0] if N is None else N
    if count < 0:
        raise RuntimeError(f"vander: N, the number of powers, must not be negative, and it is {count}")
    found = powers(x, count)
    return found if increasing else flip(found, (-1,))


def logdet(input: Tensor) -> Tensor:
    """The logarithms of determinants; nan where real ones are negative, -inf where they are 0."""
    matrices("logdet", input, square=True)
    sign, size = apply(slogdet, (input,))
    return size + sign.log() if sign.dtype.is_complex else where(sign < 0, math.nan, size)


@face(exact=True)
def inverse(input: Tensor) -> Tensor:
    """Inverses of square matrices; `LinAlgError` if one is singular."""
    return solving.inv(input)


def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """Pseudo-inverses, without the singular values up to `rcond` times the largest."""
    return solving.pinv(input, rcond)


def cholesky(input: Tensor, upper: bool = False) -> Tensor:
    """The lower triangles L with A = L L^T, or the upper ones U with A = U^T U, of positive definite matrices."""
    return factoring.cholesky(input, upper=upper)


def cholesky_solve(input: Tensor, input2: Tensor, upper: bool = False) -> Tensor:
    """The X with A X = input, for the matrices A with the Cholesky factors `input2` (upper ones if `upper`)."""
    matrices("cholesky_solve", input2, input, square=True)
    B, L = together("cholesky_solve", input, input2)
    if L.shape[-1] != B.shape[-2]:
        raise RuntimeError(f"cholesky_solve: shapes {list(L.shape)} and {list(B.shape)} do not fit")
    return apply(solve_factored, (turned(L) if upper else L, B))


def cholesky_inverse(input: Tensor, upper: bool = False) -> Tensor:
    """The inverses of the matrices with the Cholesky factors `input` (upper ones if `upper`)."""
    matrices("cholesky_inverse", input, square=True)
    return apply(solve_factored, (turned(input) if upper else input, identity(input, *input.shape[-2:])))


@face(exact=True)
def triangular_solve(
    input: Tensor, A: Tensor, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> return_types.triangular_solve:
    """The X with A X = input for a triangle of A, or of its transpose; and A."""
    X = solving.solve_triangular(transposed(A) if transpose else A, input, upper=upper != transpose, unitriangular=unitriangular)
    return _TriangularSolve(X, A.clone())


@face(exact=True)
def lu_solve(input: Tensor, LU_data: Tensor, LU_pivots: Tensor) -> Tensor:
    """The X with A X = input, for the A that `linalg.lu_factor` gave LU and pivots of."""
    return solving.lu_solve(LU_data, LU_pivots, input)


def lu(A: Tensor, pivot: bool = True, get_infos: bool = False) -> tuple[Tensor, ...]:
    """L and U in one matrix and the pivots, as `linalg.lu_factor` gives them, and with `get_infos` which pivot is 0,
    which is an error without."""
    found = factoring.lu_factor_ex(A, pivot=pivot, check_errors=not get_infos)
    return tuple(found) if get_infos else tuple(found[:2])


@face(method=False)
def lu_unpack(LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True) -> return_types.lu_unpack:
    """P, L and U of what `linalg.lu_factor` gives; what is not asked for is empty."""
    matrices("lu_unpack", LU_data)
    check_pivots("lu_unpack", LU_data, LU_pivots)
    nothing = zeros(0, dtype=LU_data.dtype)
    P = swapping(LU_pivots, LU_data.shape[-2], LU_data._held.dtype) if unpack_pivots else nothing
    return _LUUnpack(P, *(lu_parts(LU_data) if unpack_data else (nothing, nothing)))


def svd(input: Tensor, some: bool = True, compute_uv: bool = True) -> return_types.svd_at_top:
    """U, the singular values S and V (not transposed) with A = U diag(S) V^T; without `some` U and V are square.
    Without `compute_uv` they are zeros."""
    matrices("svd", input)
    if not compute_uv:
        m, n = input.shape[-2:]
        squares = [zeros(*input.shape[:-2], k, k, dtype=input.dtype) for k in (m, n)]
        return _SVD(squares[0], factoring.svdvals(input), squares[1])
    U, S, Vh = apply(decompositions.svd, (input,), {"full_matrices": not some})
    return _SVD(U, S, turned(Vh))


@face(method=False)
def svd_lowrank(A: Tensor, q: int | None = 6, niter: int | None = 2, M: Any = None) -> tuple[Tensor, Tensor, Tensor]:
    """U, the largest singular values, at most q, and V of matrices, less M if that is given. They are exact, and nothing is
    drawn: so `niter`, by which PyTorch makes them more precise, changes nothing."""
    matrices("svd_lowrank", A)
    U, S, Vh = apply(decompositions.svd, (A if M is None else A - M,), {"full_matrices": False})
    q = min(6 if q is None else q, S.shape[-1])
    if q < 0:
        raise RuntimeError(f"svd_lowrank: q, how many singular values are wanted, must not be negative, and it is {q}")
    return columns(U, 0, q), S[..., :q], columns(turned(Vh), 0, q)


@face(method=False)
def pca_lowrank(A: Tensor, q: int | None = None, center: bool = True, niter: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """`svd_lowrank` of rows less their mean, unless `center` is false: the columns of V are the principal directions."""
    matrices("pca_lowrank", A)
    most = min(A.shape[-2:])
    q = min(6, most) if q is None else q
    if not 0 <= q <= most:
        raise ValueError(f"pca_lowrank: q must be from 0 to {most}, the smaller size of shape {list(A.shape)}, and it is {q}")
    return svd_lowrank(A, q, niter, A.mean(-2, keepdim=True) if center else None)


def qr(input: Tensor, some: bool = True) -> return_types.qr_at_top:
    """Q with orthonormal columns and an upper triangular R with A = Q R; without `some` Q is square."""
    matrices("qr", input)
    return _QR(*apply(decompositions.qr, (input,), {"mode": "reduced" if some else "complete"}))


def orgqr(input: Tensor, input2: Tensor) -> Tensor:
    """`linalg.householder_product` by its older name."""
    return factoring.householder_product(input, input2)


@face(exact=True)
def ormqr(input: Tensor, input2: Tensor, input3: Tensor, left: bool = True, transpose: bool = False) -> Tensor:
    """The product of the square matrix Q, given by reflections as `geqrf` gives them, or of its transpose, and `input3`:
    Q C, or C Q without `left`."""
    matrices("ormqr", input, input3)
    if input.shape[-2] != input3.shape[-2 if left else -1]:
        raise RuntimeError(f"ormqr: shapes {list(input.shape)} and {list(input3.shape)} do not fit")
    if tuple(input.shape[:-2]) != tuple(input3.shape[:-2]):
        raise RuntimeError(f"ormqr: the batch dimensions of {list(input.shape)} and {list(input3.shape)} must be the same")
    if left:
        return _reflected("ormqr", input, input2, input3, transpose)
    return turned(_reflected("ormqr", input, input2, turned(input3), not transpose))
