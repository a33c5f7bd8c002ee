"""Diagonals and triangles of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.functions.data import tensor
from jitgrad.functions.face import face
from jitgrad.functions.shaping import reshape
from jitgrad.ops.choosing import where
from jitgrad.ops.movement import sizes as sizes_of
from jitgrad.ops.shapes import axis
from jitgrad.ops.strided import put_strided, strided, unstrided
from jitgrad.record.apply import apply
from jitgrad.record.trace import made_here
from jitgrad.tensors.given import filling
from jitgrad.tensors.inplace import overwrite
from jitgrad.tensors.tensor import Tensor
from jitgrad.tensors.tensor import wrap as wrap_


def _two(what: str, ndim: int, dim1: int, dim2: int) -> tuple[int, int]:
    """Two dimensions that differ."""
    if ndim < 2:
        raise IndexError(f"{what} needs a tensor of at least 2 dimensions, and this has {ndim}")
    first, second = axis(dim1, ndim, what="dim1"), axis(dim2, ndim, what="dim2")
    if first == second:
        raise RuntimeError(f"{what}: dim1={dim1} and dim2={dim2} are one dimension: a diagonal goes through two")
    return first, second


def _along_diagonal(shape: tuple[int, ...], offset: int, dim1: int, dim2: int) -> dict[str, Any]:
    """What `strided` looks at: the other dimensions, and then the diagonal of these two, `offset` to the right."""
    rest = [d for d in range(len(shape)) if d not in (dim1, dim2)]
    down, right = max(-offset, 0), max(offset, 0)
    length = max(min(shape[dim1] - down, shape[dim2] - right), 0)
    start = tuple([{dim1: down, dim2: right}.get(d, 0) if length else 0 for d in range(len(shape))])
    steps = [tuple([int(k == d) for k in range(len(shape))]) for d in rest]
    steps.append(tuple([int(k in (dim1, dim2)) for k in range(len(shape))]))
    return {"sizes": (*[shape[d] for d in rest], length), "start": start, "steps": tuple(steps)}


def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal of two dimensions, as the last one of a view; `offset` to the right of the main one, or below if negative."""
    first, second = _two("diagonal", input.ndim, dim1, dim2)
    return apply(strided, (input,), _along_diagonal(tuple(input.shape), offset, first, second))


def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices, in two new dimensions, with the last dimension of `input` on a diagonal and zeros elsewhere."""
    if not input.ndim:
        raise IndexError("diag_embed: a 0-d tensor has no dimension to put on a diagonal")
    first, second = _two("diag_embed", input.ndim + 1, dim1, dim2)
    size = input.shape[-1] + abs(offset)
    shape = list(input.shape[:-1])
    for d in sorted((first, second)):
        shape.insert(d, size)
    sizes_of((shape,))  # which may be more than memory can have
    seen = _along_diagonal(tuple(shape), offset, first, second)
    if not input.shape[-1]:
        return made_here(wrap_(np.zeros(shape, input._held.dtype)))
    return apply(unstrided, (input,), {"shape": tuple(shape), "start": seen["start"], "steps": seen["steps"]})


@face(exact=True)
def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """The diagonal of a matrix, as a copy, or a matrix with a 1-d tensor on its diagonal."""
    if input.ndim not in (1, 2):
        raise RuntimeError(f"diag takes 1 or 2 dimensions, and the tensor has {input.ndim}: see diagonal and diag_embed")
    return diag_embed(input, diagonal) if input.ndim == 1 else _diagonal(input, diagonal).clone()


_diagonal = diagonal


def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """A matrix with all elements of a tensor on its diagonal."""
    return diag_embed(reshape(input, -1), offset)


def trace(input: Tensor) -> Tensor:
    """The sum of the diagonal of a matrix."""
    if input.ndim != 2:
        raise RuntimeError(f"trace takes a matrix, not a tensor of shape {list(input.shape)}")
    return diagonal(input).sum()


def _triangle(what: str, input: Tensor, diagonal: int, lower: bool) -> Tensor:
    if input.ndim < 2:
        raise RuntimeError(f"{what} needs a tensor of at least 2 dimensions, and this has {input.ndim}")
    diagonal = max(min(diagonal, input.shape[-1] + 1), -input.shape[-2] - 1)
    below = np.tri(input.shape[-2], input.shape[-1], diagonal if lower else diagonal - 1, dtype=bool)
    mask = made_here(wrap_(below if lower else ~below))
    return apply(where, (mask, input, False if input.dtype.name == "bool" else 0))


@face(inplace=True, exact=True)
def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """The matrices with zeros above the diagonal, or that which is so many to the right of it."""
    return _triangle("tril", input, diagonal, True)


@face(inplace=True, exact=True)
def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """The matrices with zeros below the diagonal, or that which is so many to the right of it."""
    return _triangle("triu", input, diagonal, False)


def _indices(what: str, row: int, col: int, offset: int, dtype: Any, device: Any, lower: bool) -> Tensor:
    if row < 0 or col < 0:
        raise RuntimeError(f"{what}: sizes must not be negative, and they are {row} and {col}")
    if dtype is not None and dtypes.to_numpy(dtype).kind not in "iu":
        raise RuntimeError(f"{what}: indices are integers, not {dtypes.of(dtypes.to_numpy(dtype)).name}")
    sizes_of((row, col, 8))  # which may be more than memory can have
    offset = max(min(offset, col), -row)
    found = np.tril_indices(row, offset, col) if lower else np.triu_indices(row, offset, col)
    wanted = np.dtype(np.int64) if dtype is None else dtypes.to_numpy(dtype)
    return tensor(np.stack(found).astype(wanted), device=device)


@face(method=False)
def tril_indices(row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Where the elements of the lower triangle of a matrix of this shape are: their rows, and below their columns."""
    return _indices("tril_indices", row, col, offset, dtype, device, True)


@face(method=False)
def triu_indices(row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Where the elements of the upper triangle of a matrix of this shape are: their rows, and below their columns."""
    return _indices("triu_indices", row, col, offset, dtype, device, False)


def diagonal_scatter(input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """`input` with `src` in the place of its diagonal."""
    first, second = _two("diagonal_scatter", input.ndim, dim1, dim2)
    seen = _along_diagonal(tuple(input.shape), offset, first, second)
    if tuple(src.shape) != seen["sizes"]:
        raise RuntimeError(
            f"diagonal_scatter: src must have the shape of the diagonal, {list(seen['sizes'])}, not {list(src.shape)}"
        )
    return put_strided(input, src.to(input.dtype), **seen)


@face(top=False)
def fill_diagonal_(input: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    """Write one number to the diagonal, in place; of more than 2 dimensions, all equal, to where all indices are.

    With `wrap` the diagonal of a tall matrix begins anew below where it ends.
    """
    shape = tuple(input.shape)
    if len(shape) < 2 or (len(shape) > 2 and len(set(shape)) > 1):
        raise RuntimeError(f"fill_diagonal_ needs a matrix, or dimensions of one size, not shape {list(shape)}")
    mask = np.zeros(shape, bool)
    np.fill_diagonal(mask, True, wrap)
    value = filling(fill_value, input._held.dtype)
    return overwrite(input, apply(where, (made_here(wrap_(mask)), value, input)), "fill_diagonal_")
