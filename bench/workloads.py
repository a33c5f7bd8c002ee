"""All workloads, in the order of the report."""

from __future__ import annotations

from bench import elementwise, mlp, neuron, overhead
from bench.contestants import Workload


def everything(quick: bool = False) -> list[Workload]:
    """The workloads of a full run; the quick ones leave out what takes long and torch.compile."""
    sizes = (100, 10_000, 1_000_000) if quick else elementwise.SIZES
    return [
        *overheads(),
        *neurons(),
        *[elementwise.elementwise(n, not quick and n in elementwise.WITH_TORCH_COMPILE) for n in sizes],
        *[mlp.network(*shape) for shape in (mlp.SHAPES[:2] if quick else mlp.SHAPES)],
        mlp.logistic(),
    ]


def overheads() -> list[Workload]:
    """One eager operation each, on 0-d tensors and on 100 elements."""
    return [overhead.overhead(operation, size) for size in (None, 100) for operation in overhead.OPERATIONS]


def neurons() -> list[Workload]:
    """The neuron as an eager step, and under jit."""
    return [neuron.eager_neuron(), neuron.neuron()]


def elementwises() -> list[Workload]:
    """The expression at every size."""
    return [elementwise.elementwise(size) for size in elementwise.SIZES]


def models() -> list[Workload]:
    """The networks and the regression."""
    return [*[mlp.network(*shape) for shape in mlp.SHAPES], mlp.logistic()]


def tiny() -> list[Workload]:
    """Every kind of workload, as small as it gets: for the tests."""
    return [*overheads(), *neurons(), elementwise.elementwise(7), mlp.network(5, 3, 4, 2), mlp.logistic(6, 3)]
