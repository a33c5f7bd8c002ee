"""Results that hold tensors where nobody finds them: as keys of dicts, in sets, in objects."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, ItemsView, Iterator, KeysView, ValuesView
from types import ModuleType
from typing import Any

import numpy as np

from jitgrad.base.tree import keys_in
from jitgrad.tape.handle import Handle
from jitgrad.tracing.search import CONTAINERS, MAPPINGS, OCTETS, PLAIN, items_of, part

_LATER = (Iterator, AsyncIterator, Awaitable, KeysView, ValuesView, ItemsView)
_WHERE = "return tensors in tuples, lists, values of dicts and dataclasses"


def refuse_keys(structure: Any) -> None:
    """TypeError if tensors, or tuples with such, are keys of dicts in a structure."""
    for key in keys_in(structure):
        if isinstance(key, Handle) or (isinstance(key, tuple) and any(isinstance(part, Handle) for part in key)):
            raise TypeError(f"a tensor is a key of a dict in what a function returns, where it cannot be found: {_WHERE}")


def refuse_hidden(structure: Any, leaves: list[Any]) -> None:
    """TypeError for a result of a function that is recorded, if it holds tensors that would stay without values."""
    refuse_keys(structure)
    for leaf in leaves:
        if isinstance(leaf, _LATER):
            raise TypeError(
                f"a function that is recorded returns a {type(leaf).__name__}, which could be gone through only once "
                "and would compute outside of the function: return a list or a tuple"
            )
    waiting, seen = [(leaf, type(leaf)) for leaf in leaves if not isinstance(leaf, Handle)], set()
    while waiting:
        value, kind = waiting.pop()
        if isinstance(value, Handle):
            if value._value is None:
                raise TypeError(
                    f"a function that is recorded returns a tensor in an object of type {kind.__name__}, where it "
                    f"cannot be found: {_WHERE}"
                )
        elif value.__class__ not in PLAIN and id(value) not in seen and not isinstance(value, type | ModuleType):
            seen.add(id(value))
            waiting += [(x, kind) for x in _held_in(value)]


def _held_in(value: Any) -> Any:
    if isinstance(value, MAPPINGS):
        return [*value, *value.values()]
    if isinstance(value, (*CONTAINERS, frozenset)):
        items: list[Any] = [] if isinstance(value, OCTETS) else list(items_of(value))
        return [] if {type(item) for item in items} <= PLAIN else items
    if isinstance(value, np.ndarray):
        return value.tolist() if value.dtype.hasobject else ()
    if str(type(value).__module__).startswith("jitgrad."):
        return ()
    slots = [name for kind in type(value).__mro__ for name in vars(kind).get("__slots__", ())]
    held = part(value, "__dict__")
    return [*[part(value, name) for name in slots], *(held.values() if isinstance(held, dict) else ())]
