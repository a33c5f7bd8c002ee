"""Tensors of memory that is there, or laid out as one asks; what programs ask of tensors; forms in place at the top."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as jg


def test_asarray_shares_memory_where_it_can():
    array = np.arange(3.0)
    shared, converted = jg.asarray(array), jg.asarray(array, dtype=jg.float32)
    array[0] = 7
    assert (shared[0], converted[0], jg.asarray(array, copy=True).dtype) == (7, 0, jg.float64)
    x = jg.ones(2, requires_grad=True)
    assert jg.asarray(x, requires_grad=True) is x
    assert not jg.asarray(x).requires_grad
    assert jg.asarray([1.0], requires_grad=True).requires_grad
    assert jg.asarray(b"\x01\x02").tolist() == [1, 2]
    for refused in (lambda: jg.asarray([1], copy=False), lambda: jg.asarray(array, dtype=jg.float32, copy=False)):
        with pytest.raises(ValueError, match="copy=False forbids that"):
            refused()


def test_buffers_and_files(tmp_path):
    memory = bytearray(np.arange(4, dtype=np.int16).tobytes())
    x = jg.frombuffer(memory, dtype=jg.int16, count=2, offset=4)
    assert x.tolist() == [2, 3]
    memory[4] = 9
    assert x.tolist() == [9, 3]
    for buffer, more in [(b"", {}), (memory, {"offset": 8}), (memory, {"count": 5}), (bytearray(3), {})]:
        with pytest.raises(ValueError, match="frombuffer"):
            jg.frombuffer(buffer, dtype=jg.int16, **more)
    (tmp_path / "numbers").write_bytes(np.arange(3.0).tobytes())
    mapped = jg.from_file(str(tmp_path / "numbers"), True, 3, dtype=jg.float64)
    mapped.mul_(2)
    assert np.fromfile(tmp_path / "numbers").tolist() == [0, 2, 4]


def test_memory_in_the_order_that_is_asked_for():
    for made in (
        jg.empty_strided((2, 3), (1, 2)),
        jg.empty_permuted((2, 3), (1, 0)),
        jg.ones(1).new_empty_strided((2, 3), (1, 2)),
    ):
        assert (made.shape, made.stride(), made.dtype) == ((2, 3), (1, 2), jg.float32)
    leaf = jg.empty_strided((2,), (3,), requires_grad=True)
    assert leaf.is_leaf
    assert jg.empty_strided((0, 3), (1, 2)).shape == (0, 3)
    for call in (
        lambda: jg.empty_strided((2, 3), (1,)),
        lambda: jg.empty_strided((2,), (-1,)),
        lambda: jg.empty_permuted((2, 3), (0, 0)),
        lambda: jg.empty_permuted((2, 3), (0,)),
    ):
        with pytest.raises(RuntimeError, match="empty_"):
            call()


def test_what_is_asked():
    x = jg.tensor([1, 0], dtype=jg.uint8)
    assert (x.get_device(), x.is_cpu, x.is_signed(), jg.is_signed(x.float()), jg.is_nonzero(x[0])) == (
        -1,
        True,
        False,
        True,
        True,
    )
    with pytest.raises(RuntimeError):
        x.is_nonzero()
    casts = [
        (jg.float64, jg.float32),
        (jg.float32, jg.int64),
        (jg.int64, jg.bool),
        (jg.bool, jg.uint8),
        (jg.complex64, jg.float64),
    ]
    assert [jg.can_cast(*pair) for pair in casts] == [True, False, False, True, False]
    with pytest.warns(UserWarning, match="range is deprecated"):
        assert jg.range(1, 2, 0.5).tolist() == [1, 1.5, 2]


def test_seeds_are_told():
    before = jg.get_rng_state()
    try:
        seed = jg.seed()
        assert jg.initial_seed() == seed
        drawn = jg.rand(2)
        jg.manual_seed(seed)
        assert drawn.equal(jg.rand(2))
    finally:
        jg.set_rng_state(before)


@pytest.mark.parametrize("name", ["abs_", "exp_", "clamp_", "zero_", "fill_", "frac_", "detach_", "as_strided_", "sgn_"])
def test_forms_in_place_at_the_top(name):
    more = {"clamp_": (0.5,), "fill_": (3.0,), "as_strided_": ((1,), (1,))}.get(name, ())
    x, y = jg.tensor([-1.25, 2.5]), jg.tensor([-1.25, 2.5])
    assert getattr(jg, name)(x, *more) is x
    assert x.equal(getattr(y, name)(*more))
    with pytest.raises(TypeError, match="must be a tensor, not ndarray"):
        getattr(jg, name)(np.zeros(2), *more)


def test_normalizations_with_their_statistics():
    x = jg.tensor(np.random.default_rng(0).normal(size=(2, 4, 3)), requires_grad=True)
    mean, rstd = x.mean(-1, keepdim=True), (x.var(-1, correction=0, keepdim=True) + 1e-5).rsqrt()
    for got, want in zip(jg.native_layer_norm(x, [3], None, None, 1e-5), ((x - mean) * rstd, mean, rstd)):
        assert got.allclose(want)
    assert [r.shape for r in jg.native_group_norm(x, None, None, 2, 4, 3, 2, 1e-5)] == [(2, 4, 3), (2, 2), (2, 2)]
    assert [r.shape for r in jg.native_batch_norm(x, None, None, None, None, True, 0.1, 1e-5)] == [(2, 4, 3), (4,), (4,)]
    out, kept = jg.native_dropout(x, 0.5, True)
    assert out.equal(x * kept * 2)
    assert jg.norm_except_dim(x, 2, 1).shape == (1, 4, 1)
    weight = jg.ones(6, 2, 2, dtype=jg.float64)
    want = jg.nn.functional.conv1d(x, weight, None, 1, 1, 1, 2)
    assert jg.convolution(x, weight, None, [1], [1], [1], False, [0], 2).equal(want)
