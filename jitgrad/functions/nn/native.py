"""What PyTorch has at the top by names of `torch.nn.functional`, with arguments in another order or of another kind.

A `reduction` is a number there: 0 for none, as where it is not given, 1 for the mean, 2 for the sum.
"""

from __future__ import annotations

from typing import Any

from jitgrad.functions.face import face
from jitgrad.functions.nn import ctc, distances, embeddings, losses, normalization
from jitgrad.functions.nn import dropout as dropping
from jitgrad.functions.nn.dropout import _channels
from jitgrad.functions.nn.losses import _divergence
from jitgrad.functions.nn.reducing import reduced
from jitgrad.record.checking import floating
from jitgrad.tensors.tensor import Tensor

_REDUCTIONS = ("none", "mean", "sum")


def _reduction(number: Any) -> str:
    if number not in (0, 1, 2):
        raise ValueError(f"reduction must be 0 for none, 1 for the mean or 2 for the sum, not {number!r}")
    return _REDUCTIONS[number]


@face(method=False)
def dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """`nn.functional.dropout`, training if `train`."""
    return dropping.dropout(input, p, train)


@face(method=False)
def dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """`dropout` in place."""
    return dropping.dropout(input, p, train, True)


@face(method=False)
def alpha_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """`nn.functional.alpha_dropout`, training if `train`."""
    return dropping.alpha_dropout(input, p, train)


@face(method=False)
def alpha_dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """`alpha_dropout` in place."""
    return dropping.alpha_dropout(input, p, train, True)


@face(method=False)
def feature_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """`dropout` of whole channels, which are dimension 1."""
    return _channels("feature_dropout", input, p, train, False, False)


@face(method=False)
def feature_dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """`feature_dropout` in place."""
    return _channels("feature_dropout", input, p, train, True, False)


@face(method=False)
def feature_alpha_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """`nn.functional.feature_alpha_dropout`, training if `train`."""
    return dropping.feature_alpha_dropout(input, p, train)


@face(method=False)
def feature_alpha_dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """`feature_alpha_dropout` in place."""
    return dropping.feature_alpha_dropout(input, p, train, True)


@face(method=False)
def embedding(
    weight: Tensor, indices: Tensor, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False
) -> Tensor:
    """`nn.functional.embedding`; without a row for padding if `padding_idx` is negative."""
    padding = padding_idx if padding_idx >= 0 else None
    return embeddings.embedding(indices, weight, padding, scale_grad_by_freq=scale_grad_by_freq)


@face(method=False)
def batch_norm(
    input: Tensor,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> Tensor:
    """`nn.functional.batch_norm`."""
    return normalization.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


@face(method=False)
def instance_norm(
    input: Tensor,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> Tensor:
    """`nn.functional.instance_norm`."""
    return normalization.instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


@face(method=False)
def binary_cross_entropy_with_logits(
    input: Tensor, target: Tensor, weight: Any = None, pos_weight: Any = None, reduction: int = 0
) -> Tensor:
    """`nn.functional.binary_cross_entropy_with_logits`."""
    return losses.binary_cross_entropy_with_logits(input, target, weight, None, None, _reduction(reduction), pos_weight)


@face(method=False)
def kl_div(input: Tensor, target: Tensor, reduction: int = 0, *, log_target: bool = False) -> Tensor:
    """`nn.functional.kl_div`."""
    floating("kl_div", input, target)
    return reduced(_divergence(input, target, log_target), _reduction(reduction))


@face(method=False)
def poisson_nll_loss(input: Tensor, target: Tensor, log_input: bool, full: bool, eps: float, reduction: int) -> Tensor:
    """`nn.functional.poisson_nll_loss`."""
    return losses.poisson_nll_loss(input, target, log_input, full, eps=eps, reduction=_reduction(reduction))


@face(method=False)
def hinge_embedding_loss(input: Tensor, target: Tensor, margin: float = 1.0, reduction: int = 0) -> Tensor:
    """`nn.functional.hinge_embedding_loss`."""
    return distances.hinge_embedding_loss(input, target, margin, reduction=_reduction(reduction))


@face(method=False)
def margin_ranking_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: int = 0) -> Tensor:
    """`nn.functional.margin_ranking_loss`."""
    return reduced(distances._ranked(input1, input2, target, margin), _reduction(reduction))


@face(method=False)
def cosine_embedding_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: int = 0) -> Tensor:
    """`nn.functional.cosine_embedding_loss`."""
    return distances.cosine_embedding_loss(input1, input2, target, margin, reduction=_reduction(reduction))


@face(method=False)
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: int = 0,
) -> Tensor:
    """`nn.functional.triplet_margin_loss`."""
    return distances.triplet_margin_loss(anchor, positive, negative, margin, p, eps, swap, reduction=_reduction(reduction))


@face(method=False)
def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: int = 0,
    zero_infinity: bool = False,
) -> Tensor:
    """`nn.functional.ctc_loss`."""
    return ctc.ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, _reduction(reduction), zero_infinity)
