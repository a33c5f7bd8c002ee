"""Rows of complex numbers taken apart: each becomes rows of real and imaginary parts, by the rules in `ops/apart`.

`complex_` stands between parts and those who want the whole number, until `packed` puts both into one memory; whoever wants parts
goes past it. What only looks at memory in another way stays with the whole number where that is in memory already.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.ops.apart import RULES, each, one_part, side_by_side
from jitgrad.ops.choosing import imag_part, real_part
from jitgrad.ops.complexes import complex_, view_as_complex, view_as_real
from jitgrad.ops.indexing import getitem, index_add
from jitgrad.ops.movement import expand
from jitgrad.record.apply import Trace
from jitgrad.record.trace import constant_tensor, recording
from jitgrad.tape.handle import tensor
from jitgrad.tape.row import CONST, Row
from jitgrad.tape.tape import Tape

_PARTS = (real_part, imag_part)


def is_complex(row: Row) -> bool:
    return row.dtype is not None and row.dtype.kind == "c"


def taken_apart(row: Row, inputs: tuple[Row, ...]) -> Any:
    """What a row that reads `inputs` is in rows of parts, as a recorded tensor; None if it stays as it is."""
    op = row.op
    if op is getitem and inputs[0].op is view_as_real and (k := _which(row)) is not None:
        return _PARTS[k](tensor(None, inputs[0].inputs[0]))
    if not (is_complex(row) or any(map(is_complex, inputs))):
        return None
    given = [tensor(None, x) for x in inputs]
    if op in _PARTS:
        return _part(inputs[0], _PARTS.index(op))
    if op is view_as_complex:
        return complex_(*[_one_of(inputs[0], k) for k in (0, 1)]) if _is_put_together(inputs[0]) else None
    if (op.moves or op.indexed) and any(x.op is complex_ for x in inputs) and op is not view_as_real:
        return each(op)(*given, **row.params)
    rule = RULES.get(op)
    return rule(*given, **row.params) if rule is not None else None


def _part(x: Row, k: int) -> Any:
    if x.op is complex_:
        return tensor(None, x.inputs[k])
    if x.op is CONST:
        value = x.params["value"]
        return constant_tensor(np.array(value.imag if k else value.real)[()], None)
    if x.op is view_as_complex:
        return _one_of(x.inputs[0], k)
    if x.op.view:
        (whole, *arrays) = [tensor(None, y) for y in x.inputs]
        return x.op(_PARTS[k](whole), *arrays, **x.params)
    return one_part(view_as_real(tensor(None, x)), k)


def _which(row: Row) -> int | None:
    """The part that a row looks at, of those along the last dimension."""
    index = row.params["index"]
    return index[1] if len(index) == 2 and index[0] is Ellipsis and index[1] in (0, 1) else None


def _is_put_together(pairs: Row) -> bool:
    """Whether pairs of parts are zeros to which the parts are added, as the cotangents of parts are."""
    if pairs.op is index_add and _which(pairs) is not None:
        return _is_put_together(pairs.inputs[0])
    return _is_zeros(pairs)


def _is_zeros(row: Row) -> bool:
    return row.op is expand and row.inputs[0].op is CONST and not row.inputs[0].params["value"].any()


def _one_of(pairs: Row, k: int) -> Any:
    """A part of pairs of parts along a last dimension."""
    if not _is_put_together(pairs):
        return one_part(tensor(None, pairs), k)
    if _is_zeros(pairs):
        return expand(constant_tensor(pairs.dtype.type(0), None), shape=pairs.shape[:-1])
    base, value = pairs.inputs
    if _which(pairs) != k:
        return _one_of(base, k)
    value = tensor(None, value)
    return value if _is_zeros(base) else _one_of(base, k) + value


def packed(tape: Tape) -> Tape:
    """The tape with the parts of each number that is wanted as a whole next to each other in memory."""
    if not any(row.op is complex_ for row in tape.rows):
        return tape
    tracing = Trace()
    new: dict[Row, Row] = {}
    pairs: dict[Row, Row] = {}

    def pack() -> None:
        for row in tape.rows:
            if row.op is view_as_real and row.inputs[0] in pairs:
                new[row] = pairs[row.inputs[0]]
            elif row.op is complex_:
                pairs[row] = side_by_side(*[tensor(None, new[x]) for x in row.inputs])._row
                new[row] = view_as_complex(tensor(None, pairs[row]))._row
            else:
                inputs = tuple([new[x] for x in row.inputs])
                new[row] = row if inputs == row.inputs else row.reading(inputs)
                tracing.rows.add(new[row])

    recording(tracing, pack)
    return Tape(tape.inputs, [new[row] for row in tape.outputs], tape.names, among=tracing.rows)
