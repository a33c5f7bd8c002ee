"""From a call to a row: run an operation, and record it where a gradient may be wanted.

A `Handle` is what users hold (as `Tensor`): a value, and the row that it came from. Operations on handles that have
values run at once; on handles without (while `jit` traces) they only append to the tape.
"""

from __future__ import annotations

import contextvars
import threading
import weakref
import zlib
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.errors import LeakedTraceError, OverwrittenError
from jitgrad.ops.elementwise import cast
from jitgrad.ops.movement import expand
from jitgrad.ops.table import OUTPUT, REST, Op, Spec, infer
from jitgrad.tape import NOTHING, Leaf, Row, constant

grad_mode: ContextVar[bool] = ContextVar("grad_mode", default=True)
current_trace: ContextVar[Trace | None] = ContextVar("current_trace", default=None)


class _Quiet(threading.local):
    """`run(function, *args)` with NumPy's floating-point warnings off: inf and nan are values here, as in PyTorch.

    Entering a prepared context costs a few nanoseconds where `np.errstate` costs a microsecond.
    """

    def __init__(self) -> None:
        context = contextvars.copy_context()
        context.run(np.seterr, all="ignore")
        self.run = context.run


quiet = _Quiet()


class Storage:
    """The memory that a tensor and its views share: `version` counts in-place changes through tensors.

    `exported` is not None once a NumPy array outside shares the memory: a checksum of the bytes at that time.
    """

    __slots__ = ("array", "exported", "kept", "version", "views")

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.version = 0
        self.exported: int | None = None
        self.kept = False
        self.views: list[weakref.ref] = []

    def checksum(self) -> int:
        return zlib.crc32(np.ascontiguousarray(self.array).reshape(-1).view(np.uint8))

    def export(self) -> None:
        """Note that somebody outside can now write to this memory unseen."""
        if self.exported is None:
            self.exported = self.checksum() if self.kept else -1


class Handle:
    """A value with its history: `_value` (array, NumPy scalar, or None while tracing) and `_row`.

    A 0-d value is a NumPy scalar, which is immutable and several times quicker than a 0-d array, until somebody
    needs to share its memory (`own_memory`).
    """

    __slots__ = ("__weakref__", "_row", "_storage", "_value", "_view")

    _value: Any
    _row: Any
    _storage: Any
    _view: Any

    def __record__(self, op: Op, operands: Sequence[Any], params: dict[str, Any]) -> Any:
        return apply(op, operands, params)


def make(cls: type, value: Any, row: Row | None) -> Any:
    """A new handle of class `cls`."""
    handle = cls.__new__(cls)
    handle._value = value
    handle._row = row
    handle._storage = None
    handle._view = None
    return handle


class Trace:
    """The recording of one function under `jit`: which eager tensors it captured."""

    def __init__(self) -> None:
        self.captured: dict[int, tuple[Leaf, Handle]] = {}
        self.rows: set[Row] = set()
        self.views: list[weakref.ref] = []
        self.numbers: set[Row] = set()  # inputs that are Python numbers: they do not promote tensors

    def views_of(self, root: Handle) -> list[Handle]:
        """The living views of a traced tensor."""
        living = [v for v in (reference() for reference in self.views) if v is not None]
        return [v for v in living if v._view is not None and v._view[0] is root]

    def capture(self, handle: Handle) -> Leaf:
        """The leaf that stands for an eager tensor in this trace."""
        found = self.captured.get(id(handle))
        if found is None:
            value = handle._value
            leaf = Leaf(value.shape, value.dtype, False)
            self.captured[id(handle)] = found = (leaf, handle)
            self.rows.add(leaf)
        return found[0]

    def constant(self, value: Any) -> Row:
        """A row of this trace for a number or array that is not a tensor."""
        row = constant(value)
        self.rows.add(row)
        return row


def own_memory(handle: Handle) -> Storage:
    """The storage of a handle, made on first need."""
    storage = handle._storage
    if storage is None:
        if not isinstance(handle._value, np.ndarray):
            handle._value = np.array(handle._value)
        storage = handle._storage = Storage(handle._value)
    return storage


def row_of(handle: Handle) -> Row:
    """The row of a handle; one that has no history gets a leaf."""
    row = handle._row
    if row is None:
        value = handle._value
        row = handle._row = Leaf(value.shape, value.dtype, False, weakref.ref(handle))
    return row


def requires(handle: Any) -> bool:
    return isinstance(handle, Handle) and handle._row is not None and handle._row.requires


def apply(op: Op, operands: Sequence[Any], params: dict[str, Any] = NOTHING) -> Any:
    """Run `op` on tensors, arrays and numbers, and record it if a gradient may be wanted. Parameters are canonical."""
    cls = next(type(o) for o in operands if isinstance(o, Handle))
    if any(isinstance(o, Handle) and o._value is None for o in operands):
        return _apply_traced(cls, op, operands, params)
    if op.kind == "elementwise" and op is not cast:
        operands = same_dtype(cls, op, operands)
    values = [o._value if isinstance(o, Handle) else o for o in operands]
    if op.view and not isinstance(values[0], np.ndarray):
        own_memory(operands[0])
        values[0] = operands[0]._value
    try:
        value = quiet.run(op.run, *values, **params)
    except ValueError as error:
        raise _shape_error(op, values, error) from error
    if not grad_mode.get() or not op.differentiable or not any(requires(o) for o in operands):
        out = make(cls, value, None)
    else:
        out = _recorded(cls, op, operands, values, params, value)
    if op.view:
        note_view(operands[0], out, op, params)
    return out


def _recorded(cls: type, op: Op, operands: Sequence[Any], values: list, params: dict, value: Any) -> Any:
    if not isinstance(value, (np.ndarray, np.generic)):
        value = np.asarray(value)[()]
    if not dtypes.is_floating(value.dtype):
        return make(cls, value, None)
    rows = tuple([row_of(o) if isinstance(o, Handle) else constant(_as_array(o, value.dtype)) for o in operands])
    if op.kind == "elementwise":
        shape = value.shape
        rows = tuple([r if r.shape == shape else _expanded(r, shape) for r in rows])
    out = make(cls, value, None)
    plan = op.plan(tuple([r.requires for r in rows]))
    saved, guards = keep(op, plan.slots, operands, values, out)
    out._row = Row(op, rows, params, value.shape, value.dtype, True, plan, saved, guards)
    return out


def _expanded(row: Row, shape: tuple[int, ...]) -> Row:
    return Row(expand, (row,), {"shape": shape}, shape, row.dtype, row.requires, expand.plan((row.requires,)), ())


def _as_array(number: Any, dtype: np.dtype) -> Any:
    return number if isinstance(number, (np.ndarray, np.generic)) else dtype.type(number)


def keep(op: Op, slots: Sequence[int], operands: Sequence[Any], values: Sequence[Any], out: Any) -> tuple[tuple, Any]:
    """The values in `slots` for the reverse sweep, with guards that notice if their memory is overwritten later.

    Memory that an outside NumPy array shares can change unseen, so of that a copy is kept.
    """
    saved: list[Any] = []
    guards: list[Any] = []
    for slot in slots:
        guard = None
        if slot == REST:
            value: Any = tuple(np.array(v) for v in values[len(op.inputs) - 1 :])
        else:
            owner = out if slot == OUTPUT else operands[slot]
            value = out._value if slot == OUTPUT else values[slot]
            if isinstance(value, np.ndarray) and isinstance(owner, Handle):
                storage = own_memory(owner)
                if storage.exported is not None:
                    value = value.copy()
                else:
                    storage.kept = True
                    guard = (storage, storage.version)
        saved.append(value)
        guards.append(guard)
    return tuple(saved), tuple(guards) if any(guards) else None


def check_guards(row: Row) -> None:
    """Raise `OverwrittenError` if a value that `row` saved has been changed since."""
    for guard in row.guards:
        if guard is None:
            continue
        storage, version = guard
        changed = storage.version != version
        if changed or (storage.exported not in (None, -1) and storage.exported != storage.checksum()):
            how = "in place" if changed else "through a NumPy array that shares its memory"
            raise OverwrittenError(
                f"the reverse sweep of {row.op.name} needs a tensor of shape {list(storage.array.shape)} that was changed "
                f"{how} after {row.op.name} used it: compute with a clone(), or change it after backward()"
            )


def note_view(base: Any, out: Any, op: Op, params: dict[str, Any]) -> None:
    """Make `out` share the storage of `base`, if NumPy gave it the same memory."""
    value, source = out._value, base._value
    if not isinstance(value, np.ndarray) or value.base is None:
        return
    if value is not source and value.base is not (source if source.base is None else source.base):
        return
    out._storage = own_memory(base)
    root, chain = base._view or (base, ())
    out._view = (root, (*chain, (op, params)))
    out._storage.views.append(weakref.ref(out))


def same_dtype(cls: type, op: Op, operands: Sequence[Any], *, numbers: bool = False) -> list[Any]:
    """Operands of an elementwise op with one dtype, as PyTorch promotes them; with `numbers` also Python's."""
    first = 1 if op.name == "where" else 0
    numbers = numbers or first == 1
    known = [_dtype_rank(o) for o in operands[first:]]
    if first and _dtype_rank(operands[0])[0] != np.bool_:
        raise TypeError(f"where: the condition must be bool, not {dtypes.of(_dtype_rank(operands[0])[0]).name}: "
                        "compare, as in where(x > 0, ...)")  # fmt: skip
    common = known[0][0] if len({d for d, _ in known}) == 1 and known[0][1] >= 0 else dtypes.result_type(known)
    if op.result == "float" and not dtypes.is_floating(common):
        common = dtypes.default()
    elif op.result == "integer" and dtypes.is_floating(common):
        raise TypeError(f"{op.name} works on bool and integer tensors, not on {dtypes.of(common).name}")
    return [
        *operands[:first],
        *[common.type(o) if numbers and r < 0 and not isinstance(o, Handle) else _converted(o, d, r, common)
          for o, (d, r) in zip(operands[first:], known)],
    ]  # fmt: skip


def _dtype_rank(operand: Any) -> tuple[np.dtype, int]:
    if isinstance(operand, Handle):
        if operand._value is not None:
            return operand._value.dtype, operand._value.ndim
        trace = current_trace.get()
        if trace is not None and operand._row in trace.numbers:
            return dtypes.default(), -1
        return operand._row.dtype, operand._row.ndim
    if isinstance(operand, (np.ndarray, np.generic)):
        return operand.dtype, operand.ndim
    if isinstance(operand, (bool, int, float)):
        return dtypes.of_python(operand), -1
    raise TypeError(f"cannot compute with {type(operand).__name__}: operands are tensors, NumPy arrays and numbers")


def _converted(operand: Any, dtype: np.dtype, rank: int, common: np.dtype) -> Any:
    if dtype == common and not (rank < 0 and isinstance(operand, Handle)):
        return operand
    if rank < 0 and not isinstance(operand, Handle):
        return operand if dtypes.is_floating(common) or dtypes.of_python(operand) == common else common.type(operand)
    if isinstance(operand, Handle):
        return apply(cast, (operand,), {"dtype": common})
    return operand.astype(common)


def _shape_error(op: Op, values: Sequence[Any], error: ValueError) -> Exception:
    shapes = " and ".join(str(list(np.shape(v))) for v in values)
    if op.kind == "elementwise":
        return RuntimeError(
            f"{op.name}: shapes {shapes} do not broadcast: aligned at the right, sizes must be equal, or one of them 1"
        )
    if op.kind == "matmul":
        return RuntimeError(f"matmul: shapes {shapes} do not fit: the last size of the first must be the last but one "
                            "of the second")  # fmt: skip
    return RuntimeError(f"{op.name}: shapes {shapes}: {error}")


def _apply_traced(cls: type, op: Op, operands: Sequence[Any], params: dict[str, Any]) -> Any:
    """Append a row to the tape that is being traced."""
    trace = current_trace.get()
    if trace is None:
        raise LeakedTraceError(f"{op.name}: a tensor made while jit was tracing is used after the trace ended: return it "
                               "from the function instead of keeping it")  # fmt: skip
    if op.kind == "elementwise" and op is not cast:
        operands = same_dtype(cls, op, operands, numbers=True)
    rows = [_lift(trace, o) for o in operands]
    if op.kind == "elementwise":
        shape = broadcast_shape(op, [r.shape for r in rows])
        rows = [r if r.shape == shape else _append(trace, expand, (r,), {"shape": shape}) for r in rows]
    row = _append(trace, op, tuple(rows), params)
    out = make(cls, None, row)
    if op.view:
        root, chain = operands[0]._view or (operands[0], ())
        out._view = (root, (*chain, (op, params)))
        trace.views.append(weakref.ref(out))
    return out


def _append(trace: Trace, op: Op, rows: tuple[Row, ...], params: dict[str, Any]) -> Row:
    spec: Spec = infer(op, list(rows), params)
    wanted = op.differentiable and dtypes.is_floating(spec.dtype) and any(r.requires for r in rows)
    row = Row(op, rows, params, tuple(spec.shape), spec.dtype, wanted)
    trace.rows.add(row)
    return row


def _lift(trace: Trace, operand: Any) -> Row:
    if isinstance(operand, Handle):
        if operand._value is not None:
            return trace.capture(operand)
        if operand._row not in trace.rows:
            raise LeakedTraceError("a tensor of an earlier trace is used in this one: return it from its function instead")
        return operand._row
    if isinstance(operand, (np.ndarray, np.generic)):
        if operand.ndim and not any(operand.strides):  # one number, repeated
            one = trace.constant(operand.flat[0] if operand.size else operand.dtype.type(0))
            return _append(trace, expand, (one,), {"shape": operand.shape})
        return trace.constant(operand[()] if operand.ndim == 0 else operand)
    return trace.constant(dtypes.of_python(operand).type(operand))


def broadcast_shape(op: Op, shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The shape that `shapes` broadcast to; `RuntimeError` if they do not."""
    if len(set(shapes)) == 1:
        return shapes[0]
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError as error:
        raise _shape_error(op, [np.broadcast_to(0, s) for s in shapes], error) from error
