"""Normalisation over dimensions, batches and groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jitgrad.dtypes import HALF
from jitgrad.functions.creation import arange
from jitgrad.functions.face import face
from jitgrad.functions.indexing import index_select
from jitgrad.functions.nn.reducing import of_one_dtype
from jitgrad.functions.operands import in_dtype_of, taken
from jitgrad.functions.shaping import cat, reshape
from jitgrad.ops.norms import norm
from jitgrad.ops.shapes import Spec, axes
from jitgrad.record.apply import apply, zeros
from jitgrad.record.checking import floating, not_floating
from jitgrad.record.precision import in_single
from jitgrad.tensors.inplace import overwrite
from jitgrad.tensors.tensor import Tensor


def normalize(input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12) -> Tensor:
    """The vectors along `dim` divided by their p-norms, which count as `eps` at least."""
    if not input.dtype.has_gradient:
        raise not_floating("normalize", input.dtype)
    return _normalized(input, float(p), axes(dim, input.ndim), eps)


@in_single
def _normalized(x: Tensor, p: float, dim: tuple[int, ...], eps: float) -> Tensor:
    return x / apply(norm, (x,), {"dim": dim, "keepdim": True, "p": p}).clamp(min=eps)


def _last(name: str, input: Tensor, shape: Any, **more: Any) -> tuple[int, ...]:
    """The last dimensions, which have the given shape, as parameters have too."""
    wanted = (shape,) if isinstance(shape, int) else tuple(shape)
    if not wanted:
        raise RuntimeError(f"{name}: normalized_shape must have at least one size")
    for key, value in more.items():
        if value is not None and tuple(value.shape) != wanted:
            raise RuntimeError(f"{name}: {key} must have the shape {list(wanted)}, and it is {list(value.shape)}")
    if tuple(input.shape[-len(wanted) :]) != wanted:
        raise RuntimeError(f"{name}: input of shape {list(input.shape)} does not end with the sizes {list(wanted)}")
    return tuple(range(input.ndim - len(wanted), input.ndim))


@face(top=True)
def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Tensor:
    """(x - mean) / sqrt(variance + eps) over the last dimensions, times `weight`, plus `bias`."""
    weight, bias = taken(weight), taken(bias)
    dims = _last("layer_norm", input, normalized_shape, weight=weight, bias=bias)
    x = _computed_in("layer_norm", input, weight=weight, bias=bias)
    return in_dtype_of(input, _scaled(x, weight, bias, dims, eps))


def _computed_in(name: str, input: Tensor, **more: Any) -> Tensor:
    """The input in the dtype that it is computed in: single precision, if it has half and parameters have that."""
    floating(name, input)
    if input._held.dtype in HALF and any(x is not None and x.dtype.name == "float32" for x in more.values()):
        return input.float()
    of_one_dtype(name, input, **more)
    return input


@in_single
def _scaled(x: Tensor, weight: Any, bias: Any, dims: tuple[int, ...], eps: float) -> Tensor:
    centred = x - x.mean(dims, keepdim=True)
    return _affine(centred * ((centred * centred).mean(dims, keepdim=True) + eps).rsqrt(), weight, bias)


def _affine(x: Tensor, weight: Any, bias: Any) -> Tensor:
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


@face(top=True)
def rms_norm(input: Tensor, normalized_shape: Sequence[int], weight: Any = None, eps: float | None = None) -> Tensor:
    """x / sqrt(mean of squares + eps) over the last dimensions, times `weight`; `eps` is that of the dtype computed in."""
    weight = taken(weight)
    dims = _last("rms_norm", input, normalized_shape, weight=weight)
    floating("rms_norm", input)
    if eps is None:
        dtype = input._held.dtype
        eps = float(np.finfo(np.float32 if dtype in HALF else dtype).eps)
    return _by_squares(input, weight, dims, eps)


@in_single
def _by_squares(x: Tensor, weight: Any, dims: tuple[int, ...], eps: float) -> Tensor:
    return _affine(x * ((x * x).mean(dims, keepdim=True) + eps).rsqrt(), weight, None)


def batch_norm(
    input: Tensor,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(variance + eps) of each channel, which dimension 1 counts, times `weight`, plus `bias`.

    While `training` mean and variance are those of the batch, and the running ones move towards them, in place, by the share
    `momentum`; else they are the running ones.
    """
    if input.ndim < 2:
        if not input.numel():
            return input.clone()
        raise RuntimeError(f"batch_norm: input has shape (n, channels, ...), and not {list(input.shape)}")
    if training:
        _several("batch_norm", input, (0, *range(2, input.ndim)))
    return _by_statistics("batch_norm", input, running_mean, running_var, weight, bias, training, momentum, eps, (0,))


def instance_norm(
    input: Tensor,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`batch_norm` by the mean and the variance of each sample."""
    if input.ndim < 2:
        raise RuntimeError(f"instance_norm: input has shape (n, channels, ...), and not {list(input.shape)}")
    if use_input_stats:
        _several("instance_norm", input, tuple(range(2, input.ndim)))
    return _by_statistics("instance_norm", input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps, ())


def _several(name: str, input: Tensor, dims: tuple[int, ...]) -> None:
    if math.prod(input.shape[d] for d in dims) == 1:
        raise ValueError(
            f"{name}: the variance of one number is 0, and input of shape {list(input.shape)} has one number for each channel"
        )


# long: the arguments are those of PyTorch's two functions
def _by_statistics(
    name: str,
    input: Tensor,
    running_mean: Any,
    running_var: Any,
    weight: Any,
    bias: Any,
    own: bool,
    momentum: float,
    eps: float,
    lead: tuple[int, ...],
) -> Tensor:
    running = taken(running_mean), taken(running_var)
    if (running_mean is None) != (running_var is None):
        raise ValueError(f"{name}: give both of running_mean and running_var, or neither")
    weight, bias = taken(weight), taken(bias)
    along = (input.shape[1], *[1] * (input.ndim - 2))
    for key, value in zip(("running_mean", "running_var", "weight", "bias"), (*running, weight, bias)):
        if value is not None and tuple(value.shape) != along[:1]:
            raise RuntimeError(
                f"{name}: {key} has a number for each of {along[0]} channels, and its shape is {list(value.shape)}"
            )
    x = _computed_in(name, input, weight=weight, bias=bias)
    weight, bias = (None if v is None else reshape(v, along) for v in (weight, bias))
    if not own:
        mean, var = running
        if mean is None or var is None:
            raise RuntimeError(f"{name}: running_mean and running_var are needed where the batch does not give them")
        return in_dtype_of(input, _by_given(x, reshape(mean, along), reshape(var, along), weight, bias, eps))
    dims = (*lead, *range(2, input.ndim))
    for k, value in enumerate(running):
        if value is not None and (input.numel() or not lead):  # an empty batch says nothing
            _moved(value, input.detach(), dims, k, momentum)
    return in_dtype_of(input, _scaled(x, weight, bias, dims, eps))


def _moved(running: Tensor, x: Tensor, dims: tuple[int, ...], k: int, momentum: float) -> None:
    """A running mean, or variance (k = 1), changed in place by what a batch gives, without a gradient."""
    seen = x.var(dims, correction=1) if k else x.mean(dims)
    seen = seen.mean(0) if seen.ndim > 1 else seen
    overwrite(running, in_dtype_of(running, running.detach() * (1 - momentum) + seen * momentum), "batch_norm")


@in_single
def _by_given(x: Tensor, mean: Tensor, var: Tensor, weight: Any, bias: Any, eps: float) -> Tensor:
    return _affine((x - mean) * (var + eps).rsqrt(), weight, bias)


@face(top=True)
def group_norm(
    input: Tensor, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5, cudnn_enabled: bool = True
) -> Tensor:
    """(x - mean) / sqrt(variance + eps) of each group of channels, times `weight` and plus `bias` of each channel."""
    weight, bias = taken(weight), taken(bias)
    if input.ndim < 2:
        raise RuntimeError(f"group_norm: input has shape (n, channels, ...), and not {list(input.shape)}")
    count, channels = input.shape[:2]
    if num_groups <= 0 or channels % num_groups:
        raise RuntimeError(f"group_norm: {channels} channels are not divided into {num_groups} groups of one size")
    for key, value in (("weight", weight), ("bias", bias)):
        if value is not None and tuple(value.shape) != (channels,):
            raise RuntimeError(f"group_norm: {key} has a number for each of {channels} channels, not {list(value.shape)}")
    if count * (channels // num_groups) * math.prod(input.shape[2:]) == 1:
        raise ValueError(f"group_norm: the variance of one number is 0, and groups of shape {list(input.shape)} have one")
    x = _computed_in("group_norm", input, weight=weight, bias=bias)
    along = (channels, *[1] * (input.ndim - 2))
    weight, bias = (None if v is None else reshape(v, along) for v in (weight, bias))
    return in_dtype_of(input, _grouped(x, weight, bias, num_groups, eps))


@in_single
def _grouped(x: Tensor, weight: Any, bias: Any, groups: int, eps: float) -> Tensor:
    shape = tuple(x.shape)
    apart = reshape(x, (shape[0], groups, math.prod(shape[1:]) // groups))
    return _affine(reshape(_scaled(apart, None, None, (2,), eps), shape), weight, bias)


def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """x / (k + alpha * mean of squares of `size` channels around)**beta (Krizhevsky et al., 2012)."""
    if input.ndim < 3:
        raise ValueError(f"local_response_norm: input has shape (n, channels, ...), and not {list(input.shape)}")
    if size < 1:
        raise RuntimeError(f"local_response_norm: size must be positive, and it is {size}")
    if not input.numel():
        return input
    return _among_neighbours(input if input.dtype.is_floating_point else input * 1.0, size, alpha, beta, k)


@in_single
def _among_neighbours(x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    shape = tuple(x.shape)
    margins = [zeros(Spec((shape[0], n, *shape[2:]), x._held.dtype), (x,)) for n in (size // 2, (size - 1) // 2)]
    squares = cat([margins[0], x * x, margins[1]], 1)
    places = reshape(arange(shape[1], device=x.device), (-1, 1)) + arange(size, device=x.device)
    windows = reshape(index_select(squares, 1, reshape(places, (-1,))), (shape[0], shape[1], size, *shape[2:]))
    return x / (windows.mean(2) * alpha + k) ** beta
