"""Whether tensors are equal, or nearly."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.functions.operands import operand
from jitgrad.ops import choosing
from jitgrad.record.apply import apply
from jitgrad.record.leaving import refuse_masked
from jitgrad.record.weak import number
from jitgrad.tensors.tensor import Tensor


def allclose(input: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """Whether all elements are equal within the tolerances."""
    return bool(isclose(input, other, rtol, atol, equal_nan).all())


def isclose(input: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """Elementwise whether |input - other| <= atol + rtol * |other|."""
    for name, tolerance in (("rtol", rtol), ("atol", atol)):
        if not tolerance >= 0:
            raise RuntimeError(f"{name} must not be negative, and it is {tolerance}")
    tensors = isinstance(input, Tensor) and isinstance(other, Tensor) and number(input) is number(other) is None
    if tensors and input._held.dtype != other._held.dtype:
        raise RuntimeError(
            f"isclose compares tensors of one dtype, and these are {input.dtype.name} and {other.dtype.name}: convert one"
        )
    refuse_masked(input)
    refuse_masked(other)
    both = [v if isinstance(v, Tensor) else operand(v, (input, other)) for v in (input, other)]
    wide = np.dtype(np.complex128 if any(v._held.dtype.kind == "c" for v in both) else np.float64)
    x, y = (apply(choosing.cast, (v,), {"dtype": wide}).detach() for v in both)
    close = (x == y) | (((x - y).abs() <= y.abs() * rtol + atol) & y.isfinite())
    return close | (x.isnan() & y.isnan()) if equal_nan else close


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether shapes and all elements are equal."""
    for x in (input, other):
        if not isinstance(x, Tensor):
            raise TypeError(f"equal compares two tensors, and one operand is {type(x).__name__}")
    return tuple(input.shape) == tuple(other.shape) and bool(apply(choosing.eq, (input, other)).all())
