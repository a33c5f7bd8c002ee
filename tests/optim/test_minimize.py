"""`optim.minimize`: every method of SciPy's, with the derivatives that it takes."""

from __future__ import annotations

import sys
from typing import NamedTuple

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.optim import minimize

pytest.importorskip("scipy")
WITHOUT = ("Nelder-Mead", "Powell", "COBYLA")
FIRST = (None, "CG", "BFGS", "L-BFGS-B", "TNC", "SLSQP")
SECOND = ("Newton-CG", "trust-ncg", "trust-krylov", "trust-constr", "trust-exact", "dogleg")
TOLERANCES = dict.fromkeys(WITHOUT, 1e-2) | dict.fromkeys(FIRST, 1e-3) | dict.fromkeys(SECOND, 1e-4)


def banana(x, a):
    return ((a - x[:-1]) ** 2).sum() + 5 * ((x[1:] - x[:-1] ** 2) ** 2).sum()


@pytest.mark.parametrize(
    ("method", "n"), [(method, n) for method in TOLERANCES for n in (2, 12) if n == 2 or method not in WITHOUT]
)
def test_methods(method, n):
    found = minimize(banana, np.full(n, 1.25), (1.0,), method)  # where the Hessian is positive, as "dogleg" wants it
    assert isinstance(found.x, np.ndarray)
    np.testing.assert_allclose(found.x, 1, atol=TOLERANCES[method])


def test_second_derivatives_are_used():
    found = minimize(banana, np.zeros(12), (1.0,), "trust-constr")
    assert (found.nhev > 0, found.success) == (True, True)
    assert minimize(banana, np.zeros(12), (1.0,), "Newton-CG").nhev > 0


class Line(NamedTuple):
    slope: jg.Tensor
    offset: float


def test_parameters_keep_their_form():
    x, seen = jg.linspace(0, 1, 8), []

    def loss(line):
        assert line.slope.dtype is jg.float32
        return ((line.slope * x + line.offset - (3 * x - 1)) ** 2).sum()

    found = minimize(loss, Line(jg.zeros(1), 0.0), callback=seen.append)
    assert isinstance(found.x, Line)
    assert (found.x.slope.dtype, type(found.x.offset)) == (jg.float32, float)
    np.testing.assert_allclose([found.x.slope.item(), found.x.offset], [3, -1], atol=1e-3)
    assert {type(each) for each in seen} == {Line}


def test_bounds_and_constraints():
    found = minimize(banana, np.zeros(2), (1.0,), "L-BFGS-B", bounds=[(None, 0.5), (None, None)])
    np.testing.assert_allclose(found.x, [0.5, 0.25], atol=1e-5)
    sphere = {"type": "eq", "fun": lambda p: (p["x"] ** 2).sum() - 1}
    found = minimize(lambda p: p["x"].sum(), {"x": jg.tensor([0.1, 0.2])}, method="SLSQP", constraints=sphere)
    np.testing.assert_allclose(found.x["x"], [-(0.5**0.5)] * 2, atol=1e-5)
    assert found.njev <= found.nfev < 40


def test_what_cannot_be_is_said(monkeypatch):
    with pytest.raises(TypeError, match="x0 holds a tensor of int64"):
        minimize(banana, jg.zeros(2, dtype=jg.int64))
    with pytest.raises(TypeError, match="x0 holds nothing"):
        minimize(banana, [])
    for empty in (np.zeros(0), {"x": jg.zeros(2, 0)}):
        with pytest.raises(ValueError, match=r"x0 holds no elements: its shape is \[.*0\]"):
            minimize(banana, empty)
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(ImportError, match=r"jitgrad\[scipy\]"):
        minimize(banana, np.zeros(2), (1.0,))
