"""What users get of operations with several results: named tuples, one class for each row, made when it is first needed."""

from __future__ import annotations

import functools
from collections import namedtuple
from typing import Any

from jitgrad.ops.table import TABLE, Op

_namedtuple: Any = namedtuple


@functools.cache
def type_of(op: Op) -> Any:
    """The class of the results of an op: a named tuple that prints as PyTorch's do, or tuple where these have no names."""
    if not op.named or len(op.outputs) == 1:
        return tuple
    return _made(op.name, "_".join(filter(None, (op.namespace, op.label or op.name))), op.outputs)


def _made(name: str, shown: str, fields: tuple[str, ...]) -> Any:
    kind: Any = _namedtuple(name, fields, module=__name__)

    def text(self: Any) -> str:
        return f"jitgrad.return_types.{shown}(\n" + ",\n".join(f"{n}={v!r}" for n, v in zip(fields, self)) + ")"

    kind.__repr__ = text
    kind.__doc__ = f"The results of {shown}: {', '.join(fields)}."
    return kind


WRITTEN: dict[str, Any] = {}
"""The classes of results of functions that are written by hand, by their names."""


def named(name: str, *fields: str) -> Any:
    """The class of the results of a function that is no row."""
    return WRITTEN.setdefault(name, _made(name, name, fields))


def results_of(op: Op, found: tuple[Any, ...]) -> Any:
    """The results of an op with several, as users get them."""
    kind = type_of(op)
    return found if kind is tuple else kind._make(found)


def __getattr__(name: str) -> Any:
    if name in WRITTEN:
        return WRITTEN[name]
    if name in TABLE and TABLE[name].several:  # as pickle asks for a class
        return type_of(TABLE[name])
    raise AttributeError(f"no operation {name} has several results")
