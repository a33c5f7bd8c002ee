"""`elementwise` and `from_njit`: the user's own `@njit` functions as operations. Numba comes with their first use."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from jitgrad.base.signals import importing


def elementwise(function: Any = None, *, derivative: Any = None) -> Callable:
    """A scalar `@njit` function as an operation on tensors, element by element; it broadcasts, and compiled loops call it.

    `derivative` takes the same arguments and gives the partial derivative, a tuple of them if there are several
    arguments: either a function written in jitgrad's operations, which is differentiated again for higher derivatives, or
    a scalar `@njit` function, which is not (`HoleError`). Without it, the derivative is that of the operations that the
    Python function records: arithmetic, `math` and NumPy functions, no branches (`TypeError` if it cannot be recorded).
    It is computed in float64 and rounded to the dtype of the arguments; exceptions in it do not arrive.

    >>> import jitgrad, math, numba
    >>> @jitgrad.elementwise
    ... @numba.njit
    ... def bump(x):
    ...     return math.exp(-x * x)
    >>> jitgrad.value_and_grad(lambda x: bump(x).sum())(jitgrad.tensor([0.0, 1.0]))
    (tensor(1.3679), tensor([-0.0000, -0.7358]))
    """
    if function is None:
        return functools.partial(elementwise, derivative=derivative)
    with importing("jitgrad.func.njit_scalars"):
        from jitgrad.func.njit_scalars import scalar_function

    return scalar_function(function, derivative)


def from_njit(function: Any = None, *, vjp: Any = None, shape: Any = None) -> Callable:
    """An `@njit` function of arrays and numbers, with one array or number as its result, as an operation on tensors.

    `vjp(g, *arguments)`, an `@njit` function too, takes the cotangent of the result to those of the arguments: an array
    of the shape of the argument, or a tuple with one for each argument (what it gives for integer arguments is not
    looked at). Without it, asking for a gradient raises `HoleError`; so do second derivatives. Arrays come in C order.

    Under `jit` the function is called between the compiled loops, and its result must have a shape that depends on the shapes
    of the arguments alone: `shape=lambda *shapes: ...` gives it; without, the function is run once more while the call that is
    recorded goes on, on its values (for `vmap` on those of the first example).

    >>> import jitgrad, numba, numpy
    >>> @numba.njit
    ... def back(g, x):
    ...     return g[::-1].cumsum()[::-1].copy()
    >>> @jitgrad.from_njit(vjp=back)
    ... @numba.njit
    ... def running(x):
    ...     return x.cumsum()
    >>> jitgrad.grad(lambda x: (running(x) ** 2).sum())(jitgrad.tensor([1.0, 2.0]))
    tensor([8., 6.])
    """
    if function is None:
        return functools.partial(from_njit, vjp=vjp, shape=shape)
    with importing("jitgrad.func.from_njit"):
        from jitgrad.func.from_njit import array_function

    return array_function(function, vjp, shape)
