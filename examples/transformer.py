"""A small transformer that learns to write sequences backwards.

It reads letters and a mark, and writes the letters from the last to the first, each knowing those before it alone: two blocks of
`layer_norm`, causal `scaled_dot_product_attention` and a network. Loss, gradient and AdamW are one function under `jit`, and the
rate follows a cosine, which needs no new code. Run it:

    pip install jitgrad
    python examples/transformer.py [--quick] [--plot FILE]

It prints the share of letters written right, in sequences that it has not seen, and what a training step costs under `jit` and
eagerly. The picture shows where the heads of the first block look while a sequence is written.

Source: A. Vaswani et al., Attention is all you need, NIPS 2017; with normalisation before each part.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from shared import options, picture, sheet, table

import jitgrad as jg
import jitgrad.nn.functional as F

LETTERS, LENGTH, WIDTH, HEADS, BLOCKS, BATCH, RATE = 10, 8, 32, 2, 2, 64, 5e-3
adamw = jg.optim.functional.adamw(lr=RATE)


def weights(seed: int = 1) -> dict:
    """Small random matrices, and norms that change nothing."""
    random = np.random.default_rng(seed)

    def normal(*shape: int) -> jg.Tensor:
        return jg.tensor(random.standard_normal(shape, np.float32) / math.sqrt(shape[0]))

    def norm() -> tuple:
        return jg.ones(WIDTH), jg.zeros(WIDTH)

    def block() -> dict:
        heads = {"look": normal(WIDTH, 3 * WIDTH), "join": normal(WIDTH, WIDTH)}
        return heads | {"in": normal(WIDTH, 4 * WIDTH), "out": normal(4 * WIDTH, WIDTH), "norms": [norm(), norm()]}

    first = {"letters": normal(LETTERS + 1, WIDTH), "places": normal(2 * LENGTH, WIDTH)}
    return first | {"blocks": [block() for _ in range(BLOCKS)], "norm": norm(), "scores": normal(WIDTH, LETTERS)}


def normalised(x: jg.Tensor, norm: tuple) -> jg.Tensor:
    """`layer_norm` over what stands for one letter."""
    return F.layer_norm(x, (WIDTH,), *norm)


def heads(b: dict, x: jg.Tensor) -> tuple:
    """Queries, keys and values: batch, head, place, part."""
    parts = normalised(x, b["norms"][0]) @ b["look"]
    return parts.unflatten(-1, (3, HEADS, WIDTH // HEADS)).permute(2, 0, 3, 1, 4).unbind(0)


def embedded(w: dict, text: jg.Tensor) -> jg.Tensor:
    """What stands for each letter before the blocks; the last one need not be read."""
    return F.embedding(text[:, :-1], w["letters"]) + w["places"]


def scores(w: dict, text: jg.Tensor) -> jg.Tensor:
    """Of the letters that may come after the mark and after each letter behind it."""
    x = embedded(w, text)
    for b in w["blocks"]:
        seen = F.scaled_dot_product_attention(*heads(b, x), is_causal=True)
        x = x + seen.transpose(1, 2).flatten(2) @ b["join"]
        x = x + F.gelu(normalised(x, b["norms"][1]) @ b["in"]) @ b["out"]
    return normalised(x[:, LENGTH:], w["norm"]) @ w["scores"]


def loss(w: dict, text: jg.Tensor) -> jg.Tensor:
    """Cross entropy of what is to be written."""
    return F.cross_entropy(scores(w, text).flatten(0, 1), text[:, LENGTH + 1 :].flatten())


def step(w: dict, state: Any, text: jg.Tensor, rate: Any) -> tuple:
    """Value before the step, new weights, new state of AdamW."""
    value, gradients = jg.value_and_grad(loss)(w, text)
    return value, *adamw.update(gradients, state, w, lr=rate)


def sequences(count: int, random: np.random.Generator) -> np.ndarray:
    """Letters, the mark, and the letters backwards."""
    text = random.integers(0, LETTERS, (count, LENGTH))
    return np.hstack([text, np.full((count, 1), LETTERS), text[:, ::-1]])


def main(arguments: list[str] | None = None) -> float:
    """The example; returns the share of letters that were written right."""
    given = options(__doc__, arguments)
    random, w, steps = np.random.default_rng(2), weights(), 60 if given.quick else 400
    state, compiled = adamw.init(w), jg.jit(step)
    for i in range(steps):
        rate = RATE * min(1, (i + 1) / 50) * 0.5 * (1 + math.cos(math.pi * i / steps))
        value, w, state = compiled(w, state, sequences(BATCH, random), rate)
        if i % (steps // 4) == 0 or i == steps - 1:
            print(f"step {i + 1:4}: loss {value.item():.4f}")
    new = jg.tensor(sequences(500, random))
    right = (scores(w, new).argmax(-1) == new[:, LENGTH + 1 :]).float().mean().item()
    print(f"{right:.1%} of the letters of new sequences are right (by chance {1 / LETTERS:.0%})")

    text = new[:BATCH]
    calls = {name: lambda f=f: f(w, state, text, RATE) for name, f in (("jit", compiled), ("eager", step))}
    table(f"one training step, {BATCH} sequences", calls, 5 if given.quick else 51)
    if given.plot:
        with picture(given.plot) as axes:
            query, key, _ = heads(w["blocks"][0], embedded(w, new[:1]))
            looks = F.scaled_dot_product_attention(query, key, jg.eye(2 * LENGTH), is_causal=True)[0, :, LENGTH:]
            axes.imshow(sheet(looks.numpy(), 1), cmap="gray_r")
            axes.set(xlabel="place that is looked at, a head beside the other", ylabel="letter that is written")
    return right


if __name__ == "__main__":
    main()
