"""Determinants of small matrices and their derivatives by loops, as those of `elimination` are.

G. Stewart, "On the adjugate matrix", Linear Algebra and its Applications 283, 1998.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jitgrad.kernels.primitives import fma, select, span, to_f64
from jitgrad.ops.elimination import (
    INTEGER,
    copy,
    eliminate,
    exchange,
    exchange_columns,
    factors_room,
    identity,
    substitute,
)

DOUBLE = np.dtype(np.float64)
SCALE, LEAST = 2.0**512, 2.0**-256
"""A product of two numbers between these is finite, and has all its digits."""


def det_room(x: Any) -> list[tuple[tuple[int, ...], np.dtype]]:
    """That of the factors, and of a product of any size."""
    return [*factors_room(x), ((1, 2), DOUBLE)]


def cofactors_room(x: Any) -> list[tuple[tuple[int, ...], np.dtype]]:
    """Room for L, D and U, for which row and column each pivot came from, the size of one, and a product of any size."""
    n = x.shape[-1]
    return [((n, n), x.dtype), ((n,), INTEGER), ((n,), INTEGER), ((1,), x.dtype), ((n + 1, 2), DOUBLE)]


def begin(products: Any, k: Any) -> None:
    products[k, 0] = 1.0
    products[k, 1] = 0.0


def times(products: Any, k: Any, factor: Any) -> None:
    """A product is a number and how often `SCALE` was taken out of it, so that nothing is too large or too small on the way."""
    products[k, 0] = scaled(products, k, to_f64(factor)) * products[k, 0]
    products[k, 0] = scaled(products, k, products[k, 0])


def scaled(products: Any, k: Any, x: Any) -> Any:
    size = abs(x)
    large, small = size >= SCALE, (size < LEAST) & (size > 0)
    products[k, 1] = select(large, products[k, 1] + 1.0, select(small, products[k, 1] - 1.0, products[k, 1]))
    return select(large, x / SCALE, select(small, x * SCALE, x))


def whole(products: Any, k: Any) -> None:
    """Put back what was taken out: four times make anything infinite, or 0."""
    for _ in span(0, 4):
        more, less = products[k, 1] > 0, products[k, 1] < 0
        products[k, 0] = select(more, products[k, 0] * SCALE, select(less, products[k, 0] / SCALE, products[k, 0]))
        products[k, 1] = select(more, products[k, 1] - 1.0, select(less, products[k, 1] + 1.0, products[k, 1]))


def det(x: Any, y: Any, a: Any, pivots: Any, info: Any, best: Any, products: Any) -> Any:
    copy(x, a)
    eliminate(a, pivots, info, best)
    begin(products, 0)
    for k in span(0, pivots.shape[0]):
        times(products, 0, select(pivots[k] == k + 1, a[k, k], -a[k, k]))
    whole(products, 0)
    y[0] = select(info[0] == 0, products[0, 0], 0.0)
    return 0


def eliminate_wholly(a: Any, rows: Any, columns: Any, best: Any) -> None:
    """L, D and U with ones on the diagonals of L and U in place, with the largest element of all that is left as the pivot: so
    L and U are well conditioned, whatever the matrix is, and where a pivot is 0 all that is left is."""
    n = a.shape[0]
    for k in span(0, n):
        rows[k] = k
        columns[k] = k
        best[0] = abs(a[k, k])
        for i in span(k, n):
            for j in span(k, n):
                size = abs(a[i, j])
                larger = size > best[0]
                rows[k] = select(larger, i, rows[k])
                columns[k] = select(larger, j, columns[k])
                best[0] = select(larger, size, best[0])
        exchange(a, k, rows[k])
        exchange_columns(a, k, columns[k])
        pivot = a[k, k]
        for j in span(k + 1, n):
            a[k, j] = select(pivot == 0, a[k, j], a[k, j] / pivot)
        for i in span(k + 1, n):
            factor = -a[i, k]
            for j in span(k + 1, n):
                a[i, j] = fma(factor, a[k, j], a[i, j])
            a[i, k] = select(pivot == 0, a[i, k], a[i, k] / pivot)


def signed(rows: Any, columns: Any, k: Any, x: Any) -> Any:
    return select((rows[k] == k) == (columns[k] == k), x, -x)


def products_but_one(products: Any, a: Any, rows: Any, columns: Any) -> None:
    """Of all pivots but the k-th with the sign of the exchanges, at k + 1: of those before, at 0, times those after."""
    n = rows.shape[0]
    begin(products, n)
    for c in span(0, n):
        k = n - 1 - c
        products[k, 0] = products[k + 1, 0]
        products[k, 1] = products[k + 1, 1]
        times(products, k, signed(rows, columns, k, a[k, k]))
    begin(products, 0)
    for k in span(0, n):
        products[k + 1, 0] = signed(rows, columns, k, products[0, 0] * products[k + 1, 0])
        products[k + 1, 1] = products[0, 1] + products[k + 1, 1]
        whole(products, k + 1)
        times(products, 0, signed(rows, columns, k, a[k, k]))


def product_but_two(products: Any, a: Any, rows: Any, columns: Any, i: Any, j: Any) -> None:
    begin(products, 0)
    for k in span(0, rows.shape[0]):
        times(products, 0, signed(rows, columns, k, select((i == k) | (j == k), 1.0, a[k, k])))
    whole(products, 0)


def turn_back(y: Any, a: Any, rows: Any, columns: Any) -> None:
    """With the inverse of L, transposed, and to where rows and columns came from."""
    n = y.shape[0]
    for c in span(0, n):
        k = n - 1 - c
        for i in span(0, k):
            factor = -a[k, i]
            for j in span(0, n):
                y[i, j] = fma(factor, y[k, j], y[i, j])
    for c in span(0, n):
        k = n - 1 - c
        exchange(y, k, rows[k])
        exchange_columns(y, k, columns[k])


def known_if_finite(x: Any, y: Any, best: Any) -> None:
    best[0] = 0.0
    for i in span(0, x.shape[0]):
        for j in span(0, x.shape[1]):
            best[0] = fma(x[i, j], 0.0, best[0])
    for i in span(0, x.shape[0]):
        for j in span(0, x.shape[1]):
            y[i, j] = select(best[0] == 0, y[i, j], math.nan)


def cofactors(x: Any, y: Any, a: Any, rows: Any, columns: Any, best: Any, products: Any) -> Any:
    """Those of D are products of all pivots but one, with no division; those of L and U inverses, transposed."""
    n = x.shape[0]
    copy(x, a)
    eliminate_wholly(a, rows, columns, best)
    identity(y)
    for k in span(0, n):  # with the transpose of U, whose diagonal is 1
        for i in span(k + 1, n):
            factor = -a[k, i]
            for j in span(0, n):
                y[i, j] = fma(factor, y[k, j], y[i, j])
    products_but_one(products, a, rows, columns)
    for i in span(0, n):
        for j in span(0, n):
            y[i, j] = products[i + 1, 0] * to_f64(y[i, j])
    turn_back(y, a, rows, columns)
    known_if_finite(x, y, best)
    return 0


def cofactors_pullback(x: Any, y: Any, z: Any, a: Any, rows: Any, columns: Any, best: Any, products: Any, inner: Any) -> Any:
    """The cofactors of D change by those of two rows and columns, with changes of the matrix seen in the basis of L and U."""
    n = x.shape[0]
    copy(x, a)
    copy(y, inner)
    eliminate_wholly(a, rows, columns, best)
    for k in span(0, n):
        exchange(inner, k, rows[k])
        exchange_columns(inner, k, columns[k])
    substitute(a, inner, False, True)
    for i in span(0, n):
        for k in span(0, n):
            for j in span(k + 1, n):
                inner[i, j] = fma(-inner[i, k], a[k, j], inner[i, j])
    for i in span(0, n):
        z[i, i] = 0.0
        for j in span(0, n):
            product_but_two(products, a, rows, columns, i, j)
            z[i, j] = select(i == j, to_f64(z[i, i]), -products[0, 0] * to_f64(inner[j, i]))
            z[i, i] = to_f64(z[i, i]) + select(i == j, 0.0, products[0, 0]) * to_f64(inner[j, j])
    for i in span(0, n):
        for c in span(0, n):
            k = n - 1 - c
            for j in span(0, k):
                z[i, j] = fma(-z[i, k], a[j, k], z[i, j])
    turn_back(z, a, rows, columns)
    known_if_finite(x, z, best)
    return 0
