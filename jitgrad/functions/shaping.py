"""Composites that change shapes, put tensors together and take them apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from jitgrad import dtypes
from jitgrad.ops.elementwise import cast, where
from jitgrad.ops.indexing import gather as gather_op
from jitgrad.ops.indexing import index_add as index_add_op
from jitgrad.ops.indexing import scatter_add as scatter_op
from jitgrad.ops.movement import cat as cat_op
from jitgrad.ops.movement import narrow, permute, reshape
from jitgrad.ops.table import axis
from jitgrad.record import apply
from jitgrad.tensor import Tensor


def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """Drop dimensions of size 1: all, or those in `dim`."""
    drop = {axis(d, input.ndim) for d in ((dim,) if isinstance(dim, int) else dim)} if dim is not None else None
    shape = [n for i, n in enumerate(input.shape) if n != 1 or (drop is not None and i not in drop)]
    return apply(reshape, (input,), {"shape": tuple(shape)})


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """Insert a dimension of size 1 at `dim`."""
    d = axis(dim, input.ndim + 1)
    return apply(reshape, (input,), {"shape": (*input.shape[:d], 1, *input.shape[d:])})


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Make the dimensions from `start_dim` to `end_dim` into one."""
    first, last = axis(start_dim, input.ndim), axis(end_dim, input.ndim)
    if first > last:
        raise RuntimeError(f"flatten: start_dim={start_dim} comes after end_dim={end_dim}")
    shape = input.shape
    return apply(reshape, (input,), {"shape": (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])})


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Swap two dimensions."""
    dims = list(range(input.ndim))
    if dims:
        a, b = axis(dim0, input.ndim), axis(dim1, input.ndim)
        dims[a], dims[b] = dims[b], dims[a]
    return apply(permute, (input,), {"dims": tuple(dims)})


def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; RuntimeError for more than two dimensions."""
    if input.ndim > 2:
        raise RuntimeError(f"t() is for at most 2 dimensions, and this tensor has {input.ndim}: use transpose or mT")
    return apply(permute, (input,), {"dims": tuple(reversed(range(input.ndim)))})


def _together(tensors: Sequence[Tensor], what: str) -> list[Tensor]:
    many = list(tensors)
    if not many:
        raise RuntimeError(f"{what} needs at least one tensor")
    for x in many:
        if not isinstance(x, Tensor):
            raise TypeError(f"{what} takes a sequence of tensors, and one item is {type(x).__name__}")
    common = dtypes.result_type((x._held.dtype, x.ndim) for x in many)
    return [x if x._held.dtype == common else apply(cast, (x,), {"dtype": common}) for x in many]


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Put tensors one after the other along `dim`; the other sizes must be equal."""
    many = _together(tensors, "cat")
    if len(many) > 1:  # PyTorch skips empty 1-d tensors
        many = [x for x in many if tuple(x.shape) != (0,)] or many[:1]
    if not many[0].ndim:
        raise RuntimeError("cat: 0-d tensors have no dimension to join along: use stack")
    d = axis(dim, many[0].ndim)
    rest = [(*x.shape[:d], *x.shape[d + 1 :]) for x in many]
    if len({(x.ndim, r) for x, r in zip(many, rest)}) > 1:
        raise RuntimeError(f"cat: sizes must be equal except along dim={dim}, got {[list(x.shape) for x in many]}")
    return apply(cat_op, many, {"dim": d})


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Join tensors of equal shape along a new dimension."""
    many = _together(tensors, "stack")
    if len({tuple(x.shape) for x in many}) > 1:
        raise RuntimeError(f"stack: shapes must be equal, got {[list(x.shape) for x in many]}")
    return cat([unsqueeze(x, axis(dim, many[0].ndim + 1)) for x in many], dim)


def split(input: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces along `dim`: of one size (the last may be smaller), or of the sizes in a list."""
    d = axis(dim, input.ndim)
    size = input.shape[d]
    if isinstance(split_size_or_sections, int):
        step = split_size_or_sections
        if step <= 0:
            raise RuntimeError(f"split: the size of a piece must be positive, not {step}")
        sizes = [min(step, size - start) for start in range(0, size, step)] or [0]
    else:
        sizes = list(split_size_or_sections)
        if sum(sizes) != size:
            raise RuntimeError(f"split: the sizes {sizes} do not add up to {size}, the size of dimension {d}")
    pieces, start = [], 0
    for n in sizes:
        pieces.append(apply(narrow, (input,), {"dim": d, "start": start, "length": n}))
        start += n
    return tuple(pieces)


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` pieces of equal size along `dim`."""
    if chunks <= 0:
        raise RuntimeError(f"chunk: the number of pieces must be positive, not {chunks}")
    return split(input, max(-(-input.shape[axis(dim, input.ndim)] // chunks), 1), dim)


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along `dim`, that dimension removed."""
    d = axis(dim, input.ndim)
    return tuple(input[(slice(None),) * d + (i,)] for i in range(input.shape[d]))


def view_as(input: Tensor, other: Tensor) -> Tensor:
    """`input` in the shape of `other`."""
    return input.view(*other.shape)


def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """`input` repeated to the shape of `other`."""
    return input.expand(*other.shape)


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices along `dim` that a 1-d integer tensor names."""
    d = axis(dim, input.ndim)
    if index.ndim > 1:
        raise IndexError(f"index_select: index must have one dimension, not shape {list(index.shape)}")
    return input[(slice(None),) * d + (index,)] if input.ndim else input


def _check_index(what: str, input: Tensor, dim: int, index: Tensor) -> int:
    if not isinstance(index, Tensor) or index.dtype.name != "int64":
        raise RuntimeError(f"{what}: index must be an int64 tensor")
    if index.ndim != input.ndim:
        raise RuntimeError(f"{what}: index has {index.ndim} dimensions and the tensor {input.ndim}: they must be equal")
    d = axis(dim, input.ndim)
    if any(i > n for k, (i, n) in enumerate(zip(index.shape, input.shape)) if k != d):
        raise RuntimeError(f"{what}: index of shape {list(index.shape)} is larger than {list(input.shape)} beside dim={dim}")
    if index._value is not None and index.numel():
        low, high, size = int(index._value.min()), int(index._value.max()), input.shape[d] if input.ndim else 1
        if low < 0 or high >= size:
            raise IndexError(f"{what}: index {low if low < 0 else high} is out of range for dimension {d} of size {size}")
    return d


def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """`input[..., index[i, j, k], ...]`: along `dim` the elements that `index` names; result of the shape of `index`."""
    return apply(gather_op, (input, index), {"dim": _check_index("gather", input, dim, index)})


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """`input` with `src[i, j, k]` added at `[..., index[i, j, k], ...]`."""
    d = _check_index("scatter_add", input, dim, index)
    if src._held.dtype != input._held.dtype:
        raise RuntimeError(f"scatter_add: src is {src.dtype.name} and the tensor {input.dtype.name}: they must be equal")
    if any(i > n for i, n in zip(index.shape, src.shape)) or src.ndim != index.ndim:
        raise RuntimeError(f"scatter_add: index of shape {list(index.shape)} is larger than src of shape {list(src.shape)}")
    return apply(scatter_op, (input, index, src), {"dim": d})


def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """`input` with the slices of `source` added at the places along `dim` that a 1-d integer tensor names."""
    d = axis(dim, input.ndim)
    from jitgrad.ops.indexing import Slot

    return apply(index_add_op, (input, source, index), {"index": (*(slice(None),) * d, Slot(0))})


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """`value` where `mask` (bool, broadcast to the tensor) is true, `input` elsewhere."""
    if mask._held.dtype != bool:
        raise RuntimeError(f"masked_fill: the mask must be bool, not {mask.dtype.name}")
    return apply(where, (mask, value, input))


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where `mask` is true, in one dimension."""
    return input[mask]
