"""Calibrating a GARCH(1, 1) model to some 2000 daily returns: SciPy's minimiser over a gradient through the recursion.

Today's variance is omega + alpha * yesterday's squared return + beta * yesterday's variance. The recursion is a `scan`: one
row of the tape, whose step is compiled once and loops in machine code, as do its gradient and its Hessian, which gives the
standard errors. Run it:

    pip install jitgrad scipy
    python examples/garch.py [--quick] [--plot FILE]

It prints the estimates beside the truth (the returns are simulated), and what one value and gradient costs beside finite
differences over a recursion in Numba, and `jax.jit` over `lax.scan` where JAX is installed.

Source: T. Bollerslev, Generalized autoregressive conditional heteroskedasticity, Journal of Econometrics 31 (1986);
standard errors from the inverse of the Hessian, as for any likelihood.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from shared import options, picture, table

import jitgrad as jg

TRUTH = np.array([0.05, 0.08, 0.90])  # omega, alpha, beta; returns in percent a day
START = np.array([0.1, 0.1, 0.8])


def returns(days: int, seed: int = 10) -> np.ndarray:
    """Returns that follow the model."""
    random, (omega, alpha, beta) = np.random.default_rng(seed), TRUTH
    variance, found = omega / (1 - alpha - beta), np.empty(days)
    for i in range(days):
        found[i] = np.sqrt(variance) * random.standard_normal()
        variance = omega + alpha * found[i] ** 2 + beta * variance
    return found


def likelihood(days: np.ndarray) -> Callable:
    """Minus the logarithm of the likelihood, a day on average, of (omega, alpha, beta); the first variance is the sample's."""
    squares = days * days

    def variances(p: Any) -> Any:
        def tomorrow(variance: Any, square: Any) -> tuple:
            return p[0] + p[1] * square + p[2] * variance, variance

        return jg.scan(tomorrow, jg.tensor(squares.mean()), squares)[1]

    def loss(p: Any) -> Any:
        variance = variances(p)
        return 0.5 * (jg.log(2 * np.pi * variance) + jg.tensor(squares) / variance).mean()

    return loss


@numba.njit
def by_hand(p: np.ndarray, squares: np.ndarray) -> tuple:
    """The same value and gradient as one would write them out for Numba, derivatives running along with the recursion."""
    value, gradient, variance, change = 0.0, np.zeros(3), squares.mean(), np.zeros(3)
    for square in squares:
        value += 0.5 * (np.log(2 * np.pi * variance) + square / variance)
        slope = 0.5 * (1 - square / variance) / variance
        for i in range(3):
            gradient[i] += slope * change[i]
            change[i] *= p[2]
        change[0] += 1
        change[1] += square
        change[2] += variance
        variance = p[0] + p[1] * square + p[2] * variance
    return value / squares.size, gradient / squares.size


def over_jax(squares: np.ndarray) -> Callable:
    """The same from JAX, whose `scan` compiles one day and loops over it."""
    import jax
    from jax import numpy as jnp

    jax.config.update("jax_enable_x64", True)

    def loss(p: Any) -> Any:
        variance = jax.lax.scan(lambda v, s: (p[0] + p[1] * s + p[2] * v, v), squares.mean(), squares)[1]
        return 0.5 * (jnp.log(2 * np.pi * variance) + squares / variance).mean()

    function = jax.jit(jax.value_and_grad(loss))
    return lambda p: jax.block_until_ready(function(p))


def calibrate(loss: Callable, days: int) -> tuple[Any, np.ndarray]:
    """What SciPy's minimiser found, and the standard errors."""
    from scipy.optimize import minimize

    step = jg.jit(jg.value_and_grad(loss))
    bounds = [(1e-6, None), (0, 1), (0, 1)]
    found = minimize(
        lambda p: tuple(part.numpy() for part in step(p)),
        START,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"ftol": 1e-14, "gtol": 1e-7},
    )
    information = days * jg.jit(jg.hessian(loss))(found.x).numpy()
    return found, np.sqrt(np.diag(np.linalg.inv(information)))


def main(arguments: list[str] | None = None) -> tuple:
    """The example; returns what the minimiser found, and the standard errors."""
    given = options(__doc__, arguments)
    from scipy.optimize import approx_fprime

    days = returns(300 if given.quick else 2000)
    loss, squares = likelihood(days), days * days
    step = jg.jit(jg.value_and_grad(loss))
    began = time.perf_counter()
    step(START)
    print(f"recorded and compiled in {time.perf_counter() - began:.2f} s")
    found, errors = calibrate(loss, days.size)
    for name, estimate, error, truth in zip(("omega", "alpha", "beta"), found.x, errors, TRUTH):
        print(f"{name:6}{estimate:8.4f} +- {error:.4f}   truth {truth}")
    print(f"{found.nfev} gradients, largest element at the end {abs(found.jac).max():.0e}")

    calls = {
        "jit of scan": lambda: step(START),
        "finite differences of Numba's value": lambda: approx_fprime(START, lambda p: by_hand(p, squares)[0]),
        "Numba, derivatives by hand": lambda: by_hand(START, squares),
    }
    try:
        function = over_jax(squares)
        calls["jax.jit of lax.scan"] = lambda: function(START)
    except ImportError:
        pass
    table(f"one value and gradient, {days.size} days", calls, 5 if given.quick else 25)
    if given.plot:
        with picture(given.plot) as axes:
            omega, alpha, beta = found.x
            variance = jg.scan(lambda v, s: (omega + alpha * s + beta * v, v), jg.tensor(squares.mean()), squares)[1]
            axes.plot(abs(days), ".", color="0.7", label="absolute return")
            axes.plot(np.sqrt(variance.numpy()), "C3", label="fitted volatility")
            axes.set(xlabel="day", ylabel="percent")
            axes.legend()
    return found, errors


if __name__ == "__main__":
    main()
