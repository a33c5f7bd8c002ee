"""Half precision: what is computed of float16 and bfloat16 is computed, and differentiated, in float32, and rounded once.

There is no other place that says in what such numbers are added up or multiplied: `record.apply` records an operation on
them as the operation on float32 between conversions, so that rules, sweeps, transforms and machine code know nothing of it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.dtypes import HALF
from jitgrad.ops.choosing import cast
from jitgrad.tape.device_array import DeviceArray
from jitgrad.tape.handle import Handle

SINGLE = np.dtype(np.float32)


def half_among(operands: Sequence[Any]) -> np.dtype | None:
    """The dtype of half precision that some operand has, if there is one."""
    for operand in operands:
        dtype = getattr(operand._held if isinstance(operand, Handle) else operand, "dtype", None)
        if dtype in HALF:
            return dtype
    return None


def widened(operands: Sequence[Any]) -> list[Any]:
    """The operands, those of half precision in single precision."""
    return [x if half_among((x,)) is None else converted_to(SINGLE, x) for x in operands]


def converted_to(dtype: np.dtype, operand: Any) -> Any:
    """A tensor or an array in another dtype; one number that is repeated stays so."""
    if isinstance(operand, Handle):
        return cast(operand, dtype=dtype)
    if operand.__class__ is DeviceArray:
        return cast(operand, dtype=dtype)
    with np.errstate(all="ignore"):
        if operand.ndim and operand.size and not any(operand.strides):
            return np.broadcast_to(operand.flat[0].astype(dtype), operand.shape)
        return operand.astype(dtype)


def rounded(out: Any, half: np.dtype) -> Any:
    """What was computed in single precision, in the dtype of its operands; several results one by one."""
    if isinstance(out, tuple):
        return tuple([rounded(x, half) for x in out])
    return cast(out, dtype=half, rounds=True) if out._held.dtype == SINGLE else out


def in_single(function: Callable) -> Callable:
    """A function of tensors that takes several steps: those of half precision in single precision, rounded at the end."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        tensors = [x for x in (*args, *kwargs.values()) if isinstance(x, Handle)]
        half = half_among(tensors[:1])
        if half is None or any(dtypes.is_floating(x._held.dtype) and x._held.dtype != half for x in tensors):
            return function(*args, **kwargs)
        return rounded(function(*widened(args), **dict(zip(kwargs, widened([*kwargs.values()])))), half)

    return call
