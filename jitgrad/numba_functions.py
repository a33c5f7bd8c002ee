"""The user's own `@njit` functions as operations: `elementwise` for scalar functions, `from_njit` for those of arrays.

`jitgrad.loading` has the public functions, so that Numba is imported only by those who use them.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import math
import re
import types as python_types
from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from numba import types

from jitgrad.dtypes import default, is_floating
from jitgrad.errors import TracedValueError
from jitgrad.functions.data import as_tensor
from jitgrad.functions.shaping import in_dtype_of
from jitgrad.handle import Handle, make
from jitgrad.ops import TABLE
from jitgrad.ops.elementwise import cast
from jitgrad.ops.table import Op, Spec, todo
from jitgrad.record import apply
from jitgrad.tensor import Tensor
from jitgrad.tracing import current_trace
from jitgrad.transforms import trace

_NO_DERIVATIVE = "it is @njit code of the user's, which has no derivative of its own: write it in jitgrad's operations"
_kept: list[Any] = []  # machine code of the user's functions, which other machine code calls by name


def _parameters(function: Callable) -> list[str]:
    return [f"a{i}" for i in range(len(inspect.signature(function).parameters))]


def _checked(function: Any, what: str) -> Any:
    if not isinstance(function, numba.core.registry.CPUDispatcher):
        raise TypeError(f"{what} takes a function made by numba.njit, not {type(function).__name__}")
    return function


def _caller(op: Op, function: Any) -> Callable:
    """What the decorator returns: the function for tensors, arrays and numbers."""

    @functools.wraps(function.py_func, updated=())
    def call(*xs: Any) -> Any:
        if len(xs) != len(op.inputs):
            raise TypeError(f"{function.__name__} takes {len(op.inputs)} arguments, and {len(xs)} were given")
        if not any(isinstance(x, Handle) and not _is_number(x) for x in xs):  # the first decides, as it does by itself
            first = apply(cast, (xs[0],), {"dtype": default()}) if isinstance(xs[0], Handle) else as_tensor(xs[0])
            return apply(op, [first, *xs[1:]])
        return apply(op, xs)

    call.op = op  # type: ignore[attr-defined]
    return call


def _is_number(x: Handle) -> bool:
    """Whether a tensor stands for a Python number, of which `jit` makes an input."""
    trace = current_trace.get()
    return trace is not None and x._value is None and trace.is_number(x._row)


# Scalar functions.


def scalar_function(function: Any, derivative: Any) -> Callable:
    """See `jitgrad.elementwise`."""
    return _caller(_scalar_op(_checked(function, "elementwise"), derivative), function)


def _scalar_op(function: Any, derivative: Any) -> Op:
    names = _parameters(function.py_func)
    if not names:
        raise TypeError(f"elementwise takes a function of numbers, and {function.__name__} has no parameters")
    signature = types.float64(*[types.float64] * len(names))
    symbol = _published(function, signature)
    ufunc = numba.vectorize([signature])(function.py_func)

    def run(*xs: Any) -> Any:
        dtype = next((x.dtype for x in xs if hasattr(x, "dtype")), np.dtype(float))
        return ufunc(*xs).astype(dtype)

    rules: dict[str, Any] = {"d": _partials(function.__name__, names, derivative)}
    if derivative is None:
        recorded = _recordable(function, len(names))
        rules = {"lower": lambda *xs: recorded(*xs)}
    op = Op(run, kind="elementwise", inputs=tuple(names), kernel=f"a0.libm({symbol!r}{''.join(f', {n}' for n in names[1:])})",
            result="float", method=False, **rules)  # fmt: skip
    op.name = f"{function.__name__}_{symbol[-8:]}"
    return op


def _published(function: Any, signature: Any) -> str:
    """The name under which machine code finds the function on float64: a hash of its LLVM text, where names are numbered."""
    made = numba.cfunc(signature, error_model="numpy")(function.py_func)  # as vectorize has it
    known: dict[str, str] = {}
    text = re.sub(r"_ZN[\w.$%]+", lambda m: known.setdefault(m[0], f"name{len(known)}"), made.inspect_llvm())
    name = re.sub(r"\W", "_", function.__name__, flags=re.ASCII)
    symbol = f"jitgrad_user_{name}_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    llvm.add_symbol(symbol, made.address)
    _kept.append(made)
    return symbol


def _partials(name: str, names: Sequence[str], derivative: Any) -> tuple:
    """A rule for each input, which the op table wants with the names of the inputs."""
    if derivative is SECOND:
        return (todo(_NO_DERIVATIVE),) * len(names)
    if isinstance(derivative, numba.core.registry.CPUDispatcher):
        derivative = _from_scalar_code(names, derivative)

    def partial(i: int, *xs: Any) -> Any:
        raw = not any(isinstance(x, Handle) for x in xs)
        given = [make(Tensor, np.asarray(x)[()], None) if raw else x for x in xs]
        part = _one_partial(name, derivative(*given), i, given)
        return part._value if raw else part

    given = ", ".join(names)
    return tuple(eval(f"lambda {given}: partial({i}, {given})", {"partial": partial}) for i in range(len(names)))


def _broadcasts(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, wanted) == wanted
    except ValueError:
        return False


def _one_partial(name: str, found: Any, i: int, xs: Sequence[Any]) -> Tensor:
    """The derivative by input `i` of what a user's derivative returned for `xs`, in the shape and dtype of the result."""
    if len(xs) > 1:
        if not isinstance(found, (tuple, list)) or len(found) != len(xs):
            raise TypeError(f"the derivative of {name} must return a tuple of {len(xs)} partial derivatives, one for each "
                            f"argument, not {type(found).__name__}")  # fmt: skip
        found = found[i]
    if not isinstance(found, (Handle, np.ndarray, np.generic, int, float)):
        raise TypeError(f"the derivative of {name} must return tensors, arrays or numbers, not {type(found).__name__}")
    found = found if isinstance(found, Handle) else as_tensor(found, dtype=xs[i]._held.dtype)
    shape = np.broadcast_shapes(*[tuple(x.shape) for x in xs])
    if not _broadcasts(tuple(found.shape), shape):
        raise RuntimeError(f"the derivative of {name} has shape {list(found.shape)}, and its arguments have {list(shape)}")
    return in_dtype_of(xs[i], found)


SECOND = object()
"""Stands for the derivative of a derivative that is `@njit` code."""


def _from_scalar_code(names: Sequence[str], derivative: Any) -> Callable:
    """The partial derivatives as functions of tensors."""
    if len(names) == 1:
        return _caller(_scalar_op(derivative, SECOND), derivative)
    given, parts = ", ".join(names), []
    for i in range(len(names)):
        scope: dict[str, Any] = {"derivative": derivative}
        name = re.sub(r"\W", "_", f"{derivative.__name__}_{i}", flags=re.ASCII)
        exec(f"def {name}({given}): return derivative({given})[{i}]", scope)
        part = numba.njit(scope[name])
        parts.append(_caller(_scalar_op(part, SECOND), part))
    return lambda *xs: tuple([part(*xs) for part in parts])


_MATH: dict[str, Any] = {name: value for name, value in vars(math).items() if isinstance(value, float)} | {
    name: TABLE[name] for name in (
        "exp", "expm1", "log", "log2", "log10", "log1p", "sqrt", "sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh",
        "cosh", "tanh", "asinh", "acosh", "atanh", "erf", "erfc", "lgamma", "hypot", "pow", "floor", "ceil", "trunc")
} | {"fabs": TABLE["abs"]}  # fmt: skip


def _recordable(function: Any, count: int) -> Callable:
    """The Python function under `@njit`, on tensors: what it takes from `math` are jitgrad's operations. Tried out once."""
    python = function.py_func
    scope = dict(python.__globals__)
    for name in python.__code__.co_names:
        value = scope.get(name)
        if value is math:
            scope[name] = python_types.SimpleNamespace(**_MATH)
        elif callable(value) and getattr(math, name, None) is value and name in _MATH:
            scope[name] = _MATH[name]
    recorded = python_types.FunctionType(python.__code__, scope, python.__name__, python.__defaults__, python.__closure__)
    try:
        trace(recorded, [((2,), np.dtype(np.float64), False)] * count, lambda inputs: (inputs, {}), Tensor)
    except (TracedValueError, TypeError, ValueError, AttributeError) as error:
        raise TypeError(f"{python.__name__} cannot be recorded to find its derivative ({error}): give it, as in "
                        "jitgrad.elementwise(derivative=...)") from error  # fmt: skip
    return recorded


# Functions of arrays.


def array_function(function: Any, vjp: Any) -> Callable:
    """See `jitgrad.from_njit`."""
    names = _parameters(_checked(function, "from_njit").py_func)
    forward = _as_arrays(function, names)
    backward = None if vjp is None else _packed_op(_checked(vjp, "vjp"), function.__name__, names)

    def pullback(sweep: Any, row: Any, g: Any, values: Sequence[Any]) -> list:
        assert backward is not None
        inputs = [v if isinstance(v, Handle) else make(Tensor, v, None) for v in (g, *values)]
        packed = apply(backward, inputs)
        parts, at = [], 0
        for x in row.inputs:
            size = math.prod(x.shape) if is_floating(x.dtype) else 0
            part = packed[at : at + size].reshape(x.shape) if is_floating(x.dtype) else None
            parts.append(part if part is None or sweep.recorded else part._value)
            at += size
        return parts

    op = Op(forward, kind="njit", inputs=tuple(names), method=False, shape=lambda *xs: _on_ones(forward, xs),
            checks=lambda row: row.inputs,
            pullback=None if vjp is None else pullback,
            d=(todo(f"{function.__name__} was wrapped by from_njit without a vjp"),) * len(names))  # fmt: skip
    op.name = function.__name__
    return _caller(op, function)


def _as_arrays(function: Any, names: Sequence[str]) -> Callable:
    """The function with a result that is an array or a NumPy number, of the dtype that it has in `@njit` code."""
    given = ", ".join(names)
    scope: dict[str, Any] = {"function": function, "asarray": np.asarray}
    exec(f"def typed({given}): return asarray(function({given}))", scope)
    typed = numba.njit(scope["typed"])
    return lambda *xs: typed(*_copies(xs))[()]


def _copies(xs: Sequence[Any]) -> list[Any]:
    """Arrays of their own, in C order: what the function writes into them, or returns of them, is nobody else's."""
    return [np.array(x, order="C") if np.ndim(x) else x for x in xs]


def _on_ones(run: Callable, xs: Sequence[Any]) -> Spec:
    """Shape and dtype of a result, found by running the function on ones."""
    out = run(*[np.ones(x.shape, x.dtype)[()] for x in xs])
    return Spec(out.shape, out.dtype)


def _packed_op(vjp: Any, name: str, names: Sequence[str]) -> Op:
    """The op that runs a vjp: the cotangents of the floating inputs, one after another in one array."""

    def run(g: Any, *xs: Any) -> Any:
        found = vjp(*_copies((g, *xs)))
        parts = found if isinstance(found, tuple) else (found,)
        if len(parts) != len(xs):
            raise TypeError(f"the vjp of {name} must return {len(xs)} cotangents, one for each argument, not {len(parts)}")
        kept = []
        for x, part in zip(xs, parts):
            if is_floating(x.dtype):
                if np.shape(part) != x.shape:
                    raise RuntimeError(f"the vjp of {name} returned a cotangent of shape {np.shape(part)} for an argument "
                                       f"of shape {x.shape}")  # fmt: skip
                kept.append(np.ravel(part))
        return np.concatenate(kept).astype(g.dtype, copy=False)

    def shape(g: Any, *xs: Any) -> Spec:
        return Spec((sum(math.prod(x.shape) for x in xs if is_floating(x.dtype)),), g.dtype)

    op = Op(run, kind="njit", inputs=("g", *names), method=False, shape=shape, d=(todo(_NO_DERIVATIVE),) * (len(names) + 1),
            checks=lambda row: row.inputs)  # fmt: skip
    op.name = f"vjp_of_{name}"
    return op
