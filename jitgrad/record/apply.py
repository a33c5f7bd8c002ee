"""From a call to a row: run an operation, and record it where a gradient may be wanted.

Operations on handles that have values run at once; on handles without (while `jit` traces) they only append to the tape.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.errors import LeakedTraceError
from jitgrad.ops.broadcasting import broadcast_shape
from jitgrad.ops.choosing import alias, cast, clone, detach, where
from jitgrad.ops.movement import expand
from jitgrad.ops.shapes import Spec
from jitgrad.ops.table import REST, Op, infer, infer_several
from jitgrad.record.computed import computed, computed_there
from jitgrad.record.foreign import by_numpy, is_foreign
from jitgrad.record.index import ndim_of
from jitgrad.record.leaving import refuse_masked
from jitgrad.record.memory import lie_in_order, look
from jitgrad.record.precision import half_among, rounded, widened
from jitgrad.record.promotion import FLOATS, complex_among, of_complex, same_dtype
from jitgrad.record.trace import Trace, current_trace, grad_mode, leaked, lifting
from jitgrad.tape import origins
from jitgrad.tape.device_array import ARRAYS, DeviceArray, device_among, filled_like
from jitgrad.tape.handle import Handle, keep, make, make_recorded, note_view, own_memory, row_of, tensor
from jitgrad.tape.packing import pack_saved, packing
from jitgrad.tape.row import ITEM, NOTHING, Leaf, Row, Several, constant


@functools.lru_cache(maxsize=4096)
def _kept_constant(number: float, kind: type) -> Row:
    return constant(dtypes.number(number, np.dtype(kind)))


@functools.lru_cache(maxsize=1024)
def _kept_spread(number: float, kind: type, shape: tuple[int, ...]) -> Row:
    return spread_row(_kept_constant(number, kind), shape)


def spread_number_row(number: float, kind: type, shape: tuple[int, ...]) -> Row:
    """The row of a Python number repeated to a shape; shared as those of `number_row` are."""
    return _kept_spread(number, kind, shape) if number else spread_row(constant(kind(number)), shape)


def number_row(number: float, kind: type) -> Row:
    """The constant row of a Python number; equal numbers share one (0.0 and -0.0 are equal, and do not)."""
    return _kept_constant(number, kind) if number else constant(kind(number))


def apply(op: Op, operands: Sequence[Any], params: dict[str, Any] = NOTHING) -> Any:
    """Run `op` on tensors, arrays and numbers, and record it if a gradient may be wanted. Parameters are canonical."""
    trace = current_trace.get()
    if trace is not None and (out := _quickly_traced(trace, op, operands, params)) is not None:
        return out
    cls: Any = None
    traced = wanted = on_device = foreign = False
    lifts = trace is not None and trace.lifts
    values = []
    for operand in operands:
        if not isinstance(operand, Handle):
            foreign = foreign or is_foreign(operand)
            on_device = on_device or operand.__class__ is DeviceArray
            refuse_masked(operand)
            values.append(operand)
            continue
        cls = operand.__class__
        value, row = operand._value, operand._row
        on_device = on_device or value.__class__ is DeviceArray
        traced = traced or value is None or (lifts and trace.comes_from_outside(operand))  # type: ignore[union-attr]
        wanted = wanted or (row is not None and row.requires)
        values.append(value)
    if traced or foreign:
        operands = [by_numpy(x) for x in operands] if foreign else operands
        return apply_traced(cls, op, operands, params) if traced else apply(op, operands, params)
    if op.leaves_complex and complex_among(values):
        return of_complex(op, operands, params)
    if op.elementwise:
        if op is not cast and not _uniform(op, values):
            operands, half = same_dtype(op, operands)
            if half is not None:
                return rounded(apply(op, operands, params), half)
            values = [o._value if isinstance(o, Handle) else o for o in operands]
    elif op.single and (half := half_among(values)) is not None:
        return rounded(apply(op, widened(operands), params), half)
    looks = op.view and isinstance(operands[0], Handle)  # an array that is no tensor is a constant, whose views are nobody's
    if looks and not isinstance(values[0], ARRAYS):
        values[0] = own_memory(operands[0]).array
    value = computed_there(op, operands, values, params) if on_device or lifting else computed(op, values, params)
    record = recorded_several if op.several else recorded
    if wanted and op.differentiable and grad_mode.get():
        out = record(cls, op, operands, values, params, value)
    else:
        out = tuple([make(cls, v, None) for v in value]) if op.several else make(cls, value, None)
    if looks:
        note_view(operands[0], out, op, params)
    if trace is not None and (lifts or not op.view or (looks and out._view is None)):  # type: ignore[union-attr]
        note = trace.note_made if lifts else trace.note_computed
        for made in out if op.several else (out,):
            note(made)
    return out


def _uniform(op: Op, values: Sequence[Any]) -> bool:
    """Whether the operands need no conversion: one dtype, floating where the op computes floats, and numbers."""
    dtype = getattr(values[0], "dtype", None)
    if dtype not in FLOATS or op is where:
        return False
    for value in values[1:]:
        kind = value.__class__
        if kind is not float and kind is not int and getattr(value, "dtype", None) is not dtype:
            return False
    return op.result != "integer"


def recorded_several(
    cls: type, op: Op, operands: Sequence[Any], values: list, params: dict, found: Sequence[Any]
) -> tuple[Any, ...]:
    """Tensors of the several results that `op` gave for the values of the operands, with their rows."""
    outs = tuple([make(cls, value, None) for value in found])
    rows = tuple([row_of(o) if isinstance(o, Handle) else constant(o) for o in operands])
    needs = op.needs(tuple([r.requires for r in rows]))
    saved, guards = keep(op, needs.slots, operands, values, outs)
    row = Several(op, rows, params, tuple([Spec(v.shape, v.dtype) for v in found]), True, needs, saved, guards)
    if lifting:
        _look_at(row, operands)
    for k, out in enumerate(outs):
        item = row.item(k)
        out._row = item if item.requires else None
    return outs


def recorded(cls: type, op: Op, operands: Sequence[Any], values: list, params: dict, value: Any) -> Any:
    """A tensor of the value that `op` gave for the values of the operands, with its row."""
    if not isinstance(value, (*ARRAYS, np.generic)):
        value = np.asarray(value)[()]
    dtype = value.dtype
    if dtype not in FLOATS and not dtypes.has_gradient(dtype):
        return make(cls, value, None)
    rows: list[Row] = []
    for i, operand in enumerate(operands):
        if isinstance(operand, Handle):
            row = operand._row or row_of(operand)
        elif isinstance(operand, (*ARRAYS, np.generic)):
            row = constant(operand)
        else:
            row = number_row(operand, dtypes.of_number(operand).type if op.of_user else dtype.type)
            values[i] = row.params["value"]
        rows.append(row)
    shape = value.shape
    if op.elementwise:
        rows = [r if r.shape == shape else spread_row(r, shape) for r in rows]
    mask = tuple([r.requires for r in rows])
    plain = dtype in FLOATS and op.complex_rules is op.rules
    needs = op.needs(mask) if plain else op.needs_of(mask, dtype, rows)
    out = make_recorded(cls, value, op, tuple(rows), params, shape, dtype, needs, ())
    if needs.slots:
        out._row.saved, out._row.guards = keep(op, needs.slots, operands, values, out)
    if lifting:
        _look_at(out._row, operands)
    return out


def _look_at(row: Row, operands: Sequence[Any]) -> None:
    slots: Any = row.needs.slots  # type: ignore[union-attr]
    show(row, [slot != REST and (slot < 0 or isinstance(operands[slot], Handle)) for slot in slots])


def show(row: Row, tensors: Sequence[bool]) -> None:
    """Show a row that was just recorded to those who watch; `tensors` says which of what it saved are values of such."""
    if origins.noting:
        origins.note(row)
    if packing.get() is not None and row.saved:
        pack_saved(row, tensors)


def _record(self: Handle, op: Op, operands: Sequence[Any], params: dict[str, Any]) -> Any:
    return op.run(*operands, **params) if op.inlined else apply(op, operands, params)


Handle.__record__ = _record  # type: ignore[attr-defined]


def spread_row(row: Row, shape: tuple[int, ...]) -> Row:
    """A row for `row` broadcast to `shape`; the value itself need not be spread, since NumPy does that."""
    if row.shape == shape:
        return row
    return Row(expand, (row,), {"shape": shape}, shape, row.dtype, row.requires, expand.needs((row.requires,)), ())


def apply_traced(cls: type, op: Op, operands: Sequence[Any], params: dict[str, Any]) -> Any:
    """Append a row to the tape that is being traced."""
    trace = current_trace.get()
    if trace is None:
        lost = next(o for o in operands if isinstance(o, Handle) and o._value is None)
        raise LeakedTraceError(f"{op.name} of {leaked(lost._row)}")
    half = None
    if op.leaves_complex and complex_among(operands):
        return of_complex(op, operands, params)
    if op.elementwise and op is not cast:
        operands, half = same_dtype(op, operands, numbers=True)
    elif op.single and (half := half_among(operands)) is not None:
        operands = widened(operands)
    if half is not None:
        return rounded(apply(op, operands, params), half)
    rows = [lift(trace, o) for o in operands]
    if op.several:
        call = make(cls, None, append(trace, op, tuple(rows), params))
        return tuple([apply_traced(cls, ITEM, (call,), {"k": k}) for k in range(len(call._row.results))])
    if op.elementwise:
        shape = broadcast_shape(op, [r.shape for r in rows])
        rows = [r if r.shape == shape else append(trace, expand, (r,), {"shape": shape}) for r in rows]
    row = append(trace, op, tuple(rows), params)
    if trace.differentiable and not grad_mode.get() and op is not detach and dtypes.has_gradient(row.dtype):
        row = append(trace, detach, (row,), NOTHING)
    out = make(cls, None, row)
    if op.view and not any(ndim_of(index) for index in operands[1:]):  # what index arrays pick is a copy
        look(operands[0], out, op, params, tuple(map(as_it_is, operands[1:])))
    return out


def as_it_is(x: Any) -> Any:
    """A tensor that later changes of `x` in place leave alone, where `x` has no value."""
    return make(x.__class__, None, x._row) if isinstance(x, Handle) and x._value is None else x


def copied(x: Any) -> Any:
    """A copy of a tensor whose elements lie in memory in order, with memory of its own; gradients flow through."""
    out = apply(clone, (x,))
    if out._value is None:
        lie_in_order(out)
    elif not out._value.flags.c_contiguous:
        out._value = out._value.copy("C")  # a clone keeps the order that its source has in memory
    return out


def apart(out: Any, x: Any) -> Any:
    """What was made of `x`, copied if it looks into its memory, as where nothing had to be moved: for functions that copy."""
    roots = []
    for handle in (out, x):
        while handle._view is not None:
            handle = handle._view[0]
        roots.append(handle)
    return copied(out) if roots[0] is roots[1] else out


def item_of(row: Several, k: int) -> Row:
    """A row that takes out the k-th result, on the tape that has `row` if that is being recorded."""
    item, recording = row.item(k), current_trace.get()
    home = next((t for t in (recording, *recording.around()) if row in t.rows), None) if recording is not None else None
    if home is not None:
        home.rows.add(item)
    return item


def _quickly_traced(trace: Trace, op: Op, operands: Sequence[Any], params: dict[str, Any]) -> Any:
    """`apply_traced` for what most rows are: traced tensors of one floating dtype and shape, and numbers; else None."""
    if (trace.differentiable and not grad_mode.get()) or origins.noting:
        return None
    cls = shape = dtype = None
    wanted = numbers = False
    known, of_python = trace.rows, trace.numbers
    rows: list[Any] = []
    for operand in operands:
        kind = operand.__class__
        if kind is float or kind is int:
            numbers = True
            rows.append(operand)
            continue
        if kind is not cls and not isinstance(operand, Handle):
            return None
        row = operand._row
        if operand._value is not None or row not in known or row in of_python:
            return None
        if cls is None:
            cls, shape, dtype = kind, row.shape, row.dtype
        elif row.dtype is not dtype or row.shape != shape:
            return None
        if row.requires:
            wanted = True
        rows.append(row)
    found = _RESULTS.get((op, dtype))
    if found is None:
        if not op.elementwise:  # some are made for one call, and hold its tape
            return None
        found = _RESULTS[op, dtype] = result_of_floats(op, dtype, params)
    result, carries = found
    if result is None:
        return None
    if numbers:
        rows = [number_of(trace, r, dtype, shape) if r.__class__ is float or r.__class__ is int else r for r in rows]
    out = make_recorded(cls, None, op, tuple(rows), params, shape, result, None, None, wanted and carries)  # type: ignore[arg-type]
    known[out._row] = None
    return out


def number_of(trace: Trace, number: float, dtype: Any, shape: Any) -> Row:
    """The row of a Python number among tensors of this dtype and shape."""
    row = number_row(number, dtype.type)
    trace.rows.add(row)
    return append(trace, expand, (row,), {"shape": shape}) if shape else row


_RESULTS: dict[tuple[Op, Any], tuple[np.dtype | None, bool]] = {}


def result_of_floats(op: Op, dtype: Any, params: dict[str, Any]) -> tuple[np.dtype | None, bool]:
    """The dtype of the result on operands that all have this dtype, None where there is more to it; and does a
    cotangent pass."""
    if not op.elementwise or op is cast or op is where or op.result == "integer" or dtype not in FLOATS:
        return None, False
    result = infer(op, [Spec((), dtype)] * len(op.inputs), params).dtype
    return result, op.differentiable and dtypes.has_gradient(result)


def append(trace: Trace, op: Op, rows: tuple[Row, ...], params: dict[str, Any]) -> Row:
    requires = op.differentiable and any(r.requires for r in rows)
    if op.several:
        results = infer_several(op, list(rows), params)
        row: Row = Several(op, rows, params, results, requires and any(dtypes.has_gradient(r.dtype) for r in results))
        trace.rows.add(row)
        return row
    if op is ITEM:
        row = rows[0].item(params["k"])  # type: ignore[attr-defined]
        trace.rows.add(row)
        return row
    spec: Spec = infer(op, list(rows), params)
    row = Row(op, rows, params, tuple(spec.shape), spec.dtype, requires and dtypes.has_gradient(spec.dtype))
    if origins.noting:
        origins.note(row)
    trace.rows.add(row)
    return row


def lift(trace: Trace, operand: Any) -> Row:
    if isinstance(operand, Handle):
        if operand._value is None and operand._row in trace.rows:
            return operand._row
        if operand._value is None and not any(operand._row in around.rows for around in trace.around()):
            raise LeakedTraceError("a tensor of an earlier trace is used in this one: return it from its function instead")
        return trace.capture(operand)
    if operand.__class__ is DeviceArray:
        return trace.capture_array(operand)
    if isinstance(operand, (np.ndarray, np.generic)):
        if not operand.ndim or not any(operand.strides):
            trace.note_copied(operand)
        if operand.ndim and not any(operand.strides):  # one number, repeated
            one = trace.constant(operand.flat[0] if operand.size else operand.dtype.type(0))
            return append(trace, expand, (one,), {"shape": operand.shape})
        return trace.constant(operand) if isinstance(operand, np.generic) else trace.capture_array(operand)
    return trace.constant(dtypes.of_number(operand).type(operand))


def zeros(like: Any, beside: Sequence[Any] = ()) -> Any:
    """Zeros of the shape and dtype of a tensor, a row or a spec, on the device of a tensor, or of those that they are `beside`;
    while recording one constant of the tape, repeated."""
    held, trace = like._held if isinstance(like, Handle) else like, current_trace.get()
    if trace is None:
        there = device_among([held, *[x._held for x in beside if isinstance(x, Handle)]])
        return tensor(filled_like(there, held.dtype.type(0), held.shape))
    zero = tensor(None, trace.constant(held.dtype.type(0)))
    return apply(expand, (zero,), {"shape": held.shape}) if held.shape else zero


def watched(handle: Any) -> Any:
    """A tensor with the value of `handle` and a row of its own, behind which sweeps that want that row do not look."""
    value, row = handle._value, handle._row
    trace = current_trace.get()
    if value is not None and trace is not None:  # the rows of what is recorded have to lead to it
        handle = make(handle.__class__, None, trace.capture(handle))
        value, row = None, handle._row
    if value is None:
        if trace is None:
            raise LeakedTraceError(f"a derivative in {leaked(row)}")
        fresh = Row(alias, (lift(trace, handle),), NOTHING, row.shape, row.dtype, True)
        trace.rows.add(fresh)
    elif row is not None and row.requires:
        fresh = Row(alias, (row,), NOTHING, value.shape, value.dtype, True, alias.needs((True,)), ())
    else:
        fresh = Leaf(value.shape, value.dtype, True)
    out = make(handle.__class__, value, fresh)
    if isinstance(value, ARRAYS):
        out._storage = own_memory(handle)
    return out
