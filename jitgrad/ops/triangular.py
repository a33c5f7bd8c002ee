"""Triangular systems of equations."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.ops import elimination
from jitgrad.ops.choosing import where
from jitgrad.ops.lapack import blas, has_scipy
from jitgrad.ops.linalg import WELL_CONDITIONED, adjoint, matmul
from jitgrad.ops.shapes import Spec
from jitgrad.ops.table import Loops, Op, register


def triangle(n: int, upper: bool, strict: bool = False) -> np.ndarray:
    """Where a triangle of square matrices is, with the diagonal unless `strict`."""
    return np.triu(np.ones((n, n), bool), int(strict)) if upper else np.tril(np.ones((n, n), bool), -int(strict))


SMALL = 48
"""The dimension up to which NumPy solves triangular systems: one call for all, though it takes the zeros for numbers."""


def solved_by_substitution(x: np.ndarray, y: np.ndarray, upper: bool, unit: bool) -> np.ndarray:
    if x.shape[-1] > SMALL and has_scipy():
        return _by_lapack(x, y, upper, unit)
    x = _alone(x, upper, unit)
    if not upper:  # elimination leaves an upper triangle as it is, so that what is left is substitution
        x, y = x[..., ::-1, ::-1], y[..., ::-1, :]
    try:
        z = np.linalg.solve(x, y)
        if not np.isfinite(z).all():  # which elimination spreads over all of it
            z = _substituted(x, y)
    except np.linalg.LinAlgError:
        z = _substituted(x, y)
    return z if upper else np.ascontiguousarray(z[..., ::-1, :])


def _by_lapack(x: np.ndarray, y: np.ndarray, upper: bool, unit: bool) -> np.ndarray:
    """As z^T x^T = y^T, whose matrices lie in memory as BLAS has them, and so do those of x and x^T."""
    trsm, z = blas("trsm", x, "solving triangular systems"), np.array(y, order="C")
    for place in np.ndindex(x.shape[:-2]):
        if unit or np.diagonal(x[place]).all():
            turned = x[place].flags.f_contiguous
            given = x[place] if turned else x[place].T
            trsm(1, given, z[place].T, side=1, lower=upper != turned, trans_a=int(turned), diag=int(unit), overwrite_b=1)
            if np.isfinite(z[place]).all():
                continue
        whole, rows = (x[place], y[place]) if upper else (x[place][::-1, ::-1], y[place][::-1])
        found = _substituted(_alone(whole, True, unit), rows)
        z[place] = found if upper else found[::-1]
    return z


def _alone(x: np.ndarray, upper: bool, unit: bool) -> np.ndarray:
    """A triangle of matrices, with ones on the diagonal if it is `unit`, and zeros elsewhere."""
    n = x.shape[-1]
    return np.where(triangle(n, upper, unit), x, np.eye(n, dtype=x.dtype) if unit else x.dtype.type(0))


def _substituted(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The same from row to row, for triangles with a zero on the diagonal, or with what is not finite: it goes upwards alone."""
    z = np.array(y)
    for i in reversed(range(x.shape[-1])):
        z[..., i, :] -= (x[..., i : i + 1, i + 1 :] @ z[..., i + 1 :, :])[..., 0, :]
        z[..., i, :] /= x[..., i, i, None]
    return z


def _triangular_vjp(g: Any, x: Any, z: Any, upper: bool, unit: bool) -> Any:
    back = solve_triangular(adjoint(x), g, upper=not upper, unit=unit)
    return where(triangle(x.shape[-1], upper, unit), -matmul(back, adjoint(z)), 0)


solve_triangular = Op(
    solved_by_substitution,
    kind="linalg",
    inputs=("x", "y"),
    output="z",
    internal=True,
    result="floating",
    loops=Loops(elimination.solve_triangular),
    on_complex="adjoint",
    vjp=(_triangular_vjp, lambda g, x, upper, unit: solve_triangular(adjoint(x), g, upper=not upper, unit=unit)),
    shape=lambda x, y, upper, unit: Spec(y.shape, y.dtype),
    samples=lambda: [
        ([WELL_CONDITIONED, (3, 2)], {"upper": True, "unit": False}),
        ([np.stack([WELL_CONDITIONED, 2 * WELL_CONDITIONED]), (2, 3, 1)], {"upper": False, "unit": False}),
        ([WELL_CONDITIONED, (3, 2)], {"upper": False, "unit": True}),
    ],
    oracle="np.linalg.inv((np.triu if upper else np.tril)(np.where(np.eye(3) * unit, 1, x))) @ y",
)
"""The z with x z = y for a triangle of x, whose diagonal is taken to be 1 if `unit`; equal leading dimensions."""

register(globals())
