"""Kinds of arguments: what `jit` takes two calls for alike by, so that the tape of one is right for the other.

What an argument is, is decided here, for every transform, under `jit` and without: an array is a tensor, a number stays
Python's. Python's floats, and numbers by NumPy, are inputs of a tape that do not promote the tensors that they meet; a
Python int is part of the key, or such an input if it changes (see `ints`); everything else is part of the key.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.base.tree import exact, flatten, unflatten
from jitgrad.errors import LeakedTraceError
from jitgrad.functions.generators import Generator
from jitgrad.functions.operands import tensor_beside
from jitgrad.record.foreign import by_numpy, is_foreign
from jitgrad.record.leaving import refuse_masked
from jitgrad.record.trace import Number
from jitgrad.tape.device_array import DeviceArray
from jitgrad.tape.handle import Handle, make, own_memory
from jitgrad.tensors.tensor import Tensor

_PLAIN = frozenset({str, bytes, int, bool, type(None)})
_SCALAR_TYPES = frozenset(d.numpy.type for d in dtypes.ALL.values() if d.machine)

INT_BOUND = 1 << 31
"""Ints that change are inputs if they are smaller than this, so that there is room for sums and products of them."""


class HasGenerators(Exception):
    """Among arguments is a generator of random numbers, whose state is what goes in."""


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


def arguments(tree: Any, beside: Sequence[Any] = ()) -> Any:
    """Nested arguments of a transform as its function gets them: arrays are tensors, on the device of the tensors among them and
    `beside` them; whatever else there is stays."""
    if isinstance(tree, Tensor):
        return tree
    leaves: list[Any] = []
    structure = flatten(tree, leaves)
    if not any(isinstance(leaf, np.ndarray) or is_foreign(leaf) for leaf in leaves):
        return tree
    return unflatten(structure, iter([argument(leaf, (*leaves, *beside)) for leaf in leaves]))


def argument(leaf: Any, beside: Sequence[Any] = ()) -> Any:
    """One of them."""
    leaf = by_numpy(leaf)
    return tensor_beside(leaf, beside) if isinstance(leaf, np.ndarray) else leaf


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
        if isinstance(leaf, Generator):
            raise HasGenerators
        leaf = by_numpy(leaf)
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


def kinds_of(leaves: Sequence[Any], tensors: list[Tensor], changing: Collection[int] = (), on_device: bool = False) -> list[Any]:
    """`kind_of` for all arguments; the ints at the places `changing`, counted from 1, are such that change.

    Beside tensors on a device, or where a function is known to be `on_device`, an array is no tensor of the host, but on none:
    its kind has None for what computes."""
    kinds = [kind_of(leaf, tensors, i in changing) for i, leaf in enumerate(leaves, 1)]
    if on_device or any(x._value.__class__ is DeviceArray for x in tensors):
        kinds = [(*k, None) if isinstance(x, np.ndarray) and isinstance(k, tuple) else k for k, x in zip(kinds, leaves)]
    return kinds


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


def place_of(kind: Any) -> str | None:
    """The name of the device that tensors of a kind are on; None for what may be beside all: numbers, also in tensors of no
    dimensions, and arrays that are on no device."""
    if not isinstance(kind, tuple) or not isinstance(kind[0], np.dtype):
        return None
    if len(kind) == 3:
        return None if kind[2] is None else kind[2].name
    return "cpu" if kind[1] else None


def compute_among(kinds: Sequence[Any]) -> Any:
    """What computes on the device that tensors of these kinds are on, the first one of several; None for the CPU."""
    return next((kind[2] for kind in kinds if place_of(kind) not in (None, "cpu")), None)


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
