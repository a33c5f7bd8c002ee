"""What `x[index]` means: from Python's index objects to the indices of rows.

As in PyTorch, ints, slices and None are looked up first, and what is left is indexed by arrays; NumPy lets an int
beside an array take part in its broadcasting, which moves dimensions about. So one index becomes one or more `Step`s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jitgrad.errors import OutOfRangeError, TracedValueError
from jitgrad.ops.choosing import cast
from jitgrad.ops.indexing import Slot
from jitgrad.record.foreign import by_numpy
from jitgrad.record.leaving import refuse_masked
from jitgrad.record.nonzero import nonzero
from jitgrad.record.trace import captured_here, comes_later
from jitgrad.tape.device_array import ARRAYS, DeviceArray
from jitgrad.tape.handle import Handle

ALL = slice(None)
INT64 = np.dtype(np.int64)
_PLAIN = {int, type(None)}


class Step(NamedTuple):
    """One row's share of an index: its static part, and its arrays (int64 arrays or traced tensors)."""

    template: tuple
    arrays: tuple[Any, ...]


def parse(index: Any, shape: tuple[int, ...]) -> list[Step]:
    """The steps of `x[index]` for an `x` of that shape; at least one.

    Raises `IndexError` for an int out of range, too many indices, a mask of the wrong shape or what is no index.
    """
    template = plain(index, shape)
    if template is not None:
        return [Step(template, ())]
    items = [_item(i) for i in index] if isinstance(index, tuple) else [_item(index)]
    used = sum(map(_consumed, items))
    if used > len(shape):
        raise IndexError(f"{used} indices for a tensor of {len(shape)} dimensions (shape {list(shape)}): leave some out")
    if sum(i is Ellipsis for i in items) > 1:
        raise IndexError("an index may hold one ellipsis (...), not several")
    return _Steps(shape, len(shape) - used).take(items)


def plain(index: Any, shape: tuple[int, ...]) -> tuple | None:
    """The index of a row if `index` is just ints within range and slices of ints without a step; else None."""
    items = index if index.__class__ is tuple else (index,)
    if not items or len(items) > len(shape):
        return None
    for item, size in zip(items, shape):
        if item.__class__ is int:
            if not -size <= item < size:
                return None
        elif item.__class__ is not slice or not {item.start.__class__, item.stop.__class__} <= _PLAIN or item.step is not None:
            return None
    return (*items, Ellipsis)


def _item(item: Any) -> Any:
    """An item as an int, slice, None, Ellipsis, bool, bool array, int64 array or traced tensor."""
    if item is None or item is Ellipsis or isinstance(item, bool):
        return item
    if isinstance(item, slice):
        found = slice(*[None if v is None else _int(v) for v in (item.start, item.stop, item.step)])
        if found.step == 0:
            raise ValueError("the step of a slice must not be 0")
        return found
    item = by_numpy(item)
    if isinstance(item, Handle):
        if comes_later(item) and (item._value is None or item._value.dtype != np.bool_):
            return _traced(captured_here(item))
        item = item._known("an index")  # type: ignore[attr-defined]
    elif isinstance(item, (list, tuple, range)):
        known = [i._known("an index") if isinstance(i, Handle) else i for i in item]  # type: ignore[attr-defined]
        try:
            item = np.array(known, dtype=None if known else np.int64)
        except ValueError:
            raise IndexError(f"an index array cannot be made of nested sequences of different lengths: {item!r}") from None
    if not isinstance(item, (*ARRAYS, np.generic)):
        return _int(item)
    refuse_masked(item)
    if item.dtype == np.bool_:
        return item if item.ndim else bool(item)
    if item.dtype == np.uint8 and item.ndim:
        raise IndexError(
            "an index of dtype uint8 is a mask to PyTorch and positions to NumPy: say which, with .bool() or .long()"
        )
    if item.dtype.kind not in "iu":
        raise IndexError(f"index arrays must be integer or bool, not {item.dtype}")
    if isinstance(item, DeviceArray):
        return cast(item, dtype=INT64)
    return item.astype(INT64) if item.ndim else int(item)


def _int(item: Any) -> int:
    try:
        return item.__index__()
    except TracedValueError:
        raise
    except (AttributeError, TypeError):
        kind: type[Exception] = TypeError if isinstance(item, str) else IndexError
        raise kind(f"cannot index with {type(item).__name__}: use ints, slices, None, ..., integer or bool tensors") from None


def _traced(item: Handle) -> Handle:
    if item._row.dtype == np.bool_:
        raise TracedValueError(
            "under jit and vmap a mask cannot select elements, since the number of results would depend on values: "
            "use where(mask, x, 0) instead of x[mask]"
        )
    if item._row.dtype.kind not in "iu":
        raise IndexError(f"index tensors must be integer or bool, not {item._row.dtype}")
    return item


def _consumed(item: Any) -> int:
    """How many dimensions of the tensor an item is about."""
    if item is None or item is Ellipsis or isinstance(item, bool):
        return 0
    return item.ndim if isinstance(item, ARRAYS) and item.dtype == np.bool_ else 1


class _Steps:
    """The work of `parse`: what each item adds to the step of ints and slices, and to that of the arrays."""

    def __init__(self, shape: tuple[int, ...], rest: int) -> None:
        self.shape = shape
        self.rest = rest  # dimensions that the ellipsis stands for
        self.axis = 0  # of the tensor
        self.basic: list[Any] = []
        self.rich: list[Any] = []  # one item for each dimension that is there after the basic step
        self.arrays: list[Any] = []

    def take(self, items: list[Any]) -> list[Step]:
        for item in items:
            self._add(item)
        basic = Step((*self.basic, *([] if Ellipsis in self.basic else [Ellipsis])), ())
        if not self.arrays:
            return [basic]
        moves = any(i is not Ellipsis and i != ALL for i in self.basic)
        return [*[basic] * moves, *self._rich_steps()]

    def _add(self, item: Any) -> None:
        if isinstance(item, bool):  # a new dimension of size 1, of which one place or none is taken
            self.basic.append(None)
            self._slot(np.zeros(int(item), np.int64))
        elif item is None:
            self.basic.append(None)
            self.rich.append(ALL)
        elif item is Ellipsis:
            self.basic.append(Ellipsis)
            self.rich += [ALL] * self.rest
            self.axis += self.rest
        elif isinstance(item, slice):
            self.basic.append(item)
            self.rich.append(ALL)
            self.axis += 1
        elif isinstance(item, int):
            self._check_int(item)
            self.basic.append(item)
            self.axis += 1
        else:
            self._add_array(item)

    def _check_int(self, item: int) -> None:
        size = self.shape[self.axis]
        if not -size <= item < size:
            allowed = f"use {-size} to {size - 1}" if size else "it is empty"
            raise OutOfRangeError(
                f"index {item} is out of range for dimension {self.axis}, which has size {size} (shape "
                f"{list(self.shape)}): {allowed}"
            )

    def _add_array(self, item: Any) -> None:
        if isinstance(item, Handle) or item.dtype != np.bool_:
            self.basic.append(ALL)
            self._slot(item)
            self._check_array(item)
            self.axis += 1
            return
        here = self.shape[self.axis : self.axis + item.ndim]
        if item.shape != here:
            raise IndexError(
                f"a mask of shape {list(item.shape)} selects nothing sensible from dimensions of size "
                f"{list(here)} (shape {list(self.shape)}): the two must be equal"
            )
        for found in nonzero(item):
            self.basic.append(ALL)
            self._slot(found)
        self.axis += item.ndim

    def _check_array(self, item: Any) -> None:
        size = self.shape[self.axis]
        if not isinstance(item, np.ndarray) or not item.size or (-size <= item.min() and item.max() < size):
            return
        bad = item.min() if item.min() < -size else item.max()
        raise OutOfRangeError(
            f"an index array holds {bad}, which is out of range for dimension {self.axis}, which has size "
            f"{size} (shape {list(self.shape)})"
        )

    def _slot(self, array: Any) -> None:
        self.rich.append(Slot(len(self.arrays)))
        self.arrays.append(array)

    def _rich_steps(self) -> list[Step]:
        # A traced tensor of no dimensions is an int whose value comes later, so it does not broadcast with the others.
        steps = []
        alone: Callable[[Any], bool] = lambda i: isinstance(i, Slot) and not ndim_of(self.arrays[i.number])
        if len(self.arrays) > 1:
            for place in reversed([k for k, i in enumerate(self.rich) if alone(i)]):
                array = self.arrays[self.rich.pop(place).number]
                steps.append(Step((*[ALL] * place, Slot(0)), (array,)))
        left = [i for i in self.rich if isinstance(i, Slot)]
        if left:
            while not isinstance(self.rich[-1], Slot):
                self.rich.pop()
            number = {slot: Slot(k) for k, slot in enumerate(left)}
            template = tuple(number[i] if isinstance(i, Slot) else i for i in self.rich)
            steps.append(Step(template, tuple(self.arrays[i.number] for i in left)))
        return steps


def ndim_of(array: Any) -> int:
    return len(array._held.shape) if isinstance(array, Handle) else array.ndim
