"""NumPy's functions of complex numbers and its Fourier transforms, with NumPy's arguments: `np.fft.fft(tensor)`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.functions import complexes, fourier
from jitgrad.functions.operands import operand
from jitgrad.ops import choosing
from jitgrad.ops.complexes import angle
from jitgrad.record.apply import apply
from jitgrad.tensors.tensor import Tensor


def _tensor(a: Any) -> Tensor:
    """A tensor of floats or complex numbers, as NumPy takes whole ones in float64."""
    x = a if isinstance(a, Tensor) else operand(a)
    return x if x.dtype.has_gradient else apply(choosing.cast, (x,), {"dtype": np.dtype(np.float64)})


def _along_one(transform: Callable) -> Callable:
    def function(a: Any, n: Any = None, axis: int = -1, norm: Any = None) -> Tensor:
        return transform(_tensor(a), n, axis, norm)

    return function


def _along_two(transform: Callable) -> Callable:
    def function(a: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None) -> Tensor:
        return transform(_tensor(a), s, axes, norm)

    return function


def _along_many(transform: Callable) -> Callable:
    def function(a: Any, s: Any = None, axes: Any = None, norm: Any = None) -> Tensor:
        return transform(_tensor(a), s, axes, norm)

    return function


def _shift(transform: Callable) -> Callable:
    def function(x: Any, axes: Any = None) -> Tensor:
        return transform(x if isinstance(x, Tensor) else operand(x), axes)

    return function


def _real(val: Any) -> Tensor:
    return complexes.real(val)


def _imag(val: Any) -> Tensor:
    return complexes.imag(val) if val.dtype.is_complex else apply(choosing.zeros_like, (val,))


def _angle(z: Any, deg: bool = False) -> Tensor:
    turn = apply(angle, (_tensor(z),))
    return turn * (180 / math.pi) if deg else turn


_KINDS = {
    _along_one: ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft"),
    _along_two: ("fft2", "ifft2", "rfft2", "irfft2"),
    _along_many: ("fftn", "ifftn", "rfftn", "irfftn"),
    _shift: ("fftshift", "ifftshift"),
}
NUMPY: dict[str, Callable] = {name: kind(getattr(fourier, name)) for kind, names in _KINDS.items() for name in names}
NUMPY |= {"real": _real, "imag": _imag, "angle": _angle}
