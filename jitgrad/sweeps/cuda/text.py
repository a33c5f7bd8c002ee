"""The text of one kernel while it is written: its parameters and its lines.

Sizes, strides and constants are parameters, so that one text serves all shapes, and what is compiled once serves again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jitgrad.dtypes import HALF
from jitgrad.errors import NotCompilableError
from jitgrad.sweeps.cuda.kernel import Kernel
from jitgrad.tape.row import Row

STORED = {"bool": "uint8", "bfloat16": "uint16"}
"""As what a dtype lies in memory, if not as itself."""
LARGEST = 2**31 - 2**22
MOST_PARAMETERS = 500
"""A launch takes 4096 bytes of them."""


class Scratch(NamedTuple):
    """Memory for the time of a few launches: `elements` of a dtype. `key` tells one from another."""

    dtype: str
    elements: int
    key: Any


class Launch(NamedTuple):
    """A kernel with its grid and what it is called with: a row or scratch memory for a pointer, numbers else."""

    kernel: Kernel
    grid: int
    arguments: list[Row | Scratch | int | np.generic]


class Text:
    """A kernel being written. `head` comes before its lines, and holds what is read once."""

    def __init__(self, block: int) -> None:
        self.block = block
        self.head: list[str] = []
        self.lines: list[str] = []
        self._parameters: dict[Any, tuple[str, str, Any]] = {}
        self._large = False

    def array(self, row: Any, dtype: Any) -> str:
        """The name of the memory of a row, or of scratch memory."""
        name = np.dtype(dtype).name if not isinstance(dtype, str) else dtype
        return self._parameter(row, "p", "*" + STORED.get(name, name), row)

    def size(self, n: int) -> str:
        """A size or stride; 0 and 1 are part of the text."""
        if n in (0, 1):
            return str(n)
        self._large = self._large or not -LARGEST <= n <= LARGEST
        return self._parameter(("size", n), "s", "index", n)

    def number(self, key: Any, value: Any, dtype: np.dtype) -> str:
        """A number that is passed by value: a constant, or what the host holds. Half precision goes as float32."""
        if dtype in HALF:
            return self._parameter(key, "c", "float32", value if isinstance(value, Row) else np.float32(value))
        name = self._parameter(key, "c", STORED.get(dtype.name, dtype.name), value)
        return f"({name} != 0)" if dtype == np.bool_ else name

    def _parameter(self, key: Any, letter: str, type: str, value: Any) -> str:
        found = self._parameters.get(key)
        if found is None:
            found = self._parameters[key] = (f"{letter}{len(self._parameters)}", type, value)
        return found[0]

    def index(self, offset: int, terms: Sequence[tuple[str, int]]) -> str:
        """The place of an element, from indices and strides."""
        parts = [name if step == 1 else f"{name} * {self.size(step)}" for name, step in terms if step]
        return " + ".join([*parts, *([self.size(offset)] if offset or not parts else [])])

    def launch(self, grid: int) -> Launch:
        if len(self._parameters) > MOST_PARAMETERS:
            raise NotCompilableError(
                f"a kernel would have {len(self._parameters)} parameters, and a launch takes {MOST_PARAMETERS}: compute in "
                "several functions under jit"
            )
        whole = "int64" if self._large else "int32"
        names, types, values = zip(*self._parameters.values())
        text = "\n".join([f"def kernel({', '.join(names)}):", *self.head, *self.lines]) + "\n"
        for short, small, large in (("ix(", "i32(", "i64("), ("ux(", "u32(", "u64(")):
            text = text.replace(short, large if self._large else small)
        kernel = Kernel(text, tuple([whole if t == "index" else t for t in types]), self.block)
        return Launch(kernel, grid, list(values))


def loaded(place: str, dtype: np.dtype) -> str:
    """An element of memory as a value: a half as float32."""
    if dtype.name == "bool":
        return f"({place} != 0)"
    return {"float16": f"float32({place})", "bfloat16": f"from_bf16({place})"}.get(dtype.name, place)


def stored(value: str, dtype: np.dtype) -> str:
    """A value as it is put into memory."""
    return {"bool": f"uint8({value})", "float16": f"half({value})", "bfloat16": f"to_bf16({value})"}.get(dtype.name, value)


def decompose(name: str, flat: str, sizes: Sequence[tuple[int, int]], wanted: set[int], text: Text) -> list[str]:
    """Lines that give the index along each wanted dimension, `d<k>`, for a number that counts through all of them.

    `sizes` are (dimension, size), the slowest first; `name` begins the names of what is left over on the way.
    """
    lines: list[str] = []
    rest = flat
    for at in range(len(sizes) - 1, -1, -1):
        d, n = sizes[at]
        if at == 0:
            return [*lines, f"d{d} = ix({rest})"] if d in wanted else lines
        size = text.size(n)
        if d in wanted:
            lines.append(f"d{d} = ix(ux({rest}) % ux({size}))")
        if not any(e in wanted for e, _ in sizes[:at]):
            return lines
        lines.append(f"{name}{d} = ix(ux({rest}) // ux({size}))")
        rest = f"{name}{d}"
    return lines
