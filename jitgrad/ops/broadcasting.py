"""What shapes come to together, and what to say of those that do not fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitgrad.ops.table import Op


def broadcast_shape(op: Op, shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The shape that `shapes` broadcast to; `RuntimeError` if they do not."""
    if len(set(shapes)) == 1:
        return shapes[0]
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError as error:
        raise shape_error(op, [np.broadcast_to(0, s) for s in shapes], error) from error


def shape_error(op: Op, values: Sequence[Any], error: ValueError) -> Exception:
    """What to raise where NumPy raised `error` for operands whose shapes do not fit."""
    shapes = " and ".join(str(list(np.shape(v))) for v in values)
    if op.elementwise and "broadcast" not in str(error):  # such as an integer to a negative power
        return RuntimeError(f"{op.name}: {str(error)[:1].lower()}{str(error)[1:]}")
    if op.elementwise:
        return RuntimeError(
            f"{op.name}: shapes {shapes} do not broadcast: aligned at the right, sizes must be equal, or one of them 1"
        )
    return RuntimeError(
        f"{op.name}: shapes {shapes} do not fit: {op.misfit}" if op.misfit else f"{op.name}: shapes {shapes}: {error}"
    )
