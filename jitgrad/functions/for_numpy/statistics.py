"""NumPy's quantiles and covariances of tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.functions import joining, shaping, statistics
from jitgrad.functions.for_numpy.naming import NUMPY, ROW, at_the_end, cast, fractional, named, same_dtype, tensor_of, with_axes
from jitgrad.record.trace import comes_later
from jitgrad.tensors.tensor import Tensor

# In order.


def _quantile(name: str, of: Callable, scale: float) -> None:
    @named(name)
    def quantile(a: Any, q: Any, axis: Any = None, *, method: str = "linear", keepdims: Any = False, weights: Any = None) -> Any:
        if weights is not None or method not in ("linear", "lower", "higher", "midpoint", "nearest"):
            return NotImplemented
        x = fractional(a)
        if name.startswith("nan") and not x.numel():
            return NUMPY["nanmean"](x, axis, keepdims=keepdims)  # as NumPy does, whatever q
        wide = cast(x, np.float32) if x.itemsize < 4 else x
        lines = at_the_end(wide, axis)
        q = q / scale if isinstance(q, (int, float)) else cast(tensor_of(q, x), wide._held.dtype) / scale
        several = tuple(q.shape) if isinstance(q, Tensor) else ()
        flat = shaping.reshape(q, (-1,)) if len(several) > 1 else q
        if lines.numel():
            found = cast(of(lines, flat, -1, interpolation=method), x._held.dtype)
        elif lines.shape[-1]:
            found = x.new_zeros((*(flat.shape if several else ()), *lines.shape[:-1]))
        else:
            raise IndexError(f"np.{name} of nothing has no value: shape {tuple(x.shape)} is empty along axis={axis}")
        found = shaping.reshape(found, (*several, *found.shape[1:])) if len(several) > 1 else found
        return with_axes(found, x.shape, axis, keepdims)


for _nan, _of in (("", statistics.quantile), ("nan", statistics.nanquantile)):
    _quantile(f"{_nan}quantile", _of, 1)
    _quantile(f"{_nan}percentile", _of, 100)
named("median")(
    lambda a, axis=None, *, keepdims=False: NUMPY["quantile" if np.size(a) else "nanquantile"](a, 0.5, axis, keepdims=keepdims)
)
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
    often = None if fweights is None else tensor_of(fweights)
    if often is not None and often.dtype.has_gradient:
        if not comes_later(often) and bool((often != ROW["trunc"](often)).any()):
            raise TypeError("np.cov: fweights say how often each column counts: whole numbers, as aweights need not be")
        often = cast(often, np.int64)
    much = None if aweights is None else cast(tensor_of(aweights), np.zeros(0, x._held.dtype).real.dtype)
    less = (0 if bias else 1) if ddof is None else ddof
    return statistics.cov(x, correction=less, fweights=often, aweights=much)


@named("corrcoef")
def _corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Tensor:
    found = _variables(x, y, rowvar)
    return statistics.corrcoef(found if dtype is None else cast(found, dtype))
