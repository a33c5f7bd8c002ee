"""The kernel expressions of the op table as Python under `@njit`: the same arithmetic as in machine code, to the last bit.

Beside a float32 Numba takes Python's numbers for float64, so that each is written with its type.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.dtypes import is_floating
from jitgrad.ops.arithmetic import POWERS
from jitgrad.tape.row import Row

_WORDS = re.compile(r"([A-Za-z_]\w*)|\d+\.?\d*(?:[eE][-+]?\d+)?")


def expression(row: Row, values: list[str]) -> str:
    """The value of an elementwise row, of its dtype, from expressions for its operands."""
    operand = row.inputs[0].dtype if row.inputs else row.dtype
    computed = row.dtype if row.dtype.kind == "f" else row.inputs[-1].dtype if row.inputs else row.dtype
    kernel = row.op.kernel or ""
    special = next((make for name, make in _SPECIAL.items() if kernel.startswith(f"{name}(")), None)
    if special is not None:
        kernel = special(row, operand)
    if kernel == "~x" and row.dtype.name == "bool":
        kernel = "not x"  # Python's ~ makes an integer of a bool
    known = dict(zip(row.op.inputs, values))
    known |= {name: number(x, computed) for name, x in row.params.items() if isinstance(x, int | float | np.generic)}
    return converted(written(kernel, known, computed), row.dtype)


def written(kernel: str, known: dict[str, str], dtype: np.dtype) -> str:
    """A kernel with its operands put in, and its numbers of `dtype`."""

    def word(found: re.Match) -> str:
        return known.get(found[0], found[0]) if found[1] else number(float(found[0]) if dtype.kind == "f" else found[0], dtype)

    return _WORDS.sub(word, kernel)


def number(value: Any, dtype: np.dtype) -> str:
    """A constant of a dtype."""
    if dtype.kind != "f":
        return f"({value})" if str(value).startswith("-") else str(value)
    value = float(value)
    text = repr(int(value) if value.is_integer() and abs(value) < 1e6 and (value or np.copysign(1, value) > 0) else value)
    return f"{dtype.name}({text})" if np.isfinite(value) else f"{dtype.name}({'-' * (value < 0)}np.{abs(value)})"


def converted(text: str, dtype: np.dtype) -> str:
    """What Numba computed, perhaps of a wider type, as a dtype."""
    return f"{'boolean' if dtype.name == 'bool' else dtype.name}({text})"


def _clamp(row: Row, operand: np.dtype) -> str:
    """A bound that is nan is the result; so is `x`, if it is."""
    text = "x"
    for name, sign in (("min", ">="), ("max", "<=")):
        if row.params[name] is not None:
            text = f"select(({text} {sign} {name}) | ({text} != {text}), {text}, {name})"
    return text


def _cast(row: Row, operand: np.dtype) -> str:
    """Floats to integers go by way of 32 bits, or of 64 if the integer has as many, as in NumPy on x86."""
    if row.dtype.kind == "b":
        return "x != 0"
    if is_floating(operand) and row.dtype.kind in "iu":
        return f"towards_zero_{64 if row.dtype.itemsize == 8 else 32}(x)"
    return "x"


def _power(row: Row, operand: np.dtype) -> str:
    return POWERS.get(row.params["exponent"], "pow(x, exponent)")


def _remainder(row: Row, operand: np.dtype) -> str:
    return "remainder(x, y)" if operand.kind == "f" else "whole_remainder(x, y)"


def _floor_divide(row: Row, operand: np.dtype) -> str:
    return "floor_divide(x, y)" if operand.kind == "f" else "whole_quotient(x, y)"


def _rounding(row: Row, operand: np.dtype) -> str:
    return "x" if operand.kind in "iub" else row.op.kernel or ""


_SPECIAL: dict[str, Callable[[Row, np.dtype], str]] = {
    **dict.fromkeys(("ceil", "floor", "rint", "trunc"), _rounding),
    "clamp": _clamp,
    "floor_divide": _floor_divide,
    "power": _power,
    "remainder": _remainder,
    "sign": lambda row, operand: "select(x > 0, 1, select(x < 0, -1, x - x))",
    "to": _cast,
}
