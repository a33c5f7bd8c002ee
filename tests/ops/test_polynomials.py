"""Derivatives of SciPy's orthogonal polynomials of any degree."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special

import jitgrad as jg
from jitgrad.ops.table import TABLE

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


@pytest.mark.parametrize("name", [name for name in TABLE if "_polynomial_" in name])
@pytest.mark.parametrize("n", [-2, 0, 1, 2, 5, 16, 17])
def test_low_degrees_are_machine_code_and_the_same_in_every_sweep(name, n):
    of, x = getattr(jg.special, name), jg.tensor(np.linspace(0.05, 0.95, 37))

    def f(x):
        return jg.value_and_grad(lambda x: (of(x, n) ** 2).sum())(x)

    wanted = [of(x, jg.tensor(np.full(37, float(n)))), *f(x)]  # a degree for each element, which is SciPy's
    step = jg.jit(f)
    for found in ([of(x, n), *f(x)], [jg.jit(lambda x: of(x, n))(x), *step(x)]):
        for a, b in zip(found, wanted):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10, atol=1e-12)
    assert ("NumPy" in step.report()) == (n > 16)
