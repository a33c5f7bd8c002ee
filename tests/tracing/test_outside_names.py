"""Names by which a function comes to what it reads from outside: attributes of classes, getattr, vars, globals."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import pytest

import jitgrad as jg
from tests.helpers.outside_places import check, holder, setting

CASES: list[Callable] = []
RATE = RATE_1 = 2.0
KEPT: list[Any] = []


def case(make: Callable) -> Callable:
    """A case makes a function that reads 2.0 from somewhere, and what makes that 3.0."""
    CASES.append(make)
    return make


class Scaled:
    """Reads through its class, in every way that there is."""

    k = 2.0

    @classmethod
    def by_class(cls, x):
        return x * cls.k

    @staticmethod
    def by_name(x):
        return x * Scaled.k

    def by_type(self, x):
        return x * type(self).k

    def by_class_of(self, x):
        return x * self.__class__.k

    def twice(self, x, factor):
        return x * factor * self.k

    once = functools.partialmethod(twice, factor=1.0)


@case
def _classmethod():
    kind = type("Own", (Scaled,), {})
    return (lambda x: kind.by_class(x)), setting(kind)


@pytest.mark.parametrize("name", ["by_class", "by_name", "by_type", "by_class_of", "once"])
def test_class_attributes_are_looked_at_again(name, monkeypatch):
    f = jg.jit(lambda x: getattr(Scaled(), name)(x))
    g = jg.jit(getattr(Scaled(), name))
    for k in (2.0, 3.0, 2.0):
        monkeypatch.setattr(Scaled, "k", k)
        assert [float(f(jg.tensor(1.0))), float(g(jg.tensor(1.0)))] == [k, k]


@case
def _a_descriptor():
    class Stored:
        value = 2.0

        def __get__(self, owner, kind):
            return self.value

    class Owner:
        k = Stored()

    owner = Owner()
    return (lambda x: x * owner.k), lambda: setattr(vars(Owner)["k"], "value", 3.0)


@case
def _a_descriptor_of_the_instance():
    class Field:
        def __set_name__(self, owner, name):
            self.name = "_" + name

        def __get__(self, owner, kind):
            return getattr(owner, self.name)

        def __set__(self, owner, value):
            setattr(owner, self.name, value)

    class Owner:
        k = Field()

    owner = Owner()
    owner.k = 2.0
    return (lambda x: x * owner.k), setting(owner)


class Meta(type):
    """Gives its classes attributes."""

    table: dict

    @property
    def hidden(cls):
        return cls._hidden

    def __getitem__(cls, key):
        return cls.table[key]


@case
def _an_attribute_of_a_metaclass():
    meta = type("Own", (type,), {"k": 2.0})
    kind = meta("Kind", (), {})
    return (lambda x: x * kind.k), setting(meta)


@case
def _a_property_of_a_metaclass():
    kind = Meta("Kind", (), {"_hidden": 2.0})
    return (lambda x: x * kind.hidden), setting(kind, "_hidden")


@case
def _an_item_of_a_class():
    kind = Meta("Kind", (), {"table": {"a": 2.0}})
    return (lambda x: x * kind["a"]), lambda: kind.table.update(a=3.0)


@case
def _getattr():
    owner = holder(k=2.0)
    return (lambda x: x * getattr(owner, "k")), setting(owner)  # noqa: B009


@case
def _getattr_of_a_name_from_outside():
    owner, name = holder(k=2.0), "k"
    return (lambda x: x * getattr(owner, name)), setting(owner)


@case
def _getattr_of_many_names():
    owner, names = holder(a=1.0, b=1.0, k=2.0), ["a", "b", "k"]

    def f(x):
        for name in names:
            x = x * getattr(owner, name)
        return x

    return f, setting(owner)


@case
def _getattr_of_a_name_put_together():
    owner = holder(k0=1.0, k1=2.0)

    def f(x):
        for i in range(2):
            x = x * getattr(owner, f"k{i}")
        return x

    return f, setting(owner, "k1")


@case
def _getattr_in_a_helper():
    owner = holder(k=2.0)

    def read(what, name):
        return getattr(what, name)

    return (lambda x: x * read(owner, "k")), setting(owner)


@case
def _getattr_of_what_is_not_there_yet():
    owner = holder()
    return (lambda x: x * getattr(owner, "k", 2.0)), setting(owner)


@case
def _hasattr():
    owner = holder()
    return (lambda x: x * 3 if hasattr(owner, "k") else x * 2), setting(owner)


@case
def _attrgetter():
    owner, get = holder(inner=holder(k=2.0)), operator.attrgetter("inner.k")
    return (lambda x: x * get(owner)), setting(owner.inner)


@case
def _attrgetter_made_inside():
    owner = holder(inner=holder(k=2.0))
    return (lambda x: x * operator.attrgetter("inner.k")(owner)), setting(owner.inner)


@case
def _methodcaller():
    class Owner:
        def __init__(self):
            self.k = 2.0

        def read(self):
            return self.k

    owner, call = Owner(), operator.methodcaller("read")
    return (lambda x: x * call(owner)), setting(owner)


@case
def _vars():
    owner = holder(k=2.0)
    return (lambda x: x * vars(owner)["k"]), setting(owner)


@case
def _dict():
    owner = holder(k=2.0)
    return (lambda x: x * owner.__dict__["k"]), setting(owner)


def in_globals(name: str, read: Callable) -> tuple:
    globals()[name] = 2.0
    return read, lambda: globals().update({name: 3.0})


@case
def _globals():
    return in_globals("RATE", lambda x: x * globals()["RATE"])


@case
def _globals_of_a_name_put_together():
    return in_globals("RATE_1", lambda x: x * globals()[f"RATE_{len('a')}"])


@case
def _eval():
    return in_globals("RATE", lambda x: x * eval("RATE"))


@pytest.mark.parametrize("guard", [False, True])
@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_what_a_function_reads_is_looked_at_again(make, guard):
    check(make, guard)


def test_classes_that_are_made_where_there_is_no_module_are_looked_at_again():
    scope = {}
    exec("class Made:\n    k = 2.0\n    @classmethod\n    def scaled(cls, x): return x * cls.k\n", scope)
    made = scope["Made"]
    assert made.__module__ == "builtins"
    check(lambda: (lambda x: made.scaled(x), setting(made)), guard=False)


class InDict:
    """What it holds is in a dict, as modules of parameters do it."""

    def __init__(self):
        self._held = {"w": 2.0}

    def __getattr__(self, name):
        if name[:2] == "__":
            raise AttributeError(name)
        return self.__dict__["_held"][name]

    def parameters(self):
        return [self.w]

    def __call__(self, x):
        return x * self.w


def test_a_class_that_looks_attributes_up_itself():
    """Its methods are new objects whenever they are looked at; the search ends all the same, and sees what changes."""
    layer = InDict()
    step = jg.jit(layer)
    assert step(jg.tensor([1.0])).tolist() == [2.0]
    layer._held["w"] = 3.0
    assert step(jg.tensor([1.0])).tolist() == [3.0]
