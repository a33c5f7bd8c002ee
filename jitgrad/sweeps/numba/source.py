"""The native phases of a tape as readable Python under `@njit`: for people, and for reading along in a debugger.

Loops, rows and results are those of the machine code; each line carries its row as a comment. Arrays have their
natural shapes here, single numbers are arguments and results.
"""

from __future__ import annotations

import re
from typing import Any

from jitgrad.dtypes import EXPORTED
from jitgrad.ops.arithmetic import floor_divide
from jitgrad.ops.movement import sum
from jitgrad.ops.reductions import amax, cumsum, prod
from jitgrad.sweeps.numba.control import write_control, write_indexed, write_running
from jitgrad.sweeps.plan.folds import held_as, neutral
from jitgrad.sweeps.plan.indexing import is_indexed
from jitgrad.sweeps.plan.layouts import Access, contiguous, is_number, place, reduced_strides
from jitgrad.sweeps.plan.machine_types import NUMPY, kind_of
from jitgrad.sweeps.plan.plan import Loop, Phase, Plan, Write
from jitgrad.tape.row import CONST, ITEM, Row
from jitgrad.tape.tape import short_type

_CALLS = {n: f"np.{n}" for n in ("sign", "floor", "ceil", "trunc", "rint", "inf")}
_OF_USER = re.compile(r".*\.libm\('jitgrad_user_(\w+)_[0-9a-f]{16}'")
_WHOLE = {
    "power(x, exponent)": "x ** exponent",
    "remainder(x, y)": "x % y",
    "to(x, dtype)": "x",
}


def python_source(plan: Plan, rows: list[Row], name: str) -> str:
    """One `@njit` function for each native phase of `plan`; rows are numbered as in `rows`. TypeError for float16.

    Scalar functions of the user are called by their names.
    """
    if any(row.dtype == "float16" for row in plan.native):
        raise TypeError("Numba has no float16 on the CPU, so there is no @njit source for this tape; the machine code works")
    clean = re.sub(r"\W", "_", name).strip("_") or "function"
    parts = [_Writer(phase, plan, rows).text(f"{clean}_{i}") for i, phase in enumerate(plan.phases) if phase.levels]
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

    casts = {n: getattr(np, n) for n in EXPORTED if n != "bool"}
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
        self.functions: list[str] = []  # those of the tapes of loops and switches
        self.copies = 0

    def text(self, name: str) -> str:
        self.name = name
        for level in self.phase.ordered():
            for row in level.numbers:
                self._line(1, row, [self._read(a, ()) for a in self.plan.operands(row)])
            for nest in level.nests.values():
                for loop in nest.loops():
                    self._loop(loop)
            for row in level.products:
                if row.op.holds_tapes:
                    write_control(self, row)
                elif is_indexed(row):
                    write_indexed(self, row)
                elif row.op is cumsum:
                    write_running(self, row)
                elif row.op is not ITEM:
                    self._product(row)
        self.returned = [row for row in self.phase.native_rows() if is_number(row) and row in self.plan.stored]
        results = [self.names[row] for row in self.returned]
        arguments = ", ".join(self.names[row] for row in (*self.numbers, *self.arrays))
        head = ["@njit(error_model='numpy')", f"def {name}({arguments}):"]
        text = [*head, *self.lines, f"    return ({', '.join(results)}{',' * (len(results) == 1)})"]
        return "\n\n".join([*self.functions, "\n".join(text) + "\n"])

    def _loop(self, loop: Loop) -> None:
        reductions = [row for row in loop.items if isinstance(row, Row) and row.op.fold is not None]
        for row in reductions:
            held = held_as(row.op.fold, kind_of(row.dtype))
            nothing = neutral(row.op.fold, held)
            start = str(float(nothing)).replace("inf", "np.inf") if held[0] == "f" else str(nothing)
            name = f"sum_{self.names[row]}"
            self.lines.append(
                f"    {name} = {start if is_number(row) else f'np.full({row.shape}, {start}, np.{NUMPY[held].name})'}"
            )
        self._open(loop.space)
        depth = 1 + len(loop.space)
        made: dict[Access, str] = {}
        for item in loop.items:
            if isinstance(item, Write):
                value = "0" if item.value is None else self._read(item.value, loop.space, made)
                target = self._element(item.row, item.offset, item.strides, loop.space)
                note = f"{item.row.op.name}  {short_type(item.row)}"
                self.lines.append(f"{'    ' * depth}{target} {'+=' if item.adds else '='} {value}  # {note}")
                continue
            values = [self._read(a, loop.space, made) for a in self.plan.operands(item)]
            if item.op.fold is not None:
                self._accumulate(depth, item, values[0], loop)
                continue
            self._line(depth, item, values)
            made[Access(item, 0, contiguous(loop.space))] = f"{self.names[item]}_i"
            if item in self.plan.stored:
                target = self._element(item, 0, contiguous(loop.space), loop.space)
                self.lines.append(f"{'    ' * depth}{target} = {self.names[item]}_i")
        for row in reductions:
            name = self.names[row]
            target = name if is_number(row) else f"{self._array(row)}[...]"
            cast = f"{row.dtype.name}(sum_{name})" if is_number(row) else f"sum_{name}"
            self.lines.append(f"    {target} = {cast}  # {row.op.name}")

    def _open(self, over: tuple[int, ...]) -> None:
        for d, n in enumerate(over):
            self.lines.append(f"{'    ' * (d + 1)}for d{d} in range({n}):")

    def _product(self, row: Row) -> None:
        """The textbook's loops; the machine code does blocks of rows and columns at a time."""
        *batch, m, _ = range(row.ndim)
        inner = row.inputs[0].shape[-1]
        parts = [self.plan.layouts.view(x) for x in row.inputs]
        over = (*row.shape, inner)
        x, y = (
            self._number(source) if is_number(source) else self._element(source, place(part)[0], steps, over)
            for (source, part), steps in zip(
                parts,
                (
                    (*(parts[0][1].strides[d] for d in (*batch, m)), 0, parts[0][1].strides[-1]),
                    (*(parts[1][1].strides[d] for d in batch), 0, parts[1][1].strides[-1], parts[1][1].strides[-2]),
                ),
            )
        )
        self._open(row.shape)
        pad = "    " * (row.ndim + 1)
        self.lines += [
            f"{pad}total = {row.dtype.name}(0)",
            f"{pad}for d{row.ndim} in range({inner}):",
            f"{pad}    total += {x} * {y}",
            f"{pad}{self._element(row, 0, contiguous(row.shape), row.shape)} = total  # matmul  {short_type(row)}",
        ]

    def _accumulate(self, depth: int, row: Row, value: str, loop: Loop) -> None:
        pad, name = "    " * depth, f"sum_{self.names[row]}"
        if not is_number(row):
            name += self._index(row.shape, 0, reduced_strides(row), loop.space) or ""
        if row.op in (sum, prod):
            self.lines.append(f"{pad}{name} {'+' if row.op is sum else '*'}= {value}")
        else:
            sign = ">" if row.op is amax else "<"
            self.lines.append(f"{pad}{name} = {value} if {value} {sign} {name} or {value} != {value} else {name}")

    def _line(self, depth: int, row: Row, values: list[str]) -> None:
        kernel = row.op.kernel or ""
        if kernel == "~x" and row.dtype.name == "bool":
            kernel = "not x"  # Python's ~ makes an integer of a bool
        if user := _OF_USER.match(kernel):
            text = f"{user[1]}({', '.join(f'float64({value})' for value in values)})"
        elif row.op.name == "clamp":
            text = values[0]
            for bound, sign in ((row.params["min"], "<"), (row.params["max"], ">")):
                if bound is not None:
                    limit = f"{row.dtype.name}({bound!r})"
                    text = f"({limit} if {text} {sign} {limit} else {text})"
        else:
            known = dict(zip(row.op.inputs, values)) | {k: repr(v) for k, v in row.params.items()} | _CALLS
            whole = "x // y" if row.op is floor_divide and row.dtype.kind in "iu" else _WHOLE.get(kernel, kernel)
            text = re.sub(r"[A-Za-z_]\w*", lambda m: known.get(m[0], m[0]), whole)
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
        row = self.plan.owner(row)
        if row not in self.arrays:
            self.arrays.append(row)
        return self.names[row]

    def _read(self, a: Access, over: tuple[int, ...], made: dict[Access, str] | None = None) -> str:
        if is_number(a.source):
            return self._number(a.source)
        known = (made or {}).get(a)
        return known if known is not None else self._element(a.source, a.offset, a.strides, over)

    def _element(self, row: Row, offset: int, strides: tuple[int, ...], over: tuple[int, ...]) -> str:
        """The element of an array where the loops over `over` stand."""
        name = self._array(row)
        index = self._index(self.plan.owner(row).shape, offset, strides, over)
        if index is not None:
            return name + index
        terms = [f"d{d} * {s}" for d, (s, n) in enumerate(zip(strides, over)) if s and n != 1]
        return f"{name}.reshape(-1)[{' + '.join([*terms, str(offset)])}]"

    @staticmethod
    def _index(shape: tuple[int, ...], offset: int, strides: tuple[int, ...], over: tuple[int, ...]) -> str | None:
        """The index by dimension; None where one loop walks over several dimensions, as after a reshape."""
        terms: list[list[str]] = [[] for _ in shape]
        steps, starts = contiguous(shape), []
        for step in steps:
            start, offset = divmod(offset, step)
            starts.append(start)
        low, high = list(starts), list(starts)
        for d, (stride, n) in enumerate(zip(strides, over)):
            if stride == 0 or n == 1:
                continue
            j = next(j for j, step in enumerate(steps) if stride % step == 0 and shape[j] != 1)
            times = stride // steps[j]
            terms[j].append(f"d{d}" if times == 1 else f"{times} * d{d}")
            low[j], high[j] = low[j] + min(0, times * (n - 1)), high[j] + max(0, times * (n - 1))
        if any(a < 0 or b >= n for a, b, n in zip(low, high, shape)):
            return None
        return "[" + ", ".join(" + ".join([*t, *([str(a)] if a or not t else [])]) for t, a in zip(terms, starts)) + "]"
