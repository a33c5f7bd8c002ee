"""Where things are in Python objects, for generated code that looks into them.

NumPy's C ABI fixes where an array has its data pointer, number of dimensions, shape, dtype and flags. Where a NumPy
number has its value, and where a tensor and its row have their slots, has been the same in every CPython so far. All of
it is tried out on samples first.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from jitgrad.dtypes import ALL
from jitgrad.tape.handle import make
from jitgrad.tape.row import Leaf, Row

__all__ = ["NUMBERS", "allocator", "offsets"]

NUMBERS = {d.numpy: d.numpy.type for d in ALL.values() if d.machine and d.name != "bool"}
"""Dtypes of results that can be made; of bools there are two objects only, which NumPy knows."""


def allocator(number: type) -> int:
    """The address of the C function that allocates a NumPy number of that type: its `tp_alloc`."""
    get = ctypes.pythonapi.PyType_GetSlot
    get.restype, get.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_int)
    return get(number, 47)  # Py_tp_alloc, of the stable ABI


def offsets(cls: type) -> dict[str, int] | None:
    """Where things are in objects, tensors of class `cls` among them; None where not as in every CPython and NumPy so far."""
    head = object.__basicsize__
    array = {"data": head, "ndim": head + 8, "shape": head + 16, "dtype": head + 40, "flags": head + 48}
    slots = [object() for _ in range(4)]
    tensor = make(cls, slots[0], None)
    tensor._row, tensor._storage, tensor._view = slots[1:]
    places = [_place(tensor, slot) for slot in slots]
    requires = [_place(row, row.requires) for row in _sample_rows()]
    if None in places or None in requires or len(set(requires)) != 1 or not _arrays_known(array) or not _numbers_known(head):
        return None
    found = dict(zip(("value", "row", "storage", "view"), places)) | {"requires": requires[0]}
    return array | {"type": head - 8, "number": head} | found  # type: ignore[return-value]


def _sample_rows() -> list[Row]:
    marks: list[Any] = [object(), object()]
    dtype = np.dtype(np.float32)
    return [Row(None, (), {}, (), dtype, marks[0]), Leaf((), dtype, marks[1])]  # type: ignore[arg-type]


def _words(holder: object) -> list[int]:
    size = type(holder).__basicsize__ // 8
    return list((ctypes.c_int64 * size).from_address(id(holder)))


def _place(holder: object, value: object) -> int | None:
    """The offset of the slot of an object that holds `value`."""
    words = _words(holder)
    return 8 * words.index(id(value)) if words.count(id(value)) == 1 else None


def _arrays_known(at: dict[str, int]) -> bool:
    for array in (np.arange(24.0).reshape(2, 3, 4), np.arange(24, dtype=np.int32).reshape(4, 6)[::2]):
        base = id(array)
        shape = ctypes.c_void_p.from_address(base + at["shape"]).value
        if [
            ctypes.c_void_p.from_address(base + at["data"]).value,
            ctypes.c_int.from_address(base + at["ndim"]).value,
            ctypes.c_void_p.from_address(base + at["dtype"]).value,
            ctypes.c_int.from_address(base + at["flags"]).value & 1,
        ] != [array.ctypes.data, array.ndim, id(array.dtype), int(array.flags.c_contiguous)] or shape is None:
            return False
        if tuple((ctypes.c_int64 * array.ndim).from_address(shape)) != array.shape:
            return False
    return True


def _numbers_known(at: int) -> bool:
    numbers = [*(t(3) for t in NUMBERS.values()), np.bool_(True), 3.5]
    return all(ctypes.string_at(id(x) + at, np.asarray(x).itemsize) == np.asarray(x).tobytes() for x in numbers)
