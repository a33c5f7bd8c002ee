"""What `copy`, `pickle` and NumPy's files make of tensors: what PyTorch makes of them, and views still share memory."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad import dtypes

pytestmark = pytest.mark.quick


def pickled(x: Any) -> Any:
    return pickle.loads(pickle.dumps(x))


BOTH = pytest.mark.parametrize("through", [copy.deepcopy, pickled])


def _views(x: Any) -> dict[str, Any]:
    return {
        "a part": x[1:, ::2],
        "an element": x[1, 2],
        "transposed": x.t(),
        "backwards": jg.from_numpy(x.numpy()[::-1, ::-1]),
        "expanded": x[:1].expand(4, 6),
        "in strides": x.as_strided((2, 2), (3, 2), 5),
        "of a view": x[1:][:, 1:].t(),
        "detached": x.detach(),
        "flat": x.view(-1),
    }


@BOTH
@pytest.mark.parametrize("name", _views(jg.zeros(3, 6)))
@pytest.mark.parametrize("first", [0, 1])
def test_views_share_memory_still(through, name, first):
    x = jg.arange(18.0).reshape(3, 6).clone()
    y = _views(x)[name]
    both = (x, y) if first == 0 else (y, x)
    again = through(both)
    a, b = again if first == 0 else again[::-1]
    assert (a.tolist(), b.tolist()) == (x.tolist(), y.tolist())
    assert (b.stride(), b.shape) == (y.stride(), y.shape)
    before = x.tolist()
    a += 100
    assert x.tolist() == before
    if name == "backwards":  # the memory of an array, of which NumPy alone knows
        return
    assert b.tolist() == (y + 100).tolist()
    a[-1:].zero_()
    assert a[-1].tolist() == [0.0] * 6


@BOTH
def test_a_change_through_a_shared_view_is_noticed_by_the_reverse_sweep(through):
    x = jg.arange(4.0)
    a, b = through((x, x[1:3]))
    w = jg.ones(4, requires_grad=True)
    y = (w * a).sum()
    b.zero_()
    with pytest.raises(jg.errors.OverwrittenError):
        y.backward()


@BOTH
def test_one_tensor_stays_one(through):
    x = jg.ones(2, requires_grad=True)
    a, b = through([x, {"again": x}])
    assert a is b["again"]
    assert a.requires_grad
    assert a.is_leaf


@BOTH
@pytest.mark.parametrize("dtype", dtypes.ALL.values(), ids=lambda dtype: dtype.name)
def test_every_dtype(through, dtype):
    for x in (
        jg.ones(2, 3, dtype=dtype),
        jg.ones(2, 3, dtype=dtype)[1:],
        jg.ones((), dtype=dtype),
        jg.ones(0, 2, dtype=dtype)[:, 1:],
    ):
        again = through(x)
        assert again.dtype is dtype
        assert (again.tolist(), again.shape) == (x.tolist(), x.shape)


@BOTH
def test_parts_of_complex_numbers_share_memory(through):
    x = jg.tensor([1 + 2j, 3 + 4j])
    a, b = through((x, x.imag))
    b.zero_()
    assert a.tolist() == [1, 3]


def test_gradients_are_copied_and_not_pickled():
    x = jg.ones(2, requires_grad=True)
    (x * x).sum().backward()
    assert pickled(x).grad is None
    a, grad = copy.deepcopy((x, x.grad))
    assert a.grad is grad
    assert grad is not x.grad
    assert grad.tolist() == [2.0, 2.0]
    (x.exp().sum() * x.sum()).backward(create_graph=True)
    assert copy.deepcopy(x).grad.tolist() == x.grad.tolist()


def test_what_has_a_history_is_pickled_as_a_leaf_and_not_deep_copied():
    y = jg.ones(3, requires_grad=True) * 2
    again = pickled(y)
    assert again.is_leaf
    assert again.requires_grad
    assert again.tolist() == [2.0, 2.0, 2.0]
    with pytest.raises(RuntimeError, match="only leaves can be deep-copied"):
        copy.deepcopy(y)


def test_a_copy_shares_memory_and_history():
    x = jg.ones(2, requires_grad=True)
    same = copy.copy(x)
    assert same.is_leaf
    assert same.grad is None
    with jg.no_grad():
        same[0] = 5
    assert x.tolist() == [5.0, 1.0]
    y = copy.copy(x * 2)
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_of_pickle(protocol):
    x = jg.arange(6.0)
    a, b = pickle.loads(pickle.dumps((x, x[::2]), protocol))
    a[0] = 7
    assert b.tolist() == [7.0, 2.0, 4.0]


def test_files_of_numpy():
    x = jg.arange(6.0).reshape(2, 3)
    file = io.BytesIO()
    np.save(file, x.t())
    file.seek(0)
    assert np.load(file).tolist() == x.t().tolist()
    for save in (np.savez, np.savez_compressed):
        file = io.BytesIO()
        save(file, x, named=x[0], plain=np.ones(2))
        file.seek(0)
        with np.load(file) as found:
            assert found["arr_0"].tolist() == x.tolist()
            assert found["named"].dtype == np.float32
            assert jg.tensor(found["named"]).tolist() == [0.0, 1.0, 2.0]
    text = io.StringIO()
    np.savetxt(text, x)
    assert np.loadtxt(io.StringIO(text.getvalue())).tolist() == x.tolist()
    for save in (np.save, np.savez, np.savetxt):
        with pytest.raises((RuntimeError, TypeError), match="detach"):
            save(io.BytesIO(), x.clone().requires_grad_())


def test_attributes_go_along():
    for x in (jg.ones(2, requires_grad=True), jg.ones(4)[1:], jg.ones(2, requires_grad=True) * 2):
        x.name_of_mine = ["a"]
        for made in (copy.copy(x), pickled(x), *([copy.deepcopy(x)] if x.is_leaf else [])):
            assert made.name_of_mine == ["a"]
        assert copy.copy(x).name_of_mine is x.name_of_mine
        assert pickled(x).name_of_mine is not x.name_of_mine
    y = jg.ones(2).mul_(3)
    assert (y._version, pickled(y)._version, copy.deepcopy(y)._version) == (1, 0, 0)
    assert not hasattr(pickled(y), "name_of_mine")
