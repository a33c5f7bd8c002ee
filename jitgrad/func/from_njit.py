"""The user's own `@njit` functions as operations: `elementwise` for scalar functions, `from_njit` for those of arrays.

`func.elementwise` has the public functions, so that Numba is imported only by those who use them.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import math
import re
import types as python_types
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numba
import numpy as np
from numba import types
from numba.core.errors import TypingError
from numba.np.numpy_support import as_dtype, from_dtype

from jitgrad.dtypes import is_floating
from jitgrad.errors import TracedValueError
from jitgrad.functions.data import as_tensor
from jitgrad.functions.operands import in_dtype_of, operand
from jitgrad.ops import TABLE
from jitgrad.ops.choosing import (
    clone,
)
from jitgrad.ops.table import Op, Spec, todo
from jitgrad.passes.batch import Batch
from jitgrad.record.apply import apply
from jitgrad.record.trace import current_trace
from jitgrad.tape.handle import Handle, make
from jitgrad.tape.row import Row
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
    op = Op(
        run,
        kind="elementwise",
        inputs=tuple(names),
        kernel=f"a0.libm({symbol!r}{''.join(f', {n}' for n in names[1:])})",
        result="float",
        method=False,
        **rules,
    )
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


# Functions of arrays.


def array_function(function: Any, vjp: Any, shape: Any) -> Callable:
    """See `jitgrad.from_njit`."""
    names = _parameters(_checked(function, "from_njit").py_func)
    if shape is not None and not callable(shape):
        raise TypeError(
            f"shape must be a function from the shapes of the arguments to that of the result, not {type(shape).__name__}"
        )
    name = function.__name__
    results = _Results(name, _as_arrays(function, names), shape)
    backward = None if vjp is None else _packed(_checked(vjp, "vjp"), name, names)
    return _caller(_array_op(_Code(name, names, results.run, results.of, backward), ()), function)


class _Code(NamedTuple):
    """A function of arrays and numbers: how it is run, shape and dtype of its result for rows, and its vjp, if it has one."""

    name: str
    names: Sequence[str]
    run: Callable
    shape: Callable
    backward: _Code | None


Mask = tuple[bool, ...]


def _array_op(code: _Code, masks: tuple[Mask, ...]) -> Op:
    """The op of a function of arrays, for one example or, with `masks`, for many of many (the outermost first): these say in
    which inputs the examples differ."""
    why = _NO_DERIVATIVE if code.name.startswith("vjp_of_") else f"{code.name} was wrapped by from_njit without a vjp"

    def pullback(sweep: Any, row: Row, g: Any, values: Sequence[Any]) -> list:
        assert code.backward is not None
        inputs = [v if isinstance(v, Handle) else make(Tensor, v, None) for v in (g, *values)]
        packed = apply(_array_op(code.backward, tuple([(True, *mask) for mask in masks])), inputs)
        parts: list[Any] = []
        at = 0
        for i, x in enumerate(row.inputs):
            if not is_floating(x.dtype):
                parts.append(None)
                continue
            shared = tuple([level for level, mask in enumerate(masks) if not mask[i]])
            shape = x.shape[len(masks) - len(shared) :]
            size = math.prod(shape)
            part = packed[..., at : at + size].reshape((*packed.shape[:-1], *shape))
            part = part.sum(shared) if shared else part
            parts.append(part if sweep.recorded else part._value)
            at += size
        return parts

    op = Op(
        _for_many(code.run, code.shape, masks),
        kind="njit",
        inputs=tuple(code.names),
        method=False,
        shape=_shape_of_many(code.shape, masks),
        checks=lambda row: row.inputs,
        pullback=None if code.backward is None else pullback,
        d=(todo(why),) * len(code.names),
    )

    def batched(row: Row, operands: Sequence[Any], size: int) -> Any:
        mask = tuple([isinstance(x, Batch) for x in operands])
        return apply(_array_op(code, (mask, *masks)), [x.value if isinstance(x, Batch) else x for x in operands])

    op.name, op.batch = code.name, batched
    return op


def _for_many(run: Callable, shape: Callable, masks: tuple[Mask, ...]) -> Callable:
    """The function for one example after the other."""
    if not masks:
        return run
    mask, one, whole = masks[0], _for_many(run, shape, masks[1:]), _shape_of_many(shape, masks)

    def many(*xs: Any) -> Any:
        count = _count(xs, mask)
        found = [one(*[x[i] if differs else x for x, differs in zip(xs, mask)]) for i in range(count)]
        return np.stack(found) if found else np.empty(*whole(*xs))

    return many


def _shape_of_many(shape: Callable, masks: tuple[Mask, ...]) -> Callable:
    """The shape rule for many examples."""
    if not masks:
        return shape
    mask, one = masks[0], _shape_of_many(shape, masks[1:])

    def many(*xs: Any) -> Spec:
        found = one(*[Spec(x.shape[1:], x.dtype) if differs else x for x, differs in zip(xs, mask)])
        return Spec((_count(xs, mask), *found.shape), found.dtype)

    return many


def _count(xs: Sequence[Any], mask: Mask) -> int:
    return next(x.shape[0] for x, differs in zip(xs, mask) if differs)


def _as_arrays(function: Any, names: Sequence[str]) -> Any:
    """The function as `@njit` code with a result that is an array or a NumPy number, of the dtype that it has there."""
    given = ", ".join(names)
    scope: dict[str, Any] = {"function": function, "asarray": np.asarray}
    exec(f"def typed({given}): return asarray(function({given}))", scope)
    return numba.njit(scope["typed"])


def _copies(xs: Sequence[Any]) -> list[Any]:
    """Arrays of their own, in C order: what the function writes into them, or returns of them, is nobody else's."""
    return [np.array(x, order="C") if np.ndim(x) else x for x in xs]


MOST_SHAPES = 1024


class _Results:
    """What a function of arrays gives, and what is known of that before it is run in earnest: dtype and dimensions from Numba's
    types; the shape from the user's rule, or from the values of the call that is being recorded, on which it is run once."""

    def __init__(self, name: str, typed: Any, rule: Callable | None) -> None:
        self.name, self.typed, self.rule = name, typed, rule
        self.known: dict[tuple, Spec] = {}

    def run(self, *xs: Any) -> Any:
        """The result for arrays and numbers."""
        try:
            return self.typed(*_copies(xs))[()]
        except TypingError as error:
            self._refuse_tuple(error)
            raise

    def _refuse_tuple(self, error: TypingError) -> None:
        """TypeError, if Numba's error comes of a function that returns a tuple."""
        made = self.typed.py_func.__globals__["function"].overloads.values()
        if any(isinstance(code.signature.return_type, types.BaseTuple) for code in made):
            raise TypeError(
                f"{self.name} returns a tuple: from_njit takes functions that return one array or number, so put the "
                "parts in one array, or wrap a function for each"
            ) from error

    def of(self, *xs: Any) -> Spec:
        """Shape and dtype of the result for rows."""
        key = tuple([(x.shape, x.dtype) for x in xs])
        found = self.known.get(key)
        if found is None:
            found = self._found(xs)
            while len(self.known) >= MOST_SHAPES:
                self.known.pop(next(iter(self.known)), None)
            self.known[key] = found
        return found

    def _found(self, xs: Sequence[Any]) -> Spec:
        kinds = tuple([types.Array(from_dtype(x.dtype), len(x.shape), "C") if x.shape else from_dtype(x.dtype) for x in xs])
        try:
            self.typed.compile(kinds)
        except TypingError as error:
            self._refuse_tuple(error)
            raise
        result = self.typed.overloads[kinds].signature.return_type
        dtype = as_dtype(result.dtype)
        if not result.ndim:
            return Spec((), dtype)
        if self.rule is not None:
            shape = tuple(self.rule(*[tuple(x.shape) for x in xs]))
            if len(shape) != result.ndim:
                raise ValueError(f"the shape rule of {self.name} gives {shape}, and its result has {result.ndim} dimensions")
            return Spec(shape, dtype)
        trace = current_trace.get()
        with np.errstate(all="ignore"):
            values = [trace.example(x) if trace is not None and isinstance(x, Row) else None for x in xs]
        if any(value is None for value in values):
            raise TypeError(
                f"the shape of what {self.name} returns is not known where its arguments have no values: say "
                "how it follows from their shapes, as in jitgrad.from_njit(shape=lambda a: a)"
            )
        try:
            return Spec(self.run(*values).shape, dtype)
        except Exception as error:
            error.add_note(
                f"{self.name} was run while it is recorded, to find the shape of its result; with "
                "jitgrad.from_njit(shape=...) that is not done"
            )
            raise


def _packed(vjp: Any, name: str, names: Sequence[str]) -> _Code:
    """What runs a vjp: the cotangents of the floating inputs, one after another in one array."""

    def run(g: Any, *xs: Any) -> Any:
        found = vjp(*_copies((g, *xs)))
        parts = found if isinstance(found, tuple) else (found,)
        if len(parts) != len(xs):
            raise TypeError(f"the vjp of {name} must return {len(xs)} cotangents, one for each argument, not {len(parts)}")
        kept = []
        for x, part in zip(xs, parts):
            if is_floating(x.dtype):
                if np.shape(part) != x.shape:
                    raise RuntimeError(
                        f"the vjp of {name} returned a cotangent of shape {np.shape(part)} for an argument of shape {x.shape}"
                    )
                kept.append(np.ravel(part))
        return np.concatenate(kept).astype(g.dtype, copy=False)

    def shape(g: Any, *xs: Any) -> Spec:
        return Spec((sum(math.prod(x.shape) for x in xs if is_floating(x.dtype)),), g.dtype)

    return _Code(f"vjp_of_{name}", ("g", *names), run, shape, None)
