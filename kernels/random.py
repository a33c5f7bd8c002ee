"""Random numbers as functions of a key and a counter: Philox4x32-10 (J. Salmon, M. Moraes, R. Dror, D. Shaw, Parallel random
numbers: as easy as 1, 2, 3, SC 2011), and the distributions that other code makes all others of.

The key is the seed. Number n of a stream is made of the four words that belong to the counter n, and of nothing else, so that
any loop, thread or device computes any of them. Words are held in 64 bits, of which the upper 32 may be anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from jitgrad.kernels.common import horner
from jitgrad.kernels.logarithm import log_inside_f64
from jitgrad.kernels.primitives import float_of, fma, low_product, select, sqrt

ROUNDS = 10
MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
STEPS = 0x9E3779B9, 0xBB67AE85
"""What the two words of the key grow by from round to round: the golden ratio and √3 - 1."""

WORD = 0xFFFFFFFF
TWO_52 = 2.0**52
BITS_OF_TWO_52 = 0x4330000000000000
UNIT_32, UNIT_52, UNIT_53 = 2.0**-32, 2.0**-52, 2.0**-53
SINE = tuple([(-1) ** k * math.pi ** (2 * k + 1) / math.factorial(2 * k + 1) for k in reversed(range(11))])
"""sin(pi x) / x in x^2: what its series leaves out is below 2^-59 for |x| <= 1/2."""


def upper(x: Any) -> Any:
    return (x >> 32) & WORD


def float_of_word(x: Any) -> Any:
    """A number of 32 bits as a float, by its place among those from 2**52 on: AVX2 has no instruction for it."""
    return float_of((x & WORD) | BITS_OF_TWO_52) - TWO_52


def philox(key: Any, counter: Any) -> Any:
    """The four words of a counter of 64 bits."""
    a, b, c, d = counter, upper(counter), counter ^ counter, counter ^ counter
    first, second = key & WORD, upper(key)
    for k in range(ROUNDS):
        p, q = low_product(a, MULTIPLIERS[0]), low_product(c, MULTIPLIERS[1])
        a, b, c, d = upper(q) ^ b ^ (first + k * STEPS[0]), q, upper(p) ^ d ^ (second + k * STEPS[1]), p
    return a, b, c, d


def uniform_i64(key: Any, counter: Any) -> Any:
    """A multiple of 2**-53 from 0 on and below 1: the first 53 bits."""
    a, b, _, _ = philox(key, counter)
    return fma(float_of_word(a), UNIT_32, float_of_word((b & WORD) >> 11) * UNIT_53)


def normal_i64(key: Any, counter: Any) -> Any:
    """Of the standard normal distribution, by G. Box and M. Muller (1958): sqrt(-2 ln u) sin(pi v) of a u between 0 and 1, an odd
    multiple of 2**-53, and a v between -1/2 and 1/2."""
    a, b, c, d = philox(key, counter)
    u = fma(float_of_word(a), UNIT_32, fma(float_of_word((b & WORD) >> 12), UNIT_52, UNIT_53))
    v = fma(float_of_word(c), UNIT_32, fma(float_of_word((d & WORD) >> 12), UNIT_52, -0.5))
    return sqrt(log_inside_f64(u) * -2.0) * (v * horner(v * v, SINE))


def below_i64(key: Any, counter: Any, span: Any) -> Any:
    """An integer from 0 on and below `span`, of 64 bits without a sign, 0 for 2**64: the upper half of its product with the first
    64 bits."""
    a, b, _, _ = philox(key, counter)
    s, t = a & WORD, b & WORD
    low, high = span & WORD, upper(span)
    middle = low_product(s, low)
    rest = low_product(t, high)
    carried = (middle & WORD) + (rest & WORD) + upper(low_product(t, low))
    found = low_product(s, high) + upper(middle) + upper(rest) + upper(carried)
    return select(span == 0, (s << 32) | t, found)


KERNELS: dict[str, dict[str, Callable[..., Any]]] = {
    "random_uniform": {"i64": uniform_i64},
    "random_normal": {"i64": normal_i64},
    "random_below": {"i64": below_i64},
}
