"""Images in other sizes: every mode takes weighted elements of its own along one dimension after the other."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jitgrad.functions.nn.adaptive import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d
from jitgrad.functions.nn.spatial import each
from jitgrad.functions.nn.windows import fixed
from jitgrad.functions.shaping import reshape, stack
from jitgrad.ops.indexing import within
from jitgrad.record.apply import apart, apply
from jitgrad.record.checking import floating
from jitgrad.record.precision import in_single
from jitgrad.record.trace import constant_tensor
from jitgrad.tensors.tensor import Tensor

_AREA = (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)
_DIMS = {"linear": 3, "bilinear": 4, "bicubic": 4, "trilinear": 5}
_MODES = ("nearest", "nearest-exact", "area", *_DIMS)
MOST_TERMS = 4
"""Sums of more weighted elements than that are taken together, in a dimension of their own."""


MOST_TIMES = 8
"""Elements that are repeated so many times are put beside each other, without an index."""


class _Scale(NamedTuple):
    """From so many elements to so many; the factor, if it was given and is to be used as it is; whether corners are aligned."""

    size: int
    wanted: int
    factor: float | None
    corners: bool
    real: Any  # the dtype in which positions are computed

    @property
    def step(self) -> Any:
        """From one element of the result to the next, in elements of the input."""
        if self.corners:
            return self.real(self.size - 1) / self.real(self.wanted - 1) if self.wanted > 1 else self.real(0)
        return self.real(1.0 / self.factor) if self.factor else self.real(self.size) / self.real(self.wanted)

    def positions(self) -> np.ndarray:
        """Where the elements of the result are among those of the input."""
        own = np.arange(self.wanted, dtype=self.real)
        half = self.real(0.5)
        return own * self.step if self.corners else (own + half) * self.step - half


Table = tuple[np.ndarray, np.ndarray]  # for each element of a result the places of those that it is made of, and their weights


def _nearest(scale: _Scale) -> Table:
    places = np.floor(np.arange(scale.wanted, dtype=scale.real) * scale.step)
    return _within(places[:, None], scale), np.ones((scale.wanted, 1), scale.real)


def _nearest_exact(scale: _Scale) -> Table:
    places = np.floor((np.arange(scale.wanted, dtype=scale.real) + scale.real(0.5)) * scale.step)
    return _within(places[:, None], scale), np.ones((scale.wanted, 1), scale.real)


def _linear(scale: _Scale) -> Table:
    at = np.maximum(scale.positions(), 0)
    first = np.minimum(at.astype(np.int64), scale.size - 1)
    share = np.clip(at - first.astype(scale.real), 0, 1)
    return _within(np.stack([first, first + 1], 1), scale), np.stack([1 - share, share], 1)


def _cubic(scale: _Scale) -> Table:
    at = scale.positions()
    first = np.floor(at)
    t = (at - first)[:, None]
    weights = _cubic_weight(np.abs(t + np.array([1, 0, -1, -2], scale.real)), -0.75)
    return _within(first[:, None] + np.arange(-1, 3), scale), weights


def _cubic_weight(x: Any, a: float) -> Any:
    """The weight of an element that is x >= 0 away, up to 2. Source: Keys, Cubic convolution interpolation, 1981."""
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def _smoothed(reach: float, weight: Callable) -> Callable[[_Scale], Table]:
    """A filter that is as wide as the elements of the result, if these are the larger ones."""

    def table(scale: _Scale) -> Table:
        wide = max(scale.step, scale.real(1))
        centre = scale.step * (np.arange(scale.wanted, dtype=scale.real) + scale.real(0.5))
        support = scale.real(reach) * wide
        first = np.maximum((centre - support + 0.5).astype(np.int64), 0)
        count = np.minimum((centre + support + 0.5).astype(np.int64), scale.size) - first
        places = first[:, None] + np.arange(max(int(count.max(initial=0)), 1))
        weights = weight(np.abs((places - centre[:, None] + scale.real(0.5)) / wide))
        weights = np.where(places < (first + count)[:, None], weights, 0)
        return _within(places, scale), weights / weights.sum(1, keepdims=True)

    return table


_TABLES: dict[str, Callable[[_Scale], Table]] = {
    "nearest": _nearest,
    "nearest-exact": _nearest_exact,
    "linear": _linear,
    "bilinear": _linear,
    "trilinear": _linear,
    "bicubic": _cubic,
}
_SMOOTHED = {"bilinear": _smoothed(1, lambda x: np.maximum(1 - x, 0)), "bicubic": _smoothed(2, lambda x: _cubic_weight(x, -0.5))}


def _within(places: np.ndarray, scale: _Scale) -> np.ndarray:
    return np.clip(places, 0, scale.size - 1).astype(np.int64)


def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """(samples, channels, spatial dimensions) in another `size`, or `scale_factor` times as large.

    `mode` is "nearest", "nearest-exact", "area" (means), "linear" of one spatial dimension, "bilinear" or "bicubic" of two,
    "trilinear" of three. With `align_corners` the centres of the corners stay where they are, else the edges do.
    `recompute_scale_factor` takes the factor anew from the sizes; `antialias` widens the filter where the result is smaller.
    """
    count = input.ndim - 2
    if mode not in _MODES:
        raise NotImplementedError(f"interpolate: mode must be one of {', '.join(_MODES)}, not {mode!r}")
    if align_corners is not None and mode in ("nearest", "nearest-exact", "area"):
        raise ValueError(f"interpolate: align_corners is for linear and cubic modes, not {mode!r}")
    if not 1 <= count <= 3 or _DIMS.get(mode, input.ndim) != input.ndim:
        raise NotImplementedError(
            f"interpolate: mode {mode!r} takes {_DIMS.get(mode, '3 to 5')} dimensions, and the shape is {list(input.shape)}"
        )
    if antialias and mode not in _SMOOTHED:
        raise ValueError(f"interpolate: antialias is for modes 'bilinear' and 'bicubic', not {mode!r}")
    sizes, factors = _sizes(input, count, size, scale_factor, bool(recompute_scale_factor))
    if min(sizes) < 1 or 0 in input.shape[1:]:
        raise RuntimeError(f"interpolate: sizes must be positive, and {list(input.shape)} is to become {list(sizes)}")
    if mode == "area":
        return _AREA[count - 1](input, sizes)
    if not mode.startswith("nearest"):
        floating(f"interpolate with mode={mode!r}", input)
    return apart(_resized(input, sizes, factors, mode, bool(align_corners), antialias), input)


def _sizes(
    input: Tensor, count: int, size: Any, scale_factor: Any, recompute: bool
) -> tuple[tuple[int, ...], tuple[float | None, ...]]:
    """The sizes that are asked for, and factors that are to be used as they are."""
    if (size is None) == (scale_factor is None):
        raise ValueError("interpolate: give one of size and scale_factor, not both or neither")
    given = size if scale_factor is None else scale_factor
    if isinstance(given, (tuple, list)) and len(given) != count:
        raise ValueError(f"interpolate: {count} sizes or factors are needed for shape {list(input.shape)}, not {list(given)}")
    if size is not None:
        if recompute:
            raise ValueError("interpolate: recompute_scale_factor is for a scale_factor, and a size is given")
        return each("interpolate", "size", size, count), (None,) * count
    factors = tuple(map(float, given)) if isinstance(given, (tuple, list)) else (float(given),) * count
    sizes = tuple([math.floor(n * f) for n, f in zip(input.shape[2:], factors)])
    return sizes, (None,) * count if recompute else factors


@in_single
def _resized(
    x: Tensor, sizes: tuple[int, ...], factors: tuple[float | None, ...], mode: str, corners: bool, antialias: bool
) -> Tensor:
    real = np.float64 if x.dtype.name == "float64" else np.float32
    for k, (wanted, factor) in enumerate(zip(sizes, factors)):
        scale = _Scale(x.shape[2 + k], wanted, factor, corners, real)
        x = _combined(x, 2 + k, *(_SMOOTHED if antialias else _TABLES)[mode](scale))
    return x


def _combined(x: Tensor, dim: int, places: np.ndarray, weights: np.ndarray) -> Tensor:
    """The sums of weighted elements along one dimension."""
    lead, rest = (slice(None),) * dim, (1,) * (x.ndim - 1 - dim)
    if np.array_equal(places[:, 0], np.arange(x.shape[dim])) and (weights[:, 0] == 1).all():
        return x
    if places.shape[1] == 1:
        return _picked(x, dim, places[:, 0])
    if places.shape[1] > MOST_TERMS:
        some = fixed(weights.reshape(*weights.shape, *rest), x)
        return (x[(*lead, _in_bounds(places, x, dim))] * some).sum(dim + 1)
    terms = [x[(*lead, _in_bounds(at, x, dim))] * fixed(w.reshape(-1, *rest), x) for at, w in zip(places.T, weights.T)]
    out = terms[0]
    for term in terms[1:]:
        out = out + term
    return out


def _picked(x: Tensor, dim: int, places: np.ndarray) -> Tensor:
    times, rest = divmod(len(places), x.shape[dim])
    if not rest and times <= MOST_TIMES and (places == np.arange(len(places)) // times).all():  # needs no index
        return reshape(stack([x] * times, dim + 1), (*x.shape[:dim], len(places), *x.shape[dim + 1 :]))
    return x[(*(slice(None),) * dim, _in_bounds(places, x, dim))]


def _in_bounds(places: np.ndarray, x: Tensor, dim: int) -> Tensor:
    """Places along a dimension, so checked that machine code looks elements up in passing."""
    return apply(within, (constant_tensor(places, x),), {"size": x.shape[dim], "what": "interpolate"})


def upsample(
    input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None
) -> Tensor:
    """`interpolate`, by its earlier name."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """`interpolate` with mode "nearest"."""
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """`interpolate` with mode "bilinear" and aligned corners."""
    return interpolate(input, size, scale_factor, "bilinear", True)
