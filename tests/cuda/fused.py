"""Kernels of fused loops, as programs of a real card have them: for `compile_all`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import jitgrad as jg
from jitgrad.passes.simplify import simplify
from jitgrad.sweeps.cuda.emitter import steps_of
from jitgrad.sweeps.cuda.kernel import Kernel
from jitgrad.sweeps.cuda.teams import Grid
from jitgrad.sweeps.cuda.text import Launch
from jitgrad.sweeps.plan.recompute import recompute
from jitgrad.sweeps.plan.segments import make_plan
from jitgrad.sweeps.plan.supported import GPU

GRID = Grid(256, 1056, 32)
HALVES = ("float16", "bfloat16")
DTYPES = ("float32", "float64", *HALVES)


def _elementwise(x: Any, y: Any) -> Any:
    return (jg.tanh(x * y) * jg.exp(-(x * x)) + jg.log1p(jg.exp(y))).mean()


def _cross_entropy(x: Any, y: Any) -> Any:
    return -(x.log_softmax(-1) * y).sum(-1).mean()


def _layer_norm(x: Any, y: Any) -> Any:
    centred = x - x.mean(-1, keepdim=True)
    return ((centred / (x.var(-1, keepdim=True, correction=0) + 1e-5).sqrt()) * y).sum()


def _columns(x: Any, y: Any) -> Any:
    return ((x * y).sum(0) ** 2).sum() + x.amax(0).sum()


def _spread(x: Any, y: Any) -> Any:
    return (x.std(0) * y.mean(0)).sum() + x.logsumexp(0).sum()


def _special(x: Any, y: Any) -> Any:
    return (jg.lgamma(x + 3) + jg.erf(y) * jg.digamma(x + 3) + jg.atan2(x, y) + (x.abs() + 1) ** 1.7).sum()


def _pieces(x: Any, y: Any) -> Any:
    return (jg.cat([x, y], 1)[:, 1:-1] * 2).flip(1).cos().sum() + x[::2].sin().sum()


def _extremes(x: Any, y: Any) -> Any:
    return x.norm(float("inf")) + x.norm(3) + y.amax() - y.amin(1).sum()


def _whole(x, y):
    return (x * (x > y).any(1, keepdim=True)).sum() * x.to(jg.int8).amin(1).sum() * y.argmax(1).to(jg.uint8).sum()


FUNCTIONS: tuple[Callable, ...] = (
    _elementwise,
    _cross_entropy,
    _layer_norm,
    _columns,
    _spread,
    _special,
    _pieces,
    _extremes,
    _whole,
)
SHAPES = ((1000, 8), (1000, 700), (1000, 5000), (1 << 17, 1 << 15))
"""Rows for a thread, a warp and a block, and more elements than 32 bits count."""


def kernels() -> Iterator[tuple[str, Kernel]]:
    """Those of value and gradient of each function; nothing is computed."""
    seen = set()
    for f, dtype, shape in product(FUNCTIONS, DTYPES, SHAPES):
        if dtype in HALVES and f is not _cross_entropy:
            continue
        for k, kernel in enumerate(kernels_of(jg.value_and_grad(f, (0, 1)), dtype, shape)):
            if kernel not in seen:
                seen.add(kernel)
                yield f"{f.__name__[1:]} {dtype} {shape[0]} x {shape[1]}, {k}", kernel


def kernels_of(function: Callable, dtype: str, shape: tuple[int, ...]) -> list[Kernel]:
    like = jg.zeros((), dtype=getattr(jg, dtype)).expand(*shape)  # which has no memory
    tape = simplify(jg.jit(function).tape(like, like), keeps=lambda op: False)
    plan = make_plan(tape, GPU)
    recompute(plan)
    return [step.kernel for step in steps_of(plan, tape.rows, (), GRID) if isinstance(step, Launch)]
