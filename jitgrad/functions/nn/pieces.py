"""Activations made of pieces of straight lines."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from jitgrad.functions.bind import bound
from jitgrad.functions.creation import rand
from jitgrad.functions.face import face
from jitgrad.functions.operands import in_dtype_of, taken
from jitgrad.functions.shaping import reshape
from jitgrad.ops import TABLE, choosing
from jitgrad.record.apply import apply
from jitgrad.record.checking import floating
from jitgrad.record.precision import in_single
from jitgrad.tensors.inplace import overwrite
from jitgrad.tensors.tensor import Tensor

_relu = bound(TABLE["relu"])


def _computed(function: Callable, input: Tensor, inplace: bool, name: str) -> Tensor:
    """What the function gives, or the input overwritten by it; its steps look at a copy then, which stays for the gradient."""
    return overwrite(input, function(input.clone()), name + "_") if inplace else function(input)


def _kink(c: Any, x: Any, y: Any) -> Tensor:
    return apply(choosing.kink, (c, x, y))


def _bend(c: Any, x: Any, y: Any) -> Tensor:
    return apply(choosing.bend, (c, x, y))


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0)."""
    return _computed(_relu, input, inplace, "relu")


@face(top=True)
def relu_(input: Tensor) -> Tensor:
    """`relu` in place."""
    return relu(input, True)


@face(top=True)
def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where it is above `threshold`, `value` elsewhere."""
    return _computed(lambda x: _above(x, threshold, value), input, inplace, "threshold")


def _above(x: Tensor, threshold: float, value: float) -> Tensor:
    if x.dtype.is_floating_point:
        return _kink(x - threshold, x, value)
    return in_dtype_of(x, apply(choosing.where, (x > threshold, x, value)))


@face(top=True)
def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """`threshold` in place."""
    return _THRESHOLD(input, threshold, value, True)


_THRESHOLD = threshold


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """x between the bounds; the derivative at a bound is 0."""
    if min_val > max_val:
        raise ValueError(f"hardtanh: min_val={min_val} must not be greater than max_val={max_val}")
    if input.dtype.is_floating_point:
        return _computed(lambda x: _between(x, min_val, max_val), input, inplace, "hardtanh")
    if input.dtype.name == "bool":
        raise RuntimeError("hardtanh: bools have no bounds: convert them with .float()")
    low, high = int(min_val), int(max_val)
    return _computed(lambda x: apply(choosing.clamp, (x,), {"min": low, "max": high}), input, inplace, "hardtanh")


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """`hardtanh` in place."""
    return hardtanh(input, min_val, max_val, True)


def _between(x: Tensor, low: float, high: float) -> Tensor:
    """x itself, strictly between the bounds; what has no derivative elsewhere, and nan is of that."""
    free = x.detach()
    above = _relu(free) if low == 0 else _kink(free - low, free, low)  # where -0.0 stays
    bounded = _kink(high - free, above, high)
    return _bend(x - low, _bend(high - x, x, bounded), bounded)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """x between 0 and 6."""
    return _computed(lambda x: hardtanh(x, 0.0, 6.0), input, inplace, "relu6")


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where it is positive, negative_slope * x elsewhere."""
    floating("leaky_relu", input)
    return _computed(lambda x: _leaky(x, negative_slope), input, inplace, "leaky_relu")


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """`leaky_relu` in place."""
    return leaky_relu(input, negative_slope, True)


@in_single
def _leaky(x: Tensor, slope: Any) -> Tensor:
    return _bend(x, x, x * slope)


@face(top=True, method=True)
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x where it is positive, weight * x elsewhere: one weight for all, or one for each channel, which dimension 1 counts."""
    weight = taken(weight)
    if not isinstance(weight, Tensor):
        raise TypeError(f"prelu: weight must be a tensor, not {type(weight).__name__}")
    floating("prelu", input, weight)
    if input.dtype != weight.dtype:
        raise RuntimeError(f"prelu: input is {input.dtype.name} and weight {weight.dtype.name}: convert one of them")
    if weight.ndim > 1:
        raise RuntimeError(f"prelu: weight has one dimension or none, and its shape is {list(weight.shape)}")
    channels = input.shape[1] if input.ndim > 1 else 1
    if weight.numel() == 1:
        return _leaky(input, reshape(weight, ()))
    if not input.ndim or weight.numel() != channels:
        raise RuntimeError(f"prelu: weight has {weight.numel()} numbers for {channels} channels of shape {list(input.shape)}")
    return _leaky(input, reshape(weight, (channels, *[1] * (input.ndim - 2))))


@face(top=True)
def rrelu(
    input: Tensor,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    inplace: bool = False,
    *,
    generator: Any = None,
) -> Tensor:
    """x where it is positive, slope * x elsewhere: slopes drawn between the bounds while training, else their mean."""
    floating("rrelu", input)
    if not lower <= upper or not math.isfinite(lower) or not math.isfinite(upper):
        raise RuntimeError(f"rrelu: the slopes are between lower={lower} and upper={upper}, which must not be less")
    slope: Any = (lower + upper) / 2
    if training:
        slope = rand(tuple(input.shape), generator=generator, dtype=input.dtype, device=input.device) * (upper - lower) + lower
    return _computed(lambda x: _leaky(x, slope), input, inplace, "rrelu")


@face(top=True)
def rrelu_(input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, *, generator: Any = None) -> Tensor:
    """`rrelu` in place."""
    return rrelu(input, lower, upper, training, True, generator=generator)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """x / 6 + 1 / 2 between 0 and 1."""
    floating("hardsigmoid", input)
    return _computed(_hardsigmoid, input, inplace, "hardsigmoid")


@in_single
def _hardsigmoid(x: Tensor) -> Tensor:
    return _between(x + 3, 0.0, 6.0) / 6


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * hardsigmoid(x)."""
    floating("hardswish", input)
    return _computed(_hardswish, input, inplace, "hardswish")


@in_single
def _hardswish(x: Tensor) -> Tensor:
    return x * _between(x + 3, 0.0, 6.0) / 6


def _outside(x: Tensor, bound: float, above: Tensor, below: Tensor, inside: Tensor) -> Tensor:
    """`above` the bound, `below` minus that, and `inside` between them or for nan."""
    return _bend(x - bound, above, _bend(-bound - x, below, inside))


@face(top=True, method=True)
def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """0 where |x| <= lambd, x elsewhere."""
    floating("hardshrink", input)
    return _outside(input, lambd, input, input, input - input)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x moved by `lambd` towards 0, and 0 where it would go beyond."""
    floating("softshrink", input)
    if not lambd >= 0:
        raise RuntimeError(f"softshrink: lambd must not be negative, and it is {lambd}")
    return _softshrink(input, lambd)


@in_single
def _softshrink(x: Tensor, lambd: float) -> Tensor:
    return _outside(x, lambd, x - lambd, x + lambd, x * 0.0)
