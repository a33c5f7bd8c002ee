"""Discrete Fourier transforms over some dimensions: of complex numbers, of real ones, and back to real ones.

`norm` says which direction is divided by the number of points ("forward", "backward"), or that both are by its root ("ortho").
All are linear. The adjoint of a transform is the opposite one with the other direction divided. What a real signal has in the
second half of its last dimension is the conjugate of what is in the first, and left out; so that is counted twice.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.dtypes import complex_of, real_of
from jitgrad.ops.shapes import Spec
from jitgrad.ops.table import linear, register

OPPOSITE: dict[Any, Any] = {"backward": "forward", "forward": "backward", "ortho": "ortho"}
"""The other direction divided."""


def _resized(shape: tuple[int, ...], dim: int, size: int) -> tuple[int, ...]:
    return tuple([size if d == dim else n for d, n in enumerate(shape)])


def _counted(x: Any, dim: int, size: int, inside: float) -> Any:
    """`x` with what stands for two elements of `size`, all but the first and the middle one, multiplied by a number."""
    weights = np.full(size // 2 + 1, inside)
    weights[0] = 1
    if size % 2 == 0:
        weights[-1] = 1
    return x * weights.reshape(_resized((1,) * x.ndim, dim, weights.size)).astype(real_of(_numpy(x)))


def _numpy(x: Any) -> np.dtype:
    return getattr(x, "_held", x).dtype


def _c2c(x: Any, dim: tuple[int, ...], norm: Any, inverse: bool) -> Any:
    return (np.fft.ifftn if inverse else np.fft.fftn)(x, axes=dim, norm=norm)


def _c2r(x: Any, dim: tuple[int, ...], norm: Any, size: int) -> Any:
    return np.fft.irfftn(x, [*[x.shape[d] for d in dim[:-1]], size], dim, norm)


fourier = linear(
    _c2c,
    kind="fourier",
    transpose=lambda g, dim, norm, inverse: fourier(g, dim=dim, norm=OPPOSITE[norm], inverse=not inverse),
    internal=True,
    real=False,
    shape=lambda x, dim, norm, inverse: Spec(x.shape, x.dtype),
    samples=list,
)
fourier_of_real = linear(
    lambda x, dim, norm: np.fft.rfftn(x, axes=dim, norm=norm),
    kind="fourier",
    transpose=lambda g, x_shape, dim, norm: fourier_to_real(
        _counted(g, dim[-1], x_shape[dim[-1]], 0.5), dim=dim, norm=OPPOSITE[norm], size=x_shape[dim[-1]]
    ),
    internal=True,
    real=False,
    shape=lambda x, dim, norm: Spec(_resized(x.shape, dim[-1], x.shape[dim[-1]] // 2 + 1), complex_of(x.dtype)),
    samples=list,
)
"""The first half, and the middle, along the last dimension of `dim`."""
fourier_to_real = linear(
    _c2r,
    kind="fourier",
    transpose=lambda g, dim, norm, size: _counted(fourier_of_real(g, dim=dim, norm=OPPOSITE[norm]), dim[-1], size, 2.0),
    internal=True,
    real=False,
    shape=lambda x, dim, norm, size: Spec(_resized(x.shape, dim[-1], size), real_of(x.dtype)),
    samples=list,
)
"""The inverse of that, `size` elements along the last dimension of `dim`."""

register(globals())
