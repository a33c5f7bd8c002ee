"""Random numbers of a device: they follow from the seed, look as they should, and are drawn under vmap as anywhere."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as jg


def test_the_seed_decides():
    jg.manual_seed(3)
    first = [
        jg.rand(5, device="cuda").tolist(),
        jg.randn(3, device="cuda").tolist(),
        jg.randint(0, 9, (4,), device="cuda").tolist(),
    ]
    jg.manual_seed(3)
    again = [
        jg.rand(5, device="cuda").tolist(),
        jg.randn(3, device="cuda").tolist(),
        jg.randint(0, 9, (4,), device="cuda").tolist(),
    ]
    assert first == again
    jg.cuda.manual_seed(4)
    assert jg.rand(5, device="cuda").tolist() != first[0]
    assert jg.rand(5, device="cuda").tolist() != jg.rand(5, device="cuda").tolist()


@pytest.mark.parametrize("dtype", [jg.float32, jg.float64, jg.float16, jg.bfloat16])
def test_they_look_as_they_should(dtype):
    jg.manual_seed(0)
    x, y = (make(2000, dtype=dtype, device="cuda").double().cpu().numpy() for make in (jg.rand, jg.randn))
    assert 0 <= x.min() < 0.1
    assert 0.9 < x.max() < 1
    assert abs(x.mean() - 0.5) < 0.05
    assert abs(y.mean()) < 0.1
    assert abs(y.std() - 1) < 0.1


def test_whole_numbers_reach_both_ends():
    x = jg.randint(-2, 3, (500,), device="cuda")
    assert x.dtype is jg.int64
    assert np.unique(x.cpu().numpy()).tolist() == [-2, -1, 0, 1, 2]


def test_under_transforms():
    x = jg.zeros(3, 2, device="cuda")
    f = jg.vmap(lambda v: v + jg.rand(2, device=v.device), randomness="different")
    assert len({tuple(row) for row in f(x).tolist()}) == 3
    with pytest.raises(jg.errors.TracedValueError, match="random numbers drawn inside"):
        jg.jit(lambda v: v + jg.rand(2, device=v.device))(x[0])
    assert jg.rand_like(x).is_cuda
