"""Elements at indices, and where a mask is true."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.functions.face import face
from jitgrad.functions.numeric import nonzero
from jitgrad.functions.operands import times
from jitgrad.functions.positions import check_index, check_positions, is_bool
from jitgrad.functions.shaping import expand, reshape, stack
from jitgrad.ops.choosing import lt, ne, where
from jitgrad.ops.indexing import Slot
from jitgrad.ops.indexing import gather as gather_op
from jitgrad.ops.indexing import index_add as index_add_op
from jitgrad.ops.indexing import scatter_add as scatter_op
from jitgrad.ops.movement import sizes as sizes_of
from jitgrad.ops.shapes import axis
from jitgrad.record.apply import apply
from jitgrad.record.precision import in_single
from jitgrad.record.trace import made_here
from jitgrad.tensors.given import filling
from jitgrad.tensors.tensor import Tensor, wrap


@face(exact=True)
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices along `dim` that a 1-d integer tensor names."""
    d = axis(dim, input.ndim)
    if isinstance(index, Tensor) and index.ndim > 1:
        raise IndexError(f"index_select: index must have one dimension, not shape {list(index.shape)}")
    checked = reshape(check_positions("index_select", index, input.shape[d] if input.ndim else 1, d, input.shape), -1)
    if not input.ndim and checked.numel() != 1:
        raise RuntimeError(f"index_select: a 0-d tensor has one element, and {checked.numel()} are asked for")
    return input[(slice(None),) * d + (checked,)] if input.ndim else input.clone()


@face(exact=True)
def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """`input[..., index[i, j, k], ...]`: the elements that `index` names along `dim`, in the shape of `index`.

    Gradients are never sparse.
    """
    d, checked = check_index("gather", input, dim, index)
    if not input.ndim and checked.ndim:
        input = reshape(input, 1)
    elif input.ndim and not checked.ndim:
        checked = reshape(checked, 1)
    out = apply(gather_op, (input, checked), {"dim": d})
    return out if out.ndim == index.ndim else reshape(out, tuple(index.shape))


@face(inplace=True)
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """`input` with `src[i, j, k]` added at `[..., index[i, j, k], ...]`."""
    d, checked = check_index("scatter_add", input, dim, index)
    if src._held.dtype != input._held.dtype:
        raise RuntimeError(f"scatter_add: src is {src.dtype.name} and the tensor {input.dtype.name}: they must be equal")
    if not index.numel():
        return input.clone()
    if any(i > n for i, n in zip(index.shape, src.shape)) or src.ndim != index.ndim:
        raise RuntimeError(f"scatter_add: index of shape {list(index.shape)} is larger than src of shape {list(src.shape)}")
    return _scattered(input, checked, src, d)


@in_single
def _scattered(input: Tensor, index: Tensor, src: Tensor, dim: int) -> Tensor:
    return apply(scatter_op, (input, index, src), {"dim": dim})


@face(inplace=True)
def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> Tensor:
    """`input` with the slices of `alpha * source` added at the places along `dim` that a 1-d integer tensor names."""
    d = axis(dim, input.ndim)
    checked = check_positions("index_add", index, input.shape[d] if input.ndim else 1, d, input.shape)
    wanted = (*input.shape[:d], index.numel(), *input.shape[d + 1 :]) if input.ndim else ()
    if not input.ndim and index.numel() != 1:
        raise IndexError(f"index_add: a 0-d tensor has one element, and {index.numel()} places are named")
    if tuple(source.shape) != wanted or source._held.dtype != input._held.dtype:
        raise RuntimeError(
            f"index_add: source must be {input.dtype.name} of shape {list(wanted)}, and it is "
            f"{source.dtype.name} of shape {list(source.shape)}"
        )
    if not input.ndim:
        return reshape(_added_at(reshape(input, 1), reshape(source, 1), reshape(checked, 1), 0, alpha), ())
    return _added_at(input, source, checked, d, alpha)


@in_single
def _added_at(input: Tensor, source: Tensor, index: Tensor, dim: int, alpha: Any) -> Tensor:
    where_ = (*(slice(None),) * dim, Slot(0))
    return apply(index_add_op, (input, source if alpha == 1 else times(source, alpha), index), {"index": where_})


@face(inplace=True)
def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """`value` where `mask` (bool, broadcast to the tensor) is true, `input` elsewhere."""
    if not is_bool(mask):
        raise RuntimeError(
            f"masked_fill: the mask must be a bool tensor, not "
            f"{getattr(getattr(mask, 'dtype', None), 'name', type(mask).__name__)}"
        )
    if isinstance(value, Tensor) and value.ndim:
        raise RuntimeError(f"masked_fill: the value must be one number, not of shape {list(value.shape)}: use where()")
    return apply(where, (mask, filling(value, input._held.dtype), input))


@face(exact=True)
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where `mask` (bool) is true, in one dimension; tensor and mask are broadcast against each other."""
    if not is_bool(mask):
        raise RuntimeError(
            f"masked_select: the mask must be a bool tensor, not "
            f"{getattr(getattr(mask, 'dtype', None), 'name', type(mask).__name__)}"
        )
    try:
        shape = np.broadcast_shapes(input.shape, mask.shape)
    except ValueError:
        raise RuntimeError(
            f"masked_select: a mask of shape {list(mask.shape)} and a tensor of shape {list(input.shape)} do not broadcast"
        ) from None
    if not shape:
        return reshape(input, 1)[reshape(mask, 1)]
    return expand(input, *shape)[mask if tuple(mask.shape) == shape else expand(mask, *shape)]


@face(exact=True)
def take(input: Tensor, index: Tensor) -> Tensor:
    """The elements that `index` names, counted through all in order, in the shape of `index`."""
    if not isinstance(index, Tensor) or index.dtype.name != "int64":
        raise RuntimeError("take: index must be an int64 tensor")
    if not input.numel() and index.numel():
        raise IndexError("take: an empty tensor has no elements to take")
    return reshape(reshape(input, -1)[reshape(index, -1)], tuple(index.shape))


@face(exact=True)
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """The elements that `indices` names along `dim` for each place along the others, which are broadcast; or of all."""
    if not isinstance(indices, Tensor) or indices.dtype.name != "int64":
        raise RuntimeError("take_along_dim: indices must be an int64 tensor")
    if dim is None:
        return take_along_dim(reshape(input, -1), reshape(indices, -1), 0)
    d = axis(dim, input.ndim)
    if input.ndim != indices.ndim:
        raise RuntimeError(
            f"take_along_dim: the tensor has {input.ndim} dimensions and indices {indices.ndim}: they must be equal"
        )
    if not input.ndim:
        return gather(input, d, indices)
    try:
        shape = np.broadcast_shapes(_but(input, d), _but(indices, d))
    except ValueError:
        raise RuntimeError(
            f"take_along_dim: shapes {list(input.shape)} and {list(indices.shape)} do not broadcast beside dim={dim}"
        ) from None
    x, picked = (expand(v, (*shape[:d], v.shape[d], *shape[d + 1 :])) for v in (input, indices))
    counted = apply(where, (apply(lt, (picked, 0)), picked + input.shape[d], picked))
    return gather(x, d, counted)


def _but(x: Tensor, d: int) -> tuple[int, ...]:
    """The shape with a 1 at one dimension."""
    return (*x.shape[:d], 1, *x.shape[d + 1 :])


def argwhere(input: Tensor) -> Tensor:
    """Where the elements that are not zero stand, a row of indices each."""
    return nonzero(input)


@face(method=False)
def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """The indices in each dimension of a tensor of that shape of elements that are counted in row-major order."""
    sizes = sizes_of((shape,) if isinstance(shape, (tuple, list)) else ((shape,),))
    if not isinstance(indices, Tensor) or indices.dtype.name not in ("uint8", "int8", "int16", "int32", "int64"):
        raise ValueError("unravel_index: indices must be an integer tensor")
    if any(n < 0 for n in sizes):
        raise ValueError(f"unravel_index: sizes must not be negative, and the shape is {sizes}")
    found, rest = [], indices
    for n in reversed(sizes):
        found.append(rest % n)
        rest = rest // n
    return tuple(reversed(found))


def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1) -> Tensor:
    """The first `size` rows of `nonzero`, filled up with `fill_value` where there are fewer: a shape that does not depend on
    values, so that it can be had under `jit`."""
    if not isinstance(size, int) or size < 0:
        raise RuntimeError(f"nonzero_static: size must be an int that is not negative, not {size!r}")
    hit = reshape(apply(ne, (input, 0)), -1)
    count = hit.numel()
    places = made_here(wrap(np.arange(count)))
    target = apply(where, (hit, hit.cumsum(0) - 1, size)).clamp(max=size)  # all that are not wanted go to one more place
    flat = scatter_add(made_here(wrap(np.zeros(size + 1, np.int64))), 0, target, places)[:size]
    found = stack(unravel_index(flat, tuple(input.shape)), 1) if input.ndim else reshape(flat, (size, 1))[:, :0]
    there = made_here(wrap(np.arange(size).reshape(size, 1)))
    return apply(where, (apply(lt, (there, hit.sum())), found, fill_value))
