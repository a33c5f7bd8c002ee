"""Views' twins that copy: the same elements in memory of their own, in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jitgrad.functions import complexes, diagonals, joining, shaping, windows
from jitgrad.functions.face import face
from jitgrad.functions.positions import along
from jitgrad.record.apply import copied
from jitgrad.tensors.tensor import Tensor


@face(method=False)
def alias_copy(input: Tensor) -> Tensor:
    """A copy of the tensor."""
    return copied(input)


@face(method=False)
def detach_copy(input: Tensor) -> Tensor:
    """A copy of the tensor without history."""
    return copied(input.detach())


@face(method=False)
def view_copy(input: Tensor, size: Any, dtype: Any = None) -> Tensor:
    """A copy in another shape."""
    return copied(shaping.reshape(input, size))


@face(method=False)
def expand_copy(input: Tensor, size: Any, *, implicit: bool = False) -> Tensor:
    """A copy repeated along dimensions of size 1 and new ones in front; `implicit` is accepted and says nothing."""
    return copied(shaping.expand(input, size))


@face(method=False)
def permute_copy(input: Tensor, dims: Any) -> Tensor:
    """A copy with the dimensions in another order."""
    return copied(shaping.permute(input, dims))


@face(method=False)
def t_copy(input: Tensor) -> Tensor:
    """A copy of the transpose of a matrix."""
    return copied(shaping.t(input))


@face(method=False)
def transpose_copy(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """A copy with two dimensions swapped."""
    return copied(shaping.transpose(input, dim0, dim1))


@face(method=False)
def squeeze_copy(input: Tensor, dim: Any = None) -> Tensor:
    """A copy without dimensions of size 1: all, or those in `dim`."""
    return copied(shaping.squeeze(input, dim))


@face(method=False)
def unsqueeze_copy(input: Tensor, dim: int) -> Tensor:
    """A copy with a dimension of size 1 inserted at `dim`."""
    return copied(shaping.unsqueeze(input, dim))


def narrow_copy(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """A copy of the part of `length` from `start` on along `dim`."""
    return copied(input.narrow(dim, start, length))


@face(method=False)
def select_copy(input: Tensor, dim: int, index: int) -> Tensor:
    """A copy of the slice at `index` along `dim`."""
    return copied(shaping.select(input, dim, index))


@face(method=False)
def slice_copy(input: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Tensor:
    """A copy of the slices from `start` to `end`, `step` apart, along `dim`."""
    return copied(input[along(input, dim, start, end, step)])


@face(method=False)
def diagonal_copy(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """A copy of the diagonal of two dimensions."""
    return copied(diagonals.diagonal(input, offset, dim1, dim2))


@face(method=False)
def unfold_copy(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """A copy of the windows along a dimension."""
    return copied(windows.unfold(input, dimension, size, step))


@face(method=False)
def view_as_real_copy(input: Tensor) -> Tensor:
    """A copy of real and imaginary parts along a new last dimension."""
    return copied(complexes.view_as_real(input))


@face(method=False)
def view_as_complex_copy(input: Tensor) -> Tensor:
    """A copy of the complex numbers whose parts stand along the last dimension, of size 2."""
    return copied(complexes.view_as_complex(input))


@face(method=False)
def as_strided_copy(input: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """A copy of what the memory of a tensor shows in other strides."""
    return copied(windows.as_strided(input, size, stride, storage_offset))


def _each(pieces: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return tuple([copied(x) for x in pieces])


@face(method=False)
def unbind_copy(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Copies of the slices along `dim`."""
    return _each(input.unbind(dim))


@face(method=False)
def split_copy(input: Tensor, split_size: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Copies of pieces along `dim`."""
    return _each(shaping.split(input, split_size, dim))


@face(method=False)
def split_with_sizes_copy(input: Tensor, split_sizes: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Copies of pieces of the given sizes along `dim`."""
    return _each(joining.split_with_sizes(input, split_sizes, dim))
