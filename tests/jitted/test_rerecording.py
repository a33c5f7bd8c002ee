"""What jit cannot look at: a function that reaches it is recorded again now and then, and must come out the same."""

from __future__ import annotations

import builtins
import configparser
import contextlib
import csv
import ctypes
import decimal
import io
import logging
import operator
import queue
import sys
import threading
import weakref
from collections import defaultdict

import numba
import numpy as np
import pytest

import jitgrad as jg
from jitgrad.errors import TracedValueError


@numba.njit
def drawn():
    return np.random.rand()


class Cell:
    def __init__(self, k=2.0):
        self.k = k


class Filling(dict):
    def __missing__(self, key):
        return self.k


class Measure(float):
    pass


def with_a_queue(_):
    numbers = queue.Queue()
    for i in range(9):
        numbers.put(float(i))
    return lambda x: x * numbers.get()


def with_an_asking_iterator(_):
    numbers = queue.SimpleQueue()
    for i in range(9):
        numbers.put(float(i))
    each = iter(numbers.get, None)
    return lambda x: x * next(each)


def with_a_counting_array(_):
    count = np.zeros(2)

    def counted(x):
        count[0] += 1
        return x * float(count[0])

    return counted


def with_a_table(_):
    rows = csv.reader(io.StringIO("1\n2\n3\n4\n5\n"))
    return lambda x: x * float(next(rows)[0])


def with_a_flat_iterator(_):
    each = np.arange(9.0).flat
    return lambda x: x * float(next(each))


def with_compiled_draws(_):
    return lambda x: x * drawn()


GIVES_SOMETHING_ELSE = {
    make.__name__: make
    for make in (
        with_a_queue,
        with_an_asking_iterator,
        with_a_counting_array,
        with_a_table,
        with_a_flat_iterator,
        with_compiled_draws,
    )
}


@pytest.mark.parametrize("guard", [False, True])
@pytest.mark.parametrize("make", GIVES_SOMETHING_ELSE.values(), ids=GIVES_SOMETHING_ELSE)
def test_what_gives_something_else_each_time_is_an_error_at_the_second_call(make, guard):
    f = jg.jit(make(None), guard=guard)
    f(jg.tensor([1.0, 2.0]))
    with pytest.raises(TracedValueError, match=r"recorded again .* instead of"):
        f(jg.tensor([1.0, 2.0]))


def in_a_library():
    """Pairs of a function and what changes the state that it reads, which no code of its own shows."""
    parser = configparser.ConfigParser()
    parser["a"] = {"k": "2"}
    yield "configparser", lambda x: x * parser.getfloat("a", "k"), lambda: parser.set("a", "k", "3")
    logger = logging.getLogger("jitgrad tests")
    logger.setLevel(10)
    yield "logging", lambda x: x * (2.0 if logger.isEnabledFor(20) else 3.0), lambda: logger.setLevel(40)
    event = threading.Event()
    yield "threading", lambda x: x * (2.0 if event.is_set() else 3.0), event.set
    number = ctypes.c_double(2.0)
    yield "ctypes", lambda x: x * number.value, lambda: setattr(number, "value", 3.0)
    polynomial = np.polynomial.Polynomial([1.0, 2.0])
    yield "Polynomial", lambda x: x * polynomial(1.0), lambda: operator.setitem(polynomial.coef, 0, 5.0)
    old = np.poly1d([1.0, 2.0])
    yield "poly1d", lambda x: x * old(1.0), lambda: operator.setitem(old.coeffs, 0, 5.0)
    scale = [2.0]
    vectorized = np.vectorize(lambda v: v * scale[0])
    yield "vectorize", lambda x: x * vectorized(np.ones(1)), lambda: operator.setitem(scale, 0, 3.0)
    ufunc = np.frompyfunc(lambda v: v * scale[0], 1, 1)
    yield "frompyfunc", lambda x: x * float(ufunc(1.0)), lambda: operator.setitem(scale, 0, 4.0)
    typed = numba.typed.List([2.0])
    yield "typed list", lambda x: x * typed[0], lambda: operator.setitem(typed, 0, 3.0)
    arguments = sys.argv
    yield "argv", lambda x: x * len(sys.argv), lambda: arguments.append("one more")


@pytest.mark.parametrize("name", [name for name, *_ in in_a_library()])
def test_state_that_a_library_holds_is_asked_for_again(name, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["one"])
    function, change = next(found[1:] for found in in_a_library() if found[0] == name)
    f, x = jg.jit(function), jg.tensor([1.0, 2.0])
    assert f(x).tolist() == function(x).tolist()
    change()
    with pytest.raises(TracedValueError, match="recorded again"):
        f(x)


def test_settings_of_libraries_are_asked_for_again():
    with decimal.localcontext() as context:
        context.prec = 5
        f, x = jg.jit(lambda x: x * float(decimal.Decimal(1) / 3)), jg.tensor(1.0)
        f(x)
        context.prec = 3
        with pytest.raises(TracedValueError, match="decimal"):
            f(x)
    f = jg.jit(lambda x: x * len(np.geterr()["divide"]))
    f(x)
    with np.errstate(divide="raise"), pytest.raises(TracedValueError, match="geterr"):
        f(x)


def test_a_function_that_comes_out_the_same_is_recorded_ever_less_often():
    lock = threading.Lock()

    def locked(x):
        with lock:
            return x * np.linspace(0.0, 1.0, 100).sum() + jg.tensor(np.linspace(0.0, 1.0, 100)).sum(), 0.1 * 3

    f = jg.jit(locked)
    for _ in range(100):
        assert f(jg.tensor(2.0))[1] == 0.1 * 3
    assert 3 <= f._compiled.recorded <= 8


def test_a_function_that_reaches_nothing_else_is_recorded_again_once_and_then_seldom():
    data = np.arange(5.0)
    f = jg.jit(lambda x: (x * data * np.sqrt(2.0)).sum() + sum(map(abs, (1.0, 2.0))))
    for _ in range(1000):
        f(jg.tensor(2.0))
    assert 2 <= f._compiled.recorded <= 8


def moved_in_sight():
    def inner(x, k=2.0, *, j=1.0):
        return x * k * j

    def three(x, k=2.0, *, j=1.0):
        return x * 3

    def outer(x):
        return inner(x)

    yield "defaults", outer, lambda: setattr(inner, "__defaults__", (3.0,))
    yield "keyword defaults", outer, lambda: setattr(inner, "__kwdefaults__", {"j": 3.0})
    yield "code", outer, lambda: setattr(inner, "__code__", three.__code__)
    builtins.k_of_tests = 2.0
    yield "builtins", lambda x: x * k_of_tests, lambda: setattr(builtins, "k_of_tests", 3.0)  # noqa: F821
    cell = Cell()
    proxy = weakref.proxy(cell)
    yield "proxy", lambda x, cell=cell: x * proxy.k, lambda: setattr(cell, "k", 3.0)
    filling = Filling()
    filling.k = 2.0
    yield "missing", lambda x: x * filling["u"], lambda: setattr(filling, "k", 3.0)
    measure = Measure(1.0)
    measure.k = 2.0
    yield "float", lambda x: x * measure.k, lambda: setattr(measure, "k", 3.0)
    made = defaultdict(lambda: cell.k)
    yield "factory", lambda x: x * made.copy()["u"], lambda: setattr(cell, "k", 4.0)


@pytest.mark.parametrize("name", [name for name, *_ in moved_in_sight()])
def test_what_code_of_the_user_reads_is_looked_at_at_every_call(name):
    function, change = next(found[1:] for found in moved_in_sight() if found[0] == name)
    f, x = jg.jit(function), jg.tensor([1.0, 2.0])
    before = f(x).tolist()
    for _ in range(3):  # until no recording is due
        assert f(x).tolist() == function(x).tolist() == before
    change()
    assert f(x).tolist() == function(x).tolist() != before


@pytest.mark.parametrize("guard", [False, True])
def test_the_grad_mode_of_the_caller_is_looked_at(guard):
    f, x = jg.jit(lambda x: x * (2.0 if jg.is_grad_enabled() else 3.0), guard=guard), jg.tensor(1.0)
    for _ in range(3):
        assert f(x).item() == 2.0
        with jg.no_grad():
            assert f(x).item() == 3.0


@pytest.mark.parametrize("guard", [False, True])
@pytest.mark.parametrize("first", [jg.no_grad, jg.enable_grad])
def test_it_does_not_matter_for_gradients_in_which_mode_the_first_call_was(first, guard):
    def cut(x):
        with jg.no_grad():
            y = x * 2
        return (x * y).sum()

    f, x = jg.jit(cut, guard=guard), jg.tensor([1.0, 2.0], requires_grad=True)
    with first():
        f(x)
    f(x).backward()
    assert x.grad.tolist() == [2.0, 4.0]


def hidden():
    """Pairs of a function and what changes something that it reads where nobody looks."""
    plain = Cell()

    def asked(x):
        try:
            return x * plain.q
        except AttributeError:
            return x * 5.0

    yield "a missing attribute", asked, lambda: setattr(plain, "q", 1.0)

    class Called:
        def __call__(self):
            return 2.0

        @property
        def slow(self):
            return 2.0

        def __getattr__(self, name):
            return 2.0

    called = Called()
    yield "a special method", lambda x: x * called(), lambda: setattr(Called, "__call__", lambda self: 3.0)
    yield "a property", lambda x: x * called.slow, lambda: setattr(Called, "slow", property(lambda self: 3.0))
    yield "an attribute instead of __getattr__", lambda x: x * called.other, lambda: setattr(called, "other", 7.0)

    class One:
        pass

    class Other:
        pass

    one = One()
    yield "the class", lambda x: x * (2.0 if isinstance(one, One) else 3.0), lambda: setattr(one, "__class__", Other)
    kept = [Cell()]
    reference = weakref.ref(kept[0])
    yield "a dead reference", lambda x: x * (2.0 if reference() is None else 3.0), kept.clear
    error = ValueError(2.0)
    yield "an exception", lambda x: x * error.args[0], lambda: setattr(error, "args", (3.0,))
    flagged = np.ones(2)
    yield "a flag", lambda x: x * (2.0 if flagged.flags.writeable else 3.0), lambda: flagged.setflags(write=False)
    objects = np.empty(1, object)
    objects[0] = {"v": 2.0}
    yield "an array of objects", lambda x: x * objects[0]["v"], lambda: operator.setitem(objects[0], "v", 3.0)


@pytest.mark.parametrize("name", [name for name, *_ in hidden()])
def test_what_nobody_looks_at_is_found_at_the_second_call(name):
    function, change = next(found[1:] for found in hidden() if found[0] == name)
    f, x = jg.jit(function), jg.tensor([1.0, 2.0])
    assert f(x).tolist() == function(x).tolist()
    change()
    with contextlib.suppress(TracedValueError):  # an error will do, a former value will not
        assert f(x).tolist() == function(x).tolist()
