"""Derivatives of digamma keep their digits on either side of 0."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

import jitgrad as jg

PLACES = np.array([-0.5, -1.5, -2.5, -10.5, -0.001, -1e-30, -0.9, -1.0625, -7.874, -19.3, -1000.25, 0.3, 1.5, 17.2])


def exact(n: int, x: float) -> float:
    """By its sum, from which only zeta functions of positive numbers are left."""
    with mpmath.workdps(150):
        s, at = n + 1, mpmath.mpf(x)
        total, below = mpmath.zeta(s, at - min(mpmath.floor(at), 0)), mpmath.mpf(0)
        if x < 0:
            first = mpmath.ceil(at) - at
            below = (-1) ** s * (mpmath.zeta(s, first) - mpmath.zeta(s, 1 - at))
        return float((-1) ** (n + 1) * mpmath.factorial(n) * (total + below))


@pytest.mark.quick
@pytest.mark.parametrize("n", [1, 2, 3, 8, 10, 20])
def test_polygamma(n: int) -> None:
    wanted = np.array([exact(n, x) for x in PLACES])
    x = jg.tensor(PLACES, requires_grad=True)
    for f in (lambda x: jg.polygamma(n, x), jg.jit(lambda x: jg.polygamma(n, x))):
        found = f(x)
        np.testing.assert_allclose(found.detach().numpy(), wanted, rtol=1e-12)
    (slope,) = jg.autograd.grad(found.sum(), x, create_graph=True)
    np.testing.assert_allclose(slope.detach().numpy(), [exact(n + 1, x) for x in PLACES], rtol=1e-12)
    (second,) = jg.autograd.grad(slope.sum(), x)
    np.testing.assert_allclose(second.numpy(), [exact(n + 2, x) for x in PLACES], rtol=1e-12)


def test_polygamma_at_its_poles() -> None:
    found = jg.polygamma(2, jg.tensor([-3.0, 0.0, -0.0, float("nan"), float("inf")]))
    np.testing.assert_array_equal(found.numpy(), [-np.inf, -np.inf, np.inf, np.nan, 0.0])
