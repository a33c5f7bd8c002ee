"""What is a view, and how it lies in memory, as foretold under `jit` for layouts made at random, against NumPy itself."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.ops import Op, rows
from jitgrad.ops.indexing import getitem
from jitgrad.ops.movement import expand, flip, narrow, pad, permute, reshape
from jitgrad.ops.strided import strided, unstrided
from jitgrad.record import memory
from jitgrad.record.apply import apply
from jitgrad.tape.strides import steps_of

Layout = tuple[np.ndarray, str]


def layout(rng: random.Random) -> Layout:
    """An array that lies in memory anyhow, and how it was made."""
    shape = [rng.choice([0, 1, 1, 2, 3, 4, 4, 6]) for _ in range(rng.randrange(5))]
    x, made = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape), [f"shape {shape}"]
    for _ in range(rng.randrange(4)):
        x, what = rng.choice([permuted, stepped, spread])(x, rng)
        made.append(what)
    return x, ", ".join(made)


def permuted(x: np.ndarray, rng: random.Random) -> Layout:
    dims = rng.sample(range(x.ndim), x.ndim)
    return x.transpose(dims), f"transpose {dims}"


def stepped(x: np.ndarray, rng: random.Random) -> Layout:
    index = tuple(slice(None, None, rng.choice([1, 1, 2, -1, -2])) for _ in range(x.ndim))
    return x[(*index, ...)], f"steps {[s.step for s in index]}"


def spread(x: np.ndarray, rng: random.Random) -> Layout:
    shape = (*rng.choice([(), (1,), (2,)]), *[rng.choice([1, 3]) if n == 1 else n for n in x.shape])
    return np.broadcast_to(x, shape), f"broadcast to {shape}"


def reshaped(x: np.ndarray, rng: random.Random) -> dict[str, Any]:
    """Neighbouring dimensions made one, parts of them, or sizes in another order."""
    sizes = [f for n in x.shape for f in ((2, 2) if n == 4 else (3, 2) if n == 6 else (n,))]
    if rng.random() < 0.2:
        rng.shuffle(sizes)
    while len(sizes) > 1 and rng.random() < 0.7:
        k = rng.randrange(len(sizes) - 1)
        sizes[k : k + 2] = [sizes[k] * sizes[k + 1]]
    for _ in range(rng.randrange(3)):
        sizes.insert(rng.randrange(len(sizes) + 1), 1)
    return {"shape": tuple(sizes)}


def cut(x: np.ndarray, rng: random.Random) -> dict[str, Any] | None:
    if not x.ndim:
        return None
    dim = rng.randrange(x.ndim)
    start = rng.randrange(x.shape[dim] + 1)
    return {"dim": dim, "start": start, "length": rng.randrange(x.shape[dim] - start + 1)}


def indexed(x: np.ndarray, rng: random.Random) -> dict[str, Any]:
    """An index with an ellipsis, for which NumPy returns an array even of one element."""
    lead = rng.randrange(x.ndim + 1)
    trail = rng.randrange(lead, x.ndim + 1)

    def items(sizes: tuple[int, ...]) -> list[Any]:
        found: list[Any] = []
        for n in sizes:
            found += [None] * (rng.random() < 0.2)
            number = [rng.randrange(-n, n)] if n else []
            found.append(rng.choice([*number, slice(None), slice(1, None), slice(0, n, 2), slice(None, None, 3)]))
        return found

    return {"index": (*items(x.shape[:lead]), ..., *items(x.shape[trail:]))}


def padded(x: np.ndarray, rng: random.Random) -> dict[str, Any] | None:
    dim, start = rng.randrange(max(x.ndim, 1)), rng.randrange(3)
    return {"dim": dim, "start": start, "size": start + x.shape[dim] + rng.randrange(2)} if x.ndim else None


def seen_through(x: np.ndarray, rng: random.Random) -> dict[str, Any] | None:
    """Windows along a dimension, or the diagonal of two."""
    if not x.ndim or not x.size:
        return None
    one = np.eye(x.ndim, dtype=int).tolist()
    dim, other = rng.randrange(x.ndim), rng.randrange(x.ndim)
    if dim != other:
        kept = [d for d in range(x.ndim) if d not in (dim, other)]
        steps = [*[one[d] for d in kept], [int(d in (dim, other)) for d in range(x.ndim)]]
        return _seen([*[x.shape[d] for d in kept], min(x.shape[dim], x.shape[other])], [0] * x.ndim, steps)
    size, step = rng.randrange(1, x.shape[dim] + 1), rng.choice([1, 2, 3])
    steps = [[n * (step if d == dim else 1) for n in one[d]] for d in range(x.ndim)]
    sizes = [(n - size) // step + 1 if d == dim else n for d, n in enumerate(x.shape)]
    return _seen([*sizes, size], [0] * x.ndim, [*steps, one[dim]])


def _seen(sizes: list[int], start: list[int], steps: list[list[int]]) -> dict[str, Any]:
    return {"sizes": tuple(sizes), "start": tuple(start), "steps": tuple(map(tuple, steps))}


def apart(x: np.ndarray, rng: random.Random) -> dict[str, Any] | None:
    """Elements put two apart along a dimension, among zeros."""
    if not x.ndim:
        return None
    dim, start = rng.randrange(x.ndim), rng.randrange(2)
    steps = [tuple([int(k == d) * (1 + (d == dim)) for k in range(x.ndim)]) for d in range(x.ndim)]
    shape = tuple([start + 2 * n if d == dim else n for d, n in enumerate(x.shape)])
    return {"shape": shape, "start": tuple([start * (d == dim) for d in range(x.ndim)]), "steps": tuple(steps)}


MOVES: dict[Op, Callable[[np.ndarray, random.Random], dict[str, Any] | None]] = {
    reshape: reshaped,
    narrow: cut,
    getitem: indexed,
    permute: lambda x, rng: {"dims": tuple(rng.sample(range(x.ndim), x.ndim))},
    expand: lambda x, rng: {"shape": spread(x, rng)[0].shape},
    pad: padded,
    strided: seen_through,
    unstrided: apart,
    flip: lambda x, rng: {"dims": tuple(sorted(rng.sample(range(x.ndim), rng.randrange(x.ndim + 1))))},
}


def drawn(x: np.ndarray, rng: random.Random) -> tuple[Op, dict[str, Any]]:
    while True:
        op = rng.choice([reshape, reshape, permute, *MOVES])
        params = MOVES[op](x, rng)
        if params is not None:
            return op, params


def steps(x: np.ndarray) -> list[tuple[int, int]]:
    """The strides of dimensions along which there is more than one element, which are all that tell."""
    return [(n, s) for n, s in zip(x.shape, steps_of(x)) if n != 1] if x.size else []


def test_everything_that_moves_elements_is_drawn() -> None:
    assert set(MOVES) == {op for op in rows() if (op.view or op.kind == "movement") and op.real}


@pytest.mark.parametrize("seed", range(8))
def test_what_jit_foretells_of_views_is_numpys(seed: int) -> None:
    """What is made of an argument step by step: the strides of each, and whether it is a view of those before it."""
    rng, copies, views = random.Random(seed), 0, 0
    for _ in range(80):
        (x, made), chain = layout(rng), []
        arrays = [x]
        for _ in range(rng.randrange(1, 4)):
            op, params = drawn(arrays[-1], rng)
            chain.append((op, params))
            arrays.append(np.asarray(op.run(arrays[-1], **params)))
        what = f"{made}; {chain}"
        seen: list[tuple] = []

        def traced(x: Any, chain: list = chain, seen: list = seen) -> Any:
            tensors = [x]
            for op, params in chain:
                tensors.append(apply(op, (tensors[-1],), params))
            for t in tensors:
                memory.decide(t)
                seen.append((memory.of(t), t._view[0] if t._view else t, t.is_contiguous()))
            return tensors[-1] * 1

        jg.jit(traced)(jg.from_numpy(x))
        assert len(seen) == len(arrays)
        for (stand_in, _, in_order), array in zip(seen, arrays):
            assert stand_in.shape == array.shape, what
            assert steps(stand_in) == steps(array), f"{what}: {stand_in.strides}, NumPy has {array.strides}"
            assert in_order == array.flags.c_contiguous, what
        for k, m in itertools.combinations(range(len(arrays)), 2):
            if arrays[m].size:
                shared = seen[k][1] is seen[m][1]
                assert shared == np.shares_memory(arrays[k], arrays[m]), f"{what}: {k} and {m}"
                views, copies = views + shared, copies + (not shared)
    assert views > 20
    assert copies > 20
