"""NumPy's sums, means and extremes of tensors, over the axes and with the masks and starts that NumPy takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.functions import shaping
from jitgrad.functions.for_numpy.naming import (
    NOT_GIVEN,
    NUMPY,
    ROW,
    axes_of,
    cast,
    fractional,
    is_everywhere,
    is_given,
    named,
    one_axis,
    over,
    same_dtype,
    start,
    tensor_of,
)
from jitgrad.ops import choosing
from jitgrad.record.apply import apply
from jitgrad.tensors.tensor import Tensor


def chosen(where: Any, x: Tensor, other: Any) -> Tensor:
    """The elements that `where` chooses, and others in the place of the rest."""
    if is_everywhere(where):
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
        strict=False,
    )


def _total(name: str, join: Callable, neutral: int) -> None:
    @named(name)
    def total(
        a: Any, axis: Any = None, dtype: Any = None, *, keepdims: Any = False, initial: Any = NOT_GIVEN, where: Any = True
    ) -> Tensor:
        more = {} if dtype is None else {"dtype": dtype}
        x = chosen(where, tensor_of(a), neutral)
        found = over(lambda x, dim, keepdim: ROW[name](x, dim, keepdim, **more), x, axis, keepdims, strict=False)
        return join(found, start(initial, found)) if is_given(initial) else found


_total("sum", lambda x, y: x + y, 0)
_total("prod", lambda x, y: x * y, 1)


@named("mean")
def _mean(a: Any, axis: Any = None, dtype: Any = None, *, keepdims: Any = False, where: Any = True) -> Tensor:
    x = fractional(a) if dtype is None else cast(tensor_of(a), dtype)
    if not x.dtype.has_gradient:  # a fraction in between
        total = NUMPY["sum"](x, axis, dtype, keepdims=keepdims, where=where)
        return cast(total / _count(where, cast(x, np.float64), axis, keepdims), dtype)
    if is_everywhere(where):
        return over(ROW["mean"], x, axis, keepdims)
    return over(ROW["sum"], chosen(where, x, 0), axis, keepdims, strict=False) / _count(where, x, axis, keepdims)


def _truth(name: str, neutral: bool) -> None:
    @named(name)
    def truth(a: Any, axis: Any = None, *, keepdims: Any = False, where: Any = True) -> Tensor:
        x = tensor_of(a)
        x = x if is_everywhere(where) else chosen(where, cast(x, np.bool_), neutral)
        return over(ROW[name], x, axis, keepdims, strict=False)


_truth("any", False)
_truth("all", True)


def _extreme(name: str, pairwise: str, sign: int, *names: str) -> None:
    @named(*names)
    def extreme(a: Any, axis: Any = None, *, keepdims: Any = False, initial: Any = NOT_GIVEN, where: Any = True) -> Tensor:
        x, starts = tensor_of(a), is_given(initial)
        if not is_everywhere(where):
            if not starts:
                raise ValueError(f"np.{names[0]}: with where= there may be nothing to choose from: give initial= as well")
            x = chosen(where, x, _beyond(x._held.dtype, sign))
        begin = start(initial, x) if starts else x
        if starts and not x.numel():
            return shaping.expand(begin, tuple(over(ROW["sum"], x, axis, keepdims).shape))
        if not starts and not x.numel():
            not_of_nothing(names[0], x, axis)
        found = over(ROW[name], x, axis, keepdims, strict=False)
        return ROW[pairwise](found, begin) if starts else found


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
        if without_nan and axis is not None:
            axes_of(x, axis)  # NumPy looks for nan along all of them first
        axis = None if axis is None else one_axis(axis, max(x.ndim, 1))
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
        given = is_given(correction)
        if ddof and given:
            raise ValueError(f"np.{name}: ddof and correction are two names of one thing, and both were given")
        x = fractional(a) if dtype is None else cast(tensor_of(a), dtype)
        less = correction if given else ddof
        if mean is not NOT_GIVEN or not is_everywhere(where):
            return _spread(x, axis, keepdims, where, mean, less, name == "std")
        return over(lambda x, dim, keepdim: ROW[name](x, dim, correction=less, keepdim=keepdim), x, axis, keepdims)


def _spread(x: Tensor, axis: Any, keepdims: Any, where: Any, mean: Any, less: float, is_root: bool) -> Tensor:
    """The variance of the elements that are chosen, about a mean that may be given, or its root."""
    center = _mean(x, axis, keepdims=True, where=where) if mean is NOT_GIVEN else mean
    sizes = ROW["abs"](chosen(where, x - center, 0))
    count = ROW["relu"](_count(where, sizes, axis, keepdims) - less)
    if is_root:
        root = over(lambda x, dim, keepdim: ROW["norm"](x, 2, dim, keepdim), sizes, axis, keepdims, strict=False)
        return root / ROW["sqrt"](count)
    return over(ROW["sum"], ROW["square"](sizes), axis, keepdims, strict=False) / count


_deviation("std")
_deviation("var")


def _running(name: str, *names: str) -> None:
    @named(*names)
    def running(a: Any, axis: Any = None, dtype: Any = None) -> Tensor:
        x = tensor_of(a)
        x = shaping.reshape(x, (-1,)) if axis is None or not x.ndim else x
        more = {} if dtype is None else {"dtype": dtype}
        return ROW[name](x, one_axis(0 if axis is None else axis, x.ndim), **more)

    @named(names[0].replace("cum", "cumulative_"))
    def cumulative(x: Any, /, *, axis: Any = None, dtype: Any = None, include_initial: bool = False) -> Tensor:
        x = tensor_of(x)
        if axis is None and x.ndim > 1:
            raise ValueError(f"np.cumulative_{name[3:]}: of {x.ndim} axes one must be given, axis=")
        axis = one_axis(0 if axis is None else axis, max(x.ndim, 1), of_ufunc=True)
        found = running(x, axis, dtype)
        if not include_initial:
            return found
        shape = [1 if d == axis else n for d, n in enumerate(found.shape)]
        first = np.full(shape, int(name == "cumprod"), found._held.dtype)
        return shaping.cat(same_dtype(first, found), axis)


_running("cumsum", "cumsum")
_running("cumprod", "cumprod")


@named("count_nonzero")
def _count_nonzero(a: Any, axis: Any = None, *, keepdims: Any = False) -> Tensor:
    return over(ROW["sum"], apply(choosing.ne, (tensor_of(a), 0)), axis, keepdims, strict=False)


@named("ptp")
def _ptp(a: Any, axis: Any = None, *, keepdims: Any = NOT_GIVEN) -> Tensor:
    return NUMPY["max"](a, axis, keepdims=keepdims) - NUMPY["min"](a, axis, keepdims=keepdims)


@named("average")
def _average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = NOT_GIVEN) -> Any:
    x = fractional(a)
    axis = None if axis is None else axes_of(x, axis)
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


def _nan_extreme(name: str, pairwise: str, other: float) -> None:
    @named(f"nan{name}")
    def extreme(a: Any, axis: Any = None, *, keepdims: Any = False, initial: Any = NOT_GIVEN, where: Any = True) -> Tensor:
        x = tensor_of(a)
        if not x.dtype.has_gradient:
            return NUMPY[name](x, axis, keepdims=keepdims, initial=initial, where=where)
        starts = is_given(initial)
        least = other if starts else NOT_GIVEN
        x = chosen(where, x, math.nan) if starts else x
        seen = apply(choosing.where, (x != x, other, x))
        found = NUMPY[name](seen, axis, keepdims=keepdims, initial=least, where=True if starts else where)
        none = NUMPY["all"](x != x, axis, keepdims=keepdims)
        found = apply(choosing.where, (none, math.nan, found))
        return ROW[pairwise](found, start(initial, found)) if starts else found


_nan_extreme("max", "fmax", -math.inf)
_nan_extreme("min", "fmin", math.inf)


def _nan_moment(name: str) -> None:
    function = NUMPY[name]

    def moment(a: Any, axis: Any, dtype: Any, where: Any, **more: Any) -> Tensor:
        x = tensor_of(a)
        if x.dtype.has_gradient and dtype is not None and not dtypes.has_gradient(dtypes.to_numpy(dtype)):
            raise TypeError(f"np.nan{name}: of {x.dtype.name} in dtype={dtype} would lose nan: give a dtype of fractions")
        seen = x == x if is_everywhere(where) else (x == x) & tensor_of(where)
        found = function(x, axis, dtype, where=seen if x.dtype.has_gradient else where, **more)
        if name == "mean" or not x.dtype.has_gradient:
            return found
        less = more["correction"] if is_given(more["correction"]) else more["ddof"]
        few = _count(seen, x.detach(), axis, more["keepdims"]) <= less
        return apply(choosing.where, (few, math.nan, found))

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
