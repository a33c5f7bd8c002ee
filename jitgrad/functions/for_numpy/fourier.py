"""NumPy's functions of complex numbers and its Fourier transforms, with NumPy's arguments: `np.fft.fft(tensor)`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from jitgrad.functions import complexes, fourier
from jitgrad.functions.for_numpy.naming import fractional, named, tensor_of
from jitgrad.ops import choosing
from jitgrad.ops.complexes import angle
from jitgrad.record.apply import apply
from jitgrad.tensors.tensor import Tensor


def _along_one(transform: Callable) -> Callable:
    def function(a: Any, n: Any = None, axis: int = -1, norm: Any = None) -> Tensor:
        return transform(fractional(a), n, axis, norm)

    return function


def _along_two(transform: Callable) -> Callable:
    def function(a: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None) -> Tensor:
        return transform(fractional(a), s, axes, norm)

    return function


def _along_many(transform: Callable) -> Callable:
    def function(a: Any, s: Any = None, axes: Any = None, norm: Any = None) -> Tensor:
        return transform(fractional(a), s, axes, norm)

    return function


def _shift(transform: Callable) -> Callable:
    def function(x: Any, axes: Any = None) -> Tensor:
        return transform(tensor_of(x), axes)

    return function


@named("real")
def _real(val: Any) -> Tensor:
    return complexes.real(tensor_of(val))


@named("imag")
def _imag(val: Any) -> Tensor:
    x = tensor_of(val)
    return complexes.imag(x) if x.dtype.is_complex else apply(choosing.zeros_like, (x,))


@named("angle")
def _angle(z: Any, deg: bool = False) -> Tensor:
    turn = apply(angle, (fractional(z),))
    return turn * (180 / math.pi) if deg else turn


_KINDS = {
    _along_one: ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft"),
    _along_two: ("fft2", "ifft2", "rfft2", "irfft2"),
    _along_many: ("fftn", "ifftn", "rfftn", "irfftn"),
    _shift: ("fftshift", "ifftshift"),
}
for _kind, _names in _KINDS.items():
    for _name in _names:
        named(f"fft.{_name}")(_kind(getattr(fourier, _name)))
