"""The kernel expressions of the op table, evaluated on lanes: what their names mean in machine code."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import cache
from typing import Any

from jitgrad.kernels import primitives, scalar
from jitgrad.ops.arithmetic import POWERS
from jitgrad.sweeps.llvm.lanes import Instructions, Lane, level
from jitgrad.sweeps.plan.machine_types import kind_of, spelled
from jitgrad.tape.row import Row

MOST_WRITTEN_OUT = 2
"""How often a kernel is written out in a module; the uses after that, the last vector of a loop among them, call it.

A copy of sin on <16 x float> takes 2 ms to compile, and a call instead costs a loop of little else up to 10%. A gradient
with ten such functions (EPYC Zen 3; ms to compile it, us to run it on 1003 elements):

    written out at most   always      4 times     2 times     never
                          115 12.9    105 12.9    89 13.4     68 14.1
"""


def _kernel(name: str) -> Callable:
    kernel, most = scalar.GENERIC[name], 0 if name in scalar.LONG else MOST_WRITTEN_OUT

    def apply(*given: Lane) -> Lane:
        values = level([x.to("i64") for x in given] if "i64" in scalar.KERNELS[name] else list(given))
        x = values[0]
        written = x.block.declares.kernels
        key = (name, x.type, x.lanes)
        if written[key] < most:
            written[key] += 1
            return kernel(*values)
        symbol, text, type = _function(*key, len(values))
        x.block.declares |= text
        return x.block.emit(f"call {spelled(type, x.lanes)} @{symbol}({', '.join(map(str, values))})", type, x.lanes)

    return apply


@cache
def _function(name: str, type: str, lanes: int, count: int) -> tuple[str, frozenset[str], str]:
    """A kernel as an LLVM function on that many lanes: its name, the text that a module with it needs, and the type it gives."""
    block = Instructions()
    arguments = [block.value(f"%x{i}", type, lanes) for i in range(count)]
    result = scalar.GENERIC[name](*arguments)
    symbol = f"{name}.v{lanes}{type}"
    head = f"define internal {spelled(result.type, lanes)} @{symbol}({', '.join(map(str, arguments))}) noinline"
    return symbol, frozenset({*block.declares, f"{head} {{\n{block}\n  ret {result}\n}}"}), result.type


def _rounding(name: str) -> Callable:
    return lambda x: getattr(x, name)() if x.type[0] == "f" else x


def _clamp(x: Lane, min: Any, max: Any) -> Lane:
    """A bound that is nan is the result; so is `x`, if it is."""
    if min is not None:
        x = primitives.select((x >= min) | (x != x), x, min)
    return x if max is None else primitives.select((x <= max) | (x != x), x, max)


def _sign(x: Lane) -> Lane:
    below = primitives.select(x < 0, x.block.const(-1, x.type), x - x)  # 0 for -0.0, nan for nan
    return primitives.select(x > 0, x.block.const(1, x.type), below)


def _or_whole(name: str, of_integers: Callable) -> Callable:
    """A kernel, and what it is of integers."""
    kernel = _kernel(name)
    return lambda x, y: kernel(x, y) if x.type[0] == "f" else of_integers(x, y)


def _power(x: Lane, exponent: float) -> Any:
    if exponent in POWERS:
        return eval(_compiled(POWERS[exponent]), NAMES, {"x": x})
    return NAMES["pow"](x, x.block.const(exponent, x.type))


NAMES: dict[str, Any] = {
    **{n: _kernel(n) for n in scalar.KERNELS},
    **{n: _rounding(n) for n in ("floor", "ceil", "trunc", "rint")},
    "select": primitives.select,
    "sqrt": primitives.sqrt,
    "abs": abs,
    "sign": _sign,
    "clamp": _clamp,
    "power": _power,
    "remainder": _or_whole("remainder", operator.mod),
    "floor_divide": _or_whole("floor_divide", operator.floordiv),
    "to": lambda x, dtype: x.to(kind_of(dtype)),
    "inf": float("inf"),
    "copysign": primitives.copysign,
}


@cache
def _compiled(kernel: str) -> Any:
    return compile(kernel, f"<{kernel}>", "eval")


def evaluate(row: Row, values: list[Lane], block: Instructions) -> Lane:
    """The kernel expression of a row on lanes; half precision is computed in single and rounded after every row."""
    wide = [v.to("f32") if v.type == "f16" else v for v in values]
    result = eval(_compiled(row.op.kernel or ""), NAMES, dict(zip(row.op.inputs, wide)) | row.params)
    kind = kind_of(row.dtype)
    if not isinstance(result, Lane):
        return block.const(result, kind, values[0].lanes)
    return result if result.type == kind else result.to(kind)
