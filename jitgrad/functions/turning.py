"""Turned, mirrored, rolled; and tensors that become their own transpose."""

from __future__ import annotations

from typing import Any

from jitgrad.functions.face import face
from jitgrad.functions.shaping import cat, flip, reshape, squeeze, t, transpose, unsqueeze
from jitgrad.ops.movement import narrow
from jitgrad.ops.shapes import axis
from jitgrad.record.apply import apart, apply
from jitgrad.tensors.reseeing import become
from jitgrad.tensors.tensor import Tensor


def fliplr(input: Tensor) -> Tensor:
    """The columns (dimension 1) in reverse order."""
    if input.ndim < 2:
        raise RuntimeError(f"fliplr needs a tensor of at least 2 dimensions, and this has {input.ndim}")
    return flip(input, 1)


def flipud(input: Tensor) -> Tensor:
    """The rows (dimension 0) in reverse order."""
    if not input.ndim:
        raise RuntimeError("flipud needs a tensor of at least 1 dimension, and this has none")
    return flip(input, 0)


def rot90(input: Tensor, k: int = 1, dims: Any = (0, 1)) -> Tensor:
    """Turned by `k` quarters of a circle in the plane of two dimensions, from the first towards the second."""
    if not isinstance(dims, (tuple, list)) or len(dims) != 2:
        raise RuntimeError(f"rot90: dims must be two dimensions, not {dims!r}")
    if input.ndim < 2:
        raise RuntimeError(f"rot90 needs a tensor of at least 2 dimensions, and this has {input.ndim}")
    if dims[0] == dims[1] or abs(dims[0] - dims[1]) == input.ndim:
        raise RuntimeError(f"rot90: dims={dims} are one dimension: a plane has two")
    first, second = (axis(d, input.ndim, what="dims") for d in dims)
    quarters = k % 4
    if quarters == 0:
        return input.clone()
    if quarters == 2:
        return flip(input, (first, second))
    return transpose(flip(input, second), first, second) if quarters == 1 else flip(transpose(input, first, second), second)


def _rolled(x: Tensor, shift: int, d: int) -> Tensor:
    size = x.shape[d]
    by = shift % size if size else 0
    if not by:
        return x
    ends = ((size - by, by), (0, size - by))
    return cat([apply(narrow, (x,), {"dim": d, "start": start, "length": n}) for start, n in ends], d)


def roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """Elements moved on along dimensions by so many places, those at the end to the front; without `dims`, of all in a row."""
    many = tuple(shifts) if isinstance(shifts, (tuple, list)) else (shifts,)
    over = () if dims is None else tuple(dims) if isinstance(dims, (tuple, list)) else (dims,)
    if not many:
        raise RuntimeError("roll: shifts must not be empty")
    if not over and len(many) == 1:
        row = _rolled(reshape(input, -1), many[0], 0)
        return apart(reshape(row, tuple(input.shape)), input)
    if len(many) != len(over):
        raise RuntimeError(f"roll: shifts={shifts} and dims={dims} must be as many")
    if not input.ndim:
        raise IndexError(f"roll: dims={dims} name dimensions, and a 0-d tensor has none")
    out = input
    for shift, d in zip(many, over):
        out = _rolled(out, shift, axis(d, input.ndim, what="dims"))
    return apart(out, input)


@face(top=False)
def t_(input: Tensor) -> Tensor:
    """`t` in place: this tensor is its transpose from now on."""
    return become(input, t, "t_")


@face(top=False)
def transpose_(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """`transpose` in place: two dimensions of this tensor are swapped from now on."""
    return become(input, lambda x: transpose(x, dim0, dim1), "transpose_")


@face(top=False)
def swapaxes_(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """`transpose_`, by NumPy's name."""
    return transpose_(input, axis0, axis1)


@face(top=False)
def swapdims_(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """`transpose_`, by another name."""
    return transpose_(input, dim0, dim1)


@face(top=False)
def squeeze_(input: Tensor, dim: Any = None) -> Tensor:
    """`squeeze` in place: this tensor is without dimensions of size 1 from now on."""
    return become(input, lambda x: squeeze(x, dim), "squeeze_")


@face(top=False)
def unsqueeze_(input: Tensor, dim: int) -> Tensor:
    """`unsqueeze` in place: this tensor has one more dimension from now on."""
    return become(input, lambda x: unsqueeze(x, dim), "unsqueeze_")
