"""What a reduction does with two parts: of floats and integers, whichever code computes them."""

from __future__ import annotations

from jitgrad.ops.table import Op
from jitgrad.sweeps.llvm.expressions import evaluate
from jitgrad.sweeps.llvm.lanes import Lane
from jitgrad.sweeps.plan.layouts import FOLDS
from jitgrad.sweeps.plan.machine_types import NUMPY
from jitgrad.tape.row import Row


def joined(op: Op, old: Lane, new: Lane) -> Lane:
    """Two parts as one."""
    return evaluate(Row(FOLDS[op], (), {}, (), NUMPY[new.type], False), [new, old], new.block)
