"""What the functions take beside tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.functions.data import as_tensor
from jitgrad.handle import Handle
from jitgrad.ops.elementwise import cast
from jitgrad.record import apply
from jitgrad.tensor import Tensor
from jitgrad.tracing import made_here


def accepting_arrays(args: tuple) -> tuple:
    """The arguments of a call, with an array or number in the first place made into a tensor if there is none."""
    if args and not isinstance(args[0], Handle) and not any(isinstance(a, Handle) for a in args):
        with_floats = isinstance(args[0], (int, np.integer, np.bool_)) and any(isinstance(a, float) for a in args[1:])
        return (operand(float(args[0]) if with_floats else args[0]), *args[1:])
    return args


def exact(number: Any) -> Any:
    """A number, Python's or one of a tape, as a tensor that is as exact."""
    return apply(cast, (number,), {"dtype": number._row.dtype}) if isinstance(number, Handle) else operand(number)


def operand(data: Any) -> Tensor:
    """The first argument of a function that got no tensor, as one: a number in a dtype that is as exact as it."""
    if isinstance(data, (bool, int, float)):
        return made_here(as_tensor(data, dtype=dtypes.of(dtypes.of_number(data))))
    return as_tensor(data)
