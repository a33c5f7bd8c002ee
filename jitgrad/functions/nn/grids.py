"""Images sampled at positions that are computed, and the positions of affine maps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jitgrad.functions.face import face
from jitgrad.functions.indexing import gather
from jitgrad.functions.nn.windows import fixed, where_
from jitgrad.functions.numeric import matmul
from jitgrad.functions.shaping import expand, reshape, transpose
from jitgrad.ops import arithmetic, choosing
from jitgrad.record.apply import apply
from jitgrad.record.precision import in_single
from jitgrad.tensors.tensor import Tensor

_MODES = ("bilinear", "nearest", "bicubic")
_BORDERS = ("zeros", "border", "reflection")


def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """(samples, channels, height, width) at the positions (x, y) in `grid`, of shape (samples, height, width, 2).

    Positions are -1 to 1 from edge to edge of the image, or between the centres of its corners with `align_corners`. Beyond it
    there are zeros, its border, or its reflection (`padding_mode`). `mode` is "bilinear", "nearest" or "bicubic"; images of
    three dimensions, with positions (x, y, z), have the first two.
    """
    if mode not in _MODES:
        raise ValueError(f"grid_sample: mode must be one of {', '.join(_MODES)}, not {mode!r}")
    if padding_mode not in _BORDERS:
        raise ValueError(f"grid_sample: padding_mode must be one of {', '.join(_BORDERS)}, not {padding_mode!r}")
    return grid_sampler(input, grid, _MODES.index(mode), _BORDERS.index(padding_mode), bool(align_corners))


@face("grid_sampler_2d", "grid_sampler_3d", top=True)
def grid_sampler(input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool) -> Tensor:
    """`grid_sample` with modes by their numbers."""
    count = input.ndim - 2
    if count not in (2, 3) or grid.ndim != input.ndim:
        raise RuntimeError(
            f"grid_sample: image and grid must both have 4 dimensions, or 5, and their shapes are {list(input.shape)} and "
            f"{list(grid.shape)}"
        )
    if grid.shape[0] != input.shape[0] or grid.shape[-1] != count:
        raise RuntimeError(
            f"grid_sample: for an image of shape {list(input.shape)} the grid must have {input.shape[0]} samples and end with "
            f"{count} coordinates, and its shape is {list(grid.shape)}"
        )
    if input._held.dtype != grid._held.dtype:
        raise RuntimeError(f"grid_sample: the image is {input.dtype.name} and the grid {grid.dtype.name}: they must be equal")
    if 0 in input.shape[2:]:
        raise RuntimeError(f"grid_sample: the image has no elements (shape {list(input.shape)})")
    mode, border = _MODES[interpolation_mode], _BORDERS[padding_mode]
    if mode == "bicubic" and count == 3:
        raise RuntimeError("grid_sample: mode 'bicubic' is for images of two dimensions")
    return _sampled(input, grid, mode, border, bool(align_corners))


@in_single
def _sampled(image: Tensor, grid: Tensor, mode: str, border: str, corners: bool) -> Tensor:
    sizes = tuple(image.shape[2:])
    grid = where_(apply(choosing.isnan, (grid,)), -1, grid)  # as in PyTorch
    at = [_unnormalized(grid[..., len(sizes) - 1 - k], n, corners) for k, n in enumerate(sizes)]
    if mode == "bicubic":
        taps = [_cubic_taps(x, n, border, corners) for x, n in zip(at, sizes)]
    else:
        at = [_returned(x, n, border, corners) for x, n in zip(at, sizes)]
        taps = [_taps(x, mode) for x in at]
    out: Any = None
    for chosen in itertools.product(*taps):
        values, valid = _elements(image, [place for place, _ in chosen])
        weights = [w for _, w in chosen if w is not None]
        if weights:
            values = values * reshape(_product(weights), (image.shape[0], 1, *grid.shape[1:-1]))
        values = where_(valid, values, 0)
        out = values if out is None else out + values
    return out


def _product(factors: Sequence[Tensor]) -> Tensor:
    out = factors[0]
    for factor in factors[1:]:
        out = out * factor
    return out


def _unnormalized(x: Tensor, n: int, corners: bool) -> Tensor:
    return (x + 1) * ((n - 1) / 2) if corners else ((x + 1) * n - 1) / 2


def _returned(x: Tensor, n: int, border: str, corners: bool) -> Tensor:
    """Positions beyond the image brought back to where its border is, or its reflection; zeros are left where they are."""
    if border == "zeros":
        return x
    if border == "reflection":
        x = _reflected(x, 0.0, n - 1.0) if corners else _reflected(x, -0.5, n - 0.5)
    low = where_(apply(choosing.le, (x, 0)), 0, x)  # no gradient passes at the border, as in PyTorch
    return where_(apply(choosing.ge, (low, n - 1)), n - 1, low)


def _reflected(x: Tensor, low: float, high: float) -> Tensor:
    span = high - low
    if not span:
        return x * 0
    off = x - low
    off = where_(apply(choosing.lt, (off, 0)), -off, off)
    rest = apply(arithmetic.remainder, (off, span))
    turned = apply(arithmetic.remainder, (apply(choosing.floor, (off / span,)), 2))
    return where_(apply(choosing.eq, (turned, 0)), rest + low, (span + low) - rest)


def _taps(x: Tensor, mode: str) -> list[tuple[Tensor, Tensor | None]]:
    """The places on each side of positions, and their weights."""
    if mode == "nearest":
        return [(apply(choosing.round, (x,)), None)]
    first = apply(choosing.floor, (x,))
    share = x - first
    return [(first, 1 - share), (first + 1, share)]


def _cubic_taps(x: Tensor, n: int, border: str, corners: bool) -> list[tuple[Tensor, Tensor | None]]:
    first = apply(choosing.floor, (x,))
    t = x - first
    a = -0.75  # Keys, Cubic convolution interpolation, 1981

    def near(d: Any) -> Any:
        return ((a + 2) * d - (a + 3)) * d * d + 1

    def far(d: Any) -> Any:
        return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a

    weights = [far(t + 1), near(t), near(1 - t), far(2 - t)]
    return [(_returned(first + k, n, border, corners), w) for k, w in zip((-1, 0, 1, 2), weights)]


def _elements(image: Tensor, places: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The elements at places, given along each dimension, and which of them are in the image."""
    samples, channels, *sizes = image.shape
    shape = tuple(places[0].shape[1:])
    inside = [
        apply(choosing.logical_and, (apply(choosing.ge, (p, 0)), apply(choosing.le, (p, n - 1)))) for p, n in zip(places, sizes)
    ]
    valid = inside[0]
    for more in inside[1:]:
        valid = apply(choosing.logical_and, (valid, more))
    number: Any = None
    for p, n in zip(places, sizes):
        whole = apply(choosing.cast, (where_(valid, p, 0),), {"dtype": np.dtype(np.int64)})
        number = whole if number is None else number * n + whole
    flat = reshape(number, (samples, 1, math.prod(shape)))
    found = gather(reshape(image, (samples, channels, math.prod(sizes))), 2, expand(flat, samples, channels, flat.shape[2]))
    return reshape(found, (samples, channels, *shape)), reshape(valid, (samples, 1, *shape))


def affine_grid(theta: Tensor, size: Any, align_corners: bool | None = None) -> Tensor:
    """The positions for `grid_sample` where matrices `theta` (samples, 2, 3) map an image of `size` (samples, channels, height,
    width) to; or (samples, 3, 4) for three spatial dimensions."""
    if not theta.dtype.is_floating_point:
        raise ValueError(f"affine_grid: theta must be floating, not {theta.dtype.name}")
    count = len(size) - 2
    if count not in (2, 3):
        raise NotImplementedError(f"affine_grid: size must be (samples, channels, ...) with 2 or 3 more, not {list(size)}")
    if tuple(theta.shape) != (size[0], count, count + 1):
        raise ValueError(f"affine_grid: theta must have the shape {[size[0], count, count + 1]}, not {list(theta.shape)}")
    if min(size) < 1:
        raise ValueError(f"affine_grid: sizes must be positive, not {list(size)}")
    return affine_grid_generator(theta, size, bool(align_corners))


@face(top=True)
def affine_grid_generator(theta: Tensor, size: Any, align_corners: bool) -> Tensor:
    """`affine_grid`, whose arguments are not looked at."""
    samples, _, *sizes = map(int, size)
    return _mapped(theta, samples, sizes, align_corners)


@in_single
def _mapped(theta: Tensor, samples: int, sizes: list[int], corners: bool) -> Tensor:
    lines = [_line(n, corners) for n in sizes]
    base = np.stack([*np.meshgrid(*lines, indexing="ij")[::-1], np.ones(sizes)], -1).astype(theta._held.dtype)
    points = fixed(base.reshape(1, -1, len(sizes) + 1), theta)
    out = matmul(expand(points, samples, *points.shape[1:]), transpose(theta, 1, 2))
    return reshape(out, (samples, *sizes, len(sizes)))


def _line(n: int, corners: bool) -> np.ndarray:
    line = np.linspace(-1, 1, n) if n > 1 else np.zeros(1)
    return line if corners else line * (n - 1) / n
