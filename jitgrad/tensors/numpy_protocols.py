"""NumPy's protocols: `np.sin(tensor)` and `array * tensor` record like `tensor.sin()` and `tensor * array`.

The rule: what jitgrad has as an operation is that operation, and gives a tensor. Every other function of NumPy (or one with
arguments that the operation lacks: `where=`, `out=`) runs as NumPy's own and gives what NumPy gives, on tensors that have a
value and do not require grad; with others it is a `TypeError`.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.base.namespaces import Namespace
from jitgrad.base.tree import flatten, unflatten
from jitgrad.ops import TABLE
from jitgrad.ops.ufuncs import OF_OPERATORS
from jitgrad.record.apply import apply
from jitgrad.record.checking import RAW, is_meant, told
from jitgrad.record.weak import are_numbers, made_of_numbers, number, of_numpy
from jitgrad.tape.handle import Handle

UFUNCS: dict[Any, Any] = {np.reciprocal: TABLE["reciprocal"]}
for _op in TABLE.values():
    if _op.elementwise and _op.ufunc is not None:
        UFUNCS[_op.ufunc] = _op

_BETWEEN = frozenset({np.floor_divide, np.remainder, *[ufunc for ufunc in OF_OPERATORS.values() if ufunc.nin == 2]})

_HOMES = ("numpy", "np."), ("scipy.special", "scipy.special.")  # where ufuncs are found, and how they are named

FUNCTIONS = Namespace()
"""Public functions by name, filled by `jitgrad.functions`."""

NUMPY = Namespace()
"""NumPy's functions by name, with NumPy's arguments, filled by `jitgrad.functions`; what `np.sum(tensor)` finds."""


def _reciprocal(x: Any) -> Any:
    return of_numpy(np.reciprocal, TABLE["reciprocal"], (x,)) if dtypes.has_gradient(x._held.dtype) else NotImplemented


_COMPOSED: dict[Any, Callable] = {
    np.matmul: lambda *inputs: FUNCTIONS["matmul"](*inputs),
    np.reciprocal: _reciprocal,
    np.divmod: lambda *inputs: (np.floor_divide(*inputs), np.remainder(*inputs)),
}
"""Functions that are no one row; NotImplemented is what is left to NumPy itself."""

_COMPARISONS = frozenset({np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal})


def array_ufunc(self: Any, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """`ufunc(*inputs)`: as a recorded operation where the op table has it, else as NumPy's own; see `_plain`."""
    if ufunc in _COMPARISONS:  # `np.float64(0.1) < tensor` comes as an array, and means what `tensor > np.float64(0.1)` does
        inputs = tuple([x[()] if x.__class__ is np.ndarray and not x.ndim else x for x in inputs])
    known = method == "__call__" and (ufunc in UFUNCS or ufunc in _COMPOSED)
    if known and not kwargs:
        out = _COMPOSED[ufunc](*inputs) if ufunc in _COMPOSED else of_numpy(ufunc, UFUNCS[ufunc], _fitting(ufunc, inputs))
        if out is not NotImplemented:
            return out
    home = next((short for module, short in _HOMES if getattr(sys.modules.get(module), ufunc.__name__, None) is ufunc), "")
    name = f"{home}{ufunc.__name__}{'' if method == '__call__' else '.' + method}"
    return _plain(name, known, getattr(ufunc, method), inputs, kwargs)


def _fitting(ufunc: Any, inputs: tuple) -> tuple:
    """The operands of a function of NumPy in the dtypes that NumPy computes in where none of them is of floats: `np.exp` of
    integers is in float64, as `Tensor.exp` is in the default dtype. Operators promote alike in either order."""
    kinds = [_kind(x) for x in inputs]
    if ufunc in _BETWEEN or are_numbers(*inputs) or any(_has_floats(kind) for kind in kinds):
        return inputs
    try:
        wanted = ufunc.resolve_dtypes((*kinds, *[None] * ufunc.nout))
    except TypeError:  # which the operation says in its own words
        return inputs
    cast = TABLE["cast"]
    return tuple(
        [
            apply(cast, (x,), {"dtype": dtype}) if isinstance(kind, np.dtype) and isinstance(x, Handle) and kind != dtype else x
            for x, kind, dtype in zip(inputs, kinds, wanted)
        ]
    )


def _kind(x: Any) -> Any:
    """What NumPy asks of an operand: a dtype, or the type of one of Python's numbers, which has no dtype of its own."""
    found = number(x)
    if found is not None:
        return np.dtype(found.kind) if issubclass(found.kind, np.generic) else found.kind
    return x._held.dtype if isinstance(x, Handle) else np.asarray(x).dtype


def _has_floats(kind: Any) -> bool:
    return isinstance(kind, np.dtype) and dtypes.is_known(kind) and dtypes.has_gradient(kind)


def array_function(self: Any, function: Callable, types: Any, args: Any, kwargs: Any) -> Any:
    """`np.function(tensor)`: as a recorded operation if there is one that takes these arguments, else as NumPy's own."""
    found = NUMPY.get(function.__name__)
    if kwargs and found is not None:
        kwargs = {key: value for key, value in kwargs.items() if key != "out" or value is not None}
    if found is not None and _PARAMETERS[found].issuperset(kwargs):
        try:
            out = found(*args, **kwargs)
        except RAW as error:
            name = f"np.{function.__name__}"
            raise told(function, error, args, kwargs, name) from (None if is_meant(error) else error)
        if out is not NotImplemented:
            return out if kwargs else made_of_numbers(function, out, args)
    name = f"{function.__module__.replace('numpy', 'np', 1)}.{function.__name__}"
    return _plain(name, found is not None, function, args, kwargs)


class _Parameters(dict[Callable, frozenset[str]]):
    """The names of the parameters of a function, looked up once."""

    def __missing__(self, function: Callable) -> frozenset[str]:
        found = self[function] = frozenset(inspect.signature(function).parameters)
        return found


_PARAMETERS = _Parameters()


def _plain(name: str, is_operation: bool, call: Callable, args: Any, kwargs: Any) -> Any:
    """What is no operation of jitgrad runs as NumPy's own, on the arrays of tensors that no gradient can be asked of.

    Tensors that require grad are refused, since their gradient would end there, and those without a value as well.
    """
    leaves: list[Any] = []
    structure = flatten((args, kwargs), leaves)
    tensors = [x for x in leaves if isinstance(x, Handle)]
    what = f"{name} with {', '.join(kwargs)}" if is_operation and kwargs else name
    if any(x._value is None for x in tensors):
        tensors[[x._value is None for x in tensors].index(True)]._concrete(what)  # type: ignore[attr-defined]
    if any(x.requires_grad for x in tensors):  # type: ignore[attr-defined]
        raise TypeError(
            f"{what} is not an operation of jitgrad, and through NumPy's own function no gradient flows to a tensor that "
            "requires it: write it in jitgrad's operations, or give a function of yours its derivative with jitgrad.custom_vjp "
            "or jitgrad.from_njit; where it is a constant of the computation, pass tensor.detach()"
        )
    given = iter([x.numpy() if isinstance(x, Handle) else x for x in leaves])  # type: ignore[attr-defined]
    args, kwargs = unflatten(structure, given)
    return call(*args, **kwargs)


def numba_type(tensor: Any) -> Any:
    """What Numba asks of an argument that it does not know (`_numba_type_`); Numba is imported only by those who use it."""
    from jitgrad.tensors.in_numba import type_of_tensor

    return type_of_tensor(tensor)
