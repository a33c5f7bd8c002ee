"""Scalar `@njit` functions of the user as elementwise operations."""

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

from jitgrad.errors import TracedValueError
from jitgrad.functions.data import as_tensor
from jitgrad.functions.operands import in_dtype_of, operand
from jitgrad.ops import TABLE
from jitgrad.ops.choosing import clone
from jitgrad.ops.table import Op, todo
from jitgrad.record.apply import apply
from jitgrad.record.trace import current_trace
from jitgrad.tape.handle import Handle, make
from jitgrad.tensors.tensor import Tensor
from jitgrad.tracing.function import trace

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
        there = next((x.device for x in xs if isinstance(x, Tensor) and x.is_cuda), None)
        if there is not None:
            raise NotImplementedError(
                f"{function.__name__} is not available on {there}, since it is @njit code, which is compiled for the CPU: call "
                "it with x.cpu(), and bring the result back with to()"
            )
        if not any(isinstance(x, Handle) and not _is_number(x) for x in xs):  # the first decides, as it does by itself
            first = apply(clone, (xs[0],)) if isinstance(xs[0], Handle) else operand(xs[0])
            return apply(op, [first, *xs[1:]])
        return apply(op, xs)

    call.op = op  # type: ignore[attr-defined]
    return call


def _is_number(x: Handle) -> bool:
    """Whether a tensor stands for a Python number, of which `jit` makes an input."""
    trace = current_trace.get()
    return trace is not None and x._value is None and trace.is_number(x._row)


def scalar_function(function: Any, derivative: Any) -> Callable:
    """See `jitgrad.elementwise`."""
    if derivative is not None and not callable(derivative):
        raise TypeError(
            f"elementwise takes one function as the derivative, not {type(derivative).__name__}: it returns a partial derivative "
            "for each argument"
        )
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
    op = Op(
        run,
        kind="elementwise",
        inputs=tuple(names),
        kernel=f"a0.libm({symbol!r}{''.join(f', {n}' for n in names[1:])})",
        result="float",
        method=False,
        **rules,
    )
    op.name, op.scalar = f"{function.__name__}_{symbol[-8:]}", function
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
            raise TypeError(
                f"the derivative of {name} must return a tuple of {len(xs)} partial derivatives, one for each "
                f"argument, not {type(found).__name__}"
            )
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


_MATH: dict[str, Any] = (
    {name: value for name, value in vars(math).items() if isinstance(value, float)}
    | {
        name: TABLE[name]
        for name in (
            "exp",
            "expm1",
            "log",
            "log2",
            "log10",
            "log1p",
            "sqrt",
            "sin",
            "cos",
            "tan",
            "asin",
            "acos",
            "atan",
            "atan2",
            "sinh",
            "cosh",
            "tanh",
            "asinh",
            "acosh",
            "atanh",
            "erf",
            "erfc",
            "lgamma",
            "hypot",
            "pow",
            "floor",
            "ceil",
            "trunc",
        )
    }
    | {"fabs": TABLE["abs"]}
)


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
        trace(recorded, [((2,), np.dtype(np.float64), None)] * count, lambda inputs: (inputs, {}))
    except (TracedValueError, TypeError, ValueError, AttributeError) as error:
        raise TypeError(
            f"{python.__name__} cannot be recorded to find its derivative ({error}): give it, as in "
            "jitgrad.elementwise(derivative=...)"
        ) from error
    return recorded
