"""Pools with a given number of windows, of sizes that may differ; pools with random windows; and what undoes pools of maxima."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jitgrad.functions.creation import rand
from jitgrad.functions.face import face
from jitgrad.functions.nn.spatial import Ints, at_least, each, with_batch
from jitgrad.functions.nn.windows import Along, divided, fixed, largest, largest_at, summed, with_positions
from jitgrad.functions.operands import taken
from jitgrad.functions.positions import check_positions
from jitgrad.functions.shaping import cat, expand, reshape, unsqueeze
from jitgrad.ops.choosing import trunc
from jitgrad.ops.unpooling import unpool
from jitgrad.record.apply import apart, apply
from jitgrad.record.checking import floating
from jitgrad.record.precision import in_single
from jitgrad.tensors.tensor import Tensor


@face(top=True)
def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """The means of as many windows over the last dimension as are asked for, which overlap where the sizes do not divide."""
    return _adaptive_avg("adaptive_avg_pool1d", 1, input, output_size)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """The means of windows over the last two dimensions, so many (None: as many as elements); see `adaptive_avg_pool1d`."""
    return _adaptive_avg("adaptive_avg_pool2d", 2, input, output_size)


def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """The means of windows over the last three dimensions, so many; see `adaptive_avg_pool2d`."""
    return _adaptive_avg("adaptive_avg_pool3d", 3, input, output_size)


def _adaptive(what: str, count: int, x: Tensor, output_size: Any) -> list[tuple[Along, np.ndarray]]:
    """Windows from floor(i n / m) to ceil((i + 1) n / m), and how many elements each has."""
    many = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * count
    if len(many) != count:
        raise RuntimeError(f"{what}: output_size must be an int or {count} of them, not {output_size!r}")
    if 0 in x.shape[1:]:
        raise RuntimeError(f"{what}: only the first dimension may be empty, and the shape is {list(x.shape)}")
    first = x.ndim - count
    wanted = each(what, "output_size", [x.shape[first + k] if m is None else m for k, m in enumerate(many)], count)
    at_least(what, "output_size", wanted, 0)
    found = []
    for k, m in enumerate(wanted):
        n = x.shape[first + k]
        start = np.arange(m) * n // max(m, 1)
        lengths = -(-(np.arange(m) + 1) * n // max(m, 1)) - start
        size = int(lengths.max(initial=0)) or 1
        even = m > 0 and n % m == 0
        places = None if even else start[:, None] + np.minimum(np.arange(size), lengths[:, None] - 1)
        found.append((Along(first + k, size, m, size, 1, places), lengths))
    return found


def _enough(what: str, count: int, input: Tensor) -> None:
    if input.ndim <= count and count > 1:
        raise ValueError(f"{what}: the input needs at least {count + 1} dimensions, and its shape is {list(input.shape)}")


def _adaptive_avg(what: str, count: int, input: Tensor, output_size: Any) -> Tensor:
    _enough(what, count, input)
    floating(what, input)
    x, alone = with_batch(what, input, count)
    out = _adaptively_averaged(x, _adaptive(what, count, x, output_size))
    return reshape(out, tuple(out.shape[1:])) if alone else out


@in_single
def _adaptively_averaged(x: Tensor, along: list[tuple[Along, np.ndarray]]) -> Tensor:
    for windows, lengths in along:
        rest = (1,) * (x.ndim - 1 - windows.dim)
        if windows.places is None:
            x = summed(x, windows) / windows.size
            continue
        counted = np.arange(windows.size) < lengths[:, None]
        x = divided(summed(x, windows, counted), lengths.reshape(-1, *rest))
    return x


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest elements of as many windows over the last dimension as are asked for; `return_indices` tells where they are."""
    return _adaptive_max("adaptive_max_pool1d", 1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest elements of windows over the last two dimensions, so many; see `adaptive_max_pool1d`."""
    return _adaptive_max("adaptive_max_pool2d", 2, input, output_size, return_indices)


def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest elements of windows over the last three dimensions, so many; see `adaptive_max_pool1d`."""
    return _adaptive_max("adaptive_max_pool3d", 3, input, output_size, return_indices)


@face("adaptive_max_pool1d")
def adaptive_max_pool1d_with_indices(input: Tensor, output_size: Any, return_indices: bool = True) -> Any:
    """`adaptive_max_pool1d` and where the elements are; at the top it has the name without the end, as in PyTorch."""
    return _adaptive_max("adaptive_max_pool1d", 1, input, output_size, True)


def adaptive_max_pool2d_with_indices(input: Tensor, output_size: Any, return_indices: bool = True) -> Any:
    """`adaptive_max_pool2d` and where the elements are."""
    return _adaptive_max("adaptive_max_pool2d", 2, input, output_size, True)


def adaptive_max_pool3d_with_indices(input: Tensor, output_size: Any, return_indices: bool = True) -> Any:
    """`adaptive_max_pool3d` and where the elements are."""
    return _adaptive_max("adaptive_max_pool3d", 3, input, output_size, True)


def _adaptive_max(what: str, count: int, input: Tensor, output_size: Any, indices: bool) -> Any:
    _enough(what, count, input)
    x, alone = with_batch(what, input, count)
    along = [a for a, _ in _adaptive(what, count, x, output_size)]
    values, where = largest(x, along, indices)
    return with_positions(apart(values, input), where, tuple(x.shape[2:]), indices, alone)


def max_unpool1d(
    input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Tensor:
    """Zeros with the elements of a pool of maxima where they came from: `indices` are those that `max_pool1d` returns.

    `output_size` says which of the sizes it is that pools of one size may come from; indices beyond it raise an error.
    """
    return _max_unpool("max_unpool1d", 1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Tensor:
    """Zeros with the elements of a pool of maxima where they came from; see `max_unpool1d`."""
    return _max_unpool("max_unpool2d", 2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Tensor:
    """Zeros with the elements of a pool of maxima where they came from; see `max_unpool1d`."""
    return _max_unpool("max_unpool3d", 3, input, indices, kernel_size, stride, padding, output_size)


def _unpooled_sizes(what: str, x: Tensor, sizes: Ints, steps: Ints, border: Ints, output_size: Any) -> Ints:
    count = len(sizes)
    plain = tuple([(n - 1) * s + k - 2 * b for n, s, k, b in zip(x.shape[2:], steps, sizes, border)])
    if output_size is None:
        return plain
    given = tuple(output_size)
    given = given[2:] if len(given) == count + 2 else given
    if len(given) != count:
        raise ValueError(
            f"{what}: output_size must have {count} elements, or {count + 2} with samples and channels, not {len(given)}"
        )
    wanted = each(what, "output_size", given, count)
    if not all(abs(w - p) < s for w, p, s in zip(wanted, plain, steps)):
        raise ValueError(f"{what}: output_size {list(wanted)} must be within less than a stride {list(steps)} of {list(plain)}")
    return wanted


def _max_unpool(
    what: str, count: int, input: Tensor, indices: Tensor, size: Any, stride: Any, padding: Any, output_size: Any
) -> Tensor:
    sizes = each(what, "kernel_size", size, count)
    steps = sizes if stride is None else each(what, "stride", stride, count)
    border = each(what, "padding", padding, count)
    if indices.dtype.name != "int64":
        raise RuntimeError(f"{what}: indices must be int64, not {indices.dtype.name}")
    if tuple(indices.shape) != tuple(input.shape):
        raise RuntimeError(f"{what}: indices of shape {list(indices.shape)} must have the shape {list(input.shape)} of the input")
    x, alone = with_batch(what, input, count)
    at_least(what, "stride", steps, 1)
    if 0 in x.shape[1:]:
        raise RuntimeError(f"{what}: only the first dimension may be empty, and the shape is {list(input.shape)}")
    wanted = _unpooled_sizes(what, x, sizes, steps, border, output_size)
    lead, flat = tuple(x.shape[:2]), math.prod(x.shape[2:])
    places = check_positions(what, reshape(indices, (*lead, flat)), math.prod(wanted), 2, wanted)
    out = apply(unpool, (reshape(x, (*lead, flat)), places), {"size": math.prod(wanted)})
    return reshape(out, (*lead[alone:], *wanted))


def fractional_max_pool2d(
    input: Tensor,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Any = None,
) -> Any:
    """The largest elements of windows over the last two dimensions that begin at random, about evenly spaced.

    There are `output_size` windows along each dimension, or `output_ratio` times its size. `_random_samples`, from 0 to 1 and of
    shape (samples, channels, 2), are drawn unless given. Source: Graham, Fractional max-pooling, 2014.
    """
    return _fractional("fractional_max_pool2d", 2, input, kernel_size, output_size, output_ratio, return_indices, _random_samples)


def fractional_max_pool3d(
    input: Tensor,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Any = None,
) -> Any:
    """The largest elements of windows over the last three dimensions that begin at random; see `fractional_max_pool2d`."""
    return _fractional("fractional_max_pool3d", 3, input, kernel_size, output_size, output_ratio, return_indices, _random_samples)


def fractional_max_pool2d_with_indices(
    input: Tensor,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = True,
    _random_samples: Any = None,
) -> Any:
    """`fractional_max_pool2d` and where the elements are."""
    return _fractional("fractional_max_pool2d", 2, input, kernel_size, output_size, output_ratio, True, _random_samples)


def fractional_max_pool3d_with_indices(
    input: Tensor,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = True,
    _random_samples: Any = None,
) -> Any:
    """`fractional_max_pool3d` and where the elements are."""
    return _fractional("fractional_max_pool3d", 3, input, kernel_size, output_size, output_ratio, True, _random_samples)


def _fractional(
    what: str, count: int, input: Tensor, size: Any, output_size: Any, output_ratio: Any, indices: bool, samples: Any
) -> Any:
    x, alone = with_batch(what, input, count)
    if 0 in x.shape[1:]:
        raise RuntimeError(f"{what}: only the first dimension may be empty, and the shape is {list(input.shape)}")
    sizes = each(what, "kernel_size", size, count)
    if output_size is None:
        if output_ratio is None:
            raise ValueError(f"{what}: give output_size or output_ratio")
        ratios = output_ratio if isinstance(output_ratio, (tuple, list)) else (output_ratio,) * count
        if not all(0 < r < 1 for r in ratios):
            raise ValueError(f"{what}: output_ratio must be between 0 and 1, not {output_ratio!r}")
        output_size = [int(n * r) for n, r in zip(x.shape[2:], ratios)]
    counts = each(what, "output_size", output_size, count)
    for n, m, k in zip(x.shape[2:], counts, sizes):
        if not (m >= 1 and k >= 1 and m + k - 1 <= n):
            raise RuntimeError(f"{what}: {m} windows of size {k} are more than one of size {n} has room for")
    drawn = rand(*x.shape[:2], count, dtype=x.dtype) if samples is None else taken(samples)
    if tuple(drawn.shape) != (*x.shape[:2], count) or drawn._held.dtype != x._held.dtype:
        raise RuntimeError(
            f"{what}: _random_samples must be {x.dtype.name} of shape {[*x.shape[:2], count]}, not {drawn.dtype.name} of shape "
            f"{list(drawn.shape)}"
        )
    where: list[Tensor] = []
    values = x
    for d in reversed(range(count)):
        own = drawn[:, :, d if count == 3 else 1 - d]  # as in PyTorch: of an image, the first one is for the width
        starts = _starts(own, x.shape[2 + d], counts[d], sizes[d])
        values, where = largest_at(values, 2 + d, starts, sizes[d], where)
    return with_positions(apart(values, input), where, tuple(x.shape[2:]), indices, alone)


def _starts(drawn: Tensor, n: int, count: int, size: int) -> Tensor:
    """Where windows begin, for each sample and channel: the last one ends with the elements."""
    last = fixed(np.array([n - size]), drawn)
    if count == 1:
        return expand(last, *drawn.shape, 1)
    step = (n - size) / (count - 1)
    begin = apply(trunc, ((unsqueeze(drawn, -1) + fixed(np.arange(count - 1), drawn)) * step,))
    begin = (begin - apply(trunc, (unsqueeze(drawn, -1) * step,))).to(last.dtype)
    return cat([begin, expand(last, *drawn.shape, 1)], -1)
