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
    return named(op.name, op.outputs, "_".join(filter(None, (op.namespace, op.label or op.name))))


@functools.cache
def named(name: str, outputs: tuple[str, ...], shown: str = "") -> Any:
    """The class of results of these names, of a row or of a function that is written by hand."""
    kind: Any = _namedtuple(name, outputs, module=__name__)
    shown = shown or name

    def text(self: Any) -> str:
        return f"jitgrad.return_types.{shown}(\n" + ",\n".join(f"{n}={v!r}" for n, v in zip(outputs, self)) + ")"

    kind.__repr__ = text
    kind.__doc__ = f"The results of {shown}: {', '.join(outputs)}."
    return kind


def results_of(op: Op, found: tuple[Any, ...]) -> Any:
    """The results of an op with several, as users get them."""
    kind = type_of(op)
    return found if kind is tuple else kind._make(found)


def __getattr__(name: str) -> Any:
    if name in TABLE and TABLE[name].several:  # as pickle asks for a class
        return type_of(TABLE[name])
    if name in ("histogram", "histogramdd"):
        return named(name, ("hist", "bin_edges"))
    raise AttributeError(f"no operation {name} has several results")
