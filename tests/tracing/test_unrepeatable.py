"""What cannot be looked at again is found while jit records: an error or a warning, and never a frozen value in silence."""

from __future__ import annotations

import cProfile
import csv
import datetime
import functools
import io
import itertools
import math
import os
import pathlib
import random
import secrets
import sys
import time
import uuid
import warnings
from random import gauss
from time import perf_counter as clock

import numpy as np
import pytest
from numpy.random import default_rng, rand

import jitgrad as jg
from jitgrad.errors import FrozenValueWarning, TracedValueError

GENERATOR, OLD, PYTHONS = np.random.default_rng(0), np.random.RandomState(0), random.Random(0)
NORMAL = GENERATOR.normal


class Holder:
    """Draws, counts and reads in methods."""

    def __init__(self):
        self.generator, self.counter = np.random.default_rng(1), itertools.count()

    def draw(self):
        return float(self.generator.normal())

    def count(self):
        return next(self.counter)


HOLDER = Holder()


def helper(x):
    return deeper(x)


def deeper(x):
    return x * random.random()


DRAWS = {
    "a generator": lambda x: x * GENERATOR.standard_normal(2),
    "integers": lambda x: x * GENERATOR.integers(9),
    "a permutation": lambda x: x * GENERATOR.permutation(2),
    "raw bits": lambda x: x * GENERATOR.bit_generator.random_raw(),
    "a method of one": lambda x: x * NORMAL(),
    "in map": lambda x: x * next(map(GENERATOR.normal, [0])),
    "in partial": lambda x: x * functools.partial(GENERATOR.normal, 0)(),
    "np.random": lambda x: x * np.random.normal(),
    "imported": lambda x: x * rand(),
    "RandomState": lambda x: x * OLD.rand(),
    "a new generator": lambda x: x * default_rng().normal(),
    "random": lambda x: x * random.random(),
    "random imported": lambda x: x * gauss(0, 1),
    "choice": lambda x: x * random.choice([1, 2]),
    "Random": lambda x: x * PYTHONS.random(),
    "a new Random": lambda x: x * random.Random().random(),
    "SystemRandom": lambda x: x * random.SystemRandom().random(),
    "secrets": lambda x: x * secrets.randbelow(9),
    "uuid": lambda x: x * (uuid.uuid4().int % 9),
    "urandom": lambda x: x * os.urandom(1)[0],
    "a method": lambda x: x * HOLDER.draw(),
    "a helper of a helper": helper,
    "under grad": jg.grad(lambda x: (x * GENERATOR.normal()).sum()),
    "under vmap": jg.vmap(lambda x: x * GENERATOR.normal()),
    "in a loop": lambda x: jg.fori_loop(0, 3, lambda i, c: c * GENERATOR.normal(), x),
}


def endless():
    while True:
        yield 1.0


ITERATORS = {
    "a generator": endless,
    "an expression": lambda: (v for v in [1.0] * 9),
    "a list": lambda: iter([1.0] * 9),
    "a dict": lambda: iter(dict.fromkeys(range(9))),
    "zip": lambda: map(sum, zip([1.0] * 9, [2.0] * 9)),
    "map": lambda: map(float, [1.0] * 9),
    "count": itertools.count,
    "cycle": lambda: itertools.cycle([1.0, 2.0]),
    "chain": lambda: itertools.chain([1.0] * 9),
    "a range": lambda: iter(range(9)),
    "reversed": lambda: reversed([1.0] * 9),
    "lines": lambda: map(len, io.StringIO("a\n" * 9)),
}

READS = {
    "time": lambda x: x * time.time(),
    "perf_counter": lambda x: x * clock(),
    "monotonic_ns": lambda x: x * time.monotonic_ns(),
    "localtime": lambda x: x * time.localtime().tm_min,
    "now": lambda x: x * datetime.datetime.now().hour,
    "now with a zone": lambda x: x * datetime.datetime.now(datetime.UTC).hour,
    "today": lambda x: x * datetime.date.today().day,
    "a file": lambda x: x * len(open(__file__).readline()),  # noqa: SIM115
    "a path": lambda x: x * len(pathlib.Path(__file__).read_text()),
    "getpid": lambda x: x * os.getpid(),
    "listdir": lambda x: x * len(os.listdir(".")),
    "a size": lambda x: x * os.path.getsize(__file__),
}

PURE = {
    "a seed": lambda x: x * np.random.default_rng(0).normal(),
    "a seed of Python's": lambda x: x * random.Random(0).random(),
    "an iterator of its own": lambda x: x * next(iter([2.0])) * sum(v for _, v in enumerate([1.0, 2.0])),
    "pi": lambda x: x * math.pi,
    "a path": lambda x: x * len(os.path.join("a", "b")),
    "a date": lambda x: x * datetime.datetime(2020, 1, 1).year,
    "memory": lambda x: x * len(io.StringIO("abc").read()),
    "an error that is not": lambda x: x if x.ndim else x * time.time(),
}


@pytest.mark.parametrize("guard", [False, True])
@pytest.mark.parametrize("f", DRAWS.values(), ids=DRAWS.keys())
def test_random_numbers_are_an_error(f, guard):
    for compiled in (jg.jit(f, guard=guard), jg.jit(jg.grad(lambda x: f(x).sum()), guard=guard)):
        for _ in range(2):
            with pytest.raises(TracedValueError, match="random numbers"):
                compiled(jg.ones(2))


@pytest.mark.parametrize("guard", [False, True])
@pytest.mark.parametrize("make", ITERATORS.values(), ids=ITERATORS.keys())
def test_advancing_an_iterator_from_outside_is_an_error(make, guard):
    given, held = make(), {"in a dict": [make()]}
    for f in (lambda x: x * next(given), lambda x: x * next(held["in a dict"][0]), lambda x: x * len([*zip("a", given)])):
        with pytest.raises(TracedValueError, match="iterator"):
            jg.jit(f, guard=guard)(jg.ones(2))
    with pytest.raises(TracedValueError, match="iterator"):
        jg.jit(lambda x, it: x * next(it), guard=guard)(jg.ones(2), make())
    next(given)


def test_counting_in_a_method_is_an_error():
    with pytest.raises(TracedValueError, match="iterator"):
        jg.jit(lambda x: x * HOLDER.count())(jg.ones(2))


def test_input_is_an_error(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("1\n"))
    with pytest.raises(TracedValueError, match="ask outside"):
        jg.jit(lambda x: x * float(input()))(jg.ones(2))


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize("f", READS.values(), ids=READS.keys())
def test_clocks_and_files_warn_at_the_line_that_reads_them(f):
    with pytest.warns(FrozenValueWarning, match="stays as it was") as told:
        jg.jit(f)(jg.ones(2))
    ours = [warning for warning in told if warning.category is FrozenValueWarning]
    assert {warning.filename for warning in ours} == {__file__}
    assert {warning.lineno for warning in ours} == {f.__code__.co_firstlineno}


@pytest.mark.parametrize("f", PURE.values(), ids=PURE.keys())
def test_what_is_the_same_each_time_is_fine(f):
    assert jg.jit(f)(jg.ones(2)).tolist() == pytest.approx(f(jg.ones(2)).tolist())


def test_an_error_that_the_function_catches_is_raised_still():
    def f(x):
        try:
            return x * random.random()
        except TypeError:
            return x

    with pytest.raises(TracedValueError):
        jg.jit(f)(jg.ones(2))


def test_the_hook_of_a_profiler_is_put_back():
    calls = []
    hook = lambda *event: calls.append(event)
    sys.setprofile(hook)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            jg.jit(lambda x: x * time.time())(jg.ones(2))
        assert sys.getprofile() is hook
    finally:
        sys.setprofile(None)
    assert any(event == "c_call" and what is time.time for _, event, what in calls)
    with cProfile.Profile() as profile:
        jg.jit(lambda x: x * len(os.path.join("a", "b")))(jg.ones(2))
    assert any(getattr(entry.code, "co_name", "") == "join" for entry in profile.getstats())


def test_ordinary_functions_are_recorded_without_a_hook():
    found = []

    def f(x):
        found.append(sys.getprofile())
        return jg.exp(x) * np.pi

    jg.jit(lambda x: f(x))(jg.ones(2))
    assert len(found) == 1


def test_advancing_an_iterator_by_a_library_is_an_error(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n3,4\n")
    with (tmp_path / "a.csv").open() as file:
        rows = csv.DictReader(file)
        with pytest.raises(TracedValueError, match="iterator"):
            jg.jit(lambda x: x * float(next(rows)["a"]))(jg.ones(2))
        assert jg.jit(lambda x: x * len(rows.fieldnames))(jg.ones(2)).tolist() == [2.0, 2.0]


def test_an_iterator_of_the_users_own_is_looked_into():
    class Count:
        def __init__(self):
            self.n = 0

        def __iter__(self):
            return self

        def __next__(self):
            self.n += 1
            return self.n

    count = Count()
    f = jg.jit(lambda x: x * next(count))
    assert [float(f(jg.tensor(1.0))) for _ in range(4)] == [1.0, 2.0, 3.0, 4.0]
