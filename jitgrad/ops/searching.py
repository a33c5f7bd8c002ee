"""Where values belong in sequences that are sorted."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.ops.choosing import cast, clamp, le, logical_and, lt, ne, where
from jitgrad.ops.indexing import gather
from jitgrad.ops.reductions import COUNT
from jitgrad.ops.shapes import Spec
from jitgrad.ops.table import Op, register


def _halving(x: Any, y: Any, right: bool) -> Any:
    """Binary search for all values at once: each step decides one bit of how many elements come before them."""
    n, before = x.shape[-1], le if right else lt
    count = cast(ne(y, y), dtype=COUNT) * 0
    for bit in reversed(range(n.bit_length())):
        more = count + (1 << bit)
        tried = gather(x, clamp(more, min=None, max=n) - 1, dim=x.ndim - 1)
        count = where(logical_and(le(more, n), before(tried, y)), more, count)
    return where(ne(y, y), n, count)


def _searched(x: Any, y: Any, right: bool) -> Any:
    if x.ndim > 1:
        return _halving(x, y, right)
    return np.where(y != y, len(x), np.searchsorted(x, y, "right" if right else "left"))


SORTED = np.array([[0, 1, 1, 4, 6, 6, 7], [1, 2, 3, 4, 5, 6, 9]])  # of integers, which tests lay out in no other way
VALUES = np.array([[1, 6, -3], [5, 10, 1]])
sorted_places = Op(
    _searched,
    kind="linalg",
    inputs=("x", "y"),
    output="z",
    result="integer",
    exact=True,
    internal=True,
    lower=_halving,
    numpy=True,
    shape=lambda x, y, right: Spec(y.shape, COUNT),
    samples=lambda: [([SORTED[0], VALUES[0]], {"right": False}), ([SORTED, VALUES], {"right": True})],
    oracle="np.sum(x[..., None, :] <= y[..., None] if right else x[..., None, :] < y[..., None], -1)",
)
"""How many elements of x, sorted along its last dimension, come before each of y, whose other dimensions are those of x."""

register(globals())
