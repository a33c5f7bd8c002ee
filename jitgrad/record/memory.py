"""Where in memory the elements of a tensor are, and whether a result shares memory with what it was made of.

Both follow from shapes and strides, and NumPy decides: in eager code by what it returns (`handle.note_view`); for tensors
that have no value yet it is asked, on stand-ins with the same strides (`part_of`, `result_of`). So traced code changes in
place what eager code changes, and no more.

A row has the memory that its value would have in eager code. What an argument's is the example knows for which the function
is recorded; where that made a difference the trace notes it (`Trace.laid`), and the tape is right for arguments that lie in
memory alike. So a traced reshape is not asked whether it copies before somebody changes memory in place.
"""

from __future__ import annotations

import weakref
from typing import Any, NamedTuple

import numpy as np

from jitgrad.errors import LEAKED, LeakedTraceError
from jitgrad.ops.choosing import alias, detach
from jitgrad.ops.movement import reshape
from jitgrad.ops.table import Op
from jitgrad.record.trace import Trace, current_trace
from jitgrad.tape.handle import Handle
from jitgrad.tape.row import CONST, LEAF, Row
from jitgrad.tape.strides import lies, part_of, result_of, stand_in, steps_of


class Undecided(NamedTuple):
    """Stands for the `_view` of a traced tensor that looks at the memory of `base`, unless that takes a copy."""

    base: Any
    op: Op
    params: dict[str, Any]
    arrays: tuple[Any, ...]


def of(handle: Any) -> np.ndarray:
    """The stand-in for a tensor. Where it comes from outside of what is recorded, that is noted: see `Trace.laid`."""
    value, trace = handle._value, current_trace.get()
    if value is None:
        home = None if trace is None else next((t for t in (trace, *trace.around()) if handle._row in t.rows), None)
        if home is None:
            raise LeakedTraceError(f"the strides of {LEAKED}")
        return _of_row(home, handle._row)
    if trace is not None and trace.lifts and value.ndim and trace.comes_from_outside(handle):
        outermost = trace.outermost
        outermost.laid[outermost.capture(handle)] = lies(value)
    return stand_in(value.shape, steps_of(value))


def _of_row(trace: Trace, row: Row) -> np.ndarray:
    known, waiting = trace.memory, [row]
    while waiting:
        row = waiting[-1]
        same = trace.like.get(row)
        needed = (same,) if same is not None else () if row.op.in_order else row.inputs
        missing = [x for x in needed if x not in known]
        if row in known or not missing:
            waiting.pop()
            if row not in known:
                known[row] = _found(trace, row, same, known)
        waiting += missing if row not in known else []
    return known[row]


def _found(trace: Trace, row: Row, same: Row | None, known: dict[Row, np.ndarray]) -> np.ndarray:
    if same is not None:
        return known[same]
    if row.op is LEAF:
        return _of_leaf(trace, row)
    if row.op is CONST:
        return stand_in(row.shape, steps_of(row.params["value"]))
    if row.op in (alias, detach):
        return known[row.inputs[0]]
    if row.op.in_order:
        return stand_in(row.shape)
    if row.op.view and not any(index.ndim for index in row.inputs[1:]):
        part = part_of(known[row.inputs[0]], row.op, row.params)
        return stand_in(row.shape) if part is None else part
    return result_of(row, [known[x] for x in row.inputs])


def _of_leaf(trace: Trace, leaf: Row) -> np.ndarray:
    """What stands for something from outside: an argument, which may be an example out of many, or what was captured."""
    example = trace.examples.get(leaf)
    if example is None:
        example = next((handle for row, handle in trace.captured.values() if row is leaf), None)
    if isinstance(example, Handle):
        was = current_trace.get()
        try:
            current_trace.set(trace)
            steps = of(example).strides
            return stand_in(leaf.shape, steps[len(steps) - leaf.ndim :])  # those of an example come after that of the batch
        finally:
            current_trace.set(was)
    if not isinstance(example, np.ndarray) or not leaf.ndim:
        return stand_in(leaf.shape)
    trace.laid[leaf] = lies(example)
    return stand_in(leaf.shape, steps_of(example))


def look(base: Any, out: Any, op: Op, params: dict[str, Any], arrays: tuple[Any, ...] = ()) -> None:
    """Note that the traced tensor `out` is what the view operation `op` makes of `base`; `arrays` are indices of no dimension
    whose values come later."""
    trace, view = current_trace.get(), base._view
    assert trace is not None
    if view.__class__ is Undecided or (op is reshape and not _never_copies(base._held.shape, params)):
        out._view = Undecided(base, op, params, arrays)
    else:
        root, chain = view or (base, ())
        out._view = (root, (*chain, (op, params, arrays)))
    trace.views.append(weakref.ref(out))


def lie_in_order(out: Any) -> None:
    """Note that a traced tensor, just made, has elements that lie in memory in order."""
    trace = current_trace.get()
    assert trace is not None
    trace.memory[out._row] = stand_in(out._row.shape)


def _never_copies(shape: tuple[int, ...], params: dict[str, Any]) -> bool:
    """Whether a reshape is a view of memory in whatever order: it does no more than part dimensions."""
    return part_of(stand_in(tuple(shape), (1,) * len(shape)), reshape, params) is not None


def decide(handle: Any) -> None:
    """Find out whether a traced tensor shares memory with what it was made of, if that is still open."""
    waiting = []
    while handle._view.__class__ is Undecided:
        waiting.append(handle)
        handle = handle._view.base
    for handle in reversed(waiting):
        base, op, params, arrays = handle._view
        if part_of(of(base), op, params) is None:
            handle._view = None
        else:
            root, chain = base._view or (base, ())
            handle._view = (root, (*chain, (op, params, arrays)))


def views_of(trace: Trace, root: Any) -> list[Any]:
    """The living views of a traced tensor."""
    living = [view for view in (reference() for reference in trace.views) if view is not None]
    for view in living:
        base = view
        while base._view.__class__ is Undecided:
            base = base._view.base
        if base is not view and (base is root or (base._view is not None and base._view[0] is root)):
            decide(view)
    return [view for view in living if view._view.__class__ is tuple and view._view[0] is root]
