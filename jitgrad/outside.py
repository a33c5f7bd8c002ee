"""What a function uses from outside: numbers, tensors and lists in its globals and its closure.

`jit` records a function once, so a number that it read from outside is part of the tape. Were that number changed
later, the tape would silently go on with the old one. So the values are looked at again at every call and are part of
the key: a changed one records anew. Values reached in other ways (attributes of objects, say) are not seen.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from operator import is_
from typing import Any, NamedTuple

import numpy as np

from jitgrad.handle import Handle


class Look(NamedTuple):
    """Where a value is: in a cell of a closure (then `name` is None), or under its name among the globals."""

    holder: Any
    name: str | None

    def __call__(self) -> Any:
        return self.holder.cell_contents if self.name is None else self.holder.get(self.name)

    def text(self, known: Callable[[Any], str]) -> str:
        """The same as an expression; `known` gives the names of objects."""
        return f"{known(self.holder)}.cell_contents" if self.name is None else f"{known(self.holder.get)}({self.name!r})"


class Outside:
    """The values that a function uses from outside. `changed()` is quick; `state()` is their part of the key."""

    def __init__(self, function: Callable) -> None:
        self._looks: list[Look] = []
        _collect(function, self._looks, set())
        self._take()

    def _take(self) -> None:
        values = [look() for look in self._looks]
        self._fixed = [(look, v) for look, v in zip(self._looks, values) if not isinstance(v, _MUTABLE)]
        self._moving = [(look, state(v), _copy(v)) for look, v in zip(self._looks, values) if isinstance(v, _MUTABLE)]
        self._state = tuple([state(v) for v in values])

    def conditions(self, known: Callable[[Any], str]) -> list[str]:
        """Expressions of which one is true if `changed()`, given what `state()` last said."""
        found = [f"{look.text(known)} is not {known(value)}" for look, value in self._fixed]
        return found + ([f"{known(self.changed)}()"] if self._moving else [])

    def tensors(self) -> list[tuple[Handle, Any]]:
        """The tensors among the values, also those in lists and the like, with what `contents` says of each."""
        found: list[tuple[Handle, Any]] = []
        waiting = [look() for look in self._looks]
        seen: set[int] = set()
        while waiting:
            value = waiting.pop()
            if id(value) in seen:
                continue
            seen.add(id(value))
            if isinstance(value, Handle):
                found.append((value, contents(value)))
            elif isinstance(value, (tuple, list, dict)):
                waiting += value.values() if isinstance(value, dict) else value
        return found

    def changed(self) -> bool:
        """Whether anything is different from what `state()` last said."""
        for look, value in self._fixed:
            if look() is not value:
                return True
        return any((copy is None or not _holds(look(), copy)) and state(look()) != before for look, before, copy in self._moving)

    def state(self) -> tuple:
        """The state of all values now, hashable."""
        if self.changed():
            self._take()
        return self._state


_MUTABLE = (list, dict, set, tuple)
_PLAIN = frozenset({bool, int, float, complex, str, bytes, type(None)})


def _copy(value: Any) -> Any:
    """A copy of a list or tuple of nothing but numbers and the like, which never change themselves."""
    return value[:] if value.__class__ in (list, tuple) and set(map(type, value)) <= _PLAIN else None


def _holds(value: Any, copy: Any) -> bool:
    """Whether there are just the same objects in a container, which takes a hundredth of asking for its `state`."""
    return value.__class__ is copy.__class__ and len(value) == len(copy) and all(map(is_, value, copy))


def _collect(function: Any, looks: list[Look], seen: set[int]) -> None:
    while not isinstance(function, types.FunctionType):
        inner = (
            getattr(function, "_function", None)
            or getattr(function, "__func__", None)
            or getattr(function, "func", None)
        )
        if inner is None:
            return
        function = inner
    if id(function) in seen:
        return
    seen.add(id(function))
    # What our own transforms close over never changes. (Their __module__ is that of the function they wrap.)
    ours = str(function.__globals__.get("__name__", "")).split(".")[0] == "jitgrad"
    for cell in function.__closure__ or ():
        _watch(Look(cell, None), looks, seen, ours)
    for name in () if ours else function.__code__.co_names:
        if name in function.__globals__:
            _watch(Look(function.__globals__, name), looks, seen, False)


def _watch(look: Look, looks: list[Look], seen: set[int], ours: bool) -> None:
    try:
        value = look()
    except ValueError:  # a closure cell that is not filled yet
        return
    if isinstance(value, types.ModuleType | type):
        return
    calls = callable(value) and not isinstance(value, Handle)
    if calls:
        _collect(value, looks, seen)
    if not ours and (calls or isinstance(value, _WATCHED)):
        looks.append(look)


_WATCHED = (bool, int, float, complex, str, bytes, type(None), tuple, list, dict, set, np.generic, np.ndarray, Handle)


def contents(handle: Handle) -> tuple[_Same, int]:
    """What changes when a tensor is changed in place."""
    return _Same(handle._value), 0 if handle._storage is None else handle._storage.version


class _Same:
    """A key that is equal for the same object alone, and keeps it alive so that no other can take its place."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def state(value: Any, depth: int = 4) -> Any:
    """Something hashable that changes when `value` does: numbers by type and value, containers by what is in them.

    Tensors and arrays are told apart by identity: what is *in* them is read at every call anyway.
    """
    if isinstance(value, (bool, int, str, bytes, type(None), np.generic)):
        return (value.__class__, value)
    if isinstance(value, (float, complex)):
        return (value.__class__, repr(value))  # tells -0.0 from 0.0, and nan is equal to itself
    if depth and isinstance(value, (tuple, list)):
        return (value.__class__, tuple([state(v, depth - 1) for v in value]))
    if depth and isinstance(value, dict):
        return (dict, tuple([(_Same(k) if k.__hash__ is None else k, state(v, depth - 1)) for k, v in value.items()]))
    return _Same(value)
