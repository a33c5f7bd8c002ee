"""Losses, by their names in torch.nn.functional."""

from __future__ import annotations

import numpy as np

from jitgrad.functions.bind import bound
from jitgrad.functions.face import face
from jitgrad.functions.indexing import gather
from jitgrad.functions.shaping import unsqueeze
from jitgrad.ops import TABLE, activations, choosing
from jitgrad.record.apply import apply
from jitgrad.record.precision import in_single
from jitgrad.tensors.tensor import Tensor

_log_softmax = bound(TABLE["log_softmax"])


def _reduced(loss: Tensor, reduction: str) -> Tensor:
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction must be 'mean', 'sum' or 'none', not {reduction!r}")
    return loss if reduction == "none" else getattr(loss, reduction)()


def _of_one_shape(name: str, input: Tensor, target: Tensor) -> None:
    if tuple(input.shape) != tuple(target.shape):
        raise ValueError(
            f"{name}: shapes {list(input.shape)} and {list(target.shape)} differ, and broadcasting a "
            "loss is nearly always a mistake"
        )


@face(top=True)
@in_single
def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """The squared difference of two tensors of equal shape."""
    _of_one_shape("mse_loss", input, target)
    return _reduced((input - target) ** 2, reduction)


@face(top=True)
@in_single
def binary_cross_entropy(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """-(t log p + (1 - t) log(1 - p)) of probabilities `input`; logarithms are bounded below by -100, as in PyTorch.

    Its gradient is finite for probabilities of 0 and 1, too: (p - t) / max(p (1 - p), 1e-12).
    """
    _of_one_shape("binary_cross_entropy", input, target)
    if input._value is not None and not ((input._value >= 0) & (input._value <= 1)).all():
        raise RuntimeError(
            "binary_cross_entropy takes probabilities, which lie between 0 and 1: for any numbers use "
            "binary_cross_entropy_with_logits"
        )
    return _reduced(apply(activations.binary_cross_entropy, (input, target)), reduction)


@face(top=True)
@in_single
def binary_cross_entropy_with_logits(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """`binary_cross_entropy` of sigmoid(input), exact for large inputs."""
    _of_one_shape("binary_cross_entropy_with_logits", input, target)
    return _reduced(apply(activations.binary_cross_entropy_with_logits, (input, target)), reduction)


@face(top=True)
@in_single
def nll_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Minus the log-probability of the class in `target` (int64).

    `input` has shape (n, classes) and `target` (n), or (n, classes, ...) and (n, ...); or (classes) and () for one sample.
    """
    classes = _classes(input)
    wanted = [n for d, n in enumerate(input.shape) if d != classes]
    if list(target.shape) != wanted:
        raise ValueError(
            f"the classes for scores of shape {list(input.shape)} must have the shape {wanted}, one for each "
            f"sample, not {list(target.shape)}"
        )
    if target.dtype.name in ("uint8", "int8", "int16"):
        target = apply(choosing.cast, (target,), {"dtype": np.dtype(np.int64)})
    return _reduced(-gather(input, classes, unsqueeze(target, classes)).squeeze(classes), reduction)


@face(top=True)
@in_single
def cross_entropy(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """`nll_loss` of log_softmax(input), for logits and classes of the same shapes."""
    return nll_loss(_log_softmax(input, _classes(input)), target, reduction)


def _classes(input: Tensor) -> int:
    """The dimension of the classes."""
    return 0 if input.ndim == 1 else 1
