"""Factorisations of matrices, eigenvalues and singular values."""

from __future__ import annotations

import numpy as np

from jitgrad.functions.complexes import conj
from jitgrad.functions.creation import zeros
from jitgrad.functions.face import face
from jitgrad.functions.linear_algebra.operands import columns_of, floats, identity, matrices
from jitgrad.functions.numeric import where
from jitgrad.ops import decompositions, factoring, packed, solving, triangular
from jitgrad.ops.decompositions import columns
from jitgrad.ops.linalg import adjoint as turned
from jitgrad.ops.linalg import matmul
from jitgrad.record.apply import apply
from jitgrad.tensors import return_types
from jitgrad.tensors.results import named
from jitgrad.tensors.tensor import Tensor

_CholeskyEx = named("linalg_cholesky_ex", "L", "info")
_LUFactor = named("linalg_lu_factor", "LU", "pivots")
_LUFactorEx = named("linalg_lu_factor_ex", "LU", "pivots", "info")
_LDLFactor = named("linalg_ldl_factor", "LD", "pivots")
_LDLFactorEx = named("linalg_ldl_factor_ex", "LD", "pivots", "info")
_LU = named("linalg_lu", "P", "L", "U")


@face(exact=True)
def cholesky(A: Tensor, *, upper: bool = False) -> Tensor:
    """The lower triangles L with A = L L^T of positive definite matrices, of which the lower triangle is read; with `upper` the
    transpose, of the upper one. `LinAlgError` if a matrix is not positive definite."""
    return _cholesky("cholesky", A, upper, True)[0]


@face(exact=True)
def cholesky_ex(A: Tensor, *, upper: bool = False, check_errors: bool = False) -> return_types.linalg_cholesky_ex:
    """`cholesky`, and for each matrix 0 or the order of the first leading minor that is not positive: the factor ends there."""
    return _CholeskyEx(*_cholesky("cholesky_ex", A, upper, check_errors))


def _cholesky(what: str, A: Tensor, upper: bool, check: bool) -> tuple[Tensor, Tensor]:
    matrices(what, A, square=True)
    L, info = apply(solving.cholesky, (turned(A) if upper else A,), {"check": bool(check)})
    return turned(L) if upper else L, info


def _lu(what: str, A: Tensor, pivot: bool, check: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    matrices(what, A)
    if not pivot and A.numel():
        raise RuntimeError(f"linalg.{what}: LAPACK, which computes it on the CPU, always pivots: leave pivot=False out")
    return apply(factoring.lu_factor, (A,), {"check": bool(check)})


@face(exact=True)
def lu_factor(A: Tensor, *, pivot: bool = True) -> return_types.linalg_lu_factor:
    """L and U with A = P L U in one matrix, and the row that each row was changed for, counted from 1. `LinAlgError` if a square
    matrix is singular: `lu_factor_ex` gives them of such ones too, without a derivative."""
    return _LUFactor(*_lu("lu_factor", A, pivot, True)[:2])


@face(exact=True)
def lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False) -> return_types.linalg_lu_factor_ex:
    """`lu_factor`, and for each matrix 0 or which pivot is 0."""
    return _LUFactorEx(*_lu("lu_factor_ex", A, pivot, check_errors))


@face(exact=True)
def lu(A: Tensor, *, pivot: bool = True) -> return_types.linalg_lu:
    """The permutations P, lower triangles L with ones on the diagonal and upper triangles U with A = P L U."""
    LU, pivots, _ = _lu("lu", A, pivot)
    P = factoring.swapping(pivots, A.shape[-2], A._held.dtype) if pivot else zeros(0, dtype=A.dtype)
    return _LU(P, *factoring.lu_parts(LU))


def _ldl(what: str, A: Tensor, check: bool, hermitian: bool) -> tuple[Tensor, Tensor, Tensor]:
    matrices(what, A, square=True)
    return apply(packed.ldl_factor, (A,), {"check": check, "hermitian": bool(hermitian)})


@face(exact=True)
def ldl_factor(A: Tensor, *, hermitian: bool = False) -> return_types.linalg_ldl_factor:
    """L and D with A = L D L^T of symmetric matrices, whose lower triangle is read, in one matrix, and the pivots of LAPACK,
    which `ldl_solve` takes. With `hermitian` A is L D L^H, which is the same of real matrices."""
    return _LDLFactor(*_ldl("ldl_factor", A, True, hermitian)[:2])


@face(exact=True)
def ldl_factor_ex(A: Tensor, *, hermitian: bool = False, check_errors: bool = False) -> return_types.linalg_ldl_factor_ex:
    """`ldl_factor`, and for each matrix 0 or which block of D is singular."""
    return _LDLFactorEx(*_ldl("ldl_factor_ex", A, bool(check_errors), hermitian))


@face(exact=True)
def eigvalsh(A: Tensor, UPLO: str = "L") -> Tensor:
    """The eigenvalues of symmetric matrices, ascending, of which one triangle is read."""
    matrices("eigvalsh", A, square=True)
    return apply(decompositions.eigh, (A,), decompositions.eigh.prepare(A._held, UPLO))[0]  # type: ignore[misc]


@face(exact=True)
def svdvals(A: Tensor, *, driver: None = None) -> Tensor:
    """The singular values of matrices, descending."""
    matrices("svdvals", A)
    return apply(decompositions.svd, (A,), decompositions.svd.prepare(A._held, False, driver=driver))[1]  # type: ignore[misc]


def householder_product(A: Tensor, tau: Tensor) -> Tensor:
    """The first columns of the product of the reflections I - tau v v^T, as many as A has.

    The v are 1 on the diagonal, and the columns of A below it. The product is I - V T V^T, and the inverse of T known: see
    C. Puglisi, "Modification of the Householder method based on the compact WY representation", 1992.
    """
    V, beside = _reflections("householder_product", A, tau)
    m, n = A.shape[-2:]
    if n > m:
        raise RuntimeError(f"linalg.householder_product: A must not be wide, and its shape is {list(A.shape)}")
    top = columns_of(tau, True) * columns(turned(V), 0, n)
    return identity(A, m, n) - matmul(V, apply(triangular.solve_triangular, (beside, top), {"upper": True, "unit": True}))


def _reflections(what: str, A: Tensor, tau: Tensor) -> tuple[Tensor, Tensor]:
    """The vectors V, and the strict upper triangle S for which T = (1 + S)^-1 diag(tau)."""
    matrices(what, A)
    floats(what, A, tau)
    m, k = A.shape[-2], tau.shape[-1] if tau.ndim else -1
    if tuple(tau.shape[:-1]) != tuple(A.shape[:-2]) or not 0 <= k <= A.shape[-1] or k > m:
        raise RuntimeError(
            f"linalg.{what}: tau of shape {list(tau.shape)} does not fit A of shape {list(A.shape)}: at most a number a column"
        )
    below = np.tril(np.ones((m, k), bool), -1)
    V = where(below, columns(A, 0, k), identity(A, m, k))
    above = np.triu(np.ones((k, k), bool), 1)
    return V, columns_of(tau, True) * where(above, matmul(turned(V), V), 0)


def _reflected(what: str, A: Tensor, tau: Tensor, other: Tensor, transpose: bool) -> Tensor:
    """The product of the square matrix that the reflections are with another."""
    V, beside = _reflections(what, A, tau)
    inner, scale = matmul(turned(V), other), columns_of(tau, True)
    if transpose:
        found = conj(scale) * apply(triangular.solve_triangular, (turned(beside), inner), {"upper": False, "unit": True})
    else:
        found = apply(triangular.solve_triangular, (beside, scale * inner), {"upper": True, "unit": True})
    return other - matmul(V, found)
