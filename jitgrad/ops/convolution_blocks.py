"""Convolutions by NumPy: products of matrices for some samples at a time.

So the windows, which are as many times as large as the image as filters have elements, stay in cache and are never kept, and
neither are images with a border.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from jitgrad.ops.strided import count_of

COLUMNS = 1024
"""Windows to go into one product, if one sample has fewer."""

APART = 16
"""Elements between the lines of a matrix, since lines whose distance is a power of 2 push each other out of the cache."""

MOST_KEPT = 1 << 22
"""Bytes of memory that are kept for the next convolution."""

Ints = tuple[int, ...]


class Sliding(NamedTuple):
    """How filters slide over images: steps and dilations along each dimension, the zeros before and after it, and the groups of
    channels that are apart."""

    step: Ints
    dilation: Ints
    border: tuple[tuple[int, int], ...]
    groups: int

    def bordered(self, lengths: Sequence[int]) -> Ints:
        """The lengths of an image with its border."""
        return tuple([n + before + after for n, (before, after) in zip(lengths, self.border)])

    def places(self, lengths: Sequence[int], sizes: Sequence[int]) -> Ints:
        """How many windows there are along each dimension."""
        return tuple([count_of(*facts) for facts in zip(self.bordered(lengths), sizes, self.step, self.dilation)])

    def inside(self, lengths: Sequence[int]) -> tuple[slice, ...]:
        """Where the image is within its border."""
        return tuple([slice(before, before + n) for n, (before, _) in zip(lengths, self.border)])


_rooms: list[np.ndarray] = []
"""Memory that is kept; whoever uses it takes it out, so that nobody else does."""


@contextlib.contextmanager
def _room(dtype: np.dtype, *shapes: Ints) -> Iterator[list[np.ndarray]]:
    """Arrays to compute in. To get memory from the system takes as long as to write it several times."""
    counts = list(map(math.prod, shapes))
    kept = _rooms.pop() if _rooms else None
    if kept is None or kept.nbytes < sum(counts) * dtype.itemsize:
        kept = np.empty(sum(counts) * dtype.itemsize, np.uint8)
    all_of_it = kept[: sum(counts) * dtype.itemsize].view(dtype)
    ends = list(itertools.accumulate(counts))
    yield [all_of_it[end - n : end].reshape(shape) for end, n, shape in zip(ends, counts, shapes)]
    if kept.nbytes <= MOST_KEPT:
        _rooms[:] = [kept]


def _blocks(samples: int, places: int) -> list[list[slice]]:
    """Samples that are looked at together: blocks of one size, then one of the rest."""
    some = max(COLUMNS // max(places, 1), 1)
    whole = [slice(n, n + some) for n in range(0, samples - some + 1, some)]
    rest = [slice(len(whole) * some, samples)] if samples % some else []
    return [blocks for blocks in (whole, rest) if blocks]


def _windows_in(x: np.ndarray, sizes: Ints, places: Ints, how: Sliding) -> np.ndarray:
    """All windows as a view (channels, sizes, samples, windows)."""
    own, across, *along = x.strides
    inner = [s * d for s, d in zip(along, how.dilation)]
    outer = [s * d for s, d in zip(along, how.step)]
    return as_strided(x, (x.shape[1], *sizes, x.shape[0], *places), (across, *inner, own, *outer), writeable=False)


def _columns(x: np.ndarray, sizes: Ints, places: Ints, how: Sliding) -> Iterator[tuple[slice, np.ndarray]]:
    """Some samples, and their windows as matrices (groups, elements of a window, windows)."""
    channels, lengths = x.shape[1], x.shape[2:]
    with_border = any(map(any, how.border))
    rows, lead = channels * math.prod(sizes), (slice(None),) * (1 + len(sizes))
    for blocks in _blocks(x.shape[0], math.prod(places)):
        many = blocks[0].stop - blocks[0].start
        image = (many, channels, *how.bordered(lengths)) if with_border else (0,)
        with _room(x.dtype, (rows, many * math.prod(places) + APART), image) as (apart, bordered):
            lines = apart[:, :-APART]
            columns = lines.reshape(channels, *sizes, many, *places)
            seen = _windows_in(bordered if with_border else x, sizes, places, how)
            if with_border:
                bordered[...] = 0
            for at in blocks:
                if with_border:
                    bordered[(slice(None), slice(None), *how.inside(lengths))] = x[at]
                columns[...] = seen if with_border else seen[(*lead, at)]
                yield at, lines.reshape(how.groups, rows // how.groups, lines.shape[1])


def _matrices(y: np.ndarray, at: slice, groups: int) -> np.ndarray:
    """The results of some samples as matrices (groups, filters, windows)."""
    part = y[at]
    return part.swapaxes(0, 1).reshape(groups, y.shape[1] // groups, len(part) * math.prod(y.shape[2:]))


def run_correlate(x: np.ndarray, w: np.ndarray, how: Sliding) -> np.ndarray:
    """Every filter at every window: (samples, filters, windows)."""
    filters, sizes = w.shape[0], w.shape[2:]
    places = how.places(x.shape[2:], sizes)
    out = np.empty((x.shape[0], filters, *places), x.dtype)
    rows = w.reshape(how.groups, filters // how.groups, math.prod(w.shape[1:]))
    for at, columns in _columns(x, sizes, places, how):
        if at.stop - at.start == 1:
            np.matmul(rows, columns, out=out[at.start].reshape(*rows.shape[:2], columns.shape[2]))
        else:
            out[at] = np.matmul(rows, columns).reshape(filters, at.stop - at.start, *places).swapaxes(0, 1)
    return out


def run_weigh(y: np.ndarray, x: np.ndarray, sizes: Ints, how: Sliding) -> np.ndarray:
    """The products of results and windows, added up: (filters, channels of a group, sizes)."""
    filters, channels = y.shape[1], x.shape[1] // how.groups
    y = np.ascontiguousarray(y)
    out = np.zeros((how.groups, channels * math.prod(sizes), filters // how.groups), x.dtype)
    for at, columns in _columns(x, sizes, y.shape[2:], how):
        out += np.matmul(columns, _matrices(y, at, how.groups).swapaxes(1, 2))
    return np.ascontiguousarray(out.swapaxes(1, 2)).reshape(filters, channels, *sizes)


def run_spread(y: np.ndarray, w: np.ndarray, lengths: Ints, how: Sliding) -> np.ndarray:
    """Every filter as often as the results say, laid over each other: (samples, channels, lengths)."""
    filters, each, *sizes = w.shape
    places, channels = y.shape[2:], each * how.groups
    out = np.empty((y.shape[0], channels, *lengths), y.dtype)
    rows = w.reshape(how.groups, filters // how.groups, each * math.prod(sizes)).swapaxes(1, 2)
    y = np.ascontiguousarray(y)
    full = how.bordered(lengths)
    for blocks in _blocks(y.shape[0], math.prod(places)):
        many = blocks[0].stop - blocks[0].start
        stages = [(channels, *sizes[k:], many, *full[:k], *places[k:]) for k in range(1, len(sizes) + 1)]
        with _room(y.dtype, (channels * math.prod(sizes), many * math.prod(places) + APART), *stages) as (apart, *sums):
            lines = apart[:, :-APART]
            columns = lines.reshape(channels, *sizes, many, *places)
            matrices = lines.reshape(how.groups, each * math.prod(sizes), lines.shape[1])
            for at in blocks:
                np.matmul(rows, _matrices(y, at, how.groups), out=matrices)
                _lay_over(columns, sums, how)
                out[at] = sums[-1].swapaxes(0, 1)[(slice(None), slice(None), *how.inside(lengths))]
    return out


def _lay_over(columns: np.ndarray, sums: list[np.ndarray], how: Sliding) -> None:
    """Add windows (channels, sizes, samples, windows) up in an image (channels, samples, places).

    It is done along the first dimension first, so that most is added in long lines.
    """
    for k, (total, step, dilation) in enumerate(zip(sums, how.step, how.dilation)):
        lead = (slice(None),) * (columns.ndim - 1 - len(sums) + k)  # channels, other sizes, samples, lengths that are done
        count = columns.shape[len(lead) + 1]
        total[(*lead, slice(count if step == 1 else 0, None))] = 0
        for i in range(columns.shape[1]):
            reached = total[(*lead, slice(i * dilation, i * dilation + (count - 1) * step + 1, step))]
            if i:
                reached += columns[:, i]
            else:
                reached[...] = columns[:, i]
        columns = total
