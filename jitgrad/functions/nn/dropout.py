"""Dropout: parts that are set to zero by chance.

While training with 0 < p < 1 random numbers are drawn, as by `rand`: under jit of a `generator` that is an argument; under vmap
`randomness` says what comes of it.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

from jitgrad.functions.creation import rand
from jitgrad.functions.operands import in_dtype_of
from jitgrad.functions.shaping import unsqueeze
from jitgrad.record.checking import floating
from jitgrad.tensors.inplace import overwrite
from jitgrad.tensors.tensor import Tensor


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, *, generator: Any = None) -> Tensor:
    """While `training` each element is 0 with probability `p`, and divided by 1 - p otherwise."""
    _checked("dropout", p)
    return _given(input, _dropped(input, p, tuple(input.shape), generator) if training else input, inplace, "dropout")


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, *, generator: Any = None) -> Tensor:
    """`dropout` of whole channels of (n, channels, length), or of (channels, length)."""
    if input.ndim not in (2, 3):
        raise RuntimeError(f"dropout1d: input has shape (n, channels, length) or (channels, length), not {list(input.shape)}")
    return _channels("dropout1d", input, p, training, inplace, input.ndim == 2, generator)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, *, generator: Any = None) -> Tensor:
    """`dropout` of whole channels, which are dimension 1."""
    if input.ndim != 4:
        warnings.warn(f"dropout2d is for (n, channels, height, width), and its input is {list(input.shape)}", stacklevel=3)
    return _channels("dropout2d", input, p, training, inplace, False, generator)


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, *, generator: Any = None) -> Tensor:
    """`dropout` of whole channels of (n, channels, depth, height, width), or of one such sample."""
    if input.ndim not in (4, 5):
        warnings.warn(f"dropout3d is for (n, channels, depth, height, width), and its input is {list(input.shape)}", stacklevel=3)
    return _channels("dropout3d", input, p, training, inplace, input.ndim != 5, generator)


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False, *, generator: Any = None
) -> Tensor:
    """While `training` elements become what `selu` gives at minus infinity with probability `p`; then all are scaled and moved
    so that mean 0 and variance 1 stay (Klambauer et al., 2017)."""
    _checked("alpha_dropout", p)
    return _given(input, _saturated(input, p, tuple(input.shape), generator) if training else input, inplace, "alpha_dropout")


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False, *, generator: Any = None
) -> Tensor:
    """`alpha_dropout` of whole channels, which are dimension 1."""
    _checked("feature_alpha_dropout", p)
    out = _saturated(input, p, _of_channels("feature_alpha_dropout", input), generator) if training else input
    return _given(input, out, inplace, "feature_alpha_dropout")


def _checked(name: str, p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"{name}: p is a probability, between 0 and 1, and it is {p}")


def _given(input: Tensor, out: Tensor, inplace: bool, name: str) -> Tensor:
    return overwrite(input, out, name + "_") if inplace and out is not input else out


def _of_channels(name: str, input: Tensor) -> tuple[int, ...]:
    """The shape that has one element for each channel of each sample."""
    if input.ndim < 2:
        raise RuntimeError(f"{name}: input has shape (n, channels, ...), and not {list(input.shape)}")
    return (*input.shape[:2], *[1] * (input.ndim - 2))


def _channels(name: str, input: Tensor, p: float, training: bool, inplace: bool, single: bool, generator: Any = None) -> Tensor:
    _checked(name, p)
    if not training:
        return input
    batch = unsqueeze(input, 0) if single else input
    out = _dropped(batch, p, _of_channels(name, batch), generator)
    return _given(input, out.squeeze(0) if single else out, inplace, name)


def _kept(input: Tensor, p: float, shape: tuple[int, ...], generator: Any) -> Tensor:
    """1 with probability 1 - p, and 0 elsewhere."""
    floating("dropout", input)
    return in_dtype_of(input, rand(shape, generator=generator, dtype=input.dtype, device=input.device) >= p)


def _dropped(input: Tensor, p: float, shape: tuple[int, ...], generator: Any) -> Tensor:
    if p in (0, 1) or not input.numel():
        return input * (1 - int(p))
    return input * (_kept(input, p, shape, generator) / (1 - p))


_SATURATED = -1.7580993408473766


def _saturated(input: Tensor, p: float, shape: tuple[int, ...], generator: Any) -> Tensor:
    if p in (0, 1) or not input.numel():
        return input * (1 - int(p))
    scale = 1 / math.sqrt((1 - p) * (1 + p * _SATURATED**2))
    kept = _kept(input, p, shape, generator)
    return input * (kept * scale) + (1 - p - kept) * (scale * _SATURATED)
