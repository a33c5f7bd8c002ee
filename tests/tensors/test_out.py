"""`out=`: what a function gives is written into tensors of the caller's."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as jg


@pytest.mark.parametrize(
    "call",
    [
        lambda **out: jg.exp(jg.ones(2, 3), **out),
        lambda **out: jg.add(jg.ones(2, 3), 1, alpha=2, **out),
        lambda **out: jg.matmul(jg.ones(2, 4), jg.ones(4, 3), **out),
        lambda **out: jg.sum(jg.ones(4, 2, 3), 0, **out),
        lambda **out: jg.stack([jg.ones(3), jg.zeros(3)], **out),
        lambda **out: jg.where(jg.ones(2, 3) > 0, 1.0, 2.0, **out),
        lambda **out: jg.gather(jg.ones(2, 3), 1, jg.zeros(2, 3, dtype=jg.int64), **out),
    ],
)
def test_out_is_filled_and_returned(call):
    want = call()
    for out in (jg.empty(2, 3), jg.empty(0), jg.empty(2, 3, dtype=jg.float64)):
        assert call(out=out) is out
        np.testing.assert_array_equal(out.numpy(), want.numpy())
    wide = jg.zeros(2, 6)
    assert call(out=wide[:, ::2]).tolist() == want.tolist()
    assert wide[:, ::2].tolist() == want.tolist()
    assert call(out=None).tolist() == want.tolist()


def test_several_results():
    values, indices = jg.empty(0), jg.empty(0, dtype=jg.int64)
    found = jg.sort(jg.tensor([3.0, 1.0]), out=(values, indices))
    assert found.values is values
    assert found.indices is indices
    assert (values.tolist(), indices.tolist()) == ([1.0, 3.0], [1, 0])


def test_what_out_cannot_be():
    x, leaf = jg.ones(3), jg.ones(3, requires_grad=True)
    for out, error, text in [
        (3, TypeError, "out must be a tensor, not int"),
        (jg.empty(3, dtype=jg.int64), RuntimeError, "float32 can't be cast to int64"),
        (leaf, RuntimeError, "no gradient flows through out=, and out requires grad"),
        (jg.ones(2)[:1], RuntimeError, r"shape \[1\] and others see its memory"),
    ]:
        with pytest.raises(error, match=text):
            jg.exp(x, out=out)
    with pytest.raises(RuntimeError, match="an operand requires grad"):
        jg.exp(leaf, out=jg.empty(3))
    with jg.no_grad():
        assert jg.exp(leaf, out=jg.empty(3)).shape == (3,)
    with pytest.raises(TypeError, match="2 tensors, one for each result"):
        jg.sort(x, out=jg.empty(3))
    with pytest.warns(UserWarning, match=r"shape \[2\], takes the shape of the result, \[3\]"):
        assert jg.exp(x, out=jg.ones(2)).shape == (3,)


def test_out_under_jit():
    def f(x):
        out = jg.empty(3)
        jg.exp(x, out=out)
        return out * 2

    np.testing.assert_allclose(jg.jit(f)(jg.zeros(3)).numpy(), [2, 2, 2])
    with pytest.raises(RuntimeError, match="under jit it must have that of the result"):
        jg.jit(lambda x: jg.exp(x, out=jg.empty(0)))(jg.ones(3))
