"""What a piece of code may read: the names of globals, attributes and modules in it, and how it uses them."""

from __future__ import annotations

import dis
import functools
import types
from collections.abc import Iterator
from typing import Any, NamedTuple

_BY_NAME = frozenset({"getattr", "hasattr", "attrgetter", "methodcaller", "getattr_static", "__getattribute__"})
_EVERYTHING = frozenset(
    {
        "vars",
        "__dict__",
        "dir",
        "globals",
        "locals",
        "eval",
        "exec",
        "fields",
        "asdict",
        "astuple",
        "getmembers",
        "__slots__",
    }
)
_TEXT = frozenset({"str", "repr", "format", "join", "chr", "lower", "upper", "strip", "replace", "split", "removeprefix"})
_WRITERS = frozenset(
    {
        "fill",
        "sort",
        "put",
        "partition",
        "resize",
        "copyto",
        "place",
        "putmask",
        "put_along_axis",
        "fill_diagonal",
        "out",
        "setfield",
        "setflags",
        "__setitem__",
        "at",
        "byteswap",
    }
)


class Reads(NamedTuple):
    """What code reads, that of the functions within it included."""

    globals: frozenset[str]
    attributes: frozenset[str]
    methods: frozenset[str]  # attributes that are called
    modules: frozenset[tuple[str, int]]  # imports within the code: name and level
    strings: frozenset[str]
    by_name: bool  # it may read attributes whose names are strings
    everything: bool  # it may read all attributes of what it holds
    writes_text: bool  # it may put names together
    identity: bool  # it asks whether two things are one
    writes: bool  # it may change an array


@functools.lru_cache(4096)
def reads(code: types.CodeType) -> Reads:
    """What a piece of code reads."""
    held: dict[str, set] = {name: set() for name in ("globals", "attributes", "methods", "modules", "strings")}
    found = list(dis.get_instructions(code))
    writes_text = identity = writes = False
    for i, (instruction, name) in enumerate(zip(found, [each.opname for each in found])):
        value: Any = instruction.argval
        if name in ("LOAD_GLOBAL", "LOAD_NAME"):
            held["globals"].add(value)
        elif name == "LOAD_METHOD" or (name == "LOAD_ATTR" and "NULL|self" in instruction.argrepr):
            held["methods"].add(value)
        elif name in ("LOAD_ATTR", "IMPORT_FROM", "LOAD_SUPER_ATTR"):
            held["attributes"].add(value)
        elif name == "IMPORT_NAME":
            held["modules"].add((value, int(found[i - 2].argval or 0)))  # its level stands before the names
        elif name in ("BUILD_STRING", "FORMAT_VALUE", "FORMAT_SIMPLE", "FORMAT_WITH_SPEC"):
            writes_text = True
        elif name == "IS_OP":
            identity = identity or not _constant(found[i - 1 : i], type(None))
        elif name == "BINARY_OP":
            writes_text = writes_text or _constant(found[max(i - 2, 0) : i], str)
            writes = writes or instruction.argrepr[-1:] == "="
        elif name == "STORE_SUBSCR":
            writes = True
    held["strings"] = set(_strings(code.co_consts))
    if "MATCH_CLASS" in [each.opname for each in found]:
        held["attributes"] |= held["strings"]
    names = held["globals"] | held["attributes"] | held["methods"]
    facts = [
        not _BY_NAME.isdisjoint(names),
        not _EVERYTHING.isdisjoint(names),
        writes_text or not _TEXT.isdisjoint(names),
        identity or "id" in held["globals"],
        writes or not _WRITERS.isdisjoint(names | held["strings"]),
    ]
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            inner = reads(const)
            held = {name: known | getattr(inner, name) for name, known in held.items()}
            facts = [a or b for a, b in zip(facts, inner[5:])]
    return Reads(*map(frozenset, held.values()), *facts)  # type: ignore[arg-type]


def _constant(instructions: list[dis.Instruction], kind: type) -> bool:
    """Whether one of these loads a constant of that kind."""
    return any(each.opname == "LOAD_CONST" and isinstance(each.argval, kind) for each in instructions)


def _strings(consts: Any) -> Iterator[str]:
    """The strings among constants that may be names, dotted ones part by part."""
    for const in consts:
        if isinstance(const, (tuple, frozenset)):
            yield from _strings(const)
        elif isinstance(const, str):
            yield from [part for part in const.split(".") if part.isidentifier()]
