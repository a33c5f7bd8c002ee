"""Statistics: sums and means without nan, medians and quantiles, covariances, norms of differences and of slices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.functions.bind import bound
from jitgrad.functions.complexes import real, view_as_complex, view_as_real
from jitgrad.functions.face import face
from jitgrad.functions.numeric import amax, matmul
from jitgrad.functions.shaping import reshape, unsqueeze
from jitgrad.ops import TABLE, choosing, ordering
from jitgrad.ops.indexing import gather
from jitgrad.ops.linalg import adjoint
from jitgrad.ops.shapes import axis
from jitgrad.record.apply import apply
from jitgrad.record.checking import floating
from jitgrad.record.precision import in_single
from jitgrad.tensors.tensor import Tensor

_sum, _norm, _sort, _sqrt = (bound(TABLE[name]) for name in ("sum", "norm", "sort", "sqrt"))
_median_along, _nanmedian_along = bound(ordering.median_along), bound(ordering.nanmedian_along)
COUNT = np.dtype(np.int64)


def _cast(x: Tensor, dtype: Any) -> Tensor:
    return x if x._held.dtype == dtype else apply(choosing.cast, (x,), {"dtype": dtype})


def _isnan(x: Tensor) -> Tensor:
    return apply(choosing.ne, (x, x))


def _where(condition: Any, x: Any, y: Any) -> Tensor:
    return apply(choosing.where, (condition, x, y))


def nansum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum over `dim` (all) of the elements that are not nan; integers add up in int64."""
    x = _where(_isnan(input), 0, input) if input.dtype.is_floating_point else input
    return _sum(x, dim, keepdim, dtype=dtype)


def nanmean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The mean over `dim` (all) of the elements that are not nan; nan where there are none."""
    floating("nanmean", input, error=RuntimeError)
    x = input if dtype is None else _cast(input, dtypes.to_numpy(dtype))
    floating("nanmean", x, error=RuntimeError)
    return _nanmean(x, dim, keepdim)


@in_single
def _nanmean(input: Tensor, dim: Any, keepdim: bool) -> Tensor:
    count = _sum(apply(choosing.eq, (input, input)), dim, keepdim)
    return nansum(input, dim, keepdim) / count


def count_nonzero(input: Tensor, dim: Any = None) -> Tensor:
    """How many elements are not zero, over `dim` or all."""
    return _sum(apply(choosing.ne, (input, 0)), dim)


def median(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The middle element, of two the lower one, and nan if there is any; along `dim` the pair (values, indices).

    The derivative by all elements is shared by those that are equal to it.
    """
    return _median("median", _median_along, input, dim, keepdim)


def nanmedian(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """`median` of the elements that are not nan."""
    return _median("nanmedian", _nanmedian_along, input, dim, keepdim)


def _median(what: str, along: Any, input: Tensor, dim: Any, keepdim: bool) -> Any:
    if input.dtype.name == "bool":
        raise NotImplementedError(f"{what} of bools is not defined: convert with .int()")
    if dim is not None:
        return along(input, dim, keepdim)
    if keepdim:
        raise TypeError(f"{what} of all elements takes no keepdim: name the dimension")
    if not input.numel():  # of no integers PyTorch's is what nan becomes as one
        empty = _sum(input)
        return empty + math.nan if input.dtype.is_floating_point else empty - 2**63
    value = along(reshape(input, (-1,)).detach(), 0).values
    if not input.dtype.is_floating_point:
        return value
    kept = apply(choosing.logical_or, (apply(choosing.le, (input, value)), _isnan(value)))
    return amax(_where(kept, input, -math.inf))


@face(exact=True)
def quantile(input: Tensor, q: Any, dim: Any = None, keepdim: bool = False, *, interpolation: str = "linear") -> Tensor:
    """The q-th quantiles (0 to 1, a number or a 1-d tensor) over `dim` or all; nan where there is one.

    Those of several `q` are along a new first dimension. Between two elements `interpolation` decides: linear, lower, higher,
    midpoint, nearest.
    """
    return _quantile("quantile", input, q, dim, keepdim, interpolation)


@face(exact=True)
def nanquantile(input: Tensor, q: Any, dim: Any = None, keepdim: bool = False, *, interpolation: str = "linear") -> Tensor:
    """`quantile` of the elements that are not nan."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation)


def _quantile(what: str, input: Tensor, q: Any, dim: Any, keepdim: bool, interpolation: str) -> Tensor:
    if not input.numel():
        raise RuntimeError(f"{what}: a tensor of shape {list(input.shape)} has no elements, and so no quantiles")
    if input.dtype.name not in ("float32", "float64"):
        raise NotImplementedError(
            f"{what} needs float32 or float64, and this tensor is {input.dtype.name}: convert with .float()"
        )
    if interpolation not in _BETWEEN:
        raise RuntimeError(f"{what}: interpolation must be one of {', '.join(_BETWEEN)}, not {interpolation!r}")
    if not isinstance(q, Tensor):
        if isinstance(q, bool) or not isinstance(q, (int, float, np.number)):
            raise TypeError(f"{what}: q must be a number or a tensor, not {type(q).__name__}")
        if not 0 <= q <= 1:
            raise RuntimeError(f"{what}: q must be from 0 to 1, and it is {q}")
    else:
        _check_tensor_of_q(what, q, input)
    d = 0 if dim is None else axis(dim, input.ndim)
    x = reshape(input, (-1,)) if dim is None or not input.ndim else input
    one = not isinstance(q, Tensor) or not q.ndim
    wanted = reshape(q, [-1 if k == d else 1 for k in range(x.ndim)]) if isinstance(q, Tensor) else q
    found = _at_ranks(x, wanted, d, what == "nanquantile", interpolation)
    shape = [n for k, n in enumerate(x.shape) if k != d]
    if keepdim:
        shape = [1] * input.ndim if dim is None else [1 if k == d else n for k, n in enumerate(input.shape)]
    if one:
        return reshape(found, shape)
    order = (d, *[k for k in range(found.ndim) if k != d])
    return reshape(found.permute(*order), (found.shape[d], *shape))


def _check_tensor_of_q(what: str, q: Tensor, input: Tensor) -> None:
    if q.ndim > 1:
        raise RuntimeError(f"{what}: q must be a number or have one dimension, and its shape is {list(q.shape)}")
    if q._held.dtype != input._held.dtype:
        raise RuntimeError(f"{what}: q is {q.dtype.name} and the tensor {input.dtype.name}: they must be equal")
    known = None if q.is_cuda else q._value
    if known is not None and np.size(known) and not (np.min(known) >= 0 and np.max(known) <= 1):
        raise RuntimeError(f"{what}: q must be from 0 to 1, and it is {np.asarray(known).tolist()}")


_BETWEEN = ("linear", "lower", "higher", "midpoint", "nearest")


def _at_ranks(x: Tensor, q: Any, d: int, numbers: bool, interpolation: str) -> Tensor:
    """The elements at the ranks that quantiles have along a dimension, and between two of them."""
    values, n = _sort(x, d).values, x.shape[d]
    missing = _sum(_isnan(values), d, True)
    if numbers:
        last = apply(choosing.clamp, (n - 1 - missing,), {"min": 0, "max": None})
        ranks = _cast(last, x._held.dtype) * q
    else:
        ranks = _cast(missing, x._held.dtype) * 0 + q * (n - 1)
        ranks = _where(apply(choosing.gt, (missing, 0)), float(n - 1), ranks)
    rounds = {"lower": choosing.floor, "higher": choosing.ceil, "nearest": choosing.round}.get(interpolation, choosing.floor)
    at = apply(rounds, (ranks,))
    below = _gathered(values, at, d)
    if interpolation not in ("linear", "midpoint"):
        return below
    above = _gathered(values, apply(choosing.ceil, (ranks,)), d)
    weight = ranks - at if interpolation == "linear" else 0.5
    return below + (above - below) * weight


def _gathered(values: Tensor, at: Tensor, d: int) -> Tensor:
    shape = [at.shape[d] if k == d else n for k, n in enumerate(values.shape)]
    return apply(gather, (values, _cast(at, COUNT).expand(*shape)), {"dim": d})


def dist(input: Tensor, other: Tensor, p: Any = 2) -> Tensor:
    """The p-norm of `input - other`."""
    return _norm(input - other, p)


@face(inplace=True, exact=True)
def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """The slices along `dim`, those of a p-norm larger than `maxnorm` scaled to have that norm."""
    if not p > 0:
        raise RuntimeError(f"renorm: p must be positive, and it is {p}")
    if not maxnorm >= 0:
        raise RuntimeError(f"renorm: maxnorm must not be negative, and it is {maxnorm}")
    if input.ndim < 2:
        raise RuntimeError(f"renorm: slices are of a tensor of two dimensions or more, and its shape is {list(input.shape)}")
    return _renorm(input, p, axis(dim, input.ndim), maxnorm)


@in_single
def _renorm(input: Tensor, p: float, d: int, maxnorm: float) -> Tensor:
    norms = _norm(input, p, tuple([k for k in range(input.ndim) if k != d]), True)
    large = apply(choosing.gt, (norms, maxnorm))
    return input * _where(large, maxnorm / (norms + 1e-7), 1)


def cov(input: Tensor, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None) -> Tensor:
    """The covariances of variables, one a row, of which each column is an observation; of complex ones those with conjugates.

    `fweights` (integers) say how often each was made, `aweights` how much it counts.
    """
    if input.ndim > 2:
        raise RuntimeError(f"cov: variables are the rows of a matrix, and the shape is {list(input.shape)}")
    if input.dtype.name == "bool":
        raise RuntimeError("cov: observations are numbers, not bools: convert with .float()")
    x = reshape(input, (1, -1)) if input.ndim < 2 else input
    if not x.dtype.has_gradient:
        x = _cast(x, dtypes.default())
    for name, weights, whole in (("fweights", fweights, True), ("aweights", aweights, False)):
        if weights is not None:
            _check_weights(name, weights, whole, x.shape[1])
    return _cov(x, fweights, aweights, correction)


def _check_weights(name: str, weights: Tensor, whole: bool, count: int) -> None:
    if weights.ndim > 1:
        raise RuntimeError(f"cov: {name} has one dimension, and its shape is {list(weights.shape)}")
    if weights.dtype.is_floating_point == whole or weights.dtype.name == "bool":
        kind = "an integer" if whole else "a floating"
        raise RuntimeError(f"cov: {name} needs {kind} dtype, and it is {weights.dtype.name}")
    if weights.numel() != count:
        raise RuntimeError(f"cov: there are {count} observations, and {name} has {weights.numel()} weights")
    known = None if weights.is_cuda else weights._value
    if known is not None and np.size(known) and np.min(known) < 0:
        raise RuntimeError(f"cov: {name} must not be negative")


@in_single
def _cov(x: Tensor, fweights: Tensor | None, aweights: Tensor | None, correction: int) -> Tensor:
    n = x.shape[1]
    given = [w for w in (fweights, aweights) if w is not None]
    if not given:
        degrees: Any = max(n - correction, 0)
        centred = x - _sum(x, 1, True) / n if n else x
        return _alone(_over(matmul(centred, adjoint(centred)), degrees))
    weights = given[0] if len(given) == 1 else given[0] * given[1]
    total = _sum(weights)
    degrees = total - correction
    if aweights is not None and correction:
        degrees = total - correction * _sum(weights * aweights) / total
    common = dtypes.promote(x._held.dtype, weights._held.dtype)
    x, weights = _cast(x, common), _cast(weights, common)
    centred = x - unsqueeze(_sum(x * weights, 1) / total, 1)
    degrees = apply(choosing.clamp, (degrees,), {"min": 0, "max": None})
    return _alone(matmul(centred * weights, adjoint(centred)) / degrees)


def _over(x: Tensor, degrees: int) -> Tensor:
    return x / (apply(choosing.zeros_like, (x,)) + degrees)


def _alone(x: Tensor) -> Tensor:
    """One variance without dimensions."""
    return reshape(x, ()) if tuple(x.shape) == (1, 1) else x


def corrcoef(input: Tensor) -> Tensor:
    """Pearson's correlation coefficients of variables, one a row, of which each column is an observation."""
    if input.ndim > 2:
        raise RuntimeError(f"corrcoef: variables are the rows of a matrix, and the shape is {list(input.shape)}")
    return _corrcoef(cov(input))


@in_single
def _corrcoef(c: Tensor) -> Tensor:
    if not c.ndim:
        return c / c
    own = np.eye(c.shape[0], dtype=bool)
    deviations = _sqrt(_sum(_where(own, real(c), 0), 1))
    scaled = c / unsqueeze(deviations, 1) / unsqueeze(deviations, 0)
    if scaled.dtype.is_complex:
        return view_as_complex(_in_range(view_as_real(scaled)))
    return _in_range(scaled)


def _in_range(x: Tensor) -> Tensor:
    return apply(choosing.clamp, (x,), {"min": -1.0, "max": 1.0})
