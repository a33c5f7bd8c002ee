"""Hooks of saved values: a row keeps what `pack` makes of a value, and the reverse sweep gets what `unpack` makes of that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

from jitgrad.tape.handle import Handle, tensor
from jitgrad.tape.row import Row


class Packing(NamedTuple):
    """A pair of hooks of tensors."""

    pack: Callable[[Any], Any]
    unpack: Callable[[Any], Any]


packing: ContextVar[Packing | None] = ContextVar("packing", default=None)
"""The hooks that what is saved goes through; the innermost of those that are active."""


class Packed(tuple):
    """What a row saved, where some of it was packed."""

    def unpacked(self) -> tuple[Any, ...]:
        """The values."""
        return tuple([value.value() if value.__class__ is _Hidden else value for value in self])


class _Hidden:
    """What a value was packed as: nothing that a sweep, compiled or not, could take for the value itself."""

    __slots__ = ("packed", "unpack")

    def __init__(self, packed: Any, unpack: Callable[[Any], Any]) -> None:
        self.packed, self.unpack = packed, unpack

    def value(self) -> Any:
        found = self.unpack(self.packed)
        if not isinstance(found, Handle):
            raise TypeError(f"unpack must return the tensor that was packed, not {type(found).__name__}")
        return found._value

    def copy(self) -> Any:
        """The value itself, since what it was packed as is about to be overwritten."""
        return self.value().copy()


def pack_saved(row: Row, ours: Sequence[bool]) -> None:
    """Pack those values that a row saved which are of tensors: `ours` says of each whether it is.

    What is no tensor of the same memory can no longer be overwritten, and is not guarded; but there are guards then, so that
    nobody takes what is saved without `unpacked`.
    """
    pack, unpack = packing.get() or Packing(_same, _same)
    values, guards = list(row.saved), list(row.guards or (None,) * len(row.saved))
    for i, (value, mine) in enumerate(zip(row.saved, ours)):
        if mine:
            given = tensor(value)
            given._storage = storage = None if guards[i] is None else guards[i][0]
            made = pack(given)
            values[i] = _Hidden(made, unpack)
            guards[i] = guards[i] if isinstance(made, Handle) and made._storage is storage else None
    row.saved, row.guards = Packed(values), tuple(guards)


def _same(x: Any) -> Any:
    return x


def unpacked(saved: Any) -> Any:
    """What a row saved, each value unpacked if it was packed."""
    return saved.unpacked() if saved.__class__ is Packed else saved
