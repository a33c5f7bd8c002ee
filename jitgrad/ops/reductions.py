"""Reductions, and the normalised functions built around them (softmax and its kin).

`dim` is a tuple of non-negative ints by the time a row sees it, or a single int for ops along one dimension.
`lower` says the same in simpler rows: the JIT sweep compiles those, and where a row has no rule of its own its
derivative is that of `lower`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jitgrad.ops.arithmetic import add, exp, log, log1p, mul, pow_scalar
from jitgrad.ops.choosing import abs, cast, eq, logical_or, maximum, minimum, ne, real_part, where, zeros_like
from jitgrad.ops.indexing import places
from jitgrad.ops.movement import SAMPLES, cat, count, expand, flip, narrow, over_dims, reduced, reshape, spread, sum
from jitgrad.ops.shapes import Spec, axes, axis, reduced_shape
from jitgrad.ops.sums import running, summed
from jitgrad.ops.table import Fold, Running, reduction, register

COUNT = np.dtype(np.int64)
ALONG = [((3, 4), {"dim": 1}), ((3, 4), {"dim": 0})]


def over_some(x: Any, dim: Any = None, keepdim: bool = False) -> dict[str, Any]:
    """As `_over`, for reductions that have no value over nothing."""
    found = over_dims(x, dim, keepdim)
    if 0 in [x.shape[d] for d in found["dim"] if x.ndim]:
        kind = RuntimeError if dim in (None, (), []) else IndexError
        raise kind(
            f"nothing to reduce: shape {tuple(x.shape)} is empty along dim={dim}, and an extreme of no elements has no value"
        )
    return found


def _along(x: Any, dim: int) -> dict[str, Any]:
    return {"dim": axis(dim, x.ndim)}


def total(x: Any, dim: int | tuple[int, ...]) -> Any:
    """The sum over `dim`, kept as a dimension of size 1 and repeated to the shape of `x`."""
    dims = (dim,) if isinstance(dim, int) else dim
    return spread(sum(x, dim=dims, keepdim=True), x.shape, dims, True)


def _tied(g: Any, x: Any, y: Any, dim: tuple[int, ...], keepdim: bool) -> Any:
    """The cotangent of an extreme, shared equally by all elements that attain it."""
    hit = logical_or(x == spread(y, x.shape, dim, keepdim), x != x)  # nan attains an extreme that is nan
    shared = spread(g, x.shape, dim, keepdim) / total(where(hit, zeros_like(x) + 1, zeros_like(x)), dim)
    return where(hit, shared, 0)


def _prod_tree(x: Any, dim: tuple[int, ...], keepdim: bool) -> Any:
    """A tree of products: its derivatives of every order are right where elements are zero."""
    shape = reduced_shape(x.shape, dim, keepdim)
    # Squares of no factors and powers of one have derivatives that can be differentiated, as those of more factors.
    if not count(x.shape, dim):  # the product of nothing
        return sum(mul(x, x), dim=dim, keepdim=keepdim) + 1
    if count(x.shape, dim) == 1:
        return reshape(pow_scalar(x, exponent=1), shape=shape)
    for d in dim if x.shape else ():
        while x.shape[d] > 1:
            half = x.shape[d] // 2
            pairs = mul(narrow(x, dim=d, start=0, length=half), narrow(x, dim=d, start=half, length=half))
            rest = x.shape[d] - 2 * half
            x = cat(pairs, narrow(x, dim=d, start=2 * half, length=rest), dim=d) if rest else pairs
    return reshape(x, shape=shape)


mean = reduction(
    lambda x, dim, keepdim: summed(x, dim, keepdim) / x.dtype.type(count(x.shape, dim)),
    vjp=lambda g, x_shape, dim, keepdim: spread(g / count(x_shape, dim), x_shape, dim, keepdim),
    linear=True,
    lower=lambda x, dim, keepdim: sum(x, dim=dim, keepdim=keepdim) / count(x.shape, dim),
    prepare=over_dims,
    shape=reduced,
    samples=lambda: SAMPLES,
    result="floating",
    hot=True,
    oracle="np.mean(x, dim, keepdims=keepdim)",
    on_complex="linear",
)
prod = reduction(
    lambda x, dim, keepdim: np.multiply.reduce(x, axis=dim, keepdims=keepdim, dtype=x.dtype),
    fold=Fold(mul, 1.0, wide=True),
    prepare=over_dims,
    shape=reduced,
    lower=_prod_tree,
    samples=lambda: SAMPLES,
    result="sum",
    hot=True,
    oracle="np.prod(x, dim, keepdims=keepdim)",
    on_complex="linear",
)
amax = reduction(
    lambda x, dim, keepdim: np.maximum.reduce(x, axis=dim, keepdims=keepdim),
    fold=Fold(maximum, -math.inf, wide=False),
    prepare=over_some,
    shape=reduced,
    vjp=lambda g, x, y, dim, keepdim: _tied(g, x, y, dim, keepdim),
    samples=lambda: SAMPLES,
    oracle="np.max(x, dim, keepdims=keepdim)",
)
amin = reduction(
    lambda x, dim, keepdim: np.minimum.reduce(x, axis=dim, keepdims=keepdim),
    fold=Fold(minimum, math.inf, wide=False),
    prepare=over_some,
    shape=reduced,
    vjp=lambda g, x, y, dim, keepdim: _tied(g, x, y, dim, keepdim),
    samples=lambda: SAMPLES,
    oracle="np.min(x, dim, keepdims=keepdim)",
)


def _counted(hits: Any, dim: tuple[int, ...], keepdim: bool) -> Any:
    return sum(cast(hits, dtype=COUNT), dim=dim, keepdim=keepdim)


any = reduction(
    lambda x, dim, keepdim: np.logical_or.reduce(x, axis=dim, keepdims=keepdim),
    prepare=over_dims,
    exact=True,
    lower=lambda x, dim, keepdim: _counted(ne(x, 0), dim, keepdim) > 0,
    numpy=True,
    shape=lambda x, dim, keepdim: Spec(reduced_shape(x.shape, dim, keepdim), np.dtype(bool)),
    samples=lambda: SAMPLES,
    oracle="np.any(x, dim, keepdims=keepdim)",
    on_complex="linear",
)
all = reduction(
    lambda x, dim, keepdim: np.logical_and.reduce(x, axis=dim, keepdims=keepdim),
    prepare=over_dims,
    exact=True,
    lower=lambda x, dim, keepdim: _counted(eq(x, 0), dim, keepdim) < 1,
    numpy=True,
    shape=lambda x, dim, keepdim: Spec(reduced_shape(x.shape, dim, keepdim), np.dtype(bool)),
    samples=lambda: SAMPLES,
    oracle="np.all(x, dim, keepdims=keepdim)",
    on_complex="linear",
)


def _arg(pick: Any) -> Any:
    def run(x: Any, dim: int | None, keepdim: bool) -> Any:
        if dim is None:
            found = pick(x)
            return np.reshape(found, (1,) * x.ndim) if keepdim else found
        return pick(x, axis=dim, keepdims=keepdim) if x.ndim else np.int64(0)

    return run


def _one_or_all(x: Any, dim: Any = None, keepdim: bool = False) -> dict[str, Any]:
    found = over_some(x, tuple(range(x.ndim)) if dim is None else dim, keepdim)
    return {"dim": None if dim is None else axis(dim, x.ndim), "keepdim": found["keepdim"]}


def _arg_shape(x: Any, dim: int | None, keepdim: bool) -> Spec:
    return Spec(reduced_shape(x.shape, axes(dim, len(x.shape)), keepdim), np.dtype(np.int64))


def _first(pick: Any) -> Any:
    """The first place of an extreme, or of nan, as the least of the numbers of all such places."""

    def lower(x: Any, dim: int | None, keepdim: bool) -> Any:
        shape = tuple(x.shape)
        if dim is None or not shape:
            x, d = reshape(x, shape=(math.prod(shape),)), 0
        else:
            d = dim
        x = cast(x, dtype=COUNT) if x.dtype == np.dtype(bool) else x
        n, along = x.shape[d], tuple([m if k == d else 1 for k, m in enumerate(x.shape)])
        numbers = expand(reshape(cast(places(x, size=n), dtype=COUNT), shape=along), shape=tuple(x.shape))
        hit = logical_or(eq(x, spread(pick(x, dim=(d,), keepdim=True), x.shape, (d,), True)), ne(x, x))
        found = amin(where(hit, numbers, n), dim=(d,), keepdim=True)
        kept = tuple([1 if dim is None or k == d else m for k, m in enumerate(shape)])
        return reshape(found, shape=kept if keepdim else () if dim is None or not shape else shape[:d] + shape[d + 1 :])

    return lower


ARG_SAMPLES = [((3, 4), {"dim": 1, "keepdim": False}), ((3, 4), {"dim": None, "keepdim": False})]
argmax = reduction(
    _arg(np.argmax),
    lower=_first(amax),
    numpy=True,
    prepare=_one_or_all,
    shape=_arg_shape,
    samples=lambda: ARG_SAMPLES,
    exact=True,
    oracle="np.argmax(x, dim, keepdims=keepdim)",
)
argmin = reduction(
    _arg(np.argmin),
    lower=_first(amin),
    numpy=True,
    prepare=_one_or_all,
    shape=_arg_shape,
    samples=lambda: ARG_SAMPLES,
    exact=True,
    oracle="np.argmin(x, dim, keepdims=keepdim)",
)


def _finite_peak(x: Any, dim: Any) -> Any:
    top = np.maximum.reduce(x, axis=dim, keepdims=True, initial=-np.inf if x.size == 0 else None)
    return np.where(np.isfinite(top), top, x.dtype.type(0))


def _lower_peak(x: Any, dim: Any) -> Any:
    top = (sum if 0 in x.shape else amax)(x, dim=dim, keepdim=True)
    return where(abs(top) == math.inf, 0, top)


def _logsumexp(x: Any, dim: tuple[int, ...], keepdim: bool) -> Any:
    """log1p of what the others add to the largest: the logarithm of 1 and little would have lost that."""
    top = _finite_peak(x, dim)
    largest = x == top
    others = summed(np.where(largest, x.dtype.type(0), np.exp(x - top)), dim, True)
    out = np.log1p(others + (summed(largest.astype(x.dtype), dim, True) - 1)) + top
    return out if keepdim else np.reshape(out, reduced_shape(x.shape, dim, False))[()]


def _lower_logsumexp(x: Any, dim: tuple[int, ...], keepdim: bool) -> Any:
    top = _lower_peak(x, dim)
    peak = spread(top, x.shape, dim, True)
    others = sum(where(x == peak, 0, exp(x - peak)), dim=dim, keepdim=True)
    ties = sum(where(x == peak, zeros_like(x) + 1, zeros_like(x)), dim=dim, keepdim=True)
    out = log1p(others + (ties - 1)) + top
    return out if keepdim else reshape(out, shape=reduced_shape(x.shape, dim, False))


def _logsumexp_of_complex(x: Any, dim: tuple[int, ...], keepdim: bool) -> Any:
    top = cast(_lower_peak(real_part(x), dim), dtype=getattr(x, "_held", x).dtype)
    out = log(sum(exp(x - spread(top, x.shape, dim, True)), dim=dim, keepdim=True)) + top
    return out if keepdim else reshape(out, shape=reduced_shape(x.shape, dim, False))


def _softmax(x: Any, dim: int) -> Any:
    e = np.exp(x - np.maximum.reduce(x, axis=dim, keepdims=True)) if x.ndim and x.size else np.exp(x - x)
    return e / summed(e, dim, True) if x.ndim else e


def _lower_softmax(x: Any, dim: int) -> Any:
    if not x.shape:
        return exp(x - x)
    e = exp(x - spread(amax(x, dim=(dim,), keepdim=True), x.shape, (dim,), True))
    return e / total(e, dim)


def _log_softmax(x: Any, dim: int) -> Any:
    if not x.ndim or not x.size:
        return x - x
    shifted = x - np.maximum.reduce(x, axis=dim, keepdims=True)
    return shifted - np.log(summed(np.exp(shifted), dim, True))


def _lower_log_softmax(x: Any, dim: int) -> Any:
    if not x.shape:
        return x - x
    shifted = x - spread(amax(x, dim=(dim,), keepdim=True), x.shape, (dim,), True)
    return shifted - spread(log(sum(exp(shifted), dim=(dim,), keepdim=True)), x.shape, (dim,), True)


def _shares(x: Any, y: Any, dim: tuple[int, ...], keepdim: bool) -> Any:
    """softmax, from the result of logsumexp, whose rounding would tell where x is large: dividing by the sum removes it.
    What is finite has no share beside infinity, whose own is nan."""
    e = exp(x - spread(y, x.shape, dim, keepdim))
    whole = total(e, dim)
    return e / where(whole == whole, whole, 1)


logsumexp = reduction(
    _logsumexp,
    lower=_lower_logsumexp,
    prepare=over_dims,
    shape=reduced,
    result="floating",
    samples=lambda: SAMPLES,
    vjp=lambda g, x, y, dim, keepdim: spread(g, x.shape, dim, keepdim) * _shares(x, y, dim, keepdim),
    hot=True,
    oracle="scipy.special.logsumexp(x, dim, keepdims=keepdim)",
    of_complex=_logsumexp_of_complex,
)
softmax = reduction(
    _softmax,
    lower=_lower_softmax,
    prepare=_along,
    shape=lambda x, dim: Spec(x.shape, x.dtype),
    result="floating",
    vjp=lambda g, y, dim: y * (g - total(g * y, dim)) if y.shape else zeros_like(g) + zeros_like(y),
    samples=lambda: ALONG,
    hot=True,
    aliases=("special.softmax",),
    oracle="scipy.special.softmax(x, dim)",
)
log_softmax = reduction(
    _log_softmax,
    lower=_lower_log_softmax,
    prepare=_along,
    shape=lambda x, dim: Spec(x.shape, x.dtype),
    vjp=lambda g, y, dim: g - exp(y) * total(g, dim) if y.shape else zeros_like(g) + zeros_like(y),
    result="floating",
    samples=lambda: ALONG,
    hot=True,
    aliases=("special.log_softmax",),
    oracle="scipy.special.log_softmax(x, dim)",
)


def _flipped(x: Any, dim: int) -> Any:
    return flip(x, dims=(dim,)) if x.shape else x


cumsum = reduction(
    running,
    running=Running((0,), (add,), wide=True),
    inplace=True,
    prepare=_along,
    exact=True,
    samples=lambda: ALONG,
    vjp=lambda g, dim: _flipped(cumsum(_flipped(g, dim), dim=dim), dim),
    linear=True,
    result="sum",
    shape=lambda x, dim: Spec(x.shape, x.dtype),
    hot=True,
    oracle="np.cumsum(x, dim)",
    on_complex="linear",
)

register(globals())
