"""The kernel expressions of the op table, evaluated on lanes: what their names mean in machine code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitgrad.kernels import primitives, scalar
from jitgrad.sweeps.lanes import Block, Lane
from jitgrad.sweeps.words import DTYPES
from jitgrad.tape import Row


def _rounding(name: str) -> Callable:
    return lambda x: getattr(x, name)() if x.type[0] == "f" else x


def _clamp(x: Lane, min: Any, max: Any) -> Lane:
    if min is not None:
        x = primitives.select(x < min, min, x)
    return x if max is None else primitives.select(x > max, max, x)


def _sign(x: Lane) -> Lane:
    below = primitives.select(x < 0, x.block.const(-1, x.type), x - x)  # 0 for -0.0, nan for nan
    return primitives.select(x > 0, x.block.const(1, x.type), below)


def _remainder(x: Lane, y: Lane) -> Lane:
    rest = scalar.fmod(x, y)
    return primitives.select(
        (rest != 0) & ((rest < 0) ^ (y < 0)), rest + y, primitives.select(rest == 0, rest.copysign(y), rest)
    )


def _floor_divide(x: Lane, y: Lane) -> Lane:
    """NumPy's: the quotient that belongs to `remainder`, which the floor of the rounded quotient may miss by one."""
    select = primitives.select
    rest = scalar.fmod(x, y)
    quotient = (x - rest) / y
    quotient = select((rest != 0) & ((rest < 0) ^ (y < 0)), quotient - 1, quotient)
    whole = quotient.floor()
    whole = select(quotient - whole > 0.5, whole + 1, whole)
    return select(y == 0, x / y, select(quotient == 0, (x - x).copysign(x / y), whole))


def _power(x: Lane, exponent: float) -> Lane:
    if exponent in _POWERS:
        return _POWERS[exponent](x)
    return scalar.GENERIC["pow"](x, x.block.const(exponent, x.type))


_POWERS: dict[float, Callable] = {
    0: lambda x: x.block.const(1, x.type, x.lanes), 1: lambda x: x, 2: lambda x: x * x, 3: lambda x: x * x * x,
    4: lambda x: (x * x) * (x * x), -1: lambda x: 1 / x, -2: lambda x: 1 / (x * x), 0.5: primitives.sqrt,
}  # fmt: skip


NAMES: dict[str, Any] = {
    **scalar.GENERIC,
    **{n: _rounding(n) for n in ("floor", "ceil", "trunc", "rint")},
    "select": primitives.select, "sqrt": primitives.sqrt, "abs": abs, "sign": _sign, "clamp": _clamp, "power": _power,
    "remainder": _remainder, "to": lambda x, dtype: x.to(DTYPES[str(dtype)]), "inf": float("inf"),
    "floor_divide": _floor_divide,
}  # fmt: skip

_CODE: dict[str, Any] = {}


def evaluate(row: Row, values: list[Lane], block: Block) -> Lane:
    """The kernel expression of a row on lanes; half precision is computed in single and rounded after every row."""
    code = _CODE.get(row.op.kernel or "")
    if code is None:
        code = _CODE[row.op.kernel or ""] = compile(row.op.kernel or "", f"<{row.op.name}>", "eval")
    wide = [v.to("f32") if v.type == "f16" else v for v in values]
    result = eval(code, {}, NAMES | dict(zip(row.op.inputs, wide)) | row.params)
    kind = DTYPES[str(row.dtype)]
    if not isinstance(result, Lane):
        return block.const(result, kind, values[0].lanes)
    return result if result.type == kind else result.to(kind)
