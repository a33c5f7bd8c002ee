"""The windows of a pool along one dimension, and what is taken over them.

Windows of several dimensions are gone through one dimension at a time: what is largest in a window is the largest of what is
largest in its lines, and the first in the order of memory if lines and elements of equal size are taken in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jitgrad.functions.indexing import gather
from jitgrad.functions.numeric import _max_along, div
from jitgrad.functions.shaping import expand, reshape, squeeze, unsqueeze
from jitgrad.ops import choosing
from jitgrad.ops.indexing import getitem
from jitgrad.ops.strided import sliding, strided
from jitgrad.record.apply import apply
from jitgrad.record.trace import made_here
from jitgrad.tape.device_array import placed_like
from jitgrad.tensors.tensor import Tensor, wrap

MOST_STEPS = 16
"""In larger windows than that the elements of one are looked at together; in small ones the first of all windows, then the
second of all, and so on, in long loops."""


def where_(mask: Tensor, x: Any, y: Any) -> Tensor:
    """The row, without what the function accepts beside."""
    return apply(choosing.where, (mask, x, y))


class Along(NamedTuple):
    """Windows of a `size` along the dimension `dim`, so `many`: a `step` apart, or with elements at `places` (windows, size)."""

    dim: int
    size: int
    many: int
    step: int = 1
    dilation: int = 1
    places: np.ndarray | None = None
    border: int = 0  # how many elements stand before the first one that counts

    def part(self, x: Tensor, k: int) -> Tensor:
        """The k-th elements of all windows."""
        lead = (slice(None),) * self.dim
        if self.places is not None:
            return x[(*lead, self.places[:, k])]
        start = k * self.dilation
        index = (*lead, slice(start, start + (self.many - 1) * self.step + 1, self.step), Ellipsis)
        return apply(getitem, (x,), {"index": index})

    def all(self, x: Tensor) -> Tensor:
        """All windows, their elements in a new last dimension."""
        if self.places is None:
            return apply(strided, (x,), sliding(tuple(x.shape), self.dim, self.size, self.step, self.dilation))
        picked = x[(*(slice(None),) * self.dim, self.places)]
        order = [d for d in range(picked.ndim) if d != self.dim + 1]
        return picked.permute(*order, self.dim + 1)

    def first(self) -> np.ndarray:
        """Of each window the first element that is beyond the border."""
        begin = np.arange(self.many) * self.step - self.border
        return np.maximum(-(begin // self.dilation), 0) if self.places is None else np.zeros(self.many, np.int64)

    def position(self, k: int, ndim: int) -> np.ndarray:
        """Where the k-th elements of the windows are, or the first that counts, in the shape of `ndim` dimensions."""
        if self.places is not None:
            found = self.places[:, k]
        else:
            begin = np.arange(self.many) * self.step - self.border
            found = begin + k * self.dilation
            found = np.where(found < 0, begin % self.dilation, found)
        return found.reshape(self.many, *(1,) * (ndim - 1 - self.dim))

    def positions(self, ndim: int) -> np.ndarray:
        """Where all elements of all windows are."""
        return np.stack([self.position(k, ndim) for k in range(self.size)], -1)


def summed(x: Tensor, along: Along, counted: np.ndarray | None = None) -> Tensor:
    """The sums over windows, or over the elements of them that a mask (windows, size) names."""
    if along.size > MOST_STEPS:
        every = along.all(x)
        if counted is not None:
            mask = counted.reshape(along.many, *(1,) * (x.ndim - 1 - along.dim), along.size)
            every = where_(fixed(mask, x), every, 0)
        return every.sum(-1)
    out = along.part(x, 0)
    for k in range(1, along.size):
        part = along.part(x, k)
        if counted is not None and not counted[:, k].all():
            part = where_(fixed(counted[:, k].reshape(-1, *(1,) * (x.ndim - 1 - along.dim)), x), part, 0)
        out = out + part
    return out


def largest(x: Tensor, along: Sequence[Along], positions: bool) -> tuple[Tensor, list[Tensor]]:
    """The largest element of every window, the first of equal ones, or nan; if asked for, where it is along each dimension.

    The last dimension comes first, so that the first in the order of memory is found.
    """
    where: list[Tensor] = []
    for each in reversed(along):
        x, where = (_of_many if each.size > MOST_STEPS else _step_by_step)(x, each, where, positions)
    return x, where


def _step_by_step(x: Tensor, along: Along, where: list[Tensor], positions: bool) -> tuple[Tensor, list[Tensor]]:
    best = along.part(x, 0)
    own = [_spread(along.position(k, x.ndim), x, best.shape) for k in range(along.size if positions else 0)]
    found = [*own[:1], *[along.part(w, 0) for w in where]]
    for k in range(1, along.size):
        other = along.part(x, k)
        better = _better(other, best)
        first = along.first() == k
        if k and first.any():  # of what is as low as the border the first element that counts
            mask = fixed(first.reshape(-1, *(1,) * (x.ndim - 1 - along.dim)), x)
            better = apply(choosing.logical_or, (better, expand(mask, *better.shape)))
        best = where_(better, other, best)
        others = [*own[k : k + 1], *[along.part(w, k) for w in where]]
        found = [where_(better, new, old) for new, old in zip(others, found)]
    return best, found


def _better(other: Tensor, best: Tensor) -> Tensor:
    larger = apply(choosing.gt, (other, best))
    return apply(choosing.logical_or, (larger, apply(choosing.isnan, (other,)))) if other.dtype.is_floating_point else larger


def largest_at(x: Tensor, dim: int, starts: Tensor, size: int, where: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """`largest` along one dimension, of windows that begin where `starts` (samples, channels, windows) says."""
    shape = (*x.shape[:dim], starts.shape[-1], *x.shape[dim + 1 :])
    begin = reshape(starts, (*starts.shape[:2], *(1,) * (dim - 2), starts.shape[-1], *(1,) * (x.ndim - 1 - dim)))
    places = [expand(begin + k, *shape) for k in range(size)]
    best, found = gather(x, dim, places[0]), [places[0], *[gather(w, dim, places[0]) for w in where]]
    for at in places[1:]:
        other = gather(x, dim, at)
        better = _better(other, best)
        best = where_(better, other, best)
        others = [at, *[gather(w, dim, at) for w in where]]
        found = [where_(better, new, old) for new, old in zip(others, found)]
    return best, found


def _of_many(x: Tensor, along: Along, where: list[Tensor], positions: bool) -> tuple[Tensor, list[Tensor]]:
    every, first = along.all(x), along.first()
    best, chosen = _max_along(every, -1)
    if first.any():
        chosen = apply(choosing.maximum, (chosen, fixed(first.reshape(-1, *(1,) * (x.ndim - 1 - along.dim)), x)))
        best = squeeze(gather(every, -1, unsqueeze(chosen, -1)), -1)
    if not positions:
        return best, []
    at = unsqueeze(chosen, -1)
    own = _spread(along.positions(x.ndim), x, (*chosen.shape, along.size))
    return best, [squeeze(gather(w, -1, at), -1) for w in (own, *map(along.all, where))]


def fixed(array: np.ndarray, like: Tensor) -> Tensor:
    """An array that is the same at every call as a tensor on the device of another."""
    return made_here(wrap(placed_like(like._held, array[()])))


def _spread(array: np.ndarray, like: Tensor, shape: Any) -> Tensor:
    return expand(fixed(array, like), *shape)


def with_positions(values: Tensor, where: list[Tensor], sizes: tuple[int, ...], wanted: bool, alone: bool) -> Any:
    """The results of a pool of maxima: values, and the numbers of elements in the order of memory if wanted; without samples if
    there were none."""
    found = [values]
    if wanted:
        number = where[0]
        for w, n in zip(where[1:], sizes[1:]):
            number = number * n + w
        found.append(number)
    if alone:
        found = [reshape(y, tuple(y.shape[1:])) for y in found]
    return tuple(found) if wanted else found[0]


def divided(sums: Tensor, divisor: Any) -> Tensor:
    """Sums divided by one number, or by one for each window."""
    if isinstance(divisor, np.ndarray):
        same = divisor.size and (divisor == divisor.flat[0]).all()
        divisor = int(divisor.flat[0]) if same else fixed(divisor.astype(sums._held.dtype), sums)
    return div(sums, divisor, rounding_mode=None if sums.dtype.is_floating_point else "trunc")
