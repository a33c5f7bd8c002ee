"""Errors in words: of functions of the user's, of threads, of arguments that are none."""

import copy
import math
import pickle
import threading

import numpy as np
import pytest
import scipy.special
from numba import njit

import jitgrad as jg
from jitgrad.errors import LeakedTraceError, StaticArgumentError, TracedValueError


@njit
def picky(x):
    if x[0] > 0:
        raise ValueError("too large")
    return x * 2


@njit
def two(x):
    return x, x * 2


def test_a_users_exception_stays_as_it_is():
    f, x = jg.from_njit(picky), jg.ones(2)
    for call in (f, jg.jit(f)):
        with pytest.raises(ValueError, match=r"^too large(\n|$)"):
            call(x)
    with pytest.raises(ValueError, match=r"^too large(\n|$)"):
        jg.vmap(f)(jg.ones(2, 2))
    assert f(-x).tolist() == [-2.0, -2.0]


def test_a_function_of_numbas_that_returns_a_tuple_is_refused_in_words():
    f = jg.from_njit(two)
    for call in (f, f, jg.jit(f)):
        with pytest.raises(TypeError, match="two returns a tuple"):
            call(jg.ones(2))


CURES = [
    (lambda x: math.fmod(x[0], x[1]), r"jitgrad\.fmod"),
    (lambda x: math.remainder(x[0], x[1]), r"round\(a / b\)"),
    (lambda x: math.gamma(x[0]), "x > 0"),
    (lambda x: scipy.special.logsumexp(x), r"jitgrad\.logsumexp"),
    (lambda x: scipy.special.softmax(x), r"jitgrad\.softmax"),
    (lambda x: scipy.special.airy(x), r"^scipy\.special\.airy.*SciPy's own"),
]


@pytest.mark.parametrize(("f", "told"), CURES)
def test_cures_give_the_same_numbers(f, told):
    with pytest.raises(TracedValueError, match=told):
        jg.jit(f)(jg.ones(2))


def test_formulas_of_the_cures():
    for a in (7.5, -7.5, 3.0, -0.25):
        for b in (2.0, -2.0, 0.7):
            x, y = jg.tensor(a, dtype=jg.float64), jg.tensor(b, dtype=jg.float64)
            assert math.isclose((x - y * jg.trunc(x / y)).item(), math.fmod(a, b), abs_tol=1e-12)
            assert math.isclose((x - y * jg.round(x / y)).item(), math.remainder(a, b), abs_tol=1e-12)


def test_a_thread_inside_of_a_recorded_function_is_named():
    def f(x):
        found = []

        def work():
            for attempt in (lambda: x * 2, lambda: x.item(), lambda: x.add_(1)):
                try:
                    attempt()
                except LeakedTraceError as error:
                    found.append(str(error))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert ["another thread" in text for text in found] == [True] * 3
        return x

    jg.jit(f)(jg.ones(2))
    jg.vmap(f)(jg.ones(2))


def test_config_is_one():
    assert copy.copy(jg.config) is copy.deepcopy(jg.config) is pickle.loads(pickle.dumps(jg.config)) is jg.config


def setting():
    jg.zeros(2, dtype=jg.int64)[0] = 2**63


WRONG = [
    (lambda: jg.arctan2(jg.ones(2), jg.float32), TypeError, "DType"),
    (setting, RuntimeError, "beyond int64"),
    (lambda: jg.ones(2).is_floating_point(3), TypeError, "^is_floating_point"),
    (lambda: pow(jg.tensor(3), 2, 5), TypeError, r"x \*\* y % z"),
    (lambda: jg.ones(2) * [jg.tensor(1), jg.tensor(2)], TypeError, "cannot compute with list.*stack"),
    (lambda: [jg.tensor(1.0)] * jg.tensor(2.0), TypeError, "cannot compute with list"),
    (lambda: np.power(jg.tensor([2]), jg.tensor([-1])), ValueError, "negative integer powers"),
    (lambda: np.mean(jg.tensor(2.0), axis=0), np.exceptions.AxisError, "axis 0 is out of bounds"),
    (lambda: jg.custom_vjp(), TypeError, "parentheses"),
    (lambda: jg.custom_jvp(), TypeError, "parentheses"),
    (lambda: jg.jit(lambda m: m)(memoryview(bytearray(3))), StaticArgumentError, "memoryview"),
    (lambda: jg.load_compiled(b"nowhere"), FileNotFoundError, "nowhere"),
    (lambda: jg.manual_seed(math.nan), ValueError, "nan"),
    (lambda: jg.manual_seed(math.inf), ValueError, "inf"),
    (lambda: jg.jit(lambda n: jg.ones(2) * n)(10**400), RuntimeError, "beyond"),
    (lambda: jg.ones(2) * 10**400, RuntimeError, "beyond"),
]


@pytest.mark.parametrize(("call", "kind", "told"), WRONG)
def test_wrong_arguments_in_words(call, kind, told):
    with pytest.raises(kind, match=told):
        call()
