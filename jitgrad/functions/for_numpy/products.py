"""NumPy's products of tensors, and what is sums of products: convolutions, polynomials, integrals, slopes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from jitgrad.functions import factors, numeric, products, scans, shaping
from jitgrad.functions.contractions import crossed, summed_products
from jitgrad.functions.for_numpy.naming import NOT_GIVEN, NUMPY, ROW, axes_of, cast, fractional, named, same_dtype, tensor_of
from jitgrad.functions.nn.convolution import conv1d
from jitgrad.functions.windows import unfold
from jitgrad.ops import arithmetic, choosing
from jitgrad.record.apply import apply
from jitgrad.tensors.tensor import Tensor


def _shapes_fit(what: str, fits: bool, x: Tensor, y: Tensor) -> None:
    if not fits:
        raise ValueError(f"np.{what}: shapes {tuple(x.shape)} and {tuple(y.shape)} do not fit")


named("matmul")(lambda x1, x2, /: numeric.matmul(x1, x2))  # what `array @ tensor` comes as, and means what `tensor @ array` does


@named("linalg.matmul")
def _matmul(x1: Any, x2: Any, /) -> Tensor:
    x, y = same_dtype(x1, x2)
    return numeric.matmul(x, y)


@named("dot")
def _dot(a: Any, b: Any) -> Tensor:
    """The sum of products over the last axis of `a` and the last but one of `b`, for each pair of the others."""
    x, y = same_dtype(a, b)
    if not x.ndim or not y.ndim:
        return apply(arithmetic.mul, (x, y))
    inner = y.shape[-2] if y.ndim > 1 else y.shape[0]
    if x.shape[-1] != inner:
        raise ValueError(
            f"np.dot: shapes {tuple(x.shape)} and {tuple(y.shape)} do not fit: {x.shape[-1]} and {inner} numbers to be multiplied"
        )
    if x.ndim < 3 and y.ndim < 3:
        return numeric.matmul(x, y)
    return products.tensordot(x, y, ([x.ndim - 1], [max(y.ndim - 2, 0)]))


@named("inner")
def _inner(a: Any, b: Any, /) -> Tensor:
    x, y = same_dtype(a, b)
    _shapes_fit("inner", not x.ndim or not y.ndim or x.shape[-1] == y.shape[-1], x, y)
    return products.inner(x, y)


@named("vdot")
def _vdot(a: Any, b: Any, /) -> Tensor:
    x, y = (shaping.reshape(v, (-1,)) for v in same_dtype(a, b))
    _shapes_fit("vdot", x.shape[0] == y.shape[0], x, y)
    return numeric.matmul(_conjugate(x), y)


def _conjugate(x: Tensor) -> Tensor:
    return apply(choosing.conj, (x,)) if x.dtype.is_complex else x


@named("outer")
def _outer(a: Any, b: Any) -> Tensor:
    x, y = same_dtype(a, b)
    return shaping.reshape(x, (-1, 1)) * shaping.reshape(y, (1, -1))


@named("linalg.outer")
def _outer_of_vectors(x1: Any, x2: Any, /) -> Tensor:
    x, y = same_dtype(x1, x2)
    _shapes_fit("linalg.outer", x.ndim == y.ndim == 1, x, y)
    return _outer(x, y)


@named("tensordot")
def _tensordot(a: Any, b: Any, axes: Any = 2) -> Tensor:
    x, y = same_dtype(a, b)
    if np.ndim(axes):
        of_x, of_y = ([*each] if np.ndim(each) else [each] for each in axes)
        of_x, of_y = list(normalize_axis_tuple(of_x, x.ndim)), list(normalize_axis_tuple(of_y, y.ndim))
    else:
        of_x, of_y = list(range(x.ndim - axes, x.ndim)), list(range(axes))
    _shapes_fit("tensordot", [x.shape[d] for d in of_x] == [y.shape[d] for d in of_y], x, y)
    return products.tensordot(x, y, (of_x, of_y))


named("linalg.tensordot")(lambda x1, x2, /, *, axes=2: _tensordot(x1, x2, axes))
named("kron")(lambda a, b: products.kron(*same_dtype(a, b)))


@named("einsum")
def _einsum(*operands: Any, dtype: Any = None, optimize: Any = False) -> Tensor:
    text = [x for x in operands if isinstance(x, str)]
    given = operands[1:] if text else operands[0::2][: len(operands) // 2]
    lists = operands[1::2] + operands[len(operands) // 2 * 2 :]
    many = same_dtype(*given)
    many = many if dtype is None else [cast(x, dtype) for x in many]
    mixed = [text[0], *many] if text else [x for pair in zip(many, lists) for x in pair] + list(lists[len(many) :])
    return cast(summed_products(mixed[0], mixed[1:]), many[0].dtype)  # small integers wrap


@named("cross")
def _cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    axisa, axisb, axisc = (axisa, axisb, axisc) if axis is None else (axis,) * 3
    x, y = (shaping.movedim(v, normalize_axis_index(d, v.ndim), -1) for v, d in zip(same_dtype(a, b), (axisa, axisb)))
    sizes = {x.shape[-1], y.shape[-1]}
    if not sizes <= {2, 3}:
        raise ValueError(f"np.cross: vectors have 2 or 3 components, and the shapes are {tuple(x.shape)} and {tuple(y.shape)}")
    if sizes == {2}:
        return x[..., 0] * y[..., 1] - x[..., 1] * y[..., 0]
    x, y = (v if v.shape[-1] == 3 else shaping.cat([v, v[..., :1] * 0], -1) for v in (x, y))
    x, y = shaping.broadcast_tensors(x, y)
    found = crossed("cross", x, y, -1)
    return shaping.movedim(found, -1, axisc) if found.ndim > 1 else found


@named("linalg.cross")
def _cross_of_three(x1: Any, x2: Any, /, *, axis: int = -1) -> Tensor:
    x, y = same_dtype(x1, x2)
    _shapes_fit("linalg.cross", x.shape[axis] == y.shape[axis] == 3, x, y)
    return _cross(x, y, axis=axis)


def _summed(name: str, first: tuple[int, ...], second: tuple[int, ...]) -> None:
    """Products of vectors and matrices along the last axes, which are broadcast: `first` and `second` say how they stand."""

    @named(name)
    def product(x1: Any, x2: Any, /) -> Tensor:
        x, y = same_dtype(x1, x2)
        if x.ndim < len(first) or y.ndim < len(second):
            raise ValueError(f"np.{name}: shapes {tuple(x.shape)} and {tuple(y.shape)} have too few axes")
        x = x if len(first) == 2 else _conjugate(x)
        rows = x if len(first) == 2 else shaping.unsqueeze(x, -2)
        columns = y if len(second) == 2 else shaping.unsqueeze(y, -1)
        found = _matmul(rows, columns)
        found = found if len(second) == 2 else found[..., 0]
        return found if len(first) == 2 else found[..., 0, :] if len(second) == 2 else found[..., 0]


_summed("vecdot", (0,), (0,))
_summed("matvec", (0, 1), (1,))
_summed("vecmat", (0,), (0, 1))


@named("linalg.vecdot")
def _vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Tensor:
    x, y = (shaping.movedim(v, axis, -1) for v in same_dtype(x1, x2))
    return NUMPY["vecdot"](x, y)


# Convolutions.


def _sequences(what: str, mode: str, *operands: Any) -> list[Tensor]:
    many = [shaping.atleast_1d(each) for each in same_dtype(*operands)]
    if any(x.ndim != 1 or not x.shape[0] for x in many):
        raise ValueError(f"np.{what} takes sequences that hold something, not shapes {[tuple(x.shape) for x in many]}")
    if mode not in ("full", "same", "valid"):
        raise ValueError(f"np.{what}: mode is 'full', 'same' or 'valid', not {mode!r}")
    return many


@named("convolve")
def _convolve(a: Any, v: Any, mode: str = "full") -> Tensor:
    x, y = _sequences("convolve", mode, a, v)
    longer, shorter = (x, y) if x.shape[0] >= y.shape[0] else (y, x)
    return _part(longer, _mirrored(shorter), mode)


@named("correlate")
def _correlate(a: Any, v: Any, mode: str = "valid") -> Tensor:
    x, y = _sequences("correlate", mode, a, v)
    y = _conjugate(y)
    return _part(x, y, mode) if x.shape[0] >= y.shape[0] else _mirrored(_part(y, x, mode))


def _mirrored(x: Tensor) -> Tensor:
    return ROW["flip"](x, (0,))


def _part(longer: Tensor, shorter: Tensor, mode: str) -> Tensor:
    n, m, found = longer.shape[0], shorter.shape[0], _slid(longer, shorter)
    start, length = {"full": (0, n + m - 1), "same": ((m - 1) // 2, n), "valid": (m - 1, n - m + 1)}[mode]
    return found[start : start + length]


def _slid(x: Tensor, y: Tensor) -> Tensor:
    """The sums of products of the shorter sequence with all parts of the longer one that it overlaps, in order."""
    m = y.shape[0]
    edge = tensor_of(np.zeros(m - 1, x._held.dtype), x)
    padded = shaping.cat([edge, x, edge])
    if x.dtype.is_floating_point:
        return conv1d(shaping.reshape(padded, (1, 1, -1)), shaping.reshape(y, (1, 1, -1)))[0, 0]
    return numeric.matmul(unfold(padded, 0, m, 1), y)


# Polynomials.


@named("polyval")
def _polyval(p: Any, x: Any) -> Tensor:
    coefficients, at = tensor_of(p, x), tensor_of(x, p)
    if coefficients.shape[0]:
        coefficients, at = same_dtype(coefficients, at)
    found = at * 0
    for k in range(coefficients.shape[0]):
        found = found * at + coefficients[k]
    return found


@named("vander")
def _vander(x: Any, N: int | None = None, increasing: bool = False) -> Tensor:
    x = tensor_of(x)
    if x.ndim != 1:
        raise ValueError(f"np.vander takes one axis, and the shape is {tuple(x.shape)}")
    return factors.vander(x, N, increasing)


@named("polymul")
def _polymul(a1: Any, a2: Any) -> Tensor:
    return NUMPY["convolve"](a1, a2)


def _poly_joined(name: str, join: Callable) -> None:
    @named(name)
    def joined(a1: Any, a2: Any) -> Tensor:
        x, y = (shaping.atleast_1d(v) for v in same_dtype(a1, a2))
        n = max(x.shape[0], y.shape[0])
        return join(*(NUMPY["pad"](v, (n - v.shape[0], 0)) for v in (x, y)))


_poly_joined("polyadd", lambda x, y: x + y)
_poly_joined("polysub", lambda x, y: x - y)


@named("polyder")
def _polyder(p: Any, m: int = 1) -> Tensor:
    x = tensor_of(p)
    for _ in range(m):
        n = x.shape[0] - 1
        x = x[:n] * tensor_of(np.arange(n, 0, -1), x)
    return x


# Differences, integrals, slopes.


@named("diff")
def _diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = NOT_GIVEN, append: Any = NOT_GIVEN) -> Tensor:
    x = tensor_of(a)
    if n < 0 or not x.ndim:
        raise ValueError(f"np.diff: the order must not be negative, nor the array without axes: n={n}, shape {tuple(x.shape)}")
    d = normalize_axis_index(axis, x.ndim)
    around = [v if v is NOT_GIVEN else _as_end(v, x, d) for v in (prepend, append)]
    parts = [v for v in (around[0], x, around[1]) if v is not NOT_GIVEN]
    return scans.diff(shaping.cat(same_dtype(*parts), d) if len(parts) > 1 else x, n, d)


def _as_end(value: Any, x: Tensor, d: int) -> Tensor:
    end = tensor_of(value, x)
    return end if end.ndim else shaping.expand(end, tuple([1 if k == d else n for k, n in enumerate(x.shape)]))


@named("ediff1d")
def _ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Tensor:
    x = scans.diff(shaping.reshape(tensor_of(ary), (-1,)))
    ends = [[] if v is None else [shaping.reshape(cast(tensor_of(v, x), x._held.dtype), (-1,))] for v in (to_begin, to_end)]
    return shaping.cat([*ends[0], x, *ends[1]])


@named("trapezoid")
def _trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Tensor:
    samples = fractional(y)
    d = normalize_axis_index(axis, samples.ndim)
    if x is None:
        return scans.trapezoid(samples, dx=dx, dim=d)
    samples, places = same_dtype(samples, x)
    return scans.trapezoid(samples, places, dim=d)


@named("gradient")
def _gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    x = fractional(f)
    axes = axes_of(x, axis)
    if len(varargs) not in (0, 1, len(axes)):
        raise TypeError(f"np.gradient: {len(varargs)} spacings are given for {len(axes)} axes")
    steps = list(varargs) * len(axes) if len(varargs) == 1 else list(varargs) or [1.0] * len(axes)
    steps = [v if isinstance(v, (int, float)) else cast(tensor_of(v, x), x._held.dtype) for v in steps]
    found = scans.gradient(x, spacing=steps, dim=axes, edge_order=edge_order)
    return found[0] if len(axes) == 1 else found
