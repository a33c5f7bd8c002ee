"""Optimizers change parameters on a device as they change those of the host."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as jg
from tests.helpers.optimizers import OPTIONS

X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)


def trained(name, device):
    shapes = [(4, 1), (1, 1)] if name == "Muon" else [(4,), ()]
    w, b = [jg.full(shape, x, device=device, requires_grad=True) for shape, x in zip(shapes, (1.0, 0.5))]
    x = jg.tensor(X, device=device)
    optimizer = getattr(jg.optim, name)([w, b], **OPTIONS[name][1])

    def closure():
        optimizer.zero_grad()
        loss = ((x @ w + b - 1) ** 2).mean()
        loss.backward()
        if name != "LBFGS":
            jg.nn.utils.clip_grad_norm_([w, b], 0.5)
        return loss

    for _ in range(3):
        optimizer.step(closure)
    return w, b, optimizer


@pytest.mark.parametrize("name", OPTIONS)
def test_steps_are_those_on_the_host(name):
    (w, b, optimizer), (v, c, other) = trained(name, "cuda"), trained(name, "cpu")
    assert w.is_cuda
    for got, want in ((w, v), (b, c)):
        np.testing.assert_allclose(got.tolist(), want.tolist(), rtol=1e-4, atol=1e-6)
    optimizer.load_state_dict(other.state_dict())
    assert all(x.is_cuda for key, x in optimizer.state[w].items() if isinstance(x, jg.Tensor) and x.ndim)
