"""A convolutional network on a few handwritten digits, which are turned, scaled and shifted anew in every batch.

`affine_grid` says where each pixel of a changed picture comes from, `grid_sample` reads it from there; both are part of the
training step, one function under `jit` with its generator as an argument, like convolutions, pooling, gradient and Adam. Run it:

    pip install 'jitgrad[demo]'
    python examples/convolutions.py [--quick] [--plot FILE]

It prints the share of new digits recognised after training with and without changes, and what a step costs under `jit` and
eagerly. The picture shows some digits and what the changes make of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from shared import digits, options, picture, sheet, table

import jitgrad as jg
import jitgrad.nn.functional as F

KNOWN, BATCH = 200, 50
TURN, SCALE, SHIFT = 0.3, 0.2, 0.1  # radians; shares of the picture
adam = jg.optim.functional.adam(lr=3e-3)


def weights(seed: int = 1) -> dict[str, jg.Tensor]:
    """Of two convolutions and a layer that sees all."""
    random = np.random.default_rng(seed)
    shapes = {"first": (16, 1, 3, 3), "second": (32, 16, 3, 3), "last": (10, 32 * 2 * 2)}
    made = {name: random.standard_normal(s, np.float32) * np.sqrt(2 / np.prod(s[1:])) for name, s in shapes.items()}
    return {name: jg.tensor(w.astype(np.float32)) for name, w in made.items()} | {"bias": jg.zeros(10)}


def scores(w: dict, x: jg.Tensor) -> jg.Tensor:
    """Of the ten digits."""
    for name in ("first", "second"):
        x = F.max_pool2d(F.relu(F.conv2d(x, w[name], padding=1)), 2)
    return F.linear(x.flatten(1), w["last"], w["bias"])


def changed(x: jg.Tensor, generator: jg.Generator) -> jg.Tensor:
    """Each picture turned, scaled and shifted by chance."""
    chance = 2 * jg.rand(4, len(x), generator=generator) - 1
    turn, scale, (across, down) = TURN * chance[0], 1 + SCALE * chance[1], SHIFT * chance[2:]
    cos, sin = scale * jg.cos(turn), scale * jg.sin(turn)
    theta = jg.stack([cos, -sin, across, sin, cos, down], 1).reshape(-1, 2, 3)
    return F.grid_sample(x, F.affine_grid(theta, x.shape, align_corners=False), align_corners=False)


def plain(x: jg.Tensor, generator: jg.Generator) -> jg.Tensor:
    """The pictures as they are."""
    return x


def training(change: Callable) -> Callable:
    """A step: value before it, new weights, new state of Adam."""

    def step(w: dict, state: Any, x: jg.Tensor, y: jg.Tensor, generator: jg.Generator) -> tuple:
        value, gradients = jg.value_and_grad(lambda w: F.cross_entropy(scores(w, change(x, generator)), y))(w)
        return value, *adam.update(gradients, state, w)

    return step


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """The example; returns the shares of new digits that were recognised."""
    given = options(__doc__, arguments)
    x, y = (jg.tensor(part) for part in digits())
    x = x.reshape(-1, 1, 8, 8)
    shares, recognise = {}, jg.jit(scores)
    for name, change in (("without changes", plain), ("with changes", changed)):
        step, found = jg.jit(training(change)), []
        for seed in range(1 if given.quick else 3):
            w, generator = weights(seed), jg.Generator().manual_seed(seed)
            state = adam.init(w)
            for _ in range(25 if given.quick else 200):
                for batch in jg.randperm(KNOWN, generator=generator).split(BATCH):
                    _, w, state = step(w, state, x[batch], y[batch], generator)
            found.append((recognise(w, x[KNOWN:]).argmax(1) == y[KNOWN:]).float().mean().item())
        shares[name] = np.mean(found).item()
        print(f"{name}: {shares[name]:.1%} of {len(x) - KNOWN} new digits recognised, mean of {len(found)} beginnings")

    few, eager = (w, state, x[:BATCH], y[:BATCH], generator), training(changed)
    table(f"one step, {BATCH} pictures", {"jit": lambda: step(*few), "eager": lambda: eager(*few)}, 5 if given.quick else 51)
    if given.plot:
        with picture(given.plot) as axes:
            rows = jg.cat([x[:12], *[changed(x[:12], generator) for _ in range(5)]])[:, 0].numpy()
            axes.imshow(sheet(rows, 6), cmap="gray_r")
            axes.set(xticks=[], yticks=range(5, 60, 10), yticklabels=["as it is", *["changed"] * 5])
    return shares


if __name__ == "__main__":
    main()
