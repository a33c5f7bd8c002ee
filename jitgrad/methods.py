"""Functions and methods made from the rows of the op table.

`function(op)` gives the public function of a row, with PyTorch's signature and with `axis`/`keepdims` accepted where
`dim`/`keepdim` are. `quick_unary` and `quick_binary` are the same for operands that need no conversion at all, which
is what most calls are: they decide that in a few tests, and leave every other case to `record.apply`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.handle import Handle, keep, make, row_of
from jitgrad.ops.elementwise import cast
from jitgrad.ops.table import OUTPUT, Op
from jitgrad.record import FLOATS, apply, grad_mode, number_row, quiet, spread_row
from jitgrad.tape import NOTHING, Row

SCALARS = frozenset({np.float32, np.float64, np.float16})
RENAMED = {"axis": "dim", "keepdims": "keepdim", "input": "x", "other": "y"}

recording = grad_mode.get
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


def quick_unary(op: Op) -> Callable:
    """The method of an elementwise op of one floating input; parameters are canonical."""
    run = op.run
    plan = op.plan((True,)) if op.differentiable else None
    pick = _PICK[plan.slots] if plan else None
    any_dtype = op.result == "bool"

    def method(self: Any, **params: Any) -> Any:
        x = self._value
        kind = x.__class__
        if kind not in SCALARS and (kind is not ndarray or (x.dtype not in FLOATS and not any_dtype)):
            return apply(op, (self,), params)
        value = quiet.run(run, x, **params) if params else quiet.run(run, x)
        row = self._row
        if plan is None or row is None or not row.requires or not recording():
            return make(self.__class__, value, None)
        out = make(self.__class__, value, None)
        if kind is ndarray:
            saved, guards = keep(op, plan.slots, (self,), (x,), out)
        else:
            saved, guards = pick(x, None, value), None  # type: ignore[misc]
        out._row = Row(op, (row,), params, value.shape, value.dtype, True, plan, saved, guards)
        return out

    return _named(method, op)


def quick_binary(op: Op) -> Callable:
    """The method of an elementwise op of two operands: tensors of one dtype and shape, or a tensor and a number."""
    run = op.run
    plans = {(a, b): op.plan((a, b)) for a in (True, False) for b in (True, False)} if op.differentiable else None
    picks = {mask: _PICK[plan.slots] for mask, plan in plans.items()} if plans else {}
    any_dtype = op.result == "bool"

    def method(self: Any, other: Any) -> Any:
        x = self._value
        kind = x.__class__
        cls = self.__class__
        if other.__class__ is cls:
            y = other._value
            if y.__class__ is not kind or not (
                kind in SCALARS
                or (kind is ndarray and x.dtype is y.dtype and x.shape == y.shape and (x.dtype in FLOATS or any_dtype))
            ):
                return apply(op, (self, other))
            value = quiet.run(run, x, y)
            out = make(cls, value, None)
            if plans is None or not recording():
                return out
            left, right = self._row, other._row
            a = left is not None and left.requires
            b = right is not None and right.requires
            if a or b:
                plan = plans[a, b]
                if kind is ndarray:
                    saved, guards = keep(op, plan.slots, (self, other), (x, y), out)
                else:
                    saved, guards = picks[a, b](x, y, value), None
                rows = (left or row_of(self), right or row_of(other))
                out._row = Row(op, rows, NOTHING, value.shape, value.dtype, True, plan, saved, guards)
            return out
        array = kind is ndarray and x.dtype in FLOATS
        if not (array or kind in SCALARS) or (other.__class__ is not float and other.__class__ is not int):
            return apply(op, (self, other)) if _is_operand(other) else NotImplemented
        value = quiet.run(run, x, other)
        out = make(cls, value, None)
        left = self._row
        if plans is not None and left is not None and left.requires and recording():
            plan = plans[True, False]
            number = number_row(other, value.dtype.type)
            one = number.params["value"]
            if array:
                saved, guards = keep(op, plan.slots, (self, number), (x, one), out)
                number = spread_row(number, value.shape)
            else:
                saved, guards = picks[True, False](x, one, value), None
            out._row = Row(op, (left, number), NOTHING, value.shape, value.dtype, True, plan, saved, guards)
        return out

    return _named(method, op)


def quick_reflected(op: Op) -> Callable:
    """`number op tensor`, as in `1 - x`."""
    run = op.run
    plan = op.plan((False, True)) if op.differentiable else None
    pick = _PICK[plan.slots] if plan else None

    def method(self: Any, other: Any) -> Any:
        y = self._value
        kind = y.__class__
        array = kind is ndarray and y.dtype in FLOATS
        if not (array or kind in SCALARS) or (other.__class__ is not float and other.__class__ is not int):
            return apply(op, (other, self)) if _is_operand(other) else NotImplemented
        value = quiet.run(run, other, y)
        out = make(self.__class__, value, None)
        right = self._row
        if plan is not None and right is not None and right.requires and recording():
            number = number_row(other, value.dtype.type)
            one = number.params["value"]
            if array:
                saved, guards = keep(op, plan.slots, (number, self), (one, y), out)
                number = spread_row(number, value.shape)
            else:
                saved, guards = pick(one, y, value), None  # type: ignore[misc]
            out._row = Row(op, (number, right), NOTHING, value.shape, value.dtype, True, plan, saved, guards)
        return out

    return _named(method, op, f"__r{op.name}__")


def _is_operand(x: Any) -> bool:
    return isinstance(x, (Handle, np.ndarray, np.generic, bool, int, float))


def _named(method: Callable, op: Op, name: str = "") -> Callable:
    method.__name__ = method.__qualname__ = name or op.name
    method.__doc__ = describe(op)
    return method


def describe(op: Op) -> str:
    """A docstring from a row."""
    what = f"{op.name}: {op.kernel}, elementwise" if op.kernel else f"{op.name} of the tensor"
    kinds = {"float": "Integers are computed in the default float dtype.", "bool": "The result is bool.",
             "floating": "Raises RuntimeError for dtypes that are not floating."}  # fmt: skip
    grad = "Differentiable." if op.differentiable else "Not differentiable."
    return " ".join([what + ".", kinds.get(op.result, ""), grad]).replace("  ", " ")


def bound(op: Op, accept: Callable = lambda args: args) -> Callable:
    """`op` as a function of operands and PyTorch's parameters: any operand, any parameter.

    `accept` may turn the positional arguments into others if none of them is a tensor.
    """
    n = len(op.inputs)
    if op.kind == "elementwise" and op.prepare is None and n <= 2 and op.result != "integer":
        quick: Any = quick_unary(op) if n == 1 else quick_binary(op)

        def function(*args: Any, **kwargs: Any) -> Any:
            if len(args) == n and not kwargs and isinstance(args[0], Handle):
                out = quick(*args)
                return out if out is not NotImplemented else apply(op, args)  # which says what is wrong
            return _call(op, accept(args), kwargs)
    else:

        def function(*args: Any, **kwargs: Any) -> Any:
            return _call(op, accept(args), kwargs)

    return _named(function, op)


def _call(op: Op, args: tuple, kwargs: dict[str, Any]) -> Any:
    """Sort out operands and parameters, then apply `op`."""
    n = len(op.inputs)
    if kwargs:
        kwargs = {RENAMED.get(name, name): value for name, value in kwargs.items()}
    operands, rest = list(args[:n]), args[n:]
    while len(operands) < n and op.inputs[len(operands)] in kwargs:
        operands.append(kwargs.pop(op.inputs[len(operands)]))
    if len(operands) < n:
        raise TypeError(f"{op.name} takes {n} operand{'s' * (n > 1)} ({', '.join(op.inputs)}), {len(operands)} given")
    dtype = kwargs.pop("dtype", None) if kwargs else None
    if dtype is not None:
        operands[0] = apply(cast, (operands[0],), {"dtype": dtypes.to_numpy(dtype)})
    if dtype is None or op.result != "sum":
        operands[0] = _fitting(op, operands[0])
    if op.prepare is None:
        if rest or kwargs:
            raise TypeError(f"{op.name} takes no further arguments, got {[*rest, *kwargs]}")
        return apply(op, operands)
    held = [(o._value if o._value is not None else o._row) if isinstance(o, Handle) else o for o in operands]
    try:
        params = op.prepare(*held, *rest, **kwargs)
    except TypeError as error:
        raise TypeError(f"{op.name}{signature(op)}: {str(error).replace('<lambda>', 'call').lstrip('_')}") from None
    return apply(op, operands, params)


def signature(op: Op) -> str:
    """The call signature of a row, for messages and docs."""
    if op.prepare is None:
        return f"({', '.join(op.inputs)})"
    return str(inspect.signature(op.prepare)).split(" ->")[0]


def _fitting(op: Op, operand: Any) -> Any:
    """The operand in the dtype that the row computes in."""
    if op.result not in ("sum", "floating"):
        return operand
    held = operand._value if operand._value is not None else operand._row
    if dtypes.is_floating(held.dtype):
        return operand
    if op.result == "sum":  # integers and bools add up in int64
        return operand if held.dtype == np.int64 else apply(cast, (operand,), {"dtype": np.dtype(np.int64)})
    raise RuntimeError(
        f"{op.name} needs a floating dtype, and this tensor is {dtypes.of(held.dtype).name}: convert with .float() or dtype="
    )
