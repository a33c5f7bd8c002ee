"""Philox and what is made of it: the same in NumPy, in machine code for one lane and for many, under Numba and without."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest

from jitgrad.kernels import random, scalar
from jitgrad.ops import TABLE
from tests.helpers.lanes import compiled
from tests.helpers.oracles import philox

RESULTS = {"random_uniform": "f64", "random_normal": "f64", "random_below": "i64"}
KEYS = [0, 1, -1, 2**32, -(2**63), 0x0123456789ABCDEF]
COUNTERS = [0, 1, 2, -1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, -(2**63)]
SPANS = [1, 2, 3, 1000, 2**32 - 1, 2**32, 2**32 + 1, 2**53 + 1, 2**63 - 1, 0, -1, -(2**63)]


@functools.cache
def operands(name):
    rng = np.random.default_rng(0)
    fixed = np.array(np.meshgrid(KEYS, COUNTERS, SPANS)).reshape(3, -1)
    drawn = rng.integers(-(2**63), 2**63, (3, 2000))
    return np.concatenate([fixed, drawn], 1)[: 3 if name == "random_below" else 2]


@functools.cache
def kernel(name, lanes):
    return compiled(scalar.KERNELS[name]["i64"], ["i64"] * len(operands(name)), RESULTS[name], lanes)


def test_known_answers():
    """From the authors' tests, kat_vectors of Random123: counter and key are 0, or all ones where they can be."""
    assert [f"{word:08x}" for word in philox(0, 0)] == ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"]
    assert [int(word) & 0xFFFFFFFF for word in random.philox(np.int64(0), np.int64(0))] == philox(0, 0)


@pytest.mark.parametrize("name", RESULTS)
def test_machine_code_gives_the_numbers_of_numpy(name):
    xs = operands(name)
    one, many, numpys = kernel(name, 1)(*xs), kernel(name, 8)(*xs), TABLE[name].run(*xs)
    np.testing.assert_array_equal(one, many)
    if name == "random_normal":  # the logarithm and the sine are NumPy's
        np.testing.assert_allclose(many, numpys, rtol=1e-13, atol=1e-15)
    else:
        np.testing.assert_array_equal(many, numpys)


def test_integers_are_the_upper_half_of_a_product():
    key, counter, span = operands("random_below")
    exact = [
        ((words[0] << 32 | words[1]) * ((s % 2**64) or 2**64)) >> 64
        for words, s in zip(map(philox, key.tolist(), counter.tolist()), span.tolist())
    ]
    np.testing.assert_array_equal(kernel("random_below", 8)(key, counter, span).view(np.uint64), np.array(exact, np.uint64))


def test_numba_and_python_give_the_same_bits():
    import numba

    from jitgrad.kernels.launch import njit_namespace

    lines = "u[i], n[i], b[i] = random_uniform(k[i], c[i]), random_normal(k[i], c[i]), random_below(k[i], c[i], s[i])"
    exec(f"def every(k, c, s, u, n, b):\n    for i in range(k.size):\n        {lines}\n", names := njit_namespace())
    xs = operands("random_below")
    found = [np.empty(len(xs[0]), dtype) for dtype in (np.float64, np.float64, np.int64)]
    numba.njit(names["every"])(*xs, *found)
    for name, got in zip(RESULTS, found):
        given = xs[: len(operands(name))]
        np.testing.assert_array_equal(got, kernel(name, 8)(*given), err_msg=name)
        plainly = [scalar.GENERIC[name](*x) for x in given.T[::97]]
        np.testing.assert_array_equal(plainly, got[::97], err_msg=name)


def test_the_ends_of_the_normal_distribution():
    """The radius is largest where the first 52 bits are 0, and the angle reaches both ends."""
    u = 2.0**-53
    assert math.sqrt(-2 * math.log(u)) < 8.58
    x = kernel("random_normal", 8)(np.zeros(200_000, np.int64), np.arange(200_000))
    assert 4 < abs(x).max() < 8.58
    for power, moment in ((1, 0), (2, 1), (3, 0), (4, 3), (6, 15)):
        assert abs((x**power).mean() - moment) < 6 * (x**power).std() / math.sqrt(x.size)


@pytest.mark.parametrize("name", ["random_uniform", "random_normal"])
def test_neighbours_have_nothing_in_common(name):
    """Of counters and of keys: neither the numbers nor their squares are correlated."""
    n = 100_000
    places = np.arange(n)
    for x, y in [
        (kernel(name, 8)(np.zeros(n), places), kernel(name, 8)(np.zeros(n), places + 1)),
        (kernel(name, 8)(np.zeros(n), places), kernel(name, 8)(np.ones(n), places)),
        (kernel(name, 8)(places, np.zeros(n)), kernel(name, 8)(places + 1, np.zeros(n))),
    ]:
        for power in (1, 2):
            assert abs(np.corrcoef(x**power, y**power)[0, 1]) < 6 / math.sqrt(n)
