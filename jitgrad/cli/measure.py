"""One function with one sweep, timed; and how far the gradients of the sweeps are apart."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import jitgrad as jg

SWEEPS = ("interpreted", "numba", "machine", "jit")
LABELS = {"interpreted": "interpreted", "numba": "Numba", "machine": "machine", "jit": "JIT"}


@dataclass
class Run:
    """What one sweep did: times in seconds, `first` from a function never called before to its first gradient."""

    sweep: str
    loss: float
    first: float
    steady: float
    accuracy: float | None = None
    losses: list[float] = field(default_factory=list)
    report: str = ""

    @property
    def from_disk(self) -> bool:
        """Whether kernels (some, at least) were found in the disk cache, so that `first` holds little compiling."""
        return "from the disk cache" in self.report


@dataclass
class Comparison:
    """All sweeps on the same work, and the largest absolute difference between the gradients of each and the first's."""

    name: str
    runs: dict[str, Run]
    differences: dict[str, float]

    @property
    def jit(self) -> Run:
        return self.runs["jit"]

    def speed_up(self, sweep: str) -> float:
        """How many times quicker than interpreted a step is."""
        return self.runs["interpreted"].steady / self.runs[sweep].steady


def median(times: list[float]) -> float:
    """The median without the first call, unless that was the only one."""
    return statistics.median(times[1:] or times)


def timed(call: Callable, *operands: Any) -> tuple[float, Any]:
    """Seconds that a call took, and its result."""
    begin = time.perf_counter()
    result = call(*operands)
    return time.perf_counter() - begin, result


def differences_of_sweeps(gradient: Callable, *operands: Any) -> dict[str, float]:
    """The largest absolute difference between what `gradient(*operands)` gives with each sweep and with the first."""
    results = []
    for sweep in SWEEPS:
        with jg.sweep(sweep):
            results.append([np.asarray(g.numpy(), np.float64) for g in leaves(gradient(*operands))])
    return {sweep: largest_difference(results[0], found) for sweep, found in zip(SWEEPS, results)}


def leaves(tree: Any) -> Iterator[Any]:
    """The tensors in nested tuples, lists and dicts, in order."""
    if isinstance(tree, dict):
        tree = list(tree.values())
    if isinstance(tree, (tuple, list)):
        for part in tree:
            yield from leaves(part)
    elif isinstance(tree, jg.Tensor):
        yield tree


def largest_difference(first: Iterable[np.ndarray], second: Iterable[np.ndarray]) -> float:
    """The largest |a - b|; equal infinities and nan against nan count as equal, nan against a number as infinite."""
    worst = 0.0
    for a, b in zip(first, second, strict=True):
        differ = (a != b) & ~(np.isnan(a) & np.isnan(b))
        with np.errstate(invalid="ignore"):
            gaps = np.abs(a[differ] - b[differ])
        worst = max(worst, float(np.nan_to_num(gaps, nan=np.inf, posinf=np.inf).max(initial=0.0)))
    return worst
