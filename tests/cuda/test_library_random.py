"""Random numbers by the kernels written by hand: against the words that NumPy makes, in the simulator."""

from __future__ import annotations

import math

import numpy as np
import pytest

from jitgrad.sweeps.cuda.library import random
from tests.cuda.library import BLOCKS, FLOATS, SIZES, carry_out, numpy_dtype


def test_the_known_answer_of_philox():
    """From the authors' tests."""
    assert [f"{word:08x}" for word in random.philox(0, 0, 4)] == ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"]


def test_offsets_go_on_where_the_last_call_stopped():
    whole = random.philox(3, 2**32 - 2, 40)
    np.testing.assert_array_equal(whole[20:], random.philox(3, 2**32 + 3, 20))
    np.testing.assert_array_equal(random.philox(3, 2**64 - 1, 8)[4:], random.philox(3, 0, 4))


def drawn(launches, dtype, n):
    out = np.full(n, 77, numpy_dtype(dtype))
    carry_out(launches, [out])
    return out


SEED, OFFSET = 0xFEDCBA9876543210, 2**32 - 3


def doubles(n):
    word = random.philox(SEED, OFFSET, 2 * n + 2).astype(np.uint64).reshape(-1, 2)
    return ((word[:, 0] >> 5 << 26 | word[:, 1] >> 6) * 2.0**-53)[:n]


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("dtype", FLOATS)
def test_uniform_numbers(block, n, dtype):
    x = drawn(random.uniform(dtype, n, SEED, OFFSET, block), dtype, n).astype(np.float64)
    bits = {"float32": 24, "float16": 11, "bfloat16": 8}
    if dtype == "float64":
        expected = doubles(n)
    else:
        expected = (random.philox(SEED, OFFSET, n) >> (32 - bits[dtype])) * 2.0 ** -bits[dtype]
    np.testing.assert_array_equal(x, expected)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("dtype", FLOATS)
def test_normal_numbers(block, n, dtype):
    x = drawn(random.normal(dtype, n, SEED, OFFSET, block), dtype, n).astype(np.float64)
    unit = doubles(n + 1) if dtype == "float64" else random.philox(SEED, OFFSET, n + 3) * 2.0**-32
    pairs = unit[: len(unit) // 2 * 2].reshape(-1, 2)
    radius = np.sqrt(-2 * np.log(pairs[:, 0] + (2.0**-54 if dtype == "float64" else 2.0**-33)))
    angle = 2 * math.pi * pairs[:, 1]
    expected = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).ravel()[:n]
    digits = {"float32": 3e-6, "float64": 1e-14, "float16": 1e-3, "bfloat16": 8e-3}[dtype]
    np.testing.assert_allclose(x, expected, rtol=digits, atol=digits)


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        ("int64", -5, 5),
        ("int64", -(2**63), 2**63),
        ("int64", -3, 2**63 - 1),
        ("int32", -(2**31), 2**31),
        ("int8", -128, -120),
        ("uint8", 200, 256),
        ("uint64", 2**63, 2**64),
        ("int16", 7, 8),
        ("bool", 0, 2),
    ],
)
def test_whole_numbers(dtype, low, high):
    for n in SIZES:
        x = drawn(random.integers(dtype, n, low, high, SEED, OFFSET, 8), dtype, n)
        word = random.philox(SEED, OFFSET, 2 * n).reshape(-1, 2)
        assert [int(v) for v in x] == [low + ((int(a) << 32) | int(b)) % (high - low) for a, b in word]


def test_moments():
    n = 4000
    x = drawn(random.normal("float32", n, 1, 0, 8), "float32", n).astype(np.float64)
    for power, expected in ((1, 0), (2, 1), (3, 0), (4, 3)):
        assert abs((x**power).mean() - expected) < 6 * np.std(x**power) / math.sqrt(n)
    assert random.counters("float32", n) == n // 4
    assert random.counters("float64", n) == random.counters("int8", n) == n // 2


@pytest.mark.parametrize(("low", "high"), [(3, 3), (0, 300), (-129, 0)])
def test_whole_numbers_that_a_dtype_does_not_hold(low, high):
    with pytest.raises(RuntimeError, match="in int8: it holds -128 to 127"):
        random.integers("int8", 3, low, high, 0, 0, 8)
