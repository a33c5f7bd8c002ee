"""What `x[index]` means: from Python's index objects to the index of a row."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.errors import TracedValueError
from jitgrad.ops.indexing import Slot
from jitgrad.handle import Handle


def parse(index: Any, shape: tuple[int, ...]) -> tuple[tuple, list[Any]]:
    """`index` as the static part of a row and its arrays (int64 arrays or tensors).

    Raises `IndexError` for an int out of range or too many indices, `TypeError` for something that is no index.
    """
    items = index if isinstance(index, tuple) else (index,)
    arrays: list[Any] = []
    template: list[Any] = []
    for item in items:
        template.extend(_parts(item, arrays))
    ints = [i for i, t in enumerate(template) if isinstance(t, int)]
    used = sum(1 for t in template if t is not None and t is not Ellipsis)
    if used > len(shape):
        raise IndexError(f"{used} indices for a tensor of {len(shape)} dimensions (shape {list(shape)})")
    if template.count(Ellipsis) > 1:
        raise IndexError("an index may hold one ellipsis (...), not several")
    if Ellipsis not in template:
        template.append(Ellipsis)
    _check_ints(template, ints, shape)
    if arrays and template[-1] is Ellipsis:
        template.pop()
    return tuple(template), arrays


def _check_ints(template: list[Any], ints: list[int], shape: tuple[int, ...]) -> None:
    """The message for an int out of range; NumPy's names axes after the ellipsis is resolved, and so does this."""
    place = template.index(Ellipsis)
    after = sum(1 for t in template[place + 1 :] if t is not None)
    for i in ints:
        before = sum(1 for t in template[:i] if t is not None and t is not Ellipsis)
        axis = before if i < place else len(shape) - after + sum(1 for t in template[place + 1 : i] if t is not None)
        size = shape[axis]
        if not -size <= template[i] < size:
            raise IndexError(f"index {template[i]} is out of range for dimension {axis}, which has size {size}")


def _parts(item: Any, arrays: list[Any]) -> list[Any]:
    if item is None or item is Ellipsis:
        return [item]
    if isinstance(item, slice):
        return [slice(*[None if v is None else _int(v) for v in (item.start, item.stop, item.step)])]
    if isinstance(item, (bool, np.bool_)):
        return [None, *_from_mask(np.array([item]), arrays)]
    if isinstance(item, Handle) and item._value is None:
        return _traced(item, arrays)
    if isinstance(item, Handle):
        item = item._value
    if isinstance(item, (list, tuple)):
        item = np.array([i._value if isinstance(i, Handle) else i for i in item], dtype=None if len(item) else np.int64)
    if isinstance(item, (np.ndarray, np.generic)):
        if item.dtype == np.bool_:
            return _from_mask(np.asarray(item), arrays)
        if item.dtype.kind not in "iu":
            raise IndexError(f"index arrays must be integer or bool, not {item.dtype}")
        if item.ndim:
            arrays.append(item.astype(np.int64))
            return [Slot(len(arrays) - 1)]
    return [_int(item)]


def _traced(item: Handle, arrays: list[Any]) -> list[Any]:
    if item._row.dtype == np.bool_:
        raise TracedValueError(
            "under jit a mask cannot select elements, since the number of results would depend on values: "
            "use where(mask, x, 0) instead of x[mask]"
        )
    if item._row.dtype.kind not in "iu":
        raise IndexError(f"index tensors must be integer or bool, not {item._row.dtype}")
    arrays.append(item)
    return [Slot(len(arrays) - 1)]


def _from_mask(mask: np.ndarray, arrays: list[Any]) -> list[Any]:
    slots = []
    for found in np.nonzero(mask):
        arrays.append(found)
        slots.append(Slot(len(arrays) - 1))
    return slots


def _int(item: Any) -> int:
    try:
        return item.__index__()
    except (AttributeError, TypeError):
        raise TypeError(
            f"cannot index with {type(item).__name__}: use ints, slices, None, ..., integer or bool tensors"
        ) from None
