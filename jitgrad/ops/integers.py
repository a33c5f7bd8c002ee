"""Divisors, multiples and shifted bits of integers. They have no derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.ops.table import Op, register


def _of_integers(run: Callable, **more: Any) -> Op:
    return Op(
        run,
        kind="elementwise",
        inputs=("x", "y"),
        output="z",
        result="integer",
        domain=((0.0, 9.0),) * 2,
        bools="beside",
        **more,
    )


gcd = _of_integers(np.gcd, doc="The greatest common divisor, elementwise")
lcm = _of_integers(np.lcm, doc="The least common multiple, elementwise")
bitwise_left_shift = _of_integers(np.left_shift, doc="x with its bits moved up by y places, 0 beyond them all, elementwise")
bitwise_right_shift = _of_integers(
    np.right_shift, doc="x with its bits moved down by y places, which keeps the sign, elementwise"
)


register(globals())
