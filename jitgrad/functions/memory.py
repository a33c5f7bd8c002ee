"""Tensors made of memory that is there, or laid out as one asks for."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.functions import creation, data
from jitgrad.functions.face import face
from jitgrad.functions.shaping import permute
from jitgrad.functions.sizes import shape_of
from jitgrad.functions.windows import as_strided
from jitgrad.tensors.tensor import Tensor


def _required(made: Tensor, requires_grad: bool) -> Tensor:
    return made if requires_grad is False else made.requires_grad_(requires_grad)


def asarray(obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None, requires_grad: bool = False) -> Tensor:
    """`obj` (a tensor, an array, numbers, a buffer of bytes) as a tensor, which shares its memory where it can.

    With `copy=True` it is a copy, with `copy=False` one is refused (ValueError). A tensor that comes without history, as with
    `requires_grad=False`, is detached.

    >>> import jitgrad, numpy
    >>> jitgrad.asarray(numpy.arange(3.0), dtype=jitgrad.float32)
    tensor([0., 1., 2.])
    """
    given = np.frombuffer(obj, np.uint8) if isinstance(obj, (bytes, bytearray, memoryview)) else obj
    found = data.as_tensor(given, dtype, device)
    shares = found is given or (isinstance(given, np.ndarray) and given.dtype == found._held.dtype and not found.is_cuda)
    if copy is False and not shares:
        raise ValueError("asarray: this takes a copy, of numbers or to another dtype or device, and copy=False forbids that")
    if copy and shares:
        found = found.clone()
    if found.requires_grad and not requires_grad:
        return found.detach()
    return found if found.requires_grad else _required(found, requires_grad)


def frombuffer(buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False) -> Tensor:
    """What a buffer of bytes holds, from the byte `offset` on, as a tensor of one dimension that shares its memory.

    ValueError for an empty buffer, or one that is too short or no whole number of elements long.

    >>> import jitgrad
    >>> jitgrad.frombuffer(bytearray([1, 0, 2, 0]), dtype=jitgrad.int16)
    tensor([1, 2], dtype=jitgrad.int16)
    """
    wanted = dtypes.to_numpy(dtype)
    if not 0 <= offset < memoryview(buffer).nbytes:
        raise ValueError(f"frombuffer: offset {offset} is not within the {memoryview(buffer).nbytes} bytes that there are")
    try:
        return _required(data.from_numpy(np.frombuffer(buffer, wanted, count, offset)), requires_grad)
    except ValueError as error:
        raise ValueError(f"frombuffer: {error}") from None


def from_file(
    filename: str, shared: bool | None = None, size: int | None = 0, *, dtype: Any = None, requires_grad: bool = False
) -> Tensor:
    """The first `size` elements of a file, which is not read but seen as memory; with `shared` changes are written to it."""
    wanted = dtypes.default() if dtype is None else dtypes.to_numpy(dtype)
    mapped = np.memmap(filename, wanted, "r+" if shared else "c", shape=(size or 0,))
    return _required(data.from_numpy(np.asarray(mapped)), requires_grad)


def empty_strided(size: Any, stride: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Arbitrary values in memory that is as long as these strides need.

    RuntimeError for a stride that is negative, or another number of them than of sizes.

    >>> import jitgrad
    >>> jitgrad.empty_strided((2, 3), (1, 2)).stride()
    (1, 2)
    """
    sizes = shape_of("empty_strided", (size,))
    if len(sizes) != len(stride) or any(step < 0 for step in stride):
        raise RuntimeError(
            f"empty_strided: stride={tuple(stride)} must be as many steps of 0 or more as there are sizes, {sizes}"
        )
    length = 0 if 0 in sizes else 1 + sum((n - 1) * step for n, step in zip(sizes, stride))
    flat = creation.empty(length, dtype=dtype, device=device)
    return _required(as_strided(flat, sizes, tuple(stride)).detach(), requires_grad)


@face(top=False, method=True)
def new_empty_strided(
    input: Tensor, size: Any, stride: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Arbitrary values in these strides, in the dtype and on the device of this tensor unless others are given."""
    there = {"dtype": dtype or input.dtype, "device": device or input.device}
    return empty_strided(size, stride, **there, requires_grad=requires_grad)


def empty_permuted(
    size: Any, physical_layout: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Arbitrary values whose dimensions lie in memory in the order `physical_layout`, the slowest first.

    >>> import jitgrad
    >>> jitgrad.empty_permuted((2, 3), (1, 0)).stride()
    (1, 2)
    """
    sizes, order = shape_of("empty_permuted", (size,)), tuple(physical_layout)
    if sorted(order) != list(range(len(sizes))):
        raise RuntimeError(f"empty_permuted: {order} is no order of the {len(sizes)} dimensions: name each of them once")
    made = creation.empty(tuple([sizes[d] for d in order]), dtype=dtype, device=device)
    return _required(permute(made, [order.index(d) for d in range(len(sizes))]).detach(), requires_grad)
