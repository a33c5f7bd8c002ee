"""Where the elements of an array are that are not zero, on the device that it is on."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.ops.choosing import cast, where
from jitgrad.ops.indexing import getitem, scatter_add
from jitgrad.ops.movement import reshape
from jitgrad.ops.reductions import cumsum
from jitgrad.tape.device_array import DeviceArray, placed_like

COUNT = np.dtype(np.int64)


def nonzero(array: Any) -> tuple[Any, ...]:
    """An array of indices for each dimension, as `np.nonzero` gives them. Of an array on a device only their number comes to the
    host, which waits for it."""
    if array.__class__ is not DeviceArray:
        return np.nonzero(array)
    size = array.size
    if not size:
        return tuple([placed_like(array, np.zeros(0, np.int64)) for _ in array.shape])
    hit = reshape(array != 0, shape=(size,))
    numbers = cumsum(cast(hit, dtype=COUNT), dim=0)
    count = int(getitem(numbers, index=(size - 1, ...)).item())
    # Every element goes to the place of its number, and those that are zero to one more, of which nothing is read.
    target = where(hit, numbers - 1, count)
    found = scatter_add(
        placed_like(array, np.zeros(count + 1, np.int64)), target, placed_like(array, np.arange(size, dtype=np.int64)), dim=0
    )
    return _unraveled(getitem(found, index=(slice(0, count), ...)), array.shape)


def _unraveled(flat: Any, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """The indices in each dimension of elements that are counted in row-major order."""
    indices = []
    for n in reversed(shape):
        indices.append(flat % n)
        flat = flat // n
    return tuple(reversed(indices))
