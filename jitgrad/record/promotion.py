"""Which dtype the operands of an operation have in common, as PyTorch promotes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.dtypes import HALF
from jitgrad.ops.table import Op
from jitgrad.record.checking import not_floating
from jitgrad.record.precision import SINGLE, converted_to, widened
from jitgrad.record.trace import current_trace
from jitgrad.tape.device_array import ARRAYS
from jitgrad.tape.handle import Handle

FLOATS = frozenset({np.dtype(np.float32), np.dtype(np.float64)})
"""What most operations are on; they know of no other in their quick ways."""
_NO_OPERAND = "cannot compute with {}: operands are tensors, NumPy arrays and numbers"


def _no_operand(x: Any) -> TypeError:
    cure = ", and jitgrad.stack makes one tensor of several" if isinstance(x, (list, tuple)) else ""
    return TypeError(_NO_OPERAND.format(type(x).__name__) + cure)


def same_dtype(op: Op, operands: Sequence[Any], *, numbers: bool = False) -> tuple[list[Any], np.dtype | None]:
    """Operands of an elementwise op with one dtype, as PyTorch promotes them; with `numbers` also Python's.

    Where that dtype is float16 or bfloat16 they come in float32 if the op rounds, and second is what its result is to be
    rounded to.
    """
    first = 1 if op.name == "where" else 0
    numbers = numbers or first == 1
    known = ranks(operands)[first:]
    if first and _dtype_rank(operands[0])[0] != np.bool_:
        raise RuntimeError(
            f"where: the condition must be bool, not {dtypes.of(_dtype_rank(operands[0])[0]).name}: "
            "compare, as in where(x > 0, ...)"
        )
    common = known[0][0] if len({d for d, _ in known}) == 1 and known[0][1] >= 0 else dtypes.result_type(known)
    if common.kind == "c" and not op.on_complex:
        raise _no_complex(op)
    if op.result == "float" and not dtypes.has_gradient(common):
        common = dtypes.default()
    elif op.result == "integer" and dtypes.has_gradient(common):
        raise NotImplementedError(f"{op.name} works on bool and integer tensors, not on {dtypes.of(common).name}")
    elif op.result == "floating" and not dtypes.is_floating(common):
        raise not_floating(op.name, common)
    elif op.bools == "counted" and common == np.bool_:
        common = np.dtype(np.int64)
    elif op.bools != "any" and (common == np.bool_ or (op.bools == "none" and any(d == np.bool_ for d, _ in known))):
        raise NotImplementedError(f"{op.name} is not for bool tensors: use logical operations, ~ and ^, or convert with .int()")
    half = common if op.single and common in HALF else None
    common = SINGLE if half is not None and not op.jumps else common
    converted = [
        *operands[:first],
        *[
            dtypes.number(o, common)
            if numbers and not isinstance(o, (Handle, np.ndarray)) and common not in HALF
            else _converted(o, d, r, common)
            for o, (d, r) in zip(operands[first:], known)
        ],
    ]
    return converted if half is None or common == SINGLE else widened(converted), half


def complex_among(operands: Sequence[Any]) -> bool:
    """Whether an operand is complex."""
    return any(getattr(getattr(x, "_held", x), "dtype", _BOOL).kind == "c" for x in operands)


def of_complex(op: Op, operands: Sequence[Any], params: dict[str, Any]) -> Any:
    """What an op that takes no complex operands is of them, in other rows; `NotImplementedError` if it is nothing."""
    if op.of_complex is None:
        raise _no_complex(op)
    return op.of_complex(*operands, **params)


def _no_complex(op: Op) -> NotImplementedError:
    cure = "jitgrad.sgn is its sign" if op.name == "sign" else "take abs(), .real or .imag first"
    return NotImplementedError(f"{op.name} is not for complex tensors, of which there is none: {cure}")


_BOOL = np.dtype(np.bool_)


def ranks(operands: Sequence[Any]) -> list[tuple[np.dtype, int]]:
    """What operands add to the promotion of dtypes: numbers adapt to tensors, and are exact where there is none."""
    known = [_dtype_rank(o) for o in operands]
    if any(isinstance(o, Handle) and rank >= 0 for o, (_, rank) in zip(operands, known)):
        return known
    return [_exact(o, rank) for o, (_, rank) in zip(operands, known)]


def _dtype_rank(operand: Any) -> tuple[np.dtype, int]:
    if isinstance(operand, Handle):
        if operand._value is not None:
            return operand._value.dtype, operand._value.ndim
        trace = current_trace.get()
        if trace is not None and (number := trace.number(operand._row)) is not None:
            return dtypes.weak(number.kind), -1
        return operand._row.dtype, operand._row.ndim
    if isinstance(operand, ARRAYS):
        return operand.dtype, operand.ndim
    known = isinstance(operand, np.generic) and (operand.dtype.kind in "biufc" or dtypes.is_known(operand.dtype))
    if known or isinstance(operand, (bool, int, float, complex)):
        return dtypes.weak(operand.__class__), -1
    raise _no_operand(operand)


def _exact(operand: Any, rank: int) -> tuple[np.dtype, int]:
    """The dtype of a number as exact as it is; those by NumPy are stronger than Python's."""
    if isinstance(operand, ARRAYS):
        return operand.dtype, rank
    if not isinstance(operand, Handle):
        return dtypes.of_number(operand), 0 if isinstance(operand, np.generic) else rank
    number = current_trace.get().number(operand._row)  # type: ignore[union-attr]
    return operand._row.dtype, 0 if issubclass(number.kind, np.generic) else rank  # type: ignore[union-attr]


def _converted(operand: Any, dtype: np.dtype, rank: int, common: np.dtype) -> Any:
    if rank < 0 and common.kind in "iu" and not isinstance(operand, Handle):
        return dtypes.number(operand, common)
    if dtype == common and not (rank < 0 and isinstance(operand, (Handle, np.generic))):
        return operand
    if rank < 0 and not isinstance(operand, Handle):
        plain = common in FLOATS and operand.__class__ in (int, float)  # others are stronger than the tensor to NumPy
        if plain:
            return operand
        with np.errstate(all="ignore"):
            return np.array(operand).astype(common)[()]
    return converted_to(common, operand)
