"""Functions and methods of rows: the arguments that users give, in their canonical form."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from inspect import Signature
from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.errors import TracedValueError
from jitgrad.ops.choosing import cast
from jitgrad.ops.describe import signature
from jitgrad.ops.shapes import Spec
from jitgrad.ops.table import Op
from jitgrad.record.apply import apply
from jitgrad.record.checking import is_meant, not_floating
from jitgrad.record.promotion import FLOATS, complex_among
from jitgrad.record.quick import SCALARS, _named, ndarray, quick_binary, quick_one, quick_unary
from jitgrad.record.weak import refuse_numbers
from jitgrad.tape.handle import Handle
from jitgrad.tensors.out import into
from jitgrad.tensors.return_types import results_of

RENAMED = {"axis": "dim", "keepdims": "keepdim", "input": "x", "A": "x", "other": "y"}


def bound(op: Op, accept: Callable = lambda args: args) -> Callable:
    """`op` as a function of operands and PyTorch's parameters: any operand, any parameter.

    `accept` may turn the operands into others if none of them is a tensor.
    """
    n = len(op.inputs)
    plain = op.elementwise and op.prepare is None and op.result != "integer" and not op.holes()
    quick: Any
    if plain and n == 1:
        quick = quick_unary(op)

        def function(*args: Any, **kwargs: Any) -> Any:
            if len(args) == 1 and not kwargs and isinstance(args[0], Handle):
                return quick(args[0])
            return _call(op, args, kwargs, accept)
    elif plain and n == 2:
        quick = quick_binary(op)

        def function(*args: Any, **kwargs: Any) -> Any:
            if len(args) == 2 and not kwargs and isinstance(args[0], Handle) and (args[0]._value is not None or op.alone):
                out = quick(*args)
                return out if out is not NotImplemented else apply(op, args)  # which says what is wrong
            return _call(op, args, kwargs, accept)
    elif op.reduces and op.prepare is not None and not op.composite:
        reduce, canonical = quick_one(op), _canonical(op)

        def function(*args: Any, **kwargs: Any) -> Any:
            if args and isinstance(args[0], Handle):
                x = args[0]._value
                if x.__class__ in SCALARS or (x.__class__ is ndarray and x.dtype in FLOATS):
                    try:
                        params = canonical(x.shape, len(args) - 1, *args[1:], *kwargs.items())
                    except TypeError:  # a list, which has no hash, a dtype, or something wrong
                        return _call(op, args, kwargs, accept)
                    return reduce(args[0], params)
            return _call(op, args, kwargs, accept)
    else:

        def function(*args: Any, **kwargs: Any) -> Any:
            return _call(op, args, kwargs, accept)

    return _named(function, op)


def _canonical(op: Op) -> Callable:
    """The parameters of an op for arguments after a tensor of some shape; these recur, so they are kept."""
    prepare = op.prepare
    assert prepare is not None

    @functools.lru_cache(maxsize=1024, typed=True)
    def canonical(shape: tuple[int, ...], count: int, *given: Any) -> dict[str, Any]:
        named = {RENAMED.get(name, name): value for name, value in given[count:]}
        return prepare(Spec(shape, np.dtype(np.float32)), *given[:count], **named)

    return canonical


def _call(op: Op, args: tuple, kwargs: dict[str, Any], accept: Callable) -> Any:
    """Sort out operands and parameters, then apply `op`."""
    if "out" in kwargs:
        out, exact = kwargs.pop("out"), op.picks or kwargs.get("dtype") is not None
        if op.result == "sum" and not exact and isinstance(out, Handle):  # is added up in the dtype of out, not rounded to it
            wanted = out._held.dtype
            kwargs |= {} if complex_among(args[:1]) and wanted.kind != "c" else {"dtype": wanted}
        found = _call(op, args, kwargs, accept)
        return found if out is None else into(out, found, op.name, exact)
    n = len(op.inputs)
    if kwargs:
        kwargs = {RENAMED.get(name, name): value for name, value in kwargs.items()}
    operands, rest = list(args[:n]), args[n:]
    while len(operands) < n and op.inputs[len(operands)] in kwargs:
        operands.append(kwargs.pop(op.inputs[len(operands)]))
    if not op.alone and len(operands) > 1:
        refuse_numbers(op.name, operands)
    operands = list(accept(operands))
    if len(operands) < n:
        raise TypeError(f"{op.name} takes {n} operand{'s' * (n > 1)} ({', '.join(op.inputs)}), {len(operands)} given")
    if not op.elementwise:
        for name, operand in zip(op.inputs, operands):
            if not isinstance(operand, Handle):
                raise TypeError(f"{op.name}: {name} must be a tensor, not {type(operand).__name__}")
    dtype = kwargs.pop("dtype", None) if kwargs else None
    if dtype is not None:
        operands[0] = apply(cast, (operands[0],), {"dtype": dtypes.to_numpy(dtype)})
    if dtype is None or op.result != "sum":
        operands[0] = _fitting(op, operands[0])
    if op.prepare is None:
        if rest or kwargs:
            raise TypeError(f"{op.name} takes no further arguments, got {[*rest, *kwargs]}")
        return _result(op, operands, {})
    held = [o._held if isinstance(o, Handle) else o for o in operands]
    try:
        params = op.prepare(*held, *rest, **kwargs)
    except TracedValueError:
        raise
    except TypeError as error:
        beyond = error.__traceback__ and error.__traceback__.tb_next
        calls = beyond is None or is_meant(error)  # Python did not accept the arguments, or the op did not
        why = re.sub(r"^.*?[(][)] ", "", str(error)) if calls else f"these are no arguments for it: {[*rest, *kwargs.values()]}"
        arguments = signature(op).replace(return_annotation=Signature.empty)
        raise TypeError(f"{op.label or op.name}{arguments}: {why}") from (None if calls else error)
    return _result(op, operands, params)


def _result(op: Op, operands: list[Any], params: dict[str, Any]) -> Any:
    found = op.run(*operands, **params) if op.inlined else apply(op, operands, params)
    return results_of(op, found) if op.several else found


def _fitting(op: Op, operand: Any) -> Any:
    """The operand in the dtype that the row computes in."""
    if op.elementwise or op.result not in ("sum", "floating"):
        return operand
    dtype = operand._held.dtype
    if dtypes.has_gradient(dtype):
        return operand
    if op.result == "sum":  # integers and bools add up in int64
        return operand if dtype == np.int64 else apply(cast, (operand,), {"dtype": np.dtype(np.int64)})
    raise not_floating(op.name, dtype, cure=".float() or dtype=")
