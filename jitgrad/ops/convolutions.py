"""Convolutions: three rows, each linear in both operands, whose rules are the other two.

With images x (samples, channels, places), filters w (filters, channels / groups, sizes) and results y (samples, filters,
windows), all three are about the sum of y[n, f, p] w[f, c, k] x[n, c, p step + k dilation]: `correlate` is y for given x and w,
`spread` x for given y and w, `weigh` w for given y and x.

NumPy computes them by products of matrices, for some samples at a time, so that the windows, which are as many times as large as
the image as filters have elements, stay in cache and are never kept. Elsewhere they are rows of windows and one product.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from jitgrad.ops.linalg import matmul, transposed
from jitgrad.ops.movement import expand, permute, reshape
from jitgrad.ops.shapes import Spec
from jitgrad.ops.table import Op, register
from jitgrad.ops.windows import count_of, overlapped, windows, windows_of

COLUMNS = 1024
"""Windows to go into one product, if one sample has fewer."""

MOST_KEPT = 1 << 22
"""Bytes of memory that are kept for the next one."""

Ints = tuple[int, ...]


def _windows_in(lengths: Ints, sizes: Ints, step: Ints, dilation: Ints) -> Ints:
    return tuple([count_of(*facts) for facts in zip(lengths, sizes, step, dilation)])


def _blocks(samples: int, places: int) -> Iterator[slice]:
    some = max(COLUMNS // max(places, 1), 1)
    return (slice(n, min(n + some, samples)) for n in range(0, samples, some))


def _columns(x: np.ndarray, sizes: Ints, step: Ints, dilation: Ints) -> np.ndarray:
    """All windows as a view (channels, sizes, samples, windows)."""
    count = len(sizes)
    for k, facts in enumerate(zip(sizes, step, dilation)):
        x = windows_of(x, 2 + k, *facts)
    return x.transpose(1, *range(2 + count, 2 + 2 * count), 0, *range(2, 2 + count))


_rooms: list[np.ndarray] = []
"""Memory that is kept for the next convolution; whoever uses it takes it out, so that nobody else does."""


@contextlib.contextmanager
def _room(count: int, dtype: np.dtype) -> Iterator[np.ndarray]:
    """Memory for the windows of one block after the other. To get it from the system takes as long as to write it several times."""
    size = count * dtype.itemsize
    kept = _rooms.pop() if _rooms else None
    if kept is None or kept.nbytes < size:
        kept = np.empty(size, np.uint8)
    yield kept[:size].view(dtype)
    if kept.nbytes <= MOST_KEPT:
        _rooms[:] = [kept]


def _in_block(samples: int, places: int) -> int:
    """How many windows a block has at most."""
    return next((at.stop * places for at in _blocks(samples, places)), 0)


def _block_of(seen: np.ndarray, at: slice, groups: int, room: np.ndarray) -> np.ndarray:
    """The windows of some samples as matrices (groups, elements of a window, windows)."""
    count = seen.ndim // 2 - 1
    part = seen[(slice(None),) * (1 + count) + (at,)]
    block = room[: part.size].reshape(part.shape)
    block[...] = part
    inside = math.prod(seen.shape[1 : 1 + count])
    return block.reshape(groups, seen.shape[0] // groups * inside, math.prod(part.shape[1 + count :]))


def _matrices_of(y: np.ndarray, at: slice, groups: int) -> np.ndarray:
    """The results of some samples as matrices (groups, filters, windows)."""
    part = y[at]
    places = len(part) * math.prod(y.shape[2:])
    return part.swapaxes(0, 1).reshape(groups, y.shape[1] // groups, places)


def _correlate(x: np.ndarray, w: np.ndarray, step: Ints, dilation: Ints, groups: int) -> np.ndarray:
    filters, sizes = w.shape[0], w.shape[2:]
    places = _windows_in(x.shape[2:], sizes, step, dilation)
    out = np.empty((x.shape[0], filters, *places), x.dtype)
    seen, rows = _columns(x, sizes, step, dilation), w.reshape(groups, filters // groups, math.prod(w.shape[1:]))
    inside = x.shape[1] * math.prod(sizes)
    with _room(inside * _in_block(x.shape[0], math.prod(places)), x.dtype) as room:
        for at in _blocks(x.shape[0], math.prod(places)):
            columns = _block_of(seen, at, groups, room)
            if at.stop - at.start == 1:
                np.matmul(rows, columns, out=out[at.start].reshape(*rows.shape[:2], math.prod(places)))
            else:
                out[at] = np.matmul(rows, columns).reshape(filters, at.stop - at.start, *places).swapaxes(0, 1)
    return out


def _spread(y: np.ndarray, w: np.ndarray, lengths: Ints, step: Ints, dilation: Ints, groups: int) -> np.ndarray:
    filters, each, *sizes = w.shape
    places = y.shape[2:]
    out = np.zeros((y.shape[0], each * groups, *lengths), y.dtype)
    rows = np.ascontiguousarray(w.reshape(groups, filters // groups, each * math.prod(sizes)).swapaxes(1, 2))
    y = np.ascontiguousarray(y)
    most = _in_block(y.shape[0], math.prod(places))
    with _room(groups * rows.shape[1] * most, y.dtype) as room:
        for at in _blocks(y.shape[0], math.prod(places)):
            block = _matrices_of(y, at, groups)
            columns = room[: groups * rows.shape[1] * block.shape[2]].reshape(groups, rows.shape[1], block.shape[2])
            np.matmul(rows, block, out=columns)
            columns = columns.reshape(each * groups, *sizes, at.stop - at.start, *places)
            _lay_over(columns, out[at].swapaxes(0, 1), step, dilation)
    return out


def _lay_over(columns: np.ndarray, out: np.ndarray, step: Ints, dilation: Ints) -> None:
    """Add windows (channels, sizes, samples, windows) up in an image (channels, samples, places): the first dimension first, so
    that most is added in long lines."""
    for k, (s, d) in enumerate(zip(step, dilation)):
        left = len(step) - k  # dimensions of windows
        sizes, places = columns.shape[1 : 1 + left], columns.shape[2 + left + k :]
        lead = (slice(None),) * (1 + len(sizes) - 1 + 1 + k)
        shape = (columns.shape[0], *sizes[1:], columns.shape[1 + left], *out.shape[2 : 3 + k], *places[1:])
        total = out if left == 1 else np.zeros(shape, out.dtype)
        for i in range(sizes[0]):
            reached = total[(*lead, slice(i * d, i * d + (places[0] - 1) * s + 1, s))]
            reached += columns[:, i]
        columns = total


def _weigh(y: np.ndarray, x: np.ndarray, sizes: Ints, step: Ints, dilation: Ints, groups: int) -> np.ndarray:
    filters, each = y.shape[1], x.shape[1] // groups
    seen, y = _columns(x, sizes, step, dilation), np.ascontiguousarray(y)
    out = np.zeros((groups, each * math.prod(sizes), filters // groups), x.dtype)
    places = math.prod(y.shape[2:])
    with _room(x.shape[1] * math.prod(sizes) * _in_block(x.shape[0], places), x.dtype) as room:
        for at in _blocks(x.shape[0], places):
            out += np.matmul(_block_of(seen, at, groups, room), _matrices_of(y, at, groups).swapaxes(1, 2))
    return np.ascontiguousarray(out.swapaxes(1, 2)).reshape(filters, each, *sizes)


def _columns_recorded(x: Any, sizes: Ints, step: Ints, dilation: Ints, groups: int) -> Any:
    """All windows as matrices (groups, elements of a window, samples and windows)."""
    samples, channels, count = x.shape[0], x.shape[1], len(sizes)
    for k, (n, s, d) in enumerate(zip(sizes, step, dilation)):
        x = windows(x, dim=2 + k, size=n, step=s, dilation=d)
    x = permute(x, dims=(1, *range(2 + count, 2 + 2 * count), 0, *range(2, 2 + count)))
    places = math.prod(x.shape[2 + count :])
    return reshape(x, shape=(groups, channels // groups * math.prod(sizes), samples * places))


def _filters_first(y: Any, groups: int) -> Any:
    """All results as matrices (groups, filters, samples and windows)."""
    samples, filters, *places = y.shape
    y = permute(y, dims=(1, 0, *range(2, y.ndim)))
    return reshape(y, shape=(groups, filters // groups, samples * math.prod(places)))


def _lower_correlate(x: Any, w: Any, step: Ints, dilation: Ints, groups: int) -> Any:
    filters, sizes = w.shape[0], tuple(w.shape[2:])
    rows = reshape(w, shape=(groups, filters // groups, math.prod(w.shape[1:])))
    places = _windows_in(x.shape[2:], sizes, step, dilation)
    out = reshape(matmul(rows, _columns_recorded(x, sizes, step, dilation, groups)), shape=(filters, x.shape[0], *places))
    return permute(out, dims=(1, 0, *range(2, out.ndim)))


def _lower_spread(y: Any, w: Any, lengths: Ints, step: Ints, dilation: Ints, groups: int) -> Any:
    filters, each, *sizes = w.shape
    samples, count = y.shape[0], len(sizes)
    rows = reshape(w, shape=(groups, filters // groups, each * math.prod(sizes)))
    out = matmul(transposed(rows), _filters_first(y, groups))
    out = reshape(out, shape=(each * groups, *sizes, samples, *y.shape[2:]))
    out = permute(out, dims=(1 + count, 0, *range(2 + count, 2 + 2 * count), *range(1, 1 + count)))
    for k in reversed(range(count)):
        out = overlapped(out, length=lengths[k], dim=2 + k, step=step[k], dilation=dilation[k])
    return out


def _lower_weigh(y: Any, x: Any, sizes: Ints, step: Ints, dilation: Ints, groups: int) -> Any:
    columns = _columns_recorded(x, sizes, step, dilation, groups)
    out = matmul(_filters_first(y, groups), transposed(columns))
    return reshape(out, shape=(y.shape[1], x.shape[1] // groups, *sizes))


def _together(x: Any, size: int) -> Any:
    """Many images for one: their channels beside each other, (samples, many times channels, places)."""
    x = x.value if hasattr(x, "value") else expand(x, shape=(size, *x.shape))
    x = permute(x, dims=(1, 0, *range(2, x.ndim)))
    return reshape(x, shape=(x.shape[0], size * x.shape[2], *x.shape[3:]))


def _batch(row: Any, operands: Any, size: int) -> Any:
    """Many at once: more samples where the filters are the same for all, else more groups."""
    x, w = operands
    if not hasattr(w, "value"):
        many = reshape(x.value, shape=(size * x.value.shape[1], *x.value.shape[2:]))
        return reshape(row.op(many, w, **row.params), shape=(size, *row.shape))
    params = {**row.params, "groups": size * row.params["groups"]}
    out = row.op(_together(x, size), reshape(w.value, shape=(size * w.value.shape[1], *w.value.shape[2:])), **params)
    samples, channels = row.shape[:2]
    return permute(reshape(out, shape=(samples, size, channels, *row.shape[2:])), dims=(1, 0, *range(2, row.ndim + 1)))


def _batch_weigh(row: Any, operands: Any, size: int) -> Any:
    params = {**row.params, "groups": size * row.params["groups"]}
    out = row.op(*[_together(x, size) for x in operands], **params)
    return reshape(out, shape=(size, *row.shape))


_LINE: dict[str, Any] = {"step": (2,), "dilation": (1,), "groups": 2}
_PLANE: dict[str, Any] = {"step": (1, 2), "dilation": (2, 1), "groups": 1}

correlate = Op(
    _correlate,
    kind="linalg",
    inputs=("x", "w"),
    output="y",
    internal=True,
    numpy=True,
    label="convolution",
    vjp=(
        lambda g, w, x_shape, step, dilation, groups: spread(
            g, w, lengths=tuple(x_shape[2:]), step=step, dilation=dilation, groups=groups
        ),
        lambda g, x, w_shape, step, dilation, groups: weigh(
            g, x, sizes=tuple(w_shape[2:]), step=step, dilation=dilation, groups=groups
        ),
    ),
    lower=_lower_correlate,
    batch=_batch,
    shape=lambda x, w, step, dilation, groups: Spec(
        (x.shape[0], w.shape[0], *_windows_in(x.shape[2:], w.shape[2:], step, dilation)), x.dtype
    ),
    samples=lambda: [([(2, 4, 6), (2, 2, 3)], _LINE), ([(2, 1, 4, 5), (2, 1, 2, 2)], _PLANE)],
    oracle="_correlated(x, w, step, dilation, groups)",
)
spread = Op(
    _spread,
    kind="linalg",
    inputs=("y", "w"),
    output="x",
    internal=True,
    numpy=True,
    label="convolution_transpose",
    vjp=(
        lambda g, w, step, dilation, groups: correlate(g, w, step=step, dilation=dilation, groups=groups),
        lambda g, y, w_shape, step, dilation, groups: weigh(
            y, g, sizes=tuple(w_shape[2:]), step=step, dilation=dilation, groups=groups
        ),
    ),
    lower=_lower_spread,
    batch=_batch,
    shape=lambda y, w, lengths, step, dilation, groups: Spec((y.shape[0], w.shape[1] * groups, *lengths), y.dtype),
    samples=lambda: [
        ([(2, 2, 2), (2, 2, 3)], {**_LINE, "lengths": (6,)}),
        ([(2, 2, 2, 2), (2, 1, 2, 2)], {**_PLANE, "lengths": (4, 5)}),
    ],
    oracle="_correlated_back(y, w, lengths, step, dilation, groups)",
)
weigh = Op(
    _weigh,
    kind="linalg",
    inputs=("y", "x"),
    output="w",
    internal=True,
    numpy=True,
    label="convolution_weight",
    vjp=(
        lambda g, x, step, dilation, groups: correlate(x, g, step=step, dilation=dilation, groups=groups),
        lambda g, y, x_shape, step, dilation, groups: spread(
            y, g, lengths=tuple(x_shape[2:]), step=step, dilation=dilation, groups=groups
        ),
    ),
    lower=_lower_weigh,
    batch=_batch_weigh,
    shape=lambda y, x, sizes, step, dilation, groups: Spec((y.shape[1], x.shape[1] // groups, *sizes), x.dtype),
    samples=lambda: [
        ([(2, 2, 2), (2, 4, 6)], {**_LINE, "sizes": (3,)}),
        ([(2, 2, 2, 2), (2, 1, 4, 5)], {**_PLANE, "sizes": (2, 2)}),
    ],
    oracle="_correlated_weights(y, x, sizes, step, dilation, groups)",
)

register(globals())
