"""Images sampled at positions that are computed, and the positions of affine maps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jitgrad.functions.face import face
from jitgrad.functions.nn.windows import fixed, where_
from jitgrad.functions.numeric import matmul
from jitgrad.functions.positions import check_positions
from jitgrad.functions.shaping import expand, reshape, transpose
from jitgrad.ops import arithmetic, choosing
from jitgrad.ops.indexing import gather
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
    """The elements on all sides of every position stand in dimensions before those of positions, one for each of the image."""
    samples, channels, *sizes = image.shape
    shape, count = tuple(grid.shape[1:-1]), len(sizes)
    lines = [_line_of(grid[..., count - 1 - k], k, n, count, mode, border, corners) for k, n in enumerate(sizes)]
    values = _elements(image, [places for places, _ in lines], math.prod(shape))
    if mode == "nearest":
        return reshape(values[0], (samples, channels, *shape))
    weights = lines[0][1]
    for _, more in lines[1:]:
        weights = weights * more
    weights = reshape(weights, (samples, len(values), 1, math.prod(shape)))
    out = values[0] * weights[:, 0]
    for k, found in enumerate(values[1:], 1):
        out = out + found * weights[:, k]
    return reshape(out, (samples, channels, *shape))


def _line_of(x: Tensor, dim: int, n: int, count: int, mode: str, border: str, corners: bool) -> tuple[Tensor, Tensor]:
    """The places on both sides of positions along one dimension, and their weights, in the `dim`-th of as many
    others, which are before those of positions."""
    offsets, coefficients = _SIDES[mode]
    across = (-1, *(1,) * (count - 1 - dim), *(1,) * (x.ndim - 1))
    x = _unnormalized(reshape(x, (x.shape[0], *(1,) * count, *x.shape[1:])), n, corners)
    x = _returned(x, n, border, corners, count) if mode != "bicubic" else x
    first = apply(choosing.round if mode == "nearest" else choosing.floor, (x,))
    places = first + _constants(offsets, across, x)
    share, weights = x - first, _constants(coefficients[0], across, x)
    for more in coefficients[1:]:
        weights = weights * share + _constants(more, across, x)
    return _returned(places, n, border, corners, count) if mode == "bicubic" else places, weights


def _constants(numbers: Sequence[float], shape: tuple[int, ...], like: Tensor) -> Tensor:
    return fixed(np.array(numbers, like._held.dtype).reshape(shape), like)


_A = -0.75
_SIDES: dict[str, tuple[tuple[int, ...], tuple[tuple[float, ...], ...]]] = {
    "nearest": ((0,), ((1,),)),
    "bilinear": ((0, 1), ((-1, 1), (1, 0))),
    "bicubic": ((-1, 0, 1, 2), ((_A, _A + 2, -_A - 2, -_A), (-2 * _A, -_A - 3, 2 * _A + 3, _A), (_A, 0, -_A, 0), (0, 1, 0, 0))),
}
"""The places beside the whole number below a position, and their weights as polynomials of the rest, the highest power first.
Source of the cubic ones: Keys, Cubic convolution interpolation, 1981."""


def _unnormalized(x: Tensor, n: int, corners: bool) -> Tensor:
    return (x + 1) * ((n - 1) / 2) if corners else ((x + 1) * n - 1) / 2


def _returned(x: Tensor, n: int, border: str, corners: bool, count: int) -> Tensor:
    """Positions beyond the image brought back to where its border is, or its reflection; zeros are left where they are.

    As in PyTorch no gradient passes at the border. What is not finite is nowhere, or nan at a border: the first one of images of
    two dimensions, the last one of three."""
    if border == "zeros":
        return x if count == 2 else where_(apply(choosing.isfinite, (x,)), x, -2)
    if border == "reflection":
        x = _reflected(x, 0.0, n - 1.0) if corners else _reflected(x, -0.5, n - 0.5)
    if count == 3:
        low = where_(apply(choosing.le, (x, 0)), 0, x)
        return where_(apply(choosing.lt, (low, n - 1)), low, n - 1)
    low = where_(apply(choosing.gt, (x, 0)), x, 0)
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


def _elements(image: Tensor, places: Sequence[Tensor], positions: int) -> list[Tensor]:
    """The elements at places, along each dimension; zeros beyond the image. For each side (samples, channels, positions)."""
    samples, channels, *sizes = image.shape
    valid = number = None
    for p, n in zip(places, sizes):
        inside = apply(choosing.logical_and, (apply(choosing.ge, (p, 0)), apply(choosing.le, (p, n - 1))))
        whole = apply(choosing.cast, (where_(inside, p, 0),), {"dtype": np.dtype(np.int64)})
        valid = inside if valid is None else apply(choosing.logical_and, (valid, inside))
        number = whole if number is None else number * n + whole
    sides, size = math.prod([max(p.shape[1 : 1 + len(sizes)]) for p in places]), math.prod(sizes)
    checked = check_positions("grid_sample", reshape(number, (samples, sides, 1, positions)), size, 2, image.shape)
    valid, flat = reshape(valid, (samples, sides, 1, positions)), reshape(image, (samples, channels, size))
    shape = samples, channels, positions
    return [where_(valid[:, k], apply(gather, (flat, expand(checked[:, k], *shape)), {"dim": 2}), 0) for k in range(sides)]


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
