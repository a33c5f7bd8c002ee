"""Kinds of arguments: what `jit` takes two calls for alike by, so that the tape of one is right for the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.errors import LeakedTraceError
from jitgrad.handle import Handle, make, own_memory
from jitgrad.leaving import refuse_masked
from jitgrad.tensor import Tensor

_SCALAR_TYPES = frozenset({np.float16, np.float32, np.float64, np.int64, np.int32, np.bool_})


def kind_of(leaf: Any, tensors: list[Tensor]) -> Any:
    """The part of the key that a leaf gives; tensors, arrays and floats are appended to `tensors`."""
    if not isinstance(leaf, Handle):
        if isinstance(leaf, float) and not isinstance(leaf, np.generic):
            tensors.append(make(Tensor, np.float64(leaf), None))
            return float
        if not isinstance(leaf, (np.ndarray, np.generic)):
            return (leaf.__class__, leaf)
        dtypes.of(leaf.dtype)
        refuse_masked(leaf)
        leaf = make(Tensor, leaf if isinstance(leaf, np.generic) else np.asarray(leaf), None)
        if isinstance(leaf._value, np.ndarray):
            own_memory(leaf).exported = -1  # the caller can write to it
    tensors.append(leaf)
    value = leaf._value
    kind = value.__class__
    if kind in _SCALAR_TYPES:
        return kind
    if value is None:
        raise LeakedTraceError("a tensor made while jit or vmap was tracing is passed to a function after the trace ended")
    return (value.dtype, value.shape) if value.ndim else value.dtype.type


def spec_of(kind: Any) -> tuple | None:
    """(dtype, shape, is a Python number) of a part of a key; None for what is static."""
    if kind is float:
        return np.dtype(np.float64), (), True
    if isinstance(kind, type):
        return np.dtype(kind), (), False
    return (*kind, False) if isinstance(kind[0], np.dtype) else None


def hashable(kind: Any) -> bool:
    """Whether a part of a key can be one."""
    try:
        hash(kind)
    except TypeError:
        return False
    return True


def told_apart(kind: Any) -> bool:
    """Whether the static value of a kind is an object that is equal to itself alone, which an entry checks for."""
    return isinstance(kind, tuple) and kind[0].__eq__ is object.__eq__


def plainly_checked(kind: Any) -> bool:
    """Whether an entry can check for this kind: tensors, floats, and what `==` compares as the key does."""
    return isinstance(kind, type) or isinstance(kind[0], np.dtype) or kind[0] in (int, bool, str, type(None))
