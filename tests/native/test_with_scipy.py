"""SciPy's solvers take functions of jitgrad as they are: eager transforms, functions under jit, native functions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, optimize

import jitgrad as jg

START = np.array([-1.2, 1.0, 0.5])


def rosen(x):
    return ((1 - x[:-1]) ** 2 + 100 * (x[1:] - x[:-1] ** 2) ** 2).sum()


def residuals(x):
    x = jg.as_tensor(x)
    return jg.stack([10 * (x[1] - x[0] ** 2), 1 - x[0]])


def cubic(x):
    return x**3 - 8.0


def model(t, a, b):
    return a * jg.exp(-b * jg.as_tensor(t))


WAYS = {"eager": lambda f: f, "jit": jg.jit, "guard": jg.jit(guard=True)}


@pytest.fixture(params=WAYS)
def way(request):
    return WAYS[request.param]


def near(found, wanted, tolerance=1e-3):
    np.testing.assert_allclose(np.asarray(found, float), wanted, atol=tolerance)


@pytest.mark.parametrize("method", ["L-BFGS-B", "BFGS", "CG", "TNC", "SLSQP"])
def test_minimize_with_gradients(way, method):
    options = {"maxfun" if method == "TNC" else "maxiter": 2000}
    both, value, slope = way(jg.value_and_grad(rosen)), way(rosen), way(jg.grad(rosen))
    near(optimize.minimize(both, START, jac=True, method=method, options=options).x, 1, 2e-2)
    near(optimize.minimize(value, START, jac=slope, method=method, options=options).x, 1, 2e-2)


@pytest.mark.parametrize("method", ["Newton-CG", "trust-ncg", "trust-krylov", "trust-exact", "trust-constr"])
def test_minimize_with_hessians(way, method):
    value, slope = way(rosen), way(jg.grad(rosen))
    near(optimize.minimize(value, START, jac=slope, hess=way(jg.hessian(rosen)), method=method).x, 1, 1e-2)
    if method != "trust-exact":
        product = way(lambda x, p: jg.hvp(rosen, (x,), (p,)))
        near(optimize.minimize(value, START, jac=slope, hessp=product, method=method).x, 1, 1e-2)


def test_minimize_otherwise(way):
    square, slope = way(lambda x: ((x - 1.0) ** 2).sum()), way(jg.grad(lambda x: ((x - 1.0) ** 2).sum()))
    for method in ("Nelder-Mead", "Powell", "COBYLA"):
        near(optimize.minimize(square, np.zeros(2), method=method).x, 1)
    line = {"type": "eq", "fun": way(lambda x: x[0] + x[1] - 1.0), "jac": way(jg.grad(lambda x: x[0] + x[1] - 1.0))}
    near(optimize.minimize(square, np.zeros(2), jac=slope, method="SLSQP", constraints=line).x, 0.5)
    both = way(jg.value_and_grad(rosen))
    near(optimize.basinhopping(both, START, niter=1, rng=0, minimizer_kwargs={"jac": True, "method": "L-BFGS-B"}).x, 1, 1e-2)
    near(optimize.differential_evolution(square, [(-2, 2)] * 2, maxiter=30, rng=0).x, 1, 1e-2)
    near(optimize.fmin_l_bfgs_b(both, START)[0], 1, 1e-2)
    near(optimize.fmin_bfgs(way(rosen), START, way(jg.grad(rosen)), disp=0), 1, 1e-2)


@pytest.mark.parametrize("method", ["trf", "dogbox", "lm"])
def test_least_squares(way, method):
    f, slopes, start = way(residuals), way(jg.jacfwd(residuals)), np.array([-1.2, 1.0])
    near(optimize.least_squares(f, start, jac=slopes, method=method).x, 1)
    near(optimize.least_squares(f, start, method=method).x, 1)
    near(optimize.leastsq(f, start, Dfun=slopes)[0], 1)
    if method != "lm":
        near(optimize.least_squares(f, start, jac=way(jg.jacrev(residuals)), bounds=(-2, 2), loss="soft_l1", method=method).x, 1)


def test_curve_fit(way):
    t = np.linspace(0, 3, 20)
    near(optimize.curve_fit(way(model), t, 2 * np.exp(-1.3 * t), p0=[1.0, 1.0])[0], [2, 1.3])


@pytest.mark.parametrize("method", ["hybr", "lm", "broyden1", "krylov", "df-sane"])
def test_roots(way, method):
    f = way(cubic)
    near(optimize.root(f, np.array([1.5, 1.8]), method=method).x, 2)
    if method in ("hybr", "lm"):
        near(optimize.root(f, np.ones(2), jac=way(jg.jacfwd(cubic)), method=method).x, 2)
        near(optimize.root(way(lambda x: (cubic(x), jg.jacfwd(cubic)(x))), np.ones(2), jac=True, method=method).x, 2)
    near(optimize.fsolve(f, np.ones(2)), 2)


def test_roots_of_numbers(way):
    f, slope, bend = way(cubic), way(jg.grad(cubic)), way(jg.grad(jg.grad(cubic)))
    for name in ("brentq", "brenth", "bisect", "ridder", "toms748"):
        assert getattr(optimize, name)(f, 0.0, 5.0) == pytest.approx(2, abs=1e-6)
    assert optimize.newton(f, 1.5) == pytest.approx(2)
    assert optimize.newton(f, 1.5, fprime=slope) == pytest.approx(2, abs=1e-5)
    assert optimize.newton(f, 1.5, fprime=slope, fprime2=bend) == pytest.approx(2, abs=1e-5)
    both = way(jg.value_and_grad(cubic))
    assert optimize.root_scalar(both, x0=1.5, fprime=True, method="newton").root == pytest.approx(2, abs=1e-5)
    for method in ("brent", "bounded", "golden"):
        bounds = {"bounds": (0, 5)} if method == "bounded" else {}
        found = optimize.minimize_scalar(way(lambda x: (x - 2.0) ** 2), method=method, **bounds)
        near(found.x, 2)


def test_differences(way):
    assert optimize.check_grad(way(rosen), way(jg.grad(rosen)), START) < 1e-2
    near(optimize.approx_fprime(START, way(rosen)), np.asarray(jg.grad(rosen)(START)), 1e-2)
    at = np.array([1.0, 2.0])
    near(optimize.approx_fprime(at, way(residuals)), np.asarray(jg.jacfwd(residuals)(at)), 1e-2)
    assert optimize.line_search(way(rosen), way(jg.grad(rosen)), START, -np.asarray(jg.grad(rosen)(START)))[0] > 0


def test_integrals_and_equations(way):
    assert integrate.quad(way(lambda x: jg.exp(-(jg.as_tensor(x) ** 2))), 0, 3)[0] == pytest.approx(0.88620735, abs=1e-6)
    decay, y = way(lambda t, y: -y * 1.0), np.array([1.0, 2.0])
    for method in ("RK45", "DOP853", "Radau", "BDF", "LSODA"):
        near(integrate.solve_ivp(decay, (0, 1), y, method=method, rtol=1e-6).y[:, -1], y * np.exp(-1))
    near(integrate.odeint(way(lambda y, t: -y * 1.0), y, [0, 1.0])[-1], y * np.exp(-1))
    event = way(lambda t, y: y[0] - 0.5)
    near(integrate.solve_ivp(decay, (0, 5), y[:1], events=event).t_events[0], [np.log(2)])


def test_native_functions():
    both = jg.value_and_grad(rosen).compile(START)
    for f in (both, both.njit):
        near(optimize.minimize(f, START, jac=True, method="L-BFGS-B").x, 1, 2e-2)
    f, slopes = jg.jit(residuals).compile(np.zeros(2)), jg.jit(jg.jacfwd(residuals)).compile(np.zeros(2))
    near(optimize.least_squares(f, np.array([-1.2, 1.0]), jac=slopes).x, 1)
    near(optimize.root(jg.jit(cubic).compile(np.ones(2)), np.ones(2)).x, 2)
    assert optimize.brentq(jg.jit(cubic).compile(np.float64(0)), 0.0, 5.0) == pytest.approx(2)
    assert integrate.quad(jg.jit(lambda x: x**3).compile(np.float64(0)), 0.0, 2.0)[0] == pytest.approx(4)


def test_results_that_require_grad_are_refused_and_say_so():
    w = jg.tensor([2.0, 1.0], requires_grad=True)
    with pytest.raises((RuntimeError, TypeError), match=r"requires? grad"):
        optimize.minimize(lambda x: ((jg.as_tensor(x) - w) ** 2).sum(), np.zeros(2))
