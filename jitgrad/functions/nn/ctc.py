"""The loss of connectionist temporal classification."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jitgrad.functions.creation import arange
from jitgrad.functions.data import tensor
from jitgrad.functions.indexing import gather
from jitgrad.functions.nn.reducing import checked, reduced
from jitgrad.functions.operands import in_dtype_of, taken
from jitgrad.functions.shaping import cat, expand, reshape, stack, unsqueeze
from jitgrad.ops import choosing
from jitgrad.record.apply import apply
from jitgrad.record.precision import in_single
from jitgrad.tensors.tensor import Tensor

_NEVER = -1e30
"""The logarithm of the probability of what cannot be: finite, so that differences of two such are not nan."""


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """Minus the logarithm of the probability that a sequence of classes, with `blank` between, collapses to the target.

    `log_probs` has shape (T, n, classes), `targets` (n, S) or all targets one after the other; or (T, classes) and (S) for one
    sequence. A target that cannot be has an infinite loss, or 0 with `zero_infinity`, and the gradient 0. The mean is that of
    losses divided by the lengths of targets. The gradient is that in distributions, as in PyTorch: in numbers of which
    log_softmax is `log_probs`.
    (Graves et al., 2006, which also gives the recursion.)
    """
    checked(reduction)
    single = log_probs.ndim == 2
    if log_probs.ndim not in (2, 3):
        raise RuntimeError(f"ctc_loss: log_probs has shape (T, n, classes) or (T, classes), not {list(log_probs.shape)}")
    probs = unsqueeze(log_probs, 1) if single else log_probs
    length, count, classes = probs.shape
    if not 0 <= blank < classes:
        raise RuntimeError(f"ctc_loss: blank={blank} is none of {classes} classes")
    spans, sizes = (_lengths(name, x, count, probs) for name, x in (("input", input_lengths), ("target", target_lengths)))
    _check(spans, length, sizes)
    _fit(targets, sizes, count, single)
    loss = _losses(probs, _padded(targets, sizes, count, single), spans, sizes, blank, zero_infinity)
    if reduction == "mean":
        return (loss / in_dtype_of(loss, sizes.clamp(min=1))).mean()
    return reduced(loss.squeeze(0) if single else loss, reduction)


def _lengths(name: str, lengths: Any, count: int, like: Tensor) -> Tensor:
    found = taken(lengths) if isinstance(lengths, Tensor) else tensor(np.asarray(lengths), device=like.device)
    if found.dtype.is_floating_point:
        raise RuntimeError(f"ctc_loss: {name}_lengths must be integers, and they are {found.dtype.name}")
    found = reshape(found, (-1,))
    if found.shape[0] != count:
        raise RuntimeError(f"ctc_loss: {name}_lengths has {found.shape[0]} numbers for {count} sequences")
    return apply(choosing.cast, (found,), {"dtype": np.dtype(np.int64)}).to(like.device)


def _check(spans: Tensor, length: int, sizes: Tensor) -> None:
    for name, x, most in (("input", spans, length), ("target", sizes, None)):
        known = None if x.is_cuda else x._value
        if known is not None and known.size and (known.min() < 0 or (most is not None and known.max() > most)):
            raise RuntimeError(
                f"ctc_loss: {name}_lengths go from 0 to {most if most else 'the size of targets'}: {known.tolist()}"
            )


def _fit(targets: Tensor, sizes: Tensor, count: int, single: bool) -> None:
    """The targets are as many as their lengths say, or in rows that are long enough."""
    shape = list(targets.shape)
    if len(shape) not in (1, 2):
        raise RuntimeError(f"ctc_loss: targets has shape (n, S), or one dimension for all one after the other, not {shape}")
    if len(shape) == 2 and shape[0] != count:
        raise RuntimeError(f"ctc_loss: targets of shape {shape} must have a row for each of {count} sequences")
    if sizes.is_cuda or sizes._value is None:
        return
    known = sizes._value
    if len(shape) == 2 and known.max(initial=0) > shape[1]:
        raise RuntimeError(f"ctc_loss: target_lengths {known.tolist()} must be at most {shape[1]}, as targets has shape {shape}")
    if len(shape) == 1 and known.sum() != shape[0]:
        raise RuntimeError(
            f"ctc_loss: target_lengths {known.tolist()} add up to {known.sum()}, and targets has {shape[0]} elements"
        )


def _padded(targets: Tensor, sizes: Tensor, count: int, single: bool) -> Tensor:
    """The targets as (n, S), of which the first ones of each row count."""
    if targets.dtype.is_floating_point:
        raise RuntimeError(f"ctc_loss: targets must be integers, and they are {targets.dtype.name}")
    targets = apply(choosing.cast, (targets,), {"dtype": np.dtype(np.int64)})
    if targets.ndim == 2 or single:
        return reshape(targets, (count, -1)) if targets.numel() else reshape(targets, (count, 0))
    total = targets.shape[0]
    if not total:
        return reshape(targets, (1, 0)) if count == 1 else expand(reshape(targets, (1, 0)), count, 0)
    most = total if sizes.is_cuda or sizes._value is None else int(sizes._value.max(initial=0))
    starts = sizes.cumsum(0) - sizes
    own = arange(most, device=targets.device)
    return targets[apply(choosing.where, (own < unsqueeze(sizes, 1), unsqueeze(starts, 1) + own, 0))]


@in_single
def _losses(probs: Tensor, targets: Tensor, spans: Tensor, sizes: Tensor, blank: int, zero_infinity: bool) -> Tensor:
    length, count, _ = probs.shape
    most = targets.shape[1]
    places = arange(2 * most + 1, device=probs.device)
    inside = unsqueeze(places, 0) < unsqueeze(2 * sizes + 1, 1)
    named = apply(choosing.where, (arange(most, device=probs.device) < unsqueeze(sizes, 1), targets, blank))
    blanks = apply(choosing.where, (unsqueeze(named == named, 2), blank, unsqueeze(named, 2)))
    labels = reshape(stack([reshape(blanks, (count, most)), named], 2), (count, 2 * most))
    labels = cat(
        [labels, labels[:, :1] * 0 + blank if most else apply(choosing.cast, (unsqueeze(sizes * 0 + blank, 1),), _LONG)], 1
    )
    seen = gather(probs, 2, expand(unsqueeze(labels, 0), length, count, 2 * most + 1))
    seen = apply(choosing.where, (seen > _NEVER, seen, _NEVER))
    steps = _Steps(labels, inside, blank)
    alpha = apply(choosing.where, ((places < 2) & inside, seen[0], _NEVER)) if length else None
    if alpha is None:
        alpha = apply(choosing.where, (inside & (places < 1), 0.0, _NEVER))
    for t in range(1, length):
        following = apply(choosing.where, (inside, steps.joined(alpha) + seen[t], _NEVER))
        alpha = apply(choosing.where, (unsqueeze(spans > t, 1), following, alpha))
    last = (places >= unsqueeze(2 * sizes - 1, 1)) & inside
    total = apply(choosing.where, (last, alpha, _NEVER)).logsumexp(1)
    total = apply(choosing.where, (spans == 0, apply(choosing.where, (sizes == 0, 0.0, 2 * _NEVER)), total))
    return _on_distributions(-total, probs, spans, zero_infinity)


_LONG = {"dtype": np.dtype(np.int64)}


class _Steps:
    """What leads from one time to the next: each label stays, follows the one before, or the one before a blank."""

    def __init__(self, labels: Tensor, inside: Tensor, blank: int) -> None:
        wide = labels.shape[1]
        other = labels[:, 2:] != labels[:, : max(wide - 2, 0)]
        self.skips = other & (labels[:, 2:] != blank)
        self.count, self.wide = labels.shape[0], wide

    def joined(self, alpha: Tensor) -> Tensor:
        never = alpha[:, :1] * 0 + _NEVER
        ways = [alpha, cat([never, alpha[:, : self.wide - 1]], 1)]
        if self.wide > 2:
            skipped = apply(choosing.where, (self.skips, alpha[:, : self.wide - 2], _NEVER))
            ways.append(cat([never, never, skipped], 1))
        return stack(ways, 0).logsumexp(0)


def _on_distributions(loss: Tensor, probs: Tensor, spans: Tensor, zero_infinity: bool) -> Tensor:
    """The loss, with the gradient in numbers of which log_softmax gives the logarithms."""
    times = unsqueeze(arange(probs.shape[0], device=probs.device), 1) < spans
    mass = apply(choosing.where, (unsqueeze(times, 2), probs.exp(), 0.0)).sum((0, 2))
    loss = loss + (mass - mass.detach())
    return apply(choosing.where, (loss > -0.5 * _NEVER, 0.0 if zero_infinity else math.inf, loss))
