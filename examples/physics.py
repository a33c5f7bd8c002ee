"""A physics-informed fit: a small network that solves the equation of a pendulum, by its second derivative.

The network never sees the solution. Its loss is the mean square of u'' + sin u at points in time, so it needs two
derivatives in the time inside, and one in the weights outside. `grad(grad(u))` under `vmap` gives u'' at all points, and
`jit(value_and_grad(loss))` runs all of it as a few loops and products of matrices; SciPy's L-BFGS minimises. Run it:

    pip install jitgrad scipy
    python examples/physics.py [--quick] [--plot FILE]

It prints the error against the exact solution, and what one gradient of the loss costs by reverse over reverse, by two
forward sweeps inside, and with `jax.jit` and `torch.func` where they are installed.

Sources: M. Raissi, P. Perdikaris, G. Karniadakis, Physics-informed neural networks, J. Comput. Phys. 378 (2019); the initial
state is built in as proposed by I. Lagaris, A. Likas, D. Fotiadis, IEEE Trans. Neural Networks 9 (1998). The exact
solution is 2 arcsin(k sn(K - t, k)) with k = sin(u(0) / 2) (Abramowitz and Stegun, chapter 16).
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from shared import options, picture, table

import jitgrad as jg

BEGIN, END = 2.0, 4.0  # let go at 2 radians; to the other side. Much further, a fit may balance upright instead, with a
# small loss and a wrong answer: a known weakness of the method, which a look at the solution shows and the loss does not.
WIDTH = 16
SHAPES = [(WIDTH,), (WIDTH,), (WIDTH, WIDTH), (WIDTH,), (WIDTH,)]


def weights(seed: int = 0) -> np.ndarray:
    """Where the fit begins: all weights in one array, as minimisers want them."""
    random = np.random.default_rng(seed)
    parts = [random.standard_normal(WIDTH), random.standard_normal(WIDTH)]
    parts += [random.standard_normal(shape) / np.sqrt(WIDTH) for shape in SHAPES[2:]]
    return np.concatenate([part.ravel() for part in parts])


def angle(w: Any, t: Any, xp: Any = jg) -> Any:
    """u(t): two layers of tanh, multiplied such that u(0) = BEGIN and u'(0) = 0 whatever the weights."""
    parts, at = [], 0
    for shape in SHAPES:
        size = int(np.prod(shape))
        parts.append(w[at : at + size].reshape(shape))
        at += size
    first, first_bias, second, second_bias, last = parts
    hidden = xp.tanh(xp.tanh(first * t + first_bias) @ second + second_bias)
    return BEGIN + t * t * (hidden * last).sum()


def by_reverse(u: Callable, t: Any) -> Any:
    """u'' by two reverse sweeps."""
    return jg.grad(jg.grad(u))(t)


def by_forward(u: Callable, t: Any) -> Any:
    """u'' by two forward sweeps."""

    def slope(t: Any) -> Any:
        return jg.jvp(u, (t,), (jg.ones_like(t),))[1]

    return jg.jvp(slope, (t,), (jg.ones_like(t),))[1]


def residual_loss(times: np.ndarray, second: Callable = by_reverse) -> Callable:
    """The mean square of u'' + sin u."""
    times = jg.tensor(times)

    def loss(w: Any) -> Any:
        def residual(t: Any) -> Any:
            return second(lambda t: angle(w, t), t) + jg.sin(angle(w, t))

        return (jg.vmap(residual)(times) ** 2).mean()

    return loss


def over_jax(times: np.ndarray) -> Callable:
    """The same loss and gradient from JAX."""
    import jax

    jax.config.update("jax_enable_x64", True)

    def loss(w: Any) -> Any:
        def residual(t: Any) -> Any:
            def u(t: Any) -> Any:
                return angle(w, t, jax.numpy)

            return jax.grad(jax.grad(u))(t) + jax.numpy.sin(u(t))

        return (jax.vmap(residual)(times) ** 2).mean()

    function = jax.jit(jax.value_and_grad(loss))
    return lambda w: jax.block_until_ready(function(w))


def over_torch(times: np.ndarray) -> Callable:
    """The same from torch.func."""
    import torch
    from torch.func import grad, grad_and_value, vmap

    points = torch.tensor(times)

    def loss(w: Any) -> Any:
        def residual(t: Any) -> Any:
            def u(t: Any) -> Any:
                return angle(w, t, torch)

            return grad(grad(u))(t) + torch.sin(u(t))

        return (vmap(residual)(points) ** 2).mean()

    return lambda w: grad_and_value(loss)(torch.tensor(w))[::-1]


def exact(times: np.ndarray) -> np.ndarray:
    """The solution, by Jacobi's elliptic functions."""
    from scipy.special import ellipj, ellipk

    m = np.sin(BEGIN / 2) ** 2
    return 2 * np.arcsin(np.sqrt(m) * ellipj(ellipk(m) - times, m)[0])


def solution(w: np.ndarray, times: np.ndarray) -> np.ndarray:
    """What the network says."""
    return jg.vmap(lambda t: angle(jg.tensor(w), t))(jg.tensor(times)).numpy()


def fit(step: Callable, w: np.ndarray, most: int) -> Any:
    """What SciPy's minimiser finds."""
    from scipy.optimize import minimize

    limits = {"maxiter": most, "maxfun": 2 * most, "ftol": 0, "gtol": 1e-9, "maxcor": 50}
    return minimize(lambda w: tuple(part.numpy() for part in step(w)), w, jac=True, method="L-BFGS-B", options=limits)


def main(arguments: list[str] | None = None) -> Any:
    """The example; returns what the minimiser found."""
    given = options(__doc__, arguments)
    points, start = np.linspace(0, END, 64), weights()
    step = jg.jit(jg.value_and_grad(residual_loss(points)))
    step(start)
    began = time.perf_counter()
    found = fit(step, start, 200 if given.quick else 2000)
    print(f"{found.nit} iterations, {found.nfev} gradients: {time.perf_counter() - began:.2f} s, loss {found.fun:.1e}")
    fine = np.linspace(0, END, 401)
    print(f"largest error of u between {BEGIN} and {exact(fine)[-1]:.3f}: {abs(solution(found.x, fine) - exact(fine)).max():.1e}")

    forward = jg.jit(jg.value_and_grad(residual_loss(points, by_forward)))
    calls = {"jit, two reverse sweeps": lambda: step(start), "jit, two forward sweeps": lambda: forward(start)}
    for name, make in {"jax.jit, two reverse sweeps": over_jax, "torch.func, two reverse sweeps": over_torch}.items():
        try:
            function = make(points)
        except ImportError:
            continue
        calls[name] = functools.partial(function, start)
    table(f"loss of {points.size} points and its gradient in {start.size} weights", calls, 5 if given.quick else 51)
    if given.plot:
        with picture(given.plot) as axes:
            axes.plot(fine, exact(fine), "0.7", linewidth=4, label="exact")
            axes.plot(fine, solution(start, fine), "C0:", label="network at first")
            axes.plot(fine, solution(found.x, fine), "C3", label="network, fitted")
            axes.set(xlabel="time", ylabel="angle")
            axes.legend()
    return found


if __name__ == "__main__":
    main()
