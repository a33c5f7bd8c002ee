"""NumPy's sums, means and extremes of tensors, over the axes and with the masks and starts that NumPy takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from jitgrad import dtypes
from jitgrad.functions import joining, shaping, statistics
from jitgrad.functions.for_numpy.naming import (
    NOT_GIVEN,
    NUMPY,
    ROW,
    at_the_end,
    axes_of,
    cast,
    fractional,
    named,
    over,
    same_dtype,
    tensor_of,
    with_axes,
)
from jitgrad.ops import choosing
from jitgrad.record.apply import apply
from jitgrad.tensors.tensor import Tensor


def chosen(where: Any, x: Tensor, other: Any) -> Tensor:
    """The elements that `where` chooses, and others in the place of the rest."""
    if where is True or where is NOT_GIVEN:
        return x
    if x.dtype.name == "bool" and not isinstance(other, Tensor):
        other = bool(other)
    mask, x = shaping.broadcast_tensors(cast(tensor_of(where, x), np.bool_), x)
    return apply(choosing.where, (mask, x, other))


def _count(where: Any, x: Tensor, axis: Any, keepdims: Any) -> Tensor:
    """How many elements are chosen."""
    return over(
        ROW["sum"],
        apply(choosing.cast, (chosen(where, cast(x, np.bool_) | True, False),), {"dtype": x._held.dtype}),
        axis,
        keepdims,
    )


def _total(name: str, join: Callable, neutral: int) -> None:
    @named(name)
    def total(
        a: Any, axis: Any = None, dtype: Any = None, *, keepdims: Any = False, initial: Any = NOT_GIVEN, where: Any = True
    ) -> Tensor:
        more = {} if dtype is None else {"dtype": dtype}
        x = chosen(where, tensor_of(a), neutral)
        found = over(lambda x, dim, keepdim: ROW[name](x, dim, keepdim, **more), x, axis, keepdims, strict=False)
        return found if initial is NOT_GIVEN or initial is None else join(found, initial)


_total("sum", lambda x, y: x + y, 0)
_total("prod", lambda x, y: x * y, 1)


@named("mean")
def _mean(a: Any, axis: Any = None, dtype: Any = None, *, keepdims: Any = False, where: Any = True) -> Tensor:
    x = fractional(a) if dtype is None else cast(tensor_of(a), dtype)
    if where is True or where is NOT_GIVEN:
        return over(ROW["mean"], x, axis, keepdims)
    return over(ROW["sum"], chosen(where, x, 0), axis, keepdims) / _count(where, x, axis, keepdims)


def _truth(name: str, neutral: bool) -> None:
    @named(name)
    def truth(a: Any, axis: Any = None, *, keepdims: Any = False, where: Any = True) -> Tensor:
        x = tensor_of(a)
        x = x if where is True or where is NOT_GIVEN else chosen(where, cast(x, np.bool_), neutral)
        return over(ROW[name], x, axis, keepdims, strict=False)


_truth("any", False)
_truth("all", True)


def _extreme(name: str, pairwise: str, sign: int, *names: str) -> None:
    @named(*names)
    def extreme(a: Any, axis: Any = None, *, keepdims: Any = False, initial: Any = NOT_GIVEN, where: Any = True) -> Tensor:
        x, starts = tensor_of(a), initial is not NOT_GIVEN and initial is not None
        if where is not True and where is not NOT_GIVEN:
            if not starts:
                raise ValueError(f"np.{names[0]}: with where= there may be nothing to choose from: give initial= as well")
            x = chosen(where, x, _beyond(x._held.dtype, sign))
        if starts and not math.prod([x.shape[d] for d in axes_of(x, axis)]):
            x = over(ROW["sum"], x, axis, keepdims)
            return apply(choosing.zeros_like, (x,)) + initial
        if not starts and not x.numel():
            not_of_nothing(names[0], x, axis)
        found = over(ROW[name], x, axis, keepdims, strict=False)
        return ROW[pairwise](found, initial) if starts else found


def _beyond(dtype: np.dtype, sign: int) -> Any:
    """What no element is beyond."""
    if dtype.kind == "b":
        return sign < 0
    if dtypes.has_gradient(dtype):
        return -sign * math.inf
    return int(np.iinfo(dtype).min if sign > 0 else np.iinfo(dtype).max)


def not_of_nothing(name: str, x: Any, axis: Any) -> None:
    """A ValueError if axes without elements are reduced."""
    if not math.prod([x.shape[d] for d in axes_of(x, axis)]):
        raise ValueError(f"np.{name} of nothing has no value: shape {tuple(x.shape)} is empty along axis={axis}")


_extreme("amax", "maximum", 1, "max", "amax")
_extreme("amin", "minimum", -1, "min", "amin")


def _place(name: str, without_nan: float | None = None) -> None:
    @named(f"nan{name}" if without_nan else name)
    def place(a: Any, axis: Any = None, *, keepdims: Any = False) -> Tensor:
        x = tensor_of(a)
        if without_nan and x.dtype.is_floating_point:
            x = apply(choosing.where, (x != x, without_nan, x))
        if not x.numel():
            not_of_nothing(name, x, axis)
        axis = None if axis is None else normalize_axis_index(axis, max(x.ndim, 1))
        return ROW[name](x, axis, keepdims is not NOT_GIVEN and bool(keepdims))


_place("argmax")
_place("argmin")
_place("argmax", -math.inf)
_place("argmin", math.inf)


def _deviation(name: str) -> None:
    @named(name)
    def deviation(
        a: Any,
        axis: Any = None,
        dtype: Any = None,
        *,
        ddof: float = 0,
        keepdims: Any = False,
        where: Any = True,
        mean: Any = NOT_GIVEN,
        correction: Any = NOT_GIVEN,
    ) -> Tensor:
        given = correction is not NOT_GIVEN and correction is not None
        if ddof and given:
            raise ValueError(f"np.{name}: ddof and correction are two names of one thing, and both were given")
        x = fractional(a) if dtype is None else cast(tensor_of(a), dtype)
        less = correction if given else ddof
        if mean is not NOT_GIVEN or (where is not True and where is not NOT_GIVEN):
            return _spread(x, axis, keepdims, where, mean, less, name == "std")
        return over(lambda x, dim, keepdim: ROW[name](x, dim, correction=less, keepdim=keepdim), x, axis, keepdims)


def _spread(x: Tensor, axis: Any, keepdims: Any, where: Any, mean: Any, less: float, is_root: bool) -> Tensor:
    """The variance of the elements that are chosen, about a mean that may be given, or its root."""
    center = _mean(x, axis, keepdims=True, where=where) if mean is NOT_GIVEN else mean
    sizes = ROW["abs"](chosen(where, x - center, 0))
    count = ROW["relu"](_count(where, sizes, axis, keepdims) - less)
    if is_root:
        return over(lambda x, dim, keepdim: ROW["norm"](x, 2, dim, keepdim), sizes, axis, keepdims) / ROW["sqrt"](count)
    return over(ROW["sum"], ROW["square"](sizes), axis, keepdims) / count


_deviation("std")
_deviation("var")


def _running(name: str, *names: str) -> None:
    @named(*names)
    def running(a: Any, axis: Any = None, dtype: Any = None) -> Tensor:
        x = tensor_of(a)
        x = shaping.reshape(x, (-1,)) if axis is None or not x.ndim else x
        more = {} if dtype is None else {"dtype": dtype}
        return ROW[name](x, normalize_axis_index(0 if axis is None else axis, x.ndim), **more)

    @named(names[0].replace("cum", "cumulative_"))
    def cumulative(x: Any, /, *, axis: Any = None, dtype: Any = None, include_initial: bool = False) -> Tensor:
        x = tensor_of(x)
        if axis is None and x.ndim > 1:
            raise ValueError(f"np.cumulative_{name[3:]}: of {x.ndim} axes one must be given, axis=")
        found = running(x, 0 if axis is None else axis, dtype)
        if not include_initial:
            return found
        axis = normalize_axis_index(0 if axis is None else axis, found.ndim)
        shape = [1 if d == axis else n for d, n in enumerate(found.shape)]
        first = np.full(shape, int(name == "cumprod"), found._held.dtype)
        return shaping.cat(same_dtype(first, found), axis)


_running("cumsum", "cumsum")
_running("cumprod", "cumprod")


@named("count_nonzero")
def _count_nonzero(a: Any, axis: Any = None, *, keepdims: Any = False) -> Tensor:
    return over(ROW["sum"], apply(choosing.ne, (tensor_of(a), 0)), axis, keepdims)


@named("ptp")
def _ptp(a: Any, axis: Any = None, *, keepdims: Any = NOT_GIVEN) -> Tensor:
    return NUMPY["max"](a, axis, keepdims=keepdims) - NUMPY["min"](a, axis, keepdims=keepdims)


@named("average")
def _average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = NOT_GIVEN) -> Any:
    x = fractional(a)
    if weights is None:
        found = NUMPY["mean"](x, axis, keepdims=keepdims)
        scale: Any = x.numel() / max(found.numel(), 1)
    else:
        x, w = same_dtype(x, weights)
        if x.shape != w.shape:
            axes = axes_of(x, axis)
            if axis is None or tuple(w.shape) != tuple([x.shape[d] for d in axes]):
                raise ValueError(
                    f"np.average: weights of shape {tuple(w.shape)} are not those of axis={axis} of {tuple(x.shape)}"
                )
            order = sorted(range(len(axes)), key=lambda k: axes[k])
            w = shaping.permute(w, tuple(order)) if len(axes) > 1 else w
            w = shaping.expand(shaping.reshape(w, [n if d in axes else 1 for d, n in enumerate(x.shape)]), tuple(x.shape))
        scale = over(ROW["sum"], w, axis, keepdims)
        found = over(ROW["sum"], x * w, axis, keepdims) / scale
    if not returned:
        return found
    return found, apply(choosing.zeros_like, (found,)) + scale


# Without nan.


def _without_nan(name: str, other: float) -> None:
    """The function named nan-something: that of NumPy with another value in the place of nan."""
    function = NUMPY[name]

    def call(a: Any, axis: Any = None, *args: Any, **kwargs: Any) -> Tensor:
        x = tensor_of(a)
        return function(apply(choosing.where, (x != x, other, x)) if x.dtype.has_gradient else x, axis, *args, **kwargs)

    if name in ("sum", "prod"):
        named(f"nan{name}")(
            lambda a, axis=None, dtype=None, *, keepdims=False, initial=NOT_GIVEN, where=True: call(
                a, axis, dtype, keepdims=keepdims, initial=initial, where=where
            )
        )
    else:
        named(f"nan{name}")(lambda a, axis=None, dtype=None: call(a, axis, dtype))


for _name, _other in (("sum", 0), ("prod", 1), ("cumsum", 0), ("cumprod", 1)):
    _without_nan(_name, _other)


def _nan_extreme(name: str, other: float) -> None:
    @named(f"nan{name}")
    def extreme(a: Any, axis: Any = None, *, keepdims: Any = False, initial: Any = NOT_GIVEN, where: Any = True) -> Tensor:
        x = tensor_of(a)
        if not x.dtype.has_gradient:
            return NUMPY[name](x, axis, keepdims=keepdims, initial=initial, where=where)
        seen = apply(choosing.where, (x != x, other, x))
        found = NUMPY[name](seen, axis, keepdims=keepdims, initial=initial, where=where)
        none = NUMPY["all"](x != x, axis, keepdims=keepdims)
        return apply(choosing.where, (none, math.nan, found))


_nan_extreme("max", -math.inf)
_nan_extreme("min", math.inf)


def _nan_moment(name: str) -> None:
    function = NUMPY[name]

    def moment(a: Any, axis: Any, dtype: Any, where: Any, **more: Any) -> Tensor:
        x = tensor_of(a)
        seen = x == x if where is True or where is NOT_GIVEN else (x == x) & tensor_of(where)
        return function(x, axis, dtype, where=seen if x.dtype.has_gradient else where, **more)

    if name == "mean":
        named("nanmean")(
            lambda a, axis=None, dtype=None, *, keepdims=False, where=True: moment(a, axis, dtype, where, keepdims=keepdims)
        )
    else:

        @named(f"nan{name}")
        def spread(
            a: Any,
            axis: Any = None,
            dtype: Any = None,
            *,
            ddof: float = 0,
            keepdims: Any = False,
            where: Any = True,
            mean: Any = NOT_GIVEN,
            correction: Any = NOT_GIVEN,
        ) -> Tensor:
            return moment(a, axis, dtype, where, ddof=ddof, keepdims=keepdims, mean=mean, correction=correction)


for _name in ("mean", "std", "var"):
    _nan_moment(_name)


# In order.


def _quantile(name: str, of: Callable, scale: float) -> None:
    @named(name)
    def quantile(a: Any, q: Any, axis: Any = None, *, method: str = "linear", keepdims: Any = False, weights: Any = None) -> Any:
        if weights is not None or method not in ("linear", "lower", "higher", "midpoint", "nearest"):
            return NotImplemented
        x = fractional(a)
        wide = cast(x, np.float32) if x.itemsize < 4 else x
        q = q / scale if isinstance(q, (int, float)) else cast(tensor_of(q, x), wide._held.dtype) / scale
        several = tuple(q.shape) if isinstance(q, Tensor) else ()
        flat = shaping.reshape(q, (-1,)) if len(several) > 1 else q
        found = cast(of(at_the_end(wide, axis), flat, -1, interpolation=method), x._held.dtype)
        found = shaping.reshape(found, (*several, *found.shape[1:])) if len(several) > 1 else found
        return with_axes(found, x.shape, axis, keepdims)


for _nan, _of in (("", statistics.quantile), ("nan", statistics.nanquantile)):
    _quantile(f"{_nan}quantile", _of, 1)
    _quantile(f"{_nan}percentile", _of, 100)
named("median")(lambda a, axis=None, *, keepdims=False: NUMPY["quantile"](a, 0.5, axis, keepdims=keepdims))
named("nanmedian")(lambda a, axis=None, *, keepdims=False: NUMPY["nanquantile"](a, 0.5, axis, keepdims=keepdims))


# Covariances.


def _variables(m: Any, y: Any, rowvar: bool) -> Tensor:
    x = fractional(m)
    if x.ndim > 2:
        raise ValueError(f"np.cov: variables are the rows of a matrix, and the shape is {tuple(x.shape)}")
    rows = [x if x.ndim < 2 or rowvar else x.T]
    if y is not None:
        other = fractional(y)
        rows.append(other if other.ndim < 2 or rowvar or other.shape[0] == 1 else other.T)
        rows = list(same_dtype(*[shaping.atleast_2d(each) for each in rows]))
    return joining.vstack(rows) if len(rows) > 1 else rows[0]


@named("cov")
def _cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Tensor:
    x = _variables(m, y, rowvar)
    x = x if dtype is None else cast(x, dtype)
    weights = [w if w is None else tensor_of(w) for w in (fweights, aweights)]
    less = (0 if bias else 1) if ddof is None else ddof
    return statistics.cov(x, correction=less, fweights=weights[0], aweights=weights[1])


@named("corrcoef")
def _corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Tensor:
    found = _variables(x, y, rowvar)
    return statistics.corrcoef(found if dtype is None else cast(found, dtype))
