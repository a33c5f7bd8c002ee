"""The arguments and results of a native function: their structure, what goes in and out, and what it is called in messages
and C headers. In files they are JSON.
"""

from __future__ import annotations

import inspect
import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from jitgrad.base.tree import told_apart
from jitgrad.dtypes import EXPORTED
from jitgrad.sweeps.llvm.wrapped import Value


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
            raise TypeError(
                f"{name} cannot be saved: {label} is fixed at a {type(leaf).__name__}, and only numbers, strings and "
                "None have a place in the file"
            )
    return {"structure": part(tree.structure), "leaves": leaves, "labels": tree.labels}


def _plain_key(key: Any, name: str) -> Any:
    if type(key) is tuple:
        return [_plain_key(k, name) for k in key]
    if key is None or type(key) in (bool, int, float, str):
        return key
    raise TypeError(
        f"{name} cannot be saved: a dict among its arguments or results has a {type(key).__name__} as a key, and "
        "only numbers, strings, None and tuples of them have a place in the file"
    )


def from_plain(written: Any, of_arguments: bool = False) -> Tree:
    """The tree that `plain` wrote; `ValueError` if this is none, since machine code is called by what it says."""
    if not _is_dict(written, "structure", "leaves", "labels"):
        raise ValueError("arguments and results have a structure, leaves and labels")
    count = itertools.count()
    structure, leaves, labels = _structure(written["structure"], count), written["leaves"], written["labels"]
    if of_arguments and (structure is None or structure[0] is not tuple):
        raise ValueError("arguments are a tuple")
    if not isinstance(leaves, list) or not isinstance(labels, list) or not len(leaves) == len(labels) == next(count):
        raise ValueError("there are as many leaves and labels as places for them")
    if not all(isinstance(label, str) and _NAME.fullmatch(label) for label in labels):
        raise ValueError(f"labels are names, and these are {labels}")
    return Tree(structure, [_leaf(leaf) for leaf in leaves], labels)


def _structure(written: Any, count: Iterator[int]) -> Any:
    if written is None:
        next(count)
        return None
    if not _is_dict(written, "kind", "keys", "parts") or not isinstance(written["parts"], list):
        raise ValueError(f"a structure has a kind, keys and parts, and this is {written!r:.80}")
    kinds: dict[Any, type] = {"list": list, "tuple": tuple, "dict": dict}
    kind = kinds.get(written["kind"]) if isinstance(written["kind"], str) else None
    parts = tuple([_structure(part, count) for part in written["parts"]])
    if kind is None:
        raise ValueError(f"there are lists, tuples and dicts, and no {written['kind']!r:.80}")
    if kind is not dict:
        return kind, parts
    keys = tuple([_key(key) for key in written["keys"]]) if isinstance(written["keys"], list) else ()
    if len(set(keys)) != len(parts):
        raise ValueError(f"a dict of {len(parts)} parts has as many keys, and not {keys!r:.80}")
    return dict, *told_apart(keys), parts


def _key(written: Any) -> Any:
    if isinstance(written, list):
        return tuple(map(_key, written))
    return _fixed(written)


def _fixed(value: Any) -> Any:
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise ValueError(f"keys and what is fixed are numbers, strings and None, and not {value!r:.80}")


def _leaf(written: Any) -> Any:
    if _is_dict(written, "fixed"):
        return _fixed(written["fixed"])
    if not _is_dict(written, "shape", "dtype") or written["dtype"] not in EXPORTED or not isinstance(written["shape"], list):
        raise ValueError(f"a value has a shape, and a dtype among {', '.join(EXPORTED)}, and this is {written!r:.80}")
    shape = tuple(written["shape"])
    sizes = [n for n in shape if type(n) is int and 0 <= n < LARGEST]
    if len(shape) > MOST_DIMENSIONS or len(sizes) != len(shape) or math.prod(sizes) >= LARGEST:
        raise ValueError(f"{shape!r:.80} is no shape")
    return Value(shape, np.dtype(written["dtype"]))


def described(manifest: dict[str, Any]) -> tuple[str, str, list[str], str]:
    """Name, symbol, imports and text of a function in a file; `ValueError` if they are not what they should be."""
    name, symbol, imports, text = (manifest.get(what) for what in ("name", "symbol", "imports", "text"))
    if not (isinstance(name, str) and isinstance(text, str) and isinstance(symbol, str) and _NAME.fullmatch(symbol)):
        raise ValueError("a function has a name, a symbol and a text")
    if not isinstance(imports, list) or not all(isinstance(x, str) for x in imports):
        raise ValueError("imports are names")
    return name, symbol, imports, text


def _is_dict(written: Any, *names: str) -> bool:
    return isinstance(written, dict) and set(written) == set(names)


_NAME = re.compile(r"[A-Za-z_0-9]+")
MOST_DIMENSIONS, LARGEST = 64, 1 << 48
"""Of an array: dimensions, for NumPy, and elements."""


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
    keys: Sequence[Any] = structure[1] if len(structure) > 2 else range(len(structure[-1]))
    return [label for key, part in zip(keys, structure[-1]) for label in _labels(f"{name}_{key}", part)]


def _distinct(labels: Iterable[str], taken: Sequence[str] = ()) -> list[str]:
    """Names as they are, or with underscores behind those that came before or mean something in C."""
    found: list[str] = []
    for label in labels:
        while label in found or label in taken or label in _C_WORDS:
            label += "_"
        found.append(label)
    return found


_C_WORDS = frozenset(
    {
        "alignas",
        "alignof",
        "asm",
        "auto",
        "bool",
        "break",
        "case",
        "catch",
        "char",
        "class",
        "const",
        "constexpr",
        "continue",
        "default",
        "delete",
        "do",
        "double",
        "else",
        "enum",
        "explicit",
        "extern",
        "false",
        "float",
        "for",
        "friend",
        "goto",
        "if",
        "inline",
        "int",
        "int32_t",
        "int64_t",
        "long",
        "namespace",
        "new",
        "nullptr",
        "operator",
        "private",
        "protected",
        "public",
        "register",
        "restrict",
        "return",
        "short",
        "signed",
        "sizeof",
        "static",
        "static_assert",
        "struct",
        "switch",
        "template",
        "this",
        "thread_local",
        "throw",
        "true",
        "try",
        "typedef",
        "typename",
        "typeof",
        "union",
        "unsigned",
        "using",
        "virtual",
        "void",
        "volatile",
        "while",
    }
)
"""Of C and of C++, where a header may be included too."""
