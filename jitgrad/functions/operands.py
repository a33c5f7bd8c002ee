"""What the functions take beside tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.devices.moving import moved
from jitgrad.functions.data import as_tensor
from jitgrad.ops.choosing import cast
from jitgrad.record.apply import apply, lift
from jitgrad.record.foreign import by_numpy
from jitgrad.record.promotion import ranks
from jitgrad.record.quick import is_operand
from jitgrad.record.trace import current_trace, made_here
from jitgrad.record.weak import number
from jitgrad.tape.handle import Handle, make
from jitgrad.tensors.tensor import Tensor


def accepting_arrays(args: Sequence[Any]) -> Sequence[Any]:
    """The operands of a function, with an array or number in the first place made into a tensor if there is none."""
    args = [by_numpy(a) for a in args]
    if not args or any(isinstance(a, Handle) for a in args):
        return args
    if not is_operand(args[0]):
        return (operand(args[0]), *args[1:])
    return (as_tensors(args[:1], args[1:])[0], *args[1:])


def taken(x: Any, beside: Sequence[Any] = ()) -> Any:
    """The first argument of a function that takes a tensor: an array or a number is one, whatever else there is stays."""
    x = by_numpy(x)
    if isinstance(x, np.ndarray):
        return tensor_beside(x, beside)
    return x if isinstance(x, Handle) or not is_operand(x) else as_tensors([x])[0]


def tensor_beside(array: np.ndarray, others: Sequence[Any]) -> Tensor:
    """An array as a tensor: it is on no device, so it comes to be on that of the tensors among the others."""
    made = as_tensor(array)
    there = next((x.device for x in others if isinstance(x, Tensor) and x.is_cuda), None)
    if there is None:
        return made
    trace = current_trace.get()
    return make(Tensor, None, lift(trace, array)) if trace is not None and trace.lifts else moved(made, there)


def array_beside(x: Any, other: Any) -> Any:
    """A list of numbers as an array, in the dtype of the tensor beside it if that has room for them, and any array by NumPy."""
    x = by_numpy(x)
    if not isinstance(x, (list, tuple)) or not isinstance(other, Tensor):
        return x
    try:
        array, dtype = np.asarray(x), other._held.dtype
    except ValueError:  # lists of several lengths
        return x
    if array.dtype.kind not in "biufc":
        return x
    return array.astype(dtype) if np.can_cast(array.dtype, dtype, "same_kind") else array


def as_tensors(operands: Sequence[Any], beside: Sequence[Any] = ()) -> list[Tensor]:
    """Operands as tensors: numbers adapt to the tensors among them and beside them, and are as exact as they are without."""
    operands, beside = [by_numpy(x) for x in operands], [by_numpy(x) for x in beside]
    common = dtypes.result_type(ranks([*operands, *filter(is_operand, beside)]))
    return [_as_tensor(x, common, (*operands, *beside)) for x in operands]


def _as_tensor(x: Any, common: np.dtype, beside: Sequence[Any]) -> Tensor:
    if isinstance(x, np.ndarray):
        return tensor_beside(x, beside)
    if isinstance(x, Handle) and number(x) is None:
        return as_tensor(x)
    return apply(cast, (x,), {"dtype": common}) if isinstance(x, Handle) else made_here(as_tensor(x, dtype=dtypes.of(common)))


def exact(number: Any) -> Any:
    """A number, Python's or one of a tape, as a tensor that is as exact."""
    return apply(cast, (number,), {"dtype": number._row.dtype}) if isinstance(number, Handle) else operand(number)


def operand(data: Any, beside: Sequence[Any] = ()) -> Tensor:
    """The first argument of a function that got no tensor, as one: a number in a dtype that is as exact as it."""
    if isinstance(data, np.ndarray):
        return tensor_beside(data, beside)
    if isinstance(data, (bool, int, float, complex)):
        return made_here(as_tensor(data, dtype=dtypes.of(dtypes.of_number(data))))
    return as_tensor(data)


def times(other: Any, alpha: Any) -> Any:
    """`alpha * other` in the dtype of `other`, if that is a tensor, or in a larger one if `alpha` is a fraction."""
    if not isinstance(other, Tensor):
        return other * alpha
    if not other.dtype.has_gradient and isinstance(alpha, float):
        raise RuntimeError(
            f"alpha={alpha} would make {other.dtype.name} values fractions: convert with .float(), or pass an integer alpha"
        )
    return in_dtype_of(other, other * alpha)


def in_dtype_of(like: Tensor, x: Tensor) -> Tensor:
    """`x` in the dtype of another tensor."""
    dtype = like._held.dtype
    return x if x._held.dtype == dtype else apply(cast, (x,), {"dtype": dtype})


def listed(tensors: tuple, what: str) -> list[Tensor]:
    """Tensors that were given one by one, or as one sequence."""
    many = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors
    found = [taken(x) for x in many]
    for x in found:
        if not isinstance(x, Tensor):
            raise TypeError(f"{what} takes tensors, not {type(x).__name__}")
    return found
