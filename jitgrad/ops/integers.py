"""Divisors, multiples and shifted bits of integers. They have no derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.ops.table import Op, register


def _of_integers(run: Callable, domain: Any = ((0.0, 9.0), (0.0, 9.0)), **more: Any) -> Op:
    return Op(run, kind="elementwise", inputs=("x", "y"), output="z", result="integer", domain=domain, bools="beside", **more)


def _whole_power(x: Any, y: Any) -> Any:
    sign = np.where(np.equal(x, -1), 1 - 2 * (y & 1), np.equal(x, 1))
    return np.where(np.less(y, 0), sign, x ** np.maximum(y, 0)).astype(np.result_type(x, y))[()]


gcd = _of_integers(np.gcd, doc="The greatest common divisor, elementwise")
lcm = _of_integers(np.lcm, doc="The least common multiple, elementwise")
bitwise_left_shift = _of_integers(np.left_shift, doc="x with its bits moved up by y places, 0 beyond them all, elementwise")
bitwise_right_shift = _of_integers(
    np.right_shift, doc="x with its bits moved down by y places, which keeps the sign, elementwise"
)
whole_power = _of_integers(
    _whole_power,
    domain=((-3.0, 3.0), (-3.0, 5.0)),
    label="pow",
    internal=True,
    alone=True,
    oracle="np.where(y < 0, (x != 0) * np.trunc(np.where(x == 0, 1.0, x) ** np.minimum(y, 0.0)), x ** np.maximum(y, 0))",
)
"""x ** y without its fraction, which is all of it where y is negative, but of 1 and -1; PyTorch says 0 for 0 then, too."""


register(globals())
