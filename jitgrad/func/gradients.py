"""`grad`, `value_and_grad` and `vjp`: derivatives of functions by the reverse sweep."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from jitgrad import dtypes
from jitgrad.autograd.gradients import seed
from jitgrad.base.tree import flatten, shown
from jitgrad.calls.options import with_options
from jitgrad.func.point import Point, as_seed, one
from jitgrad.functions.creation import zeros_like
from jitgrad.jitted.jit import compilable
from jitgrad.tape.handle import make
from jitgrad.tensors.tensor import Tensor


def places(argnums: int | tuple[int, ...], count: int) -> tuple[int, ...]:
    """`argnums` as a tuple; `TypeError` if it is none of ints, `ValueError` if the function was called with fewer arguments."""
    where = argnums if isinstance(argnums, (tuple, list)) else (argnums,)
    if not all(hasattr(i, "__index__") for i in where):
        raise TypeError(f"argnums must be an int or a tuple of ints, not {argnums!r}")
    if any(not -count <= i < count for i in where):
        raise ValueError(f"argnums={argnums}, but the function was called with {count} positional arguments")
    if len({i % count for i in where}) != len(where):
        raise ValueError(f"argnums={argnums} names an argument twice: each may appear once")
    return tuple(where)


@with_options
def value_and_grad(func: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable:
    """A function that returns `(value, gradient)` of a scalar `func` in the arguments at `argnums`.

    Arguments may be tensors, arrays, numbers and nested tuples, lists, dicts and dataclasses of them; the gradient has the
    same structure, a tuple of such if `argnums` is a tuple. With `has_aux` the function returns `(value, aux)` and the
    result is `((value, aux), gradient)`. Raises `RuntimeError` if the value is not a scalar, `TypeError` if it is not a
    floating tensor or an argument cannot be differentiated.

    >>> import jitgrad
    >>> jitgrad.value_and_grad(lambda x: x ** 3)(jitgrad.tensor(2.0))
    (tensor(8.), tensor(12.))
    """

    @functools.wraps(func)
    def transformed(*args: Any, **kwargs: Any) -> Any:
        point = Point(func, args, kwargs, places(argnums, len(args)), has_aux)
        gradient = point.grouped(point.pull([_scalar_one(point)], again=False))
        value = (point.value(), point.aux) if has_aux else point.value()
        return value, gradient[0] if isinstance(argnums, int) else tuple(gradient)

    return compilable(transformed)


@with_options
def grad(func: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable:
    """A function that returns the gradient of a scalar `func`; with `has_aux` the pair (gradient, aux).

    Arguments, results and errors are as in `value_and_grad`.

    >>> import jitgrad
    >>> jitgrad.grad(jitgrad.grad(lambda x: x ** 3))(jitgrad.tensor(2.0))
    tensor(12.)
    """
    both = value_and_grad(func, argnums, has_aux)

    @functools.wraps(func)
    def transformed(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return compilable(transformed)


@with_options
def grad_and_value(func: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable:
    """`value_and_grad` by torch.func's name, with the gradient first: `(gradient, value)`, or `(gradient, (value, aux))`."""
    both = value_and_grad(func, argnums, has_aux)
    return functools.wraps(func)(lambda *args, **kwargs: both(*args, **kwargs)[::-1])


def vjp(func: Callable, *primals: Any, has_aux: bool = False) -> tuple:
    """`(value, pull)`: the result at `primals`, and the function that takes a cotangent of it to those of the primals.

    `pull(cotangent)` gives a tuple with one entry a primal; the cotangent is nested like the result, with the same shapes.
    It may be called again and under any transform. With `has_aux` the result is `(value, pull, aux)`.
    Raises `RuntimeError` if cotangents do not fit, `TypeError` for what cannot be differentiated.

    >>> import jitgrad
    >>> value, pull = jitgrad.vjp(lambda x, y: x * y, jitgrad.tensor(2.0), jitgrad.tensor(3.0))
    >>> pull(jitgrad.tensor(1.0))
    (tensor(3.), tensor(2.))
    """
    if not primals:
        raise TypeError("vjp needs the arguments of the function: vjp(f, x, y)")
    point = Point(func, primals, {}, range(len(primals)), has_aux)

    def pull(given: Any) -> tuple:
        return tuple(point.grouped(point.pull(cotangents(point, given))))

    return (point.value(), pull, point.aux) if has_aux else (point.value(), pull)


def _scalar_one(point: Point) -> Tensor:
    """The cotangent 1 of the one output, after checking that it is a floating scalar."""
    if point.structure is not None:
        raise TypeError(
            f"the function must return a tensor, not {shown(point.structure)}: with has_aux=True it may return "
            "(value, anything else)"
        )
    (value,) = point.outputs
    held = value._held
    if math.prod(held.shape) != 1:
        raise RuntimeError(
            f"the function must return a scalar to have a gradient, and it returned shape {list(held.shape)}: "
            "reduce it, as with .sum() or .mean(), or ask for jacrev"
        )
    if not dtypes.has_gradient(held.dtype):
        raise TypeError(f"the function returned {dtypes.of(held.dtype).name}, and gradients exist for floating dtypes only")
    if held.dtype.kind == "c":
        raise RuntimeError(
            f"the function returned {dtypes.of(held.dtype).name}, and gradients are of real values: take vjp, or .real"
        )
    return one(value)


def cotangents(point: Point, given: Any) -> list[Tensor]:
    """A cotangent for each output, checked."""
    leaves: list[Any] = []
    structure = flatten(given, leaves)
    if structure != point.structure:
        raise RuntimeError(
            f"the cotangent is nested as {shown(structure)}, and the result that it belongs to as "
            f"{shown(point.structure)}: they must be alike"
        )
    found = []
    for y, g in zip(point.outputs, leaves):
        if not y.dtype.has_gradient:
            found.append(zeros_like(y))
            continue
        found.append(_as_handle(seed(y, as_seed(g, y))))
    return found


def _as_handle(g: Any) -> Tensor:
    return g if isinstance(g, Tensor) else make(Tensor, g, None)
