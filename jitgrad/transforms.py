"""Transforms of a tape, tape in and tape out: `trace` makes one from a function, `simplify` prepares it for compiling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.handle import Handle, make
from jitgrad.ops.elementwise import add, alias, cast, clone, detach, mul
from jitgrad.ops.indexing import index_add, scatter_add
from jitgrad.ops.movement import expand, reshape
from jitgrad.record import Trace, current_trace
from jitgrad.tape import CONST, LEAF, Leaf, Row, Tape
from jitgrad.tree import flatten

COMPUTED = object()
"""Stands among the results of a function where a result of the tape goes; the others, None too, are as they were."""


class Traced:
    """A function run once on values that are not there yet: its tape, and what it captured."""

    def __init__(self, tape: Tape, structure: Any, captured: dict[Row, Handle], outputs: list[Any]) -> None:
        self.tape = tape
        self.structure = structure
        self.captured = captured
        self.outputs = outputs


def trace(
    function: Callable, specs: Sequence[tuple], rebuild: Callable[[list], tuple], cls: type, tracing: Trace | None = None
) -> Traced:
    """Record `function` for inputs of the given `(shape, dtype, is a Python number)`, in `tracing` if that is given.

    `rebuild` makes the arguments from the list of input tensors. Results that are not tensors stay what they are.
    """
    tracing = tracing or Trace()
    inputs = []
    for shape, dtype, is_number in specs:
        leaf = Leaf(shape, dtype, False)
        tracing.rows.add(leaf)
        if is_number:
            tracing.numbers.add(leaf)
        inputs.append(leaf)
    token = current_trace.set(tracing)
    try:
        args, kwargs = rebuild([make(cls, None, leaf) for leaf in inputs])
        result = function(*args, **kwargs)
        leaves: list[Any] = []
        structure = flatten(result, leaves)
        rows = [_result_row(tracing, leaf) for leaf in leaves]
    finally:
        current_trace.reset(token)
    captured: dict[Row, Handle] = dict(tracing.captured.values())
    tape = Tape(inputs, [row for row in rows if row is not None])
    outputs = [COMPUTED if row is not None else leaf for row, leaf in zip(rows, leaves)]
    return Traced(tape, structure, captured, outputs)


def _result_row(tracing: Trace, leaf: Any) -> Row | None:
    if not isinstance(leaf, Handle):
        return None
    return leaf._row if leaf._value is None else tracing.capture(leaf)


def simplify(tape: Tape, cls: type, lowers: Callable[[Row], bool]) -> Tape:
    """The same tape in fewer, simpler rows: composites lowered, copies and no-ops gone, equal rows shared.

    Rows for which `lowers` is true are replaced by what their `lower` records. Leaves stay the same rows.
    """
    tracing = Trace()
    tracing.rows.update(tape.rows)
    new: dict[Row, Row] = {}
    token = current_trace.set(tracing)
    try:
        for row in tape.rows:
            new[row] = _simpler(row, [new[x] for x in row.inputs], cls, tracing, lowers)
    finally:
        current_trace.reset(token)
    flat = Tape(tape.inputs, [new[row] for row in tape.outputs])
    return _shared(flat)


def _simpler(row: Row, inputs: list[Row], cls: type, tracing: Trace, lowers: Callable[[Row], bool]) -> Row:
    op = row.op
    if op in (LEAF, CONST):
        return row
    if op in _COPIES or (op in _SHAPED and inputs[0].shape == row.shape) or (op is cast and inputs[0].dtype == row.dtype):
        return inputs[0]
    if op is mul:
        for one, other in (inputs, inputs[::-1]):
            if _is_one(one):
                return other
    if op is add:
        for total, part in (inputs, inputs[::-1]):
            if part.op in _INTO_ZEROS and _is_zeros(part.inputs[0]) and part.dtype == row.dtype:
                op, inputs, row = part.op, [total, *part.inputs[1:]], part
                break
    if op is expand and inputs[0].op is expand:
        inputs = [inputs[0].inputs[0]]
    if lowers(row) and op.lower is not None:
        handles = [make(cls, None, x) for x in inputs]
        out = op.lower(*handles, **row.params)._row
        return out if out.op is op else _resimplified(out, set(inputs), cls, tracing, lowers)
    if tuple(inputs) == row.inputs:
        return row
    changed = Row(op, tuple(inputs), row.params, row.shape, row.dtype, False)
    tracing.rows.add(changed)
    return changed


_COPIES = (alias, clone, detach)
_SHAPED = (expand, reshape)
_INTO_ZEROS = (index_add, scatter_add)  # the transposes of reading a part; adding into a sum spares the zeros


def _resimplified(out: Row, ends: set[Row], cls: type, tracing: Trace, lowers: Callable[[Row], bool]) -> Row:
    """What a lowered row was made of may itself have to be lowered."""
    new: dict[Row, Row] = {}
    for row in Tape(list(ends), [out]).rows:
        new[row] = row if row in ends else _simpler(row, [new.get(x, x) for x in row.inputs], cls, tracing, lowers)
    return new[out]


def _is_zeros(row: Row) -> bool:
    return row.op is expand and row.inputs[0].op is CONST and not row.inputs[0].params["value"].any()


def _is_one(row: Row) -> bool:
    while row.op in _SHAPED:
        row = row.inputs[0]
    return row.op is CONST and row.shape == () and row.params["value"] == 1


def _shared(tape: Tape) -> Tape:
    """Rows that do the same to the same inputs become one."""
    known: dict[Any, Row] = {}
    new: dict[Row, Row] = {}
    for row in tape.rows:
        if row.op is LEAF:
            new[row] = row
            continue
        inputs = tuple(new[x] for x in row.inputs)
        key = (row.op, inputs, frozen(row.params), row.shape, row.dtype)
        found = known.get(key)
        if found is None:
            found = known[key] = row if inputs == row.inputs else Row(row.op, inputs, row.params, row.shape, row.dtype, False)
        new[row] = found
    return Tape(tape.inputs, [new[row] for row in tape.outputs])


def frozen(value: Any) -> Any:
    """Static parameters as something hashable that tells different ones apart (also 1 from 1.0, 0.0 from -0.0)."""
    if isinstance(value, dict):
        return tuple((k, frozen(v)) for k, v in sorted(value.items()))
    if isinstance(value, (tuple, list)):
        return tuple(frozen(v) for v in value)
    if isinstance(value, (np.ndarray, np.generic)):
        return (value.dtype.str, value.shape, value.tobytes() if value.size <= 64 else id(value))
    return (type(value).__name__, repr(value))


