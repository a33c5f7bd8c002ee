"""The arguments and results of a native function: their structure, what goes in and out, and what it is called in messages
and C headers. In files they are JSON.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jitgrad.sweeps.wrapped import Value


class Tree(NamedTuple):
    """Arguments or results: their structure (see `jitgrad.tree`), and each leaf: a `Value`, or what it is fixed at."""

    structure: Any
    leaves: list[Any]
    labels: list[str]  # what the leaves are called, in messages and in C

    def values(self) -> list[tuple[str, Value]]:
        """Name and kind of the leaves that are not fixed."""
        return [(label, leaf) for label, leaf in zip(self.labels, self.leaves) if isinstance(leaf, Value)]


def plain(tree: Tree, name: str) -> dict[str, Any]:
    """A tree as JSON has it. Named tuples become plain ones."""

    def part(structure: Any) -> Any:
        if structure is None:
            return None
        kind = structure[0].__name__ if structure[0] in (list, dict) else "tuple"
        keys = [_plain_key(key, name) for key in structure[1]] if kind == "dict" else None
        return {"kind": kind, "keys": keys, "parts": [part(p) for p in structure[-1]]}

    leaves: list[Any] = []
    for label, leaf in zip(tree.labels, tree.leaves):
        if isinstance(leaf, Value):
            leaves.append({"shape": leaf.shape, "dtype": str(leaf.dtype)})
        elif leaf is None or type(leaf) in (bool, int, float, str):
            leaves.append({"fixed": leaf})
        else:
            raise TypeError(f"{name} cannot be saved: {label} is fixed at a {type(leaf).__name__}, and only numbers, strings and "
                            "None have a place in the file")  # fmt: skip
    return {"structure": part(tree.structure), "leaves": leaves, "labels": tree.labels}


def _plain_key(key: Any, name: str) -> Any:
    if type(key) is tuple:
        return [_plain_key(k, name) for k in key]
    if key is None or type(key) in (bool, int, float, str):
        return key
    raise TypeError(f"{name} cannot be saved: a dict among its arguments or results has a {type(key).__name__} as a key, and "
                    "only numbers, strings, None and tuples of them have a place in the file")  # fmt: skip


def _key(written: Any) -> Any:
    return tuple(map(_key, written)) if isinstance(written, list) else written


def from_plain(written: dict[str, Any]) -> Tree:
    """The tree that `plain` wrote."""

    def part(structure: Any) -> Any:
        if structure is None:
            return None
        parts = tuple(part(p) for p in structure["parts"])
        if structure["kind"] == "dict":
            return (dict, tuple(map(_key, structure["keys"])), parts)
        return (list if structure["kind"] == "list" else tuple, parts)

    def value(leaf: dict[str, Any]) -> Any:
        return leaf["fixed"] if "fixed" in leaf else Value(tuple(leaf["shape"]), np.dtype(leaf["dtype"]))

    return Tree(part(written["structure"]), [value(leaf) for leaf in written["leaves"]], written["labels"])


# Names.


def argument_labels(function: Callable, structure: Any) -> list[str]:
    """The names of the parameters, and of what is nested in them: `params_0`."""
    parts = structure[-1]
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [p.name for p in parameters if p.kind in plain]
    names += [f"x{i}" for i in range(len(names), len(parts))]
    return _distinct([label for name, part in zip(names, parts) for label in _labels(name, part)])


def result_labels(structure: Any, taken: Sequence[str]) -> list[str]:
    """The names of the results, other than those of the arguments."""
    labels = _labels("result", structure) if structure else ["result"]
    return _distinct(labels, taken)


def _labels(name: str, structure: Any) -> list[str]:
    if structure is None:
        return [re.sub(r"\W", "_", name, flags=re.ASCII)]
    keys: Sequence[Any] = structure[1] if len(structure) == 3 else range(len(structure[-1]))
    return [label for key, part in zip(keys, structure[-1]) for label in _labels(f"{name}_{key}", part)]


def _distinct(labels: Iterable[str], taken: Sequence[str] = ()) -> list[str]:
    """Names as they are, or with underscores behind those that came before or mean something in C."""
    found: list[str] = []
    for label in labels:
        while label in found or label in taken or label in _C_WORDS:
            label += "_"
        found.append(label)
    return found


_C_WORDS = frozenset({
    "alignas", "alignof", "asm", "auto", "bool", "break", "case", "catch", "char", "class", "const", "constexpr", "continue",
    "default", "delete", "do", "double", "else", "enum", "explicit", "extern", "false", "float", "for", "friend", "goto", "if",
    "inline", "int", "int32_t", "int64_t", "long", "namespace", "new", "nullptr", "operator", "private", "protected", "public",
    "register", "restrict", "return", "short", "signed", "sizeof", "static", "static_assert", "struct", "switch", "template",
    "this", "thread_local", "throw", "true", "try", "typedef", "typename", "typeof", "union", "unsigned", "using", "virtual",
    "void", "volatile", "while",
})  # fmt: skip
"""Of C and of C++, where a header may be included too."""
