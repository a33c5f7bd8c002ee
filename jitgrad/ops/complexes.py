"""Complex numbers out of real ones, and real ones out of complex numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jitgrad.dtypes import complex_of, real_of
from jitgrad.ops.choosing import abs, imag_part, imaginary, real_part, sgn, where, zeros_like
from jitgrad.ops.shapes import Spec
from jitgrad.ops.table import binary, linear, register, unary


def _complex(x: Any, y: Any) -> Any:
    out = np.empty(np.broadcast_shapes(np.shape(x), np.shape(y)), complex_of(np.result_type(x, y)))
    out.real, out.imag = x, y
    return out[()]


def _pairs(x: Any) -> Any:
    """Real and imaginary parts along a new last dimension, in the same memory."""
    part = real_of(x.dtype)
    return np.asarray(x).view([("parts", part, (2,))])["parts"]


def _angle(x: Any) -> Any:
    if x.dtype.kind == "c":
        return np.arctan2(x.imag, x.real)
    angle = np.where(np.isnan(x), x, np.where(x < 0, x.dtype.type(math.pi), x.dtype.type(0)))
    return angle.astype(x.dtype)[()]


complex_ = binary(
    None,
    _complex,
    vjp=(lambda g: real_part(g), lambda g: imag_part(g)),
    real=False,
    on_complex="adjoint",
    exact=True,
    internal=True,
    oracle="x + 1j * y",
)
view_as_real = linear(
    _pairs,
    transpose=lambda g: view_as_complex(g),
    view=True,
    internal=True,
    shape=lambda x: Spec((*x.shape, 2), real_of(x.dtype)),
    samples=list,
    real=False,
)
view_as_complex = linear(
    lambda x: (x if x.strides[-1] == x.itemsize else np.ascontiguousarray(x)).view(complex_of(x.dtype))[..., 0],
    transpose=lambda g: view_as_real(g),
    view=True,
    internal=True,
    shape=lambda x: Spec(x.shape[:-1], complex_of(x.dtype)),
    samples=list,
    real=False,
)
angle = unary(
    f"select(x < 0, select(x != x, x, {math.pi}), select(x != x, x, 0))",
    _angle,
    result="float",
    vjp=lambda g: zeros_like(g),
    complex_rules=(lambda g, x: sgn(x) * imaginary(g / _size(x)),),
    aliases=(),
    oracle="np.angle(x)",
)


def _size(x: Any) -> Any:
    """The absolute value, but 1 where it is 0."""
    size = abs(x)
    return where(size == 0, 1, size)


register(globals())
