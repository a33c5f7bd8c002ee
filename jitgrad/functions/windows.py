"""Windows, and what memory shows in other strides."""

from __future__ import annotations

from typing import Any

from jitgrad.functions.face import face
from jitgrad.functions.shaping import permute, reshape
from jitgrad.ops.movement import sizes as sizes_of
from jitgrad.ops.shapes import axis
from jitgrad.ops.strided import put_strided, strided
from jitgrad.record.apply import apply, copied
from jitgrad.record.memory import decide, of
from jitgrad.tape.strides import part_of, start_of
from jitgrad.tensors.reseeing import become
from jitgrad.tensors.tensor import Tensor


@face(top=False)
def unfold(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Windows of `size` elements along a dimension, `step` apart, as a view: the elements of a window are the last dimension."""
    d = axis(dimension, input.ndim, what="dimension")
    have = input.shape[d] if input.ndim else 1
    if size < 0 or step <= 0:
        raise RuntimeError(f"unfold: size={size} must not be negative, and step={step} must be positive")
    if size > have:
        raise RuntimeError(f"unfold: a window of {size} is larger than dimension {d}, which has size {have}")
    if not input.ndim:
        return reshape(input, (1,))[:size]
    ndim, count = input.ndim, (have - size) // step + 1
    steps = [tuple([(step if d == k else 1) * int(k == j) for j in range(ndim)]) for k in range(ndim)]
    inside = tuple([int(j == d) for j in range(ndim)])
    sizes = (*input.shape[:d], count, *input.shape[d + 1 :], size)
    return apply(strided, (input,), {"sizes": sizes, "start": (0,) * ndim, "steps": (*steps, inside)})


def _order(x: Tensor) -> list[int] | None:
    """The dimensions in the order in which the elements lie in memory without gaps; None if they do not."""
    held = of(x)
    order = sorted(range(x.ndim), key=lambda d: (-held.strides[d], d))
    return order if held.transpose(order).flags.c_contiguous else None


def _flat(x: Tensor) -> Tensor | None:
    """All elements as they lie in memory, as a view; None if there are gaps."""
    order = _order(x)
    return None if order is None else reshape(permute(x, order) if x.ndim > 1 else x, (-1,))


def _first(x: Tensor) -> int | None:
    """Where in the memory that a tensor looks into its first element is; None if that is known later."""
    decide(x)
    if x._view is None:
        return 0
    root, chain = x._view
    part: Any = of(root)
    for op, params, arrays in chain:
        if arrays:
            return None
        part = part_of(part, op, params)
    return start_of(part)


@face(top=False)
def storage_offset(input: Tensor) -> int:
    """Where in the memory that a view looks into its first element is."""
    first = _first(input)
    if first is None:
        raise RuntimeError("the place in memory of what an index looks at that comes later is not known")
    return first


def _geometry(what: str, size: Any, stride: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    sizes, strides = tuple(sizes_of((size,))), tuple(sizes_of((stride,)))
    if len(sizes) != len(strides):
        raise RuntimeError(f"{what}: there are {len(sizes)} sizes and {len(strides)} strides: give one of each for a dimension")
    if any(n < 0 for n in (*sizes, *strides)):
        raise RuntimeError(f"{what}: sizes and strides must not be negative: size={list(sizes)}, stride={list(strides)}")
    return sizes, strides


def _end(sizes: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """How many elements of memory are between the first and the last one, both counted."""
    return 0 if 0 in sizes else 1 + sum((n - 1) * s for n, s in zip(sizes, strides))


def as_strided(input: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """What the memory of a tensor shows in these sizes and strides, from the element `storage_offset` on, as a view.

    The tensor, or what it is a view of, must lie in memory without gaps, and no place may be outside of that.
    """
    sizes, strides = _geometry("as_strided", size, stride)
    first = _first(input)
    start = 0 if storage_offset is None else storage_offset - (first or 0)
    end = start + _end(sizes, strides)
    for base, ahead in ((input, 0), (input._view[0] if input._view and first is not None else None, first or 0)):
        flat = None if base is None else _flat(base)
        if flat is not None and start + ahead >= 0 and end + ahead <= flat.numel():
            place = {"sizes": sizes, "start": (start + ahead,), "steps": tuple([(s,) for s in strides])}
            return apply(strided, (flat,), place)
    raise RuntimeError(
        f"as_strided: size={list(sizes)}, stride={list(strides)}, storage_offset={storage_offset} leave the memory of a tensor "
        f"of shape {list(input.shape)}, or it has gaps"
    )


@face(top=False)
def as_strided_(input: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """`as_strided` in place: this tensor is the view from now on."""
    return become(input, lambda x: as_strided(x, size, stride, storage_offset), "as_strided_")


def as_strided_scatter(input: Tensor, src: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """`input` with `src` in the place of what `as_strided` shows."""
    sizes, strides = _geometry("as_strided_scatter", size, stride)
    if tuple(src.shape) != sizes:
        raise RuntimeError(f"as_strided_scatter: src must have the shape {list(sizes)}, not {list(src.shape)}")
    order = _order(input)
    x, order = (copied(input), list(range(input.ndim))) if order is None else (input, order)
    turned = permute(x, order) if x.ndim > 1 else x
    start = storage_offset or 0
    if start < 0 or start + _end(sizes, strides) > x.numel():
        raise RuntimeError(f"as_strided_scatter: size={list(sizes)}, stride={list(strides)} leave the memory of the tensor")
    flat = put_strided(reshape(turned, (-1,)), src.to(x.dtype), sizes, (start,), tuple([(s,) for s in strides]))
    back = reshape(flat, tuple(turned.shape))
    return permute(back, [order.index(d) for d in range(x.ndim)]) if x.ndim > 1 else back
