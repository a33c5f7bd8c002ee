"""What a row says of itself to users: its docstring and its arguments."""

from __future__ import annotations

import inspect

from jitgrad.ops.table import Op


def describe(op: Op) -> str:
    """A docstring from a row."""
    what = f"{op.name}: {op.kernel}, elementwise" if op.kernel else f"{op.name} of the tensor"
    kinds = {"float": "Integers are computed in the default float dtype.", "bool": "The result is bool.",
             "floating": "Raises RuntimeError for dtypes that are not floating."}  # fmt: skip
    grad = "Differentiable." if op.differentiable else "Not differentiable."
    return " ".join([what + ".", kinds.get(op.result, ""), grad]).replace("  ", " ")


def signature(op: Op) -> str:
    """The call signature of a row, for messages and docs."""
    if op.prepare is None:
        return f"({', '.join(op.inputs)})"
    parameters = inspect.signature(op.prepare).parameters.values()
    return f"({', '.join(str(p.replace(annotation=p.empty)) for p in parameters)})"
