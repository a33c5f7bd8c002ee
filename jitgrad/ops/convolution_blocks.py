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

DEEP = 96
"""Elements of a window that one product has to have at least, if the others are to have products of their own."""

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
    """All windows as a view (channels, sizes, places along the first dimension, samples, other places)."""
    own, across, *along = x.strides
    inner = [s * d for s, d in zip(along, how.dilation)]
    first, *others = [s * d for s, d in zip(along, how.step)]
    shape = (x.shape[1], *sizes, places[0], x.shape[0], *places[1:])
    return as_strided(x, shape, (across, *inner, first, own, *others), writeable=False)


def _shifts(channels: int, sizes: Ints, how: Sliding) -> int:
    """How many products make up the sum over a window, one for each element along the first dimension where that is worth it.

    Such windows are those of the element before, one line further on: they are copied once for all.
    """
    return sizes[0] if how.step[0] == 1 and channels // how.groups * math.prod(sizes[1:]) >= DEEP else 1


def _columns(x: np.ndarray, sizes: Ints, places: Ints, how: Sliding, shifts: int = 1) -> Iterator[tuple[slice, list[np.ndarray]]]:
    """Some samples, and their windows as matrices (groups, elements of a window, windows), one for each of the `_shifts`."""
    channels, lengths = x.shape[1], x.shape[2:]
    with_border = any(map(any, how.border))
    if shifts > 1:
        sizes, seen_places = (1, *sizes[1:]), (how.bordered(lengths)[0], *places[1:])
    else:
        seen_places = places
    rows, others = channels * math.prod(sizes), math.prod(places[1:])
    lead = (slice(None),) * (2 + len(sizes))
    for blocks in _blocks(x.shape[0], math.prod(places)):
        many = blocks[0].stop - blocks[0].start
        image = (many, channels, *how.bordered(lengths)) if with_border else (0,)
        with _room(x.dtype, (rows, many * math.prod(seen_places) + APART), image) as (apart, bordered):
            lines = apart[:, :-APART]
            columns = lines.reshape(channels, *sizes, seen_places[0], many, *places[1:])
            whole = lines.reshape(how.groups, rows // how.groups, lines.shape[1])
            starts = [k * how.dilation[0] * many * others for k in range(shifts)]
            matrices = [whole[:, :, start : start + places[0] * many * others] for start in starts]
            seen = _windows_in(bordered if with_border else x, sizes, seen_places, how)
            if with_border:
                bordered[...] = 0
            for at in blocks:
                if with_border:
                    bordered[(slice(None), slice(None), *how.inside(lengths))] = x[at]
                columns[...] = seen if with_border else seen[(*lead, at)]
                yield at, matrices


def _matrices(part: np.ndarray, groups: int) -> np.ndarray:
    """The results (samples, filters, windows) as matrices (groups, filters, windows), in the order of `_columns`."""
    part = np.moveaxis(part, 0, 2)
    return part.reshape(groups, part.shape[0] // groups, math.prod(part.shape[1:]))


def _is_plain(sizes: Sequence[int], how: Sliding) -> bool:
    """Whether each window is one element of the image, in their order."""
    return max(*sizes, *how.step) == 1 and not any(map(any, how.border))


def run_correlate(x: np.ndarray, w: np.ndarray, how: Sliding) -> np.ndarray:
    """Every filter at every window: (samples, filters, windows)."""
    (filters, each, *sizes), groups = w.shape, how.groups
    places, shifts = how.places(x.shape[2:], sizes), _shifts(x.shape[1], tuple(sizes), how)
    if _is_plain(sizes, how) and math.prod(places) >= COLUMNS // 4:
        images = x.reshape(x.shape[0], groups, each, math.prod(places))
        return np.matmul(w.reshape(groups, filters // groups, each), images).reshape(x.shape[0], filters, *places)
    out = np.empty((x.shape[0], filters, *places), x.dtype)
    rows = w.reshape(groups, filters // groups, each, shifts, math.prod(sizes) // shifts)
    rows = np.moveaxis(rows, 3, 0).reshape(shifts, groups, filters // groups, each * math.prod(sizes) // shifts)
    more = None
    for at, columns in _columns(x, tuple(sizes), places, how, shifts):
        many, shape = at.stop - at.start, (groups, filters // groups, columns[0].shape[2])
        found = out[at.start].reshape(shape) if many == 1 else np.empty(shape, x.dtype)
        np.matmul(rows[0], columns[0], out=found)
        for weights, matrix in zip(rows[1:], columns[1:]):
            more = np.matmul(weights, matrix, out=more if more is not None and more.shape == shape else None)
            found += more
        if many > 1:
            out[at] = np.moveaxis(found.reshape(filters, places[0], many, *places[1:]), 2, 0)
    return out


def run_weigh(y: np.ndarray, x: np.ndarray, sizes: Ints, how: Sliding) -> np.ndarray:
    """The products of results and windows, added up: (filters, channels of a group, sizes)."""
    filters, channels = y.shape[1], x.shape[1] // how.groups
    y = np.ascontiguousarray(y)
    out = np.zeros((how.groups, channels * math.prod(sizes), filters // how.groups), x.dtype)
    for at, (columns,) in _columns(x, sizes, y.shape[2:], how):
        out += np.matmul(columns, _matrices(y[at], how.groups).swapaxes(1, 2))
    return np.ascontiguousarray(out.swapaxes(1, 2)).reshape(filters, channels, *sizes)


def _turned(w: np.ndarray, how: Sliding) -> tuple[np.ndarray, Sliding] | None:
    """The filters, and how they slide, whose correlation with results lays filters over each other; None for steps."""
    filters, each, *sizes = w.shape
    reach = [(n - 1) * d for n, d in zip(sizes, how.dilation)]
    border = tuple([(r - before, r - after) for r, (before, after) in zip(reach, how.border)])
    if any(step != 1 for step in how.step) or any(n < 0 for both in border for n in both):
        return None
    how = how._replace(border=border)
    if _shifts(filters, tuple(sizes), how) == 1 and not _is_plain(sizes, how):
        return None
    back: tuple = (..., *[slice(None, None, -1)] * len(sizes))
    turned = w.reshape(how.groups, filters // how.groups, each, *sizes).swapaxes(1, 2)[back]
    return turned.reshape(how.groups * each, filters // how.groups, *sizes), how


def run_spread(y: np.ndarray, w: np.ndarray, lengths: Ints, how: Sliding) -> np.ndarray:
    """Every filter as often as the results say, laid over each other: (samples, channels, lengths)."""
    turned = _turned(w, how)
    if turned is not None:
        return run_correlate(y, *turned)
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
                part = y[at].swapaxes(0, 1)
                np.matmul(rows, part.reshape(how.groups, filters // how.groups, lines.shape[1]), out=matrices)
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
