"""What the functions of this folder have in common: their table, and operands as NumPy takes them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from jitgrad import dtypes
from jitgrad.functions import complexes, shaping
from jitgrad.functions.bind import bound
from jitgrad.functions.operands import operand
from jitgrad.ops import TABLE, choosing
from jitgrad.record.apply import apply
from jitgrad.record.weak import number
from jitgrad.tape.handle import Handle
from jitgrad.tensors.tensor import Tensor

NUMPY: dict[str, Callable] = {}
"""What NumPy's functions do with tensors: "sum", "linalg.norm", "special.erf" (SciPy's)."""

NOT_GIVEN = np._NoValue
"""NumPy's default for what may be anything."""


def is_given(value: Any) -> bool:
    """Whether an argument is more than a default."""
    return value is not NOT_GIVEN and value is not None


def is_everywhere(where: Any) -> bool:
    """Whether `where=` chooses all, since it was not given or is True."""
    return where is True or where is NOT_GIVEN


class _Rows(dict[str, Callable]):
    """The rows as functions of any operands, bound once they are needed."""

    def __missing__(self, name: str) -> Callable:
        found = self[name] = bound(TABLE[name])
        return found


ROW = _Rows()


def named(*names: str) -> Callable:
    """A decorator: the function is what NumPy's functions of these names do with tensors."""

    def decorate(function: Callable) -> Callable:
        NUMPY.update(dict.fromkeys(names, function))
        return function

    return decorate


def tensor_of(x: Any, *beside: Any) -> Tensor:
    """An operand as a tensor: lists are arrays, as they are to NumPy, or stacks where they hold tensors."""
    if isinstance(x, Tensor):
        return x
    if isinstance(x, (list, tuple)):
        if any(isinstance(each, (Tensor, list, tuple)) for each in x) and has_tensors(x):
            return shaping.stack(same_dtype(*x))
        x = np.asarray(x)
    return operand(x, beside)


def of_parts(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """A function of real tensors for the real part and for the imaginary one."""
    return complexes.complex(function(x.real), function(x.imag))


def has_tensors(x: Any) -> bool:
    """Whether there is a tensor in nested lists."""
    return isinstance(x, Handle) or (isinstance(x, (list, tuple)) and any(map(has_tensors, x)))


def cast(x: Tensor, dtype: Any) -> Tensor:
    """The tensor in a dtype."""
    wanted = dtypes.to_numpy(dtype)
    return x if x._held.dtype == wanted else apply(choosing.cast, (x,), {"dtype": wanted})


def cast_as(x: Tensor, dtype: Any, casting: Any, what: str) -> Tensor:
    """The tensor in a dtype, if NumPy's rule `casting` lets it be: a TypeError if not, which names it as `what`."""
    wanted = dtypes.to_numpy(dtype)
    if x._held.dtype != wanted and casting != "unsafe" and not np.can_cast(x._held.dtype, wanted, casting):
        raise TypeError(
            f"{what} of {x.dtype.name} are no {wanted.name} by the rule casting={casting!r}: convert with .to() first"
        )
    return cast(x, wanted)


def fractional(a: Any) -> Tensor:
    """A tensor of floats: NumPy takes means, sizes and the like of integers and bools in float64."""
    x = tensor_of(a)
    return x if x.dtype.has_gradient else cast(x, np.float64)


def same_dtype(*operands: Any, floats: bool = False, weak: bool = False) -> list[Tensor]:
    """The operands as tensors of the dtype that NumPy promotes them to, a floating one if that is asked for. Python's numbers
    count as float64 and int64, or are `weak`, as ufuncs take them, and adapt to the others."""
    many = [tensor_of(x, *operands) for x in operands]
    kinds = [_python_kind(x) if weak else None for x in operands]
    strong = [x._held.dtype for x, kind in zip(many, kinds) if kind is None] or [x._held.dtype for x in many]
    common = functools.reduce(dtypes.promote, strong) if many else np.dtype(np.float64)
    for kind in kinds:
        if kind is complex or (kind is not None and not dtypes.has_gradient(common)):
            common = np.result_type(np.float32 if common.kind == "V" else common, kind(0))
    if floats and not dtypes.has_gradient(common):
        common = np.dtype(np.float64)
    return [cast(x, common) for x in many]


def _python_kind(x: Any) -> type | None:
    """The type of one of Python's numbers, which has no dtype of its own; None for whatever else."""
    found = number(x)
    return None if found is None or issubclass(found.kind, np.generic) else found.kind


def axes_of(x: Any, axis: Any) -> tuple[int, ...]:
    """The axes that NumPy's `axis` means, all for None."""
    return tuple(range(x.ndim)) if axis is None else normalize_axis_tuple(axis, x.ndim)


def no_bools(axis: Any) -> None:
    """A TypeError for True and False, which NumPy does not take for axes where it reduces."""
    if any(isinstance(d, (bool, np.bool_)) for d in (axis if isinstance(axis, tuple) else (axis,))):
        raise TypeError(f"axis={axis!r}: axes are integers, not bools")


def one_axis(axis: Any, ndim: int, of_ufunc: bool = False) -> int:
    """The one axis that is meant. NumPy's ufuncs take a tuple of one as well."""
    no_bools(axis)
    if of_ufunc and isinstance(axis, tuple):
        if len(axis) != 1:
            raise ValueError(f"axis={axis}: what accumulates does so along one axis")
        (axis,) = axis
    return normalize_axis_index(axis, ndim)


def start(initial: Any, x: Tensor) -> Tensor:
    """What a reduction of a tensor starts with, in its dtype, as NumPy puts it there: 2.5 is 2 among integers."""
    dtype = np.dtype(np.float32) if x._held.dtype.kind == "V" else x._held.dtype
    if isinstance(initial, Tensor) and not initial.ndim and (x.dtype.is_complex or not initial.dtype.is_complex):
        return cast(initial, x._held.dtype)
    value = np.zeros((), dtype)
    try:
        value[()] = initial
    except (TypeError, ValueError, OverflowError) as error:
        raise type(error)(f"initial={initial!r} is no {x.dtype.name}, which is what is reduced") from None
    return cast(tensor_of(value, x), x._held.dtype)


def over(reduce: Callable, a: Any, axis: Any, keepdims: Any, strict: bool = True) -> Tensor:
    """`reduce(x, dim, keepdims)` over the axes that NumPy's `axis` means; over none of them, every element is by itself.
    Unless it is `strict` a number has an axis 0."""
    x = tensor_of(a)
    no_bools(axis)
    if axis is not None and (strict or x.ndim or type(axis) is not int or axis not in (0, -1)):
        axis = normalize_axis_tuple(axis, x.ndim)
        if not axis:
            return reduce(shaping.unsqueeze(x, -1), -1, False)
    return reduce(x, axis, keepdims is not NOT_GIVEN and bool(keepdims))


def at_the_end(x: Tensor, axis: Any) -> Tensor:
    """The axes as one, the last."""
    axes = axes_of(x, axis)
    rest = [d for d in range(x.ndim) if d not in axes]
    moved = shaping.permute(x, (*rest, *axes)) if x.ndim else x
    return shaping.reshape(moved, (*[x.shape[d] for d in rest], math.prod([x.shape[d] for d in axes])))


def with_axes(reduced: Tensor, shape: Sequence[int], axis: Any, keepdims: Any) -> Tensor:
    """A result over the last axis, which were several, with these of size 1 if `keepdims`."""
    if keepdims is NOT_GIVEN or not keepdims:
        return reduced
    axes = range(len(shape)) if axis is None else normalize_axis_tuple(axis, len(shape))
    lead = tuple(reduced.shape[: reduced.ndim - (len(shape) - len(axes))])  # several quantiles stand in front
    return shaping.reshape(reduced, (*lead, *[1 if d in axes else n for d, n in enumerate(shape)]))
