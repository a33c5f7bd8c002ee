"""What is timed: calls of functions that both libraries have, by name, on arrays."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from jitgrad.ops.table import TABLE

SIZES = (10_000, 1_000_000)

BEFORE: dict[str, tuple] = {"polygamma": (2,)}
"""What stands before the tensors in a call."""
BEHIND: dict[str, tuple] = {"clamp": (-1.0, 1.0), "threshold": (0.1, 0.0)}
WHOLE_NUMBERS = ("bitwise_", "gcd", "lcm")
POLYNOMIAL = "_polynomial_"
ACTIVATIONS = (
    *("relu6", "elu", "selu", "celu", "gelu", "mish", "hardtanh", "hardsigmoid", "hardswish", "hardshrink", "softshrink"),
    *("tanhshrink", "softsign", "logsigmoid", "leaky_relu", "threshold"),
)
WRITTEN = {
    **dict.fromkeys(("sinc", "frac", "nan_to_num", "signbit", "positive", "multigammaln"), 1),
    **dict.fromkeys(("heaviside", "true_divide", "float_power"), 2),
    **dict.fromkeys(("lerp", "addcmul", "addcdiv"), 3),
}
"""Elementwise functions that are no rows of their own, by how many tensors they take."""
BEHIND["multigammaln"] = (2,)
SQUARE: dict[str, tuple[str, ...]] = {
    "everything": (
        *("sum", "mean", "prod", "amax", "amin", "max", "min", "any", "all", "argmax", "argmin", "var", "std"),
        *("nansum", "nanmean", "count_nonzero", "aminmax", "vector_norm", "median", "nanmedian", "logsumexp"),
    ),
    "rows": (
        *("sum", "mean", "prod", "amax", "amin", "max", "min", "any", "all", "argmax", "argmin", "var", "std"),
        *("nansum", "nanmean", "count_nonzero", "aminmax", "vector_norm", "median", "nanmedian", "logsumexp"),
        *("softmax", "log_softmax", "cumsum", "cumprod", "logcumsumexp", "cummax", "cummin", "sort", "argsort", "diff"),
        *("cumulative_trapezoid", "trapezoid", "normalize", "glu", "softmin"),
    ),
}
"""Reductions and scans, of all elements of a square and along its dimensions."""


class Case(NamedTuple):
    """`call` takes the function of a library, which has that name, to a function of as many tensors as there are inputs."""

    name: str
    inputs: Sequence[np.ndarray]
    call: Callable[[Any], Callable] = lambda f: f

    @property
    def function(self) -> str:
        return self.name.split()[0]


def named(library: Any, name: str) -> Any:
    """A function by its name, of whichever namespace has it; None if none does."""
    for place in (library.nn.functional, library, library.special, library.linalg):
        found = getattr(place, name, None)
        if found is not None:
            return found
    return None


def elementwise(size: int, dtype: str) -> Iterator[Case]:
    """The rows of the table, on their domains, and functions that are written in several."""
    rng = np.random.default_rng(3)
    rows: dict[str, Any] = {name: op.domain or ((0.2, 0.8),) for name, op in TABLE.items() if op.elementwise and not op.internal}
    rows |= dict.fromkeys(ACTIVATIONS, ((-3.0, 3.0),)) | {name: ((1.1, 1.8),) * n for name, n in WRITTEN.items()}
    rows["where"] = ((-3.0, 3.0),) * 3
    for name, domain in rows.items():
        behind = (5,) if POLYNOMIAL in name else BEHIND.get(name, ())
        spans = domain[:1] if POLYNOMIAL in name else domain
        inputs = [rng.uniform(low, high, size).astype(dtype) for low, high in spans]
        if name.startswith(WHOLE_NUMBERS):
            inputs = [rng.integers(1, 20, size) for _ in inputs]
        if name == "where":
            inputs[0] = inputs[0] > 0
        yield Case(name, inputs, functools.partial(_with, BEFORE.get(name, ()), behind, {}))


def _with(before: tuple, behind: tuple, keywords: dict[str, Any], function: Callable) -> Callable:
    """A call, or the result with a derivative where there are several."""

    def call(*xs: Any) -> Any:
        result = function(*before, *xs, *behind, **keywords)
        return result[0] if isinstance(result, tuple) else result

    return call


def along(size: int, dtype: str) -> Iterator[Case]:
    """Reductions and scans of a square."""
    n = math.isqrt(size)
    x = np.random.default_rng(4).uniform(0.7, 1.3, (n, n)).astype(dtype)
    for name in SQUARE["everything"]:
        yield Case(f"{name} everything", [x], functools.partial(_with, (), ((0, 1),) if name == "logsumexp" else (), {}))
    for name in SQUARE["rows"]:
        for d, what in ((1, "rows"), (0, "columns")):
            yield Case(f"{name} {what}", [x], functools.partial(_with, (), (), {"dim": d}))


def images(size: int, dtype: str) -> Iterator[Case]:
    """Convolutions, pools and resampling, of one size."""
    if size != SIZES[0]:
        return
    rng = np.random.default_rng(5)

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(dtype)

    x, line = normal(8, 16, 32, 32), normal(8, 16, 1024)
    grid = rng.uniform(-1, 1, (8, 32, 32, 2)).astype(dtype)
    yield Case("conv2d 3x3", [x, normal(32, 16, 3, 3)])
    yield Case("conv2d 3x3, padded", [x, normal(32, 16, 3, 3)], lambda f: lambda x, w: f(x, w, padding=1))
    yield Case("conv2d 3x3, stride 2", [x, normal(32, 16, 3, 3)], lambda f: lambda x, w: f(x, w, stride=2))
    yield Case("conv2d 1x1", [x, normal(32, 16, 1, 1)])
    yield Case("conv2d depthwise", [x, normal(16, 1, 3, 3)], lambda f: lambda x, w: f(x, w, padding=1, groups=16))
    yield Case("conv1d 5", [line, normal(32, 16, 5)])
    yield Case("conv_transpose2d 3x3, stride 2", [x, normal(16, 8, 3, 3)], lambda f: lambda x, w: f(x, w, stride=2))
    yield Case("max_pool2d 2", [x], lambda f: lambda x: f(x, 2))
    yield Case("max_pool2d 3, stride 2", [x], lambda f: lambda x: f(x, 3, 2, 1))
    yield Case("max_pool1d 3", [line], lambda f: lambda x: f(x, 3))
    yield Case("avg_pool2d 2", [x], lambda f: lambda x: f(x, 2))
    yield Case("avg_pool2d 3, stride 2", [x], lambda f: lambda x: f(x, 3, 2, 1))
    yield Case("lp_pool2d 2", [x], lambda f: lambda x: f(x, 2.0, 2))
    yield Case("adaptive_avg_pool2d 7", [x], lambda f: lambda x: f(x, 7))
    yield Case("adaptive_max_pool2d 7", [x], lambda f: lambda x: f(x, 7))
    for mode in ("bilinear", "nearest", "bicubic"):
        yield Case(f"grid_sample {mode}", [x, grid], lambda f, m=mode: lambda x, g: f(x, g, m, align_corners=False))
        yield Case(f"interpolate {mode}", [x], lambda f, m=mode: lambda x: f(x, scale_factor=2, mode=m))
    yield Case("unfold 3", [x], lambda f: lambda x: f(x, 3))
    yield Case("layer_norm", [x], lambda f: lambda x: f(x, (32, 32)))
    yield Case("group_norm", [x], lambda f: lambda x: f(x, 4))
    yield Case("batch_norm", [x], lambda f: lambda x: f(x, None, None, training=True))


def indexed(size: int, dtype: str) -> Iterator[Case]:
    """Elements and lines that are looked up, or added to, at given places."""
    rng = np.random.default_rng(7)
    table, src = (rng.standard_normal(n).astype(dtype) for n in (1000, size))
    lines = rng.standard_normal((1000, 64)).astype(dtype)
    at, few = rng.integers(0, 1000, size), rng.integers(0, 1000, size // 64)
    yield Case("gather", [table, at], lambda f: lambda x, at: f(x, 0, at))
    yield Case("index_select", [lines, few], lambda f: lambda x, at: f(x, 0, at))
    yield Case("scatter_add", [table, at, src], lambda f: lambda x, at, s: f(x, 0, at, s))
    yield Case("embedding", [lines, few], lambda f: lambda x, at: f(at, x))


FAMILIES: dict[str, Callable[[int, str], Iterator[Case]]] = {
    "elementwise": elementwise,
    "along": along,
    "images": images,
    "indexed": indexed,
}
