"""Composites that change shapes, put tensors together and take them apart."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.functions.bind import bound
from jitgrad.functions.face import face
from jitgrad.functions.operands import as_tensors, listed, taken
from jitgrad.ops import TABLE
from jitgrad.ops.choosing import cast
from jitgrad.ops.movement import cat as cat_op
from jitgrad.ops.movement import narrow
from jitgrad.ops.movement import permute as permute_op
from jitgrad.ops.movement import reshape as reshape_op
from jitgrad.ops.movement import sizes as sizes_of
from jitgrad.ops.shapes import Spec, axes, axis
from jitgrad.record.apply import apply, copied
from jitgrad.record.foreign import by_numpy
from jitgrad.record.leaving import refuse_masked
from jitgrad.record.memory import decide
from jitgrad.record.promotion import ranks
from jitgrad.record.quick import is_operand, quick_one
from jitgrad.record.weak import number
from jitgrad.tensors.size import Size
from jitgrad.tensors.tensor import Tensor

_kept = functools.lru_cache(maxsize=1024, typed=True)
"""For parameters worked out from shapes and dimensions, which recur."""


def _with_keyword(name: str, keyword: str) -> Callable:
    """A function of sizes or dimensions: one after the other, as one tuple, or by keyword."""
    op = TABLE[name]
    call, quick, prepare = bound(op), quick_one(op), op.prepare
    assert prepare is not None

    @_kept
    def canonical(shape: tuple[int, ...], *given: Any) -> dict[str, Any]:
        return prepare(Spec(shape, np.dtype(np.float32)), *given)

    def function(input: Tensor, *given: Any, **kwargs: Any) -> Tensor:
        input = input if input.__class__ is Tensor else taken(input)
        if given and not kwargs and isinstance(input, Tensor):
            try:
                params = canonical(input._held.shape, *given)
            except TypeError:  # a list, which has no hash, or something wrong
                return call(input, *given)
            return quick(input, params)
        if keyword in kwargs:
            given = (kwargs.pop(keyword),)
        if not given and isinstance(input, Tensor) and input.ndim:
            raise TypeError(f"{name} needs {keyword}, as in x.{name}(...) or {keyword}=(...)")
        return call(input, *given, **kwargs)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = call.__doc__
    return function


_reshape, _permute = quick_one(reshape_op), quick_one(permute_op)
reshape, permute = (face(bare=True)(_with_keyword(*names)) for names in (("reshape", "shape"), ("permute", "dims")))
_expand, flip = _with_keyword("expand", "size"), _with_keyword("flip", "dims")


@face(bare=True)
def expand(input: Tensor, *size: Any, **kwargs: Any) -> Tensor:
    """The tensor repeated along dimensions of size 1 and new ones in front, without taking memory; -1 keeps a size."""
    input = input if input.__class__ is Tensor else taken(input)
    out = _expand(input, *size, **kwargs)
    return reshape(input, tuple(out.shape)) if out.numel() == input.numel() else out  # nothing repeated: can be written


@face(bare=True)
def view(input: Tensor, *shape: Any, **kwargs: Any) -> Tensor:
    """The same memory in another shape; RuntimeError where that takes a copy, which `reshape` makes."""
    input = input if input.__class__ is Tensor else taken(input)
    out = reshape(input, *shape, **kwargs)
    decide(out)
    if out._view is None and input.numel():
        raise RuntimeError(
            f"view: elements of this tensor of shape {list(input.shape)} are not in memory in an order "
            f"that shape {list(out.shape)} can look at: use reshape(), which copies"
        )
    return out


def ravel(input: Tensor) -> Tensor:
    """All elements in one dimension."""
    return reshape(input, -1)


def broadcast_to(input: Tensor, size: Sequence[int]) -> Tensor:
    """`expand`, by NumPy's name."""
    return expand(input, *size)


@face("moveaxis")
def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """Move dimensions, one or several, to other places; the others keep their order."""
    starts, ends = (_in_given_order(d, input.ndim, n) for d, n in ((source, "source"), (destination, "destination")))
    if len(starts) != len(ends):
        raise RuntimeError(f"movedim: source={source} and destination={destination} must name as many dimensions")
    if not input.ndim:
        return permute(input, ())
    order = [d for d in range(input.ndim) if d not in starts]
    for end, start in sorted(zip(ends, starts)):
        order.insert(end, start)
    return permute(input, order)


def _in_given_order(dims: Any, ndim: int, what: str) -> list[int]:
    """Dimensions, one or several, as non-negative ints, each once."""
    found = [axis(d, ndim, what=what) for d in (dims if isinstance(dims, (tuple, list)) else (dims,))]
    if len(set(found)) != len(found):
        raise RuntimeError(f"{what}={dims} names a dimension twice: each may appear once")
    return found


def repeat(input: Tensor, *repeats: Any) -> Tensor:
    """The tensor laid side by side, `repeats` times along each dimension; more of them add dimensions in front."""
    times = sizes_of(repeats)
    lead = len(times) - input.ndim
    if lead < 0:
        raise RuntimeError(f"repeat: {len(times)} numbers for a tensor of {input.ndim} dimensions: give one for each")
    if any(n < 0 for n in times):
        raise RuntimeError(f"repeat: the numbers must not be negative, and they are {times}")
    sizes = [1] * lead + list(input.shape)
    apart = reshape(input, [n for size in sizes for n in (1, size)])
    wide = expand(apart, [n for pair in zip(times, sizes) for n in pair])
    return reshape(copied(wide), [k * size for k, size in zip(times, sizes)])


def select(input: Tensor, dim: int, index: int) -> Tensor:
    """The slice at `index` along `dim`, that dimension removed."""
    return input[(slice(None),) * axis(dim, input.ndim) + (index,)]


def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """Drop dimensions of size 1: all, or those in `dim`."""
    drop = None if dim is None else () if isinstance(dim, tuple) and not dim else axes(dim, input.ndim)
    shape = [n for i, n in enumerate(input._held.shape) if n != 1 or (drop is not None and i not in drop)]
    return _reshape(input, {"shape": tuple(shape)})


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """Insert a dimension of size 1 at `dim`."""
    params = _unsqueezed if dim.__class__ is int else _unsqueezed.__wrapped__
    return _reshape(input, params(input._held.shape, dim))


@_kept
def _unsqueezed(shape: tuple[int, ...], dim: int) -> dict[str, Any]:
    d = axis(dim, len(shape) + 1)
    return {"shape": (*shape[:d], 1, *shape[d:])}


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Make the dimensions from `start_dim` to `end_dim` into one."""
    first, last = axis(start_dim, input.ndim), axis(end_dim, input.ndim)
    if first > last:
        raise RuntimeError(f"flatten: start_dim={start_dim} comes after end_dim={end_dim}")
    shape = input.shape
    return reshape(input, (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))


@face("swapdims", bare=True)
def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Swap two dimensions."""
    input = input if input.__class__ is Tensor else taken(input)
    n = input.ndim
    dims = list(range(n))
    a, b = axis(dim0, n), axis(dim1, n)
    if dims:
        dims[a], dims[b] = dims[b], dims[a]
    return _permute(input, {"dims": tuple(dims)})


def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """`transpose`, by NumPy's name."""
    return transpose(input, axis0, axis1)


def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; RuntimeError for more than two dimensions."""
    if input.ndim > 2:
        raise RuntimeError(f"t() is for at most 2 dimensions, and this tensor has {input.ndim}: use transpose or mT")
    return apply(permute_op, (input,), {"dims": tuple(reversed(range(input.ndim)))})


def _together(tensors: Sequence[Tensor], what: str) -> list[Tensor]:
    if isinstance(tensors, (Tensor, np.ndarray)):
        raise TypeError(f"{what} takes a list or tuple of tensors, not one tensor: {what}(list(x), dim) takes its slices")
    if not isinstance(tensors, (list, tuple)) and not hasattr(tensors, "__iter__"):
        raise TypeError(f"{what} takes a list or tuple of tensors, not {type(tensors).__name__}")
    many = [by_numpy(x) for x in tensors]
    if not many:
        raise (ValueError if what == "cat" else RuntimeError)(f"{what} needs at least one tensor")
    if all(isinstance(x, Tensor) for x in many):
        first = many[0]._held.dtype
        if all(x._held.dtype is first for x in many):
            return many
    for x in many:
        refuse_masked(x)
        found = number(x) if what == "cat" else None
        if found is not None or not is_operand(x):
            kind = type(x) if found is None else found.kind
            raise TypeError(f"{what} takes a sequence of tensors, and one item is {kind.__name__}: a number goes into stack")
    common = dtypes.result_type(ranks(many))
    return [x if x._held.dtype == common else apply(cast, (x,), {"dtype": common}) for x in as_tensors(many)]


@face("concatenate", "concat", method=False)
def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Put tensors one after the other along `dim`; the other sizes must be equal."""
    many = _together(tensors, "cat")
    shapes = [tuple(x._held.shape) for x in many]
    if (0,) in shapes and len(set(map(len, shapes))) > 1:  # PyTorch takes 1-d tensors of nothing beside those of any shape
        like = next(shape for shape in shapes if shape != (0,))
        d = axis(dim, len(like))
        empty = {"shape": (*like[:d], 0, *like[d + 1 :])}
        many = [_reshape(x, empty) if shape == (0,) else x for x, shape in zip(many, shapes)]
        shapes = [tuple(x._held.shape) for x in many]
    if () in shapes:
        raise RuntimeError("cat: 0-d tensors have no dimension to join along: use stack")
    d = axis(dim, len(shapes[0]))
    if len({(len(shape), shape[:d], shape[d + 1 :]) for shape in shapes}) > 1:
        raise RuntimeError(f"cat: sizes must be equal except along dim={dim}, got {[list(shape) for shape in shapes]}")
    return apply(cat_op, many, {"dim": d})


@face(method=False)
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Join tensors of equal shape along a new dimension."""
    many = _together(tensors, "stack")
    shapes = [tuple(x._held.shape) for x in many]
    shape, d = shapes[0], axis(dim, len(shapes[0]) + 1)
    if len(set(shapes)) > 1:
        raise RuntimeError(f"stack: shapes must be equal, got {[list(shape) for shape in shapes]}")
    if d == len(shape):
        return apply(cat_op, [unsqueeze(x, d) for x in many], {"dim": d})
    return _reshape(apply(cat_op, many, {"dim": d}), {"shape": (*shape[:d], len(many), *shape[d:])})


@face("unsafe_split")
def split(tensor: Tensor, split_size_or_sections: Any = None, dim: int = 0, *, split_size: Any = None) -> tuple[Tensor, ...]:
    """Pieces along `dim`: of one size (the last may be smaller), or of the sizes in a list."""
    if split_size is not None:
        split_size_or_sections = split_size
    if not isinstance(split_size_or_sections, (int, list, tuple)):
        raise TypeError(f"split: a size or a list of sizes is needed, not {type(split_size_or_sections).__name__}")
    if not tensor.ndim:
        raise RuntimeError("split: a 0-d tensor has no dimension to split")
    d = axis(dim, tensor.ndim)
    size = tensor.shape[d]
    if isinstance(split_size_or_sections, int):
        step = split_size_or_sections
        if step < 0 or (step == 0 and size):
            raise RuntimeError(f"split: the size of a piece must be positive, not {step}")
        sizes = [min(step, size - start) for start in range(0, size, step or 1)] or [0]
    else:
        sizes = list(split_size_or_sections)
        if sum(sizes) != size or min(sizes, default=0) < 0:
            raise RuntimeError(f"split: the sizes {sizes} are negative or do not add up to {size}, the size of dimension {d}")
    pieces, start = [], 0
    for n in sizes:
        pieces.append(apply(narrow, (tensor,), {"dim": d, "start": start, "length": n}))
        start += n
    return tuple(pieces)


@face("unsafe_chunk")
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` pieces of equal size along `dim`."""
    if not isinstance(chunks, int):
        raise TypeError(f"chunk: the number of pieces is an int, not {type(chunks).__name__}")
    if not input.ndim:
        raise RuntimeError("chunk: a 0-d tensor has no dimension to split")
    if chunks <= 0:
        raise RuntimeError(f"chunk: the number of pieces must be positive, not {chunks}")
    size = input.shape[axis(dim, input.ndim)]
    return split(input, -(-size // chunks) if size else [0] * chunks, dim)


def view_as(input: Tensor, other: Tensor) -> Tensor:
    """`input` in the shape of `other`."""
    return view(input, *other.shape)


def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """`input` in the shape of `other`, copied if it must be."""
    return reshape(input, tuple(other.shape))


def unflatten(input: Tensor, dim: int, sizes: Any) -> Tensor:
    """One dimension parted into several of the given sizes, of which one may be -1."""
    d, parts = axis(dim, input.ndim), sizes_of((sizes,))
    size = input.shape[d] if input.ndim else 1
    known = math.prod(n for n in parts if n != -1)
    if not parts:
        raise RuntimeError("unflatten: sizes must not be empty")
    if parts.count(-1) == 1 and known and size % known == 0:
        parts[parts.index(-1)] = size // known
    if -1 in parts or math.prod(parts) != size:
        raise RuntimeError(f"unflatten: sizes {parts} do not multiply to {size}, the size of dimension {d}")
    return _reshape(input, {"shape": (*input.shape[:d], *parts, *input.shape[d + 1 :])})


def sum_to_size(input: Tensor, *size: Any) -> Tensor:
    """Summed to a shape that broadcasts to that of `input`: over the dimensions in front that it lacks, and where it has 1."""
    wanted = tuple(sizes_of(size))
    lead = input.ndim - len(wanted)
    if lead < 0 or any(n not in (1, m) for n, m in zip(wanted, input.shape[max(lead, 0) :])):
        raise RuntimeError(f"sum_to_size: size {list(wanted)} does not broadcast to the shape {list(input.shape)} of the tensor")
    over = [d for d in range(input.ndim) if d < lead or (wanted[d - lead] == 1 and input.shape[d] != 1)]
    return _reshape(_sum(input, over, keepdim=True), {"shape": wanted}) if over else input


_sum = bound(TABLE["sum"])


@face(method=False)
def broadcast_shapes(*shapes: Any) -> Size:
    """The shape that tensors of these shapes have together; RuntimeError if they do not. An int is a shape of one size."""
    many = [tuple(sizes_of((shape,))) if isinstance(shape, (tuple, list)) else tuple(sizes_of(((shape,),))) for shape in shapes]
    if any(n < 0 for shape in many for n in shape):
        raise RuntimeError(f"broadcast_shapes: sizes must not be negative, and the shapes are {[list(s) for s in many]}")
    try:
        return Size(np.broadcast_shapes(*many))
    except ValueError:
        raise RuntimeError(f"shapes {[list(s) for s in many]} do not broadcast: sizes must be equal, or 1") from None


@face(method=False)
def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors expanded to the shape that they have together."""
    many = listed(tensors, "broadcast_tensors")
    shape = broadcast_shapes(*[tuple(x.shape) for x in many])
    return tuple([expand(x, tuple(shape)) for x in many])


def _at_least(tensors: tuple, ndim: int, shape_of: Callable[[tuple[int, ...]], tuple[int, ...]]) -> Any:
    several = len(tensors) != 1 or isinstance(tensors[0], (tuple, list))
    many = listed(tensors, f"atleast_{ndim}d")
    found = [x if x.ndim >= ndim else _reshape(x, {"shape": shape_of(tuple(x.shape))}) for x in many]
    return tuple(found) if several else found[0]


@face(method=False)
def atleast_1d(*tensors: Any) -> Any:
    """A number as a tensor of one dimension; of several tensors each, as a tuple."""
    return _at_least(tensors, 1, lambda shape: (1,))


@face(method=False)
def atleast_2d(*tensors: Any) -> Any:
    """What has fewer than 2 dimensions with new ones in front; of several tensors each, as a tuple."""
    return _at_least(tensors, 2, lambda shape: (1, *shape) if shape else (1, 1))


@face(method=False)
def atleast_3d(*tensors: Any) -> Any:
    """What has fewer than 3 dimensions with new ones: those of a matrix behind, of a vector on both sides."""
    return _at_least(tensors, 3, lambda shape: (*shape, 1) if len(shape) == 2 else (1, *shape, 1) if shape else (1, 1, 1))


def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """`input` repeated to the shape of `other`."""
    return expand(input, *other.shape)


def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have one shape."""
    return tuple(input.shape) == tuple(other.shape)
