"""Reductions in loops: what a running result is held as, and what it begins with."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jitgrad.ops.table import Fold, Running
from jitgrad.sweeps.plan.machine_types import NUMPY, kind_of
from jitgrad.tape.row import Row


def held_as(fold: Fold | Running, type: str) -> str:
    """The type in which parts of a result are held."""
    return "f64" if fold.wide and type[0] == "f" else type


def neutral(value: float, held: str) -> Any:
    """A number in the type of what is held: of integers, the largest or smallest for one that is infinite."""
    if held[0] == "f":
        return int(value) if math.isfinite(value) else value
    info = np.iinfo(NUMPY[held])
    return int(min(max(value, info.min), info.max))


def carried_as(row: Row) -> list[str]:
    """The types in which a running result carries what it does; its inputs are of the first."""
    own = kind_of(row.inputs[0].dtype)
    own = "f32" if own == "f16" else own
    return [own] * (len(row.op.running.start) - 1) + [held_as(row.op.running, kind_of(row.dtype))]
