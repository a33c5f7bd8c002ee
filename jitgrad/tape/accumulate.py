"""Where gradients end up: the `.grad` of a leaf, to which every reverse sweep adds."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from jitgrad.base.locks import gradients as accumulating
from jitgrad.base.quiet import quietly
from jitgrad.tape.device_array import ARRAYS
from jitgrad.tape.handle import tensor
from jitgrad.tape.row import Leaf, Row

__all__ = ["accumulating", "add_tensor", "add_value", "gradient", "set_gradient"]


def add_value(row: Row, value: Any) -> None:
    """Add an array or number of the right shape to the gradient of `row`; it becomes the gradient if there is none.

    The caller holds the lock `accumulating`. A signal handler may add something between any two calls here, so what was
    found is looked at again where it is replaced: no handler runs between a comparison and an assignment.
    """
    fresh = tensor(value if getattr(value, "ndim", 0) < 2 else _laid_as_its_leaf(row, value))
    while True:
        old = row.grad if isinstance(row, Leaf) else gradient(row)
        if old is None:
            if _replaced(row, None, fresh):
                return
            continue
        held = old._value
        if isinstance(held, ARRAYS) and held.flags.writeable:
            if old._storage is not None:
                old._storage.version += 1
            quietly(operator.iadd, held, value)
            return
        total = quietly(operator.add, held, value)
        if old._value is held:
            old._value = total
            return


def _laid_as_its_leaf(row: Row, value: Any) -> Any:
    """The array with its elements in memory as those of the leaf, if these are all that is there, in whatever order."""
    owner = row.owner() if isinstance(row, Leaf) and row.grad is None and row.owner is not None else None
    held = None if owner is None else owner._value
    if not isinstance(held, np.ndarray) or held.strides == value.strides:
        return value
    like = np.empty_like(held, dtype=value.dtype)
    if like.strides != held.strides or like.shape != value.shape:
        return value
    like[...] = value
    return like


def add_tensor(row: Row, value: Any) -> None:
    """Add a tensor with a history, as `create_graph` asks for: the gradient becomes a new tensor."""
    while True:
        old = gradient(row)
        if _replaced(row, old, value if old is None else old + value):
            return


def _replaced(row: Row, old: Any, new: Any) -> bool:
    """Make `new` the gradient of a row if it is `old` still."""
    if isinstance(row, Leaf):
        if row.grad is not old:
            return False
        row.grad = new
        return True
    extra = row.extra
    if gradient(row) is not old:
        return False
    changed = (extra or {}) | {"grad": new}
    if row.extra is not extra:
        return False
    row.extra = changed
    return True


def gradient(row: Row) -> Any:
    """The gradient of a leaf, or the one kept for another row; None if there is none."""
    return row.grad if isinstance(row, Leaf) else (row.extra or {}).get("grad")


def set_gradient(row: Row, value: Any) -> None:
    """Replace the gradient of a row."""
    if isinstance(row, Leaf):
        row.grad = value
    else:
        row.extra = (row.extra or {}) | {"grad": value}
