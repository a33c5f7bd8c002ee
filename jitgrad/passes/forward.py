"""The forward sweep: tangents carried along the tape, from inputs to results.

It walks rows that were recorded for the reverse sweep and uses what they saved, so one run of a function serves both.
How a row passes tangents on follows from its kind and from the derivative in the op table; there are no other rules:

* elementwise: the Jacobian is diagonal, so the rule for cotangents is the rule for tangents (where a function of complex numbers
  is holomorphic, the partial derivative instead of its conjugate);
* linear rows (movements, sums, reading and writing parts): the row itself, applied to the tangents;
* products: one tangent at a time;
* everything else: the rule for cotangents is linear in them, and the transpose of that linear map is what is wanted.
  A reverse sweep over the rule, from its result to its cotangent, gives it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np

from jitgrad.dtypes import has_gradient
from jitgrad.ops.choosing import cast_part
from jitgrad.ops.linalg import matmul
from jitgrad.ops.movement import expand
from jitgrad.ops.table import REST, Rule
from jitgrad.passes.reverse import Sweep, reverse, scaled, through_lower
from jitgrad.record.apply import current_trace, grad_mode, watched
from jitgrad.record.trace import constant_tensor
from jitgrad.tape.device_array import DeviceArray, device_among, placed_like
from jitgrad.tape.handle import Handle, tensor
from jitgrad.tape.row import ITEM, Leaf, Row, Several, reachable

Tangents = list[Any]


def forward(
    tangents: dict[Row, Any], outputs: Iterable[Row], *, recorded: bool, history: Collection[Row] | None = None
) -> dict[Row, Any]:
    """Carry `tangents` forward to `outputs`; those that arrive, by row. Rows without one do not depend on the inputs.

    Tangents are arrays, or tensors if the sweep is `recorded`; `history` is as in `reverse`.
    """
    rows = reachable(outputs, lambda row: row in tangents or not row.requires)
    carrying = set(tangents)
    for row in rows:
        if row not in carrying and row.requires and any(x in carrying for x in row.inputs):
            carrying.add(row)
    sweep = Sweep(recorded, carrying, history)
    arrived = dict(tangents)
    for row in rows:
        if row in carrying and row not in arrived:
            found = _through(sweep, row, [arrived.get(x) for x in row.inputs])
            if found is not None:  # an array where it is computed of arrays alone, such as zeros
                arrived[row] = _as_tensor(found, next(iter(tangents.values()))) if recorded else found
    return arrived


def _as_tensor(found: Any, beside: Any) -> Any:
    """What a rule computed, also of arrays alone, as a tensor."""
    if found.__class__ is DeviceArray:
        return tensor(found)
    return constant_tensor(found, beside) if isinstance(found, (np.ndarray, np.generic)) else found


def _through(sweep: Sweep, row: Row, ts: Tangents) -> Any:
    """The tangent of a row from those of its inputs, None standing for zero; for a call, a tangent for each result."""
    op = row.op
    if op is ITEM:
        return (ts[0] or {}).get(row.params["k"])
    if op.pushforward is not None:
        return op.pushforward(sweep, row, ts)
    if op.elementwise and op.on_complex == "adjoint" and _among_complex(row):
        return _transposed(sweep, row, ts)
    if op.elementwise and not op.composite:
        return _diagonal(sweep, row, ts)
    if op.linear:
        operands = _linear_operands(sweep, row, ts)
        if operands is not None:
            return op(*operands, **row.params)
    if op is matmul:
        return _product(sweep, row, ts)
    return _transposed(sweep, row, ts)


def _diagonal(sweep: Sweep, row: Row, ts: Tangents) -> Any:
    """The sum over the inputs of partial derivative times tangent."""
    op, values = row.op, sweep.values(row)
    total = None
    for i, rule, picks in sweep.needs(row).calls:
        t = ts[i]
        if t is None:
            continue
        arguments = [*[values[p] for p in picks], *rule.facts(row, i)]
        part = scaled(t, rule.of_tangents(*arguments)) if op.partials else rule.of_tangents(t, *arguments)
        total = part if total is None else total + part
    if total is not None and _dtype(total) != row.dtype:
        total = cast_part(total, row.dtype)
    return total


def _among_complex(row: Row) -> bool:
    return row.dtype.kind == "c" or any(x.dtype.kind == "c" for x in row.inputs)


def _linear_operands(sweep: Sweep, row: Row, ts: Tangents) -> list[Any] | None:
    """The tangents, and what the row is not linear in; None if that was not saved."""
    op = row.op
    if op.variadic:
        return [_zeros(x) if t is None else t for x, t in zip(row.inputs, ts)]
    values = dict(zip(sweep.needs(row).slots, sweep.values(row)))
    operands: list[Any] = []
    for i, name in enumerate(op.inputs):
        if name[0] == "*":
            rest = len(row.inputs) > i
            if rest and REST not in values:
                return None
            operands += values[REST] if rest else ()
        elif isinstance(op.rules[i], Rule):
            operands.append(_zeros(row.inputs[i]) if ts[i] is None else ts[i])
        elif i in values:
            operands.append(values[i])
        else:
            return None
    return operands


def _product(sweep: Sweep, row: Row, ts: Tangents) -> Any:
    values = dict(zip(sweep.needs(row).slots, sweep.values(row)))
    first = None if ts[0] is None else matmul(ts[0], values[1])
    second = None if ts[1] is None else matmul(values[0], ts[1])
    return first + second if first is not None and second is not None else first if second is None else second


def _transposed(sweep: Sweep, row: Row, ts: Tangents) -> Any:
    """What the tangents `ts` become: the rules for cotangents, written for some cotangent, run in reverse."""
    was = grad_mode.get()
    results: Sequence[Any] = row.results if isinstance(row, Several) else (row,)
    like = device_among([t._value if isinstance(t, Handle) else t for t in ts])
    cotangents = {k: dummy(result, like) for k, result in enumerate(results) if has_gradient(result.dtype)}
    cotangent: Any = cotangents if row.op.several else cotangents[0]
    try:
        grad_mode.set(True)
        parts = _pulled(Sweep(True, sweep.needed, sweep.history if sweep.recorded else ()), row, cotangent)
    finally:
        grad_mode.set(was)
    seeds: dict[Row, Any] = {}
    for t, part in zip(ts, parts):
        if t is None or not isinstance(part, Handle) or part._row is None or not part._row.requires:
            continue
        seeds[part._row] = seeds[part._row] + t if part._row in seeds else t
    ends = {k: g._row for k, g in cotangents.items()}
    found = reverse(seeds, set(ends.values()), recorded=sweep.recorded, retain=True) if seeds else {}
    forget(ends.values())
    arrived = {k: found[end] for k, end in ends.items() if end in found}
    return arrived if row.op.several else arrived.get(0)


def _pulled(sweep: Sweep, row: Row, g: Any) -> Sequence[Any]:
    """The cotangents of the inputs of a row, from that of its result."""
    op, values = row.op, sweep.values(row)
    if op.pullback is not None or op.composite:
        return (op.pullback or through_lower)(sweep, row, g, values)
    parts: list[Any] = [None] * len(row.inputs)
    for i, rule, picks in sweep.needs(row).calls:
        arguments = [*[values[p] for p in picks], *rule.facts(row, i)]
        parts[i] = scaled(g, rule.function(*arguments)) if op.partials else rule(g, arguments)
    return parts


def dummy(row: Any, like: Any = None) -> Any:
    """A cotangent or tangent of something with a shape and dtype, whose value does not matter, and with a row of its own; on the
    device that `like` is on."""
    trace = current_trace.get()
    if trace is None:
        zero = placed_like(like, _zeros(row) if like is None and row.shape else row.dtype.type(0))
        return tensor(expand(zero, shape=row.shape) if zero.shape != row.shape else zero, Leaf(row.shape, row.dtype, True))
    zero = tensor(None, trace.constant(row.dtype.type(0)))
    return watched(expand(zero, shape=row.shape) if row.shape else zero)


def forget(rows: Iterable[Row]) -> None:
    """Note that nobody will ask for the gradient of what `dummy` or `watched` made: what was computed from it needs none."""
    for row in rows:
        if isinstance(row, Leaf):
            row.requires = False


def _zeros(row: Row) -> np.ndarray:
    return np.broadcast_to(np.zeros((), row.dtype), row.shape)


def _dtype(x: Any) -> np.dtype:
    return (x._held if isinstance(x, Handle) else x).dtype
