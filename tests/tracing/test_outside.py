"""What functions under jit make of what is outside: tensors are read at every call, of numbers a change is noticed."""

from __future__ import annotations

import copy
import functools
import types
from dataclasses import dataclass

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.errors import TracedValueError
from tests.helpers.outside_places import values


def test_a_branch_on_a_tensor_from_outside_is_an_error():
    w = jg.tensor(1.0)
    with pytest.raises(TracedValueError, match="guard=True"):
        jg.jit(lambda x: x if w * 2 > 1 else -x)(jg.tensor(1.0))


def test_gradients_reach_tensors_from_outside_through_what_is_computed_of_them():
    w = jg.tensor([1.0, 2.0], requires_grad=True)
    f = jg.jit(lambda x: (x * (w * w)).sum())
    for _ in range(3):
        w.grad = None
        f(jg.tensor([3.0, 4.0])).backward()
        assert w.grad.tolist() == pytest.approx([6 * w[0].item(), 8 * w[1].item()])
        with jg.no_grad():
            w -= 0.1


def test_tensors_made_inside_may_be_changed_and_looked_at():
    def f(x):
        total = jg.zeros(2)
        total += 1
        total[0] = 5.0
        mask = jg.arange(2) < 1
        if total[0] > 4 and int(jg.tensor(3)) == 3:
            total = total * 2
        return x * total + x[mask].sum()

    same = jg.jit(f)(jg.tensor([1.0, 2.0]))
    assert values(same) == values(f(jg.tensor([1.0, 2.0]))) == [11.0, 5.0]


READS = {
    "item": lambda w: w.item(),
    "float": float,
    "int": int,
    "tolist": lambda w: w.tolist(),
    "truth": lambda w: 2.0 if w else 3.0,
    "index": lambda w: [0.5, 1.5, 2.5][w.to(jg.int64)] if w.dtype is jg.int64 else float(w),
}


@pytest.mark.parametrize("guard", [False, True])
@pytest.mark.parametrize("read", READS.values(), ids=READS.keys())
def test_a_number_that_python_takes_of_a_tensor_from_outside_is_looked_at_again(read, guard):
    for dtype in (jg.float32, jg.int64):
        w = jg.tensor(2, dtype=dtype)

        def f(x):
            return x * x * read(w)  # noqa: B023

        value, slope = jg.jit(f, guard=guard), jg.jit(jg.grad(f), guard=guard)
        for now in (2, 2, 0, 2, 1, 1):
            w.fill_(now)
            assert float(value(jg.tensor(3.0))) == 9 * read(w)
            assert float(slope(jg.tensor(3.0))) == 6 * read(w)
            x = jg.tensor(3.0, requires_grad=True)
            value(x).backward()
            assert float(x.grad) == 6 * read(w)


def test_a_number_taken_in_a_step_of_a_loop_or_under_vmap_is_looked_at_again():
    w = jg.tensor(2.0)
    looped = jg.jit(lambda x: jg.fori_loop(0, 3, lambda i, c: c * w.item(), x))
    mapped = jg.jit(jg.vmap(lambda x: x * float(w)))
    for now in (2.0, 3.0, 3.0, 2.0):
        w.fill_(now)
        assert float(looped(jg.tensor(1.0))) == now**3
        assert mapped(jg.ones(2)).tolist() == [now, now]


def test_a_function_without_branches_may_be_guarded():
    f = jg.jit(lambda x: x * 2, guard=True)
    assert [float(f(jg.tensor(x))) for x in (1.0, 2.0, 3.0)] == [2.0, 4.0, 6.0]


FACTOR = 2.0


class Layer:
    """Something with numbers that its methods read."""

    shared = 1.0

    def __init__(self, scale):
        self.scale = scale
        self.inner = types.SimpleNamespace(power=1.0)

    def __call__(self, x):
        return self.scaled(x) * self.shared * self.inner.power

    def scaled(self, x):
        return x * self.doubled / 2

    @property
    def doubled(self):
        return self.twice(self.scale)

    @staticmethod
    def twice(x):
        return FACTOR * x


@dataclass(slots=True)
class Settings:
    rate: float = 1.0


def test_attributes_are_looked_at_again(monkeypatch):
    layer, layers, settings = Layer(2.0), [Layer(1.0), Layer(3.0)], Settings()
    module = types.ModuleType("a_module_of_the_user")
    module.RATE = 2.0

    def method_of_object(x):
        return layer.scaled(x)

    def objects_in_a_list(x):
        for one in layers:
            x = one(x)
        return x

    functions = [
        layer,
        layer.scaled,
        method_of_object,
        objects_in_a_list,
        functools.partial(Layer.scaled, layer),
        lambda x: x * settings.rate,
        lambda x: x * module.RATE,
        lambda x: sum((lambda k: x * settings.rate)(k) for k in "ab"),
    ]
    compiled = [(f, jg.jit(f), jg.jit(jg.grad(f))) for f in functions]
    changes = [
        lambda: None,
        lambda: setattr(layer, "scale", 5.0),
        lambda: setattr(layer.inner, "power", 4.0),
        lambda: setattr(layer, "inner", types.SimpleNamespace(power=6.0)),
        lambda: setattr(layer.inner, "power", 7.0),
        lambda: setattr(layers[1], "scale", 0.5),
        lambda: layers.append(Layer(9.0)),
        lambda: setattr(layers[2], "scale", 8.0),
        lambda: setattr(settings, "rate", 3.0),
        lambda: setattr(module, "RATE", 3.5),
        lambda: monkeypatch.setattr(Layer, "shared", 1.5),
        lambda: monkeypatch.setitem(globals(), "FACTOR", 2.5),
    ]
    for change in changes:
        change()
        for f, value, slope in compiled:
            expected = float(f(jg.tensor(1.0)))
            assert [float(g(jg.tensor(1.0))) for g in (value, value, slope, slope)] == [expected] * 4


def test_a_number_that_changes_at_every_call_warns():
    rate = 1.0

    @jg.jit
    def scaled(x):
        return x * rate

    def forty_rates():
        nonlocal rate
        for rate in range(40):
            assert float(scaled(jg.tensor(2.0))) == 2 * rate

    with pytest.warns(RuntimeWarning, match=r"scaled has been recorded 32 times .*\(rate the last time\)"):
        forty_rates()
    assert len(scaled._compiled) < 32


class Scaled:
    def __init__(self):
        self.scale, self.shift, self.list = jg.tensor(1.0), 1.0, [1.0]

    @jg.jit
    def __call__(self, x):
        return x * self.scale * self.list[0] + self.shift


def test_attributes_of_an_argument_are_looked_at_again():
    one = Scaled()
    plain = jg.jit(lambda o, x: x * o.scale * o.list[0] + o.shift)
    changes = [
        lambda: None,
        lambda: setattr(one, "scale", jg.tensor(3.0)),
        lambda: setattr(one, "shift", 7.0),
        lambda: one.list.__setitem__(0, 5.0),
        lambda: one.scale.fill_(2.0),
    ]
    for change in changes:
        change()
        wanted = 2 * float(one.scale) * one.list[0] + one.shift
        for _ in range(2):
            assert float(one(jg.tensor(2.0))) == float(plain(one, jg.tensor(2.0))) == wanted


def test_an_array_from_outside_that_changes_before_backward():
    array = np.array([1.0, 2.0, 3.0], np.float32)
    x = jg.ones(3, requires_grad=True)
    y = jg.jit(lambda x: (x * array).sum())(x)
    array[0] = 50
    y.backward()
    assert x.grad.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("name", ["jit", "machine", "interpreted", "auto"])
def test_a_result_that_is_an_argument_has_memory_of_its_own(name):
    f = jg.jit(lambda x: (x, x))
    x, array = jg.tensor([3.0, 4.0]), np.array([3.0, 4.0])
    with jg.sweep(name):
        for given in (x, array, x, array):
            one, other = f(given)
            one.add_(100)
            array[0] = 3.0
            assert (x.tolist(), other.tolist()) == ([3.0, 4.0], [3.0, 4.0])


ARRAY = np.array([1.0, 2.0, 3.0], np.float32)


INDEX = np.array([0, 1, 2])


WEIGHT = jg.tensor([1.0, 2.0, 3.0])


OF_ARRAYS = {
    "a number": lambda x: x * float(ARRAY[0]),
    "a number by NumPy": lambda x: x * ARRAY[0],
    "a sum": lambda x: x * ARRAY.sum(),
    "a copy": lambda x: x * jg.tensor(ARRAY),
    "a shared one": lambda x: x * jg.as_tensor(ARRAY),
    "an operand": lambda x: x * ARRAY,
    "a part": lambda x: x[:2] * ARRAY[:2],
    "an operand and a number": lambda x: x * ARRAY + ARRAY[0],
    "an operand and a copy": lambda x: x * ARRAY + jg.tensor(ARRAY),
    "an operand and a copied number": lambda x: x * ARRAY + jg.tensor([ARRAY[1], 2.0, 1.0]),
    "an index": lambda x: x[INDEX] * ARRAY,
    "a mask": lambda x: x[ARRAY > 2].sum(),
    "numpy()": lambda x: x * WEIGHT.numpy()[0],
    "numpy() as an operand": lambda x: x * WEIGHT.numpy(),
    "asarray": lambda x: x * (np.asarray(WEIGHT) * 2),
    "array": lambda x: x * np.array(WEIGHT),
    "tensor of a tensor": lambda x: x * jg.tensor(WEIGHT),
}


@pytest.mark.parametrize("guard", [False, True])
@pytest.mark.parametrize("f", OF_ARRAYS.values(), ids=OF_ARRAYS.keys())
def test_arrays_from_outside_are_read_at_every_call(f, guard):
    compiled = jg.jit(f, guard=guard)
    x = jg.tensor([1.0, 2.0, 3.0])
    for _ in range(3):
        for _ in range(2):
            assert compiled(x).tolist() == pytest.approx(f(x).tolist())
        ARRAY[:] += 1
        INDEX[:] = np.roll(INDEX, 1)
        WEIGHT.add_(1)


def test_gradients_and_flags_of_tensors_from_outside_are_looked_at_again():
    w = jg.ones(2, requires_grad=True)
    step = jg.jit(lambda x: x - x * w.grad if w.grad is not None else x)
    flag = jg.jit(lambda x: x * (2.0 if w.requires_grad else 3.0))
    x = jg.tensor([1.0, 2.0])
    for gradient in (None, jg.tensor([2.0, 3.0]), jg.tensor([4.0, 5.0]), None):
        w.grad = gradient
        assert step(x).tolist() == (x if gradient is None else x - x * gradient).tolist()
    for required in (True, False, True):
        assert flag(x).tolist() == [2.0, 4.0] if w.requires_grad_(required).requires_grad else [3.0, 6.0]


def test_zeros_of_either_sign_and_numbers_of_either_type_are_told_apart():
    zero, few = [np.float64(0.0)], [frozenset({1})]
    f = jg.jit(lambda x: 1 / (x * 0 + jg.tensor(zero[0])))
    g = jg.jit(lambda x: x * jg.tensor(next(iter(few[0]))))
    assert (f(jg.tensor(-1.0)).item(), g(jg.tensor(2)).dtype) == (np.inf, jg.int64)
    zero[0], few[0] = np.float64(-0.0), frozenset({1.0})
    assert (f(jg.tensor(-1.0)).item(), g(jg.tensor(2)).dtype) == (-np.inf, jg.float32)


def test_contents_that_change_at_every_call_warn():
    array = np.zeros(2)
    f = jg.jit(lambda x: x * array.sum())

    def often():
        for _ in range(40):
            array[0] += 1
            assert float(f(jg.tensor(1.0))) == array[0]

    with pytest.warns(RuntimeWarning, match="recorded 32 times .*contents"):
        often()


ROWS, MASK, PLACE = jg.tensor([0, 1]), jg.tensor([True, False, True]), jg.tensor(1)


def filled(x, index, value):
    y = x.clone()
    y[index] = value
    return y


INDEXED = {
    "rows": lambda x: x[ROWS],
    "a mask": lambda x: x[MASK],
    "a number": lambda x: x[PLACE],
    "a list": lambda x: x[[PLACE, PLACE]],
    "a slice": lambda x: x[int(PLACE) :],
    "select": lambda x: x.index_select(0, ROWS),
    "put": lambda x: filled(x, ROWS, 9.0),
    "put a number": lambda x: filled(x, 0, PLACE),
    "put at a mask": lambda x: filled(x, MASK, 9.0),
    "masked_select": lambda x: jg.masked_select(x, MASK),
    "nonzero": lambda x: x[jg.nonzero(MASK)[:, 0]],
    "where": lambda x: x[jg.where(MASK)],
    "a number of numbers": lambda x: x + jg.tensor([PLACE.item(), 2.0, 1.0]),
    "a copy": lambda x: x + copy.deepcopy(PLACE),
    "narrow": lambda x: x.narrow(0, PLACE, 1),
}


@pytest.mark.parametrize("f", INDEXED.values(), ids=INDEXED.keys())
def test_indices_and_masks_from_outside_are_read_at_every_call(f):
    compiled, slope = jg.jit(f), jg.jit(jg.grad(lambda x: (f(x) ** 2).sum()))
    x = jg.tensor([1.0, 2.0, 3.0])
    changes = [([0, 1], [True, False, True], 1), ([2, 1], [False, True, True], 2), ([0, 2], [True, True, False], 1)]
    for rows, mask, place in changes:
        ROWS.copy_(jg.tensor(rows))
        MASK.copy_(jg.tensor(mask))
        PLACE.fill_(place)
        for _ in range(2):
            assert compiled(x).tolist() == f(x).tolist()
            assert slope(x).tolist() == jg.grad(lambda x: (f(x) ** 2).sum())(x).tolist()


HELD, NAMED, MANY = [1.0, jg.tensor(2.0)], {"a": 1.0, "b": jg.tensor(2.0)}, list(range(20))


@pytest.mark.usefixtures("believed")
def test_objects_and_containers_take_the_quick_way_until_they_change(monkeypatch):
    one, other = Scaled(), Scaled()
    f = jg.jit(lambda o, x: x * o.scale * HELD[0] * HELD[1] * NAMED["a"] * NAMED["b"] * MANY[19] + o.shift)
    general = []
    find = f._find
    monkeypatch.setattr(f, "_find", lambda *args: general.append(1) or find(*args))

    def check(o):
        wanted = 2 * float(o.scale) * HELD[0] * float(HELD[1]) * NAMED["a"] * float(NAMED["b"]) * MANY[19] + o.shift
        assert [float(f(o, jg.tensor(2.0))) for _ in range(3)] == [wanted] * 3

    changes = [
        lambda: None,
        lambda: setattr(one, "scale", jg.tensor(3.0)),
        lambda: one.scale.fill_(4.0),
        lambda: setattr(one, "shift", 7.0),
        lambda: HELD.__setitem__(0, 3.0),
        lambda: HELD.__setitem__(1, jg.tensor(5.0)),
        lambda: HELD.append(1.0),
        lambda: NAMED.__setitem__("a", 2.0),
        lambda: NAMED.__setitem__("b", jg.tensor(1.5)),
        lambda: NAMED.__setitem__("c", 1.0),
        lambda: NAMED.__delitem__("c"),
        lambda: MANY.__setitem__(19, 3),
    ]
    for change in changes:
        change()
        for o in (one, other, one):
            check(o)
    assert len(general) <= 2 * len(changes)  # of nine calls each


def test_more_objects_than_are_remembered():
    f = jg.jit(lambda o, x: x * o.scale + o.shift)
    objects = [Scaled() for _ in range(40)]
    for _ in range(2):
        for i, o in enumerate(objects[:20]):
            o.shift = float(i)
            assert float(f(o, jg.tensor(2.0))) == 2 + i
