"""Matrices that hold nan or infinities, or are singular: eager code and every sweep say the same of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

import jitgrad as jg
from jitgrad import linalg

INF, NAN = math.inf, math.nan
SWEEPS = ("interpreted", "machine", "jit")


def everywhere(function, *matrices):
    """The result in eager code, and in every sweep, as nested lists or as the type of an error."""
    tensors = [jg.tensor(m) for m in matrices]
    found = [_outcome(function, tensors)]
    for sweep in SWEEPS:
        with jg.sweep(sweep):
            found.append(_outcome(jg.jit(function), tensors))
    assert all(repr(x) == repr(found[0]) for x in found), found
    return found[0]


def _outcome(function, tensors):
    try:
        return function(*tensors).tolist()
    except linalg.LinAlgError:
        return linalg.LinAlgError


@pytest.mark.parametrize("n", [2, 20])
def test_what_is_not_finite_goes_one_way_through_a_triangle(n):
    upper = np.triu(np.ones((n, n))) + np.eye(n)
    upper[0, -1] = NAN
    for matrix, kind in ((upper, True), (np.ascontiguousarray(upper[::-1, ::-1]), False)):
        found = np.array(everywhere(lambda a, b, kind=kind: linalg.solve_triangular(a, b, upper=kind), matrix, np.eye(n)))
        rows = np.isnan(found).all(1)
        assert rows.tolist() == [i == (0 if kind else n - 1) for i in range(n)]
        assert not np.isnan(found[~rows]).any()


@pytest.mark.parametrize(
    ("matrix", "minor"),
    [
        ([[INF, INF], [INF, 2.0]], 2),
        ([[NAN, 0.0], [0.0, 1.0]], 1),
        ([[1.0, 0.0], [NAN, 1.0]], 2),
        ([[1.0, 2.0], [2.0, 1.0]], 2),
        ([[4.0, 2.0], [2.0, 3.0]], 0),
    ],
)
def test_nan_is_not_positive_definite(matrix, minor):
    assert everywhere(lambda a: linalg.cholesky_ex(a)[1], matrix) == minor
    assert (everywhere(linalg.cholesky, matrix) is linalg.LinAlgError) == bool(minor)


@pytest.mark.parametrize("n", [2, 17])
def test_one_singular_matrix_is_told_as_many_are(n):
    singular = np.zeros((n, n))
    assert everywhere(lambda a: linalg.inv_ex(a)[1], singular) == 1
    assert everywhere(lambda a, b: linalg.solve_ex(a, b)[1], singular, np.eye(n)) == 1
    assert everywhere(lambda a: linalg.cond(a, 1), singular) == INF
    assert everywhere(lambda a: linalg.inv_ex(a)[1], np.stack([singular, np.eye(n)])) == [1, 0]


@pytest.mark.parametrize("function", [linalg.svdvals, linalg.pinv, linalg.matrix_rank])
def test_a_decomposition_that_does_not_end_says_so(function):
    with pytest.raises(np.linalg.LinAlgError, match="nan or infinite"):
        function(jg.tensor([[NAN]]))


def test_second_derivatives_of_complex_powers_under_jit():
    power = lambda a: (jg.view_as_complex(a) ** jg.view_as_complex(a * 1.5)).real.sum()
    twice = jg.grad(lambda a: (jg.grad(power)(a) ** 2).sum())
    a = jg.tensor([[0.3, 0.4]], dtype=jg.float64)
    np.testing.assert_allclose(jg.jit(twice)(a).numpy(), twice(a).numpy(), rtol=1e-12)
