"""Systems of equations, inverses and determinants."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jitgrad.errors import TracedValueError
from jitgrad.functions.creation import zeros
from jitgrad.functions.face import face
from jitgrad.functions.linear_algebra.operands import (
    check_pivots,
    columns_of,
    cutoffs,
    floats,
    identity,
    is_vector,
    matrices,
    together,
)
from jitgrad.functions.numeric import where
from jitgrad.functions.shaping import permute, reshape, squeeze
from jitgrad.ops import determinants, factoring, linalg, packed
from jitgrad.ops import solving as rows
from jitgrad.ops.decompositions import svd
from jitgrad.ops.linalg import adjoint as turned
from jitgrad.ops.linalg import matmul
from jitgrad.ops.movement import expand
from jitgrad.ops.shapes import axis
from jitgrad.ops.triangular import solve_triangular as substituted
from jitgrad.record.apply import apply
from jitgrad.tensors import return_types
from jitgrad.tensors.results import named
from jitgrad.tensors.tensor import Tensor

_InvEx = named("linalg_inv_ex", "inverse", "info")
_SolveEx = named("linalg_solve_ex", "result", "info")
_Lstsq = named("linalg_lstsq", "solution", "residuals", "rank", "singular_values")


@face(top=True, method=True, exact=True)
def det(A: Tensor) -> Tensor:
    """Determinants of square matrices, with derivatives where these are singular, too."""
    matrices("det", A, square=True)
    return apply(determinants.det, (A,))


@face(exact=True)
def inv(A: Tensor) -> Tensor:
    """Inverses of square matrices; `LinAlgError` if one is singular."""
    matrices("inv", A, square=True)
    return apply(rows.inv, (A,))


@face(exact=True)
def inv_ex(A: Tensor, *, check_errors: bool = False) -> return_types.linalg_inv_ex:
    """Inverses, and for each matrix 0 or which pivot is 0: it is singular then, and what stands for the inverse is nan."""
    matrices("inv_ex", A, square=True)
    info = apply(factoring.zero_pivot, (A,))
    if check_errors:
        return _InvEx(inv(A), info)
    singular = info[..., None, None] != 0
    return _InvEx(where(singular, math.nan, inv(where(singular, identity(A, *A.shape[-2:]), A))), info)


@face(exact=True)
def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """The X with A X = B, or X A = B without `left`; `LinAlgError` if a matrix is singular.

    B is a batch of vectors if it has one dimension, or one less than A and otherwise the shape of it.
    """
    A, B, vector = _system("solve", A, B, left)
    if not left:
        A, B = turned(A), turned(B)
    X = apply(linalg.solve, (A, B))
    return squeeze(X, -1) if vector else X if left else turned(X)


def _system(what: str, A: Tensor, B: Tensor, left: bool) -> tuple[Tensor, Tensor, bool]:
    """Matrices and right-hand sides with equal leading dimensions, and whether the latter were vectors."""
    matrices(what, A, square=True)
    floats(what, A, B)
    vector = is_vector(A, B)
    if vector and not left:
        raise RuntimeError(f"linalg.{what}: without left, B must be matrices, and its shape is {list(B.shape)}")
    A, B = together(what, A, columns_of(B, vector))
    if A.shape[-1] != B.shape[-2 if left else -1]:
        raise RuntimeError(
            f"linalg.{what}: matrices of shape {list(A.shape)} do not fit right-hand sides of shape {list(B.shape)}: as many "
            f"{'rows' if left else 'columns'} are needed"
        )
    return A, B, vector


@face(exact=True)
def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False) -> return_types.linalg_solve_ex:
    """`solve`, and for each matrix 0 or which pivot is 0: it is singular then, and what stands for the solution is nan."""
    matrices("solve_ex", A, square=True)
    info = apply(factoring.zero_pivot, (A,))
    if check_errors:
        return _SolveEx(solve(A, B, left=left), info)
    singular = info[..., None, None] != 0
    vector = is_vector(A, B)
    X: Tensor = solve(where(singular, identity(A, *A.shape[-2:]), A), B, left=left)
    return _SolveEx(where(singular[..., 0] if vector else singular, math.nan, X), info)


@face(exact=True)
def solve_triangular(A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Tensor:
    """The X with A X = B, or X A = B without `left`, of which one triangle of A is read, without its diagonal of ones if
    `unitriangular`. Where the diagonal is 0 there are infinities."""
    matrices("solve_triangular", A, B, square=True)
    A, B = together("solve_triangular", A, B)
    if not left:
        A, B, upper = turned(A), turned(B), not upper
    if A.shape[-1] != B.shape[-2]:
        raise RuntimeError(f"linalg.solve_triangular: shapes {list(A.shape)} and {list(B.shape)} do not fit")
    X = apply(substituted, (A, B), {"upper": bool(upper), "unit": bool(unitriangular)})
    return X if left else turned(X)


@face(exact=True)
def lu_solve(LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False) -> Tensor:
    """The X with A X = B, or X A = B without `left`, for the A (transposed if `adjoint`) that `lu_factor` factored."""
    matrices("lu_solve", LU, B, square=True)
    check_pivots("lu_solve", LU, pivots)
    if not left:
        return turned(lu_solve(LU, pivots, turned(B), adjoint=not adjoint))
    if LU.shape[-1] != B.shape[-2]:
        raise RuntimeError(f"linalg.lu_solve: LU of shape {list(LU.shape)} does not fit B of shape {list(B.shape)}")
    LU, pivots, B = together("lu_solve", LU, pivots, B, ranks=(2, 1, 2))
    P = factoring.swapping(pivots, LU.shape[-1], LU._held.dtype)
    lower, upper = {"upper": False, "unit": True}, {"upper": True, "unit": False}
    if not adjoint:
        return apply(substituted, (LU, apply(substituted, (LU, matmul(turned(P), B)), lower)), upper)
    back = turned(LU)
    inner = apply(substituted, (back, B), {"upper": False, "unit": False})
    return matmul(P, apply(substituted, (back, inner), {"upper": True, "unit": True}))


@face(exact=True)
def ldl_solve(LD: Tensor, pivots: Tensor, B: Tensor, *, hermitian: bool = False) -> Tensor:
    """The X with A X = B for the A that `ldl_factor` factored."""
    matrices("ldl_solve", LD, B, square=True)
    check_pivots("ldl_solve", LD, pivots)
    if LD.shape[-1] != B.shape[-2]:
        raise RuntimeError(f"linalg.ldl_solve: LD of shape {list(LD.shape)} does not fit B of shape {list(B.shape)}")
    operands = together("ldl_solve", LD, pivots, B, ranks=(2, 1, 2))
    return apply(packed.ldl_solve, tuple(operands), {"hermitian": bool(hermitian)})


def pinv(A: Tensor, rcond: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None) -> Tensor:
    """Pseudo-inverses, without the singular values up to the larger of `atol` and `rtol` times the largest.

    `rtol` is by default the larger size times the precision of the dtype, or 0 where `atol` is positive; `rcond` is its older
    name. With `hermitian`, A is symmetric, and its lower triangle is read. The derivative is that of a constant rank.
    """
    matrices("pinv", A, square=hermitian)
    bounds = [apply(expand, (x,), {"shape": tuple(A.shape[:-2])}) for x in cutoffs(A, atol, rcond if rtol is None else rtol)]
    return apply(rows.pinv, (A, *bounds), {"hermitian": bool(hermitian)})


def lstsq(A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None) -> return_types.linalg_lstsq:
    """The X of smallest norm for which A X - B has the smallest norm: solution, residuals, rank, singular_values.

    Singular values up to `rcond` (by default the larger size times the precision) times the largest are left out. As in PyTorch,
    the residuals are there with the drivers "gels", "gelss" and "gelsd" if A is tall and has full rank, the rank without
    "gels", and the singular values with "gelss" and "gelsd"; what is not there is
    empty. The solution is pinv(A) B with all of them.
    """
    matrices("lstsq", A)
    floats("lstsq", A, B)
    if driver not in (None, "gels", "gelsy", "gelsd", "gelss"):
        raise RuntimeError(f"linalg.lstsq: driver must be 'gels', 'gelsy', 'gelsd' or 'gelss', not {driver!r}")
    vector = is_vector(A, B)
    A_, B_ = together("lstsq", A, columns_of(B, vector))
    m, n = A.shape[-2:]
    if B_.shape[-2] != m:
        raise RuntimeError(f"linalg.lstsq: A of shape {list(A.shape)} and B of shape {list(B.shape)} must have as many rows")
    X = matmul(pinv(A_, rcond), B_)
    values = apply(svd, (A.detach(),), {"full_matrices": False})[1]
    rank = (values > cutoffs(A, None, rcond)[1] * values[..., :1]).sum(-1)
    residuals = reshape(X, -1)[:0].real  # none, of what is differentiable, as PyTorch has them
    if m > n and driver in ("gels", "gelsd", "gelss") and (driver == "gels" or _is_full(rank, n)):
        apart = matmul(A_, X) - B_
        residuals = (apart * apart.conj()).real.sum(-2)
    if driver == "gels":
        rank = zeros(0, dtype=np.int64)
    values = values if driver in ("gelsd", "gelss") else zeros(0, dtype=values.dtype)
    return _Lstsq(squeeze(X, -1) if vector else X, residuals, rank, values)


def _is_full(rank: Tensor, n: int) -> bool:
    if rank._value is None:
        raise TracedValueError(
            "linalg.lstsq: with this driver whether there are residuals depends on the rank, which is not known yet: use "
            "driver='gels' or 'gelsy'"
        )
    return bool(np.all(rank.numpy() == n))


def tensorinv(A: Tensor, ind: int = 2) -> Tensor:
    """The inverse of what `tensordot` with A over its last dimensions does, of which the first `ind` are the result's."""
    floats("tensorinv", A)
    if ind <= 0:
        raise RuntimeError(f"linalg.tensorinv: ind must be positive, and it is {ind}")
    first, last = tuple(A.shape[:ind]), tuple(A.shape[ind:])
    n = math.prod(last)
    if math.prod(first) != n:
        raise RuntimeError(
            f"linalg.tensorinv: the first {ind} sizes of {list(A.shape)} must have the product that the others have"
        )
    return reshape(inv(reshape(A, (n, n))), (*last, *first))


def tensorsolve(A: Tensor, B: Tensor, dims: Sequence[int] | None = None) -> Tensor:
    """The X with `tensordot(A, X, X.ndim) = B`; the dimensions of A that `dims` names are moved to its end before."""
    floats("tensorsolve", A, B)
    if dims is not None:
        last_ones = [axis(d, A.ndim) for d in dims]
        A = permute(A, [*[d for d in range(A.ndim) if d not in last_ones], *last_ones])
    first, last = tuple(A.shape[: B.ndim]), tuple(A.shape[B.ndim :])
    n = math.prod(last)
    if math.prod(first) != n or B.numel() != n:
        raise RuntimeError(
            f"linalg.tensorsolve: the first {B.ndim} sizes of A, {list(A.shape)}, must have the product that the others have, "
            f"and B, {list(B.shape)}, as many elements"
        )
    return reshape(solve(reshape(A, (n, n)), reshape(B, n)), last)
