"""What PyTorch has beneath `torch.nn.functional`: normalizations with their statistics, a convolution of any kind."""

from __future__ import annotations

from typing import Any

from jitgrad.functions import creation
from jitgrad.functions.face import face
from jitgrad.functions.nn import convolution as convolutions
from jitgrad.functions.nn import dropout, normalization
from jitgrad.functions.shaping import reshape
from jitgrad.record.precision import in_single
from jitgrad.tensors.tensor import Tensor


@in_single
def _statistics(x: Tensor, dims: tuple[int, ...], keepdim: bool, eps: float) -> tuple[Tensor, Tensor]:
    """The mean, and the reciprocal of the standard deviation."""
    return x.mean(dims, keepdim=keepdim), (x.var(dims, correction=0, keepdim=keepdim) + eps).rsqrt()


@face(method=False)
def native_layer_norm(input: Tensor, normalized_shape: Any, weight: Any, bias: Any, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """`nn.functional.layer_norm`, the means, and the reciprocals of the standard deviations."""
    out = normalization.layer_norm(input, normalized_shape, weight, bias, eps)
    dims = tuple(range(input.ndim - len(normalized_shape), input.ndim))
    return out, *_statistics(input, dims, True, eps)


@face(method=False)
def native_group_norm(
    input: Tensor, weight: Any, bias: Any, N: int, C: int, HxW: int, group: int, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """`nn.functional.group_norm` of `N` samples of `C` channels of `HxW` places, and the statistics of the groups."""
    if input.numel() != N * C * HxW:
        raise RuntimeError(f"native_group_norm: {N} x {C} x {HxW} numbers are not in a tensor of shape {list(input.shape)}")
    out = normalization.group_norm(input, group, weight, bias, eps)
    return out, *_statistics(reshape(input, (N, group, C // group * HxW)), (2,), False, eps)


@face(method=False)
def native_batch_norm(
    input: Tensor,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """`nn.functional.batch_norm`, and the statistics of the batch; without `training` these are tensors of no elements."""
    out = normalization.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    if not training:
        none = creation.zeros(0, dtype=input.dtype, device=input.device)
        return out, none, none
    return out, *_statistics(input, (0, *range(2, input.ndim)), False, eps)


@face(method=False)
def native_dropout(input: Tensor, p: float, train: bool | None) -> tuple[Tensor, Tensor]:
    """`nn.functional.dropout`, and which elements were kept (bool)."""
    ones = creation.ones(tuple(input.shape), dtype=input.dtype, device=input.device)
    scale = dropout.dropout(ones, p, train is None or bool(train))
    return input * scale, scale != 0


@face(method=False)
def convolution(
    input: Tensor,
    weight: Tensor,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
) -> Tensor:
    """`nn.functional.conv1d` to `conv3d`, or their transposes if `transposed`, by the number of dimensions that there are."""
    if input.ndim not in (3, 4, 5):
        raise RuntimeError(f"convolution: input has shape (samples, channels, ...) of 1 to 3 dimensions, not {list(input.shape)}")
    name = f"conv{'_transpose' if transposed else ''}{input.ndim - 2}d"
    how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    more = {"output_padding": output_padding} if transposed else {}
    return getattr(convolutions, name)(input, weight, bias, **how, **more)


@face(method=False)
def norm_except_dim(v: Tensor, pow: int = 2, dim: int = 0) -> Tensor:
    """The `pow`-norm over all dimensions but one, which become of size 1; over all for -1."""
    return v.norm(pow) if dim == -1 else v.norm(pow, [d for d in range(v.ndim) if d != dim], keepdim=True)
