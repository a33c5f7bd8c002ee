"""DLPack by the names of `torch.utils.dlpack`: capsules, which hand memory to other libraries without a copy."""

from __future__ import annotations

from typing import Any

from jitgrad.functions.data import from_dlpack
from jitgrad.tensors.tensor import Tensor

__all__ = ["from_dlpack", "to_dlpack"]


def to_dlpack(tensor: Tensor) -> Any:
    """A capsule of the values of a tensor, in the same memory, which one `from_dlpack` may take, of this or another library.

    `tensor.__dlpack__()`, which libraries call themselves where they are given the tensor. `TypeError` for what is no tensor.

    >>> import jitgrad
    >>> x = jitgrad.ones(2)
    >>> y = jitgrad.utils.dlpack.from_dlpack(jitgrad.utils.dlpack.to_dlpack(x))
    >>> x.mul_(3), y
    (tensor([3., 3.]), tensor([3., 3.]))
    """
    if not isinstance(tensor, Tensor):
        raise TypeError(f"to_dlpack takes a tensor, not {type(tensor).__name__}")
    return tensor.__dlpack__()
