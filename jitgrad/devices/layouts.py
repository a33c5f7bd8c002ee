"""In which order NumPy lays out what an operation gives of arrays that are not in order: eager code on a device does the same,
so that later views and writes in place see the same memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from jitgrad.ops.movement import back_from
from jitgrad.ops.table import Op
from jitgrad.tape.device_array import DeviceArray

Order = tuple[int, ...]
"""The dimensions of an array, those whose elements lie furthest apart first."""

SMALL = 2
"""Elements along each dimension of the arrays that NumPy is asked about."""


def order_of(op: Op, operands: Sequence[Any], params: dict[str, Any]) -> Order | None:
    """The order of the one result; None if its elements are in order."""
    copies = op.view and len(operands) == 1  # a reshape, which gives elements in order
    if op.in_order or op.several or copies or not any(_may_differ(op, x) for x in operands):
        return None
    few = [_small(x) for x in operands]
    with np.errstate(all="ignore"):
        out = np.array(few[0]) if op.writes else op.run(*few, **_anywhere(op, params))
    return None if np.ndim(out) < 2 else found_in(out)


def found_in(array: Any) -> Order | None:
    """The order that an array has; None if its elements are in order, or it has none."""
    if array.flags.c_contiguous:
        return None
    steps = array.strides
    return tuple(sorted(range(array.ndim), key=lambda d: -abs(steps[d])))


def in_that_order(array: DeviceArray, order: Order) -> DeviceArray:
    """An array whose dimensions were taken in an order, seen as they were; it has the memory for itself."""
    back = back_from(order)
    return DeviceArray(array.compute, array.buffer, array.layout.transpose(back), array.dtype)


def _may_differ(op: Op, x: Any) -> bool:
    """Whether the result may be in another order because of an operand. NumPy puts what index arrays pick in an order of its own,
    also where all operands are in order."""
    return isinstance(x, DeviceArray) and (not x.in_order or op.view)


def _small(x: Any) -> Any:
    """Few elements that lie as those of an operand."""
    if not isinstance(x, DeviceArray):
        return x
    dtype = np.dtype(np.int64) if x.dtype.kind == "i" else x.dtype
    given = x.layout.strides
    shape, steps, step = [min(n, SMALL) for n in x.shape], [0] * x.ndim, 1
    for d in sorted(range(x.ndim), key=lambda d: abs(given[d])):
        if given[d]:
            steps[d], step = step, step * max(shape[d], 1)
    return as_strided(np.zeros(step, dtype), shape, [s * dtype.itemsize for s in steps])[()]


def _anywhere(op: Op, params: dict[str, Any]) -> dict[str, Any]:
    """The parameters, with places that small arrays have: an index is of the same form."""
    if not op.indexed or "index" not in params or not isinstance(params["index"], tuple):
        return params
    forms = {int: 0, slice: slice(None)}
    return {**params, "index": tuple([forms.get(item.__class__, item) for item in params["index"]])}


def like_host(compute: Any, array: np.ndarray) -> DeviceArray:
    """An array of a device that lies as one of the host does."""
    order = found_in(array)
    if order is None:
        return compute.from_host(array)
    return in_that_order(compute.from_host(array.transpose(order)), order)
