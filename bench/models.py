"""Training steps of the models of examples/: loss, gradient and Adam, eagerly and under `jit`, beside torch.

The losses are written once, in names that jitgrad and torch share. What the examples draw is given here, since every library
draws other numbers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.contestants import DOUBLE_TOLERANCE, JIT, TOLERANCE, Workload
from bench.libraries import Library
from bench.training import Arguments, Training

STEPS = 5


def _workload(name: str, title: str, loss: Callable[[Library], Callable], arguments: Callable[[], Arguments]) -> Workload:
    training = Training(loss, functools.cache(arguments))
    double = name.partition(" ")[0] in ("gp", "kalman")
    tolerance = DOUBLE_TOLERANCE if double else TOLERANCE
    title = f"{STEPS} steps of Adam on {title}, float{64 if double else 32}"
    return Workload(f"model {name}", title, JIT, training.entrants(), training.in_double, tolerance)


def _normal(random: np.random.Generator, *shape: int) -> np.ndarray:
    """A matrix that keeps the size of what it is multiplied with."""
    return random.standard_normal(shape, np.float32) / np.float32(shape[0] ** 0.5)


def gaussian_process(points: int = 200) -> Workload:
    """Height, length and noise of a curve (see examples/gaussian_process.py)."""

    def loss(library: Library) -> Callable:
        xp = library.xp

        def likelihood(p: Any, apart: Any, eye: Any, y: Any) -> Any:
            scaled = apart / xp.exp(p[1])
            spread = xp.exp(2 * p[0] - 0.5 * scaled * scaled) + xp.exp(2 * p[2]) * eye
            triangle = xp.linalg.cholesky(spread)
            z = xp.linalg.solve_triangular(triangle, y[:, None], upper=False)
            return 0.5 * (z * z).sum() + xp.log(xp.diagonal(triangle)).sum()

        return likelihood

    def arguments() -> Arguments:
        random = np.random.default_rng(30)
        x = np.sort(random.uniform(0, 10, points))
        y = np.sin(x) + 0.1 * random.standard_normal(points)
        return [np.array([0.0, 0.0, -1.0])], [(x[:, None] - x, np.eye(points), y)] * STEPS

    return _workload(f"gp {points}", f"a Gaussian process of {points} points", loss, arguments)


def kalman(seconds: int = 200) -> Workload:
    """Positions and velocities of a drive through a scan (see examples/kalman.py)."""
    move, push = np.kron([[1.0, 1.0], [0.0, 1.0]], np.eye(2)), np.kron([[0.5], [1.0]], np.eye(2))

    def loss(library: Library) -> Callable:
        xp = library.xp

        def likelihood(p: Any, move: Any, rough: Any, seen: Any, eye: Any, first: Any, measured: Any) -> Any:
            variances = xp.exp(2 * p)

            def step(carry: Any, y: Any) -> Any:
                mean, spread = carry
                mean, spread = move @ mean, move @ spread @ move.T + variances[0] * rough
                triangle = xp.linalg.cholesky(seen @ spread @ seen.T + variances[1] * eye)
                both = xp.column_stack([y - seen @ mean, seen @ spread])
                z = xp.linalg.solve_triangular(triangle, both, upper=False)
                mean, spread = mean + z[:, 1:].T @ z[:, 0], spread - z[:, 1:].T @ z[:, 1:]
                return (mean, spread), 0.5 * (z[:, 0] @ z[:, 0]) + xp.log(xp.diagonal(triangle)).sum()

            costs = library.scan(step, (0 * first[0], first), measured, seconds)[1]
            return (xp.stack(costs) if isinstance(costs, list) else costs).mean()

        return likelihood

    def arguments() -> Arguments:
        random, state, measured = np.random.default_rng(31), np.zeros(4), []
        for _ in range(seconds):
            state = move @ state + push @ (0.3 * random.standard_normal(2))
            measured.append(state[:2] + 2 * random.standard_normal(2))
        given = move, push @ push.T, np.eye(2, 4), np.eye(2), 100 * np.eye(4), np.array(measured)
        return [np.zeros(2)], [given] * STEPS

    return _workload(f"kalman {seconds}", f"a Kalman filter over {seconds} measurements, a scan", loss, arguments)


def _pictures(random: np.random.Generator, batch: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Digits, a batch a step."""
    from sklearn.datasets import load_digits

    images, classes = load_digits(return_X_y=True)
    chosen = [random.choice(len(images), batch, replace=False) for _ in range(STEPS)]
    return [((images[i] / 16).astype(np.float32), classes[i]) for i in chosen]


def autoencoder(batch: int = 100, hidden: int = 128) -> Workload:
    """A variational one, of digits on a plane (see examples/autoencoder.py)."""

    def loss(library: Library) -> Callable:
        xp, f = library.xp, library.xp.nn.functional

        def bound(w1: Any, b1: Any, w2: Any, b2: Any, w3: Any, b3: Any, w4: Any, b4: Any, x: Any, drawn: Any) -> Any:
            mean, log_deviation = (f.relu(x @ w1 + b1) @ w2 + b2).chunk(2, -1)
            z = mean + xp.exp(log_deviation) * drawn
            logits = f.relu(z @ w3 + b3) @ w4 + b4
            place = 0.5 * (mean**2 + xp.exp(2 * log_deviation) - 1 - 2 * log_deviation).sum()
            return (f.binary_cross_entropy_with_logits(logits, x, reduction="sum") + place) / batch

        return bound

    def arguments() -> Arguments:
        random, start = np.random.default_rng(32), []
        for n, m in ((64, hidden), (hidden, 4), (2, hidden), (hidden, 64)):
            start += [_normal(random, n, m), np.zeros(m, np.float32)]
        return start, [(x, random.standard_normal((batch, 2), np.float32)) for x, _ in _pictures(random, batch)]

    name, title = f"autoencoder {batch}x64-{hidden}-2", f"a variational autoencoder, batch {batch} × 64 → {hidden} → 2"
    return _workload(name, title, loss, arguments)


def transformer(batch: int = 64, length: int = 8, width: int = 32) -> Workload:
    """Two blocks with two heads, writing sequences backwards (see examples/transformer.py)."""
    letters, heads, blocks = 10, 2, 2

    def loss(library: Library) -> Callable:
        f = library.xp.nn.functional

        def entropy(*given: Any) -> Any:
            *params, text, wanted = given
            take = iter(params)
            x = f.embedding(text, next(take)) + next(take)
            for _ in range(blocks):
                parts = f.layer_norm(x, (width,), next(take), next(take)) @ next(take)
                parts = parts.unflatten(-1, (3, heads, width // heads)).permute(2, 0, 3, 1, 4).unbind(0)
                seen = f.scaled_dot_product_attention(*parts, is_causal=True)
                x = x + seen.transpose(1, 2).flatten(2) @ next(take)
                x = x + f.gelu(f.layer_norm(x, (width,), next(take), next(take)) @ next(take)) @ next(take)
            scores = f.layer_norm(x[:, length:], (width,), next(take), next(take)) @ next(take)
            return f.cross_entropy(scores.flatten(0, 1), wanted.flatten())

        return entropy

    def arguments() -> Arguments:
        random = np.random.default_rng(33)
        normal, norm = functools.partial(_normal, random), [np.ones(width, np.float32), np.zeros(width, np.float32)]
        start = [normal(letters + 1, width), normal(2 * length, width)]
        for _ in range(blocks):
            start += [*norm, normal(width, 3 * width), normal(width, width)]
            start += [*norm, normal(width, 4 * width), normal(4 * width, width)]
        text = random.integers(0, letters, (STEPS, batch, length))
        mark = np.full((batch, 1), letters)
        return [*start, *norm, normal(width, letters)], [(np.hstack([t, mark, t[:, :0:-1]]), t[:, ::-1].copy()) for t in text]

    title = f"a transformer, batch {batch} × {2 * length} × {width}, {heads} heads, {blocks} blocks"
    return _workload(f"transformer {batch}x{2 * length}x{width}", title, loss, arguments)


def convolutions(batch: int = 50) -> Workload:
    """Two convolutions of digits that are turned, scaled and shifted (see examples/convolutions.py)."""

    def loss(library: Library) -> Callable:
        f = library.xp.nn.functional

        def entropy(first: Any, second: Any, last: Any, bias: Any, x: Any, theta: Any, y: Any) -> Any:
            x = f.grid_sample(x, f.affine_grid(theta, (batch, 1, 8, 8), align_corners=False), align_corners=False)
            for w in (first, second):
                x = f.max_pool2d(f.relu(f.conv2d(x, w, padding=1)), 2)
            return f.cross_entropy(f.linear(x.flatten(1), last, bias), y)

        return entropy

    def arguments() -> Arguments:
        random = np.random.default_rng(34)
        shapes = (16, 1, 3, 3), (32, 16, 3, 3), (10, 128)
        start = [random.standard_normal(s, np.float32) * np.float32((2 / np.prod(s[1:])) ** 0.5) for s in shapes]
        theta = (np.eye(2, 3) + 0.2 * random.uniform(-1, 1, (STEPS, batch, 2, 3))).astype(np.float32)
        batches = [(x.reshape(batch, 1, 8, 8), t, y) for (x, y), t in zip(_pictures(random, batch), theta)]
        return [*start, np.zeros(10, np.float32)], batches

    title = f"a convolutional network, batch {batch} × 8 × 8 → 16 → 32 → 10, pictures sampled anew"
    return _workload(f"convolutions {batch}x8x8", title, loss, arguments)
