"""Small matrices by loops: what machine code does where a call of LAPACK would cost more than what it computes.

Each function is for one matrix, and is what it says in Python, on arrays. Machine code is written by running it once on matrices
whose elements are instructions, for several matrices side by side, and Numba compiles it as it stands. So there is no branch on
an element, only `select`; what a loop carries is in an array, and a number is an array of one element. The last operands are
room to work in. What is returned is 0, or says what is wrong with the matrix.

G. Golub and C. Van Loan, "Matrix Computations", 4th edition, 2013, sections 3.1, 3.4 and 4.2.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jitgrad.kernels.logarithm import log_f64
from jitgrad.kernels.primitives import fma, select, span, sqrt, to_f64

INTEGER = np.dtype(np.int32)


def factors_room(x: Any, *others: Any, **params: Any) -> list[tuple[tuple[int, ...], np.dtype]]:
    """Room for L and U, pivots, where they end, and the size of a pivot."""
    n = x.shape[-1]
    return [((n, n), x.dtype), ((n,), INTEGER), ((1,), INTEGER), ((1,), x.dtype)]


def copy(x: Any, z: Any) -> None:
    for i in span(0, x.shape[0]):
        for j in span(0, x.shape[1]):
            z[i, j] = x[i, j]


def identity(z: Any) -> None:
    for i in span(0, z.shape[0]):
        for j in span(0, z.shape[1]):
            z[i, j] = select(i == j, 1.0, 0.0)


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


def permutation(x: Any, y: Any, wrong: Any, n: int) -> Any:
    """The order of rows after the exchanges; a pivot that is no row changes nothing, and is noted."""
    wrong[0] = 0
    for i in span(0, y.shape[0]):
        y[i] = i
    for i in span(0, x.shape[0]):
        other = x[i, 0] - 1
        outside = (other < 0) | (other >= y.shape[0])
        wrong[0] = select((wrong[0] == 0) & outside, i + 1, wrong[0])
        other = select(outside, i, other)
        above, below = y[i], y[other]
        y[i] = below
        y[other] = above
    return wrong[0]


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
