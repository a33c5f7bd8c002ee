"""Losses of scores of classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.functions.bind import bound
from jitgrad.functions.creation import arange
from jitgrad.functions.face import face
from jitgrad.functions.indexing import gather
from jitgrad.functions.nn.reducing import checked, of_one_dtype, reduced, reduction_of
from jitgrad.functions.numeric import matmul
from jitgrad.functions.operands import in_dtype_of, taken
from jitgrad.functions.shaping import reshape, unsqueeze
from jitgrad.ops import TABLE, choosing
from jitgrad.ops.indexing import refuse_outside
from jitgrad.record.apply import apply
from jitgrad.record.checking import floating
from jitgrad.record.precision import in_single
from jitgrad.record.trace import comes_later
from jitgrad.tensors.tensor import Tensor

_log_softmax, _softplus = bound(TABLE["log_softmax"]), bound(TABLE["softplus"])


@face(top=True)
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Any = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Minus the log-probability of the class in `target` (int64), by the weight of the class.

    `input` has shape (n, classes) and `target` (n), or (n, classes, ...) and (n, ...); or (classes) and () for one sample.
    Samples of class `ignore_index` count for nothing. The mean is over the sum of weights.
    """
    reduction = checked(reduction_of(reduction, size_average, reduce))
    weight = _class_weights("nll_loss", input, weight)
    return _nll(input, _integers(input, target), weight, ignore_index, reduction)


@face(top=True)
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Any = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """`nll_loss` of log_softmax(input), for logits and classes of the same shapes, or for probabilities of classes.

    Probabilities are a floating `target` of the shape of `input`; their mean is over the number of samples. Of `label_smoothing`
    the target becomes the uniform distribution.
    """
    reduction = checked(reduction_of(reduction, size_average, reduce))
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(f"cross_entropy: label_smoothing must be between 0 and 1, and it is {label_smoothing}")
    weight = _class_weights("cross_entropy", input, weight)
    if tuple(input.shape) == tuple(target.shape):
        if not target.dtype.is_floating_point:
            raise RuntimeError(
                f"cross_entropy: a target of the shape of input, {list(input.shape)}, holds probabilities, which are floats: "
                f"it is {target.dtype.name}"
            )
        if ignore_index >= 0:
            raise RuntimeError("cross_entropy: ignore_index is for classes, and the target holds probabilities")
        return _of_shares(input, target, weight, reduction, label_smoothing)
    target = _integers(input, target)
    return _of_classes(input, target, weight, ignore_index, reduction, label_smoothing)


def _classes(input: Tensor) -> int:
    """The dimension of the classes."""
    return 0 if input.ndim == 1 else 1


def _class_weights(name: str, input: Tensor, weight: Any) -> Any:
    weight = taken(weight)
    floating(name, input)
    of_one_dtype(name, input, weight=weight)
    if not input.ndim:
        raise RuntimeError(f"{name}: input must have a dimension of classes, and it has none")
    if weight is not None and tuple(weight.shape) != (input.shape[_classes(input)],):
        raise RuntimeError(
            f"{name}: weight has a number for each of {input.shape[_classes(input)]} classes, and its shape is "
            f"{list(weight.shape)}"
        )
    return weight


def _integers(input: Tensor, target: Tensor) -> Tensor:
    """The classes of samples, as int64."""
    classes = _classes(input)
    wanted = [n for d, n in enumerate(input.shape) if d != classes]
    if list(target.shape) != wanted:
        raise (RuntimeError if max(input.ndim - 1, target.ndim) > 1 and list(target.shape)[:1] == wanted[:1] else ValueError)(
            f"the classes for scores of shape {list(input.shape)} must have the shape {wanted}, one for each "
            f"sample, not {list(target.shape)}"
        )
    if target.dtype.name in ("uint8", "int8", "int16"):
        return apply(choosing.cast, (target,), {"dtype": np.dtype(np.int64)})
    return target


@in_single
def _nll(input: Tensor, target: Tensor, weight: Any, ignore_index: int, reduction: str) -> Tensor:
    ignored, known = _known_classes(target, ignore_index)
    classes = _classes(input)
    _check_classes(known, input.shape[classes])
    loss = -gather(input, classes, unsqueeze(known, classes)).squeeze(classes)
    share = _share(loss, ignored, known, weight)
    loss = apply(choosing.where, (ignored, 0.0, loss if weight is None else loss * share))
    return loss.sum() / share.sum() if reduction == "mean" else reduced(loss, reduction)


def _known_classes(target: Tensor, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Which samples are ignored, and classes of which theirs is one that there is."""
    ignored = apply(choosing.eq, (target, ignore_index))
    return ignored, apply(choosing.where, (ignored, 0, target))


def _check_classes(known: Tensor, count: int) -> None:
    """OutOfRangeError for a class that there is not; where classes are not known yet, a row checks them at every call."""
    if not known.is_cuda and known._value is not None and not comes_later(known):
        refuse_outside(np.asarray(known._value), count, "target", "the classes, a dimension")


def _share(like: Tensor, ignored: Tensor, known: Tensor, weight: Any) -> Tensor:
    """What each sample counts in the mean."""
    if weight is None:
        return in_dtype_of(like, apply(choosing.logical_not, (ignored,)))
    return apply(choosing.where, (ignored, 0.0, weight[known]))


def _along_classes(weight: Tensor, input: Tensor) -> Tensor:
    """Weights of classes in a shape that broadcasts to that of their scores."""
    return reshape(weight, (-1, *[1] * (input.ndim - _classes(input) - 1)))


@in_single
def _of_classes(input: Tensor, target: Tensor, weight: Any, ignore_index: int, reduction: str, smoothing: float) -> Tensor:
    classes = _classes(input)
    logs = _log_softmax(input, classes)
    hard = _nll(logs, target, weight, ignore_index, reduction)
    if not smoothing:
        return hard
    ignored, known = _known_classes(target, ignore_index)
    all_of = -(logs if weight is None else logs * _along_classes(weight, input)).sum(classes)
    all_of = apply(choosing.where, (ignored, 0.0, all_of))
    if reduction == "mean":
        soft = all_of.sum() / _share(all_of, ignored, known, weight).sum()
    else:
        soft = reduced(all_of, reduction)
    return hard * (1 - smoothing) + soft * (smoothing / input.shape[classes])


@in_single
def _of_shares(input: Tensor, target: Tensor, weight: Any, reduction: str, smoothing: float) -> Tensor:
    classes = _classes(input)
    logs, count = _log_softmax(input, classes), input.shape[classes]
    if smoothing:
        target = target * (1 - smoothing) + smoothing / count
    loss = -(logs * target if weight is None else logs * target * _along_classes(weight, input)).sum(classes)
    return loss.sum() / (input.numel() // count if count else 0.0) if reduction == "mean" else reduced(loss, reduction)


def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Any = None,
    weight: Any = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: Any = None,
) -> Tensor:
    """`cross_entropy` of `linear(input, linear_weight, linear_bias)`.

    `linear_weight` has shape (classes, d), or (classes, ..., d) for scores (n, classes, ...). `options` say in what pieces
    PyTorch computes it, and change nothing here.
    """
    scores = _scores(input, linear_weight, linear_bias)
    ignore_index = -100 if ignore_index is None else ignore_index
    return cross_entropy(scores, target, weight, None, ignore_index, None, reduction, label_smoothing)


def _scores(input: Tensor, weight: Tensor, bias: Any) -> Tensor:
    what, bias = "linear_cross_entropy", taken(bias)
    if input.ndim not in (1, 2) or weight.ndim < 2 or input.shape[-1] != weight.shape[-1]:
        raise RuntimeError(
            f"{what}: input of shape (d) or (n, d) and linear_weight of shape (classes, d) are needed, not {list(input.shape)} "
            f"and {list(weight.shape)}"
        )
    wide = weight.shape[:-1]
    if len(wide) > 1 and input.ndim == 1:
        raise RuntimeError(f"{what}: linear_weight of shape {list(weight.shape)} is for input (n, d), not {list(input.shape)}")
    if bias is not None and tuple(bias.shape) not in (tuple(wide), tuple(wide[:1])):
        raise RuntimeError(f"{what}: linear_bias must have shape {list(wide)}, and it is {list(bias.shape)}")
    scores = reshape(matmul(input, reshape(weight, (-1, weight.shape[-1])).mT), (*input.shape[:-1], *wide))
    if bias is None:
        return scores
    return scores + reshape(bias, (*bias.shape, *[1] * (len(wide) - bias.ndim)))


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """For each sample the mean over all classes of max(0, margin - score of its own + score)**p, but for its own."""
    reduction = checked(reduction_of(reduction, size_average, reduce))
    if p not in (1, 2):
        raise ValueError(f"multi_margin_loss: p must be 1 or 2, not {p}")
    input = input if input.ndim else reshape(input, (1,))
    if input.ndim > 2 or not input.shape[-1]:
        raise RuntimeError(f"multi_margin_loss: input has shape (n, classes) or (classes), and not {list(input.shape)}")
    if target.numel() != (input.shape[0] if input.ndim == 2 else 1):
        raise RuntimeError(f"multi_margin_loss: target must have a class for each sample, and its shape is {list(target.shape)}")
    weight = taken(weight)
    floating("multi_margin_loss", input)
    if weight is not None and tuple(weight.shape) != tuple(input.shape[-1:]):
        raise (RuntimeError if weight.ndim == 1 else ValueError)(
            f"multi_margin_loss: weight has a number for each class, and its shape is {list(weight.shape)}"
        )
    return reduced(_margins(input, reshape(target, tuple(input.shape[:-1])), p, margin, weight), reduction)


@in_single
def _margins(x: Tensor, target: Tensor, p: int, margin: float, weight: Any) -> Tensor:
    own = unsqueeze(target, -1)
    z = margin - gather(x, -1, own) + x
    z = apply(choosing.kink, (z, z, 0.0))
    z = z if p == 1 else z * z
    if weight is not None:
        z = z * weight[own]
    others = apply(choosing.ne, (arange(x.shape[-1], device=x.device), own))
    return apply(choosing.where, (others, z, 0.0)).mean(-1)


def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """For each sample the sum over its classes, and over those that are not, of max(0, 1 - score of its own + score), divided by
    the number of classes. `target` lists its classes up to the first -1."""
    reduction = checked(reduction_of(reduction, size_average, reduce))
    if input.ndim > 2 or (input.ndim and not input.shape[-1]):
        raise RuntimeError(f"multilabel_margin_loss: input has shape (n, classes) or (classes), and not {list(input.shape)}")
    if tuple(input.shape) != tuple(target.shape):
        raise RuntimeError(
            f"multilabel_margin_loss: target must have the shape of input, {list(input.shape)}, and it is {list(target.shape)}"
        )
    out = _label_margins(*(reshape(v, (-1,)) if not v.ndim else v for v in (input, target)))
    return reduced(out, reduction)


@in_single
def _label_margins(x: Tensor, target: Tensor) -> Tensor:
    count = x.shape[-1]
    listed = in_dtype_of(target, target < 0).cumsum(-1) == 0
    named = apply(choosing.where, (listed, target, 0))
    hits = (unsqueeze(named, -1) == arange(count, device=x.device)) & unsqueeze(listed, -1)
    z = 1 - unsqueeze(gather(x, -1, named), -1) + unsqueeze(x, -2)
    z = apply(choosing.kink, (z, z, 0.0))
    counted = unsqueeze(listed, -1) & ~hits.any(-2, keepdim=True)
    return apply(choosing.where, (counted, z, 0.0)).sum((-2, -1)) / count


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """For each sample the mean over classes of `binary_cross_entropy_with_logits`."""
    floating("multilabel_soft_margin_loss", input)
    if not input.ndim:
        raise IndexError("multilabel_soft_margin_loss: input has no dimension of classes")
    loss = _of_each(input, target, taken(weight))
    return reduced(loss, reduction_of(reduction, size_average, reduce))


@in_single
def _of_each(x: Tensor, t: Tensor, weight: Any) -> Tensor:
    loss = t * _softplus(-x) + (1 - t) * _softplus(x)
    return (loss if weight is None else loss * weight).mean(-1)
