"""Tensors put together and taken apart: stacks, tiles, grids."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.functions.face import face
from jitgrad.functions.operands import as_tensors, listed
from jitgrad.functions.shaping import (
    atleast_1d,
    atleast_2d,
    atleast_3d,
    cat,
    expand,
    flatten,
    movedim,
    repeat,
    reshape,
    split,
    stack,
    unsqueeze,
)
from jitgrad.ops.choosing import cast, le
from jitgrad.ops.movement import expand as expand_op
from jitgrad.ops.movement import narrow
from jitgrad.ops.movement import sizes as sizes_of
from jitgrad.ops.shapes import axis
from jitgrad.ops.strided import unstrided
from jitgrad.record.apply import apply, copied
from jitgrad.record.promotion import ranks
from jitgrad.record.trace import comes_later, made_here
from jitgrad.tensors.tensor import Tensor, wrap

MOST_PIECES = 1 << 24


def _sequence(tensors: Any, what: str) -> list[Tensor]:
    """The tensors of a list or tuple, or along the first dimension of one."""
    if not isinstance(tensors, (tuple, list, Tensor)):
        raise TypeError(f"{what} takes a list or tuple of tensors, not {type(tensors).__name__}")
    many = listed((list(tensors),), what)
    if not many:
        raise RuntimeError(f"{what} needs at least one tensor")
    return many


@face(method=False)
def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Put tensors side by side: along dimension 1, or 0 if they have just that."""
    many = atleast_1d(_sequence(tensors, "hstack"))
    return cat(many, 0 if many[0].ndim == 1 else 1)


@face("row_stack", method=False)
def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Put tensors below each other, along dimension 0; those of one dimension are rows."""
    return cat(atleast_2d(_sequence(tensors, "vstack")), 0)


@face(method=False)
def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """Put tensors behind each other, along dimension 2."""
    return cat(atleast_3d(_sequence(tensors, "dstack")), 2)


@face(method=False)
def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Put tensors side by side; those of one dimension, and numbers, are columns."""
    return hstack([x if x.ndim > 1 else reshape(x, (x.numel(), 1)) for x in _sequence(tensors, "column_stack")])


def _cuts(what: str, given: Any, size: int) -> list[int]:
    """The sizes of pieces: so many that differ by one at most, or those between indices."""
    if isinstance(given, Tensor):
        if given.ndim > 1 or given.dtype.name != "int64":
            raise RuntimeError(f"{what}: a tensor of sections or indices is int64 and 0-d or 1-d, not {given!r}")
        given = [int(i) for i in given] if given.ndim else int(given)
    if isinstance(given, (tuple, list)):
        ends = [0, *[int(slice(None, i).indices(size)[1]) for i in given], size]
        return [max(end - start, 0) for start, end in itertools.pairwise(ends)]
    if not 0 < given < MOST_PIECES:
        raise RuntimeError(
            f"{what}: the number of sections must be positive, and one of tensors that memory can have, not {given}"
        )
    return [size // given + (k < size % given) for k in range(given)]


def tensor_split(
    input: Tensor, indices_or_sections: Any = None, dim: int = 0, *, indices: Any = None, sections: Any = None
) -> tuple[Tensor, ...]:
    """Pieces along `dim`, as views: so many of (nearly) one size, or those that end at the indices of a list or tensor."""
    given = next((g for g in (indices_or_sections, indices, sections) if g is not None), None)
    if not isinstance(given, (int, tuple, list, Tensor)):
        raise TypeError(f"tensor_split: a number of sections or indices are needed, not {type(given).__name__}")
    if not input.ndim:
        raise RuntimeError("tensor_split: a 0-d tensor has no dimension to split")
    d = axis(dim, input.ndim)
    size = input.shape[d]
    sizes = _cuts("tensor_split", given, size)
    if isinstance(given, int) or (isinstance(given, Tensor) and not given.ndim):
        starts = list(itertools.accumulate(sizes, initial=0))
    else:
        starts = [0, *[slice(i, None).indices(size)[0] for i in map(int, given)]]
    pieces = [apply(narrow, (input,), {"dim": d, "start": start, "length": n}) for start, n in zip(starts, sizes)]
    return tuple(pieces)


def _split_evenly(what: str, input: Tensor, given: Any, dim: int, least: int) -> tuple[Tensor, ...]:
    if input.ndim < least:
        raise RuntimeError(f"{what} needs a tensor of at least {least} dimension{'s' * (least > 1)}, and this has {input.ndim}")
    if isinstance(given, int) and (given <= 0 or input.shape[dim] % given):
        raise RuntimeError(f"{what}: {given} pieces of equal size cannot be made of {input.shape[dim]}: tensor_split can")
    return tensor_split(input, given, dim)


def _given(what: str, split_: Any, other: dict[str, Any]) -> Any:
    found = [g for g in (split_, *other.values()) if g is not None]
    if len(found) != 1 or not isinstance(found[0], (int, tuple, list)):
        raise TypeError(f"{what} takes a number of sections, or indices as a tuple")
    return found[0]


def hsplit(input: Tensor, split_size_or_sections: Any = None, *, indices: Any = None, sections: Any = None) -> tuple[Tensor, ...]:
    """Pieces along dimension 1, or 0 if there is just that: so many of equal size, or those that end at indices."""
    given = _given("hsplit", split_size_or_sections, {"indices": indices, "sections": sections})
    return _split_evenly("hsplit", input, given, int(input.ndim > 1), 1)


def vsplit(input: Tensor, split_size_or_sections: Any = None, *, indices: Any = None, sections: Any = None) -> tuple[Tensor, ...]:
    """Pieces along dimension 0: so many of equal size, or those that end at indices."""
    given = _given("vsplit", split_size_or_sections, {"indices": indices, "sections": sections})
    return _split_evenly("vsplit", input, given, 0, 2)


def dsplit(input: Tensor, split_size_or_sections: Any = None, *, indices: Any = None, sections: Any = None) -> tuple[Tensor, ...]:
    """Pieces along dimension 2: so many of equal size, or those that end at indices."""
    given = _given("dsplit", split_size_or_sections, {"indices": indices, "sections": sections})
    return _split_evenly("dsplit", input, given, 2, 3)


@face("unsafe_split_with_sizes")
def split_with_sizes(input: Tensor, split_sizes: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces of the given sizes along `dim`."""
    return split(input, sizes_of((split_sizes,)), dim)


def tile(input: Tensor, *dims: Any) -> Tensor:
    """The tensor laid side by side, `dims` times along each dimension; those without a number in front are taken once."""
    times = sizes_of(dims)
    return repeat(input, [1] * (input.ndim - len(times)) + times)


def _repeated_once(repeats: Any, size: int) -> np.ndarray:
    counts = repeats._known("repeat_interleave() without output_size") if isinstance(repeats, Tensor) else np.asarray(repeats)
    if counts.ndim > 1 or counts.dtype.kind not in "iu":
        raise RuntimeError(
            f"repeat_interleave: repeats are ints, one or 1-d, not {counts.dtype.name} of {counts.ndim} dimensions"
        )
    if counts.size and counts.min() < 0:
        raise RuntimeError(f"repeat_interleave: repeats cannot be negative, and one is {counts.min()}")
    if counts.ndim and counts.size not in (1, size):
        raise RuntimeError(f"repeat_interleave: there are {counts.size} repeats for {size} slices: give one for each")
    return np.broadcast_to(counts, (size,))


def repeat_interleave(input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None) -> Tensor:
    """Each slice along `dim` (each element, without one) repeated so many times, by an int or a tensor of ints for each.

    With one argument, `repeats`: the numbers 0, 1, …, each so often. Under `jit` a tensor of repeats needs `output_size`.
    """
    if repeats is None:
        numbers = made_here(wrap(np.arange(input.numel())))
        return repeat_interleave(numbers, input, 0, output_size=output_size)
    x, d = (flatten(input), 0) if dim is None else (input, axis(dim, input.ndim))
    if not input.ndim:
        x = flatten(input)
    size = x.shape[d]
    if isinstance(repeats, int):
        if repeats < 0:
            raise RuntimeError(f"repeat_interleave: repeats cannot be negative, and they are {repeats}")
        shape = tuple(sizes_of(((*x.shape[: d + 1], repeats, *x.shape[d + 1 :]),)))
        return reshape(copied(apply(expand_op, (unsqueeze(x, d + 1),), {"shape": shape})), _with_size(x, d, size * repeats))
    if isinstance(repeats, Tensor) and comes_later(repeats) and output_size is not None:
        return x[(slice(None),) * d + (_sources(repeats, size, output_size),)]
    counts = _repeated_once(repeats, size)
    if output_size is not None and output_size != counts.sum():
        raise RuntimeError(f"repeat_interleave: output_size={output_size}, and the repeats add up to {counts.sum()}")
    return x[(slice(None),) * d + (np.repeat(np.arange(size), counts),)]


def _with_size(x: Tensor, d: int, size: int) -> tuple[int, ...]:
    return (*x.shape[:d], size, *x.shape[d + 1 :])


def _sources(repeats: Tensor, size: int, count: int) -> Tensor:
    """The slice that each of `count` places is filled from: how many slices end before it."""
    ends = expand(repeats, (size,)).cumsum(0)
    places = made_here(wrap(np.arange(count).reshape(-1, 1)))
    return apply(le, (unsqueeze(ends, 0), places)).sum(1)


def _common(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The tensors in the dtype that they have together."""
    common = dtypes.result_type(ranks(list(tensors)))
    return [x if x._held.dtype == common else apply(cast, (x,), {"dtype": common}) for x in as_tensors(tensors)]


@face(method=False)
def block_diag(*tensors: Tensor) -> Tensor:
    """A matrix with the tensors, of at most 2 dimensions, along its diagonal and zeros elsewhere."""
    many = listed((list(tensors),), "block_diag")
    for x in many:
        if x.ndim > 2:
            raise RuntimeError(f"block_diag takes tensors of at most 2 dimensions, not of shape {list(x.shape)}")
    if not many:
        return made_here(wrap(np.zeros((1, 0), dtypes.default())))
    blocks = [atleast_2d(x) for x in _common(many)]
    width, rows, before = sum(x.shape[1] for x in blocks), [], 0
    for x in blocks:
        row = {"shape": (x.shape[0], width), "start": (0, before), "steps": ((1, 0), (0, 1))}
        rows.append(apply(unstrided, (x,), row))
        before += x.shape[1]
    return cat(rows, 0)


@face(method=False)
def meshgrid(*tensors: Tensor, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Grids of coordinates, one for each 1-d tensor; with `indexing="xy"` the first two dimensions are swapped."""
    many = listed(tensors, "meshgrid")
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f"meshgrid: indexing must be 'ij' or 'xy', not {indexing!r}")
    if not many:
        raise ValueError("meshgrid needs at least one tensor")
    for x in many:
        if x.ndim > 1:
            raise RuntimeError(f"meshgrid takes tensors of at most one dimension, not of shape {list(x.shape)}")
        if x._held.dtype != many[0]._held.dtype:
            raise RuntimeError(f"meshgrid takes tensors of one dtype, not {many[0].dtype.name} and {x.dtype.name}")
    shape = [x.numel() for x in many]
    grids = [expand(reshape(x, [-1 if k == d else 1 for k in range(len(many))]), tuple(shape)) for d, x in enumerate(many)]
    return tuple([movedim(g, 0, 1) if indexing == "xy" and len(many) > 1 else g for g in grids])


@face(method=False)
def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All rows of one element of each 1-d tensor, in order; of one tensor, the tensor."""
    many = listed(tensors, "cartesian_prod")
    if not many:
        raise RuntimeError("cartesian_prod takes at least one tensor")
    for x in many:
        if x.ndim != 1:
            raise RuntimeError(f"cartesian_prod takes 1-d tensors, not of shape {list(x.shape)}")
    return many[0] if len(many) == 1 else stack([flatten(g) for g in meshgrid(*many)], 1)


@face(method=False)
def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All rows of `r` elements of a 1-d tensor, in order, an element several times only `with_replacement`."""
    if input.ndim != 1:
        raise RuntimeError(f"combinations takes a 1-d tensor, not of shape {list(input.shape)}")
    if r < 0:
        raise RuntimeError(f"combinations: r must not be negative, and it is {r}")
    if r > MOST_PIECES:
        raise RuntimeError(f"combinations: rows of {r} elements are more than memory can have")
    if not r:
        return made_here(wrap(np.zeros(0, input._held.dtype)))
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    return input[np.array(list(choose(range(input.numel()), r)), np.int64).reshape(-1, r)]
