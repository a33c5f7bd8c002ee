"""Sums of exponentials of two numbers, log-odds and entropies: logarithms that would lose digits in steps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jitgrad.dtypes import complex_of
from jitgrad.ops.activations import logistic
from jitgrad.ops.arithmetic import POSITIVE, exp, log, log1p
from jitgrad.ops.choosing import abs, cast, detach, logical_and, maximum, real_part, where
from jitgrad.ops.table import binary, register, unary

LN2 = math.log(2)


def _logit(x: Any) -> Any:
    return np.log(x) - np.log1p(-x)


def _xlog1py(x: Any, y: Any) -> Any:
    return np.where((x == 0) & (y == y), 0, x * np.log1p(y)).astype(np.result_type(x, y))[()]


def _log1p_times(g: Any, x: Any, y: Any) -> Any:
    """g log(1 + y), and 0 where x log(1 + y) is 0 although there is no logarithm."""
    none = logical_and(x == 0, y <= -1)
    return where(none, 0, g * log1p(where(none, 0, y)))


def _entropy(x: Any) -> Any:
    below = np.where(x < 0, x.dtype.type(-math.inf), -x * np.log(np.abs(x)))
    return np.where(x == 0, x.dtype.type(0), below).astype(x.dtype)[()]


def log_of_sum(x: Any, y: Any) -> Any:
    """log(exp(x) + exp(y)) of complex numbers: exponentials of what is left when the larger real part is taken away."""
    top = detach(maximum(real_part(x), real_part(y)))
    top = cast(where(abs(top) == math.inf, 0, top), dtype=complex_of(getattr(top, "_held", top).dtype))
    return log(exp(x - top) + exp(y - top)) + top


logaddexp = binary(
    f"select(x == y, x + {LN2!r}, select(x > y, x, y) + softplus(-abs(x - y)))",
    np.logaddexp,
    d=(lambda x, y: logistic(x - y), lambda x, y: logistic(y - x)),
    result="floating",
    doc="log(exp(x) + exp(y)), without overflow, elementwise",
    of_complex=log_of_sum,
)
logaddexp2 = binary(
    f"select(x == y, x + 1, select(x > y, x, y) + log1p(exp2(-abs(x - y))) * {1 / LN2!r})",
    np.logaddexp2,
    d=(lambda x, y: logistic((x - y) * LN2), lambda x, y: logistic((y - x) * LN2)),
    result="floating",
    doc="The logarithm to base 2 of 2 ** x + 2 ** y, without overflow, elementwise",
)
logit = unary(
    "log(x) - log1p(-x)",
    _logit,
    d=lambda x: where(logical_and(x >= 0, x <= 1), 1 / (x * (1 - x)), math.nan),
    domain=(0.1, 0.9),
    result="float",
    method=False,
    oracle="scipy.special.logit(x)",
)
xlog1py = binary(
    "select((x == 0) & (y == y), 0, x * log1p(y))",
    _xlog1py,
    vjp=(lambda g, x, y: _log1p_times(g, x, y), lambda g, x, y: g * x / (1 + y)),
    result="float",
    domain=((-3.0, 3.0), POSITIVE),
    namespace="special",
    method=False,
    inplace=False,
    doc="x log(1 + y), and 0 where x is 0, elementwise",
    oracle="scipy.special.xlog1py(x, y)",
)
entr = unary(
    "select(x < 0, -1e999, select(x == 0, 0, -x * log(x)))",  # minus infinity, spelled as a number
    _entropy,
    d=lambda x: -(1 + log(x)),
    domain=POSITIVE,
    result="float",
    namespace="special",
    method=False,
    inplace=False,
    doc="-x log(x), 0 at 0 and minus infinity below it, elementwise",
    oracle="scipy.special.entr(x)",
)


register(globals())
