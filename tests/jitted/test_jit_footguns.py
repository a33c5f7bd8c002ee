"""What must not go silently wrong under jit: each case is right, or an error that says what to do."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.errors import LeakedTraceError, MutatedArgumentError, StaticArgumentError, TracedValueError
from tests.helpers.sweeps import SWEEPS

SCALE = 2.0
WEIGHTS = jg.tensor([1.0, 2.0])
ARRAY = np.array([1.0, 2.0], np.float32)
TABLE = [1.0, 2.0]
SETTINGS = {"power": 2}


def values(x):
    return np.asarray(x.detach()).tolist()


def test_a_changed_global_number_is_seen(monkeypatch):
    f = jg.jit(lambda x: x * SCALE)
    assert f(jg.tensor(3.0)).item() == 6
    monkeypatch.setitem(globals(), "SCALE", 5.0)
    assert f(jg.tensor(3.0)).item() == 15


def test_a_changed_number_in_a_closure_is_seen():
    rate = 1.0

    def f(x):
        return x * rate

    compiled = jg.jit(jg.value_and_grad(f))
    assert compiled(jg.tensor(3.0))[1].item() == 1
    rate = 4.0
    assert compiled(jg.tensor(3.0))[1].item() == 4


def test_a_changed_list_is_seen():
    table = [1.0, 2.0, 3.0]
    f = jg.jit(lambda x: x * sum(table))
    found = [f(jg.tensor(1.0)).item()]
    table[1] = 5.0
    found.append(f(jg.tensor(1.0)).item())
    table.append(1.0)
    found.append(f(jg.tensor(1.0)).item())
    table[0] = 1
    found.append(f(jg.tensor(1.0)).item())
    assert found == [6, 9, 10, 10]


def test_a_changed_helper_function_is_seen(monkeypatch):
    f = jg.jit(lambda x: helper(x))
    assert f(jg.tensor(3.0)).item() == 4
    monkeypatch.setitem(globals(), "helper", lambda x: x * 10)
    assert f(jg.tensor(3.0)).item() == 30


def helper(x):
    return x + 1


def test_a_rebound_tensor_is_seen(monkeypatch):
    f = jg.jit(lambda x: (x * WEIGHTS).sum())
    x = jg.tensor([1.0, 1.0])
    assert f(x).item() == 3
    monkeypatch.setitem(globals(), "WEIGHTS", jg.tensor([10.0, 20.0]))
    assert f(x).item() == 30


@pytest.mark.parametrize("sweep", SWEEPS)
def test_a_captured_tensor_changed_in_place_is_seen(sweep):
    w = jg.tensor([1.0, 2.0])
    f = jg.jit(lambda x: (x * w).sum())
    with jg.sweep(sweep):
        assert f(jg.tensor([1.0, 1.0])).item() == 3
        w[0] = 100.0
        assert f(jg.tensor([1.0, 1.0])).item() == 102


@pytest.mark.parametrize("sweep", SWEEPS)
def test_a_captured_array_changed_outside_is_seen(sweep, monkeypatch):
    array = np.array([1.0, 2.0], np.float32)
    same = np.array([1.0, 2.0], np.float32)
    f = jg.jit(lambda x: (x * array + x * same).sum())
    with jg.sweep(sweep):
        assert f(jg.tensor([1.0, 1.0])).item() == 6
        array[0] = 100.0
        assert f(jg.tensor([1.0, 1.0])).item() == 105


def test_a_changed_list_and_dict_are_seen(monkeypatch):
    f = jg.jit(lambda x: x ** SETTINGS["power"] * TABLE[0] * len(TABLE))
    assert f(jg.tensor(3.0)).item() == 18
    monkeypatch.setitem(SETTINGS, "power", 3)
    assert f(jg.tensor(3.0)).item() == 54
    TABLE.append(3.0)
    try:
        assert f(jg.tensor(3.0)).item() == 81
    finally:
        TABLE.pop()


def test_a_number_argument_is_not_frozen():
    f = jg.jit(lambda x, rate: x * rate)
    x = jg.tensor([1.0, 2.0])
    assert values(f(x, 2.0)) == [2, 4]
    assert values(f(x, 3.0)) == [3, 6]
    assert len(f._compiled) == 1  # a float is an input of the tape
    assert values(f(x, 3)) == [3, 6]
    assert values(f(x, 4)) == [4, 8]  # an int is static


def test_a_number_argument_does_not_promote():
    f = jg.jit(lambda x, rate: x * rate)
    assert f(jg.tensor([1.0]), 2.0).dtype is jg.float32
    assert f(jg.tensor([1.0], dtype=jg.float16), 2.0).dtype is jg.float16
    third = f(jg.tensor(1.0, dtype=jg.float64), 1 / 3)
    assert third.dtype is jg.float64
    assert third.item() == 1 / 3


def test_static_arguments_are_told_apart():
    f = jg.jit(lambda x, mode: x + 1 if mode else x - 1)
    x = jg.tensor(1.0)
    assert [f(x, True).item(), f(x, False).item(), f(x, 1).item(), f(x, "").item()] == [2, 0, 2, 0]


def test_an_unhashable_static_argument_is_an_error():
    class Odd:
        __hash__ = None

    with pytest.raises(StaticArgumentError, match="hashable"):
        jg.jit(lambda x, odd: x)(jg.tensor(1.0), Odd())


@pytest.mark.parametrize(
    "use",
    [
        lambda x: x if x > 0 else -x,
        lambda x: x * float(x),
        lambda x: x * x.item(),
        lambda x: jg.tensor(np.asarray(x)),
        lambda x: x * int(x),
        lambda x: x.tolist(),
        lambda x: x.numpy(),
        lambda x: range(x.long()),
    ],
)
def test_asking_for_a_value_under_jit_is_an_error_that_teaches(use):
    with pytest.raises(TracedValueError, match="under jit"):
        jg.jit(use)(jg.tensor(1.0))


def test_a_branch_on_a_value_is_an_error_or_decided_anew_in_every_call():
    def f(x):
        return x if x > 0 else -x

    with pytest.raises(TracedValueError, match="guard=True"):
        jg.jit(f)(jg.tensor(1.0))
    guarded = jg.jit(f, guard=True)
    assert [guarded(jg.tensor(v)).item() for v in (1.0, -2.0, 3.0, -4.0)] == [1, 2, 3, 4]


def test_a_mask_under_jit_is_an_error_that_teaches():
    with pytest.raises(TracedValueError, match="where"):
        jg.jit(lambda x: x[x > 0].sum())(jg.tensor([1.0, -1.0]))


def test_random_numbers_under_jit_are_an_error():
    with pytest.raises(TracedValueError, match="argument"):
        jg.jit(lambda x: x * jg.randn(2))(jg.tensor([1.0, 2.0]))


def test_an_escaped_tensor_is_an_error():
    kept = []

    @jg.jit
    def f(x):
        kept.append(x * 2)
        return x

    f(jg.tensor(1.0))
    for use in (lambda: kept[0] + 1, lambda: f(kept[0]), lambda: jg.jit(lambda x: x + kept[0])(jg.tensor(1.0))):
        with pytest.raises(LeakedTraceError, match="trace"):
            use()


@pytest.mark.parametrize("change", [lambda x: x.mul_(2), lambda x: x.zero_(), lambda x: x[:1].add_(1)])
def test_changing_an_argument_in_place_is_an_error(change):
    with pytest.raises(MutatedArgumentError, match="return the new value"):
        jg.jit(lambda x: change(x))(jg.tensor([1.0, 2.0]))


def test_changing_a_captured_tensor_in_place_is_an_error():
    w = jg.tensor([1.0, 2.0])
    with pytest.raises(MutatedArgumentError):
        jg.jit(lambda x: w.add_(x))(jg.tensor([1.0, 2.0]))
    assert values(w) == [1, 2]


def test_in_place_changes_of_what_the_function_made_work():
    def f(x):
        y = x * 1
        view = y[1:]
        view.mul_(3)
        y[0] = 7.0
        return y, view

    y, view = jg.jit(f)(jg.tensor([1.0, 2.0, 3.0]))
    assert values(y) == [7, 6, 9]
    assert values(view) == [6, 9]


@pytest.mark.parametrize("sweep", SWEEPS)
def test_results_are_not_overwritten_by_later_calls(sweep):
    f = jg.jit(lambda x: (x * 2, (x + 1).T, x.sum(dim=0)))
    with jg.sweep(sweep):
        first = f(jg.ones(4, 5))
        kept = [np.array(np.asarray(t)) for t in first]
        for k in range(6):
            f(jg.full((4, 5), float(k)))
        for before, now in zip(kept, first, strict=True):
            np.testing.assert_array_equal(before, np.asarray(now))


@pytest.mark.parametrize("sweep", SWEEPS)
def test_results_do_not_share_memory_with_arguments(sweep):
    f = jg.jit(lambda x: (x.T, x[0], x.reshape(-1)))
    with jg.sweep(sweep):
        x = jg.ones(2, 3)
        for out in f(x):
            out.zero_()
        assert values(x) == [[1, 1, 1], [1, 1, 1]]


def test_arguments_are_not_changed_when_results_are():
    f = jg.jit(lambda x: x)
    x = jg.tensor([1.0, 2.0])
    f(x).zero_()
    assert values(x) in ([0, 0], [1, 2])  # the same tensor, as without jit, or a copy: never half of each


@pytest.mark.parametrize("shape", [(), (1,), (3,), (0,), (2, 3), (1, 3), (2, 1)])
def test_every_shape_is_traced_for_itself(shape):
    f = jg.jit(lambda x: (x * 2 + 1).sum())
    for _ in range(2):
        assert f(jg.ones(*shape) if shape else jg.tensor(1.0)).item() == 3 * int(np.prod(shape))


def test_a_new_shape_needs_no_new_machine_code():
    from jitgrad.sweeps.program.program import _kernels

    f = jg.jit(jg.value_and_grad(lambda x: (x * x).mean()))
    f(jg.ones(10))
    before = len(_kernels)
    for n in (11, 100, 12345):
        value, gradient = f(jg.ones(n))
        assert value.item() == pytest.approx(1)
        np.testing.assert_allclose(gradient.numpy(), np.full(n, 2 / n), rtol=1e-6)
    assert len(_kernels) == before


def test_a_strided_argument_gives_the_same():
    f = jg.jit(lambda x: x * 2)
    x = jg.from_numpy(np.arange(12.0).reshape(3, 4))
    np.testing.assert_array_equal(f(x.T).numpy(), x.numpy().T * 2)
    np.testing.assert_array_equal(f(x[:, ::2]).numpy(), x.numpy()[:, ::2] * 2)


def test_two_threads_in_one_compiled_function():
    f = jg.jit(lambda x: (jg.exp(x) * x).sum())
    wrong = []

    def run(k):
        x = jg.full((1000,), float(k) / 10)
        want = f(x).item()
        wrong.extend(1 for _ in range(300) if f(x).item() != want)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_tensors_that_require_grad_inside_and_outside():
    w = jg.tensor([1.0, 2.0], requires_grad=True)
    f = jg.jit(lambda x: (x * w * w).sum())
    f(jg.tensor([3.0, 4.0])).backward()
    assert values(w.grad) == [6, 16]
    with jg.no_grad():
        assert not f(jg.tensor([3.0, 4.0])).requires_grad


def test_an_error_while_tracing_leaves_nothing_behind():
    f = jg.jit(lambda x: x.item())
    with pytest.raises(TracedValueError):
        f(jg.tensor(1.0))
    assert (jg.tensor(1.0) + 1).item() == 2
    assert jg.jit(lambda x: x + 1)(jg.tensor(1.0)).item() == 2


def test_a_gradient_in_a_python_number_is_a_float64_as_the_number_is():
    both = jg.value_and_grad(lambda x: x * x)
    for value in (*both(3.0), *jg.jit(both)(3.0), *both(3), *jg.jit(both)(3)):
        assert value.dtype is jg.float64


@pytest.mark.parametrize("make", [lambda a: a.view(np.matrix), lambda a: a.view(np.recarray), lambda a: a[:, ::2]])
@pytest.mark.parametrize("wrap", [jg.from_numpy, jg.tensor, lambda a: a])
def test_arrays_of_every_kind_are_read(make, wrap):
    array = make(np.arange(8, dtype=np.float32).reshape(2, 4))
    f = jg.jit(lambda x: (x * x).sum())
    assert f(wrap(array)).item() == float((np.asarray(array) ** 2).sum())
    g = jg.jit(lambda x: (x * array).sum())
    assert g(jg.ones(*array.shape)).item() == float(np.asarray(array).sum())


# Wrong use of transforms, loops and native functions: an error that says what to do.


def rising(x):
    return jg.while_loop(lambda v: v < 9, lambda v: v * x, x)


WRONG = {
    "grad of what is no scalar": (lambda: jg.grad(lambda x: x * 2)(jg.ones(3)), RuntimeError, "sum"),
    "grad of what is no scalar, compiled": (lambda: jg.jit(jg.grad(lambda x: x * 2))(jg.ones(3)), RuntimeError, "sum"),
    "tangents of another shape": (lambda: jg.jvp(lambda x: x * 2, (jg.ones(3),), (jg.ones(2),)), RuntimeError, r"\[2\].*\[3\]"),
    "too few tangents": (lambda: jg.jvp(lambda x, y: x * y, (jg.ones(3), jg.ones(3)), (jg.ones(3),)), RuntimeError, "tangent"),
    "cotangents of another shape": (lambda: jg.vjp(lambda x: x * 2, jg.ones(3))[1](jg.ones(2)), RuntimeError, r"\[2\].*\[3\]"),
    "a gradient of integers": (lambda: jg.grad(lambda x: x.sum())(jg.tensor([1, 2])), TypeError, "floating"),
    "another shape than the example": (lambda: jg.jit(lambda x: x * 2).compile(jg.ones(3))(jg.ones(4)), ValueError, "shape"),
    "another dtype than the example": (
        lambda: jg.jit(lambda x: x * 2).compile(jg.ones(3))(jg.ones(3, dtype=jg.float64)),
        TypeError,
        "float32",
    ),
    "a branch on a traced value": (lambda: jg.jit(lambda x: x if x > 0 else -x)(jg.tensor(1.0)), TracedValueError, "guard=True"),
    "a loop on a traced value": (lambda: jg.jit(lambda x: [0 for _ in range(int(x))])(jg.tensor(2)), TracedValueError, "int"),
    "a reverse sweep without a bound": (lambda: jg.jit(jg.grad(rising))(jg.tensor(2.0)), NotImplementedError, "max_steps"),
    "a step that changes the carry": (
        lambda: jg.jit(lambda x: jg.scan(lambda c, v: (x, v), 0.0, x)[0])(jg.ones(3)),
        TypeError,
        "entry 0 of the carry",
    ),
    "branches that differ": (
        lambda: jg.jit(lambda x: jg.cond(x.sum() > 0, lambda: x, lambda: 1.0))(jg.ones(3)),
        TypeError,
        "branch 1",
    ),
    "random numbers in a step": (
        lambda: jg.jit(lambda x: jg.scan(lambda c, v: (c + jg.rand(()), v), 0.0, x))(jg.ones(3)),
        TracedValueError,
        "outside",
    ),
    "an index out of bounds in a step": (
        lambda: jg.jit(lambda x: jg.fori_loop(0, 4, lambda i, s: s + x[i], 0.0))(jg.ones(3)),
        IndexError,
        "3 is out of bounds",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_use_is_an_error_that_teaches(name):
    call, kind, words = WRONG[name]
    with pytest.raises(kind, match=words):
        call()


# What is computed from tensors of outside alone.


def test_what_is_computed_from_outside_alone_is_computed_at_every_call():
    w = jg.tensor([1.0, 2.0])
    f = jg.jit(lambda x: x * (w * 2).exp().sum() + w.max() * 2)
    g = jg.jit(lambda x: jg.scan(lambda c, v: (c + v * (w + w).sum(), None), 0.0, x)[0])
    for value in (1.0, 100.0):
        with jg.no_grad():
            w[0] = value / 100
        x = jg.tensor([1.0, 3.0])
        assert values(f(x)) == pytest.approx(values(x * (w * 2).exp().sum() + w.max() * 2))
        assert g(x).item() == pytest.approx((x.sum() * (w + w).sum()).item())
