"""Newton's method and L-BFGS with no Python in the loop: the most likely weights of a Bayesian logistic regression.

Both optimisers are plain functions that get the derivatives as an argument. Under `@njit`, over a native function
from `compile`, all of it is machine code; over a function under `jit` the very same text runs as Python. Run it:

    pip install 'jitgrad[demo]' scipy
    python examples/newton.py [--quick] [--plot FILE]

It prints where each method ends, in how many steps, and how long that takes, beside the minimisers of SciPy.

Sources: J. Nocedal and S. Wright, Numerical Optimization (2006): Newton's method with a step that is halved until
Armijo's condition holds (section 3.1, algorithm 3.2), and L-BFGS (algorithms 7.4 and 7.5, first matrix by 7.20).
"""

from __future__ import annotations

from collections.abc import Callable

import numba
import numpy as np
from shared import options, picture, table, tumours

import jitgrad as jg


def energy(x: np.ndarray, y: np.ndarray) -> Callable:
    """Minus the logarithm of the posterior density, with a standard normal prior; its minimum is the mode."""
    x, y = jg.tensor(x), jg.tensor(y)
    return lambda w: jg.softplus(-y * (x @ w)).sum() + 0.5 * (w * w).sum()


def with_hessian(f: Callable) -> Callable:
    """Value, gradient and Hessian in one function."""
    return lambda w: (*jg.value_and_grad(f)(w), jg.hessian(f)(w))


def newton(derivatives: Callable, w: np.ndarray, most: int, small: float) -> tuple:
    """The minimum, and the values on the way; stops when no element of the gradient is larger than `small`."""
    value, slope, curvature = derivatives(w)
    values = [value]
    while np.max(np.abs(slope)) > small and len(values) <= most:
        step, length = -np.linalg.solve(curvature, slope), 1.0
        before, descent = value, slope @ step
        value, slope, curvature = derivatives(w + step)
        while value > before + 1e-4 * length * descent and length > 1e-9:
            length = 0.5 * length
            value, slope, curvature = derivatives(w + length * step)
        w = w + length * step
        values.append(value)
    return w, values


def lbfgs(gradient: Callable, w: np.ndarray, most: int, small: float, memory: int = 10) -> tuple:
    """The same from gradients alone, with the last `memory` steps in place of the Hessian."""
    value, slope = gradient(w)
    moved, changed = np.zeros((memory, w.size)), np.zeros((memory, w.size))
    weight, inner = np.zeros(memory), np.zeros(memory)
    values, kept, scale = [value], 0, 1 / np.sqrt(slope @ slope)
    while np.max(np.abs(slope)) > small and len(values) <= most:
        step = -slope
        for k in range(kept - 1, max(kept - memory, 0) - 1, -1):
            i = k % memory
            inner[i] = weight[i] * (moved[i] @ step)
            step = step - inner[i] * changed[i]
        step = scale * step
        for k in range(max(kept - memory, 0), kept):
            i = k % memory
            step = step + (inner[i] - weight[i] * (changed[i] @ step)) * moved[i]
        length, descent = 1.0, slope @ step
        there, there_slope = gradient(w + step)
        while there > value + 1e-4 * length * descent and length > 1e-9:
            length = 0.5 * length
            there, there_slope = gradient(w + length * step)
        step, change = length * step, there_slope - slope
        if step @ change > 0:
            i = kept % memory
            moved[i], changed[i], weight[i] = step, change, 1 / (step @ change)
            kept, scale = kept + 1, (step @ change) / (change @ change)
        w, value, slope = w + step, there, there_slope
        values.append(value)
    return w, values


native_newton, native_lbfgs = numba.njit(newton), numba.njit(lbfgs)


def in_numpy(function: Callable) -> Callable:
    """A function under `jit`, for code that wants arrays."""
    return lambda w: tuple(part.numpy() for part in function(w))


def main(arguments: list[str] | None = None) -> dict:
    """The example; returns the mode by each method, and the energies on the way."""
    given = options(__doc__, arguments)
    from scipy.optimize import minimize

    f, start, (most, small) = energy(*tumours()), np.zeros(31), (200, 1e-6)
    hessian, gradient = jg.jit(with_hessian(f)), jg.jit(jg.value_and_grad(f))
    native_hessian, native_gradient = hessian.compile(start).njit, gradient.compile(start).njit
    ways = {"Newton": (native_newton, native_hessian), "L-BFGS": (native_lbfgs, native_gradient)}
    modes, paths = {}, {}
    for name, (method, derivatives) in ways.items():
        w, paths[name] = modes[name] = method(derivatives, start, most, small)
        slope = abs(gradient(w)[1].numpy()).max()
        print(f"{name}: {paths[name][-1]:.9f} after {len(paths[name]) - 1} steps, gradient at most {slope:.0e}")

    both, all_three, limits = in_numpy(gradient), in_numpy(hessian), {"gtol": small, "ftol": 1e-15}

    def trust() -> None:
        minimize(both, start, jac=True, hess=lambda w: all_three(w)[2], method="trust-exact", options={"gtol": small})

    rounds = 3 if given.quick else 15
    table(
        "Newton, from zero to the mode",
        {
            "@njit over compile": lambda: native_newton(native_hessian, start, most, small),
            "the same in Python over jit": lambda: newton(all_three, start, most, small),
            "scipy trust-exact over jit": trust,
        },
        rounds,
    )
    table(
        "L-BFGS",
        {
            "@njit over compile": lambda: native_lbfgs(native_gradient, start, most, small),
            "the same in Python over jit": lambda: lbfgs(both, start, most, small),
            "scipy L-BFGS-B over jit": lambda: minimize(both, start, jac=True, method="L-BFGS-B", options=limits),
            "scipy L-BFGS-B, finite differences": lambda: minimize(
                lambda w: both(w)[0], start, method="L-BFGS-B", options=limits
            ),
        },
        rounds,
    )
    if given.plot:
        with picture(given.plot) as axes:
            for name, values in paths.items():
                axes.semilogy(np.array(values) - min(map(min, paths.values())) + 1e-16, marker=".", label=name)
            axes.set(xlabel="step", ylabel="energy above the mode's")
            axes.legend()
    return modes


if __name__ == "__main__":
    main()
