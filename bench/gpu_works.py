"""What is timed on a GPU: losses at sizes that its caches have no room for, each with its result derived by hand."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from bench import elementwise, layers, mlp, neuron
from bench.contestants import flat
from bench.libraries import Library

ROTATED = 256 << 20
"""Bytes that the inputs should have together which take turns: more than the cache of any GPU."""
MOST_SETS = 6
"""Fewer than the graphs that a program keeps (`jitgrad.sweeps.cuda.replay.MOST_GRAPHS`)."""
DOUBLE_BELOW = 50_000_000
"""Elements up to which the right result is computed in float64; it takes a minute beyond."""


class Work(NamedTuple):
    """A loss, to be differentiated in its first `wrt` arguments; with 0 a function by itself.

    `by_hand` is as in `bench.contestants.Problem`; with `cupy` it also runs on CuPy's arrays as it is.
    """

    name: str
    title: str
    loss: Callable[[Library], Callable]
    args: Callable[[], tuple[Any, ...]]
    wrt: int
    by_hand: Callable[..., Any]
    cupy: bool = False

    def nbytes(self) -> int:
        """Bytes of the arguments."""
        return sum(np.asarray(a).nbytes for a in self.args())

    def traffic(self) -> int:
        """The fewest bytes to read and write: every argument once, every gradient, or else result, once."""
        args = self.args()
        if self.wrt:
            return self.nbytes() + sum(np.asarray(a).nbytes for a in args[: self.wrt])
        return self.nbytes() + self.by_hand(*args).nbytes

    def sets(self) -> int:
        """How many copies of the arguments take turns."""
        return max(2, min(MOST_SETS, -(-ROTATED // max(self.nbytes(), 1))))

    def arrays(self, found: Any) -> list[np.ndarray]:
        """The numbers of what a contestant or `by_hand` gives."""
        return flat(found) if self.wrt else [np.asarray(found)]

    def right(self) -> list[np.ndarray]:
        """The right result."""
        args = self.args()
        if sum(np.size(a) for a in args) < DOUBLE_BELOW:
            args = tuple(a.astype(np.float64) if a.dtype == np.float32 else a for a in map(np.asarray, args))
        return self.arrays(self.by_hand(*[a if np.ndim(a) else a[()] for a in args]))


def works(tiny: bool) -> list[Work]:
    """All that is timed."""
    if tiny:
        return [fused(40), cross_entropy(6, 5), layer_norm(6, 8), columns(20, 6), network(4, 3, 5, 2), single_neuron()]
    shapes = [(256, 1024, 1024, 10), (8192, 1024, 4096, 1000)]
    return [
        fused(100_000_000),
        cross_entropy(16384, 1000),
        layer_norm(8192, 1024),
        columns(65536, 1024),
        *[network(*shape) for shape in shapes],
        single_neuron(),
    ]


def streaming(tiny: bool) -> list[Work]:
    """Those of one or few kernels of ours, whose grids make a difference."""
    if tiny:
        return [fused(40), cross_entropy(6, 5)]
    return [fused(100_000_000), cross_entropy(16384, 1000), layer_norm(8192, 1024), columns(65536, 1024)]


def _work(name: str, title: str, loss: Any, args: Callable[[], tuple], wrt: int, by_hand: Callable, cupy: bool = False) -> Work:
    return Work(name, title, loss, functools.cache(args), wrt, by_hand, cupy)


def _normal(seed: int, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape, np.float32) for shape in shapes]


def fused(n: int) -> Work:
    """One expression of many elements."""
    title = f"mean(tanh(x*y)*exp(-x*x) + log1p(exp(y))), {n:,} elements"
    args = lambda: tuple(_normal(2, (n,), (n,)))
    return _work(f"elementwise {elementwise.power(n)}", title, elementwise.loss, args, 2, elementwise.by_hand, cupy=True)


def cross_entropy(rows: int, classes: int) -> Work:
    """Softmax cross entropy."""

    def args() -> tuple:
        return *_normal(8, (rows, classes)), np.random.default_rng(8).integers(0, classes, rows)

    title = f"softmax cross entropy, {rows} × {classes}"
    name = f"cross-entropy {rows}x{classes}"
    return _work(name, title, lambda lib: lib.cross_entropy, args, 1, mlp.cross_entropy_by_hand)


def layer_norm(rows: int, columns: int) -> Work:
    """Normalisation of rows, and its gradient for a given cotangent."""

    def args() -> tuple:
        x, weight, bias, cotangent = _normal(9, (rows, columns), (columns,), (columns,), (rows, columns))
        return x * 2 + 1, 1 + weight / 10, bias / 10, cotangent

    name = f"layer-norm {rows}x{columns}"
    return _work(name, f"layer_norm, {rows} × {columns}", layers.norm_loss, args, 3, layers.norm_by_hand, cupy=True)


def columns(rows: int, columns: int) -> Work:
    """The sum of each column, without a gradient."""

    def loss(library: Library) -> Callable:
        total = library.xp.sum
        return lambda x: total(x, 0)

    name, title = f"columns {rows}x{columns}", f"sums of columns, {rows} × {columns}, no gradient"
    return _work(name, title, loss, lambda: tuple(_normal(10, (rows, columns))), 0, lambda x: x.sum(0), cupy=True)


def network(rows: int, inputs: int, hidden: int, outputs: int) -> Work:
    """Two layers and softmax cross entropy; most of it is products of matrices."""

    def args() -> tuple:
        w1, b1, w2, b2, x = _normal(3, (inputs, hidden), (hidden,), (hidden, outputs), (outputs,), (rows, inputs))
        scale = np.float32(inputs**-0.5), np.float32(hidden**-0.5)
        return w1 * scale[0], b1, w2 * scale[1], b2, x, np.random.default_rng(3).integers(0, outputs, rows)

    shape = f"{rows} × {inputs} → {hidden} → {outputs}"
    name = f"network {rows}x{inputs}-{hidden}-{outputs}"
    return _work(name, f"two-layer network, batch {shape}", mlp.network_loss, args, 4, mlp.network_by_hand)


def binary_network(rows: int, inputs: int, hidden: int) -> Work:
    """Two layers with one output and no index, so that a step is the same launches each time."""

    def args() -> tuple:
        *parameters, x = _normal(4, (inputs, hidden), (hidden,), (hidden, 1), (1,), (rows, inputs))
        return *parameters, x, np.random.default_rng(4).integers(0, 2, (rows, 1)).astype(np.float32)

    shape = f"{rows} × {inputs} → {hidden} → 1"
    name = f"network {rows}x{inputs}-{hidden}-1"
    return _work(name, f"two-layer network, batch {shape}", mlp.binary_loss, args, 4, mlp.network_by_hand)


def single_neuron() -> Work:
    """One neuron with one input: all overhead."""
    return _work("neuron", "sigmoid neuron, all numbers", neuron.loss, neuron.arguments, 2, neuron.by_hand)
