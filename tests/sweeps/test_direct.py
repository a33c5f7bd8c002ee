"""The C function between tensors and machine code: what it takes, what it refuses, and that nothing is lost or shared."""

import gc
import sys
import threading
from collections import deque

import numpy as np
import pytest

import jitgrad
from jitgrad.sweeps.code.compile import compile_text
from jitgrad.sweeps.program import direct
from jitgrad.sweeps.program import program as programs

pytestmark = [
    pytest.mark.skipif(direct.enter(jitgrad.Tensor) is None, reason="objects are laid out in another way here"),
    pytest.mark.usefixtures("believed"),  # they count the ways that calls go
]


@pytest.fixture
def no_general_way(monkeypatch):
    """After `close(f)`, calls of `f` that do not go through an entry fail."""

    def fail(*_):
        raise AssertionError("the general way was taken")

    return lambda f: monkeypatch.setattr(f, "_call", fail)


def tensors(*values, dtype=jitgrad.float32):
    return [jitgrad.tensor(v, dtype=dtype) for v in values]


@pytest.mark.quick
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_numbers_go_in_and_come_out(dtype, no_general_way):
    f = jitgrad.jit(jitgrad.value_and_grad(lambda a, b: a * a * b + b, argnums=(0, 1)))
    x, y = tensors(3.0, 2.0, dtype=getattr(jitgrad, dtype))
    f(x, y)
    no_general_way(f)
    value, (da, db) = f(x, y)
    assert [float(v) for v in (value, da, db)] == [20.0, 12.0, 10.0]
    for out in (value, da, db):
        assert type(out) is jitgrad.Tensor
        assert type(out._value) is np.dtype(dtype).type
        assert (out._row, out._storage, out._view) == (None, None, None)


def test_every_form_of_an_argument(no_general_way):
    f = jitgrad.jit(lambda a, x: (a * x, (x * x).sum()))
    a, x = np.float32(2), np.arange(3, dtype=np.float32)
    owned = jitgrad.tensor(2.0)
    owned.numpy()  # shares its memory from here on, so its value is an array
    f(jitgrad.tensor(a), jitgrad.tensor(x))
    no_general_way(f)
    for number in (np.array(a), jitgrad.tensor(a), owned):
        for array in (x, jitgrad.tensor(x), np.repeat(x, 2)[::2], jitgrad.tensor(np.repeat(x, 2))[::2]):
            product, total = f(number, array)
            assert product.tolist() == [0, 2, 4]
            assert float(total) == 5


def test_floats_are_numbers_and_not_float64(no_general_way):
    f = jitgrad.jit(lambda x, k: x * k)
    x = jitgrad.tensor([1.0, 2.0])
    assert f(x, 3.0).dtype == jitgrad.float32
    assert f(x, jitgrad.tensor(3.0, dtype=jitgrad.float64)).dtype == f(x, np.float64(3)).dtype
    no_general_way(f)
    assert f(x, 4.0).tolist() == [4, 8]
    assert f(x, 4.0).dtype == jitgrad.float32
    with pytest.raises(AssertionError, match="general way"):
        f(x, True)


@pytest.mark.parametrize(
    "other",
    [
        np.arange(4, dtype=np.float32),
        np.arange(3.0),
        np.float32(1),
        [1.0],
        None,
        np.ones((1, 3), np.float32),
        np.ones((3, 1), np.float32),
        np.arange(3, dtype=np.int32),
        "abc",
        1.0,
        1,
    ],
)
def test_other_kinds_are_refused(other, no_general_way):
    f = jitgrad.jit(lambda x: x * 2)
    f(np.arange(3, dtype=np.float32))
    no_general_way(f)
    with pytest.raises(AssertionError, match="general way"):
        f(other)


def test_a_gradient_that_is_wanted_is_recorded():
    f = jitgrad.jit(lambda x: x * x)
    x, used = jitgrad.tensor(3.0, requires_grad=True), jitgrad.tensor(3.0)
    f(jitgrad.tensor(3.0))
    f(x).backward()
    assert float(x.grad) == 6
    assert (x * used).requires_grad  # `used` has a row from here on, which wants no gradient
    assert not f(used).requires_grad
    with jitgrad.no_grad():
        assert not f(x).requires_grad


def test_results_are_not_overwritten_while_somebody_refers_to_them():
    f = jitgrad.jit(lambda x: (x + 1, x.sum()))
    held, views = [], []
    for i in range(20):
        out, total = f(jitgrad.full((5,), float(i)))
        held.append((out, total))
        views.append(f(jitgrad.full((5,), float(-i)))[0].numpy()[1:])  # the view alone keeps the memory
    for i in range(20):
        assert held[i][0].tolist() == [i + 1.0] * 5
        assert float(held[i][1]) == 5 * i
        assert views[i].tolist() == [1.0 - i] * 4
    del held, views, out
    addresses = {f(jitgrad.zeros(5))[0]._value.ctypes.data for _ in range(20)}
    assert len(addresses) <= programs.SPARE_BUFFERS


def test_constants_captured_tensors_and_empty_arrays():
    weights = jitgrad.tensor([1.0, 2.0, 3.0])
    fixed = np.array([4.0, 5.0, 6.0], np.float32)
    f = jitgrad.jit(lambda x: x * weights + jitgrad.tensor(fixed))
    for i in range(3):
        weights.copy_(jitgrad.tensor([1.0, 2.0, 3.0]) * i)
        assert f(jitgrad.ones(3)).tolist() == [4 + i, 5 + 2 * i, 6 + 3 * i]
    g = jitgrad.jit(lambda x: (x * 2, x.sum()))
    for _ in range(3):
        out, total = g(jitgrad.zeros((0, 3)))
        assert out.shape == (0, 3)
        assert float(total) == 0


def test_many_numbers_take_the_other_way():
    f = jitgrad.jit(lambda xs: [x * 2 for x in xs])
    xs = [jitgrad.tensor(float(i), dtype=jitgrad.float64) for i in range(400)]  # more cells than there is room for
    for _ in range(2):
        assert [float(x) for x in f(xs)] == [2.0 * i for i in range(400)]


def test_no_references_are_lost_or_kept():
    f = jitgrad.jit(lambda a, x: (a * a, x * a, a.sum()))
    a, x, dtype = jitgrad.tensor(2.0), jitgrad.arange(4.0), np.dtype(np.float32)
    f(a, x)
    watched = [a, a._value, x, x._value, dtype, None, jitgrad.Tensor, np.float32, False]
    gc.collect()
    before, objects = [sys.getrefcount(o) for o in watched], len(gc.get_objects())
    for _ in range(1000):
        f(a, x)
    gc.collect()
    assert all(abs(sys.getrefcount(o) - count) < 100 for o, count in zip(watched, before))
    assert len(gc.get_objects()) - objects < 100  # fewer, where something else has been collected meanwhile


def test_threads_at_once():
    f = jitgrad.jit(jitgrad.value_and_grad(lambda a, x: (x * a).sum()))
    f(jitgrad.tensor(1.0), jitgrad.arange(8.0))
    wrong = []

    def work(k):
        a, x = jitgrad.tensor(float(k)), jitgrad.arange(8.0)
        for _ in range(500):
            value, gradient = f(a, x)
            if float(value) != 28 * k or float(gradient) != 28:
                wrong.append((k, value, gradient))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_a_pool_gives_nothing_that_is_in_use():
    fresh = programs.pool((2,), np.dtype(np.float32), deque())
    first = fresh()
    second = fresh()
    assert first is not second
    kept = second[:1]
    del second
    third = fresh()
    assert not np.shares_memory(kept, third)
    where = id(first)
    del first
    assert id(fresh()) == where


COPY = """
define void @copy(ptr %t) {
  %from = load ptr, ptr %t
  %x = load double, ptr %from
  %cells_at = getelementptr i64, ptr %t, i64 1
  %cells = load ptr, ptr %cells_at
  store double %x, ptr %cells
  ret void
}
"""


def test_a_plan_by_hand():
    kernel = compile_text(COPY, "copy", store=False)
    given = direct.Input(None, np.dtype(np.float64), (2,), 0, 0)
    plan = direct.write_plan(
        kernel.address,
        [given],
        [],
        [direct.TableEntry(0), direct.TableEntry(0, in_cells=True)],
        [direct.Output(np.dtype(np.float64), 0)],
    )
    (out,) = direct.enter(jitgrad.Tensor)(plan.address, np.array([2.5, 1.0]))
    assert float(out) == 2.5
    assert direct.enter(jitgrad.Tensor)(plan.address, 2.5) is None
