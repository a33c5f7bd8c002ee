"""Derivatives of SciPy's orthogonal polynomials of any degree."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special

import jitgrad as jg

WHOLE = np.array([-4, -3, -2, -1, 0, 1, 2, 5])
ANY = np.concatenate([WHOLE, [-3.3, -1.5, -0.7, -0.5, 0.4, 1.5, 2.7]])
NAMES = ("chebyt", "chebyu", "sh_chebyt", "sh_chebyu", "laguerre", "legendre", "hermite", "hermitenorm")


def differences(f, x: float, order: int) -> np.ndarray:
    h = 1e-3 if order == 1 else 4e-3
    near = {k: f(x + k * h) for k in (-2, -1, 0, 1, 2)}
    if order == 1:
        return (near[-2] - 8 * near[-1] + 8 * near[1] - near[2]) / (12 * h)
    return (-near[-2] + 16 * near[-1] - 30 * near[0] + 16 * near[1] - near[2]) / (12 * h * h)


@pytest.mark.parametrize(("name", "fractions"), [(n, k) for n in NAMES for k in (False, True) if not k or "hermite" not in n])
def test_polynomials_of_any_degree_are_differentiable(name: str, fractions: bool) -> None:
    f = getattr(scipy.special, f"eval_{name}")
    degrees = ANY if fractions else WHOLE
    degrees = degrees[np.isfinite(f(degrees, 0.3))]  # SciPy has no others
    for at in (0.3, 0.8):
        x = jg.full((degrees.size,), at, dtype=jg.float64)
        slope = jg.grad(lambda x: f(degrees, x).sum())
        ahead = lambda x: jg.jvp(lambda x: f(degrees, x), (x,), (jg.ones_like(x),))[1]
        twice = jg.grad(lambda x: slope(x).sum())  # noqa: B023
        for order, found in ((1, slope), (1, ahead), (1, jg.jit(slope)), (2, twice)):
            want = differences(lambda v: f(degrees, np.full(degrees.size, v)), at, order)
            np.testing.assert_allclose(found(x).numpy(), want, rtol=1e-6, atol=1e-6, err_msg=f"{at} {order}")
