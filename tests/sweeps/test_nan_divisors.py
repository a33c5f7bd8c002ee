"""Division by a constant that is nan: LLVM makes poison of a `fmod` that it knows, where the other operand is surely finite."""

from __future__ import annotations

import math

import pytest

import jitgrad as jg
from tests.helpers.sweeps import SWEEPS


@pytest.mark.parametrize("sweep", SWEEPS)
@pytest.mark.parametrize("divisor", [math.nan, math.inf, -math.inf, 2.5, 0.0])
@pytest.mark.parametrize("dtype", [jg.bool, jg.int32, jg.int64, jg.float32, jg.float64])
@pytest.mark.usefixtures("compiled_by_numba")
def test_remainders_and_quotients(sweep, divisor, dtype):
    x = jg.tensor([1, 0, 1, 0, 1, 1, 1, 1, 0], dtype=dtype)
    if sweep == "numba" and (dtype not in (jg.int64, jg.float32) or divisor == 2.5):
        return  # which takes a second each
    for f in (lambda x: x // divisor, lambda x: x % divisor):
        want = f(x)
        with jg.sweep(sweep):
            assert jg.allclose(jg.jit(f)(x), want, rtol=0, atol=0, equal_nan=True)
