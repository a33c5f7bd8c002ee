"""What a row says of itself to users: its docstring and its arguments."""

from __future__ import annotations

import functools
import inspect
from inspect import Parameter, Signature

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


@functools.cache
def signature(op: Op) -> Signature:
    """How a row is called: its inputs by PyTorch's names, then what its parameters are made of."""
    found = [Parameter(_PYTORCHS.get(name, name), Parameter.POSITIONAL_OR_KEYWORD) for name in op.inputs]
    if op.prepare is not None:
        given = list(inspect.signature(op.prepare).parameters.values())
        found += [parameter.replace(annotation=Parameter.empty) for parameter in given[len(op.inputs) :]]
    if op.result in ("sum", "floating") and found[-1].kind is Parameter.POSITIONAL_OR_KEYWORD:
        found.append(Parameter("dtype", Parameter.KEYWORD_ONLY, default=None))
    if not op.several:
        return Signature(found)
    named = op.named and len(op.outputs) > 1
    return Signature(found, return_annotation=f"return_types.{op.name}" if named else "tuple[Tensor, ...]")
