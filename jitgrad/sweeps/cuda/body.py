"""What one pass over a space computes, as the lines inside of its loops."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from jitgrad.dtypes import HALF, is_floating
from jitgrad.ops.table import Fold
from jitgrad.sweeps.cuda.text import Text, loaded, stored
from jitgrad.sweeps.numba.expressions import expression, number, written
from jitgrad.sweeps.plan.layouts import Access, contiguous, is_number
from jitgrad.sweeps.plan.plan import Loop, Plan, Write
from jitgrad.tape.row import CONST, Row
from jitgrad.tape.tape import short_type

WIDE, SINGLE, INT64, BOOL = map(np.dtype, (np.float64, np.float32, np.int64, np.bool_))


class Names:
    """What rows are called in the texts of a plan, and which leaves the host holds, as numbers."""

    def __init__(self, plan: Plan, rows: Collection[Row], on_host: Collection[Row]) -> None:
        self.plan = plan
        self.of = {row: f"v{i}" for i, row in enumerate(rows)}
        self.on_host = frozenset(on_host)

    def single(self, text: Text, row: Row) -> str:
        """The one element of a row: a parameter, or read from memory once."""
        name = self.of[row]
        if row.op is CONST:
            return text.number(row, row.params["value"].reshape(())[()], row.dtype)
        if row in self.on_host:
            return text.number(row, row, row.dtype)
        line = f"    {name} = {loaded(f'{self.array(text, row)}[0]', row.dtype)}"
        if line not in text.head:
            text.head.append(line)
        return name

    def array(self, text: Text, row: Row) -> str:
        owner = self.plan.owner(row)
        return text.array(owner, owner.dtype)


class Body:
    """The lines of one loop, at some depth, where the index along dimension k is `d<k>`.

    `flat` counts through all of the space, if anything does. `results` are the names of reductions that are complete. Without
    `stores` nothing is written, where the loop is gone through once more.
    """

    def __init__(
        self, names: Names, text: Text, loop: Loop, flat: str = "", results: dict[Row, str] | None = None, stores: bool = True
    ) -> None:
        self.names, self.text, self.loop = names, text, loop
        self.flat, self.results, self.stores = flat, results or {}, stores
        self.whole = contiguous(loop.space)
        self.registers: Collection[Row] = ()  # rows of which the thread has all elements of its row of the nest, by `j`
        self.made: dict[Access, str] = {}
        self.used: set[int] = set()  # the dimensions whose index is needed
        self.lines: list[str] = []

    def write(self, folds: Collection[Row], accumulate: Callable[[Row, str], str]) -> Body:
        """The lines; `accumulate(reduction, value)` is one, for those of `folds`. What only others need is left out."""
        plan, wanted = self.names.plan, self._wanted(folds)
        for item in self.loop.items:
            if item not in wanted:
                continue
            if isinstance(item, Write):
                self._write_part(item)
                continue
            values = [self.read(a) for a in plan.operands(item)]
            if item.op.fold is not None:
                self.lines.append(accumulate(item, values[0]))
                continue
            name = self.names.of[item] + "_i"
            note = f"{item.op.name} {' '.join(self.names.of[x] for x in item.inputs)}  {short_type(item)}"
            self.lines.append(f"{name} = {computed(item, values)}  # {note}")
            self.made[Access(item, 0, self.whole)] = name
            if item in self.registers:
                self.lines.append(f"{register(self.names, item)}[j] = {name}")
            elif self.stores and item in plan.stored:
                place = f"{self.names.array(self.text, item)}[{self.place(0, self.whole)}]"
                self.lines.append(f"{place} = {stored(name, item.dtype)}")
        return self

    def _wanted(self, folds: Collection[Row]) -> set[Row | Write]:
        """The items that these reductions, and what is stored, come from."""
        plan, wanted = self.names.plan, set[Row | Write]()
        sources: set[Row] = set()
        for item in reversed(self.loop.items):
            mine = item in folds if isinstance(item, Row) and item.op.fold is not None else False
            kept = self.stores and (isinstance(item, Write) or (item in plan.stored and item.op.fold is None))
            if mine or kept or item in sources:
                wanted.add(item)
                sources.update(a.source for a in plan.operands(item))
        return wanted

    def _write_part(self, item: Write) -> None:
        dtype = item.row.dtype
        value = number(0, dtype) if item.value is None else self.read(item.value)
        place = f"{self.names.array(self.text, item.row)}[{self.place(item.offset, item.strides)}]"
        if item.adds:
            value = f"{loaded(place, dtype)} + {value}"
        self.lines.append(f"{place} = {stored(value, dtype)}  # {item.row.op.name}  {short_type(item.row)}")

    def read(self, a: Access) -> str:
        found = self.made.get(a)
        if found is None:
            found = self.made[a] = self._read(a)
        return found

    def _read(self, a: Access) -> str:
        if a.source in self.results and not any(a.strides[1:]):
            return self.results[a.source]
        if is_number(a.source):
            return self.names.single(self.text, a.source)
        if a.source in self.registers:
            return f"{register(self.names, a.source)}[j]"
        name = f"r{len(self.made)}"
        place = f"{self.names.array(self.text, a.source)}[{self.place(a.offset, a.strides)}]"
        self.lines.append(f"{name} = {loaded(place, a.source.dtype)}")
        return name

    def place(self, offset: int, strides: tuple[int, ...]) -> str:
        if self.flat and not offset and strides == self.whole:
            return self.flat
        steps = [(d, s) for d, (s, n) in enumerate(zip(strides, self.loop.space)) if s and n != 1]
        self.used.update(d for d, _ in steps)
        return self.text.index(offset, [(f"d{d}", s) for d, s in steps])


def register(names: Names, row: Row) -> str:
    """The name of the few elements of a row that a thread keeps to itself."""
    return f"local_{names.of[row]}"


def computed(row: Row, values: list[str]) -> str:
    """The value of an elementwise row; bools are the numbers 0 and 1 to what knows no bools."""
    if "b" not in row.op.also:
        values = [f"int32({v})" if x.dtype == BOOL and n != "c" else v for v, x, n in zip(values, row.inputs, row.op.inputs)]
    return expression(row, values)


def held(row: Row) -> np.dtype:
    """As what a reduction is held while it is incomplete."""
    if not is_floating(row.dtype):
        return INT64 if row.dtype == BOOL else row.dtype
    return WIDE if row.op.fold.wide else SINGLE if row.dtype in HALF else row.dtype


def cast_to(dtype: np.dtype) -> str:
    """The name of the conversion to a dtype."""
    return "boolean" if dtype == BOOL else dtype.name


def start(row: Row) -> str:
    """What a reduction begins with."""
    dtype, nothing = held(row), row.op.fold.neutral
    if dtype.kind != "f":
        limits = np.iinfo(dtype)
        nothing = int(min(max(nothing, limits.min), limits.max))
        return f"{dtype.name}({nothing})"
    return number(nothing, dtype)


def joined(fold: Fold, total: str, value: str, dtype: np.dtype) -> str:
    """What a fold makes of two parts."""
    text = written(fold.join.kernel or "", dict(zip(fold.join.inputs, (total, value))), dtype)
    return f"{dtype.name}({text})"


def accumulator(names: Names) -> Callable[[Row, str], str]:
    """How a loop adds a value to a running result."""

    def line(row: Row, value: str) -> str:
        dtype, name = held(row), f"acc_{names.of[row]}"
        return f"{name} = {joined(row.op.fold, name, f'{dtype.name}({value})', dtype)}"

    return line


def indented(depth: int, lines: Any) -> list[str]:
    return ["    " * depth + line for line in lines]
