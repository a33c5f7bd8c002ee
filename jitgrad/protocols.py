"""NumPy's protocols: `np.sin(tensor)` and `array * tensor` record like `tensor.sin()` and `tensor * array`."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.leaving import plain_numpy
from jitgrad.ops import TABLE
from jitgrad.record import apply

_OPERATORS = {
    operator.add: np.add, operator.sub: np.subtract, operator.mul: np.multiply, operator.truediv: np.divide,
    operator.pow: np.power, operator.neg: np.negative, operator.abs: np.absolute, operator.eq: np.equal,
    operator.ne: np.not_equal, operator.lt: np.less, operator.le: np.less_equal, operator.gt: np.greater,
    operator.ge: np.greater_equal, operator.and_: np.bitwise_and, operator.or_: np.bitwise_or,
    operator.xor: np.bitwise_xor, operator.invert: np.invert,
}  # fmt: skip

UFUNCS: dict[Any, Any] = {np.reciprocal: TABLE["reciprocal"], np.matmul: None}
for _op in TABLE.values():
    if _op.kind == "elementwise":
        _key = _OPERATORS.get(_op.run, getattr(_op.run, "ufunc", _op.run))
        if isinstance(_key, np.ufunc):
            UFUNCS[_key] = _op

FUNCTIONS: dict[str, Callable] = {}
"""Public functions by name, filled by `jitgrad.functions`."""

NUMPY: dict[str, Callable] = {}
"""NumPy's functions by name, with NumPy's arguments, filled by `jitgrad.functions`; what `np.sum(tensor)` finds."""


def array_ufunc(self: Any, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """`ufunc(*inputs)` as a recorded operation; TypeError for what has no row in the op table."""
    if method != "__call__" or kwargs or ufunc not in UFUNCS:
        raise TypeError(f"np.{ufunc.__name__} {'' if method == '__call__' else method + ' '}is not an operation of "
                        f"jitgrad{' with ' + ', '.join(kwargs) if kwargs else ''}: {plain_numpy((inputs, kwargs))}")  # fmt: skip
    if UFUNCS[ufunc] is None:
        return FUNCTIONS["matmul"](*inputs)
    return apply(UFUNCS[ufunc], inputs)


def array_function(self: Any, function: Callable, types: Any, args: Any, kwargs: Any) -> Any:
    """`np.function(tensor)` as a recorded operation; TypeError if there is none."""
    found = NUMPY.get(function.__name__)
    if found is None:
        raise TypeError(f"np.{function.__name__} is not an operation of jitgrad: {plain_numpy((args, kwargs))}")
    return found(*args, **kwargs)


def numba_type(tensor: Any) -> Any:
    """What Numba asks of an argument that it does not know (`_numba_type_`); Numba is imported only by those who use it."""
    from jitgrad.numba_tensor import type_of_tensor

    return type_of_tensor(tensor)
