"""Differences of neighbours, and sums and slopes of samples, along a dimension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jitgrad.functions.bind import bound
from jitgrad.functions.face import face
from jitgrad.functions.shaping import cat, reshape
from jitgrad.ops import TABLE
from jitgrad.ops.choosing import logical_xor
from jitgrad.ops.movement import narrow
from jitgrad.ops.shapes import axes, axis
from jitgrad.record.apply import apply
from jitgrad.record.precision import in_single
from jitgrad.tensors.tensor import Tensor

_cumsum = bound(TABLE["cumsum"])


def _part(x: Tensor, dim: int, start: int, end: int) -> Tensor:
    """The elements along a dimension from `start` to `end`, both counted from the end if negative."""
    n = x.shape[dim]
    start, end = start % (n + 1) if start < 0 else start, end + n if end <= 0 else end
    return apply(narrow, (x,), {"dim": dim, "start": start, "length": end - start})


def diff(input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None) -> Tensor:
    """Each element minus the one before, `n` times, `prepend` and `append` put around; of bools, whether they differ."""
    if not input.ndim:
        raise RuntimeError("diff: a 0-d tensor has no neighbours: it needs at least one dimension")
    d = axis(dim, input.ndim)
    if n < 0:
        raise RuntimeError(f"diff: the order must not be negative, and it is {n}")
    parts = [part for part in (prepend, input, append) if part is not None]
    for part in parts:
        if part.ndim != input.ndim or any(p != s for k, (p, s) in enumerate(zip(part.shape, input.shape)) if k != d):
            raise RuntimeError(
                f"diff: what is put around must have the shape {list(input.shape)} of the tensor except along dim={d}, "
                f"not {list(part.shape)}"
            )
    if n == 0:
        return input.clone()
    x = cat(parts, d) if len(parts) > 1 else input
    for _ in range(min(n, x.shape[d])):
        x = _differences(x, d)
    return x


def _differences(x: Tensor, d: int) -> Tensor:
    size = x.shape[d]
    if not size:
        return x
    later, first = _part(x, d, 1, size), _part(x, d, 0, size - 1)
    return apply(logical_xor, (later, first)) if x.dtype.name == "bool" else later - first


def _areas(what: str, y: Tensor, x: Tensor | None, dx: Any, d: int) -> Tensor:
    """Twice the areas between neighbouring samples."""
    if y.dtype.name == "bool" or (x is not None and x.dtype.name == "bool"):
        raise RuntimeError(f"{what}: samples and their places must be numbers, not bools")
    if isinstance(dx, (bool, complex)):
        raise RuntimeError(f"{what}: dx must be a real number, not {dx!r}")
    n = y.shape[d]
    sums = _part(y, d, 1, n) + _part(y, d, 0, n - 1)
    if x is None:
        return sums if dx is None else sums * dx
    if not x.ndim:
        raise RuntimeError(f"{what}: x must be the places of the samples along a dimension, and it is 0-d: for steps take dx")
    if x.ndim == 1:
        if x.shape[0] != n:
            raise RuntimeError(f"{what}: {n} samples along dim={d} are at as many places, and x has {x.shape[0]}")
        places = reshape(_differences(x, 0), [n - 1 if k == d else 1 for k in range(y.ndim)])
    else:
        full = reshape(x, (*(1,) * (y.ndim - x.ndim), *x.shape)) if x.ndim < y.ndim else x
        along = d + full.ndim - y.ndim
        if full.shape[along] not in (1, n):
            raise RuntimeError(f"{what}: y of shape {list(y.shape)} and x of shape {list(x.shape)} do not fit along dim={d}")
        places = _differences(full, along)
    return sums * places


def _checked_dx(what: str, x: Any, dx: Any) -> None:
    if x is not None and dx is not None:
        raise TypeError(f"{what}: x and dx both say where the samples are: give one of them")
    if x is not None and not isinstance(x, Tensor):
        raise TypeError(f"{what}: x must be a tensor, not {type(x).__name__}: the step is dx=")


@face(method=False)
def trapezoid(y: Tensor, x: Any = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """The integral of samples by the trapezoidal rule along `dim`, at places `x` or `dx` (1) apart."""
    _checked_dx("trapezoid", x, dx)
    d = _sampled("trapezoid", y, dim)
    if not y.shape[d]:
        return _halved(y.sum(d))
    return _halved(_areas("trapezoid", y, x, dx, d).sum(_from_end(d, y)))


@face(method=False)
def trapz(y: Tensor, x: Any = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """`trapezoid`, by its older name."""
    return trapezoid(y, x, dx=dx, dim=dim)


@face(method=False)
def cumulative_trapezoid(y: Tensor, x: Any = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """The integrals by the trapezoidal rule from the first sample to each other one along `dim`."""
    _checked_dx("cumulative_trapezoid", x, dx)
    d = _sampled("cumulative_trapezoid", y, dim)
    if not y.shape[d]:
        return _halved(y)
    return _halved(_cumsum(_areas("cumulative_trapezoid", y, x, dx, d), _from_end(d, y)))


def _sampled(what: str, y: Tensor, dim: int) -> int:
    if not y.ndim:
        raise IndexError(f"{what}: a 0-d tensor has no dimension dim={dim} of samples")
    return axis(dim, y.ndim)


def _from_end(d: int, y: Tensor) -> int:
    """The dimension counted from the end, since places with more dimensions add some in front."""
    return d - y.ndim


def _halved(x: Tensor) -> Tensor:
    return x / 2


@face(method=False)
def gradient(input: Tensor, *, spacing: Any = None, dim: Any = None, edge_order: int = 1) -> tuple[Tensor, ...]:
    """The slopes of samples along each of `dim` (all), by central differences, and at the ends of order 1 or 2.

    `spacing` is one step, or for each dimension a step or a 1-d tensor of places.
    """
    if edge_order not in (1, 2):
        raise RuntimeError(f"gradient: edge_order must be 1 or 2, not {edge_order}")
    if input.dtype.name == "bool":
        raise RuntimeError("gradient: samples must be numbers, not bools: convert with .float()")
    dims = list(range(input.ndim)) if dim is None else _in_order_given(dim, input.ndim)
    steps = _steps(spacing, dims, input)
    for d in dims:
        if input.ndim == 0 or input.shape[d] < edge_order + 1:
            raise RuntimeError(
                f"gradient: edge_order={edge_order} needs {edge_order + 1} samples along each dimension, and the shape is "
                f"{list(input.shape)}"
            )
    return tuple([_slopes(input, d, step, edge_order) for d, step in zip(dims, steps)])


def _in_order_given(dim: Any, ndim: int) -> list[int]:
    axes(dim, ndim)  # says what is wrong with them
    return [axis(d, ndim) for d in (dim if isinstance(dim, (tuple, list)) else (dim,))]


def _steps(spacing: Any, dims: Sequence[int], input: Tensor) -> list[Any]:
    if spacing is None:
        return [1] * len(dims)
    if isinstance(spacing, (tuple, list)):
        if len(spacing) != len(dims):
            raise RuntimeError(f"gradient: {len(spacing)} spacings are given for {len(dims)} dimensions")
        for d, step in zip(dims, spacing):
            if isinstance(step, Tensor) and (step.ndim != 1 or step.shape[0] != input.shape[d]):
                raise RuntimeError(
                    f"gradient: the places along dimension {d} are {input.shape[d]} in one dimension, not {list(step.shape)}"
                )
        return list(spacing)
    if isinstance(spacing, Tensor) and spacing.ndim:
        raise RuntimeError("gradient: spacing is a number, or a list of numbers or 1-d tensors, one for each dimension")
    return [spacing] * len(dims)


@in_single
def _slopes(f: Tensor, d: int, step: Any, edge_order: int) -> Tensor:
    n = f.shape[d]
    change = _differences(f, d)
    even = not (isinstance(step, Tensor) and step.ndim)
    if not even:
        step = reshape(_differences(step, 0), [n - 1 if k == d else 1 for k in range(f.ndim)])
        steps = [_part(step, d, k, k + 1) for k in ((0, n - 2) if edge_order == 1 else (0, 1, n - 3, n - 2))]
    else:
        steps = [step] * (2 * edge_order)
    slope = change / step
    first, last = _part(slope, d, 0, 1), _part(slope, d, n - 2, n - 1)
    if edge_order == 2:  # the slope of the parabola through three samples
        first = first + (first - _part(slope, d, 1, 2)) * (steps[0] / (steps[0] + steps[1]))
        last = last + (last - _part(slope, d, n - 3, n - 2)) * (steps[3] / (steps[2] + steps[3]))
    if n == 2:
        return cat([first, last], d)
    if even:  # what lies between two samples has no part in the slope there
        inner = (_part(f, d, 2, n) - _part(f, d, 0, n - 2)) / (2 * step)
    else:
        before, after = _part(step, d, 0, n - 2), _part(step, d, 1, n - 1)
        inner = (_part(slope, d, 0, n - 2) * after + _part(slope, d, 1, n - 1) * before) / (before + after)
    return cat([first, inner, last], d)
