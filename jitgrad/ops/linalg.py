"""Products of matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.ops import elimination
from jitgrad.ops.choosing import conj, is_complex
from jitgrad.ops.faults import NO_SOLUTION
from jitgrad.ops.movement import expand, permute, sum
from jitgrad.ops.table import Loops, Op, register


def transposed(x: Any) -> Any:
    """`x` with its last two dimensions swapped."""
    n = x.ndim
    return permute(x, dims=(*range(n - 2), n - 1, n - 2))


def adjoint(x: Any) -> Any:
    """The adjoint of matrices, which rules ask for: of real ones the transpose."""
    return transposed(conj(x) if is_complex(x) else x)


def _lower_matmul(x: Any, y: Any) -> Any:
    """A product of a row and a column is a sum, and one over a dimension of size 1 no sum at all: loops do both."""
    if x.shape[-1] == 1:
        shape = (*x.shape[:-1], y.shape[-1])
        return expand(x, shape=shape) * expand(y, shape=shape)
    if x.shape[-2] == y.shape[-1] == 1:
        return sum(x * transposed(y), dim=(x.ndim - 1,), keepdim=True)
    return matmul(x, y)


matmul = Op(
    np.matmul,
    kind="matmul",
    inputs=("x", "y"),
    output="z",
    method=False,
    label="mm",
    misfit="the last size of the first must be the last but one of the second",
    vjp=(lambda g, y: matmul(g, transposed(y)), lambda g, x: matmul(transposed(x), g)),
    complex_rules=(lambda g, y: matmul(g, adjoint(y)), lambda g, x: matmul(adjoint(x), g)),
    lower=_lower_matmul,
    shape=lambda x, y: (x.shape[:-1] + y.shape[-1:], x.dtype),
    samples=lambda: [([(2, 3), (3, 4)], {}), ([(2, 1, 3), (2, 3, 2)], {})],
    oracle="np.matmul(x, y)",
)

WELL_CONDITIONED = np.array([[4.0, 1.0, -1.0], [0.5, 3.0, 1.0], [-1.0, 0.5, 5.0]])


def nan_throughout(run: Callable, known: Callable = lambda x: ~np.isnan(x)) -> Callable:
    """What `run` makes of square matrices, all nan where one has elements that are not `known`: elimination carries nan
    everywhere, but LAPACK may take it for a pivot of 0, and does not carry it past zeros."""

    def found(x: np.ndarray, *more: np.ndarray) -> np.ndarray:
        good = known(x).all((-2, -1), keepdims=True)
        if good.all():
            return run(x, *more)
        return np.where(good, run(np.where(good, x, np.eye(x.shape[-1], dtype=x.dtype)), *more), x.dtype.type(np.nan))

    return found


def _solve(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    try:
        return nan_throughout(np.linalg.solve)(x, y)
    except np.linalg.LinAlgError:
        raise NO_SOLUTION.raised() from None


solve = Op(
    _solve,
    kind="linalg",
    inputs=("x", "y"),
    output="z",
    internal=True,
    result="floating",
    checks=lambda row: row.inputs,
    loops=Loops(elimination.solve, elimination.factors_room, NO_SOLUTION),
    on_complex="adjoint",
    vjp=(
        lambda g, x, z: -matmul(solve(adjoint(x), g), adjoint(z)),
        lambda g, x: solve(adjoint(x), g),
    ),
    shape=lambda x, y: (y.shape, y.dtype),
    samples=lambda: [([WELL_CONDITIONED, (3, 2)], {}), ([np.stack([WELL_CONDITIONED, 2 * WELL_CONDITIONED]), (2, 3, 1)], {})],
    oracle="np.linalg.inv(x) @ y",
)
"""The z with x z = y, for matrices with equal leading dimensions; `numpy.linalg.LinAlgError` if an x is singular."""

register(globals())
