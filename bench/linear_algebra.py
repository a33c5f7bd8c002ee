"""Many small systems of equations, a Gaussian process (Rasmussen and Williams, 2006, algorithm 2.1), and sums of products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.contestants import COMPILED, Problem, Workload, differentiated
from bench.libraries import Library

NOISE = 0.02


def solved(library: Library, L: Any, b: Any) -> Any:
    """The z with L z = b for lower triangles L."""
    if library.name == "jax":
        import jax

        return jax.scipy.linalg.solve_triangular(L, b, lower=True)
    if library.name == "autograd":
        return library.xp.linalg.solve(L, b)
    return library.xp.linalg.solve_triangular(L, b, upper=False)


def systems(count: int = 1000, n: int = 5) -> Workload:
    """b^T A^-1 b for many positive definite A, by their Cholesky factors."""

    def loss(library: Library) -> Callable:
        def energy(A: Any, b: Any) -> Any:
            z = solved(library, library.xp.linalg.cholesky(A), b)
            return library.xp.sum(z * z)

        return energy

    def by_hand(A: Any, b: Any) -> Any:
        x = np.linalg.solve(A, b)
        return np.sum(b * x), (-x * np.swapaxes(x, -1, -2), 2 * x)

    def arguments() -> tuple:
        random = np.random.default_rng(20)
        x = random.standard_normal((count, n, n))
        return x @ np.swapaxes(x, -1, -2) + n * np.eye(n), random.standard_normal((count, n, 1))

    title = f"{count:,} systems of {n} equations by Cholesky factors, float64"
    return differentiated(Problem(f"systems {count}x{n}", title, loss, arguments, 2, by_hand, double=True), without=(COMPILED,))


def gaussian_process(points: int = 200) -> Workload:
    """The negative log marginal likelihood, without its constant, in length scale and amplitude."""

    def loss(library: Library) -> Callable:
        xp = library.xp

        def likelihood(scale: Any, amplitude: Any, apart: Any, noise: Any, y: Any) -> Any:
            d = apart / scale
            L = xp.linalg.cholesky(amplitude * amplitude * xp.exp(-0.5 * d * d) + noise)
            z = solved(library, L, y)
            return 0.5 * xp.sum(z * z) + xp.sum(xp.log(xp.diagonal(L)))

        return likelihood

    def by_hand(scale: Any, amplitude: Any, apart: Any, noise: Any, y: Any) -> Any:
        d = apart / scale
        signal = amplitude * amplitude * np.exp(-0.5 * d * d)
        K = signal + noise
        a = np.linalg.solve(K, y)
        g = 0.5 * (np.linalg.inv(K) - a * a.T)
        value = 0.5 * np.sum(y * a) + 0.5 * np.linalg.slogdet(K)[1]
        return value, (np.sum(g * signal * d * d) / scale, 2 * np.sum(g * signal) / amplitude)

    def arguments() -> tuple:
        random = np.random.default_rng(21)
        x = np.sort(random.uniform(0, 10, points))
        y = np.sin(x) + 0.1 * random.standard_normal(points)
        return np.array(1.1), np.array(0.9), x[:, None] - x, NOISE * np.eye(points), y[:, None]

    title = f"a Gaussian process of {points} points, its likelihood in two hyperparameters, float64"
    return differentiated(
        Problem(f"gaussian process {points}", title, loss, arguments, 2, by_hand, double=True), without=(COMPILED,)
    )


def contraction(batch: int = 64, n: int = 16, m: int = 32) -> Workload:
    """A bilinear form for each sample, squared and summed: three operands, which a good order makes two products of."""

    def loss(library: Library) -> Callable:
        return lambda x, y, w: library.xp.sum(library.xp.einsum("bi,bj,ijk->bk", x, y, w) ** 2)

    def by_hand(x: Any, y: Any, w: Any) -> Any:
        both = (x[:, :, None] * y[:, None, :]).reshape(len(x), -1)
        flat = w.reshape(both.shape[1], -1)
        out = both @ flat
        g = (2 * out @ flat.T).reshape(len(x), x.shape[1], y.shape[1])
        return np.sum(out * out), ((g * y[:, None, :]).sum(2), (g * x[:, :, None]).sum(1), (both.T @ (2 * out)).reshape(w.shape))

    def arguments() -> tuple:
        random = np.random.default_rng(22)
        return tuple(random.standard_normal(shape, np.float32) for shape in ((batch, n), (batch, n), (n, n, m)))

    title = f"einsum of a bilinear form, {batch} x {n} x {n} x {m}"
    return differentiated(Problem(f"einsum {batch}x{n}x{m}", title, loss, arguments, 3, by_hand), without=(COMPILED,))
