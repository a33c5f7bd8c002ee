"""Where gradients end up: the `.grad` of a leaf, to which every reverse sweep adds."""

from __future__ import annotations

import operator
import threading
from typing import Any

import numpy as np

from jitgrad.handle import make
from jitgrad.record import quiet
from jitgrad.tape import Leaf, Row

accumulating = threading.Lock()
"""Held while gradients are added: threads may share leaves."""


def add_value(row: Row, value: Any, cls: type) -> None:
    """Add an array or number of the right shape to the gradient of `row`; it becomes the gradient if there is none."""
    old = row.grad if isinstance(row, Leaf) else gradient(row)
    if old is None:
        set_gradient(row, make(cls, value, None))
        return
    held = old._value
    if isinstance(held, np.ndarray) and held.flags.writeable:
        quiet.run(operator.iadd, held, value)
        if old._storage is not None:
            old._storage.version += 1
    else:
        old._value = quiet.run(operator.add, held, value)


def add_tensor(row: Row, value: Any) -> None:
    """Add a tensor with a history, as `create_graph` asks for: the gradient becomes a new tensor."""
    old = gradient(row)
    set_gradient(row, value if old is None else old + value)


def gradient(row: Row) -> Any:
    """The gradient of a leaf, or the one kept for another row; None if there is none."""
    return row.grad if isinstance(row, Leaf) else (row.extra or {}).get("grad")


def set_gradient(row: Row, value: Any) -> None:
    """Replace the gradient of a row."""
    if isinstance(row, Leaf):
        row.grad = value
    else:
        row.extra = (row.extra or {}) | {"grad": value}
