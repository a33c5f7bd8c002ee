"""Elements at indices, and where a mask is true."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.functions.face import face
from jitgrad.functions.operands import times
from jitgrad.functions.shaping import expand, reshape
from jitgrad.ops.choosing import cast, where
from jitgrad.ops.indexing import Slot, within
from jitgrad.ops.indexing import gather as gather_op
from jitgrad.ops.indexing import index_add as index_add_op
from jitgrad.ops.indexing import scatter_add as scatter_op
from jitgrad.ops.shapes import axis
from jitgrad.record.apply import apply
from jitgrad.record.leaving import refuse_masked
from jitgrad.record.precision import in_single
from jitgrad.record.trace import comes_later
from jitgrad.tensors.given import fitting, numbers
from jitgrad.tensors.tensor import Tensor


def _check_positions(what: str, index: Any, size: int, dim: int, shape: Any) -> Tensor:
    """The index, its numbers checked to be 0 to size - 1: no counting from the end here, as in PyTorch.

    Where they are not known yet, a row checks them at every call.
    """
    refuse_masked(index)
    if not isinstance(index, Tensor) or index.dtype.name not in ("int64", "int32"):
        kind = index.dtype.name if isinstance(index, Tensor) else type(index).__name__
        raise RuntimeError(f"{what}: index must be an int64 tensor, not {kind}")
    if (comes_later(index) or index.is_cuda) and size < 1 << 31:
        return apply(within, (index,), {"size": size, "what": what})
    if index._value is not None and index.numel():
        low, high = int(index._value.min()), int(index._value.max())
        if low < 0 or high >= size:
            error = IndexError if what == "index_select" else RuntimeError  # as in PyTorch
            raise error(
                f"{what}: index {low if low < 0 else high} is out of range for dimension {dim}, which "
                f"has size {size} (shape {list(shape)}): use 0 to {size - 1}"
            )
    return index if index.dtype.name == "int64" else apply(cast, (index,), {"dtype": np.dtype(np.int64)})


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices along `dim` that a 1-d integer tensor names."""
    d = axis(dim, input.ndim)
    if isinstance(index, Tensor) and index.ndim > 1:
        raise IndexError(f"index_select: index must have one dimension, not shape {list(index.shape)}")
    checked = reshape(_check_positions("index_select", index, input.shape[d] if input.ndim else 1, d, input.shape), -1)
    if not input.ndim and checked.numel() != 1:
        raise RuntimeError(f"index_select: a 0-d tensor has one element, and {checked.numel()} are asked for")
    return input[(slice(None),) * d + (checked,)] if input.ndim else input.clone()


def _check_index(what: str, input: Tensor, dim: int, index: Tensor) -> tuple[int, Tensor]:
    d = axis(dim, input.ndim)
    shape = input.shape
    checked = _check_positions(what, index, shape[d] if input.ndim else 1, d, shape)
    if index.ndim != input.ndim and index.numel():
        raise RuntimeError(f"{what}: index has {index.ndim} dimensions and the tensor {input.ndim}: they must be equal")
    if not index.numel() and index.ndim != input.ndim:
        checked = reshape(checked, (0,) * input.ndim)
    if any(i > n for k, (i, n) in enumerate(zip(checked.shape, shape)) if k != d):
        raise RuntimeError(f"{what}: index of shape {list(index.shape)} is larger than {list(shape)} beside dim={dim}")
    return d, checked


def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """`input[..., index[i, j, k], ...]`: the elements that `index` names along `dim`, in the shape of `index`."""
    d, checked = _check_index("gather", input, dim, index)
    out = apply(gather_op, (input, checked), {"dim": d})
    return out if out.ndim == index.ndim else reshape(out, tuple(index.shape))


@face(inplace=True)
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """`input` with `src[i, j, k]` added at `[..., index[i, j, k], ...]`."""
    d, checked = _check_index("scatter_add", input, dim, index)
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
    checked = _check_positions("index_add", index, input.shape[d] if input.ndim else 1, d, input.shape)
    wanted = (*input.shape[:d], index.numel(), *input.shape[d + 1 :])
    if tuple(source.shape) != wanted or source._held.dtype != input._held.dtype:
        raise RuntimeError(
            f"index_add: source must be {input.dtype.name} of shape {list(wanted)}, and it is "
            f"{source.dtype.name} of shape {list(source.shape)}"
        )
    return _added_at(input, source, checked, d, alpha)


@in_single
def _added_at(input: Tensor, source: Tensor, index: Tensor, dim: int, alpha: Any) -> Tensor:
    where_ = (*(slice(None),) * dim, Slot(0))
    return apply(index_add_op, (input, source if alpha == 1 else times(source, alpha), index), {"index": where_})


@face(inplace=True)
def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """`value` where `mask` (bool, broadcast to the tensor) is true, `input` elsewhere."""
    if not isinstance(mask, Tensor) or mask._held.dtype != bool:
        raise RuntimeError(
            f"masked_fill: the mask must be a bool tensor, not "
            f"{getattr(getattr(mask, 'dtype', None), 'name', type(mask).__name__)}"
        )
    if isinstance(value, Tensor) and value.ndim:
        raise RuntimeError(f"masked_fill: the value must be one number, not of shape {list(value.shape)}: use where()")
    dtype = input._held.dtype
    fill = apply(cast, (fitting(value, dtype),), {"dtype": dtype}) if isinstance(value, Tensor) else numbers(value, dtype)
    return apply(where, (mask, fill, input))


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where `mask` (bool) is true, in one dimension; tensor and mask are broadcast against each other."""
    if not isinstance(mask, Tensor) or mask._held.dtype != bool:
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
