"""Rows of a table by their numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.functions.creation import arange
from jitgrad.functions.indexing import index_select
from jitgrad.functions.numeric import max as max_of
from jitgrad.functions.operands import in_dtype_of, taken
from jitgrad.functions.positions import check_positions
from jitgrad.functions.shaping import expand, reshape, unsqueeze
from jitgrad.ops import choosing
from jitgrad.ops.indexing import Slot
from jitgrad.ops.indexing import index_add as index_add_op
from jitgrad.ops.norms import norm
from jitgrad.ops.shapes import Spec
from jitgrad.record.apply import apply, zeros
from jitgrad.record.checking import floating
from jitgrad.record.precision import in_single
from jitgrad.record.trace import grad_mode
from jitgrad.tensors.inplace import overwrite
from jitgrad.tensors.tensor import Tensor

_LONG = np.dtype(np.int64)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """A new last dimension that has a 1 at the place that the tensor (int64) says, and 0s; int64.

    Its size is `num_classes`, or one more than the largest number there is, which cannot be known under jit.
    """
    if tensor.dtype.name != "int64":
        raise RuntimeError(f"one_hot takes int64, and this tensor is {tensor.dtype.name}")
    if num_classes == -1:
        if not tensor.numel():
            raise RuntimeError("one_hot: the number of classes cannot be told from an empty tensor: pass num_classes")
        num_classes = int(tensor._known("one_hot() without num_classes").max()) + 1
    elif num_classes < 0 or (num_classes == 0 and tensor.numel()):
        raise RuntimeError(f"one_hot: num_classes must be positive, and it is {num_classes}")
    places = check_positions("one_hot", tensor, num_classes, -1, tensor.shape)
    found = apply(choosing.eq, (unsqueeze(places, -1), arange(num_classes, device=tensor.device)))
    return apply(choosing.cast, (found,), {"dtype": _LONG})


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """The rows of `weight` that `input` names, in a new last dimension.

    No gradient reaches row `padding_idx`. Rows that are named and have a norm above `max_norm` are scaled to it first, in place.
    With `scale_grad_by_freq` the gradient of a row is divided by how often it is named. Gradients are never sparse.
    """
    weight = taken(weight)
    padding_idx = _padding("embedding", weight, padding_idx)
    places = reshape(input, (-1,))
    if max_norm is not None:
        _limit(weight, places, max_norm, norm_type)
    out = _looked_up(weight, places, padding_idx, scale_grad_by_freq)
    return reshape(out, (*input.shape, weight.shape[1]))


def _padding(name: str, weight: Any, padding_idx: int | None) -> int | None:
    if not isinstance(weight, Tensor) or weight.ndim != 2:
        raise RuntimeError(f"{name}: weight must be a table of two dimensions")
    if padding_idx is None:
        return None
    rows = weight.shape[0]
    if not -rows <= padding_idx < rows:
        raise AssertionError(f"{name}: padding_idx={padding_idx} is none of {rows} rows")
    return padding_idx % rows


def _looked_up(weight: Tensor, places: Tensor, padding_idx: int | None, by_frequency: bool) -> Tensor:
    """The rows at places, and what their gradient is."""
    out = index_select(weight, 0, places)
    if by_frequency:
        share = 1 / index_select(_counts(weight, places), 0, places)
        out = out + (out - out.detach()) * unsqueeze(share - 1, 1)
    if padding_idx is not None:
        out = apply(choosing.where, (unsqueeze(places == padding_idx, 1), out.detach(), out))
    return out


def _counts(weight: Tensor, places: Tensor) -> Tensor:
    """How often each row is named, in the dtype of the table."""
    found = zeros(Spec((weight.shape[0],), np.dtype(weight._held.dtype)), (weight,))
    ones = in_dtype_of(weight, places >= 0)
    return _added(found, ones, places)


@in_single
def _added(x: Tensor, source: Tensor, places: Tensor) -> Tensor:
    return apply(index_add_op, (x, source, places), {"index": (Slot(0),)})


def _limit(weight: Tensor, places: Tensor, most: float, p: float) -> None:
    """Scale the rows that are named and longer than `most`, in place, unseen by the gradient."""
    was = grad_mode.get()
    try:
        grad_mode.set(False)
        length = apply(norm, (weight,), {"dim": (1,), "keepdim": True, "p": float(p)})
        wrong = (length > most) & (unsqueeze(_counts(weight, places), 1) > 0)
        overwrite(weight, apply(choosing.where, (wrong, weight * (most / (length + 1e-7)), weight)), "embedding")
    finally:
        grad_mode.set(was)


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Any = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """The sums, means or largest elements (`mode` "sum", "mean" or "max") of `embedding` over bags.

    A bag is a row of a 2-d `input`; of a 1-d one those from each of `offsets` to the next. Row `padding_idx` counts for nothing.
    `per_sample_weights`, of the shape of `input`, are factors of rows that are summed up.
    """
    weight, offsets, factors = taken(weight), taken(offsets), taken(per_sample_weights)
    if mode not in ("sum", "mean", "max"):
        raise ValueError(f"embedding_bag: mode must be 'sum', 'mean' or 'max', not {mode!r}")
    _fitting(input, weight, offsets, factors, mode)
    padding_idx = _padding("embedding_bag", weight, padding_idx)
    if mode == "max" and scale_grad_by_freq:
        raise RuntimeError("embedding_bag: the gradient of mode='max' is not scaled by frequency")
    if input.ndim == 2:
        bags = input.shape[0]
        of = expand(unsqueeze(arange(bags, device=input.device), 1), bags, input.shape[1])
        of, factors = reshape(of, (-1,)), None if factors is None else reshape(factors, (-1,))
    else:
        bags = offsets.shape[0] - include_last_offset
        starts = offsets[:bags]
        of = (unsqueeze(arange(input.shape[0], device=input.device), 1) >= starts).sum(1) - 1
    places = reshape(input, (-1,))
    if max_norm is not None:
        _limit(weight, places, max_norm, norm_type)
    rows = _looked_up(weight, places, padding_idx, scale_grad_by_freq)
    counted = places == places if padding_idx is None else places != padding_idx
    return _bagged(rows, factors, counted, of, bags, mode)


def _fitting(input: Tensor, weight: Any, offsets: Any, factors: Any, mode: str) -> None:
    what = "embedding_bag"
    floating(what, weight)
    if factors is not None and tuple(factors.shape) != tuple(input.shape):
        raise ValueError(f"{what}: per_sample_weights must have shape {list(input.shape)}, and it is {list(factors.shape)}")
    if input.ndim == 2 and offsets is not None:
        raise ValueError(f"{what}: the rows of a 2-d input are bags: offsets are for 1-d ones")
    if input.ndim == 1 and (not isinstance(offsets, Tensor) or offsets.ndim != 1):
        raise ValueError(f"{what}: a 1-d input needs offsets of one dimension, which say where bags begin")
    if input.ndim not in (1, 2):
        raise ValueError(f"{what}: input has one dimension or two, and its shape is {list(input.shape)}")
    for name, index in (("input", input), ("offsets", offsets)):
        if index is not None and index.dtype.name not in ("int64", "int32"):
            raise RuntimeError(f"{what}: {name} must be int64 or int32, and it is {index.dtype.name}")
    known = None if offsets is None or offsets.is_cuda else offsets._value
    if known is not None and known.size and (known[0] != 0 or known.max() > input.shape[0]):
        raise RuntimeError(f"{what}: offsets begin with 0 and go up to {input.shape[0]}, the size of input")
    if factors is not None and mode != "sum":
        raise NotImplementedError(f"{what}: per_sample_weights are for mode='sum', not {mode!r}")
    if factors is not None and factors.dtype != weight.dtype:
        raise RuntimeError(f"{what}: per_sample_weights are {factors.dtype.name} and weight {weight.dtype.name}: convert one")


@in_single
def _bagged(rows: Tensor, factors: Any, counted: Tensor, of: Tensor, bags: int, mode: str) -> Tensor:
    if mode == "max":
        mine = unsqueeze(arange(bags, device=rows.device), 1) == of
        return _largest(rows, mine & counted)
    rows = rows if factors is None else rows * unsqueeze(factors, 1)
    counted = unsqueeze(counted, 1)
    empty = zeros(Spec((bags, rows.shape[1]), rows._held.dtype), (rows,))
    total = _added(empty, apply(choosing.where, (counted, rows, 0.0)), of)
    if mode == "sum":
        return total
    count = _added(zeros(Spec((bags, 1), rows._held.dtype), (rows,)), in_dtype_of(rows, counted), of)
    return total / count.clamp(min=1.0)


def _largest(rows: Tensor, mine: Tensor) -> Tensor:
    """Of the rows in each bag the largest elements, of which the first gets the gradient; 0 for bags of nothing."""
    if not rows.shape[0]:
        return zeros(Spec((mine.shape[0], rows.shape[1]), rows._held.dtype), (rows,))
    apart = apply(choosing.where, (unsqueeze(mine, 2), unsqueeze(rows, 0), -np.inf))
    found = max_of(apart, 1)[0]
    return apply(choosing.where, (mine.any(1, keepdim=True), found, 0.0))
