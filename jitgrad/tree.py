"""Nested tuples, lists and dicts of tensors, taken apart and put together again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


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
    return tuple(parts) if kind is tuple else kind(*parts)


def tree_map(function: Callable[[Any], Any], tree: Any) -> Any:
    """The same tree with `function` applied to its leaves."""
    leaves: list[Any] = []
    structure = flatten(tree, leaves)
    return unflatten(structure, iter([function(leaf) for leaf in leaves]))
