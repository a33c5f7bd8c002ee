"""Operations that move numbers without changing them, and `sum`, the transpose of `expand`.

All are linear, so each has a transpose.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from jitgrad.ops.arithmetic import add
from jitgrad.ops.shapes import Spec, axes, axis, reduced_shape
from jitgrad.ops.sums import summed
from jitgrad.ops.table import Fold, Op, linear, reduction, register

MOST_ELEMENTS = 1 << 60  # no array has as many


def sizes(shape: Sequence[Any]) -> list[int]:
    """Sizes, given one after the other or as one tuple, as ints; `RuntimeError` for more elements than memory can have."""
    wanted = list(shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape)
    if {n.__class__ for n in wanted} <= {int}:
        found = wanted
    else:
        for n in wanted:
            if isinstance(n, type) or not hasattr(n, "__index__"):
                raise TypeError(f"sizes are ints, not {type(n).__name__}")
        found = list(map(operator.index, wanted))
    if abs(math.prod([n or 1 for n in found])) >= MOST_ELEMENTS:
        raise RuntimeError(f"a tensor of shape {tuple(found)} is larger than memory can be")
    return found


def _target_shape(x: Any, *shape: Any) -> dict[str, Any]:
    """The shape of a reshape with its -1 filled in; `RuntimeError` if the sizes do not fit, as in PyTorch."""
    wanted = sizes(shape)
    size = math.prod(x.shape)
    known = math.prod(wanted)
    if -1 in wanted:
        known = -known  # the product of the others, if there is one -1
        if wanted.count(-1) == 1 and known and size % known == 0:
            wanted[wanted.index(-1)] = size // known
            known = size
    if known != size or -1 in wanted:
        raise RuntimeError(f"a tensor of shape {tuple(x.shape)} has {size} elements and cannot take shape {tuple(wanted)}")
    return {"shape": tuple(map(int, wanted))}


def _expanded_shape(x: Any, *shape: Any) -> dict[str, Any]:
    wanted = sizes(shape)
    lead = len(wanted) - x.ndim
    full = [n if n != -1 or i < lead else x.shape[i - lead] for i, n in enumerate(wanted)]
    if lead < 0 or any(have not in (1, want) for have, want in zip(x.shape, full[lead:])) or -1 in full:
        raise RuntimeError(
            f"a tensor of shape {tuple(x.shape)} does not expand to {tuple(wanted)}: sizes must agree, or be 1 where they grow"
        )
    return {"shape": tuple(int(n) for n in full)}


def _dims(x: Any, *dims: Any) -> dict[str, Any]:
    wanted = dims[0] if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else dims
    if {d.__class__ for d in wanted} == {int} and sorted(wanted) == list(range(x.ndim)):
        return {"dims": tuple(wanted)}
    found = tuple(axis(d, x.ndim) for d in wanted)
    if sorted(found) != list(range(x.ndim)):
        raise RuntimeError(f"permute needs each of the {x.ndim} dimensions once, not {tuple(wanted)}")
    return {"dims": found}


def back_from(dims: Sequence[int]) -> tuple[int, ...]:
    """The order that brings dimensions in the order `dims` back to where they were."""
    return tuple(dims.index(i) for i in range(len(dims)))


SAMPLES = [
    ((3, 4), {"dim": (1,), "keepdim": False}),
    ((3, 4), {"dim": (0, 1), "keepdim": True}),
    ((5,), {"dim": (0,), "keepdim": False}),
    ((2, 3, 2), {"dim": (0, 2), "keepdim": False}),
]


def over_dims(x: Any, dim: Any = None, keepdim: bool = False) -> dict[str, Any]:
    """The parameters of a reduction from PyTorch's `dim` (None, an int, several) and `keepdim`."""
    return {"dim": axes(dim, x.ndim), "keepdim": bool(keepdim)}


def reduced(x: Any, dim: tuple[int, ...], keepdim: bool, **_: Any) -> Spec:
    """Shape and dtype after a reduction over `dim`."""
    return Spec(reduced_shape(x.shape, dim, keepdim), x.dtype)


def count(shape: tuple[int, ...], dim: tuple[int, ...]) -> int:
    """How many elements each result of a reduction over `dim` comes from."""
    return math.prod(shape[d] for d in dim) if shape else 1


def spread(g: Any, shape: tuple[int, ...], dim: tuple[int, ...], keepdim: bool) -> Any:
    """Undo the shape of a reduction: `g` repeated over the dimensions that were reduced."""
    if not shape:
        return g
    if not keepdim:
        g = reshape(g, shape=reduced_shape(shape, dim, True))
    return expand(g, shape=tuple(shape))


def unexpand(g: Any, shape: tuple[int, ...]) -> Any:
    """Sum `g` down to `shape`, which had been broadcast to the shape of `g`."""
    lead = len(g.shape) - len(shape)
    over = tuple(i for i in range(len(g.shape)) if i < lead or (shape[i - lead] == 1 and g.shape[i] != 1))
    g = sum(g, dim=over, keepdim=False) if over else g
    return g if tuple(g.shape) == tuple(shape) else reshape(g, shape=tuple(shape))


def _piece(g: Any, xs_shapes: Any, dim: int, i: int) -> Any:
    start = int(np.sum([s[dim] for s in xs_shapes[:i]], dtype=np.int64))
    return narrow(g, dim=dim, start=start, length=xs_shapes[i][dim])


reshape = linear(
    lambda x, shape: x.reshape(shape),
    transpose=lambda g, x_shape: reshape(g, shape=x_shape),
    view=True,
    prepare=_target_shape,
    label="view",
    shape=lambda x, shape: Spec(shape, x.dtype),
    samples=lambda: [((2, 3), {"shape": (3, 2)}), ((2, 3), {"shape": (6,)}), ((1,), {"shape": ()})],
    oracle="np.reshape(x, shape)",
)
permute = linear(
    lambda x, dims: x.transpose(dims),
    transpose=lambda g, dims: permute(g, dims=back_from(dims)),
    view=True,
    prepare=_dims,
    shape=lambda x, dims: Spec(tuple(x.shape[d] for d in dims), x.dtype),
    samples=lambda: [((2, 3, 4), {"dims": (2, 0, 1)}), ((2, 3), {"dims": (1, 0)})],
    oracle="np.transpose(x, dims)",
)
sum = reduction(
    summed,
    fold=Fold(add, 0.0, wide=True),
    prepare=over_dims,
    shape=reduced,
    vjp=lambda g, x_shape, dim, keepdim: spread(g, x_shape, dim, keepdim),
    linear=True,
    on_complex="linear",
    samples=lambda: SAMPLES,
    result="sum",
    exact=True,
    hot=True,
    oracle="np.sum(x, dim, keepdims=keepdim)",
)
expand = linear(
    lambda x, shape: np.broadcast_to(x, shape),
    transpose=lambda g, x_shape: unexpand(g, x_shape),
    view=True,
    prepare=_expanded_shape,
    shape=lambda x, shape: Spec(shape, x.dtype),
    samples=lambda: [((3, 1), {"shape": (2, 3, 4)}), ((), {"shape": (3,)}), ((3,), {"shape": (2, 3)})],
    oracle="x * np.ones(shape)",
)


def _flip_params(x: Any, *dims: Any) -> dict[str, Any]:
    given = dims[0] if len(dims) == 1 else dims
    return {"dims": () if given in ((), []) else axes(given, x.ndim)}


flip = linear(
    lambda x, dims: np.flip(x, dims).copy(),
    transpose=lambda g, dims: flip(g, dims=dims),
    prepare=_flip_params,
    shape=lambda x, dims: Spec(x.shape, x.dtype),
    parts=lambda out, x, dims: [(x, np.flip(out, dims), False)],
    samples=lambda: [((2, 3), {"dims": (0,)}), ((2, 3), {"dims": (0, 1)})],
    oracle="np.flip(x, dims)",
)


def _narrow(x: Any, dim: int, start: int, length: int) -> Any:
    return x[(slice(None),) * dim + (slice(start, start + length),)]


def _pad(x: Any, dim: int, start: int, size: int) -> Any:
    out = np.zeros((*x.shape[:dim], size, *x.shape[dim + 1 :]), x.dtype)
    _narrow(out, dim, start, x.shape[dim])[...] = x
    return out


def _add_narrow(out: Any, g: Any, x_shape: Any, dim: int, start: int) -> None:
    part = _narrow(out, dim, start, g.shape[dim])
    part += g


narrow = linear(
    _narrow,
    view=True,
    label="slice",
    transpose=lambda g, x_shape, dim, start: pad(g, dim=dim, start=start, size=x_shape[dim]),
    prepare=lambda x, dim, start, length: _narrow_params(x, dim, start, length),
    accumulate=_add_narrow,
    samples=lambda: [((4, 3), {"dim": 0, "start": 1, "length": 2})],
    oracle="np.take(x, range(start, start + length), dim)",
)
pad = linear(
    _pad,
    internal=True,
    transpose=lambda g, x_shape, dim, start: narrow(g, dim=dim, start=start, length=x_shape[dim]),
    parts=lambda out, x, dim, start, size: [(None, out, False), (x, _narrow(out, dim, start, x.shape[dim]), False)],
    samples=lambda: [((2, 3), {"dim": 0, "start": 1, "size": 5})],
    oracle="_padded(x, dim, start, size)",
)


def _first(start: Any) -> int:
    """An int, also of a 0-d integer tensor."""
    name = getattr(getattr(start, "dtype", None), "name", "int")
    if getattr(start, "ndim", 0) or "int" not in name:
        raise RuntimeError("narrow: start must be an int, or a 0-d tensor of integers")
    return operator.index(start)


def _narrow_params(x: Any, dim: int, start: int, length: int) -> dict[str, Any]:
    d = axis(dim, x.ndim)
    if not x.ndim:
        raise RuntimeError("narrow: a 0-d tensor has no dimension to take a part of")
    start, length = _first(start), operator.index(length)
    if not -x.shape[d] <= start <= x.shape[d]:
        raise IndexError(f"narrow: start={start} is out of range for dimension {d}, which has size {x.shape[d]}")
    begin = start + x.shape[d] if start < 0 else start
    if not 0 <= begin <= begin + length <= x.shape[d]:
        raise RuntimeError(f"narrow: start={start}, length={length} leave dimension {d}, which has size {x.shape[d]}")
    return {"dim": d, "start": begin, "length": length}


cat = Op(
    lambda *xs, dim: np.concatenate(xs, axis=dim),
    kind="cat",
    linear=True,
    inputs=("*xs",),
    output="y",
    method=False,
    vjp=(lambda g, xs_shapes, dim, i: _piece(g, xs_shapes, dim, i),),
    shape=lambda *xs, dim: Spec(
        (*xs[0].shape[:dim], int(np.sum([x.shape[dim] for x in xs])), *xs[0].shape[dim + 1 :]), xs[0].dtype
    ),
    parts=lambda out, *xs, dim: [
        (x, _narrow(out, dim, end - x.shape[dim], x.shape[dim]), False)
        for x, end in zip(xs, itertools.accumulate(x.shape[dim] for x in xs))
    ],
    samples=lambda: [([(2, 3), (1, 3), (2, 3)], {"dim": 0}), ([(2, 3), (2, 1)], {"dim": 1})],
    oracle="np.concatenate(xs, dim)",
)

register(globals())
