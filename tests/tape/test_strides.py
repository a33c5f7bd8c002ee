"""How traced code believes that results lie in memory, against how NumPy lays them."""

from __future__ import annotations

import random

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.ops import TABLE
from jitgrad.ops.choosing import (
    alias,
    detach,
    where,
)
from jitgrad.record.memory import decide, of
from jitgrad.tape.row import Leaf, Row
from jitgrad.tape.strides import result_of, stand_in, steps_of

LAYOUTS = {
    "in order": lambda shape: np.zeros(shape),
    "transposed": lambda shape: np.zeros(shape[::-1]).T,
    "strided": lambda shape: np.zeros([2 * n for n in shape])[tuple(slice(None, None, 2) for _ in shape)],
    "backwards": lambda shape: np.zeros(shape)[tuple(slice(None, None, -1) for _ in shape)],
    "swapped": lambda shape: np.moveaxis(np.zeros((*shape[1:], *shape[:1])), -1, 0) if shape else np.zeros(shape),
    "repeated": lambda shape: np.broadcast_to(np.zeros((1, *shape[1:]) if shape else ()), shape),
}
SHAPES = [(), (1,), (4,), (0,), (2, 3), (3, 1), (1, 1, 2), (2, 0, 3), (2, 3, 4), (2, 1, 3, 2)]

PARAMS = {
    "cast": {"dtype": np.dtype(np.float32)},
    "pow_scalar": {"exponent": 2},
    "power_of": {"exponent": 2},
    "polygamma": {"n": 1},
    "bessel_jn": {"n": 1},
}


def steps(x):
    """Each operation takes one tensor, and may not fit it."""
    n = max(x.ndim, 1)
    return {
        "reshape": lambda x, k: x.reshape(-1) if k % 2 else x.reshape(*x.shape[::-1]),
        "view": lambda x, k: x.view(*x.shape, 1),
        "flatten": lambda x, k: x.flatten(),
        "transpose": lambda x, k: x.transpose(0, k % n),
        "permute": lambda x, k: x.permute(*np.random.default_rng(k).permutation(x.ndim).tolist()),
        "expand": lambda x, k: x.expand(2, *x.shape),
        "squeeze": lambda x, k: x.squeeze(),
        "unsqueeze": lambda x, k: x.unsqueeze(k % n),
        "select": lambda x, k: x[0],
        "slice": lambda x, k: x[..., ::2] if k % 2 else x[1:],
        "movedim": lambda x, k: x.movedim(0, k % n),
        "flip": lambda x, k: x.flip(0),
        "detach": lambda x, k: x.detach(),
        "clone": lambda x, k: x.clone(),
        "contiguous": lambda x, k: x.contiguous(),
        "exp": lambda x, k: x.exp(),
        "add": lambda x, k: x + x.T if x.ndim == 2 and x.shape[0] == x.shape[1] else x + 1.0,
        "with a row": lambda x, k: x * jg.ones(x.shape[-1], dtype=jg.float64),
        "sum": lambda x, k: x.sum(0, keepdim=bool(k % 2)),
        "cumsum": lambda x, k: x.cumsum(k % n),
    }


def where_they_are(array, scale):
    """The strides that matter: those of dimensions with more than one element."""
    if not array.size:
        return ()
    return tuple(step // scale for n, step in zip(array.shape, array.strides) if n > 1)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_strides_of_traced_results_are_those_of_numpy(layout):
    compared = 0
    for seed in range(250):
        draw = random.Random(seed)
        start = jg.from_numpy(np.asarray(LAYOUTS[layout](draw.choice(SHAPES))))
        names = [draw.choice(sorted(steps(start))) for _ in range(draw.randint(1, 4))]
        numbers = [draw.randint(0, 5) for _ in names]

        def run(x, note, names=names, numbers=numbers):
            made = [x]
            for name, k in zip(names, numbers):
                try:
                    made.append(steps(made[-1])[name](made[-1], k))
                except (RuntimeError, IndexError, ValueError):  # it does not fit, or cannot be a view
                    continue
            return [note(x) for x in made]

        def traced(x):
            decide(x)
            return where_they_are(of(x), 1), tuple(x.shape)

        believed: list = []
        jg.jit(lambda x, believed=believed, run=run: (believed.extend(run(x, traced)), x * 1)[1])(start)
        real = run(start, lambda x: (where_they_are(x._value, x._value.itemsize), tuple(x.shape)))
        assert believed == real, (layout, tuple(start.shape), names, numbers)
        compared += len(real)
    assert compared > 500


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_traced_code_takes_for_a_view_shares_memory_in_eager_code(layout):
    for seed in range(150):
        draw = random.Random(1000 + seed)
        start = jg.from_numpy(np.asarray(LAYOUTS[layout](draw.choice(SHAPES))))
        name, k = draw.choice(sorted(steps(start))), draw.randint(0, 5)
        try:
            shares = np.shares_memory(steps(start)[name](start, k)._value, start._value)
        except (RuntimeError, IndexError, ValueError):
            continue
        views: list = []

        def traced(x, name=name, k=k, views=views):
            out = steps(x)[name](x, k)
            decide(out)
            views.append(out is x or out._view is not None)
            return x * 1

        jg.jit(traced)(start)
        if start.numel() and name != "detach":  # it shares memory, and is no view in the graph
            assert views == [bool(shares)], (layout, tuple(start.shape), name, k)


@pytest.mark.parametrize("op", [op for op in TABLE.values() if op.elementwise], ids=lambda op: op.name)
def test_the_strides_of_elementwise_results_are_those_of_numpy(op):
    if op in (alias, detach):  # whose result is their operand
        return
    for seed in range(40):
        draw = random.Random(seed)
        shape = draw.choice([(2, 3), (3, 1), (2, 3, 4), (2, 1, 3, 2), (1, 1, 2)])
        xs = [LAYOUTS[draw.choice(sorted(LAYOUTS))](shape) for _ in op.inputs]
        if op.name.startswith("bitwise") or op.result == "integer":
            xs = [np.zeros_like(x, np.int64 if seed % 2 or op.name in ("gcd", "lcm") else bool) for x in xs]
        elif op is where:
            xs[0] = np.zeros_like(xs[0], bool)
        sample = op.samples()[0] if op.samples is not None else {}
        params = PARAMS.get(op.name, sample if isinstance(sample, dict) else {})
        with np.errstate(all="ignore"):
            out = np.asarray(op.run(*xs, **params))
        row = Row(op, tuple(Leaf(x.shape, x.dtype, False) for x in xs), params, out.shape, out.dtype, False)
        found = result_of(row, [stand_in(x.shape, steps_of(x)) for x in xs])
        assert where_they_are(found, 1) == where_they_are(out, out.itemsize), (shape, [x.strides for x in xs])
