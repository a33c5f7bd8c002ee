"""The sizes that users ask for, where a tensor is made."""

from __future__ import annotations

import math
import operator
from typing import Any

from jitgrad.errors import TracedValueError
from jitgrad.ops.movement import MOST_ELEMENTS


def size_of(what: str, n: Any) -> int:
    """One size as an int."""
    if isinstance(n, bool):
        raise TypeError(f"{what}: sizes are ints, not bools")
    try:
        return operator.index(n)
    except TracedValueError:
        raise
    except TypeError:
        raise TypeError(f"{what}: sizes are ints, not {type(n).__name__}") from None


def shape_of(what: str, sizes: tuple, size: Any = None) -> tuple[int, ...]:
    """The shape that sizes say, given one by one or as one sequence."""
    if size is not None:
        sizes = (size,)
    if not sizes:
        raise TypeError(f"{what} needs a size, as in {what}(2, 3) or {what}((2, 3)); {what}(()) has no dimensions")
    found = sizes[0] if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes
    shape = tuple([size_of(what, n) for n in found])
    if shape and min(shape) < 0:
        raise RuntimeError(f"{what}: a tensor cannot have a negative size, and the shape asked for is {list(shape)}")
    if shape and max(shape) > 1000:
        refuse_too_many(what, math.prod(shape))
    return shape


def refuse_too_many(what: str, count: int) -> None:
    """A RuntimeError for more elements than memory can have."""
    if count >= MOST_ELEMENTS:
        raise RuntimeError(f"{what}: a tensor of {count} elements is more than memory can have")


def one_shape_of(what: str, size: Any) -> tuple[int, ...]:
    """The shape that one sequence says."""
    if not isinstance(size, (tuple, list)):
        raise TypeError(f"{what}: size must be a tuple of ints such as (2, 3), not {type(size).__name__}")
    return shape_of(what, (size,))
