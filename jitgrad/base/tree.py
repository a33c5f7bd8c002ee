"""Nested tuples, lists, dicts and dataclasses of tensors, taken apart and put together again."""

from __future__ import annotations

import contextlib
import functools
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from inspect import getattr_static
from types import MemberDescriptorType
from typing import Any

COMPUTED = object()
"""Stands among the results of a function where a result of the tape goes; the others, None too, are as they were."""


class Attribute:
    """Stands among the keys of a part of an object for the attribute that holds it."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Attribute) and self.name == other.name

    def __hash__(self) -> int:
        return hash((Attribute, self.name))

    def __str__(self) -> str:
        return self.name


_NAMES = {str, Attribute}
ITSELF = Attribute("__dict__")
"""Says that a dict is its own `__dict__`."""


def flatten(tree: Any, leaves: list[Any]) -> Any:
    """Append the leaves of `tree` to `leaves`; return its structure, hashable, with None at the leaves' places.

    A structure is a kind and its parts; between them stand the keys of the parts unless it is a plain tuple or list, and what
    tells these keys apart from others that are equal to them.
    """
    kind = type(tree)
    if kind is tuple or kind is list:
        return (kind, tuple([flatten(part, leaves) for part in tree]))
    if kind is dict:
        return (dict, *told_apart(tuple(tree)), tuple([flatten(part, leaves) for part in tree.values()]))
    if not issubclass(kind, (tuple, list, dict)) and (not hasattr(kind, "__dataclass_fields__") or issubclass(kind, type)):
        leaves.append(tree)
        return None
    keys, parts = taken_apart(tree)
    return (kind, *told_apart(keys), tuple([flatten(part, leaves) for part in parts]))


def told_apart(keys: tuple) -> tuple:
    """Keys, and behind them, if they are not plain names, what tells equal ones apart."""
    return (keys,) if {key.__class__ for key in keys} <= _NAMES else (keys, tuple(map(exact, keys)))


def exact(value: Any) -> Any:
    """What tells values apart that are equal and not the same: 1 and True, 0.0 and -0.0, and sets with such."""
    kind = value.__class__
    if kind is tuple or kind is frozenset:
        return (kind, kind(map(exact, value)))
    return (kind, repr(value)) if kind.__module__ in _OF_VALUES and kind is not str and kind is not bytes else kind


_OF_VALUES = frozenset({"builtins", "datetime", "decimal"})


def unflatten(structure: Any, leaves: Any) -> Any:
    """The tree of that structure with the leaves that the iterator `leaves` gives."""
    if structure is None:
        return next(leaves)
    kind = structure[0]
    parts = [unflatten(part, leaves) for part in structure[-1]]
    if kind is list:
        return parts
    return tuple(parts) if kind is tuple else put_together(kind, structure[1], parts)


def taken_apart(tree: Any) -> tuple[tuple, list[Any]]:
    """Keys and parts of a dataclass, or of an object of a class derived from tuple, list or dict: items and attributes.

    Without parts stand, last, `ITSELF` for a dict that is its own `__dict__`, and the factory of a `defaultdict`. Cached
    properties are left out: they are computed again, of the parts.
    """
    kind: Any = type(tree)
    base, keys, parts = base_of(kind), [], []
    if base is dict or base is OrderedDict:
        keys, parts = list(base.keys(tree)), list(base.values(tree))
    elif base is not object:
        parts = list(base.__iter__(tree))
        keys = list(range(len(parts)))
    own = getattr(tree, "__dict__", {})
    made_with: list[Any] = [ITSELF] if own is tree else []
    if isinstance(tree, defaultdict):
        made_with.append(tree.default_factory)
    held = {}
    for name, slot in slots(kind).items():
        with contextlib.suppress(AttributeError):  # it holds nothing
            held[name] = slot.__get__(tree)
    for name, value in () if own is tree else own.items():
        if not isinstance(getattr_static(kind, name, None), functools.cached_property):
            held[name] = value
    return (*keys, *map(Attribute, held), *made_with), [*parts, *held.values()]


def put_together(kind: Any, keys: tuple, parts: list[Any]) -> Any:
    """An object of that class with those parts as they are, its `__init__` unasked."""
    if kind is dict:
        return dict(zip(keys, parts))
    base = base_of(kind)
    items = [(key, part) for key, part in zip(keys, parts) if not isinstance(key, Attribute)]
    made = tuple.__new__(kind, [part for _, part in items]) if base is tuple else base.__new__(kind)
    if base is list:
        list.extend(made, [part for _, part in items])
    elif base is not tuple:
        for key, part in items:
            base.__setitem__(made, key, part)
    places = slots(kind)
    for key, part in zip(keys[len(items) :], parts[len(items) :]):
        if key.name in places:
            places[key.name].__set__(made, part)
        else:
            made.__dict__[key.name] = part  # past a property of that name
    for given in keys[len(parts) :]:
        if given is ITSELF:
            made.__dict__ = made
        else:
            made.default_factory = given
    return made


@functools.cache
def base_of(kind: Any) -> Any:
    """Which of Python's containers a class is derived from, or object."""
    return next((base for base in (tuple, list, OrderedDict, dict) if issubclass(kind, base)), object)


@functools.cache
def slots(kind: Any) -> dict[str, Any]:
    """What finds and sets the attributes that objects of a class have places for, besides those in their `__dict__`, by name."""
    found: dict[str, Any] = {}
    for parent in reversed(kind.__mro__):
        named = vars(parent).get("__slots__", ())
        own = parent.__name__.lstrip("_")
        for name in [named] if isinstance(named, str) else named:
            name = f"_{own}{name}" if name.startswith("__") and not name.endswith("__") else name
            if isinstance(place := vars(parent).get(name), MemberDescriptorType):
                found[name] = place
    return found


def tree_map(function: Callable[[Any], Any], tree: Any) -> Any:
    """The same tree with `function` applied to its leaves."""
    leaves: list[Any] = []
    structure = flatten(tree, leaves)
    return unflatten(structure, iter([function(leaf) for leaf in leaves]))


def unchanged(tree: Any, structure: Any, leaves: list[Any]) -> bool:
    """Whether a tree is still of that structure and has the same leaves. A `defaultdict` that is read may grow."""
    now: list[Any] = []
    if structure is None or _grows(structure):
        return True
    return flatten(tree, now) == structure and all(a is b for a, b in zip(now, leaves))


def _grows(structure: Any) -> bool:
    return structure is not None and (issubclass(structure[0], defaultdict) or any(map(_grows, structure[-1])))


def size(structure: Any) -> int:
    """The number of leaves of a tree of that structure."""
    return 1 if structure is None else sum(map(size, structure[-1]))


def keys_in(structure: Any) -> list[Any]:
    """All keys of dicts in a structure."""
    if structure is None:
        return []
    found = list(structure[1]) if len(structure) > 2 else []
    return found + [key for part in structure[-1] for key in keys_in(part)]


def spread(prefix: Any, structure: Any, what: str) -> Iterator[Any]:
    """The int or None that `prefix` gives for each leaf: one for a whole subtree, or a tree of them.

    Raises `ValueError` where the two do not fit; `what` names the prefix in the message.
    """
    if prefix is None or (isinstance(prefix, int) and not isinstance(prefix, bool)):
        yield from [prefix] * size(structure)
        return
    given = flatten(prefix, [])
    if given is None or structure is None or given[:-1] != structure[:-1] or len(given[-1]) != len(structure[-1]):
        raise ValueError(
            f"{what} must be an int, None, or nested like what it describes, which is {shown(structure)}; {prefix!r} is not"
        )
    kind = type(prefix)
    parts = prefix if kind in (tuple, list) else prefix.values() if kind is dict else taken_apart(prefix)[1]
    for part, below in zip(parts, structure[-1]):
        yield from spread(part, below, what)


def shown(structure: Any) -> str:
    """A structure for people: leaves are stars."""
    if structure is None:
        return "*"
    kind, parts = structure[0], [shown(part) for part in structure[-1]]
    if kind is tuple:
        return f"({', '.join(parts)}{',' * (len(parts) == 1)})"
    if kind is list:
        return f"[{', '.join(parts)}]"
    keys = [str(key) if isinstance(key, Attribute) else repr(key) for key in structure[1]]
    return f"{'' if kind is dict else kind.__name__}{{{', '.join(f'{key}: {part}' for key, part in zip(keys, parts))}}}"
