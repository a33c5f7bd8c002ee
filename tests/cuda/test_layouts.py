"""Eager code lays its results out in memory as NumPy does, on a device as well: later views and writes in place see the same."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import jitgrad as jg

FORMS = """
c.clone()
c * 2
c + c[:1]
c.flip(0) * 2
c > 0
c.to(jg.float64)
c.expand(2, 5, 3, 4) + 1
jg.where(c > 0, c, 0.)
c[:, 1:].clone()
c.sum(1, keepdim=True)
c.exp().mean(0)
c.amax(2)
c.argmin(0)
(c > 0).any(0)
c.var(1)
c.norm(dim=1)
c.logsumexp(0)
c.softmax(1)
c.cumsum(0)
c.flip(0)
c.sort(1).values
jg.cat([c, c], 1)
jg.stack([c, c])
b[:, i]
c[:, i]
c[..., i]
c[i]
c[i, :, i]
c.gather(1, c.argmax(1, keepdim=True))
c.index_add(1, i, c)
c @ c.transpose(1, 2)
c.reshape(15, 4)
c.to("cpu")
c.to(device)
""".strip().splitlines()


@pytest.mark.parametrize("form", FORMS)
def test_strides_are_those_of_the_cpu(form):
    found = []
    for device in ("cpu", "cuda"):
        b = jg.tensor(np.random.default_rng(0).normal(size=(3, 4, 5)), device=device)
        i = jg.tensor([0, 2, 2], device=device)
        y = eval(form, {"jg": jg, "b": b, "c": b.permute(2, 0, 1), "i": i, "device": device})
        found.append((y.stride(), y.shape, y.cpu().tolist()))
    (stride, shape, values), (stride_there, shape_there, values_there) = found
    assert (stride, shape) == (stride_there, shape_there)
    np.testing.assert_allclose(values, values_there, rtol=1e-12)


def test_what_is_written_through_a_reshape_is_as_on_the_cpu():
    found = []
    for device in ("cpu", "cuda"):
        y = jg.arange(6.0, device=device).reshape(2, 3).T.clone()
        y.T.reshape(-1).mul_(10)  # a view of y, whose rows lie apart
        z = jg.tensor(np.arange(6.0).reshape(2, 3).T, device="cpu").to(device)
        z.reshape(-1).mul_(10)  # of a copy
        found.append((y.tolist(), z.tolist()))
    assert found[0] == found[1]
    assert found[0][0] == [[0.0, 30.0], [10.0, 40.0], [20.0, 50.0]]


def test_memory_of_a_result_is_not_given_out_while_it_is_in_use():
    x = jg.arange(6.0, device="cuda").reshape(2, 3).T
    results = [x * k for k in range(8)]
    assert [y.sum().item() for y in results] == [15.0 * k for k in range(8)]


def test_zero_elements_and_one_dimension():
    x = jg.zeros(0, 3, device="cuda").T
    assert (x * 2).shape == (3, 0)
    assert (jg.arange(6.0, device="cuda")[::2] + 1).tolist() == [1.0, 3.0, 5.0]


def test_copies_lie_as_what_they_are_of():
    x = jg.arange(6.0, device="cuda").reshape(2, 3).T
    assert copy.deepcopy(x).stride() == x.stride() == (1, 3)
