"""Discrete Fourier transforms, with the signatures of `torch.fft`.

`n`, or `s` for several dimensions, cuts the input or fills it up with zeros. `norm` is "backward" (the inverse transform is
divided by the number of points), "forward" or "ortho".
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.dtypes import HALF
from jitgrad.functions.complexes import conj
from jitgrad.functions.data import tensor
from jitgrad.ops import fourier as rows
from jitgrad.ops.choosing import cast
from jitgrad.ops.fourier import OPPOSITE
from jitgrad.ops.movement import cat, narrow, pad
from jitgrad.ops.shapes import axis
from jitgrad.record.apply import apply
from jitgrad.tensors.tensor import Tensor

_LAST_TWO = (-2, -1)


def _norm(norm: str | None) -> str:
    if norm is not None and norm not in OPPOSITE:
        raise RuntimeError(f"norm must be 'backward', 'forward' or 'ortho', not {norm!r}")
    return norm or "backward"


def _points(n: Any) -> int:
    size = operator.index(n)
    if size < 1:
        raise RuntimeError(f"a transform needs at least one point, and {size} are asked for")
    return size


def _one(what: str, input: Tensor, n: Any, dim: int) -> tuple[tuple[int, ...], list[int | None]]:
    if not input.ndim:
        raise IndexError(f"{what}: a tensor of no dimensions has none to transform along")
    return (axis(dim, input.ndim),), [n]


def _several(what: str, input: Tensor, s: Any, dim: Any, some: bool) -> tuple[tuple[int, ...], list[int | None]]:
    """The dimensions, and the sizes that are asked for along them; `some` says whether there must be one."""
    sizes = None if s is None else [s] if not isinstance(s, (tuple, list)) else list(s)
    if dim is None:
        count = input.ndim if sizes is None else len(sizes)
        if count > input.ndim:
            raise RuntimeError(f"{what}: {count} sizes for a tensor of {input.ndim} dimensions")
        dims = tuple(range(input.ndim - count, input.ndim))
    else:
        dims = tuple([axis(d, input.ndim) for d in (dim if isinstance(dim, (tuple, list)) else (dim,))])
    if len(set(dims)) != len(dims):
        raise RuntimeError(f"{what}: dim={dim} names a dimension twice: each may appear once")
    if sizes is not None and len(sizes) != len(dims):
        raise RuntimeError(f"{what}: {len(sizes)} sizes and {len(dims)} dimensions: give one for each")
    if some and not dims:
        raise RuntimeError(f"{what}: at least one dimension must be transformed")
    return dims, [None] * len(dims) if sizes is None else [None if n == -1 else n for n in sizes]


def _numbers(what: str, input: Tensor, real: bool = False) -> Tensor:
    """The input in a dtype that can be transformed: whole numbers as floats."""
    dtype = input._held.dtype
    if dtype in HALF:
        raise RuntimeError(f"{what} takes float32 and float64, complex64 and complex128, not {input.dtype.name}: use .float()")
    if real and dtype.kind == "c":
        raise RuntimeError(f"{what} takes real tensors, and this one is {input.dtype.name}: use the transform of complex ones")
    return input if dtypes.has_gradient(dtype) else apply(cast, (input,), {"dtype": dtypes.default()})


def _as_complex(x: Tensor) -> Tensor:
    dtype = dtypes.complex_of(x._held.dtype)
    return x if x._held.dtype == dtype else apply(cast, (x,), {"dtype": dtype})


def _fitted(x: Tensor, dims: Sequence[int], sizes: Sequence[Any]) -> Tensor:
    """The input cut, or filled up with zeros, to the sizes that are asked for."""
    for d, n in zip(dims, sizes):
        have, want = x.shape[d], _points(x.shape[d] if n is None else n)
        if want < have:
            x = apply(narrow, (x,), {"dim": d, "start": 0, "length": want})
        elif want > have:
            x = apply(pad, (x,), {"dim": d, "start": 0, "size": want})
    return x


def _c2c(what: str, input: Tensor, over: tuple, norm: str | None, inverse: bool) -> Tensor:
    x, norm = _fitted(_as_complex(_numbers(what, input)), *over), _norm(norm)
    return apply(rows.fourier, (x,), {"dim": over[0], "norm": norm, "inverse": inverse}) if over[0] else x


def _r2c(what: str, input: Tensor, over: tuple, norm: str) -> Tensor:
    x = _fitted(_numbers(what, input, real=True), *over)
    return apply(rows.fourier_of_real, (x,), {"dim": over[0], "norm": norm})


def _c2r(what: str, input: Tensor, over: tuple, norm: str, conjugate: bool = False) -> Tensor:
    dims, sizes = over
    last = _points(2 * (input.shape[dims[-1]] - 1) if sizes[-1] is None else sizes[-1])
    x = _fitted(_as_complex(_numbers(what, input)), dims, [*sizes[:-1], last // 2 + 1])
    return apply(rows.fourier_to_real, (conj(x) if conjugate else x,), {"dim": dims, "norm": norm, "size": last})


def fft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """The discrete Fourier transform along one dimension: `sum(x[j] * exp(-2j * pi * j * k / n))`. Complex."""
    return _c2c("fft", input, _one("fft", input, n, dim), norm, False)


def ifft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """The inverse of `fft`."""
    return _c2c("ifft", input, _one("ifft", input, n, dim), norm, True)


def rfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """The first `n // 2 + 1` elements of `fft` of a real tensor, of which the others are the conjugates."""
    return _r2c("rfft", input, _one("rfft", input, n, dim), _norm(norm))


def irfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """The inverse of `rfft`: `n` real numbers, an even number of them if it is not given."""
    return _c2r("irfft", input, _one("irfft", input, n, dim), _norm(norm))


def hfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """`fft` of a signal of which the first `n // 2 + 1` elements are given and the others are their conjugates. Real."""
    return _c2r("hfft", input, _one("hfft", input, n, dim), OPPOSITE[_norm(norm)], conjugate=True)


def ihfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """The inverse of `hfft`: the first half of `ifft` of a real tensor."""
    return conj(_r2c("ihfft", input, _one("ihfft", input, n, dim), OPPOSITE[_norm(norm)]))


def fftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Tensor:
    """`fft` along several dimensions, all unless `dim` or `s` says otherwise."""
    return _c2c("fftn", input, _several("fftn", input, s, dim, False), norm, False)


def ifftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Tensor:
    """The inverse of `fftn`."""
    return _c2c("ifftn", input, _several("ifftn", input, s, dim, False), norm, True)


def rfftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Tensor:
    """`fftn` of a real tensor, the first half along the last of the dimensions."""
    return _r2c("rfftn", input, _several("rfftn", input, s, dim, True), _norm(norm))


def irfftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Tensor:
    """The inverse of `rfftn`; the last size is even if it is not given."""
    return _c2r("irfftn", input, _several("irfftn", input, s, dim, True), _norm(norm))


def hfftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Tensor:
    """`fftn` of a signal of which the first half is given along the last of the dimensions. Real."""
    return _c2r("hfftn", input, _several("hfftn", input, s, dim, True), OPPOSITE[_norm(norm)], conjugate=True)


def ihfftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Tensor:
    """The inverse of `hfftn`."""
    return conj(_r2c("ihfftn", input, _several("ihfftn", input, s, dim, True), OPPOSITE[_norm(norm)]))


def fft2(input: Tensor, s: Any = None, dim: Any = _LAST_TWO, norm: str | None = None) -> Tensor:
    """`fft` along two dimensions."""
    return _c2c("fft2", input, _several("fft2", input, s, dim, False), norm, False)


def ifft2(input: Tensor, s: Any = None, dim: Any = _LAST_TWO, norm: str | None = None) -> Tensor:
    """The inverse of `fft2`."""
    return _c2c("ifft2", input, _several("ifft2", input, s, dim, False), norm, True)


def rfft2(input: Tensor, s: Any = None, dim: Any = _LAST_TWO, norm: str | None = None) -> Tensor:
    """`rfftn` along two dimensions."""
    return rfftn(input, s, dim, norm)


def irfft2(input: Tensor, s: Any = None, dim: Any = _LAST_TWO, norm: str | None = None) -> Tensor:
    """The inverse of `rfft2`."""
    return irfftn(input, s, dim, norm)


def hfft2(input: Tensor, s: Any = None, dim: Any = _LAST_TWO, norm: str | None = None) -> Tensor:
    """`hfftn` along two dimensions."""
    return hfftn(input, s, dim, norm)


def ihfft2(input: Tensor, s: Any = None, dim: Any = _LAST_TWO, norm: str | None = None) -> Tensor:
    """The inverse of `hfft2`."""
    return ihfftn(input, s, dim, norm)


def fftfreq(n: int, d: float = 1.0, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """The frequencies that `fft` of `n` points, `d` apart, gives, in cycles per unit."""
    half = (n + 1) // 2
    return _frequencies("fftfreq", [*range(half), *range(half - n, 0)], n, d, dtype, device, requires_grad)


def rfftfreq(n: int, d: float = 1.0, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """The frequencies that `rfft` of `n` points, `d` apart, gives, in cycles per unit."""
    return _frequencies("rfftfreq", range(n // 2 + 1), n, d, dtype, device, requires_grad)


def _frequencies(what: str, turns: Sequence[int], n: int, d: float, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    """Those that turn so often in n points; infinite, or nan, where these are all in one place."""
    if n < 0:
        raise RuntimeError(f"{what}: the number of points must not be negative, and it is {n}")
    wanted = dtypes.default() if dtype is None else dtypes.to_numpy(dtype)
    if not dtypes.has_gradient(wanted):
        raise RuntimeError(f"{what}: frequencies are fractions, and {dtypes.of(wanted).name} has none")
    with np.errstate(all="ignore"):
        values = (np.array(turns, np.float64) * np.divide(1.0, n * d)).astype(wanted)
    return tensor(values, device=device, requires_grad=requires_grad)


def fftshift(input: Tensor, dim: Any = None) -> Tensor:
    """The first half and the second half along dimensions, all unless `dim` says otherwise, changed over, so that frequency 0 is
    in the middle."""
    return _shifted(input, dim, lambda n: n - n // 2)


def ifftshift(input: Tensor, dim: Any = None) -> Tensor:
    """The inverse of `fftshift`."""
    return _shifted(input, dim, lambda n: n // 2)


def _shifted(input: Tensor, dim: Any, first: Callable[[int], int]) -> Tensor:
    """The first elements along dimensions, so many as `first` says, put last."""
    dims = range(input.ndim) if dim is None else dim if isinstance(dim, (tuple, list)) else (dim,)
    for d in dims:
        at = axis(d, input.ndim)
        n = input.shape[at] if input.ndim else 0
        if n > 1:
            ends = {"start": first(n), "length": n - first(n)}, {"start": 0, "length": first(n)}
            input = apply(cat, [apply(narrow, (input,), {"dim": at} | end) for end in ends], {"dim": at})
    return input
