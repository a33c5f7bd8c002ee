"""What convolutions, pools and padding share: sizes for each spatial dimension, windows, and borders."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from jitgrad.errors import TracedValueError
from jitgrad.functions.shaping import reshape
from jitgrad.ops.indexing import getitem, index_put
from jitgrad.ops.strided import overlapped, sliding, strided
from jitgrad.record.apply import apply
from jitgrad.tensors.tensor import Tensor

Ints = tuple[int, ...]


def each(what: str, name: str, value: Any, count: int) -> Ints:
    """One int for each of so many dimensions, from one int for all or a sequence of them."""
    many = value if isinstance(value, (tuple, list)) else (value,)
    try:
        found = tuple([operator.index(n) for n in many])
    except TracedValueError:
        raise
    except TypeError:
        raise TypeError(f"{what}: {name} must be an int or {count} ints, not {value!r}") from None
    if len(found) == 1:
        return found * count
    if len(found) != count:
        raise RuntimeError(f"{what}: {name} must be an int or {count} ints, one for each spatial dimension, not {value!r}")
    return found


def at_least(what: str, name: str, values: Ints, least: int) -> None:
    """RuntimeError for sizes that are too small."""
    if min(values) < least:
        raise RuntimeError(f"{what}: {name} must be {'positive' if least else 'at least 0'}, not {list(values)}")


def windowed(x: Tensor, sizes: Ints, steps: Ints, dilations: Ints) -> Tensor:
    """The windows over the last dimensions, as a view: (..., counts, sizes)."""
    first = x.ndim - len(sizes)
    for k, facts in enumerate(zip(sizes, steps, dilations)):
        x = apply(strided, (x,), sliding(tuple(x.shape), first + k, *facts))
    return x


def laid_over(x: Tensor, lengths: Ints, steps: Ints, dilations: Ints) -> Tensor:
    """The transpose of `windowed`: windows (..., counts, sizes) added up into dimensions of these lengths."""
    first = x.ndim - 2 * len(lengths)
    for k, facts in reversed([*enumerate(zip(lengths, steps, dilations))]):
        x = apply(overlapped, (x,), {"dim": first + k, **dict(zip(("length", "step", "dilation"), facts))})
    return x


def bordered(x: Tensor, before: Ints, after: Ints, value: Any = 0) -> Tensor:
    """The last dimensions with that many elements of a value added at each end, or taken away where the number is negative."""
    if not any(before) and not any(after):
        return x
    lead = (slice(None),) * (x.ndim - len(before))
    if min(*before, *after) < 0:
        sizes = x.shape[len(lead) :]
        inner = tuple([slice(max(-b, 0), n - max(-a, 0)) for n, b, a in zip(sizes, before, after)])
        x = apply(getitem, (x,), {"index": (*lead, *inner, Ellipsis)})
        before, after = (tuple([max(n, 0) for n in some]) for some in (before, after))
    sizes = x.shape[len(lead) :]
    if not any(before) and not any(after):
        return x
    shape = (*x.shape[: len(lead)], *[b + n + a for b, n, a in zip(before, sizes, after)])
    border = np.broadcast_to(np.asarray(value).astype(x._held.dtype), shape)
    inner = tuple([slice(b, b + n) for b, n in zip(before, sizes)])
    return apply(index_put, (border, x), {"index": (*lead, *inner, Ellipsis)})


def with_batch(what: str, input: Tensor, count: int, channels: bool = True) -> tuple[Tensor, bool]:
    """The input with a dimension of samples in front, and whether that was missing; `count` spatial dimensions are last."""
    full = count + 1 + channels
    if input.ndim not in (full - 1, full):
        raise RuntimeError(
            f"{what}: the input must have {full} dimensions (samples, channels, {count} spatial), or {full - 1} without "
            f"samples, and its shape is {list(input.shape)}"
        )
    return (input, False) if input.ndim == full else (reshape(input, (1, *input.shape)), True)
