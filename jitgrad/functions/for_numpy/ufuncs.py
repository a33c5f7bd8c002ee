"""NumPy's ufuncs that are no one row, and what every ufunc does besides: `reduce`, `accumulate`, `reduceat`, `outer`, `at`."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from jitgrad.functions import elementwise, indexing, scattering, shaping
from jitgrad.functions.for_numpy.naming import (
    NOT_GIVEN,
    NUMPY,
    ROW,
    at_the_end,
    axes_of,
    cast,
    named,
    no_bools,
    of_parts,
    one_axis,
    over,
    same_dtype,
    start,
    tensor_of,
    with_axes,
)
from jitgrad.functions.for_numpy.reductions import chosen
from jitgrad.ops import TABLE
from jitgrad.record.weak import of_numpy
from jitgrad.tensors.tensor import Tensor

# Ufuncs of several rows.


@named("reciprocal")
def _reciprocal(x: Any, /) -> Any:
    if x.dtype.has_gradient:
        return of_numpy(np.reciprocal, TABLE["reciprocal"], (x,))
    return NotImplemented if x.dtype.name == "bool" else ROW["where"](x * x == 1, x, x * 0)


named("sign")(lambda x, /: ROW["sgn"](x))  # of complex numbers, as whatever has a row for real ones alone
named("rint")(lambda x, /: of_parts(ROW["round"], x))
named("divmod")(lambda x1, x2, /: (np.floor_divide(x1, x2), np.remainder(x1, x2)))
named("degrees")(lambda x, /: np.rad2deg(x))
named("radians")(lambda x, /: np.deg2rad(x))
named("positive")(lambda x, /: tensor_of(x).clone())
named("fabs")(lambda x, /: NotImplemented if x.dtype.is_complex else ROW["abs"](_floats(x)))
named("signbit")(lambda x, /: elementwise.signbit(tensor_of(x)))
named("heaviside")(lambda x1, x2, /: _heaviside(*_all_floats(x1, x2)))
named("float_power")(lambda x1, x2, /: elementwise.float_power(*(tensor_of(x, x1, x2) for x in (x1, x2))))
named("ldexp")(lambda x1, x2, /: _floats(x1) * ROW["exp2"](cast(tensor_of(x2, x1), _floats(x1).dtype)))
named("frexp")(lambda x, /: tuple(ROW["frexp"](_floats(x))))


def _heaviside(x: Tensor, values: Tensor) -> Tensor:
    x = x.detach()
    return ROW["where"](x != x, x, elementwise.heaviside(x, values))


@named("modf")
def _modf(x: Any, /) -> tuple[Tensor, Tensor]:
    x = _floats(x)
    whole = ROW["trunc"](x)
    return ROW["copysign"](ROW["where"](ROW["isinf"](x), 0.0, x - whole), x), whole


def _floats(x: Any) -> Tensor:
    given = tensor_of(x)
    return given if given.dtype.has_gradient else cast(given, np.result_type(given._held.dtype, np.float16))


def _all_floats(*operands: Any) -> list[Tensor]:
    return [_floats(x) for x in same_dtype(*operands, weak=True)]


# The methods of all.


REDUCED = {
    np.add: "sum",
    np.multiply: "prod",
    np.maximum: "max",
    np.minimum: "min",
    np.logical_and: "all",
    np.logical_or: "any",
}
"""What a reduction by a ufunc is called, where it is a function of NumPy's."""

ACCUMULATED: dict[Any, Callable] = {
    np.add: lambda x, d: ROW["cumsum"](x, d),
    np.multiply: lambda x, d: ROW["cumprod"](x, d),
    np.maximum: lambda x, d: ROW["cummax"](x, d)[0],
    np.minimum: lambda x, d: ROW["cummin"](x, d)[0],
    np.logaddexp: lambda x, d: ROW["logcumsumexp"](x, d),
}
"""The same from the first element on to each."""


IN_ANY_ORDER = frozenset({np.fmax, np.fmin, np.maximum, np.minimum})
"""What gives the same in another order, of those without a neutral element."""


def _of_two(ufunc: np.ufunc, method: str) -> None:
    if ufunc.nin != 2 or ufunc.nout != 1:
        raise ValueError(f"np.{ufunc.__name__}.{method}: only ufuncs of two operands and one result can do this")


def reduce(
    ufunc: np.ufunc,
    array: Any,
    axis: Any = 0,
    dtype: Any = None,
    keepdims: Any = False,
    initial: Any = NOT_GIVEN,
    where: Any = True,
) -> Any:
    """One element of all along axes, joined from the first on."""
    _of_two(ufunc, "reduce")
    x = tensor_of(array)
    if ufunc in (np.add, np.multiply):
        return NUMPY[REDUCED[ufunc]](x, axis, dtype, keepdims=keepdims, initial=initial, where=where)
    x = x if dtype is None else cast(x, dtype)
    if ufunc in REDUCED:
        more = {} if ufunc in (np.logical_and, np.logical_or) else {"initial": initial}
        return NUMPY[REDUCED[ufunc]](x, axis, keepdims=keepdims, where=where, **more)
    x = _as_joined(ufunc, x)
    no_bools(axis)
    if ufunc.identity is None and ufunc not in IN_ANY_ORDER and len(axes_of(x, axis)) > 1:
        raise ValueError(f"np.{ufunc.__name__}.reduce: the order matters, so it goes along one axis")
    if ufunc is np.logaddexp and initial is NOT_GIVEN:
        return over(ROW["logsumexp"], chosen(where, x, ufunc.identity), axis, keepdims)
    begin = ufunc.identity if initial is NOT_GIVEN else initial
    lines = at_the_end(x, axis)
    many = list(NUMPY["unstack"](lines, axis=-1))
    if begin is None and (where is not True or not many):
        raise ValueError(
            f"np.{ufunc.__name__}.reduce has no neutral element for what is empty, {tuple(x.shape)}, or left out by where=: "
            "give initial="
        )
    if begin is None:
        first, *many = many
    else:
        first = shaping.expand(start(begin, x), tuple(lines.shape[:-1]))
    masks = [True] * len(many)
    if where is not True:
        flags = shaping.expand(cast(tensor_of(where, x), np.bool_), tuple(x.shape))
        masks = list(NUMPY["unstack"](at_the_end(flags, axis), axis=-1))
    found = functools.reduce(lambda so_far, each: _joined(ufunc, so_far, *each), zip(many, masks), first)
    return with_axes(found, x.shape, axis, keepdims)


def _joined(ufunc: np.ufunc, so_far: Tensor, element: Tensor, mask: Any) -> Tensor:
    """The ufunc of two, or where the mask does not choose the element the first alone."""
    if mask is True:
        return ufunc(so_far, element)
    apart = [chosen(mask, x, x.detach()) for x in (so_far, element)]  # no derivative where the result is not used
    return chosen(mask, ufunc(*apart), so_far)


def _as_joined(ufunc: np.ufunc, x: Tensor) -> Tensor:
    """The elements in the dtype that NumPy joins them in: integers are divided as floats."""
    if x._held.dtype.kind == "V":  # bfloat16, which NumPy does not know
        return x
    return cast(x, ufunc.resolve_dtypes((None, x._held.dtype, None), reduction=True)[0])


def accumulate(ufunc: np.ufunc, array: Any, axis: int = 0, dtype: Any = None) -> Tensor:
    """The results of `reduce` for the elements up to each."""
    _of_two(ufunc, "accumulate")
    x = tensor_of(array)
    x = x if dtype is None else cast(x, dtype)
    d = one_axis(axis, x.ndim, of_ufunc=True)
    x = _as_joined(ufunc, x)
    if ufunc in ACCUMULATED and x.dtype.name != "bool":
        return ACCUMULATED[ufunc](x, d)
    many = list(itertools.accumulate(NUMPY["unstack"](x, axis=d), ufunc))
    return shaping.stack(many, d) if many else x.clone()


def reduceat(ufunc: np.ufunc, array: Any, indices: Any, axis: int = 0, dtype: Any = None) -> Tensor:
    """The results of `reduce` for the elements from each index to the next, or the one at it where that is not larger."""
    _of_two(ufunc, "reduceat")
    x = tensor_of(array)
    d = normalize_axis_index(axis, x.ndim)
    size, starts = x.shape[d], np.asarray(indices).tolist()
    if any(not 0 <= i < size for i in starts):
        raise IndexError(f"np.{ufunc.__name__}.reduceat: indices {starts} must be from 0 to {size - 1}")
    front = (slice(None),) * d
    parts = [(i, max(end, i + 1)) for i, end in zip(starts, [*starts[1:], size])]
    return shaping.stack([reduce(ufunc, x[(*front, slice(*part))], d, dtype) for part in parts], d)


def outer(ufunc: np.ufunc, a: Any, b: Any, **kwargs: Any) -> Any:
    """The ufunc of all pairs."""
    if ufunc.nin != 2:
        raise ValueError(f"np.{ufunc.__name__}.outer: only ufuncs of two operands can do this")
    x, y = tensor_of(a, b), tensor_of(b, a)
    return ufunc(shaping.reshape(x, (*x.shape, *[1] * y.ndim)), y, **kwargs)


def at(ufunc: np.ufunc, a: Tensor, indices: Any, b: Any = None, /) -> None:
    """The ufunc in place of the elements at indices, of one that is named several times so often.

    In rounds: each has no element twice.
    """
    if ufunc.nout != 1 or ufunc.nin != (1 if b is None else 2):
        raise ValueError(f"np.{ufunc.__name__}.at takes {ufunc.nin - 1} operands beside the tensor and its indices")
    places = np.arange(a.numel()).reshape(tuple(a.shape))[_known_index(indices)]
    given: tuple[Tensor, ...] = () if b is None else (shaping.reshape(NUMPY["broadcast_to"](b, places.shape), (-1,)),)
    places = places.reshape(-1)
    flat = shaping.reshape(a, (-1,))
    if ufunc is np.add:
        found = indexing.index_add(flat, 0, tensor_of(places), cast(given[0], a.dtype))
    else:
        found = flat
        for turn in _rounds(places):
            one = tensor_of(places[turn])
            new = cast(ufunc(found[one], *[v[tensor_of(turn)] for v in given]), a.dtype)
            found = scattering.index_copy(found, 0, one, new)
    a.copy_(shaping.reshape(found, tuple(a.shape)))


def _known_index(indices: Any) -> Any:
    several = indices if isinstance(indices, tuple) else (indices,)
    return tuple([i.detach().numpy() if isinstance(i, Tensor) else i for i in several])


def _rounds(places: np.ndarray) -> list[np.ndarray]:
    """The places in order, but each at most once in one round."""
    order = np.argsort(places, kind="stable")
    firsts = np.concatenate([[True], np.diff(places[order]) != 0]) if len(order) else np.zeros(0, bool)
    counts = np.arange(len(order)) - np.maximum.accumulate(np.where(firsts, np.arange(len(order)), 0)) if len(order) else order
    turns = np.empty(len(order), int)
    turns[order] = counts
    return [np.flatnonzero(turns == k) for k in range(int(turns.max(initial=-1)) + 1)]


METHODS = {"reduce": reduce, "accumulate": accumulate, "reduceat": reduceat, "outer": outer, "at": at}
