"""What a function reads by syntax, from defaults and from base classes is looked at again, as everything else from outside."""

from __future__ import annotations

import functools
from collections import deque

import pytest

import jitgrad as jg
from tests.helpers.outside_places import values


class Items:
    """A container of the user's own, and one that inherits from it."""

    bias = 1.0

    def __init__(self):
        self.held = [1.0, 2.0]

    def __getitem__(self, i):
        return self.held[i]

    def __iter__(self):
        return iter(self.held)

    def __len__(self):
        return len(self.held)

    def scaled(self, x):
        return x * self.bias

    @functools.cached_property
    def total(self):
        return sum(self.held)


class MoreItems(Items):
    def scaled(self, x):
        return super().scaled(x) + self.held[0]


def with_defaults(x, held=[1.0], *, named={"deep": [[[[[[2.0]]]]]]}):  # noqa: B006
    return x * held[0] * named["deep"][0][0][0][0][0][0]


def test_what_is_reached_by_syntax_defaults_and_inheritance_is_looked_at_again(monkeypatch):
    items, more, first, numbers, queue, octets = Items(), MoreItems(), [2.0], {1.0, 2.0}, deque([1.0, 2.0], 2), bytearray(b"ab")
    functions = [
        lambda x: x * items[0],
        lambda x: sum(x * v for v in items),
        lambda x: x * len(items),
        more.scaled,
        lambda x: x * Items().bias,
        functools.partial(lambda held, x: x * held[0], first),
        with_defaults,
        lambda x: x * sum(numbers),
        lambda x: x * queue[0],
        lambda x: x * octets[0],
        lambda x: MoreItems().scaled(x),
        lambda x: x * jg.tensor(0.1).double(),
        lambda x: x * items.total,
    ]
    compiled = [(f, jg.jit(f)) for f in functions]
    changes = [
        lambda: None,
        lambda: items.held.append(4.0),
        lambda: items.held.__setitem__(0, 5.0),
        lambda: more.held.__setitem__(0, 5.0),
        lambda: monkeypatch.setattr(Items, "bias", 3.0),
        lambda: first.__setitem__(0, 7.0),
        lambda: with_defaults.__defaults__[0].__setitem__(0, 3.0),
        lambda: with_defaults.__kwdefaults__["named"]["deep"][0][0][0][0][0].__setitem__(0, 9.0),
        lambda: numbers.add(4.0),
        lambda: queue.append(8.0),
        lambda: octets.__setitem__(0, 3),
        lambda: monkeypatch.setattr(Items, "scaled", lambda self, x: x * 17),
        lambda: monkeypatch.setattr(MoreItems, "scaled", lambda self, x: x * 19),
        lambda: setattr(more, "scaled", lambda x: x * 23),
        lambda: monkeypatch.setitem(globals(), "MoreItems", Items),
        lambda: jg.set_default_dtype(jg.float64),
    ]
    try:
        for change in changes:
            change()
            for f, g in compiled:
                expected = float(f(jg.tensor(1.0)))
                assert [float(g(jg.tensor(1.0))) for _ in range(2)] == [expected] * 2
    finally:
        jg.set_default_dtype(jg.float32)


class Empty:
    """Has no attributes yet."""


class Answering:
    def __getattr__(self, name):
        if name[:2] == "__":
            raise AttributeError(name)
        return 2.0


class Computed:
    @property
    def rate(self):
        return 2.0


class Inherited(Computed):
    """Defines nothing itself."""


class Operators:
    def __call__(self, x):
        return x * 2

    def __mul__(self, x):
        return x * 2

    def __getitem__(self, i):
        return 2.0


def where_it_is_missing(owner, x):
    try:
        return x * owner.rate
    except AttributeError:
        return x * 2


def rate_of(owner, x):
    return x * owner.rate


def times_5(self, x):
    return x * 5


COMING = {
    "an attribute that was missing": (Empty, where_it_is_missing, lambda owner: setattr(owner, "rate", 5.0)),
    "one that the class answered for": (Answering, rate_of, lambda owner: setattr(owner, "rate", 5.0)),
    "one that the class comes to have": (Answering, rate_of, lambda owner: setattr(type(owner), "rate", 5.0)),
    "another property": (Computed, rate_of, lambda owner: setattr(type(owner), "rate", property(lambda self: 5.0))),
    "a value for a property": (Computed, rate_of, lambda owner: setattr(type(owner), "rate", 5.0)),
    "a property before that": (Inherited, rate_of, lambda owner: setattr(type(owner), "rate", property(lambda self: 5.0))),
    "another call": (Operators, lambda owner, x: owner(x), lambda owner: setattr(type(owner), "__call__", times_5)),
    "another operator": (Operators, lambda owner, x: owner * x, lambda owner: setattr(type(owner), "__mul__", times_5)),
    "another item": (
        Operators,
        lambda owner, x: x * owner[0],
        lambda owner: setattr(type(owner), "__getitem__", lambda self, i: 5.0),
    ),
}


@pytest.mark.parametrize("name", COMING)
def test_what_comes_to_be_defined_is_looked_at_again(name):
    kind, function, change = COMING[name]
    own = {name: value for name, value in vars(kind).items() if name not in ("__dict__", "__weakref__")}
    owner = type(kind.__name__, kind.__bases__, own)()  # of a class of this test alone, since it is changed
    f = jg.jit(lambda x: function(owner, x))
    x = jg.tensor([1.0, 2.0])
    assert values(f(x)) == values(f(x)) == [2, 4]
    change(owner)
    assert values(f(x)) == values(function(owner, x)) == [5, 10]


def test_a_name_of_pythons_may_come_to_be_a_global(monkeypatch):
    f = jg.jit(lambda x: x * max(2.0, 3.0))
    x = jg.tensor([1.0, 2.0])
    assert values(f(x)) == values(f(x)) == [3, 6]
    monkeypatch.setitem(globals(), "max", min)
    assert values(f(x)) == [2, 4]


def test_the_class_of_an_object_may_be_another():
    class Slow:
        rate = 2.0

    class Fast(Slow):
        pass

    owner = Slow()
    f = jg.jit(lambda x: x * (5.0 if isinstance(owner, Fast) else 2.0))
    x = jg.tensor([1.0, 2.0])
    assert values(f(x)) == values(f(x)) == [2, 4]
    owner.__class__ = Fast
    assert values(f(x)) == [5, 10]
