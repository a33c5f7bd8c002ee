"""Convolutions: three rows, each linear in both operands, whose rules are the other two.

With images x (samples, channels, places), filters w (filters, channels / groups, sizes) and results y (samples, filters,
windows), all three are about the sum of y[n, f, p] w[f, c, k] x[n, c, p step + k dilation - border]: `correlate` is y for given x
and w, `spread` x for given y and w, `weigh` w for given y and x.

NumPy computes them in blocks of samples; elsewhere they are rows of windows and one product.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.dtypes import complex_of
from jitgrad.ops.choosing import cast, imag_part, imaginary, real_part
from jitgrad.ops.convolution_blocks import Ints, Sliding, run_correlate, run_spread, run_weigh
from jitgrad.ops.indexing import getitem, index_put
from jitgrad.ops.linalg import matmul, transposed
from jitgrad.ops.movement import expand, permute, reshape
from jitgrad.ops.shapes import Spec
from jitgrad.ops.strided import overlapped, sliding, strided
from jitgrad.ops.table import Op, register

_WHOLE = (slice(None), slice(None))


def _columns(x: Any, sizes: Ints, how: Sliding) -> Any:
    """All windows as matrices (groups, elements of a window, samples and windows)."""
    samples, channels, *lengths = x.shape
    count = len(sizes)
    if any(map(any, how.border)):
        zeros = np.broadcast_to(np.zeros((), getattr(x, "_held", x).dtype), (samples, channels, *how.bordered(lengths)))
        x = index_put(zeros, x, index=(*_WHOLE, *how.inside(lengths), Ellipsis))
    for k, (n, s, d) in enumerate(zip(sizes, how.step, how.dilation)):
        x = strided(x, **sliding(tuple(x.shape), 2 + k, n, s, d))
    x = permute(x, dims=(1, *range(2 + count, 2 + 2 * count), 0, *range(2, 2 + count)))
    places = math.prod(x.shape[2 + count :])
    return reshape(x, shape=(how.groups, channels // how.groups * math.prod(sizes), samples * places))


def _filters_first(y: Any, groups: int) -> Any:
    """All results as matrices (groups, filters, samples and windows)."""
    samples, filters, *places = y.shape
    y = permute(y, dims=(1, 0, *range(2, y.ndim)))
    return reshape(y, shape=(groups, filters // groups, samples * math.prod(places)))


def _lower_correlate(x: Any, w: Any, how: Sliding) -> Any:
    filters, sizes = w.shape[0], tuple(w.shape[2:])
    rows = reshape(w, shape=(how.groups, filters // how.groups, math.prod(w.shape[1:])))
    places = how.places(x.shape[2:], sizes)
    out = reshape(matmul(rows, _columns(x, sizes, how)), shape=(filters, x.shape[0], *places))
    return permute(out, dims=(1, 0, *range(2, out.ndim)))


def _lower_spread(y: Any, w: Any, lengths: Ints, how: Sliding) -> Any:
    filters, each, *sizes = w.shape
    samples, count = y.shape[0], len(sizes)
    rows = reshape(w, shape=(how.groups, filters // how.groups, each * math.prod(sizes)))
    out = matmul(transposed(rows), _filters_first(y, how.groups))
    out = reshape(out, shape=(each * how.groups, *sizes, samples, *y.shape[2:]))
    out = permute(out, dims=(1 + count, 0, *range(2 + count, 2 + 2 * count), *range(1, 1 + count)))
    for k, (n, s, d) in reversed([*enumerate(zip(how.bordered(lengths), how.step, how.dilation))]):
        out = overlapped(out, length=n, dim=2 + k, step=s, dilation=d)
    return getitem(out, index=(*_WHOLE, *how.inside(lengths), Ellipsis)) if any(map(any, how.border)) else out


def _lower_weigh(y: Any, x: Any, sizes: Ints, how: Sliding) -> Any:
    out = matmul(_filters_first(y, how.groups), transposed(_columns(x, sizes, how)))
    return reshape(out, shape=(y.shape[1], x.shape[1] // how.groups, *sizes))


def _together(x: Any, size: int) -> Any:
    """Many images for one: their channels beside each other, (samples, many times channels, places)."""
    x = x.value if hasattr(x, "value") else expand(x, shape=(size, *x.shape))
    x = permute(x, dims=(1, 0, *range(2, x.ndim)))
    return reshape(x, shape=(x.shape[0], size * x.shape[2], *x.shape[3:]))


def _in_groups(params: dict[str, Any], size: int) -> dict[str, Any]:
    how = params["how"]
    return {**params, "how": how._replace(groups=size * how.groups)}


def _batch(row: Any, operands: Any, size: int) -> Any:
    """Many at once: more samples where the filters are the same for all, else more groups."""
    x, w = operands
    if not hasattr(w, "value"):
        many = reshape(x.value, shape=(size * x.value.shape[1], *x.value.shape[2:]))
        return reshape(row.op(many, w, **row.params), shape=(size, *row.shape))
    filters = reshape(w.value, shape=(size * w.value.shape[1], *w.value.shape[2:]))
    out = row.op(_together(x, size), filters, **_in_groups(row.params, size))
    samples, channels = row.shape[:2]
    return permute(reshape(out, shape=(samples, size, channels, *row.shape[2:])), dims=(1, 0, *range(2, row.ndim + 1)))


def _batch_weigh(row: Any, operands: Any, size: int) -> Any:
    out = row.op(*[_together(x, size) for x in operands], **_in_groups(row.params, size))
    return reshape(out, shape=(size, *row.shape))


def _by_parts(row: Callable) -> Callable:
    """What a row that is linear in both operands is of their real and imaginary parts."""

    def run(x: Any, y: Any, **params: Any) -> Any:
        of, (a, b), (c, d) = row(), *[(real_part(v), imag_part(v)) for v in (x, y)]
        real = of(a, c, **params) - of(b, d, **params)
        return cast(real, dtype=complex_of(getattr(real, "_held", real).dtype)) + imaginary(
            of(a, d, **params) + of(b, c, **params)
        )

    return run


_LINE = Sliding((2,), (1,), ((0, 0),), 2)
_PLANE = Sliding((1, 2), (2, 1), ((1, 0), (0, 2)), 1)

correlate = Op(
    run_correlate,
    kind="linalg",
    of_complex=_by_parts(lambda: correlate),
    inputs=("x", "w"),
    output="y",
    internal=True,
    numpy=True,
    label="convolution",
    vjp=(
        lambda g, w, x_shape, how: spread(g, w, lengths=tuple(x_shape[2:]), how=how),
        lambda g, x, w_shape, how: weigh(g, x, sizes=tuple(w_shape[2:]), how=how),
    ),
    lower=_lower_correlate,
    batch=_batch,
    shape=lambda x, w, how: Spec((x.shape[0], w.shape[0], *how.places(x.shape[2:], w.shape[2:])), x.dtype),
    samples=lambda: [([(2, 4, 6), (2, 2, 3)], {"how": _LINE}), ([(2, 1, 4, 5), (2, 1, 2, 2)], {"how": _PLANE})],
    oracle="_correlated(x, w, how)",
)
spread = Op(
    run_spread,
    kind="linalg",
    of_complex=_by_parts(lambda: spread),
    inputs=("y", "w"),
    output="x",
    internal=True,
    numpy=True,
    label="convolution_transpose",
    vjp=(
        lambda g, w, how: correlate(g, w, how=how),
        lambda g, y, w_shape, how: weigh(y, g, sizes=tuple(w_shape[2:]), how=how),
    ),
    lower=_lower_spread,
    batch=_batch,
    shape=lambda y, w, lengths, how: Spec((y.shape[0], w.shape[1] * how.groups, *lengths), y.dtype),
    samples=lambda: [
        ([(2, 2, 2), (2, 2, 3)], {"lengths": (6,), "how": _LINE}),
        ([(2, 2, 3, 3), (2, 1, 2, 2)], {"lengths": (4, 5), "how": _PLANE}),
    ],
    oracle="_correlated_back(y, w, lengths, how)",
)
weigh = Op(
    run_weigh,
    kind="linalg",
    of_complex=_by_parts(lambda: weigh),
    inputs=("y", "x"),
    output="w",
    internal=True,
    numpy=True,
    label="convolution_weight",
    vjp=(
        lambda g, x, how: correlate(x, g, how=how),
        lambda g, y, x_shape, how: spread(y, g, lengths=tuple(x_shape[2:]), how=how),
    ),
    lower=_lower_weigh,
    batch=_batch_weigh,
    shape=lambda y, x, sizes, how: Spec((y.shape[1], x.shape[1] // how.groups, *sizes), x.dtype),
    samples=lambda: [
        ([(2, 2, 2), (2, 4, 6)], {"sizes": (3,), "how": _LINE}),
        ([(2, 2, 3, 3), (2, 1, 4, 5)], {"sizes": (2, 2), "how": _PLANE}),
    ],
    oracle="_correlated_weights(y, x, sizes, how)",
)

register(globals())
