"""What a function uses from outside: numbers, tensors and lists in its globals and its closure.

`jit` records a function once, so a number that it read from outside is part of the tape. Were that number changed
later, the tape would silently go on with the old one. So the values are looked at again at every call and are part of
the key: a changed one records anew. Values reached in other ways (attributes of objects, say) are not seen.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.handle import Handle

Look = Callable[[], Any]


def watched(function: Callable) -> list[Look]:
    """Functions without arguments, each of which gives the state of one value that `function` uses from outside."""
    looks: list[Look] = []
    _collect(function, looks, set())
    return looks


def _collect(function: Any, looks: list[Look], seen: set[int]) -> None:
    while not isinstance(function, types.FunctionType):
        inner = getattr(function, "_function", None) or getattr(function, "__func__", None) or getattr(function, "func", None)
        if inner is None:
            return
        function = inner
    if id(function) in seen:
        return
    seen.add(id(function))
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
        _watch(lambda cell=cell: cell.cell_contents, looks, seen, name)
    if (function.__module__ or "").split(".")[0] == "jitgrad":
        return
    for name in function.__code__.co_names:
        if name in function.__globals__:
            _watch(lambda name=name, scope=function.__globals__: scope.get(name), looks, seen, name)


def _watch(get: Look, looks: list[Look], seen: set[int], name: str) -> None:
    try:
        value = get()
    except ValueError:  # a closure cell that is not filled yet
        return
    if isinstance(value, types.ModuleType | type):
        return
    if callable(value) and not isinstance(value, Handle):
        _collect(value, looks, seen)
        looks.append(lambda: _Same(get()))
    elif isinstance(value, _WATCHED):
        looks.append(lambda: state(get()))


_WATCHED = (bool, int, float, complex, str, bytes, type(None), tuple, list, dict, set, np.generic, np.ndarray, Handle)


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
