"""Reductions in loops: what a running result is held as, and what it begins with."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jitgrad.ops.movement import sum
from jitgrad.ops.reductions import cumsum, prod
from jitgrad.ops.scans import cumprod
from jitgrad.ops.table import Fold, Op
from jitgrad.sweeps.plan.machine_types import NUMPY

RUNNING: dict[Op, Fold] = {cumsum: sum.fold, cumprod: prod.fold}
"""What keeps its results so far along a dimension, by how two of them are joined."""


def held_as(fold: Fold, type: str) -> str:
    """The type in which parts of a result are held."""
    return "f64" if fold.wide and type[0] == "f" else type


def neutral(fold: Fold, held: str) -> Any:
    """What joined to anything changes nothing."""
    if held[0] == "f":
        return int(fold.neutral) if math.isfinite(fold.neutral) else fold.neutral
    info = np.iinfo(NUMPY[held])
    return int(min(max(fold.neutral, info.min), info.max))
