"""What users get of operations with several results: named tuples, one class for each row, made when it is first needed."""

from __future__ import annotations

import functools
from typing import Any

from jitgrad.ops.table import TABLE, Op
from jitgrad.tensors.results import WRITTEN, made


@functools.cache
def type_of(op: Op) -> Any:
    """The class of the results of an op: a named tuple that prints as PyTorch's do, or tuple where these have no names."""
    if not op.named or len(op.outputs) == 1:
        return tuple
    return made(op.name, "_".join(filter(None, (op.namespace, op.label or op.name))), op.outputs)


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
