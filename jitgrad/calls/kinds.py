"""Kinds of arguments: what `jit` takes two calls for alike by, so that the tape of one is right for the other.

What an argument is, is decided here, for every transform, under `jit` and without: an array is a tensor, a number stays
Python's. Python's floats, and numbers by NumPy, are inputs of a tape that do not promote the tensors that they meet; a
Python int is part of the key, or such an input if it changes (see `ints`); everything else is part of the key.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.base.tree import exact, flatten, unflatten
from jitgrad.errors import LeakedTraceError
from jitgrad.record.leaving import refuse_masked
from jitgrad.record.trace import Number
from jitgrad.tape.device_array import DeviceArray
from jitgrad.tape.handle import Handle, make, own_memory
from jitgrad.tensors.tensor import Tensor

_PLAIN = frozenset({str, bytes, int, bool, type(None)})
_SCALAR_TYPES = frozenset(d.numpy.type for d in dtypes.ALL.values() if d.machine)

INT_BOUND = 1 << 31
"""Ints that change are inputs if they are smaller than this, so that there is room for sums and products of them."""


class Scalar:
    """The kind of a number by NumPy, of some type; `scalar` makes one for each type."""

    def __init__(self, type: type) -> None:
        self.type = type


@functools.cache
def scalar(type: Any) -> Scalar:
    """The one kind of numbers of a type."""
    return Scalar(type)


def tensor_of(array: np.ndarray) -> Tensor:
    """The tensor that an array among the arguments is: it shares the memory, which the caller can write to."""
    dtypes.of(array.dtype)
    refuse_masked(array)
    made: Tensor = make(Tensor, np.asarray(array), None)
    own_memory(made).exported = -1
    return made


def arguments(tree: Any) -> Any:
    """Nested arguments of a transform as its function gets them: arrays are tensors, whatever else there is stays."""
    if isinstance(tree, Tensor):
        return tree
    leaves: list[Any] = []
    structure = flatten(tree, leaves)
    if not any(isinstance(leaf, np.ndarray) for leaf in leaves):
        return tree
    return unflatten(structure, iter([argument(leaf) for leaf in leaves]))


def argument(leaf: Any) -> Any:
    """One of them."""
    return tensor_of(leaf) if isinstance(leaf, np.ndarray) else leaf


def kind_of(leaf: Any, tensors: list[Tensor], changes: bool = False) -> Any:
    """The part of the key that a leaf gives; tensors, arrays and numbers that are inputs are appended to `tensors`: among
    these is an int that `changes`."""
    if not isinstance(leaf, Handle):
        if isinstance(leaf, np.generic):
            dtypes.of(leaf.dtype)
            tensors.append(make(Tensor, leaf, None))
            kind: Any = leaf.__class__
            return scalar(kind)
        if isinstance(leaf, float):
            tensors.append(make(Tensor, np.float64(leaf), None))
            return float
        if changes:
            tensors.append(make(Tensor, np.int64(leaf), None))
            return int
        if not isinstance(leaf, np.ndarray):
            plain = leaf.__class__ in _PLAIN or leaf.__class__.__eq__ is object.__eq__
            return (leaf.__class__, leaf) if plain else (leaf.__class__, leaf, exact(leaf))
        leaf = tensor_of(leaf)
    tensors.append(leaf)
    value = leaf._value
    kind = value.__class__
    if kind in _SCALAR_TYPES:
        return kind
    if value is None:
        raise LeakedTraceError("a tensor made while jit or vmap was tracing is passed to a function after the trace ended")
    if kind is DeviceArray:
        return value.dtype, value.shape, value.compute
    return (value.dtype, value.shape) if value.ndim else value.dtype.type


def spec_of(kind: Any) -> tuple | None:
    """(shape, dtype, `Number` if it is one) of a part of a key; None for what is static."""
    if kind is float:
        return (), np.dtype(np.float64), Number(float)
    if kind is int:
        return (), np.dtype(np.int64), Number(int, INT_BOUND)
    if isinstance(kind, Scalar):
        return (), np.dtype(kind.type), Number(kind.type)
    if isinstance(kind, type):
        return (), np.dtype(kind), None
    return (kind[1], kind[0], None) if isinstance(kind[0], np.dtype) else None


def one_device(name: str, kinds: Sequence[Any]) -> Any:
    """What computes on the device that tensors of these kinds are on; None for the CPU. `RuntimeError` if they are on several:
    only what has no dimensions may be on the host beside others."""
    arrays = [kind for kind in kinds if isinstance(kind, tuple) and isinstance(kind[0], np.dtype)]
    computes = {kind[2] for kind in arrays if len(kind) == 3}
    names = {c.name for c in computes} | {"cpu" for kind in arrays if computes and len(kind) == 2 and kind[1]}
    if len(names) > 1:
        raise RuntimeError(f"{name}: there are tensors on {' and '.join(sorted(names))}: bring them to one device with to()")
    return next(iter(computes), None)


def device_of(name: str, kinds: Sequence[Any]) -> str:
    """The name of the device that tensors of these kinds are on."""
    compute = one_device(name, kinds)
    return "cpu" if compute is None else compute.name


def number_of(kind: Any) -> tuple[type | None, bool]:
    """The type of a leaf that is a number, and whether that is the argument itself and not what a tensor holds."""
    if kind is float or isinstance(kind, Scalar):
        return getattr(kind, "type", float), True
    if kind is int:
        return np.int64, True  # which an entry makes of it
    return (kind if isinstance(kind, type) else None), False


def hashable(kind: Any) -> bool:
    """Whether a part of a key can be one."""
    try:
        hash(kind)
    except (TypeError, ValueError):
        return False
    return True


def is_itself_alone(kind: Any) -> bool:
    """Whether the static value of a kind is an object that is equal to itself alone, which an entry checks for."""
    return isinstance(kind, tuple) and kind[0].__eq__ is object.__eq__


def plainly_checked(kind: Any) -> bool:
    """Whether an entry can check for this kind: tensors, numbers, and what `==` compares as the key does."""
    return isinstance(kind, (type, Scalar)) or isinstance(kind[0], np.dtype) or kind[0] in (int, bool, str, type(None))
