"""Convolutions and their transposes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jitgrad.functions.face import face
from jitgrad.functions.nn.spatial import Ints, at_least, bordered, each, with_batch
from jitgrad.functions.nn.windows import MOST_STEPS
from jitgrad.functions.operands import taken
from jitgrad.functions.shaping import permute, reshape
from jitgrad.ops.convolution_blocks import Sliding
from jitgrad.ops.convolutions import correlate, spread
from jitgrad.ops.indexing import getitem
from jitgrad.record.apply import apply
from jitgrad.record.precision import in_single
from jitgrad.tensors.tensor import Tensor

FEW_FILTERS = 4
"""So many filters for a channel of its own at most are applied element by element."""


@face(top=True)
def conv1d(
    input: Tensor, weight: Tensor, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Tensor:
    """The cross-correlation of (samples, channels, length) with filters (filters, channels / groups, size).

    `padding` is a number of zeros at both ends, "valid" for none, or "same" for as many as keep the length.
    """
    return _convolved("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


@face(top=True)
def conv2d(
    input: Tensor, weight: Tensor, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Tensor:
    """The cross-correlation of (samples, channels, height, width) with filters; see `conv1d`."""
    return _convolved("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


@face(top=True)
def conv3d(
    input: Tensor, weight: Tensor, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Tensor:
    """The cross-correlation of (samples, channels, depth, height, width) with filters; see `conv1d`."""
    return _convolved("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)


@face(top=True)
def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """The transpose of `conv1d` as a linear map, with filters (channels, filters / groups, size).

    `padding` is what the convolution would pad, and is cut off here; `output_padding` adds to the end of the result, since a
    convolution with a stride gives one length for several.
    """
    return _transposed("conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding, groups, dilation)


@face(top=True)
def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """The transpose of `conv2d` as a linear map; see `conv_transpose1d`."""
    return _transposed("conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding, groups, dilation)


@face(top=True)
def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """The transpose of `conv3d` as a linear map; see `conv_transpose1d`."""
    return _transposed("conv_transpose3d", 3, input, weight, bias, stride, padding, output_padding, groups, dilation)


@face(top=True)
def conv_tbc(input: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
    """`conv1d` of (length, samples, channels) with filters (size, channels, filters)."""
    if input.ndim != 3 or weight.ndim != 3 or bias.ndim != 1:
        raise RuntimeError(
            f"conv_tbc: input and weight must have 3 dimensions and bias 1, and the shapes are {list(input.shape)}, "
            f"{list(weight.shape)}, {list(bias.shape)}"
        )
    out = conv1d(permute(input, (1, 2, 0)), permute(weight, (2, 1, 0)), bias, 1, pad)
    return permute(out, (2, 0, 1))


def _convolved(
    what: str,
    count: int,
    input: Tensor,
    weight: Tensor,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> Tensor:
    x, alone = with_batch(what, input, count)
    bias = None if bias is None else taken(bias)
    _check(what, count, x, weight, bias, groups)
    steps, dilations = each(what, "stride", stride, count), each(what, "dilation", dilation, count)
    at_least(what, "stride", steps, 1)
    at_least(what, "dilation", dilations, 1)
    if x.shape[1] != weight.shape[1] * groups:
        raise RuntimeError(
            f"{what}: filters of shape {list(weight.shape)} in {groups} group(s) take {weight.shape[1] * groups} channels, and "
            f"the input of shape {list(input.shape)} has {x.shape[1]}"
        )
    if weight.shape[0] % groups or not weight.shape[0]:
        raise RuntimeError(f"{what}: {weight.shape[0]} filters cannot be parted into {groups} groups of equal size")
    sizes = tuple(weight.shape[2:])
    border = _padding(what, count, padding, sizes, steps, dilations)
    lengths = [n + b + a for n, (b, a) in zip(x.shape[2:], border)]
    if not all(lengths[k] >= dilations[k] * (sizes[k] - 1) + 1 > 0 for k in range(count)):
        raise RuntimeError(
            f"{what}: filters of size {list(sizes)} with dilation {list(dilations)} do not fit "
            f"into the padded input of size {lengths}"
        )
    if not x.shape[1]:  # as in PyTorch no channels give none, whatever the filters
        weight, bias = weight[:0], None
    out = _correlated(x, weight, bias, Sliding(steps, dilations, border, groups))
    return reshape(out, tuple(out.shape[1:])) if alone else out


def _check(what: str, count: int, x: Tensor, weight: Tensor, bias: Any, groups: Any) -> None:
    if not isinstance(groups, int) or groups < 1:
        raise RuntimeError(f"{what}: groups must be a positive int, not {groups!r}")
    if weight.ndim != count + 2:
        raise RuntimeError(f"{what}: the filters must have {count + 2} dimensions, and their shape is {list(weight.shape)}")
    for name, other in (("weight", weight), ("bias", bias)):
        if other is not None and other._held.dtype != x._held.dtype:
            raise RuntimeError(f"{what}: {name} is {other.dtype.name} and the input {x.dtype.name}: they must be equal")
    if bias is not None and bias.ndim != 1:
        raise RuntimeError(f"{what}: the bias must have one dimension, and its shape is {list(bias.shape)}")


def _padding(what: str, count: int, padding: Any, sizes: Ints, steps: Ints, dilations: Ints) -> tuple[tuple[int, int], ...]:
    """How many zeros come before and after each spatial dimension."""
    if padding == "valid":
        return ((0, 0),) * count
    if padding == "same":
        if max(steps) > 1:
            raise RuntimeError(f"{what}: padding='same' is for a stride of 1, and it is {list(steps)}")
        total = [d * (n - 1) for n, d in zip(sizes, dilations)]
        return tuple([(n // 2, n - n // 2) for n in total])
    if isinstance(padding, str):
        raise RuntimeError(f"{what}: padding must be ints, 'same' or 'valid', not {padding!r}")
    found = each(what, "padding", padding, count)
    at_least(what, "padding", found, 0)
    return tuple(zip(found, found))


@in_single
def _correlated(x: Tensor, weight: Tensor, bias: Any, how: Sliding) -> Tensor:
    filters, each, *sizes = weight.shape
    apart = each == 1 and how.groups > 1 and filters // how.groups <= FEW_FILTERS and math.prod(sizes) <= MOST_STEPS
    out = _by_channel(x, weight, how) if apart else apply(correlate, (x, weight), {"how": how})
    return out if bias is None else out + _beside_filters(bias, out)


def _by_channel(x: Tensor, weight: Tensor, how: Sliding) -> Tensor:
    """Filters of one channel each: the first elements of all windows times those of the filters, plus the second ones, and so on,
    in loops over whole images, since products of such small matrices would be slow."""
    filters, _, *sizes = weight.shape
    x = bordered(x, *(tuple(ends) for ends in zip(*how.border)))
    (samples, channels, *lengths), count = x.shape, len(sizes)
    places = how._replace(border=((0, 0),) * count).places(lengths, sizes)
    x = reshape(x, (samples, channels, 1, *lengths))
    w = reshape(weight, (channels, filters // channels, *sizes))
    out = None
    for at in np.ndindex(*sizes):
        starts = [k * d for k, d in zip(at, how.dilation)]
        part = [slice(b, b + (n - 1) * s + 1, s) for b, n, s in zip(starts, places, how.step)]
        seen = apply(getitem, (x,), {"index": (*(slice(None),) * 3, *part, Ellipsis)})
        factor = apply(getitem, (w,), {"index": (slice(None), slice(None), *at, Ellipsis)})
        term = seen * reshape(factor, (*factor.shape, *(1,) * count))
        out = term if out is None else out + term
    return reshape(out, (samples, filters, *places))


def _beside_filters(bias: Any, out: Tensor) -> Tensor:
    if bias.shape[0] != out.shape[1]:
        raise RuntimeError(f"a bias must have one element for each of {out.shape[1]} filters, not {bias.shape[0]}")
    return reshape(bias, (out.shape[1], *(1,) * (out.ndim - 2)))


def _transposed(
    what: str,
    count: int,
    input: Tensor,
    weight: Tensor,
    bias: Any,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
) -> Tensor:
    x, alone = with_batch(what, input, count)
    bias = None if bias is None else taken(bias)
    _check(what, count, x, weight, bias, groups)
    steps, dilations = each(what, "stride", stride, count), each(what, "dilation", dilation, count)
    cut, more = each(what, "padding", padding, count), each(what, "output_padding", output_padding, count)
    for name, values, least in (
        ("stride", steps, 1),
        ("dilation", dilations, 1),
        ("padding", cut, 0),
        ("output_padding", more, 0),
    ):
        at_least(what, name, values, least)
    if any(more[k] >= max(steps[k], dilations[k]) for k in range(count)):
        raise RuntimeError(f"{what}: output_padding {list(more)} must be smaller than stride {list(steps)} or dilation")
    if x.shape[1] != weight.shape[0] or x.shape[1] % groups:
        raise RuntimeError(
            f"{what}: filters of shape {list(weight.shape)} in {groups} group(s) take {weight.shape[0]} channels, and the input "
            f"of shape {list(input.shape)} has {x.shape[1]}"
        )
    if not x.shape[1]:
        raise RuntimeError(f"{what}: filters of shape {list(weight.shape)} take no channels, and there must be one at least")
    full = tuple([(n - 1) * s + d * (k - 1) + 1 for n, s, d, k in zip(x.shape[2:], steps, dilations, weight.shape[2:])])
    if any(n + m - 2 * c < 1 for n, m, c in zip(full, more, cut)):
        raise RuntimeError(f"{what}: nothing of size {list(full)} is left once padding {list(cut)} is cut off at both ends")
    border = tuple([(c, max(c - m, 0)) for c, m in zip(cut, more)])
    lengths = tuple([n - b - a for n, (b, a) in zip(full, border)])
    ends = tuple([max(m - c, 0) for c, m in zip(cut, more)])
    out = _spread(x, weight, bias, lengths, Sliding(steps, dilations, border, groups), ends)
    return reshape(out, tuple(out.shape[1:])) if alone else out


@in_single
def _spread(x: Tensor, weight: Tensor, bias: Any, lengths: Ints, how: Sliding, ends: Ints) -> Tensor:
    """Every element times the filters, added up where these lie over each other; zeros at the ends."""
    out = bordered(apply(spread, (x, weight), {"lengths": lengths, "how": how}), (0,) * len(ends), ends)
    return out if bias is None else out + _beside_filters(bias, out)
