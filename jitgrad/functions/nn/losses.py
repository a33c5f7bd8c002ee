"""Losses of numbers and of probabilities, by their names in torch.nn.functional. Those of classes: see `classes`."""

from __future__ import annotations

import math
import warnings
from typing import Any

from jitgrad.functions.bind import bound
from jitgrad.functions.face import face
from jitgrad.functions.nn.reducing import broadcasting, checked, of_one_dtype, of_one_shape, reduced, reduction_of, weighed
from jitgrad.functions.operands import in_dtype_of, taken
from jitgrad.functions.shaping import unsqueeze
from jitgrad.ops import TABLE, activations, arithmetic, choosing
from jitgrad.record.apply import apply
from jitgrad.record.checking import floating
from jitgrad.record.precision import in_single
from jitgrad.tensors.tensor import Tensor

_softplus = bound(TABLE["softplus"])


@face(top=True)
def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Tensor:
    """The squared difference, whose mean is over the sum of weights if there are any."""
    broadcasting("mse_loss", input, target)
    _some_floating("mse_loss", input, target)
    return _squared(input, target, weight, reduction_of(reduction, size_average, reduce))


def _some_floating(name: str, input: Tensor, target: Tensor) -> None:
    if not target.dtype.is_floating_point:
        floating(name, input)


@in_single
def _squared(input: Tensor, target: Tensor, weight: Any, reduction: str) -> Tensor:
    return weighed("mse_loss", (input - target) ** 2, weight, reduction)


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Tensor:
    """The absolute difference, whose mean is over the sum of weights if there are any."""
    broadcasting("l1_loss", input, target)
    return _absolute(input, target, weight, reduction_of(reduction, size_average, reduce))


@in_single
def _absolute(input: Tensor, target: Tensor, weight: Any, reduction: str) -> Tensor:
    return weighed("l1_loss", (input - target).abs(), weight, reduction)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """d² / (2 beta) for differences |d| below `beta`, |d| - beta / 2 for others."""
    reduction = checked(reduction_of(reduction, size_average, reduce))
    broadcasting("smooth_l1_loss", input, target)
    _some_floating("smooth_l1_loss", input, target)
    if beta < 0:
        raise RuntimeError(f"smooth_l1_loss: beta must not be negative, and it is {beta}")
    return _huber(input, target, beta, 1 / beta, None, reduction) if beta else _absolute(input, target, None, reduction)


def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Any = None) -> Tensor:
    """d² / 2 for differences |d| up to `delta`, delta * (|d| - delta / 2) for others."""
    checked(reduction)
    broadcasting("huber_loss", input, target)
    floating("huber_loss", input)
    if not delta > 0:
        raise RuntimeError(f"huber_loss: delta must be positive, and it is {delta}")
    return in_dtype_of(input, _huber(input, target, delta, 1.0, weight, reduction))


@in_single
def _huber(input: Tensor, target: Tensor, bend: float, scale: float, weight: Any, reduction: str) -> Tensor:
    d = (input - target).abs()
    near = d.clamp(max=bend)  # the square of what is not chosen could be infinite
    loss = apply(choosing.kink, (d - bend, d * (bend * scale) - 0.5 * scale * bend * bend, 0.5 * scale * near * near))
    return reduced(weighed("huber_loss", loss, weight, "none"), reduction)  # by the number of elements, as in PyTorch


@face(top=True)
def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-(t log p + (1 - t) log(1 - p)) of probabilities `input`; logarithms are bounded below by -100, as in PyTorch.

    Its gradient is finite for probabilities of 0 and 1, too: (p - t) / max(p (1 - p), 1e-12).
    """
    reduction = checked(reduction_of(reduction, size_average, reduce))
    of_one_shape("binary_cross_entropy", input, target)
    floating("binary_cross_entropy", input)
    of_one_dtype("binary_cross_entropy", input, target=target)
    if input._value is not None and not ((input._value >= 0) & (input._value <= 1)).all():
        raise RuntimeError(
            "binary_cross_entropy takes probabilities, which lie between 0 and 1: for any numbers use "
            "binary_cross_entropy_with_logits"
        )
    return _scaled(activations.binary_cross_entropy, input, target, weight, reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Any = None,
) -> Tensor:
    """`binary_cross_entropy` of sigmoid(input), exact for large inputs; `pos_weight` is that of t log p."""
    of_one_shape("binary_cross_entropy_with_logits", input, target)
    floating("binary_cross_entropy_with_logits", input, target)
    reduction = reduction_of(reduction, size_average, reduce)
    if pos_weight is None:
        found = _scaled(activations.binary_cross_entropy_with_logits, input, target, weight, reduction)
    else:
        found = _with_positive(input, target, taken(weight), taken(pos_weight), reduction)
    return in_dtype_of(target, found)


def _scaled(op: Any, input: Tensor, target: Tensor, weight: Any, reduction: str) -> Tensor:
    """A loss of one row, by weights that are broadcast to it, and of which the mean is over the number of elements."""
    return _scaled_in_single(input, target, op, taken(weight), reduction)


@in_single
def _scaled_in_single(input: Tensor, target: Tensor, op: Any, weight: Any, reduction: str) -> Tensor:
    loss = apply(op, (input, target))
    return reduced(loss if weight is None else loss * weight, reduction)


@in_single
def _with_positive(x: Tensor, t: Tensor, weight: Any, positive: Tensor, reduction: str) -> Tensor:
    loss = (1 - t) * _softplus(x) + positive * t * _softplus(-x)
    return reduced(loss if weight is None else loss * weight, reduction)


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """t (log t - x) of log-probabilities x and probabilities t, or with `log_target` their logarithms.

    The divergence of distributions is its sum; `reduction="batchmean"` divides that by the size of dimension 0.
    """
    reduction = reduction_of(reduction, size_average, reduce)
    if reduction == "mean":
        warnings.warn("kl_div: the mean over all elements is no divergence: write reduction='batchmean', or 'sum'", stacklevel=4)
    floating("kl_div", input, target)
    loss = _divergence(input, target, log_target)
    if reduction == "batchmean":
        return loss.sum() / input.shape[0] if input.ndim else loss
    return reduced(loss, reduction)


@in_single
def _divergence(input: Tensor, target: Tensor, log_target: bool) -> Tensor:
    if log_target:
        return target.exp() * (target - input)
    return apply(arithmetic.xlogy, (target, target)) - target * input


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """rate - t log(rate) for counts t, `input` being the rate, or its logarithm; with `full` Stirling's log(t!) is added."""
    return reduced(_poisson(input, target, log_input, full, eps), reduction_of(reduction, size_average, reduce))


@in_single
def _poisson(input: Tensor, target: Tensor, log_input: bool, full: bool, eps: float) -> Tensor:
    loss = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if not full:
        return loss
    t = target if target.dtype.is_floating_point else target * 1.0
    many = apply(choosing.where, (t > 1, t, 1.0))
    stirling = many * many.log() - many + 0.5 * (2 * math.pi * many).log()
    return loss + apply(choosing.where, (t > 1, stirling, 0.0))


def gaussian_nll_loss(
    input: Tensor, target: Tensor, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Tensor:
    """(log v + (x - t)² / v) / 2 for variances v, a number, or one for each element or for each along the last dimension.

    Variances count as `eps` at least, without a change of their gradient; with `full` log(2 pi) / 2 is added.
    """
    if not eps > 0:
        raise ValueError(f"gaussian_nll_loss: eps must be positive, and it is {eps}")
    if isinstance(var, (int, float)):
        if var < 0:
            raise ValueError(f"gaussian_nll_loss: var must not be negative, and it is {var}")
        var = input.detach() * 0 + var
    var = taken(var)
    shape = tuple(var.shape)
    if shape != tuple(input.shape):
        if tuple(input.shape[:-1]) == shape:
            var = unsqueeze(var, -1)
        elif tuple(input.shape[:-1]) != shape[:-1] or shape[-1:] != (1,):
            raise ValueError(f"gaussian_nll_loss: var has shape {list(shape)}, which does not fit {list(input.shape)}")
    if var._value is not None and (var._value < 0).any():
        raise ValueError("gaussian_nll_loss: var must not be negative")
    return reduced(_gaussian(input, target, var, full, eps), reduction)


@in_single
def _gaussian(x: Tensor, t: Tensor, var: Tensor, full: bool, eps: float) -> Tensor:
    var = var + (var.clamp(min=eps) - var).detach()
    loss = 0.5 * (var.log() + (x - t) ** 2 / var)
    return loss + 0.5 * math.log(2 * math.pi) if full else loss


def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """log(1 + exp(-t x)) for t of 1 and -1."""
    floating("soft_margin_loss", input)
    loss = in_dtype_of(input, _softplus(-target * input))
    return reduced(loss, reduction_of(reduction, size_average, reduce))
