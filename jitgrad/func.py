"""Transforms of functions: `grad` and `value_and_grad`.

There is no inner tape to nest: the arguments get fresh rows, the function runs (on values, or on the tape that `jit`
traces), and the reverse sweep goes from its result to those rows. What the function closes over is part of the same
graph, so gradients of gradients and closures over traced values are right without further machinery.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.functions.creation import zeros_like
from jitgrad.functions.data import as_tensor
from jitgrad.handle import make, own_memory, requires
from jitgrad.jit import compilable
from jitgrad.ops.elementwise import alias, cast
from jitgrad.record import apply, current_trace, grad_mode
from jitgrad.reverse import reverse
from jitgrad.tape import Leaf, Row
from jitgrad.tensor import Tensor
from jitgrad.tree import flatten, unflatten


def value_and_grad(function: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable:
    """A function that returns `(value, gradient)` of a scalar `function` in the arguments at `argnums`.

    Arguments may be tensors, arrays, numbers and nested tuples, lists and dicts of them; the gradient has the same
    structure, a tuple of such if `argnums` is a tuple. With `has_aux` the function returns `(value, aux)` and the
    result is `((value, aux), gradient)`. Raises `RuntimeError` if the value is not a scalar, `TypeError` if it is not a
    floating tensor or an argument cannot be differentiated.

    >>> import jitgrad
    >>> jitgrad.value_and_grad(lambda x: x ** 3)(jitgrad.tensor(2.0))
    (tensor(8.), tensor(12.))
    """
    where = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    @functools.wraps(function)
    def transformed(*args: Any, **kwargs: Any) -> Any:
        if any(not -len(args) <= i < len(args) for i in where):
            raise ValueError(f"argnums={argnums}, but the function was called with {len(args)} positional arguments")
        outer = grad_mode.get()
        token = grad_mode.set(True)
        try:
            fresh, ends, structures = list(args), [], []
            for i in where:
                leaves: list[Any] = []
                structures.append(flatten(args[i], leaves))
                inner = [_fresh(leaf, i) for leaf in leaves]
                ends.append(inner)
                fresh[i] = unflatten(structures[-1], iter(inner))
            result = function(*fresh, **kwargs)
            value, aux = _split(result, has_aux)
            wanted = {x._row for inner in ends for x in inner}
            grads = _gradients(value, ends, wanted, outer)
            value = _outside(value, wanted, outer)
        finally:
            grad_mode.reset(token)
        trees = [unflatten(s, iter(g)) for s, g in zip(structures, grads)]
        gradient = trees[0] if isinstance(argnums, int) else tuple(trees)
        return ((value, aux) if has_aux else value), gradient

    return compilable(transformed)


def grad(function: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable:
    """A function that returns the gradient of a scalar `function`; with `has_aux` the pair (gradient, aux).

    >>> import jitgrad
    >>> jitgrad.grad(jitgrad.grad(lambda x: x ** 3))(jitgrad.tensor(2.0))
    tensor(12.)
    """
    both = value_and_grad(function, argnums, has_aux)

    @functools.wraps(function)
    def transformed(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return compilable(transformed)


def _fresh(leaf: Any, argument: int) -> Tensor:
    """A tensor with the value of `leaf` and a row of its own, behind which the sweep does not look."""
    if not isinstance(leaf, Tensor):
        try:
            leaf = as_tensor(float(leaf) if isinstance(leaf, int) and not isinstance(leaf, bool) else leaf)
        except TypeError as error:
            raise TypeError(f"argument {argument} cannot be differentiated: {error}") from None
    trace = current_trace.get()
    if trace is not None and leaf._row in trace.numbers:  # a Python number becomes a tensor, as without jit
        leaf = apply(cast, (leaf,), {"dtype": dtypes.default()})
    held = leaf._held
    if not dtypes.is_floating(held.dtype):
        raise TypeError(f"argument {argument} is {dtypes.of(held.dtype).name}, and gradients exist for floating dtypes "
                        "only: convert it, or leave it out of argnums")  # fmt: skip
    if leaf._value is not None and current_trace.get() is not None:  # what it meets has no value, nor has it then
        leaf = make(Tensor, None, current_trace.get().capture(leaf))  # type: ignore[union-attr]
    out = make(Tensor, leaf._value, None)
    if leaf._value is None:
        row = Row(alias, (leaf._row,), {}, leaf._row.shape, leaf._row.dtype, True)
        if trace is not None:
            trace.rows.add(row)
        out._row = row
        return out
    if isinstance(leaf._value, np.ndarray):
        out._storage = own_memory(leaf)
    if requires(leaf):
        out._row = Row(alias, (leaf._row,), {}, held.shape, held.dtype, True, alias.plan((True,)), ())
    else:
        out._row = Leaf(held.shape, held.dtype, True)
    return out


def _split(result: Any, has_aux: bool) -> tuple[Any, Any]:
    if not has_aux:
        value, aux = result, None
    elif isinstance(result, tuple) and len(result) == 2:
        value, aux = result
    else:
        raise TypeError(f"with has_aux=True the function must return (value, aux), not {type(result).__name__}")
    if not isinstance(value, Tensor):
        raise TypeError(f"the function must return a tensor, not {type(value).__name__}")
    held = value._held
    if int(np.prod(held.shape)) != 1:
        raise RuntimeError(f"the function must return a scalar to have a gradient, and it returned shape {list(held.shape)}: "
                           "reduce it, as with .sum() or .mean()")  # fmt: skip
    if not dtypes.is_floating(held.dtype):
        raise TypeError(f"the function returned {dtypes.of(held.dtype).name}, and gradients exist for floating dtypes only")
    return value, aux


def _gradients(value: Tensor, ends: list[list[Tensor]], wanted: set[Row], outer: bool) -> list[list[Tensor]]:
    """The gradients, recorded if somebody outside may differentiate again or a trace is recording."""
    traced = value._value is None
    recorded = traced or (outer and _reaches_outside(value, wanted))
    held = value._held
    found: dict[Row, Any] = {}
    if requires(value) or value._row in wanted:
        one: Any = held.dtype.type(1) if not held.shape else np.ones(held.shape, held.dtype)
        trace = current_trace.get()
        if traced and trace is not None:
            one = make(Tensor, None, trace.constant(one))
        seed = make(Tensor, one, None) if recorded and not traced else one
        token = grad_mode.set(recorded)
        try:
            with np.errstate(all="ignore"):
                found = reverse({value._row: seed}, wanted, cls=Tensor, recorded=recorded, retain=recorded)
        finally:
            grad_mode.reset(token)
    return [[_arrived(found.get(x._row), x) for x in part] for part in ends]


def _arrived(g: Any, x: Tensor) -> Tensor:
    if g is None:  # the value does not depend on x
        return zeros_like(x)
    return g if isinstance(g, Tensor) else make(Tensor, g, None)


def _reaches_outside(value: Tensor, wanted: set[Row]) -> bool:
    """Whether the value also depends on something that requires grad outside of the arguments."""
    waiting, seen = [value._row] if value._row is not None else [], set()
    while waiting:
        row = waiting.pop()
        if row in seen or not row.requires:
            continue
        seen.add(row)
        if row in wanted:
            if row.inputs:
                return True
        elif not row.inputs:
            return True
        waiting.extend(row.inputs)
    return False


def _outside(value: Tensor, wanted: set[Row], outer: bool) -> Tensor:
    """The value; without its history if that leads to the fresh rows alone."""
    if value._value is None or (outer and _reaches_outside(value, wanted)):
        return value
    return make(Tensor, value._value, None)
