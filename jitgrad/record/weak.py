"""Python's numbers on a tape: what an operator gives for numbers alone, where `jit` has made inputs of them.

Beside a tensor a number takes the dtype of the tensor, or lets it decide (see `promotion.same_dtype`). But `c * 2`, where `c` is
a float, is what Python says: a float, in all of its 53 bits, which again adapts to the tensors that it meets. So operators
on numbers alone are rows in float64, int64 or bool that are numbers in turn, of the type that Python (or NumPy, of its
numbers) gives. An int that could grow beyond int64 is an error, since Python's has no bounds.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.errors import TracedValueError
from jitgrad.ops import TABLE
from jitgrad.ops.arithmetic import pow as pow_op
from jitgrad.ops.arithmetic import pow_scalar
from jitgrad.ops.choosing import cast
from jitgrad.ops.table import Op
from jitgrad.record.apply import append, apply, lift
from jitgrad.record.trace import Number, Trace, current_trace
from jitgrad.tape.handle import Handle, make
from jitgrad.tape.row import Row

_OPERATORS = {
    TABLE[name]: getattr(operator, f"__{python}__")
    for name, python in {
        "add": "add",
        "sub": "sub",
        "mul": "mul",
        "div": "truediv",
        "floor_divide": "floordiv",
        "remainder": "mod",
        "pow": "pow",
        "neg": "neg",
        "abs": "abs",
        "eq": "eq",
        "ne": "ne",
        "lt": "lt",
        "le": "le",
        "gt": "gt",
        "ge": "ge",
        "bitwise_and": "and",
        "bitwise_or": "or",
        "bitwise_xor": "xor",
        "bitwise_not": "invert",
    }.items()
}
"""The operators of Python that numbers alone may meet."""

_GROWTH = {
    "add": operator.add,
    "sub": operator.add,
    "mul": operator.mul,
    "floor_divide": lambda a, b: a + 1,
    "remainder": lambda a, b: b,
    "pow": operator.pow,
    "neg": lambda a: a,
    "abs": lambda a: a,
    "bitwise_not": lambda a: a + 1,
}
"""How large a result can be for operands that are at most so large; elsewhere twice the sum of them."""


_PYTHONS = (bool, int, float, complex)


def number(x: Any) -> Number | None:
    """What number an operand is, Python's, NumPy's or one of a tape; None if it is none."""
    if isinstance(x, Handle):
        trace = current_trace.get() if x._value is None else None
        return None if trace is None else trace.number(x._row)
    if isinstance(x, np.generic):
        return Number(x.__class__)
    kind = next((k for k in _PYTHONS if isinstance(x, k)), None)
    return None if kind is None else Number(kind, abs(x) if kind in (bool, int) else 0)


def are_numbers(*operands: Any) -> bool:
    """Whether all operands are numbers."""
    return None not in map(number, operands)


def refuse_numbers(name: str, operands: Sequence[Any]) -> None:
    """TypeError for Python's numbers alone, where PyTorch asks for a tensor among the operands; a number of NumPy's is one."""
    found = [number(x) for x in operands]
    if all(n is not None and n.kind in _PYTHONS for n in found):
        kinds = ", ".join(x.__class__.__name__ for x in operands)
        raise TypeError(
            f"{name} takes a tensor or an array among its operands, and these are numbers alone ({kinds}): make one of them a "
            "tensor with jg.tensor(), or compute with Python's operators, math, or NumPy's functions of numbers"
        )


def operate(op: Op, operands: Sequence[Any]) -> Any:
    """`apply` for an operator, whose operands may be numbers alone."""
    trace = current_trace.get()
    if trace is None or None in (numbers := list(map(number, operands))):
        return apply(op, operands)
    return _operated(trace, op, operands, numbers, _OPERATORS[op])  # type: ignore[arg-type]


def of_numpy(ufunc: Any, op: Op, operands: Sequence[Any]) -> Any:
    """The same for a function of NumPy, which makes a number by NumPy of numbers."""
    trace = current_trace.get()
    if trace is None or None in (numbers := list(map(number, operands))):
        return apply(op, operands)
    return _operated(trace, op, operands, numbers, ufunc)  # type: ignore[arg-type]


def made_of_numbers(function: Callable, out: Any, operands: Sequence[Any]) -> Any:
    """The same for what another function of NumPy's made of numbers alone: a number, where NumPy gives one."""
    trace = current_trace.get()
    if trace is None or not isinstance(out, Handle) or out._value is not None or out._row.shape or out._row in trace.numbers:
        return out
    numbers = [number(x) for x in operands]
    if None not in numbers and out._row in trace.rows:
        like = function(*[n.kind(1) for n in numbers if n is not None])
        if isinstance(like, np.generic) and like.dtype == out._row.dtype:
            trace.numbers[out._row] = Number(type(like))
    return out


def _operated(trace: Trace, op: Op, operands: Sequence[Any], numbers: Sequence[Number], meaning: Callable) -> Any:
    """The row of an op on numbers alone, of which `meaning` says what kind of number it gives."""
    kinds = tuple([number.kind for number in numbers])
    exponent = operands[1] if op is pow_op else None
    if meaning is operator.pow and kinds[0] in (int, bool) and kinds[1] in (int, bool):
        if isinstance(exponent, Handle):
            raise TracedValueError(
                "an int to the power of an int that is not known yet may be an int or a fraction: make one of them a float"
            )
        if exponent < 0:  # type: ignore[operator]
            kinds, exponent = (float, float), float(exponent)  # type: ignore[arg-type]
    kind, dtype = _result(meaning, op.result == "bool", kinds)
    bound = 0
    if kind is int:
        grown = _GROWTH.get(op.name, lambda *sizes: 2 * sum(sizes) + 1)
        bound = max(grown(*[max(number.bound, 1) for number in numbers]), 1)  # type: ignore[operator]
        if bound >= 1 << 63:
            raise TracedValueError("an int among the arguments changes, and what is computed of it may go beyond int64")
    if exponent is not None and not isinstance(exponent, Handle):
        row = append(trace, pow_scalar, (_as(trace, operands[0], dtype),), {"exponent": exponent})
    else:
        row = append(trace, op, tuple([_as(trace, x, dtype) for x in operands]), {})
    trace.numbers[row] = Number(kind, bound)
    return make(next(x.__class__ for x in operands if isinstance(x, Handle)), None, row)


@functools.lru_cache(maxsize=1024)
def _result(meaning: Callable, truth: bool, kinds: tuple[type, ...]) -> tuple[type, np.dtype]:
    """The type of the result for operands of such types, and the dtype to compute it in."""
    kind = type(meaning(*[kind(1) for kind in kinds]))
    return kind, np.dtype(common(kinds) if truth else kind)


def common(kinds: Sequence[type]) -> type:
    """The type of a sum of numbers of such types."""
    return type(functools.reduce(operator.add, [kind(1) for kind in kinds]))


def _as(trace: Trace, operand: Any, dtype: np.dtype) -> Row:
    """The row of a number in some dtype."""
    if not isinstance(operand, Handle):
        return trace.constant(dtype.type(operand))
    row = lift(trace, operand)
    return row if row.dtype == dtype else append(trace, cast, (row,), {"dtype": dtype})
