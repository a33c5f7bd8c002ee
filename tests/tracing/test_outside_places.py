"""Places where what a function reads from outside may be: containers, caches, arguments of helpers, modules."""

from __future__ import annotations

import collections
import contextlib
import contextvars
import dataclasses
import enum
import functools
import os
import sys
import threading
import types
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
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


class Owner:
    """Something with attributes, to which there are weak references."""

    k = 2.0


@pytest.mark.parametrize(
    "make",
    [
        lambda: collections.UserDict(k=2.0),
        lambda: type("Own", (collections.UserDict,), {})(k=2.0),
        lambda: collections.ChainMap({}, {"k": 2.0}),
        lambda: collections.OrderedDict(k=2.0),
        lambda: collections.Counter(k=2),
        lambda: collections.defaultdict(float, k=2.0),
        lambda: {"k": 2.0},
        lambda: collections.UserList([2.0]),
        lambda: [2.0],
        lambda: bytearray(b"\2"),
        lambda: memoryview(bytearray(b"\2")),
        lambda: collections.deque([2.0]),
    ],
)
def test_items_of_all_kinds_of_containers_are_looked_at_again(make):
    held = make()
    key = "k" if hasattr(held, "keys") else 0
    f = jg.jit(lambda x: x * held[key])
    for now in (2, 3, 2):
        held[key] = now
        assert [float(f(jg.tensor(1.0))) for _ in range(2)] == [now, now]


@case
def _a_mapping_proxy():
    held = {"k": 2.0}
    proxy = types.MappingProxyType({"inner": types.MappingProxyType(held)})
    return (lambda x: x * proxy["inner"]["k"]), lambda: held.update(k=3.0)


@case
def _the_values_of_a_dict():
    held = {"k": 2.0}
    values = held.values()
    return (lambda x: x * sum(values)), lambda: held.update(k=3.0)


@case
def _a_later_map_of_a_chain():
    last = {"k": 2.0}
    chain = collections.ChainMap({}, last)
    return (lambda x: x * chain["k"]), lambda: last.update(k=3.0)


@case
def _a_weak_dict():
    KEPT.append(Owner())
    KEPT[-1].k = 2.0
    held = weakref.WeakValueDictionary(a=KEPT[-1])
    return (lambda x: x * held["a"].k), setting(KEPT[-1])


@case
def _a_weak_reference():
    KEPT.append(Owner())
    reference = weakref.ref(KEPT[-1])
    KEPT[-1].k = 2.0
    return (lambda x: x * reference().k), setting(KEPT[-1])


@case
def _an_array_of_objects():
    owner = holder(k=2.0)
    held = np.array([owner], object)
    return (lambda x: x * held[0].k), setting(owner)


@case
def _a_context_variable():
    variable = contextvars.ContextVar("variable", default=2.0)
    return (lambda x: x * variable.get()), lambda: variable.set(3.0)


@case
def _the_thread():
    local = threading.local()
    local.k = 2.0
    return (lambda x: x * local.k), setting(local)


@case
def _a_cached_object():
    @functools.cache
    def settings(i):
        return holder(k=2.0)

    return (lambda x: x * settings(1).k), lambda: setattr(settings(1), "k", 3.0)


@case
def _an_argument_of_a_helper():
    owner = holder(k=2.0)

    def scaled(x, what):
        return x * what.k

    return (lambda x: scaled(x, owner)), setting(owner)


@case
def _what_a_helper_returns():
    owner = holder(k=2.0)
    return (lambda x: x * (lambda: owner)().k), setting(owner)


@case
def _a_registry():
    owner = holder(k=2.0)
    registry = {"a": [lambda x: x * owner.k]}
    return (lambda x: registry["a"][0](x)), setting(owner)


@case
def _single_dispatch():
    owner = holder(k=2.0)
    scaled = functools.singledispatch(lambda x: x * owner.k)
    return (lambda x: scaled(x)), setting(owner)


@case
def _a_member_of_an_enum():
    kinds = enum.Enum("kinds", ["A"])
    kinds.A.k = 2.0
    return (lambda x: x * kinds.A.k), setting(kinds.A)


@case
def _slots_by_name():
    class Slotted:
        __slots__ = ("k",)

    owner, name = Slotted(), "k"
    owner.k = 2.0
    return (lambda x: x * getattr(owner, name)), setting(owner)


@case
def _getattr_of_the_users():
    class Owner:
        def __init__(self):
            self.held = {"k": 2.0}

        def __getattr__(self, name):
            return self.held[name]

    owner = Owner()
    return (lambda x: x * owner.k), lambda: owner.held.update(k=3.0)


@case
def _an_import_inside():
    module = sys.modules["a_module_of_the_user"] = types.ModuleType("a_module_of_the_user")
    module.k = 2.0

    def f(x):
        import a_module_of_the_user
        from a_module_of_the_user import k

        return x * (a_module_of_the_user.k + k) / 2

    return f, setting(module)


@case
def _an_attribute_of_a_function():
    def scaled(x):
        return x * scaled.k

    scaled.k = 2.0
    return (lambda x: scaled(x)), setting(scaled)


@dataclasses.dataclass
class Fields:
    a: float = 1.0
    k: float = 2.0


@case
def _the_fields_of_a_dataclass():
    fields = Fields()

    def f(x):
        for field in dataclasses.fields(fields):
            x = x * getattr(fields, field.name)
        return x

    return f, setting(fields)


@case
def _a_pattern():
    fields = Fields()

    def f(x):
        match fields:
            case Fields(k=found):
                return x * found

    return f, setting(fields)


@case
def _the_environment():
    os.environ["JITGRAD_TEST_K"] = "2"
    return (lambda x: x * float(os.environ["JITGRAD_TEST_K"])), lambda: os.environ.update(JITGRAD_TEST_K="3")


@case
def _getenv():
    os.environ.pop("JITGRAD_TEST_L", None)
    return (lambda x: x * float(os.getenv("JITGRAD_TEST_L", "2"))), lambda: os.environ.update(JITGRAD_TEST_L="3")


@case
def _an_attribute_beside_that_of_the_class():
    owner = Owner()
    return (lambda x: x * owner.k), setting(owner)


@case
def _a_key_function():
    owners = [holder(k=2.0), holder(k=1.0)]
    return (lambda x: x * max(owners, key=lambda owner: owner.k).k), setting(owners[0])


@case
def _a_context_manager():
    owner = holder(k=2.0)

    @contextlib.contextmanager
    def factor():
        yield owner.k

    def f(x):
        with factor() as k:
            return x * k

    return f, setting(owner)


@case
def _a_decorated_function():
    owner = holder(k=2.0)

    def scaled(function):
        return functools.wraps(function)(lambda *args: function(*args) * owner.k)

    return scaled(lambda x: x), setting(owner)


@case
def _a_global_that_comes_later():
    globals().pop("LATER", None)

    def f(x):
        return x * globals().get("LATER", 2.0)

    return f, lambda: globals().update(LATER=3.0)


def same(read: Callable, one: Any, other: Any) -> tuple:
    held = {"now": one}
    return (lambda x: x * (2.0 if read(held["now"]) else 3.0)), lambda: held.update(now=other)


@case
def _an_equal_list_in_another_place():
    one, other = [1], [1]
    return same(lambda now: now is one, one, other)


@case
def _an_equal_dict_in_another_place():
    one, other = {"a": (1, [2])}, {"a": (1, [2])}
    return same(lambda now: not now is not one, one, other)


@case
def _an_equal_float_in_another_place():
    one, other = float("1.5"), float("1.5")
    return same(lambda now: now is one, one, other)


@case
def _an_equal_list_of_another_id():
    one, other = [1], [1]
    return same(lambda now: id(now) == id(one), one, other)


@pytest.mark.parametrize("guard", [False, True])
@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_what_a_function_reads_is_looked_at_again(make, guard):
    check(make, guard)


def test_what_is_defined_after_the_decorator_is_looked_at_again(monkeypatch):
    monkeypatch.setitem(globals(), "AFTERWARDS", 0.0)
    monkeypatch.delitem(globals(), "AFTERWARDS")
    f = jg.jit(lambda x: x * AFTERWARDS)  # noqa: F821
    for now in (2.0, 3.0):
        monkeypatch.setitem(globals(), "AFTERWARDS", now)
        assert [float(f(jg.tensor(1.0))) for _ in range(2)] == [now, now]


def test_a_state_that_comes_back_is_not_recorded_again():
    owner, x = holder(training=True), jg.tensor(1.0)
    compiled = jg.jit(lambda x: x * (2.0 if owner.training else 3.0))
    tapes = {}
    for training in (True, False) * 4:
        owner.training = training
        assert float(compiled(x)) == (2.0 if training else 3.0)
        assert tapes.setdefault(training, compiled.tape(x)) is compiled.tape(x)


def test_only_what_is_read_is_looked_at():
    owner = holder(scale=2.0, steps=0, log=[])
    f = jg.jit(lambda x: x * owner.scale)
    f(jg.tensor(1.0))
    assert {look.name for look in f._outside._seen.looks} == {"owner", "scale", "default dtype", "__code__"}
