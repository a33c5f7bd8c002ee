"""Places that users name: indices that are looked at, and slices along a dimension."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.functions.shaping import reshape
from jitgrad.ops.choosing import cast
from jitgrad.ops.indexing import refuse_outside, within
from jitgrad.ops.shapes import axis
from jitgrad.record.apply import apply
from jitgrad.record.leaving import refuse_masked
from jitgrad.record.trace import comes_later
from jitgrad.tensors.tensor import Tensor


def check_positions(what: str, index: Any, size: int, dim: int, shape: Any) -> Tensor:
    """The index, its numbers checked to be 0 to size - 1: no counting from the end here, as in PyTorch.

    Where they are not known yet, a row checks them at every call.
    """
    refuse_masked(index)
    if isinstance(index, Tensor) and index.dtype.name == "uint8" and not index.numel():  # as PyTorch takes it
        return apply(cast, (index,), {"dtype": np.dtype(np.int64)})
    if not isinstance(index, Tensor) or index.dtype.name not in ("int64", "int32"):
        kind = index.dtype.name if isinstance(index, Tensor) else type(index).__name__
        raise RuntimeError(f"{what}: index must be an int64 tensor, not {kind}")
    if (comes_later(index) or index.is_cuda) and size < 1 << 31:
        return apply(within, (index,), {"size": size, "what": what})
    if index._value is not None:
        refuse_outside(np.asarray(index._value), size, what, f"dimension {dim} (shape {list(shape)})")
    return index if index.dtype.name == "int64" else apply(cast, (index,), {"dtype": np.dtype(np.int64)})


def check_index(what: str, input: Tensor, dim: int, index: Tensor) -> tuple[int, Tensor]:
    d = axis(dim, input.ndim)
    shape = input.shape
    checked = check_positions(what, index, shape[d] if input.ndim else 1, d, shape)
    if max(index.ndim, 1) != max(input.ndim, 1) and index.numel():
        raise RuntimeError(f"{what}: index has {index.ndim} dimensions and the tensor {input.ndim}: they must be equal")
    if not index.numel() and index.ndim != input.ndim:
        checked = reshape(checked, (0,) * input.ndim)
    if input.ndim and any(i > n for k, (i, n) in enumerate(zip(checked.shape, shape)) if k != d):
        raise RuntimeError(f"{what}: index of shape {list(index.shape)} is larger than {list(shape)} beside dim={dim}")
    return d, checked


def along(input: Tensor, dim: int, start: Any, end: Any, step: int) -> tuple:
    """The index of the slices from `start` to `end`, `step` apart, along `dim`."""
    if not input.ndim:
        raise IndexError("a 0-d tensor has no dimension to slice")
    if step <= 0:
        raise RuntimeError(f"the step of a slice must be positive, not {step}")
    return (*[slice(None)] * axis(dim, input.ndim), slice(start, end, step))


def is_bool(mask: Any) -> bool:
    """Whether it is a bool tensor."""
    return isinstance(mask, Tensor) and mask._held.dtype == np.bool_
