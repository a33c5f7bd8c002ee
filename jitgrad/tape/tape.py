"""The tape: rows in the order in which they were recorded.

A `Row` holds its parents, so "the tape" of some results is the rows that can be reached from them, sorted by serial
number. There is no global list: what nobody refers to any more is freed by reference count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.dtypes import of
from jitgrad.ops.choosing import clone
from jitgrad.ops.table import infer, infer_several
from jitgrad.tape.row import CONST, LEAF, NOTHING, Leaf, Row, Several, needed, reachable


class Tape:
    """The rows from some inputs to some outputs, in order. `print(tape)` shows them.

    >>> import jitgrad
    >>> w = jitgrad.tensor(2.0, requires_grad=True)
    >>> print((w * w).tape())
    %0 = leaf                     f32[]        w
    %1 = mul %0 %0                f32[]
    """

    def __init__(
        self, inputs: Sequence[Row], outputs: Sequence[Row], names: dict[Row, str] | None = None, among: Any = None
    ) -> None:
        """`among` holds all rows that there may be, in order, if that is known; finding and sorting them takes longer."""
        self.inputs = list(inputs)
        self.outputs = list(outputs)
        self.names = names or {}
        ends = set(self.inputs)
        if among is None:
            found = reachable(self.outputs, lambda row: row in ends)
        else:
            found = needed(self.outputs, among, ends)
        # Inputs go first, in the order given, also those that nothing depends on.
        self.rows = self.inputs + [row for row in found if row not in ends]

    def __len__(self) -> int:
        return len(self.rows)

    def leaves(self) -> list[Row]:
        """The rows without parents that are not inputs and hold no constant: what was captured from outside."""
        ends = set(self.inputs)
        return [row for row in self.rows if row.op is LEAF and row not in ends]

    def __str__(self) -> str:
        numbers = {row: f"%{i}" for i, row in enumerate(self.rows)}
        ends = set(self.inputs)
        lines = []
        for row in self.rows:
            lines.append(_line(row, numbers, self.names.get(row, ""), row in ends))
            lines += _inner_lines(row)
        if len(self.outputs) > 1 or (self.rows and self.outputs != [self.rows[-1]]):
            lines.append("return " + ", ".join(numbers[row] for row in self.outputs))
        return "\n".join(lines)

    def check(self) -> Tape:
        """Verify every row against the op table: order, shapes and dtypes. Raises `AssertionError`; returns itself."""
        place = {row: i for i, row in enumerate(self.rows)}
        ends = set(self.inputs)
        for i, row in enumerate(self.rows):
            if row in ends or row.op in (LEAF, CONST) or (row.op.several and row.op.shape is None):
                continue
            if row.op.holds_tapes:
                with_tapes(row.params, Tape.check)
            if any(place[x] >= i for x in row.inputs):
                raise AssertionError(f"row %{i} ({row.op.name}) uses a value that is recorded later")
            if isinstance(row, Several):
                if row.results != infer_several(row.op, list(row.inputs), row.params):
                    raise AssertionError(f"row %{i} ({row.op.name}) claims other results than the op table says")
                continue
            want = infer(row.op, list(row.inputs), row.params)
            if tuple(want.shape) != tuple(row.shape) or want.dtype != row.dtype:
                raise AssertionError(
                    f"row %{i} ({row.op.name}) claims {of(row.dtype).name}{list(row.shape)}, "
                    f"the op table says {of(want.dtype).name}{list(want.shape)}"
                )
        return self

    def __call__(self, *values: Any) -> list[Any]:
        """`replay`: a tape is a function of its inputs."""
        return self.replay(*values)

    def replay(self, *values: Any, captured: Callable[[Row], Any] | None = None) -> list[Any]:
        """The values of the outputs for other values of the inputs, an op call a row.

        `values` may be arrays (then the rows are run) or tensors (then they are recorded again, on the current tape).
        `captured` gives the value of a leaf that is not an input.
        """
        if len(values) != len(self.inputs):
            raise TypeError(f"this tape has {len(self.inputs)} inputs, and {len(values)} values were given")
        env: dict[Row, Any] = dict(zip(self.inputs, values))
        for row in self.rows:
            if row in env:
                continue
            if row.op is LEAF:
                env[row] = _leaf_value(row) if captured is None else captured(row)
            else:
                env[row] = row.op(*[env[x] for x in row.inputs], **row.params)
        return [env[row] for row in self.outputs]


def with_tapes(params: dict[str, Any], change: Callable[[Tape], Any]) -> dict[str, Any]:
    """The parameters of a loop or a switch with `change(tape)` in the place of each tape."""
    return {name: _changed(value, change) for name, value in params.items()}


def _changed(value: Any, change: Callable[[Tape], Any]) -> Any:
    if isinstance(value, tuple) and value and isinstance(value[0], Tape):
        return tuple(change(tape) for tape in value)
    return change(value) if isinstance(value, Tape) else value


def tapes_of(row: Row) -> list[Tape]:
    """The tapes among the parameters of a loop or a switch."""
    found: list[Tape] = []
    with_tapes(row.params, found.append)
    return found


def _leaf_value(row: Row) -> Any:
    owner = row.owner() if isinstance(row, Leaf) and row.owner is not None else None
    if owner is None:
        raise RuntimeError("a leaf of this tape is gone: the tensor it stood for was freed, so pass its value as an input")
    return owner


def short_type(row: Row) -> str:
    """`f32[3,4]`: the dtype and shape of a row, as the printed tape shows them; of one with several results their number."""
    if isinstance(row, Several):
        return f"{len(row.results)} results"
    return f"{of(row.dtype).short}[{','.join(map(str, row.shape))}]"


def _line(row: Row, numbers: dict[Row, str], name: str, is_input: bool) -> str:
    words = [numbers[row], "=", "input" if is_input and row.op is not LEAF else row.op.name]
    if row.op is CONST:
        words.append(_brief(row.params["value"]))
    elif not is_input:
        words += [numbers[x] for x in row.inputs]
        words += [f"{k}={_brief(v)}" for k, v in row.params.items() if not (row.op.holds_tapes and _unsaid(k, v))]
    note = name or ("requires grad" if row.op is LEAF and row.requires else "")
    return f"{' '.join(words):<29} {short_type(row):<12} {note}".rstrip()


def _unsaid(name: str, value: Any) -> bool:
    """Whether the printed tape shows a parameter of a loop or a switch as lines of its own, or not at all."""
    return name in ("body", "cond", "branches", "results", "layout") or value is False


def _inner_lines(row: Row) -> list[str]:
    """The tapes among the parameters of a row, indented."""
    lines: list[str] = []
    if row.op.holds_tapes:
        for name, value in row.params.items():
            for tape in value if isinstance(value, tuple) else (value,):
                if isinstance(tape, Tape):
                    lines += [f"    {name}:", *(f"        {line}" for line in str(tape).split("\n"))]
    return lines


def _brief(value: Any) -> str:
    if isinstance(value, np.ndarray) and value.size > 4:
        return f"<array {list(value.shape)}>"
    if isinstance(value, slice):
        return ":".join("" if v is None else str(v) for v in (value.start, value.stop, value.step))
    if isinstance(value, tuple):
        return "(" + ",".join(map(_brief, value)) + ")"
    return "..." if value is Ellipsis else str(value).replace(" ", "")


def with_outputs_apart(tape: Tape) -> Tape:
    """The tape with a copy where an array is an output twice: each result has memory of its own."""
    seen: set[Row] = set()
    outputs = []
    for row in tape.outputs:
        again = row in seen and row.shape
        outputs.append(Row(clone, (row,), NOTHING, row.shape, row.dtype, False) if again else row)
        seen.add(row)
    return tape if outputs == tape.outputs else Tape(tape.inputs, outputs)
