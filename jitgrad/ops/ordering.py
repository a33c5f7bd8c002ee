"""Order statistics along a dimension, as composites of sorting: their results are values, and the places where they were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitgrad.dtypes import is_floating
from jitgrad.ops.choosing import cast, clamp, eq, ne, where
from jitgrad.ops.indexing import gather
from jitgrad.ops.movement import cat, narrow, reshape, sum
from jitgrad.ops.reductions import COUNT, argmax
from jitgrad.ops.scans import _places_along, cummax_places
from jitgrad.ops.shapes import axis, reduced_shape
from jitgrad.ops.sorting import ONE, sort
from jitgrad.ops.table import Op, composite, register


def _one_params(x: Any, dim: int = -1, keepdim: bool = False) -> dict[str, Any]:
    d = axis(dim, x.ndim)
    if x.ndim and not x.shape[d]:
        raise IndexError(f"dimension {d} of shape {list(x.shape)} is empty, and no element of none can be picked")
    return {"dim": d, "keepdim": bool(keepdim)}


def _kth_params(x: Any, k: int, dim: int = -1, keepdim: bool = False) -> dict[str, Any]:
    found = _one_params(x, dim, keepdim)
    size = x.shape[found["dim"]] if x.ndim else 1
    if isinstance(k, type) or not hasattr(k, "__index__"):
        raise TypeError(f"k must be an int, not {type(k).__name__}")
    if not 1 <= int(k) <= size:
        raise RuntimeError(f"kthvalue: k={int(k)} is not between 1 and {size}, the size of dimension {found['dim']}")
    return {"k": int(k)} | found


def _picked(x: Any, at: Callable, dim: int, keepdim: bool) -> tuple[Any, Any]:
    """Values in order and their places, both of one position along the dimension: `at(x, values)` of the sorted values."""
    values, indices = sort(x, dim=dim, descending=False)
    if not x.shape:
        return values, indices
    position = at(values)
    if isinstance(position, int):
        both = [narrow(v, dim=dim, start=position, length=1) for v in (values, indices)]
    else:
        both = [gather(v, position, dim=dim) for v in (values, indices)]
    shape = reduced_shape(x.shape, (dim,), keepdim)
    return tuple([reshape(v, shape=shape) for v in both])


kthvalue = composite(
    lambda x, k, dim, keepdim: _picked(x, lambda values: k - 1, dim, keepdim),
    doc="The k-th smallest element along a dimension, and where it was; nan is the largest",
    outputs=("values", "indices"),
    prepare=_kth_params,
    samples=lambda: [((3, 4), {"k": 2, "dim": 1, "keepdim": False}), ((3, 4), {"k": 3, "dim": 0, "keepdim": True})],
    oracle="[np.take(part, _kept(k - 1, keepdim), dim) for part in _sorted(x, dim, False)]",
)


def _no_nan(values: Any) -> bool:
    return not is_floating(getattr(values.dtype, "numpy", values.dtype))  # of a tensor, or of an array


def _numbers(values: Any, dim: int) -> Any:
    """How many elements along the dimension are not nan."""
    return values.shape[dim] - sum(cast(ne(values, values), dtype=COUNT), dim=(dim,), keepdim=True)


def _middle(values: Any, dim: int) -> Any:
    """The lower one of the two in the middle, or the first nan."""
    n = values.shape[dim]
    if _no_nan(values):
        return (n - 1) // 2
    count = _numbers(values, dim)
    return where(count < n, count, (n - 1) // 2)


def _middle_number(values: Any, dim: int) -> Any:
    """The lower one of the two in the middle of all that are not nan; the first if all are nan."""
    n = values.shape[dim]
    if _no_nan(values):
        return (n - 1) // 2
    return clamp(_numbers(values, dim) - 1, min=0, max=None) // 2


def _median_row(at: Callable, label: str) -> Op:
    return composite(
        lambda x, dim, keepdim: _picked(x, lambda values: at(values, dim), dim, keepdim),
        label=label,
        outputs=("values", "indices"),
        prepare=_one_params,
        internal=True,
        samples=lambda: ONE,
        oracle="[np.take(part, _kept((x.shape[dim] - 1) // 2, keepdim), dim) for part in _sorted(x, dim, False)]",
    )


median_along = _median_row(_middle, "median")
nanmedian_along = _median_row(_middle_number, "nanmedian")


def _most(values: Any, dim: int) -> Any:
    """Where the first one of the longest runs of equal values ends."""
    n = values.shape[dim]
    numbers = _places_along(values, dim)
    starts = eq(narrow(numbers, dim=dim, start=0, length=1), 0)
    if n > 1:
        ahead, behind = (narrow(values, dim=dim, start=k, length=n - 1) for k in (1, 0))
        starts = cat(starts, ne(ahead, behind), dim=dim)
    length = numbers - cummax_places(where(starts, numbers, -1), dim=dim)
    return argmax(length, dim=dim, keepdim=True)


mode = composite(
    lambda x, dim, keepdim: _picked(x, lambda values: _most(values, dim), dim, keepdim),
    doc="The most frequent element along a dimension, the smallest of several, and where it was last",
    outputs=("values", "indices"),
    prepare=_one_params,
    samples=lambda: ONE,
    oracle="_modes(x, dim, keepdim)",
)

register(globals())
