"""Reductions in loops: what a running result is held as, and what it begins with."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.ops.movement import sum
from jitgrad.ops.reductions import amax, prod
from jitgrad.ops.table import Op
from jitgrad.sweeps.plan.machine_types import NUMPY


def held_as(op: Op, type: str) -> str:
    """The type in which parts of a result are held: sums and products of floats are float64."""
    return "f64" if op in (sum, prod) and type[0] == "f" else type


def neutral(op: Op, held: str) -> Any:
    """What joined to anything changes nothing."""
    if op in (sum, prod):
        return int(op is prod)
    info = np.iinfo(NUMPY[held]) if held[0] != "f" else None
    low, high = (float("-inf"), float("inf")) if info is None else (info.min, info.max)
    return low if op is amax else high
