"""What one eager operation costs on tensors that require grad."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from bench.contestants import EAGER, FLOOR, TORCH, Contestant, Workload, numbers
from bench.libraries import load


class Operation(NamedTuple):
    """A call of tensors (and numbers); the same in NumPy; and its derivatives in the tensors."""

    text: str
    call: Callable
    in_numpy: Callable
    tensors: int
    others: tuple
    derivatives: Callable


OPERATIONS = (
    Operation("w * x", operator.mul, operator.mul, 2, (), lambda w, x: [x, w]),
    Operation("x.exp()", operator.methodcaller("exp"), np.exp, 1, (), lambda x: [np.exp(x)]),
    Operation("x + 1.0", operator.add, operator.add, 1, (1.0,), lambda x: [np.ones_like(x)]),
)


def overhead(operation: Operation, size: int | None) -> Workload:
    """One operation on `size` elements; on 0-d tensors for None."""
    random = np.random.default_rng(1)
    shape = () if size is None else (size,)
    data = tuple(np.asarray(random.uniform(0.5, 1.5, shape), np.float32) for _ in range(operation.tensors))
    entrants: dict[str, Callable[[], Contestant]] = {
        EAGER: functools.partial(_recorded, "jitgrad", operation, data),
        TORCH: functools.partial(_recorded, "torch", operation, data),
        FLOOR: lambda: _in_numpy(operation, data),
    }
    what = "0-d" if size is None else f"{size} elements"

    def reference() -> list[np.ndarray]:
        doubles = [d.astype(np.float64) for d in data]
        return [operation.in_numpy(*doubles, *operation.others), *operation.derivatives(*doubles)]

    title = f"{operation.text} on {what}, tensors require grad"
    return Workload(f"overhead {operation.text} {what}", title, EAGER, entrants, reference)


def _recorded(name: str, operation: Operation, data: tuple) -> Contestant:
    leaves = [load(name).array(d).requires_grad_(True) for d in data]

    def arrays(result: Any) -> list[np.ndarray]:
        result.sum().backward()
        gradients = [numbers(x.grad) for x in leaves]
        for x in leaves:
            x.grad = None
        return [numbers(result), *gradients]

    return Contestant(operation.call, (*leaves, *operation.others), arrays)


def _in_numpy(operation: Operation, data: tuple) -> Contestant:
    values = [d[()] for d in data]

    def arrays(result: Any) -> list[np.ndarray]:
        return [np.asarray(result), *map(np.asarray, operation.derivatives(*values))]

    return Contestant(operation.in_numpy, (*values, *operation.others), arrays)
