"""Values written to, and read from, places that are given as indices."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.functions.face import face
from jitgrad.functions.indexing import scatter_add
from jitgrad.functions.positions import along, check_index, check_positions, is_bool
from jitgrad.functions.shaping import broadcast_tensors, expand, reshape
from jitgrad.ops.choosing import eq, ne, where
from jitgrad.ops.indexing import Slot, open_grid
from jitgrad.ops.indexing import index_put as put_op
from jitgrad.ops.scattering import scatter_max, scatter_min, scatter_prod
from jitgrad.ops.shapes import axis
from jitgrad.record.apply import apply
from jitgrad.record.index import parse
from jitgrad.record.precision import in_single
from jitgrad.record.trace import comes_later, made_here
from jitgrad.tensors.given import filling, numbers
from jitgrad.tensors.inplace import with_part
from jitgrad.tensors.tensor import Tensor, wrap


def _same_dtype(what: str, input: Tensor, src: Tensor, name: str) -> None:
    if not isinstance(src, Tensor):
        raise TypeError(f"{what}: {name} must be a tensor, not {type(src).__name__}")
    if src._held.dtype != input._held.dtype:
        raise RuntimeError(f"{what}: {name} is {src.dtype.name} and the tensor {input.dtype.name}: they must be equal")


def _one(what: str, value: Any, dtype: np.dtype) -> Tensor:
    """One number in the dtype of what it is written to."""
    if not isinstance(value, Tensor):
        return made_here(wrap(numbers(value, dtype)))
    if value.ndim:
        raise RuntimeError(f"{what}: the value must be one number, not of shape {list(value.shape)}")
    return filling(value, dtype)


def _sent(what: str, input: Tensor, dim: int, index: Any, src: Tensor) -> tuple[Tensor, int, Tensor, Tensor]:
    """What is scattered, with at least one dimension each: the tensor, the dimension, the index, and what belongs to it."""
    _same_dtype(what, input, src, "src")
    d, checked = check_index(what, input, dim, index)
    if index.numel() and (src.ndim != index.ndim or any(i > n for i, n in zip(index.shape, src.shape))):
        raise RuntimeError(f"{what}: index of shape {list(index.shape)} is larger than src of shape {list(src.shape)}")
    if not input.ndim:
        input = reshape(input, 1)
    if index.ndim:
        part = src[tuple([slice(n) for n in index.shape])] if tuple(src.shape) != tuple(index.shape) else src
    else:
        checked, part = reshape(checked, 1), reshape(src, 1)
    return input, d, checked, part


@face(inplace=True, exact=True)
def scatter(input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: Any = None) -> Tensor:
    """`input` with `src[i, j, k]`, or one number, at `[..., index[i, j, k], ...]`; with `reduce` "add" or "multiply" joined.

    Of several that are sent to one place the last one stays, and has the gradient.
    """
    src = value if src is None else src
    if src is None:
        raise TypeError("scatter needs src, a tensor, or value, a number")
    if not isinstance(src, Tensor) or (not src.ndim and index.ndim):
        src = expand(_one("scatter", src, input._held.dtype), tuple(index.shape))
    if reduce is not None:
        if reduce not in ("add", "multiply"):
            raise RuntimeError(f"scatter: reduce must be 'add' or 'multiply', not {reduce!r}: see scatter_reduce")
        return scatter_reduce(input, dim, index, src, "sum" if reduce == "add" else "prod")
    x, d, checked, part = _sent("scatter", input, dim, index, src)
    if not index.numel():
        return input.clone()
    return reshape(_put_along(x, d, checked, part), tuple(input.shape))


def _put_along(x: Tensor, d: int, index: Tensor, part: Tensor) -> Tensor:
    grid = [index if k == d else at for k, at in enumerate(open_grid(tuple(index.shape)))]
    return apply(put_op, (x, part, *grid), {"index": tuple([Slot(k) for k in range(x.ndim)])})


_REDUCTIONS = ("sum", "prod", "mean", "amax", "amin")


@face(inplace=True, exact=True)
def scatter_reduce(input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True) -> Tensor:
    """`input` with the sum, "prod", "mean", "amax" or "amin" of what is sent to each place: `src[i, j, k]` goes to
    `[..., index[i, j, k], ...]`. What was there takes part if `include_self`; where nothing is sent it stays."""
    if reduce not in _REDUCTIONS:
        raise RuntimeError(f"scatter_reduce: reduce must be one of {', '.join(_REDUCTIONS)}, not {reduce!r}")
    if reduce == "mean" and input.dtype.name == "bool":
        raise NotImplementedError("scatter_reduce: bools have no mean: convert with .float()")
    if reduce in ("amax", "amin") and input.dtype.is_complex:
        raise NotImplementedError(
            f"scatter_reduce: complex numbers are in no order, so there is no {reduce}: take abs() or .real"
        )
    x, d, checked, part = _sent("scatter_reduce", input, dim, index, src)
    if not index.numel():
        return input.clone()
    return reshape(_reduced(x, checked, part, d, reduce, include_self), tuple(input.shape))


@in_single
def _reduced(x: Tensor, index: Tensor, part: Tensor, d: int, reduce: str, include_self: bool) -> Tensor:
    x = x if include_self else apply(where, (_count(x, index, d) > 0, _neutral(reduce, x._held.dtype), x))
    if reduce in ("amax", "amin"):
        return apply(scatter_max if reduce == "amax" else scatter_min, (x, index, part), {"dim": d})
    if reduce == "prod":
        return _product(x, index, part, d)
    total = scatter_add(x, d, index, part)
    if reduce == "sum":
        return total
    count = _count(x, index, d)
    count = count + 1 if include_self else count.clamp(min=1)
    return total / count.to(x.dtype) if x.dtype.has_gradient else (total // count).to(x.dtype)


def _count(x: Tensor, index: Tensor, d: int) -> Tensor:
    """How many elements are sent to each place."""
    zeros, ones = (made_here(wrap(make(shape, np.int64))) for make, shape in ((np.zeros, x.shape), (np.ones, index.shape)))
    return scatter_add(zeros, d, index, ones)


def _neutral(reduce: str, dtype: np.dtype) -> Any:
    """What changes nothing, in that dtype."""
    if reduce not in ("amax", "amin"):
        return dtype.type(reduce == "prod")
    if dtype.kind == "b":
        return dtype.type(reduce == "amin")
    limits = (-np.inf, np.inf) if dtype.kind not in "iu" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return dtype.type(limits[reduce == "amin"])


def _product(x: Tensor, index: Tensor, part: Tensor, d: int) -> Tensor:
    """The product of what is there and what is sent.

    The derivative of a product is the product over the factor, which is none where that is 0. So zeros are multiplied apart:
    one as the sum of all zeros at a place, z; two as (z² - the sum of their squares) / 2, by which first and second derivatives
    are those of the product; the product of three and their derivatives up to the second are 0.
    """
    one, dtype = x._held.dtype.type(1), x.dtype
    zero, sent_zero = apply(eq, (x, 0)), apply(eq, (part, 0))
    others = apply(scatter_prod, (apply(where, (zero, one, x)), index, apply(where, (sent_zero, one, part))), {"dim": d})
    if not dtype.has_gradient:
        return apply(where, (scatter_add(zero.long(), d, index, sent_zero.long()) > 0, x._held.dtype.type(0), others))
    many = scatter_add(zero.to(dtype), d, index, sent_zero.to(dtype))
    own, sent = apply(where, (zero, x, 0)), apply(where, (sent_zero, part, 0))
    total = scatter_add(own, d, index, sent)
    pairs = (total * total - scatter_add(own * own, d, index, sent * sent)) / 2
    several = apply(where, (apply(eq, (many, 1)), total, apply(where, (apply(eq, (many, 2)), pairs, 0))))
    return apply(where, (apply(ne, (many, 0)), others * several, others))


# Along one dimension.


def _spread(what: str, input: Tensor, dim: int, index: Tensor, source: Tensor) -> tuple[Tensor, int, Tensor, Tensor]:
    """A tensor, a dimension, the places along it, and the slices for them; numbers have one place."""
    _same_dtype(what, input, source, "source")
    d = axis(dim, input.ndim)
    if isinstance(index, Tensor) and index.ndim > 1:
        raise IndexError(f"{what}: index must have one dimension, not shape {list(index.shape)}")
    checked = reshape(check_positions(what, index, input.shape[d] if input.ndim else 1, d, input.shape), -1)
    x = input if input.ndim else reshape(input, 1)
    wanted = (*x.shape[:d], checked.numel(), *x.shape[d + 1 :])
    single = not source.ndim and x.ndim == 1 and checked.numel() == 1
    if tuple(source.shape) != wanted and not single:
        raise (IndexError if what == "index_copy" else RuntimeError)(
            f"{what}: source must have the shape {list(wanted)}, not {list(source.shape)}"
        )
    return x, d, checked, reshape(source, wanted)


@face(inplace=True, exact=True)
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """`input` with the slices of `source` at the places along `dim` that a 1-d integer tensor names."""
    x, d, checked, part = _spread("index_copy", input, dim, index, source)
    out = apply(put_op, (x, part, checked), {"index": (*(slice(None),) * d, Slot(0), Ellipsis)})
    return reshape(out, tuple(input.shape))


@face(inplace=True, exact=True)
def index_reduce(input: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *, include_self: bool = True) -> Tensor:
    """`input` with the "prod", "mean", "amax" or "amin" of the slices of `source` that are sent to each place along `dim`."""
    if reduce not in _REDUCTIONS[1:]:
        raise RuntimeError(f"index_reduce: reduce must be one of {', '.join(_REDUCTIONS[1:])}, not {reduce!r}")
    x, d, checked, part = _spread("index_reduce", input, dim, index, source)
    places = expand(reshape(checked, [-1 if k == d else 1 for k in range(x.ndim)]), tuple(part.shape))
    return reshape(scatter_reduce(x, d, places, part, reduce, include_self=include_self), tuple(input.shape))


@face(inplace=True)
def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """`input` with one number in all slices along `dim` that a 1-d integer tensor names; negative places count from the end."""
    d = axis(dim, input.ndim)
    if not isinstance(index, Tensor) or index.dtype.name != "int64" or index.ndim > 1:
        raise IndexError("index_fill: index must be an int64 tensor of at most one dimension")
    one = _one("index_fill", value, input._held.dtype)
    x = input if input.ndim else reshape(input, 1)
    places = (*(slice(None),) * d, reshape(index, -1))
    return reshape(with_part(x, parse(places, tuple(x.shape)), one), tuple(input.shape))


# Anywhere.


@face(inplace=True)
def index_put(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """`input` with `values` at `input[indices]`, a tuple of integer or bool tensors; with `accumulate` added."""
    _same_dtype("index_put", input, values, "values")
    if not isinstance(indices, (tuple, list)):
        raise TypeError(f"index_put: indices must be a tuple of tensors, not {type(indices).__name__}")
    items = tuple([slice(None) if i is None else i for i in indices])
    return with_part(input, parse(items, tuple(input.shape)), values, accumulate)


@face(inplace=True)
def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """`input` with `source` at the places that `index` names, counted through all elements in order."""
    _same_dtype("put", input, source, "source")
    if not isinstance(index, Tensor) or index.dtype.name != "int64":
        raise RuntimeError("put: index must be an int64 tensor")
    if index.numel() != source.numel():
        raise IndexError(f"put: there are {index.numel()} places and {source.numel()} elements: give one for each")
    flat = with_part(reshape(input, -1), parse(reshape(index, -1), (input.numel(),)), reshape(source, -1), accumulate)
    return reshape(flat, tuple(input.shape))


@face(inplace=True)
def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """`input` with the elements of `source`, in order, where `mask` (bool) is true; tensor and mask are broadcast."""
    if not is_bool(mask):
        raise RuntimeError(f"masked_scatter: the mask must be a bool tensor, not {getattr(mask, 'dtype', type(mask).__name__)}")
    _same_dtype("masked_scatter", input, source, "source")
    x, where_ = broadcast_tensors(input, mask)
    have = source.numel()
    if not comes_later(mask) and int(where_._known("masked_scatter()").sum()) > have:
        raise RuntimeError(f"masked_scatter: the mask is true at more places than the {have} elements of source")
    if not have:
        return x.clone()
    order = (reshape(where_, -1).cumsum(0) - 1).clamp(0, have - 1)
    return apply(where, (where_, reshape(reshape(source, -1)[order], tuple(x.shape)), x))


@face(method=False)
def fill(input: Tensor, value: Any) -> Tensor:
    """One number in all places of a tensor of that shape and dtype."""
    one = _one("fill", value, input._held.dtype)
    return apply(put_op, (input, expand(one, tuple(input.shape))), {"index": (Ellipsis,)})


# Parts.


def _replaced(what: str, input: Tensor, place: tuple, src: Tensor) -> Tensor:
    wanted = input[place].shape
    if tuple(src.shape) != tuple(wanted):
        raise RuntimeError(f"{what}: src must have the shape of what it replaces, {list(wanted)}, not {list(src.shape)}")
    return with_part(input, parse(place, tuple(input.shape)), src.to(input.dtype))


def slice_scatter(
    input: Tensor, src: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:
    """`input` with `src` in the place of the slices from `start` to `end`, `step` apart, along `dim`."""
    return _replaced("slice_scatter", input, along(input, dim, start, end, step), src)


def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """`input` with `src` in the place of the slice at `index` along `dim`."""
    if not input.ndim:
        raise IndexError("select_scatter: a 0-d tensor has no dimension to take a slice of")
    return _replaced("select_scatter", input, (*[slice(None)] * axis(dim, input.ndim), index), src)
