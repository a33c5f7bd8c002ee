"""Pooling: maxima and means over windows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jitgrad.functions.face import face
from jitgrad.functions.nn.spatial import Ints, at_least, bordered, each, with_batch
from jitgrad.functions.nn.windows import Along, divided, largest, summed, where_, with_positions
from jitgrad.functions.shaping import reshape
from jitgrad.record.apply import apart
from jitgrad.record.precision import in_single
from jitgrad.tensors.tensor import Tensor


@face(top=True)
def max_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest elements of windows over the last dimension, a `stride` apart (the size of a window unless given).

    Padding is never the largest. With `ceil_mode` a window may reach over the end. The gradient goes to the first of equal
    elements; `return_indices` tells where that is, counted over all spatial dimensions.
    """
    return _max_pool("max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@face(top=True)
def max_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest elements of windows over the last two dimensions; see `max_pool1d`."""
    return _max_pool("max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@face(top=True)
def max_pool3d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest elements of windows over the last three dimensions; see `max_pool1d`."""
    return _max_pool("max_pool3d", 3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@face(top=True)
def max_pool1d_with_indices(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = True,
) -> Any:
    """`max_pool1d` and where the elements are."""
    return _max_pool("max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode, True)


def max_pool2d_with_indices(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = True,
) -> Any:
    """`max_pool2d` and where the elements are."""
    return _max_pool("max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode, True)


def max_pool3d_with_indices(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = True,
) -> Any:
    """`max_pool3d` and where the elements are."""
    return _max_pool("max_pool3d", 3, input, kernel_size, stride, padding, dilation, ceil_mode, True)


def _facts(
    what: str, count: int, x: Tensor, size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    """Sizes, steps, dilations and borders of windows, and how many windows there are."""
    sizes = each(what, "kernel_size", size, count)
    steps = sizes if stride is None or stride in ((), []) else each(what, "stride", stride, count)
    border, dilations = each(what, "padding", padding, count), each(what, "dilation", dilation, count)
    for name, values, least in (
        ("kernel_size", sizes, 1),
        ("stride", steps, 1),
        ("padding", border, 0),
        ("dilation", dilations, 1),
    ):
        at_least(what, name, values, least)
    if any(2 * b > d * (k - 1) + 1 for b, k, d in zip(border, sizes, dilations)):
        raise RuntimeError(f"{what}: padding {list(border)} must be at most half of kernel_size {list(sizes)}")
    if 0 in x.shape[1:]:
        raise RuntimeError(f"{what}: only the first dimension may be empty, and the shape is {list(x.shape)}")
    counts = []
    for n, k, s, b, d in zip(x.shape[x.ndim - count :], sizes, steps, border, dilations):
        room = n + 2 * b - d * (k - 1) - 1
        whole = -(-room // s) if ceil_mode else room // s
        # A window that begins beyond the border on the left and the elements is left out.
        counts.append(whole + 1 - (ceil_mode and whole * s >= n + b))
    if min(counts) < 1:
        raise RuntimeError(f"{what}: no window of size {list(sizes)} fits into shape {list(x.shape)} with padding {list(border)}")
    return sizes, steps, dilations, border, tuple(counts)


def _with_border(x: Tensor, facts: tuple[Ints, Ints, Ints, Ints, Ints], value: Any) -> tuple[Tensor, list[Along]]:
    """The elements that the windows lie over, and the windows."""
    sizes, steps, dilations, border, counts = facts
    first = x.ndim - len(sizes)
    ends = [
        max((c - 1) * s + d * (k - 1) + 1 - n - b, 0)
        for n, k, s, d, b, c in zip(x.shape[first:], sizes, steps, dilations, border, counts)
    ]
    along = [Along(first + i, k, c, s, d, None, b) for i, (k, s, d, b, c) in enumerate(zip(*facts))]
    return bordered(x, border, tuple(ends), value), along


def _lowest(x: Tensor) -> Any:
    return -math.inf if x.dtype.is_floating_point else np.iinfo(x._held.dtype).min


def _max_pool(
    what: str,
    count: int,
    input: Tensor,
    size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    indices: bool,
) -> Any:
    x, alone = with_batch(what, input, count)
    facts = _facts(what, count, x, size, stride, padding, dilation, ceil_mode)
    over, along = _with_border(x, facts, _lowest(x))
    values, where = largest(over, along, indices)
    return with_positions(apart(values, input), where, tuple(x.shape[2:]), indices, alone)


@face(top=True)
def avg_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The means of windows over the last dimension, a `stride` apart (the size of a window unless given).

    `count_include_pad` says whether zeros of the padding count.
    """
    return _avg_pool("avg_pool1d", 1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The means of windows over the last two dimensions, or sums over them divided by `divisor_override`; see `avg_pool1d`."""
    return _avg_pool("avg_pool2d", 2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def avg_pool3d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The means of windows over the last three dimensions; see `avg_pool2d`."""
    return _avg_pool("avg_pool3d", 3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def _avg_pool(
    what: str,
    count: int,
    input: Tensor,
    size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: Any,
) -> Tensor:
    x, alone = with_batch(what, input, count)
    if divisor == 0:
        raise RuntimeError(f"{what}: divisor_override must not be 0")
    facts = _facts(what, count, x, size, stride, padding, 1, ceil_mode)
    if not x.dtype.is_floating_point and x.dtype.name != "int64":
        raise NotImplementedError(f"{what} is for floating dtypes and int64, not {x.dtype.name}")
    if divisor is None:
        numbers = [_lengths(n, k, s, b, m, count_include_pad) for n, k, s, _, b, m in zip(x.shape[2:], *facts)]
        divisor = math.prod(n.reshape(-1, *(1,) * (count - 1 - k)) for k, n in enumerate(numbers))
    out = _averaged(x, facts, divisor)
    return reshape(out, tuple(out.shape[1:])) if alone else out


def _lengths(n: int, size: int, step: int, border: int, count: int, with_border: bool) -> np.ndarray:
    """How many elements of each window count."""
    start = np.arange(count) * step - border
    end = np.minimum(start + size, n + border)
    return end - start if with_border else np.minimum(end, n) - np.maximum(start, 0)


@in_single
def _averaged(x: Tensor, facts: tuple[Ints, Ints, Ints, Ints, Ints], divisor: Any) -> Tensor:
    out, along = _with_border(x, facts, 0)
    for windows in along:
        out = summed(out, windows)
    return divided(out, divisor)


def lp_pool1d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    """The p-norms (`norm_type`) of windows over the last dimension: roots of the sums of powers, the largest absolute value for
    inf and the smallest for -inf. The gradient is 0 where the sum is.

    >>> import jitgrad
    >>> jitgrad.nn.functional.lp_pool1d(jitgrad.tensor([[[1.0, -2.0, 3.0, 4.0]]]), float("inf"), 2)
    tensor([[[2., 4.]]])
    """
    return _lp_pool("lp_pool1d", 1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    """The p-norms of windows over the last two dimensions."""
    return _lp_pool("lp_pool2d", 2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    """The p-norms of windows over the last three dimensions."""
    return _lp_pool("lp_pool3d", 3, input, norm_type, kernel_size, stride, ceil_mode)


@in_single
def _lp_pool(what: str, count: int, x: Tensor, p: float, size: Any, stride: Any, ceil_mode: bool) -> Tensor:
    """A negative sum of odd powers keeps its sign before the root, as in PyTorch: `(-8) ** (1 / 3)` is nan there, too."""
    if p == 0:
        raise ZeroDivisionError(f"{what}: norm_type=0 has no root: count the elements that are not 0 instead")
    if math.isinf(p):
        sign = math.copysign(1.0, p)
        return _max_pool(what, count, x.abs() * sign, size, stride, 0, 1, ceil_mode, False) * sign
    sizes = each(what, "kernel_size", size, count)
    sums = _avg_pool(what, count, x**p, sizes, stride, 0, ceil_mode, True, None) * math.prod(sizes)
    nothing = sums == 0
    root = where_(nothing, 1.0, sums) ** (1.0 / p)
    return where_(nothing, 0.0 if p > 0 else math.inf, root)
