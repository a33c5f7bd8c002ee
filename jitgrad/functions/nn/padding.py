"""Padding, and windows as columns."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from jitgrad.functions.face import face
from jitgrad.functions.nn.spatial import Ints, at_least, bordered, each, laid_over, windowed, with_batch
from jitgrad.functions.shaping import cat, permute, reshape
from jitgrad.ops.strided import count_of
from jitgrad.record.apply import apart
from jitgrad.tensors.tensor import Tensor


def pad(input: Tensor, pad: Any, mode: str = "constant", value: Any = None) -> Tensor:
    """The tensor with a border: `pad` is (before, after) of the last dimension, then of the one before it, and so on.

    `mode` says what stands there: "constant" a `value` (0 unless given), "reflect" the elements mirrored at the edge, which
    is not repeated, "replicate" the edge, "circular" the other end. Negative numbers take elements away.
    """
    found = _pairs(input, pad)
    if mode == "constant":
        return constant_pad_nd(input, pad, 0 if value is None else value)
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(f"pad: mode must be 'constant', 'reflect', 'replicate' or 'circular', not {mode!r}")
    if value is not None and value != 0:
        raise RuntimeError(f"pad: a value is for mode='constant', and mode is {mode!r}")
    count = len(found)
    if count > 3 or input.ndim not in (count + 1, count + 2):
        raise NotImplementedError(
            f"pad: mode={mode!r} pads the last dimension of 2 or 3, the last two of 3 or 4, or the last three of 4 or 5, and "
            f"these are {2 * count} numbers for shape {list(input.shape)}"
        )
    _refuse_empty(input, found, mode)
    if mode == "circular":
        return _wrapped(input, found)
    for k, (before, after) in enumerate(found):
        input = _mirrored(input, input.ndim - 1 - k, before, after, mode)
    return input


@face(top=True)
def constant_pad_nd(input: Tensor, pad: Any, value: Any = 0) -> Tensor:
    """The tensor with a border of one value: see `pad`."""
    found = _pairs(input, pad)[::-1]
    if not found:
        return input.clone()
    sizes = [n + b + a for n, (b, a) in zip(input.shape[input.ndim - len(found) :], found)]
    if min(sizes) < 0:
        raise RuntimeError(f"pad: {list(pad)} takes more away than shape {list(input.shape)} has")
    out = bordered(input, tuple([b for b, _ in found]), tuple([a for _, a in found]), value)
    return out.clone() if out is input else out


def _pairs(input: Tensor, pad: Any) -> list[tuple[int, int]]:
    """(before, after), the last dimension first."""
    if not isinstance(pad, (tuple, list)):
        raise TypeError(f"pad: the numbers of elements to add are a tuple or list of ints, not {type(pad).__name__}")
    many = list(map(operator.index, pad))
    if len(many) % 2 or len(many) > 2 * input.ndim:
        raise RuntimeError(
            f"pad: two numbers are needed for each of the last dimensions, at most {2 * input.ndim} for shape "
            f"{list(input.shape)}, not {len(many)}"
        )
    return list(zip(many[::2], many[1::2]))


def _refuse_empty(input: Tensor, found: list[tuple[int, int]], mode: str) -> None:
    if 0 in input.shape[input.ndim - len(found) if mode == "circular" else 1 :]:
        raise RuntimeError(f"pad: only the first dimension may be empty, and the shape is {list(input.shape)}")
    for k, (before, after) in enumerate(found):
        size = input.shape[input.ndim - 1 - k]
        if size + before + after < 1:
            raise RuntimeError(
                f"pad: ({before}, {after}) leaves nothing of dimension {input.ndim - 1 - k}, which has size {size}"
            )


def _mirrored(x: Tensor, dim: int, before: int, after: int, mode: str) -> Tensor:
    """Elements at places that reach over the edge, and are turned back there, or stay there."""
    size = x.shape[dim]
    if mode == "reflect" and max(before, after) >= size:
        raise RuntimeError(
            f"pad: a border of ({before}, {after}) by reflection must be smaller than dimension {dim}, which has size {size}"
        )
    if not before and not after:
        return x
    places = np.arange(-before, size + after)
    places = np.clip(places, 0, size - 1) if mode == "replicate" else (size - 1) - abs((size - 1) - abs(places))
    return x[(slice(None),) * dim + (places,)]


def _wrapped(x: Tensor, found: list[tuple[int, int]]) -> Tensor:
    """What is taken away is gone before the rest is wrapped around."""
    x = bordered(x, tuple([min(b, 0) for b, _ in reversed(found)]), tuple([min(a, 0) for _, a in reversed(found)]))
    for k, (before, after) in enumerate(found):
        dim = x.ndim - 1 - k
        size, lead = x.shape[dim], (slice(None),) * dim
        if max(before, after) > size:
            raise RuntimeError(f"pad: ({before}, {after}) wraps around dimension {dim}, which has size {size}, more than once")
        ends = [[x[(*lead, slice(size - before, None))]] if before > 0 else []]
        ends += [[x[(*lead, slice(None, after))]] if after > 0 else []]
        x = cat([*ends[0], x, *ends[1]], dim) if any(ends) else x
    return x


def unfold(input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
    """The windows of an image (samples, channels, height, width) as columns (samples, channels * size of a window, windows)."""
    x, alone = with_batch("unfold", input, 2)
    sizes, steps, dilations, border = _window_facts("unfold", kernel_size, stride, dilation, padding)
    counts = [count_of(n + 2 * b, k, s, d) for n, k, s, d, b in zip(x.shape[2:], sizes, steps, dilations, border)]
    if min(counts) < 1 or 0 in x.shape[1:]:
        raise RuntimeError(f"unfold: no window of size {list(sizes)} fits into an image of shape {list(input.shape)}")
    seen = permute(windowed(bordered(x, border, border), sizes, steps, dilations), (0, 1, 4, 5, 2, 3))
    out = reshape(seen, (x.shape[0], x.shape[1] * math.prod(sizes), math.prod(counts)))
    return apart(reshape(out, tuple(out.shape[1:])) if alone else out, input)


def fold(input: Tensor, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
    """The transpose of `unfold`: columns added up in an image of a size, where the windows were."""
    x, alone = with_batch("fold", input, 1)
    lengths = each("fold", "output_size", output_size, 2)
    sizes, steps, dilations, border = _window_facts("fold", kernel_size, stride, dilation, padding)
    counts = [count_of(n + 2 * b, k, s, d) for n, k, s, d, b in zip(lengths, sizes, steps, dilations, border)]
    channels, rest = divmod(x.shape[1], math.prod(sizes))
    if rest or min(counts) < 1 or x.shape[2] != math.prod(counts):
        raise RuntimeError(
            f"fold: an image of size {list(lengths)} has {math.prod(counts)} windows of {math.prod(sizes)} elements for each "
            f"channel, and the columns have the shape {list(input.shape)}"
        )
    seen = permute(reshape(x, (x.shape[0], channels, *sizes, *counts)), (0, 1, 4, 5, 2, 3))
    full = tuple([n + 2 * b for n, b in zip(lengths, border)])
    used = tuple([(n - 1) * s + d * (k - 1) + 1 for n, s, d, k in zip(counts, steps, dilations, sizes)])
    ends = tuple([f - u - b for f, u, b in zip(full, used, border)])
    out = bordered(laid_over(seen, used, steps, dilations), tuple([-b for b in border]), ends)
    return reshape(out, tuple(out.shape[1:])) if alone else out


def _window_facts(what: str, size: Any, stride: Any, dilation: Any, padding: Any) -> tuple[Ints, Ints, Ints, Ints]:
    named = (("kernel_size", size, 1), ("stride", stride, 1), ("dilation", dilation, 1), ("padding", padding, 0))
    found = []
    for name, value, least in named:
        found.append(each(what, name, value, 2))
        at_least(what, name, found[-1], least)
    return found[0], found[1], found[2], found[3]


@face(top=True)
def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """Channels as smaller pixels: (..., c r², h, w) becomes (..., c, h r, w r)."""
    r = _factor("pixel_shuffle", input, upscale_factor)
    *lead, channels, height, width = input.shape
    if channels % (r * r):
        raise RuntimeError(f"pixel_shuffle: {channels} channels are not a multiple of {r} * {r} (shape {list(input.shape)})")
    n = len(lead)
    parts = reshape(input, (*lead, channels // (r * r), r, r, height, width))
    moved = permute(parts, (*range(n), n, n + 3, n + 1, n + 4, n + 2))
    return apart(reshape(moved, (*lead, channels // (r * r), height * r, width * r)), input)


@face(top=True)
def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """The inverse of `pixel_shuffle`: (..., c, h r, w r) becomes (..., c r², h, w)."""
    r = _factor("pixel_unshuffle", input, downscale_factor)
    *lead, channels, height, width = input.shape
    if height % r or width % r:
        raise RuntimeError(f"pixel_unshuffle: height and width of shape {list(input.shape)} are not multiples of {r}")
    n = len(lead)
    parts = reshape(input, (*lead, channels, height // r, r, width // r, r))
    moved = permute(parts, (*range(n), n, n + 2, n + 4, n + 1, n + 3))
    return apart(reshape(moved, (*lead, channels * r * r, height // r, width // r)), input)


def _factor(what: str, input: Tensor, factor: Any) -> int:
    r = operator.index(factor)
    if input.ndim < 3:
        raise RuntimeError(f"{what}: the input needs at least 3 dimensions, and its shape is {list(input.shape)}")
    if r < 1:
        raise RuntimeError(f"{what}: the factor must be positive, not {r}")
    return r


@face("native_channel_shuffle", "nn.functional.native_channel_shuffle", top=True)
def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Channels dealt out: those of (samples, groups * n, ...) read as (groups, n) come in the order (n, groups)."""
    if input.ndim < 3:
        raise RuntimeError(f"channel_shuffle: the input needs at least 3 dimensions, and its shape is {list(input.shape)}")
    samples, channels, *rest = input.shape
    if operator.index(groups) < 1 or channels % groups:
        raise RuntimeError(f"channel_shuffle: {channels} channels cannot be parted into {groups} groups of equal size")
    dealt = permute(reshape(input, (samples, groups, channels // groups, *rest)), (0, 2, 1, *range(3, 3 + len(rest))))
    return apart(reshape(dealt, (samples, channels, *rest)), input)
