"""Tensors as arguments of `@njit` functions."""

import sys

import numba
import numpy as np
import pytest

import jitgrad as jg


@numba.njit
def work(x):
    y = x * 2 + np.exp(x)
    for _ in range(2):  # a tensor and an array meet in one variable
        x = x + y
    return x, x.shape, y[1:].sum()


@numba.njit
def first_becomes_seven(x):
    x[0] = 7
    return x


@numba.njit
def one_more(x):
    return x + 1


@pytest.mark.parametrize("dtype", [jg.int32, jg.int64, jg.bool])
def test_integers_and_bools(dtype):
    x = jg.tensor([[1, 0], [3, 1]], dtype=dtype)
    np.testing.assert_array_equal(one_more(x), one_more(x.numpy()))


@pytest.mark.parametrize("dtype", [jg.float32, jg.float64])
def test_as_the_array(dtype):
    for tensor in (jg.tensor([[1, 0, 3], [0, 5, 6]], dtype=dtype), jg.tensor([[1, 0], [3, 0]], dtype=dtype).t()):
        found, shape, total = work(tensor)
        want = work(tensor.numpy())
        assert found.dtype == want[0].dtype
        np.testing.assert_array_equal(found, want[0])
        assert (shape, total) == want[1:]


def test_memory_is_shared_and_the_tape_notices():
    x = jg.tensor([1.0, 2.0])
    returned = first_becomes_seven(x)
    assert (x.tolist(), returned.tolist()) == ([7.0, 2.0], [7.0, 2.0])
    w, x = jg.ones(2, requires_grad=True), jg.ones(2)
    y = (w * x).sum()
    first_becomes_seven(x)
    with pytest.raises(jg.errors.OverwrittenError):
        y.backward()


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (jg.tensor(2.5), numba.float32),
        (jg.tensor(2.5, dtype=jg.float64), numba.float64),
        (jg.tensor(3), numba.int64),
        (jg.tensor(3, dtype=jg.int32), numba.int32),
        (jg.tensor(True), numba.boolean),
    ],
)
def test_numbers(number, kind):
    assert numba.typeof(number) == kind
    assert one_more(number) == number.item() + 1


@pytest.mark.parametrize("shape", [(), (2,)])
def test_gradients_are_not_lost_in_silence(shape):
    x = jg.ones(shape, requires_grad=True)
    one_more(x.detach())
    with pytest.raises(RuntimeError, match=r"requires grad was passed to an @njit function.*pass tensor.detach\(\)"):
        one_more(x)


def test_values_that_are_not_there_yet():
    with pytest.raises(jg.errors.TracedValueError, match="an argument of an @njit function needs the value"):
        jg.jit(lambda x: one_more(x))(jg.ones(2))


GLOBAL = jg.tensor([1.0, 2.0])


@numba.njit
def reads_a_global():
    return GLOBAL.sum()


def test_global_tensors_are_constants():
    assert reads_a_global() == 3.0


def test_references_are_given_back():
    x = jg.tensor([1.0, 2.0])
    work(x)
    before = sys.getrefcount(x._value), sys.getrefcount(x)
    for _ in range(50):
        work(x)
    assert (sys.getrefcount(x._value), sys.getrefcount(x)) == before


def test_native_functions_take_tensors_too():
    gradient = jg.grad(lambda x: (x * x).sum()).compile(jg.zeros(2))
    assert gradient.njit(jg.tensor([1.0, 2.0])).tolist() == [2.0, 4.0]
