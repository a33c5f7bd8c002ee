"""What programs ask of tensors and dtypes."""

from __future__ import annotations

from typing import Any

from jitgrad import dtypes
from jitgrad.functions.face import face
from jitgrad.tensors.tensor import Tensor


@face(method=False)
def can_cast(from_: Any, to: Any) -> bool:
    """Whether results of one dtype may be stored in another: not fractions in integers, nor numbers in bools.

    >>> import jitgrad
    >>> jitgrad.can_cast(jitgrad.float64, jitgrad.float32), jitgrad.can_cast(jitgrad.float32, jitgrad.int64)
    (True, False)
    """
    have, want = (dtypes.of(dtypes.to_numpy(d)) for d in (from_, to))
    return have.category <= want.category


def get_device(input: Tensor) -> int:
    """The number of the GPU that a tensor is on; -1 for the CPU."""
    return (input.device.index or 0) if input.is_cuda else -1


def is_nonzero(input: Tensor) -> bool:
    """Whether the one element that there is is other than 0. RuntimeError for another number of elements."""
    return bool(input)


def is_signed(input: Tensor) -> bool:
    """Whether the dtype has negative numbers."""
    return input.dtype.is_signed


@face(method=False)
def is_distributed(input: Tensor) -> bool:
    """False: there are no tensors that several processes share."""
    return False
