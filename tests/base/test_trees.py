"""Arguments and results that are nested: they stay of their class, with all that they hold, in every transform."""

import collections
import copy
import dataclasses
import functools
from decimal import Decimal
from typing import Any, NamedTuple

import pytest

import jitgrad as jg
from jitgrad.errors import MutatedArgumentError

pytestmark = pytest.mark.quick


class Scaled(list):
    def total(self):
        return sum(self) * self.scale


class Named(dict):
    __getattr__ = dict.__getitem__


class Itself(dict):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.__dict__ = self


class First(tuple):
    @property
    def first(self):
        return self[0]


class Pair(NamedTuple):
    a: Any
    b: Any


class Product(Pair):
    def product(self):
        return self.a * self.b


@dataclasses.dataclass
class Plain:
    a: Any

    def scaled(self):
        return self.a * getattr(self, "scale", 1.0)

    @functools.cached_property
    def square(self):
        return self.a**2


@dataclasses.dataclass(slots=True, frozen=True)
class Slotted:
    a: Any
    b: Any


class Private(list):
    __slots__ = ("__factor", "never_set")

    def of(self, factor):
        self.__factor = factor
        return self

    def value(self):
        return self.__factor * self[0]


def four():
    return 4.0


def two(kind):
    return kind(a=jg.tensor(2.0), b=jg.tensor(3.0))


def with_attribute(held, **attributes):
    vars(held).update(attributes)
    return held


def cached():
    held = Plain(jg.tensor(3.0))
    assert held.square.item() == 9.0
    return held


def reordered():
    held = collections.OrderedDict(b=jg.tensor(2.0), a=jg.tensor(3.0))
    held.move_to_end("b")
    return held


CASES = {
    "list with attributes": (Scaled.total, lambda: with_attribute(Scaled([jg.tensor(1.0)]), scale=jg.tensor(3.0))),
    "dict by attributes": (lambda d: d.a * d.b, lambda: two(Named)),
    "dict that is its attributes": (lambda d: d.a * d["b"], lambda: two(Itself)),
    "tuple with a property": (lambda t: t.first * t[1], lambda: First([jg.tensor(2.0), jg.tensor(5.0)])),
    "named tuple": (lambda p: p.a * p.b, lambda: two(Pair)),
    "named tuple's child": (Product.product, lambda: two(Product)),
    "dataclass with another attribute": (Plain.scaled, lambda: with_attribute(Plain(jg.tensor(3.0)), scale=jg.tensor(5.0))),
    "cached property": (lambda p: p.square * p.a, cached),
    "slots": (lambda s: s.a * s.b, lambda: two(Slotted)),
    "private slots": (Private.value, lambda: Private([jg.tensor(2.0)]).of(jg.tensor(4.0))),
    "ordered dict": (lambda d: next(iter(d.values())) * 10 + list(d.values())[1] ** 2, reordered),
    "default dict": (lambda d: d["a"] * d["none"], lambda: collections.defaultdict(four, a=jg.tensor(2.0))),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("guard", [False, True])
def test_an_argument_stays_of_its_class(name, guard):
    function, make = CASES[name]
    compiled = jg.jit(function, guard=guard)
    assert [compiled(make()).item() for _ in range(3)] == [function(make()).item()] * 3


@pytest.mark.parametrize("name", CASES)
def test_a_result_stays_of_its_class(name):
    make = CASES[name][1]
    compiled = jg.jit(lambda x: x)
    for _ in range(3):
        found = compiled(make())
        assert type(found) is type(make())
        assert found.__reduce_ex__(2)[0] is make().__reduce_ex__(2)[0]
        assert repr(found) == repr(make())


@pytest.mark.parametrize("name", CASES)
def test_a_gradient_is_of_the_class_of_its_argument(name):
    function, make = CASES[name]
    found, compiled = jg.grad(function)(make()), jg.jit(jg.grad(function))
    assert type(found) is type(make())
    for _ in range(3):
        assert repr(compiled(make())) == repr(found)
        assert repr(getattr(compiled(make()), "__dict__", None)) == repr(getattr(found, "__dict__", None))


def test_cached_properties_have_derivatives():
    assert jg.grad(lambda p: p.square * p.a)(cached()).a.item() == 27.0


def test_other_attributes_are_another_kind_of_argument():
    compiled = jg.jit(Plain.scaled)
    held = Plain(jg.tensor(3.0))
    assert compiled(held).item() == 3.0
    for scale in (2.0, 4.0):
        held.scale = scale
        assert compiled(held).item() == 3.0 * scale
    assert compiled(Plain(jg.tensor(3.0))).item() == 3.0


def test_keys_of_items_and_names_of_attributes_differ():
    compiled = jg.jit(lambda d: d.get("a", 0.0) + 10 * getattr(d, "a", 0.0))

    class Kind(dict):
        pass

    item, attribute = Kind(a=1.0), Kind()
    attribute.a = 1.0
    assert [compiled(item), compiled(attribute), compiled(copy.copy(item))] == [1.0, 10.0, 1.0]


def test_vmap_over_a_class_of_dicts():
    found = jg.vmap(lambda d: d.a * d.b)(Named(a=jg.arange(3.0), b=jg.ones(3)))
    assert found.tolist() == [0.0, 1.0, 2.0]
    found = jg.vmap(lambda d: d.a * d.b, ({"a": 0, "b": None},))
    with pytest.raises(ValueError, match=r"Named\{'a': \*, 'b': \*\}"):
        found(Named(a=jg.arange(3.0), b=jg.ones(())))
    assert jg.vmap(lambda d: d.a * d.b, (Named(a=0, b=None),))(Named(a=jg.arange(3.0), b=jg.ones(()))).tolist() == [0, 1, 2]


@pytest.mark.parametrize("transform", [jg.jit, jg.grad, lambda f: jg.jit(jg.grad(f)), jg.vmap, jg.hessian])
@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(b=d["a"] * 2) or d["b"],
        lambda d: d.pop("a") * 1,
        lambda d: d.__setitem__("a", d["a"] * 2) or d["a"],
        lambda d: d["l"].append(d["a"]) or d["a"] * 1,
        lambda d: setattr(d["o"], "a", d["a"]) or d["a"] * 1,
    ],
)
def test_changes_of_containers_are_refused(transform, change):
    x = jg.arange(3.0) if transform is jg.vmap else jg.tensor(2.0)
    function = transform(lambda d: change(d) * 1)
    with pytest.raises(MutatedArgumentError, match=r"change a copy"):
        function({"a": x, "l": [x], "o": Plain(x)})
    own = transform(lambda d: change({"a": d["a"] * 1, "l": [], "o": Plain(0.0)}) * 1)
    own({"a": x, "l": [x], "o": Plain(x)})


def test_equal_keys_and_values_of_other_kinds_are_other_arguments():
    x = jg.tensor(1.0)
    compiled = jg.jit(lambda d: {key: value * 2 for key, value in d.items()})
    for _ in range(2):
        for key in (1, True, 1.0, 0.0, -0.0, (1, 2), (True, 2)):
            assert repr(list(compiled({key: x}))) == repr([key])
    shown = jg.jit(lambda x, given: (x, repr(given)))
    for given in (
        frozenset({1}),
        frozenset({True}),
        range(0),
        range(3, 1),
        0j,
        complex(0, -0.0),
        Decimal("1.0"),
        Decimal("1.00"),
    ):
        assert shown(x, given)[1] == repr(given)


def test_properties_are_passed_by():
    class Tenfold(list):
        @property
        def n(self):
            return self.__dict__["n"] * 10

        @n.setter
        def n(self, value):
            self.__dict__["n"] = value

    held = Tenfold([jg.tensor(3.0)])
    held.n = 2.0
    function = lambda held: held[0] * held.n
    assert [jg.jit(function)(held).item() for _ in range(3)] == [60.0] * 3
    assert jg.grad(function)(held)[0].item() == 20.0
