"""What a row says of itself to users: its docstring and its arguments."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from inspect import Parameter, Signature
from typing import Any

from jitgrad.ops.table import Op

_PYTORCHS = {"x": "input", "y": "other"}


@functools.cache
def describe(op: Op) -> str:
    """A docstring from a row."""
    what = op.doc or (f"{op.name}: {op.kernel}, elementwise" if op.kernel else f"{op.name} of the tensor")
    kinds = {
        "float": "Integers are computed in the default float dtype.",
        "bool": "The result is bool.",
        "floating": "Raises RuntimeError for dtypes that are not floating.",
    }
    grad = "Differentiable." if op.differentiable else "Not differentiable."
    named = signature(op).parameters
    numpys = [f"`{theirs}` for `{ours}`" for theirs, ours in (("axis", "dim"), ("keepdims", "keepdim")) if ours in named]
    names = f"NumPy's names are accepted too: {', '.join(numpys)}." if numpys else ""
    return " ".join(filter(None, [what + ".", kinds.get(op.result, ""), grad, names]))


def signature(op: Op) -> Signature:
    """How a row is called: its inputs by PyTorch's names, then what its parameters are made of."""
    takes_dtype = op.result in ("sum", "floating")
    named = op.named and len(op.outputs) > 1
    given = (f"return_types.{op.name}" if named else "tuple[Tensor, ...]") if op.several else Signature.empty
    return _signature(op.inputs, op.prepare, takes_dtype, given)


@functools.cache  # most rows have the signature of others, and making one takes long
def _signature(inputs: tuple[str, ...], prepare: Callable | None, takes_dtype: bool, result: Any) -> Signature:
    found = [Parameter(_PYTORCHS.get(name, name), Parameter.POSITIONAL_OR_KEYWORD) for name in inputs]
    if prepare is not None:
        given = list(inspect.signature(prepare).parameters.values())
        found += [parameter.replace(annotation=Parameter.empty) for parameter in given[len(inputs) :]]
    if found[-1].kind is Parameter.POSITIONAL_OR_KEYWORD:
        further = ("dtype", "out") if takes_dtype else ("out",)
        found += [Parameter(name, Parameter.KEYWORD_ONLY, default=None) for name in further]
    return Signature(found, return_annotation=result)
