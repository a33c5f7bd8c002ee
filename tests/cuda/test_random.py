"""Random numbers of a device: those that the CPU draws from the same seed, and drawn under transforms as anywhere."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as jg

SEED = 2**63 + 2**40 + 3


def drawn(device):
    return [
        jg.rand(5, device=device),
        jg.randn(3, device=device),
        jg.randint(-2, 9, (4,), device=device),
        jg.rand(3, dtype=jg.float64, device=device),
        jg.randn(2, dtype=jg.bfloat16, device=device),
        jg.randint(-(2**63), 2**63 - 1, (3,), device=device),
        jg.randperm(6, device=device),
    ]


def test_they_are_those_of_the_cpu():
    jg.manual_seed(SEED)
    there, here = drawn("cuda"), drawn("cpu")
    for x, y in zip(there, here):
        assert x.is_cuda
        assert x.dtype is y.dtype
        np.testing.assert_allclose(
            x.double().cpu().numpy(), y.double().numpy(), rtol=1e-6 if x.dtype is not jg.bfloat16 else 1e-2
        )
    jg.manual_seed(SEED)
    assert [x.tolist() for x in drawn("cuda")] == [x.tolist() for x in there]


def test_the_seed_decides():
    jg.manual_seed(3)
    first = jg.rand(5, device="cuda").tolist()
    jg.cuda.manual_seed(4)
    assert jg.rand(5, device="cuda").tolist() != first
    jg.cuda.manual_seed_all(3)
    assert jg.rand(5, device="cuda").tolist() == first
    assert jg.rand(5, device="cuda").tolist() != first
    a, b = (jg.Generator("cuda").manual_seed(3) for _ in range(2))
    assert jg.rand(5, device="cuda", generator=a).tolist() == first
    assert jg.rand(5, generator=b).tolist() == pytest.approx(first)


@pytest.mark.parametrize("dtype", [jg.float32, jg.float64, jg.float16, jg.bfloat16])
def test_they_look_as_they_should(dtype):
    jg.manual_seed(0)
    x, y = (make(500, dtype=dtype, device="cuda").double().cpu().numpy() for make in (jg.rand, jg.randn))
    assert 0 <= x.min() < 0.1
    assert 0.9 < x.max() < 1
    assert abs(x.mean() - 0.5) < 0.1
    assert abs(y.mean()) < 0.3
    assert abs(y.std() - 1) < 0.2


def test_under_transforms():
    x = jg.zeros(3, 2, device="cuda")
    f = jg.vmap(lambda v: v + jg.rand(2, device=v.device), randomness="different")
    assert len({tuple(row) for row in f(x).tolist()}) == 3
    with pytest.raises(jg.errors.TracedValueError, match="random numbers drawn inside"):
        jg.jit(lambda v: v + jg.rand(2, device=v.device))(x[0])
    assert jg.rand_like(x).is_cuda


def test_under_jit():
    def f(x, generator):
        return x + jg.rand(2, device=x.device, generator=generator) * jg.randn(2, device=x.device, generator=generator)

    x, (a, b) = jg.zeros(2, device="cuda"), (jg.Generator().manual_seed(SEED) for _ in range(2))
    compiled = jg.jit(f)
    for _ in range(2):
        np.testing.assert_allclose(compiled(x, a).tolist(), f(x, b).tolist(), rtol=1e-6)
    assert a.get_state().tolist() == b.get_state().tolist()
