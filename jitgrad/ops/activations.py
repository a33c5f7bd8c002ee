"""Activations, and the losses that are one row."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.ops.arithmetic import log, log1p
from jitgrad.ops.choosing import _where, clamp, ne, where
from jitgrad.ops.table import Op, binary, register, unary
from jitgrad.ops.trigonometric import tanh


def _cross_entropy(x: Any, y: Any) -> Any:
    low = x.dtype.type(-100)
    return (y - 1) * np.maximum(np.log1p(-x), low) - y * np.maximum(np.log(x), low)


def _at_least(x: Any, bound: float) -> Any:
    return clamp(x, min=bound, max=None)


def _sigmoid(x: Any) -> Any:
    if x.dtype.kind == "c":
        return 1 / (1 + np.exp(-x))
    z = np.exp(-np.abs(x))
    return _where(x < 0, z, 1) / (1 + z)


def _rounded_sigmoid_slope(x: Any, y: Any) -> Any:
    if not isinstance(y, np.ndarray):
        return y * (1 - y) if y < 1 else np.exp(-x)
    slope = y * (1 - y)
    return slope if np.all(y < 1) else np.where(y < 1, slope, np.exp(-x))


def _sigmoid_slope(x: Any) -> Any:
    if x.dtype.kind == "c":
        y = _sigmoid(x)
        return y * (1 - y)
    z = np.exp(-np.abs(x))
    return z / ((1 + z) * (1 + z))


def _with_logits(x: Any, y: Any) -> Any:
    return np.log1p(np.exp(-np.abs(x))) + np.where(x > 0, (1 - y) * x, -y * x)


decay = unary("expm1(x)", lambda x: np.expm1(x), d=lambda x: decay_slope(x), result="float", internal=True, oracle="np.expm1(x)")
"""exp(x) - 1 below 0, which is not NumPy's: the piece of `elu`, whose second derivative at 0 is that of least norm."""
decay_slope = unary(
    "exp(x)",
    lambda x: np.exp(x),
    vjp=lambda g, x: where(ne(x, 0), g * decay_slope(x), 0),
    result="float",
    internal=True,
    oracle="np.exp(x)",
)
sigmoid = unary(
    "sigmoid(x)",
    _sigmoid,
    d=lambda x, y: rounded_sigmoid_slope(x, y),
    complex_rules=(lambda y: y * (1 - y),),
    result="float",
    aliases=("special.expit",),
    hot=True,
    oracle="scipy.special.expit(x)",
    on_complex="holomorphic",
)
rounded_sigmoid_slope = binary(
    "select(y < 1, y * (1 - y), exp(-x))",
    _rounded_sigmoid_slope,
    result="float",
    internal=True,
    hint="y",
    vjp=(lambda g, x, y: -g * (sigmoid_slope(x) * tanh(0.5 * x)), None),
)
"""The derivative of sigmoid by the result y that it gave: so the digits that 1 - y has lost cancel where a loss takes the
logarithm of 1 - sigmoid(x). Where none is left, and for derivatives of its own, it is that of exact numbers."""
sigmoid_slope = unary(
    "sigmoid_slope(x)",
    _sigmoid_slope,
    d=lambda x, y: -y * tanh(0.5 * x),
    result="float",
    internal=True,
    oracle="scipy.special.expit(x) * scipy.special.expit(-x)",
    on_complex="holomorphic",
)
"""sigmoid(x) * sigmoid(-x): the derivative of sigmoid, also where 1 - sigmoid(x) has lost its digits."""
logistic = unary(
    "sigmoid(x)",
    _sigmoid,
    d=lambda x: sigmoid_slope(x),
    result="float",
    internal=True,
    oracle="scipy.special.expit(x)",
    on_complex="holomorphic",
)
"""sigmoid in the derivatives of others, where its own is the exact one."""
softplus = unary(
    "softplus(x)",
    lambda x: np.logaddexp(x, x.dtype.type(0)),
    d=lambda x: logistic(x),
    result="float",
    method=False,
    hot=True,
    oracle="np.log1p(np.exp(x))",
)
silu = unary(
    "x * sigmoid(x)",
    lambda x: x * _sigmoid(x),
    result="float",
    d=lambda x: logistic(x) + x * sigmoid_slope(x),
    hot=True,
    oracle="x / (1 + np.exp(-x))",
    on_complex="holomorphic",
)
binary_cross_entropy = Op(
    _cross_entropy,
    kind="elementwise",
    inputs=("x", "y"),
    output="z",
    result="float",
    internal=True,
    lower=lambda x, y: (y - 1) * _at_least(log1p(-x), -100.0) - y * _at_least(log(x), -100.0),
    domain=((0.1, 0.9), (0.1, 0.9)),
    vjp=(
        lambda g, x, y: g * (x - y) / _at_least((1 - x) * x, 1e-12),
        lambda g, x: g * (_at_least(log1p(-x), -100.0) - _at_least(log(x), -100.0)),
    ),
    oracle="-(y * np.maximum(np.log(x), -100) + (1 - y) * np.maximum(np.log(1 - x), -100))",
)
binary_cross_entropy_with_logits = binary(
    "softplus(-abs(x)) + select(x > 0, (1 - y) * x, -y * x)",
    _with_logits,
    result="float",
    internal=True,
    domain=((-3.0, 3.0), (0.1, 0.9)),
    vjp=(lambda g, x, y: g * ((1 - y) * logistic(x) - y * logistic(-x)), lambda g, x: -g * x),
    oracle="y * np.logaddexp(0, -x) + (1 - y) * np.logaddexp(0, x)",
)


register(globals())
