"""What the functions take beside tensors."""

from __future__ import annotations

from typing import Any

from jitgrad import dtypes
from jitgrad.functions.data import as_tensor
from jitgrad.handle import Handle
from jitgrad.tensor import Tensor
from jitgrad.tracing import made_here


def accepting_arrays(args: tuple) -> tuple:
    """The arguments of a call, with an array or number in the first place made into a tensor if there is none."""
    if args and not isinstance(args[0], Handle) and not any(isinstance(a, Handle) for a in args):
        return (operand(args[0]), *args[1:])
    return args


def operand(data: Any) -> Tensor:
    """The first argument of a function that got no tensor, as one: a number in a dtype that is as exact as it."""
    if isinstance(data, (bool, int, float)):
        return made_here(as_tensor(data, dtype=dtypes.of(dtypes.of_number(data))))
    return as_tensor(data)
