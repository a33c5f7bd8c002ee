"""Gradients of every sample: training a network on handwritten digits without learning any single one too well.

Differentially private gradient descent shortens the gradient of each sample to a bound, adds them up, and adds noise that hides
what one sample can contribute. `vmap(value_and_grad(loss), (None, 0, 0))` gives those gradients, and `jit` makes loops
of them, of the norms, of the shortening and of the sum. Run it:

    pip install 'jitgrad[demo]'
    python examples/per_sample.py [--quick] [--plot FILE]

It prints the accuracy with and without privacy, and what the summed gradient of a batch costs beside a Python loop over the
samples, an ordinary batch gradient, and `jax.jit` and `torch.func` where they are installed.

Source: M. Abadi et al., Deep learning with differential privacy, CCS 2016, algorithm 1. (What the noise guarantees is a
matter of accounting, which is not done here.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from shared import digits, options, picture, table

import jitgrad as jg

BOUND, NOISE, RATE, BATCH, HIDDEN = 1.0, 1.0, 0.5, 128, 32


def network(seed: int = 1) -> dict[str, np.ndarray]:
    """Weights to begin with."""
    random = np.random.default_rng(seed)
    return {
        "in": random.standard_normal((64, HIDDEN), np.float32) / 8,
        "bias": np.zeros(HIDDEN, np.float32),
        "out": random.standard_normal((HIDDEN, 10), np.float32) / 6,
    }


def scores(w: Any, x: Any, xp: Any = jg) -> Any:
    """Of the ten digits; x is one picture, or many."""
    return xp.tanh(x @ w["in"] + w["bias"]) @ w["out"]


def loss(w: Any, x: Any, y: Any) -> Any:
    """Of one sample, or the mean of many."""
    return jg.cross_entropy(scores(w, x), y)


def shortened(gradients: dict, many: bool) -> dict:
    """Gradients no longer than BOUND, all weights taken together: the sum over samples, or those of one sample."""
    flat = [g.reshape(len(g), -1) if many else g.reshape(-1) for g in gradients.values()]
    factor = BOUND / jg.sqrt(sum((g * g).sum(-1) for g in flat)).clamp(min=BOUND)
    if not many:
        return {name: factor * g for name, g in gradients.items()}
    return {name: (factor.reshape(-1, *[1] * (g.ndim - 1)) * g).sum(0) for name, g in gradients.items()}


def together(w: Any, x: Any, y: Any) -> dict:
    """The sum of the samples' shortened gradients."""
    return shortened(jg.vmap(jg.grad(loss), (None, 0, 0))(w, x, y), many=True)


def alone(w: Any, x: Any, y: Any) -> dict:
    """The shortened gradient of one sample."""
    return shortened(jg.grad(loss)(w, x, y), many=False)


def one_by_one(step: Callable, w: dict, x: np.ndarray, y: np.ndarray) -> dict:
    """The sum of the samples' shortened gradients, by a loop in Python."""
    total = {name: np.zeros_like(part) for name, part in w.items()}
    for sample, shown in zip(x, y):
        for name, g in step(w, sample, shown).items():
            total[name] += g.numpy()
    return total


def over_jax(w: dict, x: np.ndarray, y: np.ndarray) -> Callable:
    """The same sum from JAX."""
    import jax

    def loss(w: Any, x: Any, y: Any) -> Any:
        return -jax.nn.log_softmax(scores(w, x, jax.numpy))[y]

    def summed(w: Any, x: Any, y: Any) -> dict:
        each = jax.vmap(jax.grad(loss), (None, 0, 0))(w, x, y)
        norms = jax.numpy.sqrt(sum((g * g).reshape(len(g), -1).sum(1) for g in each.values()))
        return {name: jax.numpy.tensordot(BOUND / norms.clip(BOUND), g, 1) for name, g in each.items()}

    function = jax.jit(summed)
    return lambda: jax.block_until_ready(function(w, x, y))


def over_torch(w: dict, x: np.ndarray, y: np.ndarray) -> Callable:
    """The same sum from torch.func."""
    import torch
    from torch.func import grad, vmap

    def loss(w: Any, x: Any, y: Any) -> Any:
        return torch.nn.functional.cross_entropy(scores(w, x, torch), y)

    given = {name: torch.tensor(part) for name, part in w.items()}, torch.tensor(x), torch.tensor(y)

    def summed() -> dict:
        each = vmap(grad(loss), (None, 0, 0))(*given)
        norms = torch.sqrt(sum((g * g).flatten(1).sum(1) for g in each.values()))
        return {name: torch.tensordot(BOUND / norms.clamp(min=BOUND), g, 1) for name, g in each.items()}

    return summed


def train(gradient: Callable, x: np.ndarray, y: np.ndarray, steps: int, noise: float) -> tuple[dict, list[float]]:
    """Weights after so many batches, and the loss on the way; `gradient` gives that of the sum over a batch."""
    random, w, value, path = np.random.default_rng(2), network(), jg.jit(loss), []
    for _ in range(steps):
        batch = random.choice(len(y), BATCH, replace=False)
        slope = gradient(w, x[batch], y[batch])
        for name, part in w.items():
            change = slope[name].numpy() + noise * BOUND * random.standard_normal(part.shape, np.float32)
            w[name] = part - RATE / BATCH * change
        path.append(value(w, x[batch], y[batch]).item())
    return w, path


def main(arguments: list[str] | None = None) -> dict:
    """The example; returns the shares of new digits that were recognised."""
    given = options(__doc__, arguments)
    x, y = digits()
    steps, cut = 100 if given.quick else 1000, 1400
    private, plain = jg.jit(together), jg.jit(jg.grad(lambda w, x, y: BATCH * loss(w, x, y)))
    paths, shares = {}, {}
    for name, gradient, noise in (("private", private, NOISE), ("ordinary", plain, 0.0)):
        w, paths[name] = train(gradient, x[:cut], y[:cut], steps, noise)
        right = scores({key: jg.tensor(part) for key, part in w.items()}, jg.tensor(x[cut:])).argmax(1).numpy() == y[cut:]
        shares[name] = right.mean()
        print(f"{name}: {shares[name]:.1%} of {len(right)} new digits recognised after {steps} batches of {BATCH}")

    few, w, step = (x[:BATCH], y[:BATCH]), network(), jg.jit(alone)
    calls = {
        "jit, all samples at once": lambda: private(w, *few),
        "a loop in Python over jit": lambda: one_by_one(step, w, *few),
        "jit, the gradient of the batch (not shortened)": lambda: plain(w, *few),
    }
    for name, make in {"jax.jit": over_jax, "torch.func": over_torch}.items():
        try:
            calls[name] = make(w, *few)
        except ImportError:
            continue
    table(f"the shortened gradients of {BATCH} samples, summed", calls, 5 if given.quick else 51)
    if given.plot:
        with picture(given.plot) as axes:
            for name, path in paths.items():
                axes.plot(path, label=name)
            axes.set(xlabel="batch", ylabel="loss", yscale="log")
            axes.legend()
    return shares


if __name__ == "__main__":
    main()
