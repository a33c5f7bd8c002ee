"""Where in memory the elements of a row are.

`expand`, `permute`, slices and most reshapes compute nothing: their elements are those of another row, some strides
apart. What the strides are is asked of NumPy, by running the op on a stand-in that has them and no memory.
Dimensions of size 1 never matter to a loop, so everything here leaves them out: `space` is a shape without them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from jitgrad.ops.movement import reshape
from jitgrad.tape.row import Row
from jitgrad.tape.strides import ANYTHING, part_of, stand_in
from jitgrad.tape.strides import in_order as contiguous

__all__ = ["contiguous", "stand_in"]


class Access(NamedTuple):
    """The row whose value is in memory (or in a register), the first element, and the step along each dimension."""

    source: Row
    offset: int
    strides: tuple[int, ...]


@functools.lru_cache(4096)
def space(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without its dimensions of size 1."""
    return tuple(n for n in shape if n != 1)


def is_number(row: Row) -> bool:
    """Whether a row has one element; one with several results has no memory itself, and stands with these."""
    return row.op.several or math.prod(row.shape) == 1


def place(part: np.ndarray) -> tuple[int, tuple[int, ...]]:
    """Offset and strides, without dimensions of size 1, of what was sliced out of a stand-in."""
    step = tuple(s for n, s in zip(part.shape, part.strides) if n != 1)
    return part.__array_interface__["data"][0] - ANYTHING.__array_interface__["data"][0], step


class Layouts:
    """The accesses of the rows of a tape, each worked out once; `laid` has stand-ins for inputs that are not in order."""

    def __init__(self, laid: Mapping[Row, np.ndarray] = MappingProxyType({})) -> None:
        self._views: dict[Row, tuple[Row, np.ndarray]] = {row: (row, part) for row, part in laid.items()}
        self._accesses: dict[Row, Access] = {}

    def access(self, row: Row) -> Access:
        """How the elements of a row are read, along the dimensions of `space(row.shape)`."""
        found = self._accesses.get(row)
        if found is None:
            if row in self._views or _may_be_free(row):
                source, part = self.view(row)
                found = Access(source, *place(part))
            else:
                found = Access(row, 0, () if row.op.several else contiguous(space(row.shape)))
            self._accesses[row] = found
        return found

    def view(self, row: Row) -> tuple[Row, np.ndarray]:
        """The row in memory, and the stand-in for the part of it that is `row`."""
        chain = []
        while row not in self._views and _may_be_free(row):
            chain.append(row)
            row = row.inputs[0]
        found = self._views.get(row)
        if found is None:
            found = self._views[row] = row, stand_in(row.shape)
        for row in reversed(chain):
            part = moved(row, found[1])
            found = self._views[row] = (row, stand_in(row.shape)) if part is None else (found[0], part)
        return found

    def is_free(self, row: Row) -> bool:
        """Whether the elements of a row are those of another one."""
        return _may_be_free(row) and self.view(row)[0] is not row


def is_view(row: Row) -> bool:
    """Whether a row is an op that looks at the elements of its input in another way, free or not."""
    return row.op.view and len(row.inputs) == 1 and row.inputs[0].dtype == row.dtype


def _may_be_free(row: Row) -> bool:
    return is_view(row) or _reduces_nothing(row)


def _reduces_nothing(row: Row) -> bool:
    if row.op.fold is None or row.inputs[0].dtype != row.dtype:
        return False
    shape = row.inputs[0].shape
    return all(shape[d] == 1 for d in row.params["dim"] if shape)


def moved(row: Row, x: np.ndarray) -> np.ndarray | None:
    """The part of the stand-in `x` that `row` makes of it; None for a reshape that has to copy."""
    return part_of(x, *((reshape, {"shape": row.shape}) if row.op.fold is not None else (row.op, row.params)))


def reduced_strides(row: Row) -> tuple[int, ...]:
    """For a reduction, the step in its result along each dimension of the space of its input; 0 where it reduces."""
    shape, over = row.inputs[0].shape, row.params["dim"]
    kept = tuple(1 if d in over else n for d, n in enumerate(shape))
    return tuple(0 if d in over else s for d, (n, s) in enumerate(zip(shape, contiguous(kept))) if n != 1)


def space_of(row: Row) -> tuple[int, ...]:
    """The index space that an elementwise row or a reduction is computed over."""
    return space(row.inputs[0].shape if row.op.fold is not None else row.shape)


def same_elements(a: Access, over: tuple[int, ...]) -> bool:
    """Whether an access over a space reads what a contiguous array of that space holds, element by element."""
    return a.offset == 0 and a.strides == contiguous(over)


def within_lead(a: Access, over: tuple[int, ...], size: int) -> bool:
    """Whether step i along the first dimension of `over` reads nothing but the `size` elements from `i * size` on."""
    if not over or a.strides[0] != size:
        return False
    ends = [(n - 1) * s for n, s in zip(over[1:], a.strides[1:])]
    low, high = a.offset + math.fsum(e for e in ends if e < 0), a.offset + math.fsum(e for e in ends if e > 0)
    return low >= 0 and high < size
