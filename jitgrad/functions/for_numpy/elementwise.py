"""NumPy's functions of each element, its choices, and arrays that are like others."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from jitgrad.functions import comparing, complexes, creation, elementwise, numeric, searching, shaping
from jitgrad.functions.for_numpy.naming import ROW, cast, cast_as, fractional, named, of_parts, same_dtype, tensor_of
from jitgrad.functions.operands import exact
from jitgrad.ops import choosing
from jitgrad.record.apply import apply
from jitgrad.record.trace import comes_later
from jitgrad.record.weak import are_numbers
from jitgrad.tensors.tensor import Tensor


@named("where")
def _where(condition: Any, x: Any = None, y: Any = None, /) -> Any:
    given = tensor_of(condition)
    if x is None and y is None:
        return _nonzero(given)
    if x is None or y is None:
        raise ValueError("np.where takes a condition alone, or a condition and two choices")
    flag = given if given._held.dtype == np.bool_ else apply(choosing.ne, (given, 0))
    if are_numbers(x, y):
        x, y = exact(x), exact(y)
    return numeric.where(flag, *(tensor_of(v, x, y) if isinstance(v, (list, tuple)) else v for v in (x, y)))


@named("nonzero")
def _nonzero(a: Any) -> tuple[Tensor, ...]:
    if not np.ndim(a):
        raise ValueError("np.nonzero of a 0-d array has no indices: reshape it to one dimension first")
    return numeric.nonzero(tensor_of(a), as_tuple=True)


named("flatnonzero")(lambda a: _nonzero(shaping.reshape(tensor_of(a), (-1,)))[0])
named("argwhere")(lambda a: numeric.nonzero(tensor_of(a)))


@named("select")
def _select(condlist: Any, choicelist: Any, default: Any = 0) -> Tensor:
    if len(condlist) != len(choicelist) or not condlist:
        raise ValueError(f"np.select: {len(condlist)} conditions and {len(choicelist)} choices must be as many, and some")
    flags = [tensor_of(c, *choicelist) for c in condlist]
    if any(flag.dtype.name != "bool" for flag in flags):
        raise TypeError("np.select: conditions must be bools")
    found = default
    for flag, choice in zip(reversed(flags), reversed(choicelist)):
        found = numeric.where(flag, *same_dtype(choice, found, weak=True))
    return found


@named("choose")
def _choose(a: Any, choices: Any, *, mode: str = "raise") -> Any:
    many = same_dtype(*(choices if isinstance(choices, (list, tuple)) else tensor_of(choices)), weak=True)
    places = cast_as(tensor_of(a, *many), np.int64, "safe", "np.choose: the choices")
    if mode == "wrap":
        places = places % len(many)
    elif mode == "clip":
        places = numeric.clamp(places, 0, len(many) - 1)
    elif mode != "raise":
        raise ValueError(f"np.choose: mode is 'raise', 'wrap' or 'clip', not {mode!r}")
    elif not comes_later(places) and bool(((places < 0) | (places >= len(many))).any()):
        raise ValueError(
            f"np.choose: the choices are numbers from 0 to {len(many) - 1}, or mode='wrap' or 'clip' makes them such"
        )
    places, *many = shaping.broadcast_tensors(places, *many)
    return ROW["gather"](shaping.stack(many), shaping.unsqueeze(places, 0), 0)[0]


@named("clip")
def _clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    x = tensor_of(a)
    low, high = (min if a_min is None else a_min), (max if a_max is None else a_max)
    if low is None and high is None:
        return x.clone()
    if any(tensor_of(v, x).dtype.is_complex for v in (x, low, high) if v is not None):
        return NotImplemented
    if any(isinstance(v, (np.ndarray, list)) for v in (low, high)) or x.dtype.name == "bool":
        low, high = (v if v is None else tensor_of(v, x) for v in (low, high))
    low, high = (v.item() if isinstance(v, np.generic) else v for v in (low, high))
    if x.dtype.is_complex:
        return NotImplemented
    if isinstance(low, float) or isinstance(high, float):
        x = fractional(x)
    return numeric.clamp(x, low, high)


@named("round", "around")
def _round(a: Any, decimals: int = 0) -> Any:
    x = tensor_of(a)
    if x.dtype.is_complex:
        return of_parts(lambda part: _round(part, decimals), x)
    if decimals >= 0 and x.dtype.name != "bool":
        return numeric.round(x, decimals=decimals)
    if not x.dtype.is_floating_point:
        return NotImplemented
    return apply(choosing.round, (x / 10.0**-decimals,)) * 10.0**-decimals


named("fix")(lambda x: np.trunc(tensor_of(x)))
named("sinc")(lambda x: elementwise.sinc(fractional(x)))
named("i0")(lambda x: ROW["i0"](fractional(x)))
named("real_if_close")(lambda a, tol=100: _real_if_close(tensor_of(a), tol))


def _real_if_close(x: Tensor, tol: float) -> Tensor:
    if not x.dtype.is_complex:
        return x
    least = tol * np.finfo(x._held.dtype).eps if tol > 1 else tol
    return complexes.real(x) if bool((abs(complexes.imag(x).detach()) < least).all()) else x


@named("nan_to_num")
def _nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    given = tensor_of(x)
    found = elementwise.nan_to_num(given, nan, posinf, neginf) if given.dtype.has_gradient else given.clone()
    return found if copy or not isinstance(x, Tensor) else x.copy_(found)


@named("unwrap")
def _unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: float = 2 * math.pi) -> Tensor:
    """A jump by more than half a period is one by a number of whole periods, and what is left."""
    x = fractional(p)
    d = normalize_axis_index(axis, x.ndim)
    if x.shape[d] < 2:
        return x.clone()
    front, back = ((slice(None),) * d + (slice(*part),) for part in ((1, None), (None, -1)))
    step = (x[front] - x[back]).detach()
    left = (step + period / 2) % period - period / 2
    left = numeric.where((left == -period / 2) & (step > 0), period / 2, left)
    jumps = numeric.where(abs(step) < (period / 2 if discont is None else discont), 0.0, left - step)
    return shaping.cat([x[(slice(None),) * d + (slice(None, 1),)], x[front] + ROW["cumsum"](jumps, d)], d)


@named("interp")
def _interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Any:
    if period is not None:
        return NotImplemented
    x, xp, fp = same_dtype(x, xp, fp, floats=True)
    if xp.ndim != 1 or tuple(xp.shape) != tuple(fp.shape) or not xp.shape[0]:
        raise ValueError(f"np.interp: xp and fp are as many places and values, not {tuple(xp.shape)} and {tuple(fp.shape)}")
    n = xp.shape[0]
    if n == 1:
        inner = shaping.expand(fp, tuple(x.shape)) if x.ndim else fp[0]
    else:
        at = numeric.clamp(searching.searchsorted(xp, x, right=True), 1, n - 1)
        low, high, start, end = xp[at - 1], xp[at], fp[at - 1], fp[at]
        inner = start + (end - start) / (high - low) * (x - low)
    found = numeric.where(
        x < xp[0], fp[0] if left is None else left, numeric.where(x > xp[-1], fp[-1] if right is None else right, inner)
    )
    return numeric.where(x == xp[-1], fp[-1], found)


# Is it?


@named("isclose")
def _isclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    return comparing.isclose(cast(tensor_of(a, b), float), cast(tensor_of(b, a), float), rtol, atol, equal_nan)


@named("allclose")
def _allclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    return bool(_isclose(a, b, rtol, atol, equal_nan).all())


@named("isin")
def _isin(element: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False, *, kind: Any = None) -> Tensor:
    many = same_dtype(element, test_elements)
    many = [cast(x, np.int8) for x in many] if many[0].dtype.name == "bool" else many
    return searching.isin(*many, invert=invert)


named("isposinf")(lambda x: ROW["isposinf"](tensor_of(x)))
named("isneginf")(lambda x: ROW["isneginf"](tensor_of(x)))
named("isreal")(lambda x: complexes.isreal(tensor_of(x)))
named("iscomplex")(lambda x: apply(choosing.logical_not, (complexes.isreal(tensor_of(x)),)))
named("iscomplexobj")(lambda x: tensor_of(x).dtype.is_complex)
named("isrealobj")(lambda x: not tensor_of(x).dtype.is_complex)


# Others like it.


@named("full_like")
def _full_like(a: Any, fill_value: Any, dtype: Any = None, *, shape: Any = None) -> Tensor:
    x = tensor_of(a)
    given = tuple(x.shape) if shape is None else tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    wanted = x.dtype if dtype is None else dtype
    if isinstance(fill_value, Tensor):
        return shaping.expand(cast(fill_value, wanted), given) if given else cast(fill_value, wanted)
    return creation.full(given, fill_value, dtype=wanted)


named("zeros_like")(lambda a, dtype=None, *, shape=None: _full_like(a, 0, dtype, shape=shape))
named("ones_like")(lambda a, dtype=None, *, shape=None: _full_like(a, 1, dtype, shape=shape))
named("empty_like")(lambda prototype, /, dtype=None, *, shape=None: _full_like(prototype, 0, dtype, shape=shape))
named("astype")(lambda x, dtype, /, *, copy=True: cast(tensor_of(x), dtype) if not copy else cast(tensor_of(x), dtype).clone())
named("copy")(lambda a: tensor_of(a).clone())


@named("linspace")
def _linspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None, axis: int = 0
) -> Any:
    first, last = same_dtype(start, stop, floats=True, weak=True)
    first, last = shaping.broadcast_tensors(first, last)
    pieces = max(num - 1 if endpoint else num, 1)
    weights = tensor_of((np.arange(num) / pieces).astype(first._held.dtype), first)
    weights = shaping.reshape(weights, (num, *[1] * first.ndim))
    found = first + (last - first) * weights
    if endpoint and num > 1:
        found = shaping.cat([found[:-1], shaping.unsqueeze(last, 0)])
    found = shaping.movedim(found, 0, axis) if axis else found
    found = found if dtype is None else cast(ROW["floor"](found) if np.dtype(dtype).kind in "iu" else found, dtype)
    return (found, (last - first) / pieces) if retstep else found


@named("logspace")
def _logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0, dtype: Any = None, axis: int = 0
) -> Any:
    found = numeric.pow(base, _linspace(start, stop, num, endpoint, axis=axis))
    return found if dtype is None else cast(found, dtype)


@named("geomspace")
def _geomspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0) -> Any:
    first, last = shaping.broadcast_tensors(*same_dtype(start, stop, floats=True))
    sign = ROW["sign"](first.detach())
    found = sign * ROW["exp"](_linspace(ROW["log"](first * sign), ROW["log"](last * sign), num, endpoint, axis=axis))
    return found if dtype is None else cast(found, dtype)


# Truth of all, in Python's words.


@named("array_equal")
def _array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> bool:
    x, y = tensor_of(a1, a2), tensor_of(a2, a1)
    if tuple(x.shape) != tuple(y.shape):
        return False
    same = x == y
    return bool((same | ((x != x) & (y != y)) if equal_nan else same).all())


@named("array_equiv")
def _array_equiv(a1: Any, a2: Any) -> bool:
    x, y = tensor_of(a1, a2), tensor_of(a2, a1)
    try:
        np.broadcast_shapes(tuple(x.shape), tuple(y.shape))
    except ValueError:
        return False
    return bool((x == y).all())


@named("piecewise")
def _piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **kw: Any) -> Tensor:
    x = tensor_of(x)
    flags = [tensor_of(c, x) for c in (condlist if isinstance(condlist, (list, tuple)) else [condlist])]
    otherwise = [0] if len(funclist) == len(flags) else [funclist[-1]]
    if len(funclist) not in (len(flags), len(flags) + 1):
        raise ValueError(f"np.piecewise: {len(flags)} conditions take as many functions or one more, not {len(funclist)}")
    pieces = [f(x, *args, **kw) if callable(f) else f for f in [*funclist[: len(flags)], *otherwise]]
    return functools.reduce(
        lambda found, pair: numeric.where(pair[0], cast(tensor_of(pair[1], x), x._held.dtype), found),
        zip(flags, pieces),
        cast(tensor_of(pieces[-1], x), x._held.dtype),
    )
