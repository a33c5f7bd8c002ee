"""A Kalman filter: how rough a drive is and how bad the receiver, by maximum likelihood from noisy positions.

The filter is a `scan` over the measurements, one row of the tape; under `jit` its step, a few small matrix products and a
Cholesky factor, is a loop in machine code, and so are its gradient and its Hessian, which gives the standard errors. Run it:

    pip install jitgrad scipy
    python examples/kalman.py [--quick] [--plot FILE]

It prints the estimates beside the truth (the drive is simulated), how much nearer to it the filter is than what was measured, and
what a value and gradient costs under `jit`, beside finite differences of the compiled value, and eagerly.

Source: R. E. Kalman, A new approach to linear filtering and prediction problems, Journal of Basic Engineering 82 (1960).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from shared import options, picture, table

import jitgrad as jg

TRUTH = np.array([0.3, 2.0])  # standard deviations of acceleration and of measurements
MOVE = np.kron([[1.0, 1.0], [0.0, 1.0]], np.eye(2))  # positions and velocities after a second
PUSH = np.kron([[0.5], [1.0]], np.eye(2))  # what an acceleration in that second does to them
SEEN = np.eye(2, 4)  # positions alone are measured


def filtered(move: Any, rough: Any, seen: Any, noise: Any, start: Any, wide: Any, measured: Any) -> tuple:
    """The mean of the state after every measurement, and the logarithms of what each was expected with; `rough` and `noise`
    are the covariances of what is added to the state and to a measurement, `wide` is that of the first state."""

    def step(carry: tuple, y: jg.Tensor) -> tuple:
        mean, spread = carry
        mean, spread = move @ mean, move @ spread @ move.T + rough
        triangle = jg.linalg.cholesky(seen @ spread @ seen.T + noise)
        z = jg.linalg.solve_triangular(triangle, jg.column_stack([y - seen @ mean, seen @ spread]), upper=False)
        surprise, gain = z[:, 0], z[:, 1:]
        mean, spread = mean + gain.T @ surprise, spread - gain.T @ gain
        density = -0.5 * (surprise @ surprise + len(y) * np.log(2 * np.pi)) - jg.log(jg.diagonal(triangle)).sum()
        return (mean, spread), (mean, density)

    return jg.scan(step, (start, wide), measured)[1]


def drive(p: jg.Tensor, measured: jg.Tensor) -> tuple:
    """The same for a drive; `p` holds the logarithms of what TRUTH is."""
    variances = jg.exp(2 * p)
    rough, noise = variances[0] * (PUSH @ PUSH.T), variances[1] * np.eye(2)
    return filtered(MOVE, rough, SEEN, noise, np.zeros(4), 100 * np.eye(4), measured)


def loss(p: jg.Tensor, measured: jg.Tensor) -> jg.Tensor:
    """Minus the logarithm of the likelihood, a measurement on average."""
    return -drive(p, measured)[1].mean()


def simulated(seconds: int, seed: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Positions, and what was measured of them."""
    random = np.random.default_rng(seed)
    state, states = np.zeros(4), []
    for _ in range(seconds):
        state = MOVE @ state + PUSH @ (TRUTH[0] * random.standard_normal(2))
        states.append(SEEN @ state)
    return np.array(states), np.array(states) + TRUTH[1] * random.standard_normal((seconds, 2))


def main(arguments: list[str] | None = None) -> tuple:
    """The example; returns the estimates, their standard errors as factors, and the errors of filter and receiver."""
    given = options(__doc__, arguments)
    positions, measured = simulated(100 if given.quick else 500)
    found = jg.optim.minimize(loss, np.zeros(2), (measured,), "BFGS")
    hessian = jg.jit(jg.hessian(loss))(found.x, measured).numpy()
    estimates, errors = np.exp(found.x), np.exp(np.sqrt(np.diag(np.linalg.inv(len(measured) * hessian))))
    for name, estimate, error, truth in zip(("acceleration", "measurement"), estimates, errors, TRUTH):
        print(f"deviation of {name:<13}{estimate:.3f}, times or by {error:.3f} (truth {truth})")
    means = jg.jit(drive)(found.x, measured)[0].numpy()
    off = [np.sqrt(((path - positions) ** 2).sum(1).mean()) for path in (means[:, :2], measured)]
    print(f"the filter is off by {off[0]:.2f} m, the receiver by {off[1]:.2f} m")

    eager = jg.value_and_grad(loss)
    value, step = jg.jit(loss), jg.jit(eager)
    few = np.array([[0, 0], [1e-6, 0], [0, 1e-6]])
    calls = {
        "jit": lambda: step(found.x, measured),
        "finite differences of the value under jit": lambda: [value(found.x + each, measured) for each in few],
        "eager": lambda: eager(found.x, measured),
    }
    table(f"one value and gradient, {len(measured)} measurements", calls, 3)
    if given.plot:
        with picture(given.plot) as axes:
            axes.plot(*measured[:50].T, ".", color="0.7", label="measured")
            axes.plot(*means[:50, :2].T, "C0", label="filtered")
            axes.plot(*positions[:50].T, "k--", lw=1, label="truth")
            axes.set(xlabel="m", ylabel="m", aspect="equal")
            axes.legend()
    return estimates, errors, off


if __name__ == "__main__":
    main()
