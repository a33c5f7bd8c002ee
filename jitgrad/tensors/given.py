"""What is to be written into a tensor: numbers, arrays and tensors, in its dtype."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.errors import TracedValueError
from jitgrad.ops.choosing import cast
from jitgrad.ops.movement import expand
from jitgrad.record.apply import apply
from jitgrad.record.leaving import refuse_masked
from jitgrad.record.trace import copied_here
from jitgrad.record.weak import number
from jitgrad.tape.device_array import DeviceArray, device_of, mixed
from jitgrad.tape.handle import Handle


def numbers(value: Any, dtype: np.dtype) -> Any:
    """What is written into a tensor and is none itself, numbers or an array, in the dtype of the tensor.

    RuntimeError for Python's numbers that do not fit; those of an array wrap around, as in NumPy.
    """
    refuse_masked(value)
    try:
        array = np.asarray(value)
        if array.dtype != object or not isinstance(value, int):  # an object is an int beyond int64
            dtypes.of(array.dtype)
    except (TypeError, ValueError):
        if isinstance(value, int):
            raise RuntimeError(
                f"an int of {value.bit_length()} bits is beyond int64, and does not fit into a tensor of dtype "
                f"{dtypes.of(dtype).name}"
            ) from None
        raise TypeError(
            f"a tensor of dtype {dtypes.of(dtype).name} cannot take {type(value).__name__}: assign numbers, arrays or tensors"
        ) from None
    if not isinstance(value, np.ndarray):
        return dtypes.cast_numbers(array, dtype)[()]
    copied_here(value)
    with np.errstate(all="ignore"):
        return array.astype(dtype)[()]


def fitting(value: Any, dtype: np.dtype) -> Any:
    """A tensor that is written into one of `dtype`. TracedValueError for a Python float that comes later, and may not fit."""
    if dtype.kind in "iu" and value._value is None and value._row.dtype.kind == "f" and number(value) is not None:
        raise TracedValueError(
            f"a float that is an argument under jit cannot be written into a tensor of {dtype.name}, since it may not fit: "
            "pass an int, or a tensor"
        )
    return value


def filling(value: Any, dtype: np.dtype) -> Any:
    """One number, or a 0-d tensor of one, that elements are filled with. RuntimeError for a complex one that fills real ones."""
    if not isinstance(value, Handle):
        return numbers(value, dtype)
    if value._held.dtype.kind == "c" != dtype.kind:
        raise RuntimeError(
            f"a {dtypes.of(value._held.dtype).name} number does not fit into a tensor of dtype {dtypes.of(dtype).name}: "
            "take .real of it, or make the tensor complex"
        )
    return apply(cast, (fitting(value, dtype),), {"dtype": dtype})


def writable(array: np.ndarray, name: str) -> None:
    """`RuntimeError` for memory that is read-only or in which elements lie on top of each other."""
    strides = array.strides
    if not array.flags.writeable or (array.size and 0 in strides and any(n > 1 and not s for n, s in zip(array.shape, strides))):
        raise RuntimeError(
            f"{name}: several elements of this tensor are one place in memory (it was expanded), or its "
            "memory is read-only: clone() it first"
        )


def fitted(target: Any, new: Any, name: str) -> Any:
    """`new` with the shape and dtype of `target`; `RuntimeError` if it would lose a dimension or a category, or is elsewhere."""
    held, value = target._held, new._held
    here = device_of(target)
    if value.__class__ is DeviceArray and here is not None and here != value.device:
        raise mixed(name, {here, value.device})
    if value.dtype != held.dtype:
        if dtypes.of(value.dtype).category > dtypes.of(held.dtype).category:
            raise RuntimeError(
                f"{name}: a {dtypes.of(value.dtype).name} result cannot be stored in a "
                f"{dtypes.of(held.dtype).name} tensor in place"
            )
        new = apply(cast, (new,), {"dtype": held.dtype})
    if tuple(value.shape) == tuple(held.shape):
        return new
    try:
        np.broadcast_to(np.zeros(value.shape, np.int8), held.shape)
    except ValueError:
        raise RuntimeError(
            f"{name}: the result has shape {list(value.shape)} and cannot be stored in place in a "
            f"tensor of shape {list(held.shape)}"
        ) from None
    return apply(expand, (new,), {"shape": tuple(held.shape)})
