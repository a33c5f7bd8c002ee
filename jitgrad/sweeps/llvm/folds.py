"""What a reduction does with two parts: of floats and integers, whichever code computes them."""

from __future__ import annotations

from jitgrad.ops.table import Fold
from jitgrad.sweeps.llvm.expressions import evaluate
from jitgrad.sweeps.llvm.lanes import Lane
from jitgrad.sweeps.plan.machine_types import NUMPY
from jitgrad.tape.row import Row


def joined(fold: Fold, old: Lane, new: Lane) -> Lane:
    """Two parts as one."""
    return evaluate(Row(fold.join, (), {}, (), NUMPY[new.type], False), [new, old], new.block)
