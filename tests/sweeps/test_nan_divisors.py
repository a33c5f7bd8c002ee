"""Division by a constant that is nan: LLVM makes poison of a `fmod` that it knows, where the other operand is surely finite."""

from __future__ import annotations

import math

import pytest

import jitgrad as jg
from tests.helpers.sweeps import SWEEPS


@pytest.mark.parametrize("sweep", SWEEPS)
@pytest.mark.parametrize("dtype", [jg.bool, jg.int32, jg.int64, jg.float32, jg.float64])
@pytest.mark.usefixtures("compiled_by_numba")
def test_remainders_and_quotients(sweep, dtype):
    x = jg.tensor([1, 0, 1, 0, 1, 1, 1, 1, 0], dtype=dtype)

    def f(x):
        return [part for divisor in (math.nan, math.inf, -math.inf, 2.5, 0.0) for part in (x // divisor, x % divisor)]

    with jg.sweep(sweep):
        for found, want in zip(jg.jit(f)(x), f(x), strict=True):
            assert jg.allclose(found, want, rtol=0, atol=0, equal_nan=True)
