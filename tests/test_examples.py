"""The examples and the pages in docs/, run in a small form."""

import contextlib
import importlib
import io
import math
import re

import numpy as np
import pytest

import jitgrad as jg
from tests.helpers.examples import ROOT, small_form

EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("*.py") if path.stem != "shared")
import garch  # noqa: E402
import hmc  # noqa: E402
import newton  # noqa: E402
import per_sample  # noqa: E402
import physics  # noqa: E402
import quadrature  # noqa: E402
import runge_kutta  # noqa: E402
import shared  # noqa: E402


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_small_form_of_every_example(name):
    assert f"python examples/{name}.py [--quick] [--plot FILE]" in importlib.import_module(name).__doc__
    _, printed, size = small_form(name)
    assert " 1.00 x" in printed
    assert size > 5000


def test_every_example_is_named_in_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in EXAMPLES:
        assert f"- `examples/{name}.py`: " in readme


def differences(f, x, eps=1e-6):
    """Central differences of a function of an array that gives a number."""
    return np.array([(f(x + eps * unit) - f(x - eps * unit)) / (2 * eps) for unit in np.eye(x.size)])


def test_the_page_on_native_functions_prints_what_is_shown(tmp_path):
    text = (ROOT / "docs/native.md").read_text(encoding="utf-8")
    names: dict = {"__name__": "page"}
    shown = re.findall(r"```python\n(.*?)```\s+```text\n(.*?)```", text, re.S)
    assert len(shown) == 6
    for i, (code, output) in enumerate(shown):
        (tmp_path / f"page{i}.py").write_text(code)  # Numba caches functions that are in files
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, str(tmp_path / f"page{i}.py"), "exec"), names)
        assert printed.getvalue().strip() == output.strip()


def test_hmc_in_machine_code_draws_what_python_draws():
    random = np.random.default_rng(0)
    x = random.normal(size=(50, 3))
    y = np.sign(x @ [1.0, -2.0, 0.0] + random.normal(size=50))
    energy, force = hmc.compiled(x, y)
    native, accepted = hmc.native_sample(energy, force, np.zeros(3), 100, 10, 0.1, 7)
    python, _ = hmc.sample(energy, force, np.zeros(3), 100, 10, 0.1, 7)
    np.testing.assert_allclose(native, python, rtol=1e-6)
    assert accepted > 0.9
    step = jg.value_and_grad(hmc.potential(jg.tensor(x), jg.tensor(y)))
    np.testing.assert_allclose(force(native[-1]), step(native[-1])[1].numpy())
    assert (native[20:].mean(0) * [1, -1, 0] > [0.5, 0.5, -1]).all()


def test_hmc_on_the_tumours_draws_what_python_draws():
    functions, draws = small_form("hmc")[0]
    python, accepted = hmc.sample(*functions, np.zeros(31), 10, 20, 0.05, 1)
    np.testing.assert_allclose(draws[:10], python, rtol=1e-6)
    assert accepted > 0.8


def test_the_data_of_logistic_regressions():
    for data, shape in ((shared.tumours, (569, 31)), (shared.wines, (130, 14))):
        x, y = data()
        assert x.shape == shape
        assert set(y) == {-1.0, 1.0}


def test_newton_and_lbfgs_find_the_mode():
    from scipy.optimize import minimize

    x, y = shared.tumours()
    f, start = newton.energy(x, y), np.zeros(31)
    hessian, gradient = (newton.in_numpy(jg.jit(g)) for g in (newton.with_hessian(f), jg.value_and_grad(f)))

    def energy(w):
        return np.log1p(np.exp(-y * (x @ w))).sum() + 0.5 * w @ w

    at = np.random.default_rng(1).normal(size=31) / 5
    value, slope, curvature = hessian(at)
    chance = 1 / (1 + np.exp(-(x @ at)))
    np.testing.assert_allclose(value, energy(at))
    np.testing.assert_allclose(slope, differences(energy, at), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(curvature, (x.T * (chance * (1 - chance))) @ x + np.eye(31), rtol=1e-10, atol=1e-10)

    mode = minimize(gradient, start, jac=True, hess=lambda w: hessian(w)[2], method="trust-exact", tol=1e-10).x
    found = small_form("newton")[0]
    for name, method, derivatives in (("Newton", newton.newton, hessian), ("L-BFGS", newton.lbfgs, gradient)):
        w, values = found[name]
        np.testing.assert_allclose(w, mode, atol=1e-5)
        assert max(abs(gradient(w)[1])) <= 1e-6
        assert (np.diff(values) < 1e-12).all()
        again, same = method(derivatives, start, 200, 1e-6)
        np.testing.assert_allclose(again, w, atol=1e-6)
        assert abs(len(same) - len(values)) <= 2


@pytest.fixture(scope="module")
def step_and_back():
    return small_form("runge_kutta")[0][1:]


def test_runge_kutta_has_order_five_and_keeps_to_its_tolerance(step_and_back):
    from scipy.integrate import solve_ivp

    step, _ = step_and_back
    p, y = np.exp(runge_kutta.GUESS[:4]), np.exp(runge_kutta.GUESS[4:])

    def slope(t, y):
        return [(p[0] - p[1] * y[1]) * y[0], (p[3] * y[0] - p[2]) * y[1]]

    exact = solve_ivp(slope, (0, 20), y, "DOP853", t_eval=[0, 7, 20], rtol=1e-13, atol=1e-13).y.T
    for tolerance in (1e-4, 1e-7, 1e-10):
        states, starts, lengths, intervals = runge_kutta.solve(step, y, p, np.array([0.0, 7.0, 20.0]), tolerance)
        assert abs(states - exact).max() < 1e4 * tolerance
        assert len(starts) == len(lengths) == len(intervals)
        np.testing.assert_allclose(sum(lengths), 20)
    errors = []
    for count in (40, 160):
        end = y
        for _ in range(count):
            end = step(end, 7 / count, p)[0]
        errors.append(abs(end - exact[1]).max())
    assert errors[0] / errors[1] > 4**4.5
    for z in (0.1, -0.3):  # the growth in one step of y' = z y, by the stability function of the method
        grown = runge_kutta.step(lambda y, p: p * y)(jg.tensor([1.0], dtype=jg.float64), 1.0, z)[0].item()
        np.testing.assert_allclose(grown, sum(z**k / math.factorial(k) for k in range(6)) + z**6 / 600, rtol=1e-14)


def test_the_gradient_through_the_trajectory_is_that_of_the_accepted_steps(step_and_back):
    step, back = step_and_back
    pelts, u = runge_kutta.PELTS[:3], runge_kutta.GUESS
    value, gradient = runge_kutta.misfit(step, back, u, pelts, 1e-4)
    times = np.arange(3.0)
    _, _, lengths, intervals = runge_kutta.solve(step, np.exp(u[4:]), np.exp(u[:4]), times, 1e-4)

    def replayed(u):
        y, p = jg.exp(u[4:]), jg.exp(u[:4])
        states = [y]
        for i in range(1, 3):
            for length in [h for h, interval in zip(lengths, intervals) if interval == i]:
                y = runge_kutta.step(runge_kutta.predator_prey)(y, length, p)[0]
            states.append(y)
        return 0.5 * ((jg.log(jg.stack(states)) - jg.tensor(np.log(pelts))) ** 2).sum()

    want, slope = jg.value_and_grad(replayed)(jg.tensor(u))
    np.testing.assert_allclose(value, want.item(), rtol=1e-12)
    np.testing.assert_allclose(gradient, slope.numpy(), rtol=1e-10)
    fine = [lambda u, i=i: runge_kutta.misfit(step, back, u, runge_kutta.PELTS, 1e-11)[i] for i in range(2)]
    np.testing.assert_allclose(fine[1](u), differences(fine[0], u), rtol=1e-5)


def test_rates_of_hares_and_lynxes_are_those_of_the_source():
    found = small_form("runge_kutta")[0][0]
    assert found.success
    np.testing.assert_allclose(np.exp(found.x[:4]), [0.55, 0.028, 0.80, 0.024], rtol=0.05)
    np.testing.assert_allclose(found.fun, runge_kutta.by_scipy(found.x, 1e-9), rtol=1e-5)


def test_the_solver_gives_up_on_an_absurd_problem(step_and_back):
    with pytest.raises(ValueError, match="too small"):
        runge_kutta.solve(step_and_back[0], np.full(2, 1e300), np.full(4, 1e10), np.array([0.0, 1.0]), 1e-6)


def test_garch_is_calibrated_as_by_hand():
    from scipy.optimize import minimize

    days = garch.returns(300)
    loss, squares = garch.likelihood(days), days * days
    value, gradient = jg.jit(jg.value_and_grad(loss))(garch.START)
    want, by_hand = garch.by_hand(garch.START, squares)
    np.testing.assert_allclose(value.item(), want, rtol=1e-12)
    np.testing.assert_allclose(gradient.numpy(), by_hand, rtol=1e-10)
    np.testing.assert_allclose(by_hand, differences(lambda p: garch.by_hand(p, squares)[0], garch.START), rtol=1e-6)

    found, errors = small_form("garch")[0]
    bounds = [(1e-6, None), (0, 1), (0, 1)]
    other = minimize(garch.by_hand, garch.START, (squares,), jac=True, method="L-BFGS-B", bounds=bounds, tol=1e-14)
    np.testing.assert_allclose(found.x, other.x, rtol=1e-3)
    curvature = [differences(lambda p, i=i: garch.by_hand(p, squares)[1][i], found.x) for i in range(3)]
    np.testing.assert_allclose(errors, np.sqrt(np.diag(np.linalg.inv(days.size * np.array(curvature)))), rtol=1e-3)
    assert (abs(found.x - garch.TRUTH) < 2 * errors).all()


def test_garch_recovers_the_truth_from_many_days():
    from scipy.optimize import minimize

    days = garch.returns(40_000)
    bounds = [(1e-6, None), (0, 1), (0, 1)]
    found = minimize(garch.by_hand, garch.START, (days * days,), jac=True, method="L-BFGS-B", bounds=bounds)
    np.testing.assert_allclose(found.x, garch.TRUTH, rtol=0.15)


def test_the_physics_informed_fit_finds_the_pendulum():
    points, w = np.linspace(0, physics.END, 64), physics.weights()
    exact, h = physics.exact, 1e-4
    np.testing.assert_allclose(exact(np.zeros(1)), physics.BEGIN)
    bent = (exact(points + h) - 2 * exact(points) + exact(points - h)) / h**2
    np.testing.assert_allclose(bent, -np.sin(exact(points)), atol=1e-6)

    t = np.float64(1.3)
    curve = jg.jit(lambda t: physics.angle(jg.tensor(w), t))
    slope = jg.jit(jg.grad(lambda t: physics.angle(jg.tensor(w), t)))
    rough = (slope(t + 1e-5).item() - slope(t - 1e-5).item()) / 2e-5
    for way in (physics.by_reverse, physics.by_forward):
        np.testing.assert_allclose(way(curve, jg.tensor(t)).item(), rough, rtol=1e-8)
    values, gradients = zip(
        *[jg.jit(jg.value_and_grad(physics.residual_loss(points, way)))(w) for way in (physics.by_reverse, physics.by_forward)]
    )
    np.testing.assert_allclose(values[0].item(), values[1].item(), rtol=1e-12)
    np.testing.assert_allclose(gradients[0].numpy(), gradients[1].numpy(), rtol=1e-8, atol=1e-12)
    step = jg.jit(jg.value_and_grad(physics.residual_loss(points)))
    along = np.random.default_rng(0).normal(size=w.size)
    rough = (step(w + 1e-6 * along)[0].item() - step(w - 1e-6 * along)[0].item()) / 2e-6
    np.testing.assert_allclose(gradients[0].numpy() @ along, rough, rtol=1e-6)

    fine = np.linspace(0, physics.END, 201)
    assert abs(physics.solution(small_form("physics")[0].x, fine) - exact(fine)).max() < 1e-3


def test_integrals_of_gradients():
    from scipy.integrate import quad

    length, slower = small_form("quadrature")[0]
    np.testing.assert_allclose(length, np.sinh(2), rtol=1e-13)
    np.testing.assert_allclose(slower, quadrature.closed_form(2.0), rtol=1e-13)
    native = jg.grad(quadrature.integrand, argnums=1).compile(np.float64(1), np.float64(1))
    machine_code = native.low_level_callable()
    for amplitude in (0.1, 1.0, 2.5):
        found = quad(machine_code, 0, np.pi / 2, (amplitude,))[0]
        np.testing.assert_allclose(found, quadrature.closed_form(amplitude), rtol=1e-10)
        np.testing.assert_allclose(native.njit(0.7, amplitude), quadrature.change(0.7, amplitude), rtol=1e-12)


def test_gradients_of_samples_are_shortened_one_by_one():
    x, y = (part[:24] for part in per_sample.digits())
    learn = jg.jit(jg.grad(lambda w, x, y: 24 * per_sample.loss(w, x, y)))
    w, _ = per_sample.train(learn, *per_sample.digits(), 150, 0.0)  # so that some gradients are short already
    each = [jg.grad(per_sample.loss)({k: jg.tensor(v) for k, v in w.items()}, jg.tensor(a), jg.tensor(b)) for a, b in zip(x, y)]
    lengths = [np.sqrt(sum((g.numpy() ** 2).sum() for g in gradient.values())) for gradient in each]
    assert min(lengths) < per_sample.BOUND < max(lengths)
    found = jg.jit(per_sample.together)(w, x, y)
    looped = per_sample.one_by_one(jg.jit(per_sample.alone), w, x, y)
    for name in w:
        want = sum(g[name].numpy() * min(1, per_sample.BOUND / length) for g, length in zip(each, lengths))
        np.testing.assert_allclose(found[name].numpy(), want, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(looped[name], want, rtol=1e-4, atol=1e-5)


def test_training_with_and_without_privacy_learns_the_digits():
    shares = small_form("per_sample")[0]
    assert shares["ordinary"] > 0.85
    assert shares["private"] > 0.8


def test_peers_compute_the_same():
    pytest.importorskip("jax")
    squares, few, w = garch.returns(50) ** 2, [part[:5] for part in per_sample.digits()], per_sample.network()
    points, start = np.linspace(0, 1, 5), physics.weights()
    pairs = [
        (garch.over_jax(squares)(garch.START), garch.by_hand(garch.START, squares)),
        (per_sample.over_jax(w, *few)(), jg.jit(per_sample.together)(w, *few)),
        (physics.over_jax(points)(start), jg.jit(jg.value_and_grad(physics.residual_loss(points)))(start)),
        (runge_kutta.over_jax(1e-9)(runge_kutta.GUESS)[0], runge_kutta.by_scipy(runge_kutta.GUESS, 1e-9)),
    ]
    for theirs, ours in pairs:
        for a, b in zip(parts(theirs), parts(ours), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def parts(result):
    """All arrays of a result, in order; dicts by name."""
    if isinstance(result, dict):
        result = [result[name] for name in sorted(result)]
    if isinstance(result, (tuple, list)):
        return [leaf for part in result for leaf in parts(part)]
    return [np.asarray(result.numpy() if isinstance(result, jg.Tensor) else result)]
