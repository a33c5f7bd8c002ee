"""Products and extremes of elements that are sent to one place; sums are `scatter_add`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.ops.choosing import cast, eq, where, zeros_like
from jitgrad.ops.indexing import PLACES, gather, grid_of, scatter_add
from jitgrad.ops.movement import expand
from jitgrad.ops.shapes import Spec
from jitgrad.ops.table import Op, register


def _sent(fold: np.ufunc) -> Callable:
    def run(x: Any, index: Any, src: Any, dim: int) -> Any:
        out = np.array(x)
        fold.at(out, grid_of(np.asarray(index), dim), src)
        return out

    return run


def batched_along(row: Any, operands: Any, size: int) -> Any:
    """Every operand gets the batch as a further dimension in front."""
    many = [x.value if hasattr(x, "value") else expand(x, shape=(size, *x.shape)) for x in operands]
    return row.op(*many, dim=row.params["dim"] + 1)


def _scatter(fold: np.ufunc, vjp: tuple[Callable, None, Callable], whole: str, on_complex: str = "") -> Op:
    return Op(
        _sent(fold),
        kind="scattering",
        inputs=("x", "index", "src"),
        output="y",
        internal=True,
        exact=True,
        on_complex=on_complex,
        doc="What elements that are sent to places make of what is there",
        vjp=vjp,
        batch=batched_along,
        shape=lambda x, index, src, dim: Spec(x.shape, x.dtype),
        samples=lambda: [([(3, 4), PLACES, (2, 3)], {"dim": 1}), ([(3, 4), PLACES, (2, 3)], {"dim": 0})],
        oracle=(
            f"np.array([np.{whole}([x[p], *[src[q] for q in np.ndindex(index.shape) if (*q[:dim], index[q], *q[dim + 1:]) == p]])"
            " for p in np.ndindex(x.shape)]).reshape(x.shape)"
        ),
    )


def _ties(x: Any, index: Any, src: Any, y: Any, x_dtype: np.dtype, dim: int) -> tuple[Any, Any, Any]:
    """Which elements of both are the extreme, and how many are at each place: they share the cotangent."""
    mine, theirs = eq(x, y), eq(src, gather(y, index, dim=dim))
    count = scatter_add(cast(mine, dtype=x_dtype), index, cast(theirs, dtype=x_dtype), dim=dim)
    return mine, theirs, count


def _kept(g: Any, x: Any, index: Any, src: Any, y: Any, x_dtype: np.dtype, dim: int) -> Any:
    mine, _, count = _ties(x, index, src, y, x_dtype, dim)
    return where(mine, g / count, zeros_like(g))


def _arrived(g: Any, x: Any, index: Any, src: Any, y: Any, x_dtype: np.dtype, dim: int) -> Any:
    _, theirs, count = _ties(x, index, src, y, x_dtype, dim)
    found = gather(g / count, index, dim=dim)
    return where(theirs, found, zeros_like(found))


_SHARED = (
    lambda g, x, index, src, y, x_dtype, dim: _kept(g, x, index, src, y, x_dtype, dim),
    None,
    lambda g, x, index, src, y, x_dtype, dim: _arrived(g, x, index, src, y, x_dtype, dim),
)

scatter_max = _scatter(np.maximum, _SHARED, "max")
scatter_min = _scatter(np.minimum, _SHARED, "min")
scatter_prod = _scatter(
    np.multiply,
    (
        lambda g, x, y: g * y / x,
        None,
        lambda g, index, src, y, dim: gather(g * y, index, dim=dim) / src,
    ),
    "prod",
    on_complex="holomorphic",
)
"""Of numbers that are not 0: what is multiplied by zeros has another derivative, see `functions.scattering`."""

register(globals())
