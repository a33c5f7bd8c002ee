"""A variational autoencoder: handwritten digits laid out on a plane, and new ones drawn from it.

The encoder says where on the plane a picture may lie, a mean and a deviation; a place is drawn from there, and the decoder paints
it. One training step is one function under `jit`: the draw (its generator is an argument), value, gradient and Adam. Run it:

    pip install 'jitgrad[demo]'
    python examples/autoencoder.py [--quick] [--plot FILE]

It prints the bound on the information in a new picture (of which fewer nats are better) beside that of pixels that know nothing
of each other, and what a training step costs under `jit` and eagerly. The picture shows what the decoder paints on the plane.

Source: D. P. Kingma and M. Welling, Auto-encoding variational Bayes, ICLR 2014.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from shared import digits, options, picture, sheet, table

import jitgrad as jg
import jitgrad.nn.functional as F

BATCH, HIDDEN, PLANE = 100, 128, 2
adam = jg.optim.functional.adam(lr=2e-3)


def weights(seed: int = 1) -> dict[str, tuple[jg.Tensor, jg.Tensor]]:
    """Matrices and biases of the layers."""
    random = np.random.default_rng(seed)
    sizes = {"look": (64, HIDDEN), "place": (HIDDEN, 2 * PLANE), "spread": (PLANE, HIDDEN), "paint": (HIDDEN, 64)}
    return {name: (jg.tensor(random.standard_normal((n, m), np.float32) / n**0.5), jg.zeros(m)) for name, (n, m) in sizes.items()}


def layer(w: Any, x: jg.Tensor) -> jg.Tensor:
    """A matrix product and a bias."""
    return x @ w[0] + w[1]


def encode(w: dict, x: jg.Tensor) -> tuple[jg.Tensor, jg.Tensor]:
    """Where pictures may lie: mean and logarithm of the deviation."""
    mean, log_deviation = layer(w["place"], F.relu(layer(w["look"], x))).chunk(2, -1)
    return mean, log_deviation


def decode(w: dict, z: jg.Tensor) -> jg.Tensor:
    """Logits of the brightness of pixels."""
    return layer(w["paint"], F.relu(layer(w["spread"], z)))


def loss(w: dict, x: jg.Tensor, generator: jg.Generator) -> jg.Tensor:
    """The bound, in nats a picture: what pixels cost that are known by their place, and what the place costs."""
    mean, log_deviation = encode(w, x)
    z = mean + jg.exp(log_deviation) * jg.randn(mean.shape, generator=generator)
    pixels = F.binary_cross_entropy_with_logits(decode(w, z), x, reduction="sum")
    place = 0.5 * (mean**2 + jg.exp(2 * log_deviation) - 1 - 2 * log_deviation).sum()
    return (pixels + place) / len(x)


def step(w: dict, state: Any, x: jg.Tensor, generator: jg.Generator) -> tuple:
    """Value before the step, new weights, new state of Adam."""
    value, gradients = jg.value_and_grad(loss)(w, x, generator)
    return value, *adam.update(gradients, state, w)


def main(arguments: list[str] | None = None) -> tuple[float, float]:
    """The example; returns nats of a new picture, and those of pixels that know nothing of each other."""
    given = options(__doc__, arguments)
    x, _ = digits()
    known, new = jg.tensor(x[:1400]), jg.tensor(x[1400:])
    brightness = known.mean(0).clamp(1e-3, 1 - 1e-3).expand(new.shape)
    apart = F.binary_cross_entropy(brightness, new, reduction="sum").item() / len(new)

    w, generator, compiled = weights(), jg.Generator().manual_seed(0), jg.jit(step)
    state, epochs = adam.init(w), 20 if given.quick else 200
    for epoch in range(epochs):
        for batch in jg.randperm(len(known), generator=generator).split(BATCH):
            value, w, state = compiled(w, state, known[batch], generator)
        if epoch == 0 or epoch == epochs - 1:
            print(f"after epoch {epoch + 1}: {value.item():.2f} nats a picture")
    bound = np.mean([loss(w, new, generator).item() for _ in range(20)])
    print(f"new pictures: {bound:.2f} nats, pixels apart {apart:.2f}")

    calls = {name: lambda f=f: f(w, state, known[:BATCH], generator) for name, f in (("jit", compiled), ("eager", step))}
    table(f"one training step, {BATCH} pictures", calls, 5 if given.quick else 51)
    if given.plot:
        with picture(given.plot) as axes:
            across, down = np.meshgrid(np.linspace(-2.5, 2.5, 18), np.linspace(1.5, -1.5, 9))
            places = jg.tensor(np.stack([across.ravel(), down.ravel()], 1).astype(np.float32))
            painted = jg.sigmoid(decode(w, places)).numpy().reshape(-1, 8, 8)
            axes.imshow(sheet(painted, 9), cmap="gray_r", extent=(-2.6, 2.6, -1.6, 1.6), aspect="auto")
    return bound, apart


if __name__ == "__main__":
    main()
