"""What all losses share: how their elements become one number, and which shapes fit together."""

from __future__ import annotations

import warnings
from typing import Any

from jitgrad.functions.operands import taken
from jitgrad.tensors.tensor import Tensor


def reduced(loss: Tensor, reduction: str) -> Tensor:
    """The mean or the sum of a loss, or the loss as it is."""
    checked(reduction)
    return loss if reduction == "none" else getattr(loss, reduction)()


def checked(reduction: str) -> str:
    """A reduction that there is."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction must be 'mean', 'sum' or 'none', not {reduction!r}")
    return reduction


def reduction_of(reduction: str, size_average: bool | None, reduce: bool | None) -> str:
    """The reduction that PyTorch's old arguments mean; where one of them is given, they are what counts."""
    if size_average is None and reduce is None:
        return reduction
    meant = "none" if reduce is False else "sum" if size_average is False else "mean"
    warnings.warn(f"size_average and reduce are deprecated: write reduction={meant!r}", stacklevel=5)
    return meant


def of_one_dtype(name: str, input: Tensor, **more: Any) -> None:
    """RuntimeError for a tensor that has another dtype than `input`."""
    for key, x in more.items():
        if x is not None and x.dtype != input.dtype:
            raise RuntimeError(f"{name}: {key} is {x.dtype.name} and input {input.dtype.name}: convert one of them")


def of_one_shape(name: str, input: Tensor, target: Tensor) -> None:
    """ValueError for two tensors of different shapes."""
    if tuple(input.shape) != tuple(target.shape):
        raise ValueError(
            f"{name}: shapes {list(input.shape)} and {list(target.shape)} differ, and broadcasting a "
            "loss is nearly always a mistake"
        )


def broadcasting(name: str, input: Tensor, target: Tensor) -> None:
    """A warning for two tensors of different shapes."""
    if tuple(input.shape) != tuple(target.shape):
        warnings.warn(
            f"{name}: shapes {list(input.shape)} and {list(target.shape)} differ, and are broadcast, which in a "
            "loss is nearly always a mistake",
            stacklevel=5,
        )


def weighed(name: str, loss: Tensor, weight: Any, reduction: str) -> Tensor:
    """The loss by the weights of its elements, whose mean is over their sum."""
    checked(reduction)
    if weight is None:
        return reduced(loss, reduction)
    weight = taken(weight)
    if tuple(weight.shape) != tuple(loss.shape):
        raise ValueError(f"{name}: weight must have shape {list(loss.shape)}, and it is {list(weight.shape)}")
    if reduction == "mean":
        return (loss * weight).sum() / weight.sum()
    return reduced(loss * weight, reduction)
