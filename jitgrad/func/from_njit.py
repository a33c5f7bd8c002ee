"""The user's own `@njit` functions as operations: `elementwise` for scalar functions, `from_njit` for those of arrays.

`func.elementwise` has the public functions, so that Numba is imported only by those who use them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import types
from numba.core.errors import TypingError
from numba.np.numpy_support import as_dtype, from_dtype

from jitgrad.dtypes import has_gradient
from jitgrad.func.njit_scalars import _NO_DERIVATIVE, _caller, _checked, _parameters
from jitgrad.ops.shapes import Spec
from jitgrad.ops.table import Op, todo
from jitgrad.passes.batch import Batch
from jitgrad.record.apply import apply
from jitgrad.record.trace import current_trace
from jitgrad.tape.handle import Handle, make
from jitgrad.tape.row import Row
from jitgrad.tensors.tensor import Tensor

# Scalar functions.


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
    backward = None if vjp is None else _backward(_checked(vjp, "vjp"), name, names)
    code = _Code(name, names, lambda *xs: (results.run(*xs),), lambda *xs: (results.of(*xs),), False, backward)
    return _caller(_array_op(code, ()), function)


class _Code(NamedTuple):
    """A function of arrays and numbers: how it is run, shapes and dtypes of its results for rows, whether these are `several` or
    one alone, and its vjp, if it has one."""

    name: str
    names: Sequence[str]
    run: Callable
    shape: Callable
    several: bool
    backward: _Code | None


Mask = tuple[bool, ...]


def _array_op(code: _Code, masks: tuple[Mask, ...]) -> Op:
    """The op of a function of arrays, for one example or, with `masks`, for many of many (the outermost first): these say in
    which inputs the examples differ."""
    why = _NO_DERIVATIVE if code.name.startswith("vjp_of_") else f"{code.name} was wrapped by from_njit without a vjp"

    def pullback(sweep: Any, row: Row, g: Any, values: Sequence[Any]) -> list:
        assert code.backward is not None
        inputs = [v if isinstance(v, Handle) else make(Tensor, v, None) for v in (g, *values)]
        found = iter(apply(_array_op(code.backward, tuple([(True, *mask) for mask in masks])), inputs))
        parts: list[Any] = []
        for i, x in enumerate(row.inputs):
            if not has_gradient(x.dtype):
                parts.append(None)
                continue
            shared = tuple([level for level, mask in enumerate(masks) if not mask[i]])
            part = next(found)
            part = part.sum(shared) if shared else part
            parts.append(part if sweep.recorded else part._value)
        return parts

    run, shape = _for_many(code.run, code.shape, masks), _shape_of_many(code.shape, masks)
    op = Op(
        run if code.several else lambda *xs: run(*xs)[0],
        kind="njit",
        inputs=tuple(code.names),
        several=code.several,
        method=False,
        shape=shape if code.several else lambda *xs: shape(*xs)[0],
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
        return [np.stack(many) for many in zip(*found)] if found else [np.empty(*spec) for spec in whole(*xs)]

    return many


def _shape_of_many(shape: Callable, masks: tuple[Mask, ...]) -> Callable:
    """The shape rule of the results for many examples."""
    if not masks:
        return shape
    mask, one = masks[0], _shape_of_many(shape, masks[1:])

    def many(*xs: Any) -> list[Spec]:
        found = one(*[Spec(x.shape[1:], x.dtype) if differs else x for x, differs in zip(xs, mask)])
        return [Spec((_count(xs, mask), *spec.shape), spec.dtype) for spec in found]

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
            return np.asarray(self.typed(*_copies(xs)), order="C")[()]
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


def _backward(vjp: Any, name: str, names: Sequence[str]) -> _Code:
    """What runs a vjp: the cotangents of the floating inputs."""

    def run(g: Any, *xs: Any) -> list[Any]:
        found = vjp(*_copies((g, *xs)))
        parts = found if isinstance(found, tuple) else (found,)
        if len(parts) != len(xs):
            raise TypeError(f"the vjp of {name} must return {len(xs)} cotangents, one for each argument, not {len(parts)}")
        kept = []
        for x, part in zip(xs, parts):
            if has_gradient(x.dtype):
                if np.shape(part) != x.shape:
                    raise RuntimeError(
                        f"the vjp of {name} returned a cotangent of shape {np.shape(part)} for an argument of shape {x.shape}"
                    )
                kept.append(np.array(part, x.dtype, order="C")[()])
        return kept

    def shape(g: Any, *xs: Any) -> list[Spec]:
        return [Spec(x.shape, x.dtype) for x in xs if has_gradient(x.dtype)]

    return _Code(f"vjp_of_{name}", ("g", *names), run, shape, True, None)
