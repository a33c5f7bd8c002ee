"""Hooks of saved values: a row keeps what `pack` makes of a value, and the reverse sweep gets what `unpack` makes of that."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np

from jitgrad.errors import OverwrittenError
from jitgrad.tape.handle import Handle, Storage, guard_of, own_memory, tensor, unchanged
from jitgrad.tape.row import Row


class Packing(NamedTuple):
    """A pair of hooks of tensors."""

    pack: Callable[[Any], Any]
    unpack: Callable[[Any], Any]


packing: ContextVar[Packing | None] = ContextVar("packing", default=None)
"""The hooks that what is saved goes through; the innermost of those that are active."""

_changing: ContextVar[Storage | None] = ContextVar("changing", default=None)


def before_overwriting(target: Handle, function: Callable, *args: Any, **kwargs: Any) -> Any:
    """`function(target, ...)`, whose result is about to be written over `target`: of what rows save of that a copy is packed,
    since nobody knows what hooks do with what they are given."""
    if packing.get() is None or target._value is None:
        return function(target, *args, **kwargs)
    token = _changing.set(own_memory(target))
    try:
        return function(target, *args, **kwargs)
    finally:
        _changing.reset(token)


class Packed(tuple):
    """What a row saved, where some of it was packed."""

    def unpacked(self) -> tuple[Any, ...]:
        """The values."""
        return tuple([value.value() if value.__class__ is _Hidden else value for value in self])


class _Hidden:
    """What a value was packed as: nothing that a sweep, compiled or not, could take for the value itself."""

    __slots__ = ("memory", "packed", "unpack", "version")

    def __init__(self, packed: Any, unpack: Callable[[Any], Any], storage: Storage) -> None:
        self.packed, self.unpack = packed, unpack
        self.memory, self.version = weakref.ref(storage), storage.version

    def value(self) -> Any:
        found = self.unpack(self.packed)
        if not isinstance(found, Handle):
            raise TypeError(f"unpack must return the tensor that was packed, not {type(found).__name__}")
        memory = self.memory()
        if memory is not None and memory.version != self.version and _in_memory(found, memory):
            raise OverwrittenError(
                f"a tensor of shape {list(found._value.shape)} that was packed was changed in place before the reverse sweep "
                "unpacked it: let pack() return a clone(), or change it after backward()"
            )
        return found._value

    def copy(self) -> Any:
        """The value itself, since what it was packed as is about to be overwritten."""
        return self.value().copy()


def _in_memory(x: Any, memory: Storage) -> bool:
    """Whether a tensor or an array lies in that memory, a tensor as its own or by way of NumPy."""
    value = x._value if isinstance(x, Handle) else x
    arrays = isinstance(value, np.ndarray) and isinstance(memory.array, np.ndarray)
    return (isinstance(x, Handle) and x._storage is memory) or (arrays and np.may_share_memory(value, memory.array))


def is_packed(value: Any) -> bool:
    """Whether a value that a row saved is packed already."""
    return value.__class__ is _Hidden


def pack_saved(row: Row, ours: Sequence[bool], hooks: Packing | None = None) -> None:
    """Pack those values that a row saved which are of tensors: `ours` says of each whether it is.

    What does not lie in the same memory can no longer be overwritten, and is not guarded; but there are guards then, so that
    nobody takes what is saved without `unpacked`. RuntimeError if the hook changes what it is given.
    """
    pack, unpack = hooks or packing.get() or Packing(_same, _same)
    values, guards = list(row.saved), list(row.guards or (None,) * len(row.saved))
    changing = _changing.get()
    for i, (value, mine) in enumerate(zip(row.saved, ours)):
        if mine:
            storage = None if guards[i] is None else guards[i][0]
            if storage is not None and storage is changing:
                value, storage = value.copy(), None
            given = tensor(value)
            given._storage = storage
            guard = guard_of(given)
            guard[0].kept = True
            made = pack(given)
            if not unchanged((guard,)):
                raise RuntimeError(
                    f"the hook that packs what {row.op.name} saves changed it in place, and so its operands or its result: let "
                    "it compute a new tensor"
                )
            values[i] = _Hidden(made, unpack, guard[0])
            guards[i] = guards[i] if storage is not None and _in_memory(made, storage) else None
    row.saved, row.guards = Packed(values), tuple(guards)


def _same(x: Any) -> Any:
    return x


def unpacked(saved: Any) -> Any:
    """What a row saved, each value unpacked if it was packed."""
    return saved.unpacked() if saved.__class__ is Packed else saved
