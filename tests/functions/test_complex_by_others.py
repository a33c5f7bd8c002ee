"""Functions of complex numbers that are made of other ones."""

from __future__ import annotations

import math

import numpy as np
import pytest

import jitgrad as jg


def test_logarithms_of_sums_and_sinc_and_convolutions_of_complex_numbers() -> None:
    """By what they are made of, forward and backward."""
    f = jg.nn.functional
    x = jg.tensor([1 + 2j, -3 + 0.5j, 0.2 - 1j], dtype=jg.complex128)
    summed = lambda x: jg.stack([x[: k + 1].exp().sum() for k in range(3)])
    correlated = lambda x: jg.stack([x[0] * x[0] + x[1] * x[1], x[1] * x[0] + x[2] * x[1]])
    spread = lambda x: jg.stack([x[0] * x[0], x[0] * x[1] + x[1] * x[0], x[1] * x[1] + x[2] * x[0], x[2] * x[1]])
    pairs = [
        (lambda x: jg.logaddexp(x, 0.5 * x).exp(), lambda x: x.exp() + (0.5 * x).exp()),
        (lambda x: jg.logaddexp(x, x.real).exp(), lambda x: x.exp() + x.real.exp()),
        (lambda x: jg.logcumsumexp(x, 0).exp(), summed),
        (lambda x: jg.sinc(x), lambda x: (math.pi * x).sin() / (math.pi * x)),
        (lambda x: f.conv1d(x[None, None], x[None, None, :2])[0, 0], correlated),
        (lambda x: f.conv2d(x[None, None, None], x[None, None, None, :2])[0, 0, 0], correlated),
        (lambda x: f.conv_transpose1d(x[None, None], x[None, None, :2])[0, 0], spread),
    ]
    for k, (function, same) in enumerate(pairs):
        for run in (lambda g: g, jg.jit):
            np.testing.assert_allclose(run(function)(x).numpy(), same(x).numpy(), rtol=1e-12, err_msg=str(k))
            got, want = (run(jg.grad(lambda x: (g(x) * (1 - 2j)).abs().sum()))(x).numpy() for g in (function, same))  # noqa: B023
            np.testing.assert_allclose(got, want, rtol=1e-10, err_msg=str(k))
    far = jg.tensor([1000 + 1j, -1000j], dtype=jg.complex128)
    assert jg.logaddexp(far, far).isfinite().all()
    assert jg.sinc(0 * x).tolist() == [1, 1, 1]
    assert jg.logspace(0, 2j, 3).tolist() == pytest.approx([1, 10**1j, 10**2j], rel=1e-6)
