"""Small matrices by loops: what machine code does where a call of LAPACK would cost more than what it computes.

Each function is for one matrix, and is what it says in Python, on arrays. Machine code is written by running it once on matrices
whose elements are instructions, for several matrices side by side, and Numba compiles it as it stands. So there is no branch on
an element, only `select`; what a loop carries is in an array, and a number is an array of one element. The last operands are
room to work in. What is returned is 0, or says what is wrong with the matrix.

G. Golub and C. Van Loan, "Matrix Computations", 4th edition, 2013, sections 3.1, 3.4 and 4.2; of the cofactors: G. Stewart, "On
the adjugate matrix", Linear Algebra and its Applications 283, 1998.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jitgrad.kernels.logarithm import log_f64
from jitgrad.kernels.primitives import fma, select, span, sqrt, to_f64

INTEGER = np.dtype(np.int32)
DOUBLE = np.dtype(np.float64)
SCALE, LEAST = 2.0**512, 2.0**-256
"""A product of two numbers between these is finite, and has all its digits."""


def factors_room(x: Any, *others: Any, **params: Any) -> list[tuple[tuple[int, ...], np.dtype]]:
    """Room for L and U, pivots, where they end, and the size of a pivot."""
    n = x.shape[-1]
    return [((n, n), x.dtype), ((n,), INTEGER), ((1,), INTEGER), ((1,), x.dtype)]


def det_room(x: Any) -> list[tuple[tuple[int, ...], np.dtype]]:
    """That of the factors, and of a product of any size."""
    return [*factors_room(x), ((2,), DOUBLE)]


def cofactors_room(x: Any) -> list[tuple[tuple[int, ...], np.dtype]]:
    """Room for L, D and U, for which row and column each pivot came from, the size of one, and a product of any size."""
    n = x.shape[-1]
    return [((n, n), x.dtype), ((n,), INTEGER), ((n,), INTEGER), ((1,), x.dtype), ((2,), DOUBLE)]


def copy(x: Any, z: Any) -> None:
    for i in span(0, x.shape[0]):
        for j in span(0, x.shape[1]):
            z[i, j] = x[i, j]


def identity(z: Any) -> None:
    for i in span(0, z.shape[0]):
        for j in span(0, z.shape[1]):
            z[i, j] = select(i == j, 1.0, 0.0)


def times(product: Any, factor: Any) -> None:
    """A product is a number and how often `SCALE` was taken out of it, so that nothing is too large or too small on the way."""
    product[0] = scaled(product, to_f64(factor)) * product[0]
    product[0] = scaled(product, product[0])


def scaled(product: Any, x: Any) -> Any:
    size = abs(x)
    large, small = size >= SCALE, (size < LEAST) & (size > 0)
    product[1] = select(large, product[1] + 1.0, select(small, product[1] - 1.0, product[1]))
    return select(large, x / SCALE, select(small, x * SCALE, x))


def whole(product: Any) -> None:
    """Put back what was taken out: four times make anything infinite, or 0."""
    for _ in span(0, 4):
        more, less = product[1] > 0, product[1] < 0
        product[0] = select(more, product[0] * SCALE, select(less, product[0] / SCALE, product[0]))
        product[1] = select(more, product[1] - 1.0, select(less, product[1] + 1.0, product[1]))


def multiply(x: Any, y: Any, z: Any) -> None:
    for i in span(0, z.shape[0]):
        for j in span(0, z.shape[1]):
            z[i, j] = 0.0
        for k in span(0, x.shape[1]):
            factor = x[i, k]
            for j in span(0, z.shape[1]):
                z[i, j] = fma(factor, y[k, j], z[i, j])


def substitute(x: Any, z: Any, upper: bool, unit: bool) -> None:
    """Solve a triangular system in place."""
    n = x.shape[0]
    for a in span(0, n):
        i = n - 1 - a if upper else a
        if not unit:
            pivot = x[i, i]
            for c in span(0, z.shape[1]):
                z[i, c] = z[i, c] / pivot
        for b in span(a + 1, n):
            k = n - 1 - b if upper else b
            factor = -x[k, i]
            for c in span(0, z.shape[1]):
                z[k, c] = fma(factor, z[i, c], z[k, c])


def substitute_back(x: Any, z: Any) -> None:
    """Solve in place with the transpose of a lower triangle."""
    n = x.shape[0]
    for a in span(0, n):
        i = n - 1 - a
        pivot = x[i, i]
        for c in span(0, z.shape[1]):
            z[i, c] = z[i, c] / pivot
        for k in span(0, i):
            factor = -x[i, k]
            for c in span(0, z.shape[1]):
                z[k, c] = fma(factor, z[i, c], z[k, c])


def exchange(z: Any, k: Any, other: Any) -> None:
    """Exchange row k for another one, which may be itself."""
    for j in span(0, z.shape[1]):
        above, below = z[k, j], z[other, j]
        z[k, j] = below
        z[other, j] = above


def exchange_columns(z: Any, k: Any, other: Any) -> None:
    for i in span(0, z.shape[0]):
        left, right = z[i, k], z[i, other]
        z[i, k] = right
        z[i, other] = left


def eliminate(a: Any, pivots: Any, info: Any, best: Any) -> None:
    """L and U in place, with the largest element of each column as its pivot."""
    info[0] = 0
    for k in span(0, pivots.shape[0]):
        pivots[k] = k + 1
        best[0] = abs(a[k, k])
        for i in span(k + 1, a.shape[0]):
            size = abs(a[i, k])
            larger = size > best[0]
            pivots[k] = select(larger, i + 1, pivots[k])
            best[0] = select(larger, size, best[0])
        exchange(a, k, pivots[k] - 1)
        pivot = a[k, k]
        info[0] = select((info[0] == 0) & (pivot == 0), k + 1, info[0])
        for i in span(k + 1, a.shape[0]):
            share = select(pivot == 0, a[i, k], a[i, k] / pivot)
            a[i, k] = share
            for j in span(k + 1, a.shape[1]):
                a[i, j] = fma(-share, a[k, j], a[i, j])


def lu_factor(x: Any, factors: Any, pivots: Any, info: Any, best: Any, check: bool) -> Any:
    copy(x, factors)
    eliminate(factors, pivots, info, best)
    return info[0]


def zero_pivot(x: Any, y: Any, a: Any, pivots: Any, best: Any) -> Any:
    copy(x, a)
    eliminate(a, pivots, y, best)
    return 0


def solve_eliminated(a: Any, pivots: Any, z: Any) -> None:
    for k in span(0, pivots.shape[0]):
        exchange(z, k, pivots[k] - 1)
    substitute(a, z, False, True)
    substitute(a, z, True, False)


def solve(x: Any, y: Any, z: Any, a: Any, pivots: Any, info: Any, best: Any) -> Any:
    copy(x, a)
    copy(y, z)
    eliminate(a, pivots, info, best)
    solve_eliminated(a, pivots, z)
    return info[0]


def inv(x: Any, z: Any, a: Any, pivots: Any, info: Any, best: Any) -> Any:
    copy(x, a)
    identity(z)
    eliminate(a, pivots, info, best)
    solve_eliminated(a, pivots, z)
    return info[0]


def det(x: Any, y: Any, a: Any, pivots: Any, info: Any, best: Any, product: Any) -> Any:
    copy(x, a)
    eliminate(a, pivots, info, best)
    product[0] = 1.0
    product[1] = 0.0
    for k in span(0, pivots.shape[0]):
        times(product, select(pivots[k] == k + 1, a[k, k], -a[k, k]))
    whole(product)
    y[0] = select(info[0] == 0, product[0], 0.0)
    return 0


def slogdet(x: Any, sign: Any, logabsdet: Any, a: Any, pivots: Any, info: Any, best: Any) -> Any:
    copy(x, a)
    eliminate(a, pivots, info, best)
    sign[0] = 1.0
    logabsdet[0] = 0.0
    for k in span(0, pivots.shape[0]):
        sign[0] = select((pivots[k] == k + 1) == (a[k, k] < 0), -sign[0], sign[0])
        logabsdet[0] = to_f64(logabsdet[0]) + log_f64(to_f64(abs(a[k, k])))
    sign[0] = select(info[0] == 0, sign[0], 0.0)
    logabsdet[0] = select(info[0] == 0, logabsdet[0], -math.inf)
    return 0


def solve_triangular(x: Any, y: Any, z: Any, upper: bool, unit: bool) -> Any:
    copy(y, z)
    substitute(x, z, upper, unit)
    return 0


def solve_factored(x: Any, y: Any, z: Any) -> Any:
    copy(y, z)
    substitute(x, z, False, False)
    substitute_back(x, z)
    return 0


def factor(z: Any, info: Any) -> None:
    """The Cholesky factor of a lower triangle in its place, column by column."""
    n = z.shape[0]
    info[0] = 0
    for j in span(0, n):
        info[0] = select(info[0] == 0, select(z[j, j] > 0, 0, j + 1), info[0])  # nan is not positive
        root = sqrt(z[j, j])
        z[j, j] = root
        for i in span(j + 1, n):
            z[i, j] = z[i, j] / root
        for k in span(j + 1, n):
            share = -z[k, j]
            for i in span(k, n):
                z[i, k] = fma(share, z[i, j], z[i, k])


def cholesky(x: Any, z: Any, info: Any, check: bool) -> Any:
    """The lower factor; from the first minor that is not positive on, all is 0."""
    n = x.shape[0]
    for i in span(0, n):
        for j in span(0, i + 1):
            z[i, j] = x[i, j]
        for j in span(i + 1, n):
            z[i, j] = 0.0
    factor(z, info)
    for i in span(0, 0 if check else n):
        for j in span(0, i + 1):
            z[i, j] = select((info[0] == 0) | (info[0] > i + 1), z[i, j], 0.0)
    return info[0]


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


def cholesky_pullback(x: Any, y: Any, z: Any) -> Any:
    """What `cholesky` does, from behind: I. Murray, "Differentiation of the Cholesky decomposition", 2016, section 3."""
    n = x.shape[0]
    for i in span(0, n):
        for j in span(0, i + 1):
            z[i, j] = y[i, j]
    for c in span(0, n):
        j = n - 1 - c
        root = x[j, j]
        for i in span(j + 1, n):
            z[i, j] = z[i, j] / root
            z[j, j] = fma(-z[i, j], x[i, j], z[j, j])
        z[j, j] = z[j, j] / root
        for i in span(j, n):
            factor = -z[i, j]
            for k in span(0, j):
                z[i, k] = fma(factor, x[j, k], z[i, k])
        for i in span(j + 1, n):
            factor = -z[i, j]
            for k in span(0, j):
                z[j, k] = fma(factor, x[i, k], z[j, k])
    for i in span(0, n):  # both triangles say the same, though one is read
        for j in span(0, i + 1):
            half = z[i, j] / 2.0
            z[i, j] = half
            z[j, i] = half
    return 0


def product_but(product: Any, a: Any, rows: Any, columns: Any, i: Any, j: Any) -> None:
    """The product of all pivots but two, which may be the same one, with the sign of the exchanges."""
    product[0] = 1.0
    product[1] = 0.0
    for k in span(0, rows.shape[0]):
        moved = (rows[k] == k) == (columns[k] == k)
        pivot = select((i == k) | (j == k), 1.0, a[k, k])
        times(product, select(moved, pivot, -pivot))
    whole(product)


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


def cofactors(x: Any, y: Any, a: Any, rows: Any, columns: Any, best: Any, product: Any) -> Any:
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
    for i in span(0, n):
        product_but(product, a, rows, columns, i, i)
        for j in span(0, n):
            y[i, j] = product[0] * to_f64(y[i, j])
    turn_back(y, a, rows, columns)
    known_if_finite(x, y, best)
    return 0


def cofactors_pullback(x: Any, y: Any, z: Any, a: Any, rows: Any, columns: Any, best: Any, product: Any, inner: Any) -> Any:
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
            product_but(product, a, rows, columns, i, j)
            z[i, j] = select(i == j, to_f64(z[i, i]), -product[0] * to_f64(inner[j, i]))
            z[i, i] = to_f64(z[i, i]) + select(i == j, 0.0, product[0]) * to_f64(inner[j, j])
    for i in span(0, n):
        for c in span(0, n):
            k = n - 1 - c
            for j in span(0, k):
                z[i, j] = fma(-z[i, k], a[j, k], z[i, j])
    turn_back(z, a, rows, columns)
    known_if_finite(x, z, best)
    return 0
