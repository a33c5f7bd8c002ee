"""A tape as one C function: values and pointers in, results through pointers out, nothing of Python in between:

    int32_t NAME(double w, const double *x, …, double *value, double *gradient, …);

A 0-d input is passed by value, any other as a pointer to its elements in C order; a result is always written through a
pointer, and must not overlap an input. The function returns 0, 1 if there was no memory for temporaries, or the
number of the fault if something is wrong with values (`ops/faults`).
The name ends in a hash of the text, the constants and the form of arguments and results: the same name means the same
function in any process.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

import numpy as np

from jitgrad.dtypes import EXPORTED
from jitgrad.errors import NotCompilableError
from jitgrad.sweeps.llvm.matrices import matrices_text
from jitgrad.sweeps.llvm.phase import Emitter
from jitgrad.sweeps.llvm.products import PRODUCT, product_text
from jitgrad.sweeps.llvm.wrapped import DATA, Value, Wrapped, wrap
from jitgrad.sweeps.plan.plan import Plan
from jitgrad.sweeps.plan.segments import left_to_numpy, whole_plan, why_not_native
from jitgrad.sweeps.plan.supported import ALONE
from jitgrad.tape.row import ITEM, Row
from jitgrad.tape.tape import Tape, short_type

OUT_OF_MEMORY = 1
MOST_ROWS = 10_000
"""Rows beyond which no native function is made: the time that it takes grows with their square."""


class Exported(NamedTuple):
    """The module that defines the function `name`, the constant arrays it refers to, and what goes in and out."""

    name: str
    text: str
    data: bytes
    inputs: list[Value]
    outputs: list[Value]


def export(label: str, tape: Tape, captured: dict[Row, np.ndarray], form: str = "") -> Exported:
    """The function of a simplified tape. `captured` are the values of its other leaves, which become constants; `form` says
    what callers know of it besides.

    Raises `NotCompilableError` if NumPy has to run a row, for a dtype that machine code does not know, and for very long tapes.
    """
    for row in [*tape.inputs, *tape.outputs, *captured]:
        if str(row.dtype) not in EXPORTED:
            raise NotCompilableError(
                f"{label} has a value of dtype {row.dtype} among its arguments or results, and there are "
                f"C functions of {', '.join(EXPORTED)} alone: convert with .to(...)"
            )
    if len(tape) > MOST_ROWS:
        raise NotCompilableError(
            f"the tape of {label} has {len(tape)} rows, and more than {MOST_ROWS} would take minutes to "
            "compile: write its loop with scan, fori_loop or while_loop, which are one row"
        )
    outputs = [Value(row.shape, row.dtype) for row in tape.outputs]
    tape, plan = whole_plan(tape, ALONE)
    _refuse_numpy(label, plan)
    return _exported(label, wrap(tape, plan, captured, Emitter, outputs), form)


def _exported(label: str, inner: Wrapped, form: str) -> Exported:
    """The function of the C interface around that of the tape: it brings the memory."""
    names = [f"%a{i}" for i in range(len(inner.inputs))] + [f"%r{i}" for i in range(len(inner.outputs))]
    kinds = [_parameter(v) for v in inner.inputs] + ["ptr"] * len(inner.outputs)
    given = [f"{v.parameter} %a{i}" for i, v in enumerate(inner.inputs)] + [f"ptr {name}" for name in names[len(inner.inputs) :]]
    lines, text = [], set(inner.text)
    if inner.memory:
        text |= {"declare ptr @malloc(i64)", "declare void @free(ptr)"}
        lines += [
            f"  %memory = call ptr @malloc(i64 {inner.memory})",
            "  %none = icmp eq ptr %memory, null",
            f"  br i1 %none, label %failed, label %run\nfailed:\n  ret i32 {OUT_OF_MEMORY}\nrun:",
        ]
    if inner.flagged:
        lines += ["  %flag = alloca [3 x i64]", "  store i64 0, ptr %flag"]
    given += ["ptr %memory"] * bool(inner.memory) + ["ptr %flag"] * inner.flagged
    lines.append(f"  call void @{inner.name}({', '.join(given)})")
    lines += ["  call void @free(ptr %memory)"] * bool(inner.memory)
    status = "0"
    if inner.flagged:
        status = "%status"
        lines += [
            "  %bad = load i64, ptr %flag",
            "  %status = trunc i64 %bad to i32",
        ]
    text -= {f"declare void @{symbol}(ptr)" for symbol in inner.symbols}
    for symbol in inner.symbols:
        text |= (product_text if symbol.startswith(PRODUCT) else matrices_text)(symbol)
    if inner.data:
        text.add(f"@{DATA} = external global i8")
    signature = ", ".join(f"{kind} {name}" for kind, name in zip(kinds, names))
    function = [f"define i32 @jitgrad_function({signature}) {{", "entry:", *lines, f"  ret i32 {status}", "}", ""]
    whole = "\n".join([*sorted(text), *function])
    known = f"{whole}\0{inner.inputs}\0{inner.outputs}\0{form}\0"
    digest = hashlib.sha256(known.encode() + inner.data).hexdigest()[:24]
    name = f"jitgrad_{re.sub('[^A-Za-z0-9_]', '_', label)}_{digest}"
    return Exported(name, whole.replace("@jitgrad_function(", f"@{name}("), inner.data, inner.inputs, inner.outputs)


def _refuse_numpy(label: str, plan: Plan) -> None:
    others = [row for row in left_to_numpy(plan) if row.op is not ITEM]
    if others:
        rows = "\n".join(f"  {row.op.name} -> {short_type(row)} ({why_not_native(row)})" for row in others[:8])
        more = f"\n  and {len(others) - 8} more" * (len(others) > 8)
        raise NotCompilableError(
            f"{label} cannot become a native function, because NumPy runs these rows of its tape:\n{rows}{more}\n"
            "write them in elementwise operations, sums, extremes, slices and products of matrices, or compute them "
            "outside and pass the result as an argument; jitgrad.jit(f).report() shows which rows are machine code"
        )


def _parameter(value: Value) -> str:
    """The LLVM type of a parameter, as C compilers pass it."""
    return "i8 zeroext" if value.parameter == "i8" else value.parameter
