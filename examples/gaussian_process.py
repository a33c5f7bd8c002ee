"""Gaussian process regression: height, length and noise of a curve fitted to measurements by the marginal likelihood.

The likelihood is a Cholesky factor of the covariance of all measurements, and a triangular solve. `optim.minimize` hands its
value and gradient to SciPy's L-BFGS as one compiled call; the parameters are a dict. Run it:

    pip install jitgrad scipy
    python examples/gaussian_process.py [--quick] [--plot FILE]

It prints the parameters beside the truth (the curve is drawn from a process), with standard errors from the Hessian, how
often the band of 95 % holds the curve, and what a value and gradient costs under `jit` and eagerly.

Source: C. E. Rasmussen and C. K. I. Williams, Gaussian processes for machine learning, 2006, algorithm 2.1.
"""

from __future__ import annotations

import numpy as np
from shared import options, picture, table

import jitgrad as jg

TRUTH = {"height": 1.5, "length": 0.7, "noise": 0.3}
START = dict.fromkeys(TRUTH, 0.0)  # logarithms, so that every number is allowed
GRID = np.linspace(0, 10, 201)


def covariance(p: dict, a: jg.Tensor, b: jg.Tensor) -> jg.Tensor:
    """Between the values of the curve at the places `a` and `b`."""
    apart = (a[:, None] - b) / jg.exp(p["length"])
    return jg.exp(2 * p["height"] - 0.5 * apart * apart)


def factor(p: dict, x: jg.Tensor) -> jg.Tensor:
    """The Cholesky factor of the covariance of what was measured at `x`."""
    return jg.linalg.cholesky(covariance(p, x, x) + jg.exp(2 * p["noise"]) * jg.eye(len(x), dtype=x.dtype))


def loss(p: dict, x: jg.Tensor, y: jg.Tensor) -> jg.Tensor:
    """Minus the logarithm of the likelihood of the measurements."""
    triangle = factor(p, x)
    z = jg.linalg.solve_triangular(triangle, y[:, None], upper=False)
    return 0.5 * (z * z).sum() + jg.log(jg.diagonal(triangle)).sum() + 0.5 * len(x) * np.log(2 * np.pi)


@jg.jit
def predict(p: dict, x: jg.Tensor, y: jg.Tensor, new: jg.Tensor) -> tuple[jg.Tensor, jg.Tensor]:
    """Mean and standard deviation of the curve at new places."""
    triangle, between = factor(p, x), covariance(p, x, new)
    mean = between.T @ jg.cholesky_solve(y[:, None], triangle)
    seen = jg.linalg.solve_triangular(triangle, between, upper=False)
    return mean[:, 0], jg.sqrt(jg.exp(2 * p["height"]) - (seen * seen).sum(0))


def measurements(count: int, seed: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places, what was measured there, and the curve itself on GRID."""
    random = np.random.default_rng(seed)
    x = np.sort(random.uniform(0, 10, count))
    everywhere, logs = np.hstack([x, GRID]), {name: np.log(truth) for name, truth in TRUTH.items()}
    spread = covariance(logs, everywhere, everywhere).numpy() + 1e-8 * np.eye(count + len(GRID))
    curve = np.linalg.cholesky(spread) @ random.standard_normal(len(spread))
    return x, curve[:count] + TRUTH["noise"] * random.standard_normal(count), curve[count:]


def standard_errors(p: dict, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Of the logarithms, in the order of their names: from the inverse of the Hessian, as for any likelihood."""
    blocks = jg.jit(jg.hessian(loss))(p, x, y)
    return np.sqrt(np.diag(np.linalg.inv([[float(blocks[a][b]) for b in p] for a in p])))


def main(arguments: list[str] | None = None) -> tuple:
    """The example; returns what was found, the standard errors, and the share of the curve in the band."""
    given = options(__doc__, arguments)
    x, y, curve = measurements(60 if given.quick else 200)
    found = jg.optim.minimize(loss, START, (x, y), "L-BFGS-B")
    errors = standard_errors(found.x, x, y)
    for (name, p), error in zip(found.x.items(), errors):
        print(f"{name:<7}{np.exp(p):.3f}, times or by {np.exp(error):.2f} (truth {TRUTH[name]})")
    mean, deviation = (part.numpy() for part in predict(found.x, x, y, GRID))
    inside = np.mean(abs(mean - curve) < 1.96 * deviation)
    print(f"{found.nit} iterations; the band of 95 % holds {inside:.0%} of the curve")

    step = jg.value_and_grad(loss)
    compiled = jg.jit(step)
    calls = {"jit": lambda: compiled(START, x, y), "eager": lambda: step(START, x, y)}
    table(f"one value and gradient, {len(x)} measurements", calls, 5 if given.quick else 51)
    if given.plot:
        with picture(given.plot) as axes:
            axes.fill_between(GRID, mean - 1.96 * deviation, mean + 1.96 * deviation, color="C0", alpha=0.2, label="95 %")
            axes.plot(GRID, mean, "C0", label="mean")
            axes.plot(GRID, curve, "k--", lw=1, label="truth")
            axes.plot(x, y, ".", color="0.5", label="measured")
            axes.set(xlabel="place", ylabel="value", ylim=(-4, 4.5))
            axes.legend(ncols=4)
    return found.x, errors, inside


if __name__ == "__main__":
    main()
