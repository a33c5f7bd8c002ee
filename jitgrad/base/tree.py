"""Nested tuples, lists, dicts and dataclasses of tensors, taken apart and put together again."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

COMPUTED = object()
"""Stands among the results of a function where a result of the tape goes; the others, None too, are as they were."""


def flatten(tree: Any, leaves: list[Any]) -> Any:
    """Append the leaves of `tree` to `leaves`; return its structure, hashable, with None at the leaves' places."""
    if isinstance(tree, tuple):
        names = getattr(tree, "_fields", None)
        return (type(tree) if names else tuple, tuple([flatten(t, leaves) for t in tree]))
    if isinstance(tree, list):
        return (list, tuple([flatten(t, leaves) for t in tree]))
    if isinstance(tree, dict):
        keys = tuple(tree)
        return (dict, keys, tuple([flatten(tree[k], leaves) for k in keys]))
    if hasattr(tree, "__dataclass_fields__") and not isinstance(tree, type):
        kind: Any = type(tree)
        names = field_names(kind)
        return (kind, names, tuple([flatten(getattr(tree, name), leaves) for name in names]))
    leaves.append(tree)
    return None


def unflatten(structure: Any, leaves: Any) -> Any:
    """The tree of that structure with the leaves that the iterator `leaves` gives."""
    if structure is None:
        return next(leaves)
    kind = structure[0]
    parts = [unflatten(s, leaves) for s in structure[-1]]
    if kind is dict:
        return dict(zip(structure[1], parts))
    if kind is list:
        return parts
    return tuple(parts) if kind is tuple else builder(kind)(*parts)


@functools.cache
def field_names(kind: Any) -> tuple[str, ...]:
    """The names of the fields of a dataclass, in order."""
    return tuple(field.name for field in dataclasses.fields(kind))


@functools.cache
def builder(kind: Any) -> Callable:
    """What makes a named tuple or a dataclass from its parts. A dataclass gets its fields as they are, `__init__` unasked."""
    if not hasattr(kind, "__dataclass_fields__"):
        return kind
    names = field_names(kind)

    def build(*parts: Any) -> Any:
        made = object.__new__(kind)
        for name, part in zip(names, parts):
            object.__setattr__(made, name, part)
        return made

    return build


def tree_map(function: Callable[[Any], Any], tree: Any) -> Any:
    """The same tree with `function` applied to its leaves."""
    leaves: list[Any] = []
    structure = flatten(tree, leaves)
    return unflatten(structure, iter([function(leaf) for leaf in leaves]))


def size(structure: Any) -> int:
    """The number of leaves of a tree of that structure."""
    return 1 if structure is None else sum(map(size, structure[-1]))


def keys(structure: Any) -> list[Any]:
    """All keys of dicts in a structure."""
    if structure is None:
        return []
    found = list(structure[1]) if structure[0] is dict else []
    return found + [key for part in structure[-1] for key in keys(part)]


def spread(prefix: Any, structure: Any, what: str) -> Iterator[Any]:
    """The int or None that `prefix` gives for each leaf: one for a whole subtree, or a tree of them.

    Raises `ValueError` where the two do not fit; `what` names the prefix in the message.
    """
    if prefix is None or (isinstance(prefix, int) and not isinstance(prefix, bool)):
        yield from [prefix] * size(structure)
        return
    leaves: list[Any] = []
    given = flatten(prefix, leaves)
    if given is None or structure is None or given[:-1] != structure[:-1] or len(given[-1]) != len(structure[-1]):
        raise ValueError(
            f"{what} must be an int, None, or nested like what it describes, which is {shown(structure)}; {prefix!r} is not"
        )
    parts = (
        list(prefix.values())
        if isinstance(prefix, dict)
        else [getattr(prefix, name) for name in given[1]]
        if len(given) == 3
        else prefix
    )
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
    if len(structure) == 3:
        parts = [f"{name!r}: {part}" for name, part in zip(structure[1], parts)]
    return f"{'' if kind is dict else kind.__name__}{{{', '.join(parts)}}}"
