"""Random numbers: what key and counter make of each other. Nothing else is random; see `kernels/random.py` for the definition.

Number n of the stream of a seed is a function of the seed, the key, and of n, the counter, and so the same however it is run.
All other distributions are made of these, in recorded operations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.dtypes import of
from jitgrad.kernels.random import MULTIPLIERS, ROUNDS, STEPS
from jitgrad.ops.choosing import floor
from jitgrad.ops.table import Op, register

_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


def _words(key: Any, counter: Any) -> list[Any]:
    """The four words of Philox4x32-10, as its kernel computes them, in uint64."""
    k, n = (np.atleast_1d(np.asarray(x, np.int64)).view(np.uint64) for x in (key, counter))
    first, second = map(np.uint64, MULTIPLIERS)
    a, b, c, d = n & _LOW, n >> _HALF, n ^ n, n ^ n
    keys = [k & _LOW, k >> _HALF]
    for _ in range(ROUNDS):
        p, q = a * first, c * second
        a, b, c, d = (q >> _HALF) ^ b ^ keys[0], q & _LOW, (p >> _HALF) ^ d ^ keys[1], p & _LOW
        keys = [(key + np.uint64(step)) & _LOW for key, step in zip(keys, STEPS)]
    return [a, b, c, d]


def _shaped(x: Any, *operands: Any) -> Any:
    return x.reshape(np.broadcast_shapes(*map(np.shape, operands)))[()]


def _uniform(key: Any, counter: Any) -> Any:
    a, b, _, _ = _words(key, counter)
    return _shaped(((a << np.uint64(21)) | (b >> np.uint64(11))) * 2.0**-53, key, counter)


def _normal(key: Any, counter: Any) -> Any:
    a, b, c, d = _words(key, counter)
    u, v = ((((high << np.uint64(20)) | (low >> np.uint64(12))) * 2.0**-52) for high, low in ((a, b), (c, d)))
    return _shaped(np.sqrt(-2 * np.log(u + 2.0**-53)) * np.sin(np.pi * (v - 0.5)), key, counter)


def _below(key: Any, counter: Any, span: Any) -> Any:
    s, t, _, _ = _words(key, counter)
    n = np.asarray(span, np.int64).view(np.uint64)
    low, high = n & _LOW, n >> _HALF
    middle, rest = s * low, t * high
    carried = (middle & _LOW) + (rest & _LOW) + (t * low >> _HALF)
    found = s * high + (middle >> _HALF) + (rest >> _HALF) + (carried >> _HALF)
    return _shaped(np.where(n == 0, (s << _HALF) | t, found).view(np.int64), key, counter, span)


def _drawn(run: Any, *inputs: str, **more: Any) -> Op:
    """A row of whole numbers that is a number for each counter."""
    return Op(
        run,
        kind="elementwise",
        inputs=("key", "counter", *inputs),
        result="integer",
        bools="none",
        internal=True,
        domain=((0.0, 99.0),) * (2 + len(inputs)),
        **more,
    )


random_uniform = _drawn(
    _uniform,
    kernel="random_uniform(key, counter)",
    doc="Uniform from 0 up to 1: a multiple of 2**-53, in float64",
    oracle="of_ints(_uniform, key, counter)",
)
random_normal = _drawn(
    _normal,
    kernel="random_normal(key, counter)",
    doc="Of the standard normal distribution, in float64",
    oracle="of_ints(_normal, key, counter)",
)
random_below = _drawn(
    _below,
    "span",
    kernel="random_below(key, counter, span)",
    also="i",
    doc="An integer of 64 bits from 0 on and below span, without a sign, where 0 stands for 2**64",
    oracle="of_ints(_below, key, counter, span)",
)


DIGITS = {"float32": 24, "float16": 11, "bfloat16": 8}
"""How many binary digits a dtype has, where these are fewer than those of a number that is drawn."""


def _rounded_down(key: Any, counter: Any, dtype: np.dtype) -> Any:
    """Uniform numbers in the steps of a dtype, so that none of them becomes 1 there."""
    drawn, digits = random_uniform(key, counter), DIGITS.get(of(dtype).name)
    return drawn if digits is None else floor(drawn * 2.0**digits) * 2.0**-digits


MAKE: dict[str, Callable] = {
    "uniform": _rounded_down,
    "normal": lambda key, counter, dtype: random_normal(key, counter),
    "integers": lambda key, counter, dtype, low, span: random_below(key, counter, span) + low,
}
"""Numbers for a dtype, from keys and counters, by their sort: in float64 or int64, as they are before they are converted."""

register(globals())
