"""Distances of vectors, and the losses that compare them."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from jitgrad.functions.data import tensor
from jitgrad.functions.face import face
from jitgrad.functions.indexing import index_select
from jitgrad.functions.nn.reducing import reduced, reduction_of
from jitgrad.functions.operands import in_dtype_of
from jitgrad.ops import choosing
from jitgrad.ops.norms import norm
from jitgrad.ops.shapes import axis
from jitgrad.record.apply import apply
from jitgrad.record.checking import floating
from jitgrad.record.precision import in_single
from jitgrad.tensors.tensor import Tensor


def _norm(x: Tensor, p: float, dim: int, keepdim: bool = False) -> Tensor:
    return apply(norm, (x,), {"dim": (axis(dim, x.ndim),) if x.ndim else (), "keepdim": keepdim, "p": float(p)})


def _at_least(x: Tensor, bound: float) -> Tensor:
    """`x` bounded below, without a change of its gradient."""
    return x + (x.clamp(min=bound) - x).detach()


@face(top=True)
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The inner product along `dim` of vectors divided by their lengths, which count as `eps` at least."""
    if not x1.dtype.is_floating_point:
        floating("cosine_similarity", x2)
        x1 = in_dtype_of(x2, x1)
    elif not x2.dtype.is_floating_point:
        x2 = in_dtype_of(x1, x2)
    return _cosine(x1, x2, dim, eps)


@in_single
def _cosine(x: Tensor, y: Tensor, dim: int, eps: float) -> Tensor:
    try:
        shape = np.broadcast_shapes(tuple(x.shape), tuple(y.shape))
    except ValueError:
        raise RuntimeError(f"cosine_similarity: shapes {list(x.shape)} and {list(y.shape)} do not broadcast") from None
    x, y = (v if tuple(v.shape) == shape else v.expand(*shape) for v in (x, y))
    parts = [v / _at_least(_norm(v, 2.0, dim, keepdim=True), eps) for v in (x, y)]
    return (parts[0] * parts[1]).sum(dim)


@face(top=True)
def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The p-norm along the last dimension of x1 - x2 + eps."""
    return _distance(x1, x2, p, eps, keepdim)


@in_single
def _distance(x: Tensor, y: Tensor, p: float, eps: float, keepdim: bool) -> Tensor:
    return _norm(x - y + eps, p, -1, keepdim)


@face(top=True)
def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """The p-norms of the differences of all pairs of rows, those of the first row first."""
    if input.ndim != 2:
        raise RuntimeError(f"pdist: input has shape (n, d), and not {list(input.shape)}")
    if not p >= 0:
        raise RuntimeError(f"pdist: p must not be negative, and it is {p}")
    floating("pdist", input)
    return _pairs(input, p)


@in_single
def _pairs(x: Tensor, p: float) -> Tensor:
    first, second = (tensor(places, device=x.device) for places in np.triu_indices(x.shape[0], 1))
    return _norm(index_select(x, 0, first) - index_select(x, 0, second), p, -1)


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """x where the target is 1, max(0, margin - x) where it is -1."""
    apart = apply(choosing.where, (target != 1, (margin - input).clamp(min=0.0), 0.0))
    loss = apply(choosing.where, (target != -1, input, 0.0)) + apart
    return reduced(loss, reduction_of(reduction, size_average, reduce))


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, margin - t (x1 - x2)), t being 1 where x1 should be the larger one, and -1 elsewhere."""
    _of_one_rank("margin_ranking_loss", input1, input2, target)
    return reduced(_ranked(input1, input2, target, margin), reduction_of(reduction, size_average, reduce))


@in_single
def _ranked(x: Tensor, y: Tensor, t: Tensor, margin: float) -> Tensor:
    return (-t * (x - y) + margin).clamp(min=0.0 if x.dtype.is_floating_point else 0)


def _of_one_rank(name: str, *tensors: Tensor) -> None:
    if len({x.ndim for x in tensors}) > 1:
        raise RuntimeError(f"{name}: as many dimensions are needed in each of the shapes {[list(x.shape) for x in tensors]}")


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """1 - cos where the target is 1, max(0, cos - margin) where it is -1, for vectors (n, d) and targets (n), or one of each."""
    if target.ndim > 1 or input1.ndim != target.ndim + 1 or input2.ndim != target.ndim + 1:
        shapes = [list(x.shape) for x in (input1, input2, target)]
        raise RuntimeError(f"cosine_embedding_loss: inputs (n, d) and a target (n), or (d) and (), are needed, not {shapes}")
    loss = _turned(input1, input2, target, margin)
    return reduced(loss, reduction_of(reduction, size_average, reduce))


@in_single
def _turned(x: Tensor, y: Tensor, t: Tensor, margin: float) -> Tensor:
    lengths = ((x * x).sum(-1) + 1e-12) * ((y * y).sum(-1) + 1e-12)
    cosine = (x * y).sum(-1) / lengths.sqrt()
    apart = apply(choosing.where, (t == -1, (cosine - margin).clamp(min=0.0), 0.0))
    return apply(choosing.where, (t == 1, 1 - cosine, 0.0)) + apart


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, margin + the distance to what is alike - that to what is not).

    With `swap` the distance of the two others is taken where it is smaller than the latter (Balntas et al., 2016).
    """
    distance = functools.partial(pairwise_distance, p=p, eps=eps)
    reduction = reduction_of(reduction, size_average, reduce)
    return _triplets("triplet_margin_loss", (anchor, positive, negative), distance, margin, swap, reduction)


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """`triplet_margin_loss` of any distance; without one it is `pairwise_distance`."""
    distance = pairwise_distance if distance_function is None else distance_function
    name = "triplet_margin_with_distance_loss"
    return _triplets(name, (anchor, positive, negative), distance, margin, swap, reduction)


def _triplets(
    name: str, triplets: tuple[Tensor, Tensor, Tensor], distance: Callable, margin: float, swap: bool, reduction: str
) -> Tensor:
    if not margin > 0:
        raise ValueError(f"{name}: margin must be positive, and it is {margin}")
    _of_one_rank(name, *triplets)
    anchor, positive, negative = triplets
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = apply(choosing.minimum, (far, distance(positive, negative)))
    return reduced((margin + near - far).clamp(min=0.0), reduction)
