"""The native phases of a tape as readable Python under `@njit`: for people, and for reading along in a debugger.

Loops, rows and results are those of the machine code; each line carries its row as a comment. Arrays have their
natural shapes here, single numbers are arguments and results.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jitgrad.sweeps.numba.control import write_control, write_indexed, write_matrices, write_running
from jitgrad.sweeps.numba.expressions import converted, expression, number, written
from jitgrad.sweeps.plan.folds import held_as, neutral
from jitgrad.sweeps.plan.indexing import is_indexed
from jitgrad.sweeps.plan.layouts import Access, contiguous, is_number, place, reduced_strides
from jitgrad.sweeps.plan.machine_types import NUMPY, kind_of
from jitgrad.sweeps.plan.plan import Loop, Phase, Plan, Write
from jitgrad.tape.row import CONST, ITEM, Row
from jitgrad.tape.tape import short_type


class PhaseWriter:
    """Writes one phase as an `@njit` function: of the single numbers, then the arrays that it reads or writes.

    What it returns are the single numbers that others read. Scalar functions of the user are called by their names.
    """

    def __init__(self, phase: Phase, plan: Plan, rows: Sequence[Row], scalars: dict[str, Any]) -> None:
        self.phase, self.plan = phase, plan
        self.scalars = scalars  # the user's functions, by the names that they have here
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
                elif row.op.running is not None:
                    write_running(self, row)
                elif row.op.loops is not None:
                    write_matrices(self, row)
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
            nothing = neutral(row.op.fold.neutral, held)
            start = number(nothing, NUMPY[held])
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
        join = row.op.fold.join
        held = NUMPY[held_as(row.op.fold, kind_of(row.dtype))]
        joined = written(join.kernel, dict(zip(join.inputs, (name, f"{held.name}({value})"))), held)
        self.lines.append(f"{pad}{name} = {joined}")

    def _line(self, depth: int, row: Row, values: list[str]) -> None:
        if row.op.scalar is not None:
            given = ", ".join(f"float64({value})" for value in values)
            text = converted(f"{self._scalar(row.op)}({given})", row.dtype)
        else:
            text = expression(row, values)
        suffix = "" if is_number(row) else "_i"
        inputs = " ".join(self.names[x] for x in row.inputs)
        note = f"{row.op.name} {inputs}  {short_type(row)}"
        self.lines.append(f"{'    ' * depth}{self.names[row]}{suffix} = {text}  # {note}")

    def _scalar(self, op: Any) -> str:
        """The name of a function of the user; with digits of its code where another has that name."""
        name = op.scalar.__name__
        return name if self.scalars.setdefault(name, op.scalar) is op.scalar else self._other_scalar(op)

    def _other_scalar(self, op: Any) -> str:
        self.scalars[op.name] = op.scalar
        return op.name

    def _number(self, row: Row) -> str:
        if row.op is CONST:
            return number(row.params["value"].reshape(())[()].item(), row.dtype)
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
