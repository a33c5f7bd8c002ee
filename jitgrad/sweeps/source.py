"""The native phases of a tape as readable Python under `@njit`: for people, and for reading along in a debugger.

Loops, rows and results are those of the machine code; each line carries its row as a comment. Arrays have their
natural shapes here, single numbers are arguments and results.
"""

from __future__ import annotations

import re
from typing import Any

from jitgrad.ops.movement import sum
from jitgrad.ops.reductions import amax
from jitgrad.sweeps.segments import REDUCTIONS, Access, Loop, Phase, Plan, access, is_number, operands, space_of
from jitgrad.tape import CONST, Row, short_type

_CALLS = {n: f"np.{n}" for n in ("sign", "floor", "ceil", "trunc", "rint", "inf")}
_WHOLE = {
    "power(x, exponent)": "x ** exponent", "remainder(x, y)": "x % y", "to(x, dtype)": "x", "~x": "not x",
}  # fmt: skip


def python_source(plan: Plan, rows: list[Row], name: str) -> str:
    """One `@njit` function for each native phase of `plan`; rows are numbered as in `rows`. TypeError for float16."""
    if any(row.dtype.name == "float16" for row in plan.native):
        raise TypeError(
            "Numba has no float16 on the CPU, so there is no @njit source for this tape; the machine code works"
        )
    clean = re.sub(r"\W", "_", name).strip("_") or "function"
    parts = [_Writer(phase, plan, rows).text(f"{clean}_{i}") for i, phase in enumerate(plan.phases) if phase.stages]
    return "\n\n".join(parts) if parts else f"# {name}: every row is run by NumPy; see report()"


def namespace() -> dict[str, Any]:
    """What the source needs to run: `exec(source, namespace())`. Imports Numba."""
    import math

    import numba
    import numpy as np

    from jitgrad.kernels.launch import njit_namespace

    @numba.njit(error_model="numpy")
    def floor_divide(x, y):
        """NumPy's: the quotient that belongs to the remainder, not the floor of the rounded quotient."""
        if y == 0:
            return x / y
        rest = np.fmod(x, y)
        quotient = (x - rest) / y
        if rest != 0 and (rest < 0) != (y < 0):
            quotient -= 1
        if quotient == 0:
            return math.copysign(0.0, x / y)
        whole = np.floor(quotient)
        return whole + 1 if quotient - whole > 0.5 else whole

    casts = {n: getattr(np, n) for n in ("float32", "float64", "int32", "int64")}
    own = {"np": np, "math": math, "njit": numba.njit, "boolean": numba.boolean, "floor_divide": floor_divide}
    return own | casts | njit_namespace()


class _Writer:
    """The text of one phase."""

    def __init__(self, phase: Phase, plan: Plan, rows: list[Row]) -> None:
        self.phase, self.plan = phase, plan
        self.names = {row: f"v{i}" for i, row in enumerate(rows)}
        self.mine = set(phase.native_rows())
        self.arrays: list[Row] = []
        self.numbers: list[Row] = []
        self.lines: list[str] = []

    def text(self, name: str) -> str:
        results = []
        for k in sorted(self.phase.stages):
            stage = self.phase.stages[k]
            for row in stage.scalars:
                self._line(1, row, [self._number(access(x, row.shape).source) for x in row.inputs])
            for loop in stage.loops.values():
                self._loop(loop)
        for row in self.phase.native_rows():
            if is_number(row) and row in self.plan.stored:
                results.append(self.names[row])
        arguments = ", ".join(self.names[row] for row in (*self.numbers, *self.arrays))
        head = ["@njit(error_model='numpy')", f"def {name}({arguments}):"]
        return "\n".join([*head, *self.lines, f"    return ({', '.join(results)}{',' * (len(results) == 1)})"]) + "\n"

    def _loop(self, loop: Loop) -> None:
        reductions = [row for row in loop.rows if row.op in REDUCTIONS]
        for row in reductions:
            start = "0.0" if row.op is sum else "-np.inf" if row.op is amax else "np.inf"
            if row.dtype.kind in "iu":
                start = "0" if row.op is sum else f"np.iinfo(np.{row.dtype.name}).{'min' if row.op is amax else 'max'}"
            kind = "float64" if row.op is sum and row.dtype.kind == "f" else row.dtype.name
            name = f"sum_{self.names[row]}"
            self.lines.append(
                f"    {name} = {start if is_number(row) else f'np.full({row.shape}, {start}, np.{kind})'}"
            )
        depth = 1
        for d, n in enumerate(loop.space):
            if n != 1:
                self.lines.append(f"{'    ' * depth}for i{d} in range({n}):")
                depth += 1
        for row in loop.rows:
            values = [self._read(a, loop) for a in operands(row)]
            if row.op in REDUCTIONS:
                self._accumulate(depth, row, values[0], loop)
                continue
            self._line(depth, row, values)
            if row in self.plan.stored:
                self.lines.append(f"{'    ' * depth}{self._place(row, space_of(row))} = {self.names[row]}_i")
        for row in reductions:
            name = self.names[row]
            target = name if is_number(row) else f"{self._array(row)}[...]"
            cast = f"{row.dtype.name}(sum_{name})" if is_number(row) else f"sum_{name}"
            self.lines.append(f"    {target} = {cast}  # {row.op.name}")

    def _accumulate(self, depth: int, row: Row, value: str, loop: Loop) -> None:
        pad, name = "    " * depth, f"sum_{self.names[row]}"
        if not is_number(row):
            name += self._index(row, tuple(d not in row.params["dim"] for d in range(len(loop.space))))
        if row.op is sum:
            self.lines.append(f"{pad}{name} += {value}")
        else:
            sign = ">" if row.op is amax else "<"
            self.lines.append(f"{pad}{name} = {value} if {value} {sign} {name} or {value} != {value} else {name}")

    def _line(self, depth: int, row: Row, values: list[str]) -> None:
        kernel = row.op.kernel or ""
        if row.op.name == "clamp":
            text = values[0]
            for bound, sign in ((row.params["min"], "<"), (row.params["max"], ">")):
                if bound is not None:
                    limit = f"{row.dtype.name}({bound!r})"
                    text = f"({limit} if {text} {sign} {limit} else {text})"
        else:
            known = dict(zip(row.op.inputs, values)) | {k: repr(v) for k, v in row.params.items()} | _CALLS
            text = re.sub(r"[A-Za-z_]\w*", lambda m: known.get(m[0], m[0]), _WHOLE.get(kernel, kernel))
        cast = "boolean" if row.dtype.name == "bool" else row.dtype.name
        suffix = "" if is_number(row) else "_i"
        inputs = " ".join(self.names[x] for x in row.inputs)
        note = f"{row.op.name} {inputs}  {short_type(row)}"
        self.lines.append(f"{'    ' * depth}{self.names[row]}{suffix} = {cast}({text})  # {note}")

    def _number(self, row: Row) -> str:
        if row.op is CONST:
            value = row.params["value"].reshape(())[()].item()
            text = repr(value) if value == value and abs(value) != float("inf") else f"float('{value}')"
            return f"{row.dtype.name}({text})" if row.dtype.kind == "f" else text
        if row not in self.mine and row not in self.numbers:
            self.numbers.append(row)
        return self.names[row]

    def _array(self, row: Row) -> str:
        if row not in self.arrays:
            self.arrays.append(row)
        return self.names[row]

    def _read(self, a: Access, loop: Loop) -> str:
        if is_number(a.source):
            return self._number(a.source)
        if a.source in loop.rows and a.source.op not in REDUCTIONS:
            return f"{self.names[a.source]}_i"
        return self._array(a.source) + self._index(a.source, a.flags)

    def _place(self, row: Row, space: tuple[int, ...]) -> str:
        return self._array(row) + self._index(row, tuple(n != 1 for n in space))

    def _index(self, row: Row, flags: tuple[bool, ...]) -> str:
        """The index of an element of `row` where the loop stands: its dimensions move with the flagged ones, in order."""
        moving = iter([d for d, flag in enumerate(flags) if flag])
        return "[" + ", ".join("0" if n == 1 else f"i{next(moving)}" for n in row.shape) + "]"
