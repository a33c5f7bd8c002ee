"""An adaptive Runge–Kutta solver with gradients through the trajectory, fitted to 21 years of hares and lynxes.

One step of the solver is a function that jitgrad compiles, once as it is and once with its reverse sweep. The loop around
it, which accepts steps or makes them smaller, is `@njit` code of ours, and so is the way back: it hands the gradient from
step to step, last to first. That is the exact gradient of what the solver computed, the accepted steps being given
(discretise, then differentiate); how the steps were chosen is not differentiated, as is usual. Run it:

    pip install jitgrad scipy
    python examples/runge_kutta.py [--quick] [--plot FILE]

It prints the fitted rates and what one gradient costs, beside finite differences and SciPy's solver.

Sources: J. Dormand and P. Prince, A family of embedded Runge–Kutta formulae, J. Comput. Appl. Math. 6 (1980), with
the tableau and the control of steps as in Hairer, Nørsett, Wanner, Solving Ordinary Differential Equations I (1993),
table II.5.2 and section II.4. Lynx and snowshoe hare: pelts in thousands bought by the Hudson's Bay Company 1900–1920, as
tabulated by J. Mahaffy (San Diego State University, 2010); the model with lognormal errors is that of B. Carpenter,
Predator-prey population dynamics (Stan case study, 2018), who finds rates of 0.55, 0.028, 0.80 and 0.024.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from shared import options, picture, table

import jitgrad as jg

HARE = [30, 47.2, 70.2, 77.4, 36.3, 20.6, 18.1, 21.4, 22, 25.4, 27.1, 40.3, 57, 76.6, 52.3, 19.5, 11.2, 7.6, 14.6, 16.2, 24.7]
LYNX = [4, 6.1, 9.8, 35.2, 59.4, 41.7, 19, 13, 8.3, 9.1, 7.4, 8, 12.3, 19.5, 45.7, 51.1, 29.7, 15.8, 9.7, 10.1, 8.6]
PELTS = np.array([HARE, LYNX]).T
GUESS = np.log([0.5, 0.03, 1.0, 0.03, *PELTS[0]])  # logarithms, so that rates and animals stay positive

STAGES = (
    (),
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),  # the result, of order 5
)
ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)  # order 5 less order 4


def predator_prey(y: Any, rates: Any) -> Any:
    """Lotka and Volterra: hares are born and eaten; lynxes starve, and thrive on hares."""
    hare, lynx = y[0], y[1]
    return jg.stack([(rates[0] - rates[1] * lynx) * hare, (rates[3] * hare - rates[2]) * lynx])


def step(f: Callable) -> Callable:
    """One step of length h from y: where it ends, and an estimate of its error."""

    def after(y: Any, h: Any, p: Any) -> tuple:
        slopes: list[Any] = []
        for weights in STAGES:
            end = y + h * sum(w * k for w, k in zip(weights, slopes) if w) if weights else y
            slopes.append(f(end, p))
        return end, h * sum(w * k for w, k in zip(ERROR, slopes) if w)

    return after


def compiled(f: Callable, y: np.ndarray, p: np.ndarray) -> tuple:
    """The step, and its reverse sweep: from the gradient in its end to those in y and p, both for `@njit` code."""

    def back(y: Any, h: Any, p: Any, gradient: Any) -> Any:
        return jg.vjp(lambda y, p: step(f)(y, h, p)[0], y, p)[1](gradient)

    h = np.float64(0.1)
    return jg.jit(step(f)).compile(y, h, p).njit, jg.jit(back).compile(y, h, p, y).njit


@numba.njit
def solve(step: Callable, y: np.ndarray, p: np.ndarray, times: np.ndarray, tolerance: float) -> tuple:
    """The states at `times`; and the start, the length and the interval of every accepted step."""
    states, starts, lengths, intervals = np.empty((times.size, y.size)), [y], [0.0], [0]
    states[0], h = y, 0.1
    for i in range(1, times.size):
        t = times[i - 1]
        while t < times[i]:
            last = t + h >= times[i]
            taken = times[i] - t if last else h
            end, wrong = step(y, taken, p)
            size = np.sqrt(((wrong / (tolerance * (1 + np.maximum(np.abs(y), np.abs(end))))) ** 2).mean())
            factor = min(5.0, max(0.2, 0.9 * (size + 1e-10) ** -0.2)) if np.isfinite(size) else 0.2
            if size <= 1:
                starts.append(y)
                lengths.append(taken)
                intervals.append(i)
                t, y = times[i] if last else t + taken, end
            elif taken < 1e-10:
                raise ValueError("the solver needs steps that are too small: the problem is stiff, or a rate is absurd")
            h = max(h, taken * factor) if last and size <= 1 else taken * factor
        states[i] = y
    return states, starts[1:], lengths[1:], intervals[1:]


@numba.njit
def solve_back(back: Callable, p: np.ndarray, gradient: np.ndarray, starts: list, lengths: list, intervals: list) -> tuple:
    """From the gradient in the states at `times` to those in the first state and in `p`."""
    in_y, in_p = np.zeros(gradient.shape[1]), np.zeros(p.size)
    for k in range(len(starts) - 1, -1, -1):
        if k == len(starts) - 1 or intervals[k] != intervals[k + 1]:  # this step ends at times[intervals[k]]
            in_y = in_y + gradient[intervals[k]]
        in_y, more = back(starts[k], lengths[k], p, in_y)
        in_p = in_p + more
    return in_y + gradient[0], in_p


@numba.njit
def misfit(step: Callable, back: Callable, unknown: np.ndarray, pelts: np.ndarray, tolerance: float) -> tuple:
    """Half the sum of squared errors of the logarithms, and its gradient in the logarithms of rates and first state."""
    p, y = np.exp(unknown[:4]), np.exp(unknown[4:])
    states, starts, lengths, intervals = solve(step, y, p, np.arange(len(pelts)) * 1.0, tolerance)
    apart = np.log(states) - np.log(pelts)
    in_y, in_p = solve_back(back, p, apart / states, starts, lengths, intervals)
    return 0.5 * (apart * apart).sum(), np.concatenate((in_p * p, in_y * y))


def by_scipy(unknown: np.ndarray, tolerance: float) -> float:
    """The misfit with SciPy's solver of the same method, in Python."""
    from scipy.integrate import solve_ivp

    a, b, c, d = np.exp(unknown[:4])
    years = np.arange(len(PELTS))
    found = solve_ivp(
        lambda t, y: [(a - b * y[1]) * y[0], (d * y[0] - c) * y[1]],
        (0, years[-1]),
        np.exp(unknown[4:]),
        t_eval=years,
        rtol=tolerance,
        atol=tolerance,
    )
    return 0.5 * ((np.log(found.y.T) - np.log(PELTS)) ** 2).sum()


def over_jax(tolerance: float) -> Callable:
    """Value and gradient from JAX's solver of the same order, which solves a second equation backwards in time instead."""
    import jax
    from jax.experimental.ode import odeint

    jax.config.update("jax_enable_x64", True)
    xp, years = jax.numpy, np.arange(len(PELTS)) * 1.0

    def slope(y: Any, t: Any, p: Any) -> Any:
        return xp.stack([(p[0] - p[1] * y[1]) * y[0], (p[3] * y[0] - p[2]) * y[1]])

    def loss(unknown: Any) -> Any:
        states = odeint(slope, xp.exp(unknown[4:]), years, xp.exp(unknown[:4]), rtol=tolerance, atol=tolerance)
        return 0.5 * ((xp.log(states) - np.log(PELTS)) ** 2).sum()

    function = jax.jit(jax.value_and_grad(loss))
    return lambda u: jax.block_until_ready(function(u))


def main(arguments: list[str] | None = None) -> tuple:
    """The example; returns what the minimiser found, and the two native functions."""
    given = options(__doc__, arguments)
    from scipy.optimize import approx_fprime, minimize

    forward, back = compiled(predator_prey, np.ones(2), np.ones(4))
    tolerance = 1e-6
    found = minimize(lambda u: misfit(forward, back, u, PELTS, tolerance), GUESS, jac=True, method="BFGS", options={"gtol": 1e-4})
    rates, first = np.exp(found.x[:4]), np.exp(found.x[4:])
    print("rates", rates.round(4), "first state", first.round(2), f"misfit {found.fun:.5f} after {found.nfev} gradients")

    calls = {
        "@njit over compile": lambda: misfit(forward, back, GUESS, PELTS, tolerance),
        "finite differences of the same solver": lambda: approx_fprime(
            GUESS, lambda u: misfit(forward, back, u, PELTS, tolerance)[0]
        ),
        "finite differences of scipy's RK45": lambda: approx_fprime(GUESS, lambda u: by_scipy(u, tolerance)),
    }
    try:
        function = over_jax(tolerance)
        calls["jax.jit over jax.experimental.ode"] = lambda: function(GUESS)
    except ImportError:
        pass
    table("one value and gradient in 6 unknowns, tolerance 1e-6", calls, 3 if given.quick else 15)
    if given.plot:
        times = np.linspace(0, len(PELTS) - 1, 401)
        states = solve(forward, first, rates, times, tolerance)[0]
        with picture(given.plot) as axes:
            for i, (name, colour) in enumerate({"hares": "C0", "lynxes": "C1"}.items()):
                axes.plot(1900 + times, states[:, i], colour, label=name)
                axes.plot(1900 + np.arange(len(PELTS)), PELTS[:, i], colour + "o")
            axes.set(xlabel="year", ylabel="pelts, thousands")
            axes.legend()
    return found, forward, back


if __name__ == "__main__":
    main()
