"""Shapes and dimensions: what is known of a value before it is computed, and `dim` as rows see it."""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import numpy as np


class Spec(NamedTuple):
    """What is known of a value before it is computed."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)


def axes(dim: Any, ndim: int, *, what: str = "dim") -> tuple[int, ...]:
    """`dim` (None, an int or several) as a sorted tuple of non-negative ints.

    Raises `IndexError` if one is out of range and `RuntimeError` if one appears twice, as PyTorch does.
    """
    if dim is None or (isinstance(dim, (tuple, list)) and len(dim) == 0):
        return tuple(range(ndim))
    many = [axis(d, ndim, what=what) for d in (dim if isinstance(dim, (tuple, list)) else (dim,))]
    if len(set(many)) != len(many):
        raise RuntimeError(f"{what}={dim} names a dimension twice: each may appear once")
    return tuple(sorted(many)) if ndim else ()


def axis(dim: Any, ndim: int, *, what: str = "dim") -> int:
    """One dimension as a non-negative int; `IndexError` out of range. A 0-d tensor accepts 0 and -1."""
    if isinstance(dim, (bool, type)) or not hasattr(dim, "__index__"):
        raise TypeError(f"{what} must be an int, not {type(dim).__name__}")
    d = operator.index(dim)
    bound = max(ndim, 1)
    if not -bound <= d < bound:
        raise IndexError(
            f"{what}={d} is out of range for a tensor with {ndim} dimension{'s' * (ndim != 1)}: use {-bound} to {bound - 1}"
        )
    return d % bound


def reduced_shape(shape: tuple[int, ...], dim: tuple[int, ...], keepdim: bool) -> tuple[int, ...]:
    """The shape after reducing the dimensions `dim`."""
    if keepdim:
        return tuple(1 if i in dim else n for i, n in enumerate(shape))
    return tuple(n for i, n in enumerate(shape) if i not in dim)
