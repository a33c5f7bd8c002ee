"""Functions and methods made from the rows of the op table.

`function(op)` gives the public function of a row, with PyTorch's signature and with `axis`/`keepdims` accepted where
`dim`/`keepdim` are. `quick_unary` and `quick_binary` are the same for operands that need no conversion at all, which
is what most calls are: they decide that in a few tests, and leave every other case to `record.apply`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.base.quiet import again, quiet
from jitgrad.base.settings import config
from jitgrad.dtypes import ALL
from jitgrad.ops.arithmetic import mul
from jitgrad.ops.describe import describe, signature
from jitgrad.ops.linalg import matmul
from jitgrad.ops.movement import reshape
from jitgrad.ops.movement import sum as add_up
from jitgrad.ops.table import OUTPUT, REST, Op
from jitgrad.record import quick_traced
from jitgrad.record.apply import apply, grad_mode, number_row, spread_number_row
from jitgrad.record.foreign import is_foreign
from jitgrad.record.promotion import FLOATS
from jitgrad.record.trace import lifting
from jitgrad.tape.handle import Handle, keep_arrays, make, make_recorded, note_view, row_of
from jitgrad.tape.row import NOTHING, Row

_ANY: frozenset[Any] = frozenset(d.numpy for d in ALL.values())
_REAL: frozenset[Any] = frozenset(dtype for dtype in _ANY if dtype.kind != "c")
SCALARS = {kind: np.dtype(kind) for kind in (np.float32, np.float64)}

recording = grad_mode.get
limits = config.values
ndarray = np.ndarray


_PICK: dict[tuple[int, ...], Callable] = {
    (): lambda x, y, z: (),
    (0,): lambda x, y, z: (x,),
    (1,): lambda x, y, z: (y,),
    (OUTPUT,): lambda x, y, z: (z,),
    (0, 1): lambda x, y, z: (x, y),
    (OUTPUT, 0): lambda x, y, z: (z, x),
    (OUTPUT, 1): lambda x, y, z: (z, y),
    (OUTPUT, 0, 1): lambda x, y, z: (z, x, y),
}


def _quick_dtypes(op: Op) -> frozenset[Any]:
    """The dtypes of arrays that need no conversion: for comparisons all that they take."""
    return FLOATS if op.result != "bool" else _ANY if op.on_complex else _REAL


def quick_unary(op: Op, general: Callable = apply) -> Callable:
    """The method of an elementwise op of one floating input, without parameters. `general` takes what is not quick."""
    run, hot_run = op.run, op.hot_run or op.run
    needs = op.needs((True,)) if op.differentiable else None
    pick: Any = _PICK[needs.slots] if needs else None
    quick = _quick_dtypes(op)
    traced = quick_traced.unary(op)

    def method(self: Any) -> Any:
        x = self._value
        dtype = SCALARS.get(x.__class__)
        if lifting or (dtype is None and (x.__class__ is not ndarray or x.dtype not in quick)):
            out = traced(self) if x is None else None
            return general(op, (self,)) if out is None else out
        try:
            value = quiet.run(hot_run if dtype is None and x.size >= limits["large"] else run, x)
        except RuntimeError:
            value = again(run, x)
        row = self._row
        if needs is None or row is None or not row.requires or not recording():
            return make(self.__class__, value, None)
        if dtype is not None:
            return make_recorded(self.__class__, value, op, (row,), NOTHING, (), dtype, needs, pick(x, None, value))
        out = make_recorded(self.__class__, value, op, (row,), NOTHING, value.shape, value.dtype, needs, ())
        if needs.slots:
            keep_arrays(out._row, needs.slots, (self, out), (x, value))
        return out

    return _named(method, op)


def quick_with_parameters(op: Op) -> Callable:
    """The same for an op with parameters, which are canonical."""
    run = op.run
    needs = op.needs((True,)) if op.differentiable else None
    pick: Any = _PICK[needs.slots] if needs else None

    def method(self: Any, **params: Any) -> Any:
        x = self._value
        dtype = SCALARS.get(x.__class__)
        if lifting or (dtype is None and (x.__class__ is not ndarray or x.dtype not in FLOATS)):
            return apply(op, (self,), params)
        try:
            value = quiet.run(run, x, **params)
        except RuntimeError:
            value = again(run, x, **params)
        row = self._row
        if needs is None or row is None or not row.requires or not recording():
            return make(self.__class__, value, None)
        if dtype is not None:
            return make_recorded(self.__class__, value, op, (row,), params, (), dtype, needs, pick(x, None, value))
        out = make_recorded(self.__class__, value, op, (row,), params, value.shape, value.dtype, needs, ())
        if needs.slots:
            keep_arrays(out._row, needs.slots, (self, out), (x, value))
        return out

    return _named(method, op)


def quick_one(op: Op) -> Callable:
    """`method(x, params)` for any op of one input, which may be a view of it; parameters are canonical."""
    run = op.hot_run or op.run
    needs = op.needs((True,)) if op.differentiable else None
    slots: tuple[int, ...] = needs.slots if needs else ()
    saved: tuple = ((),) if slots == (REST,) else ()  # an index without arrays: so many of them are saved
    keeps, view = bool(slots) and slots != (REST,), op.view

    def method(self: Any, params: dict[str, Any]) -> Any:
        x = self._value
        if lifting or ((x.__class__ is not ndarray or x.dtype not in FLOATS) and (view or x.__class__ not in SCALARS)):
            return apply(op, (self,), params)
        try:
            value = run(x, **params) if view else quiet.run(run, x, **params)
        except (ValueError, RuntimeError):
            return apply(op, (self,), params)  # which says what is wrong, or runs it inside of another operation
        row, dtype = self._row, value.dtype
        if needs is None or row is None or not row.requires or not recording() or dtype not in FLOATS:
            out = make(self.__class__, value, None)
        else:
            out = make_recorded(self.__class__, value, op, (row,), params, value.shape, dtype, needs, saved)
            if keeps:
                keep_arrays(out._row, slots, (self, out), (x, value))
        if view:
            note_view(self, out, op, params)
        return out

    return method


# long: it is what most calls of users run, and another call of Python would be a tenth of it
def quick_binary(op: Op, general: Callable = apply) -> Callable:
    """The method of an elementwise op of two operands: tensors of one dtype and shape, or a tensor and a number. `general`
    takes what is not quick."""
    run = op.run
    known_needs = {(a, b): op.needs((a, b)) for a in (True, False) for b in (True, False)} if op.differentiable else {}
    both, first, second = (known_needs.get(mask) for mask in ((True, True), (True, False), (False, True)))
    pick_both, pick_first, pick_second = (_PICK[needs.slots] if needs else None for needs in (both, first, second))
    quick = _quick_dtypes(op)
    with_number = _with_number(op, False, general)
    traced = quick_traced.binary(op)

    def method(self: Any, other: Any) -> Any:
        x = self._value
        kind = x.__class__
        cls = self.__class__
        dtype = SCALARS.get(kind)
        if other.__class__ is not cls:
            return with_number(self, other)
        y = other._value
        if (
            lifting
            or y.__class__ is not kind
            or (dtype is None and (kind is not ndarray or x.dtype is not y.dtype or x.shape != y.shape or x.dtype not in quick))
        ):
            out = traced(self, other) if x is None else None
            return general(op, (self, other)) if out is None else out
        try:
            value = quiet.run(run, x, y)
        except RuntimeError:
            value = again(run, x, y)
        left, right = self._row, other._row
        needs: Any
        if left is not None and left.requires:
            needs, pick = (both, pick_both) if right is not None and right.requires else (first, pick_first)
        elif right is not None and right.requires:
            needs, pick = second, pick_second
        else:
            return make(cls, value, None)
        if needs is None or not recording():
            return make(cls, value, None)
        rows = (left or row_of(self), right or row_of(other))
        if dtype is not None:
            return make_recorded(cls, value, op, rows, NOTHING, (), dtype, needs, pick(x, y, value))  # type: ignore[misc]
        out = make_recorded(cls, value, op, rows, NOTHING, value.shape, value.dtype, needs, ())
        if needs.slots:
            keep_arrays(out._row, needs.slots, (self, other, out), (x, y, value))
        return out

    return _named(method, op)


def quick_reflected(op: Op, general: Callable = apply) -> Callable:
    """`number op tensor`, as in `1 - x`."""
    return _named(_with_number(op, True, general), op, f"__r{op.name}__")


def _with_number(op: Op, reflected: bool, general: Callable) -> Callable:
    """The method for a tensor and a number; if `reflected`, the number is the first operand."""
    run, traced = op.run, quick_traced.binary(op)
    needs = op.needs((not reflected, reflected)) if op.differentiable else None
    pick: Any = _PICK[needs.slots] if needs else None

    def method(self: Any, other: Any) -> Any:
        x = self._value
        dtype = SCALARS.get(x.__class__)
        if (
            lifting
            or (dtype is None and (x.__class__ is not ndarray or x.dtype not in FLOATS))
            or (other.__class__ is not float and other.__class__ is not int)
        ):
            out = traced(self, other, reflected) if x is None else None
            if out is None and (is_operand(other) or (op is mul and _is_no_count(self, other))):
                return general(op, (other, self) if reflected else (self, other))
            return NotImplemented if out is None else out
        try:
            value = quiet.run(run, other, x) if reflected else quiet.run(run, x, other)
        except RuntimeError:
            value = again(run, other, x) if reflected else again(run, x, other)
        except (OverflowError, TypeError):
            return apply(op, (other, self) if reflected else (self, other))  # which says what is wrong
        row = self._row
        if needs is None or row is None or not row.requires or not recording():
            return make(self.__class__, value, None)
        if dtype is not None:
            number = number_row(other, x.__class__)
            one = number.params["value"]
            rows, saved = ((number, row), pick(one, x, value)) if reflected else ((row, number), pick(x, one, value))
            return make_recorded(self.__class__, value, op, rows, NOTHING, (), dtype, needs, saved)
        dtype, shape = value.dtype, value.shape
        number = spread_number_row(other, dtype.type, shape)
        rows = (number, row) if reflected else (row, number)
        out = make_recorded(self.__class__, value, op, rows, NOTHING, shape, dtype, needs, ())
        if needs.slots:
            one = number_row(other, dtype.type).params["value"]
            owners, values = ((None, self, out), (one, x, value)) if reflected else ((self, None, out), (x, one, value))
            keep_arrays(out._row, needs.slots, owners, values)
        return out

    return method


def quick_product(self: Any, other: Any) -> Any:
    """The product of two tensors of one floating dtype, matrices or vectors whose sizes fit, or as many matrices each."""
    x, y = self._value, other._value
    try:
        value = quiet.run(matmul.run, x, y)
    except RuntimeError:
        value = again(matmul.run, x, y)
    cls, left, right = self.__class__, self._row, other._row
    a = left is not None and left.requires
    b = right is not None and right.requires
    if not (a or b) or not recording():
        return make(cls, value, None)
    left, right, dtype = left or row_of(self), right or row_of(other), x.dtype
    if x.ndim == y.ndim == 1:  # the sum of products, which are not computed here since no rule needs them
        needs = mul.needs((a, b))
        out = make_recorded(cls, value, mul, (left, right), NOTHING, x.shape, dtype, needs, ())
        keep_arrays(out._row, needs.slots, (self, other), (x, y))
        return make_recorded(cls, value, add_up, (out._row,), _ALL_OF_ONE, (), dtype, add_up.needs((True,)), ())
    if x.ndim == 1:  # rows know matrices alone
        x = x[None]
        left = _reshaped_row(left, x.shape)
    if y.ndim == 1:
        y = y[:, None]
        right = _reshaped_row(right, y.shape)
    shape, needs = (*x.shape[:-1], y.shape[-1]), matmul.needs((a, b))
    out = make_recorded(cls, value, matmul, (left, right), NOTHING, shape, dtype, needs, ())
    keep_arrays(out._row, needs.slots, (self, other, out), (x, y, value))
    if value.shape == shape:
        return out
    params, needs = {"shape": value.shape}, reshape.needs((True,))
    return make_recorded(cls, value, reshape, (out._row,), params, value.shape, dtype, needs, ())


_ALL_OF_ONE: dict[str, Any] = {"dim": (0,), "keepdim": False}


def _reshaped_row(row: Row, shape: tuple[int, ...]) -> Row:
    return Row(reshape, (row,), {"shape": shape}, shape, row.dtype, row.requires, reshape.needs((row.requires,)), ())


def is_operand(x: Any) -> bool:
    """Whether operators take it beside a tensor."""
    return isinstance(x, (Handle, np.ndarray, np.generic, bool, int, float, complex)) or is_foreign(x)


def _is_no_count(tensor: Any, other: Any) -> bool:
    """Whether a product is one with a list, and the tensor does not say how often to repeat it: Python would ask it that."""
    held = tensor._held
    return isinstance(other, (list, tuple)) and (bool(held.shape) or held.dtype.kind not in "iu")


def _named(method: Callable, op: Op, name: str = "") -> Callable:
    method.__name__ = method.__qualname__ = name or op.name
    method.__doc__ = describe(op)
    method.__signature__ = signature(op)  # type: ignore[attr-defined]
    return method
