"""The quick way onto a tape under `jit`: rows of floating operands that need no conversion, which most are.

Each function gives None where there is more to it, and the general way (`record.apply`) must be taken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitgrad.ops.table import Op
from jitgrad.record.apply import grad_mode, number_of, result_of_floats
from jitgrad.record.trace import Trace, current_trace
from jitgrad.tape import origins
from jitgrad.tape.handle import make_recorded
from jitgrad.tape.row import NOTHING

recording = grad_mode.get


class _Results(dict):
    """For each dtype of the operands, the dtype of the result (None: not floating operands), and does a cotangent pass."""

    def __init__(self, op: Op) -> None:
        self.op = op

    def __missing__(self, dtype: Any) -> tuple:
        found = self[dtype] = result_of_floats(self.op, dtype, NOTHING)
        return found


def unary(op: Op) -> Callable:
    """`record(x)` of an elementwise op without parameters."""
    results = _Results(op)

    def record(x: Any) -> Any:
        row, trace = x._row, current_trace.get()
        if trace is None or row not in trace.rows or row in trace.numbers or (trace.differentiable and not recording()):
            return None
        dtype, passes = results[row.dtype]
        return None if dtype is None else _appended(trace, x, op, (row,), dtype, passes and row.requires)

    return record


def binary(op: Op) -> Callable:
    """`record(x, other)` of an elementwise op of two tensors of one shape and dtype, or of a tensor and a number; with
    `reflected` the number comes first."""
    results = _Results(op)

    def record(x: Any, other: Any, reflected: bool = False) -> Any:
        row, trace = x._row, current_trace.get()
        if trace is None or row not in trace.rows or row in trace.numbers or (trace.differentiable and not recording()):
            return None
        dtype, passes = results[row.dtype]
        if dtype is None:
            return None
        kind = other.__class__
        if kind is x.__class__:
            second = other._row
            unknown = other._value is not None or second not in trace.rows or second in trace.numbers
            if unknown or second.dtype is not row.dtype or second.shape != row.shape:
                return None
            return _appended(trace, x, op, (row, second), dtype, passes and (row.requires or second.requires))
        if kind is not float and kind is not int:
            return None
        second = number_of(trace, other, row.dtype, row.shape)
        return _appended(trace, x, op, (second, row) if reflected else (row, second), dtype, passes and row.requires)

    return record


def _appended(trace: Trace, like: Any, op: Op, rows: tuple, dtype: Any, requires: bool) -> Any:
    out = make_recorded(like.__class__, None, op, rows, NOTHING, rows[-1].shape, dtype, None, None, requires)
    trace.rows[out._row] = None
    if origins.noting:
        origins.note(out._row)
    return out
