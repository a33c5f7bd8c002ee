"""Native functions inlined into `@njit` callers: which, that they compute the same, and what Numba's cache keeps of them."""

import gc
import re
import textwrap

import numba
import numpy as np
import pytest

import jitgrad as jg
from jitgrad.native import inlining
from tests.helpers.native_cases import run

RNG = np.random.default_rng(5)


def wave(x):
    return (jg.sin(x) * jg.exp(-x * x)).sum()


NUMBER = jg.value_and_grad(lambda x, y: jg.tanh(x * y) + jg.sin(x)).compile(np.float64(1), np.float64(1))
AGAIN = jg.value_and_grad(lambda x, y: jg.tanh(x * y) + jg.sin(x)).compile(np.float64(1), np.float64(1))
VECTOR = jg.value_and_grad(wave).compile(np.zeros(3))
LARGE = jg.value_and_grad(wave).compile(np.zeros(10_000))


@numba.njit
def newton(x, steps):
    for _ in range(steps):
        value, slope = NUMBER(x, 2.0)
        x = x - value / slope
    return x


def calls(dispatcher, native):
    """How often the machine code of a caller calls the native function, and how often it looks for its address."""
    text = dispatcher.inspect_llvm(dispatcher.signatures[0])
    return len(re.findall(rf"call [^@\n]*@{native.symbol}\(", text)), text.count("@jitgrad_find(")


def test_what_is_inlined():
    assert newton(0.5, 20) == pytest.approx(0)
    assert calls(newton, NUMBER) == (0, 0)
    assert not LARGE.inlined

    @numba.njit
    def through_memory(x):
        return LARGE(x)[0]

    x = RNG.normal(size=10_000)
    assert through_memory(x) == LARGE(x)[0].item()
    assert calls(through_memory, LARGE) != (0, 0)


@numba.njit
def one_after_another(x, xs):
    return NUMBER(x, 2.0), AGAIN(x, 2.0), VECTOR(xs), newton(x, 3)


@numba.njit(parallel=True, nogil=True)
def in_parallel(xs):
    out = np.empty_like(xs)
    for i in numba.prange(len(xs)):
        value, slope = VECTOR(xs[i])
        out[i] = value * slope + NUMBER(xs[i, 0], 1.0)[1]
    return out


@numba.njit(fastmath=True, error_model="numpy")
def with_fast_mathematics(x):
    return NUMBER(x, 2.0)


def test_all_kinds_of_callers():
    @numba.vectorize(["float64(float64)"])
    def vectorized(x):
        return NUMBER(x, 2.0)[1]

    @numba.guvectorize(["(float64[:], float64[:])"], "(n)->(n)")
    def lines(x, out):
        out[:] = VECTOR(x)[1]

    @numba.cfunc("float64(float64)")
    def from_c(x):
        return NUMBER(x, 2.0)[1]

    x, xs = 0.3, RNG.normal(size=(50, 3))
    value, slope = (t.item() for t in NUMBER(np.float64(x), np.float64(2)))
    found = one_after_another(x, xs[0])
    assert found[0] == found[1] == (value, slope)
    assert found[2][0] == VECTOR(xs[0])[0].item()
    want = [VECTOR(row)[0].item() * VECTOR(row)[1].numpy() + NUMBER(row[0], np.float64(1))[1].item() for row in xs]
    np.testing.assert_array_equal(in_parallel(xs), want)
    assert with_fast_mathematics(x) == (value, slope)
    assert vectorized(np.full(4, x)).tolist() == [slope] * 4
    np.testing.assert_array_equal(lines(xs), [VECTOR(row)[1].numpy() for row in xs])
    assert from_c.ctypes(x) == slope
    assert numba.njit(lambda f, x: f(x, 2.0))(NUMBER.njit, x) == (value, slope)


SMOOTH = jg.value_and_grad(lambda x: jg.log(1 / (1 + jg.exp(-x)))).compile(np.float64(0))


@numba.njit
def stored(xs):
    out = np.empty((2, len(xs)))
    for i in range(len(xs)):
        out[0, i], out[1, i] = SMOOTH(xs[i])
    return out


def test_vectorised_loops_compute_the_same_bits():
    xs = np.concatenate([RNG.normal(scale=30, size=200), [0, -0.0, np.inf, -np.inf, np.nan, 1e-310, 710, -745]])
    want = np.array([[t.item() for t in SMOOTH(x)] for x in xs]).T
    np.testing.assert_array_equal(stored(xs), want)
    text = stored.inspect_llvm(stored.signatures[0])
    assert re.search(r"fdiv <\d+ x double>", text), "the loop is not vectorised"


def test_a_caller_outlives_the_function():
    def caller():
        code = jg.jit(lambda x: x * 3).compile(np.float64(0)).njit
        return numba.njit(lambda x: code(x))

    triple = caller()
    assert triple(1.0) == 3
    gc.collect()
    assert triple(2.0) == 6


def test_loaded_functions_are_inlined_too(tmp_path):
    for native in (VECTOR, LARGE):
        native.save(tmp_path / "f.native")
        loaded = jg.load_compiled(tmp_path / "f.native")
        assert loaded.inlined == native.inlined
        x = RNG.normal(size=native.arguments.leaves[0].shape)
        np.testing.assert_array_equal(loaded.njit(x)[1], native(x)[1].numpy())


def test_constants_count_and_are_part_of_the_text():
    table = jg.tensor(RNG.normal(size=(8, 3)))
    small = jg.jit(lambda x: (table * x).exp()).compile(np.zeros(3))
    assert "@jitgrad_data = internal constant [192 x i8]" in small.inlined
    x = RNG.normal(size=3)
    np.testing.assert_array_equal(small.njit(x), small(x).numpy())
    wide = jg.tensor(RNG.normal(size=(inlining.LARGEST // 8, 1)))
    assert not jg.jit(lambda x: (wide * x).sum()).compile(np.zeros(1)).inlined


def test_functions_of_the_users_are_called_by_address():
    bump = jg.elementwise(numba.njit(lambda x: x * x + 1))
    native = jg.value_and_grad(lambda x: bump(x) * x).compile(np.float64(0))
    assert not native.inlined
    assert native.njit(2.0) == (10, 13)


# Callers in the disk cache of Numba. It does not see that what a cached function calls, in another file, has changed.

_LOSS = """
    import os
    import numpy as np
    import jitgrad as jg
    scale = float(os.environ["SCALE"])
    gradient = jg.value_and_grad(lambda x: (x * x * scale).sum()).compile(np.zeros(3))
    number = jg.jit(lambda x: x * scale).compile(np.float64(0))
    if "BY_ADDRESS" in os.environ:
        gradient.inlined = number.inlined = ""
"""
_INNER = """
    import numba
    from loss import gradient

    @numba.njit(cache=True)
    def inner(x):
        return gradient(x)[1]
"""
_USER = """
    import sys
    import numba
    import numpy as np
    from loss import number, scale
    from inner import inner

    @numba.njit(cache=True)
    def outer(x):
        return inner(x)

    @numba.njit(cache=True, parallel=True)
    def parallel(x):
        out = np.empty(3)
        for i in numba.prange(3):
            out[i] = 2 * number(x[i])
        return out

    @numba.vectorize(cache=True)
    def vectorized(x):
        return 2 * number(x)

    x = np.ones(3)
    for name in sys.argv[1:]:
        function = globals()[name]
        np.testing.assert_array_equal(function(x), 2 * scale * x)
        print(name, sum(function.stats.cache_hits.values()) if hasattr(function, "stats") else "")
"""
_GUFUNC = """
    import numba
    import numpy as np
    from loss import number, scale

    @numba.guvectorize(["(float64[:], float64[:])"], "(n)->(n)", cache=True)
    def lines(x, out):
        out[0] = number(x[0])

    assert lines(np.ones(1)).tolist() == [scale]
"""


@pytest.fixture
def scripts(tmp_path):
    """Runs a script with a scale; the output. The functions that it caches call others that use the scale."""
    for name, text in {"loss": _LOSS, "inner": _INNER, "user": _USER, "gufunc": _GUFUNC}.items():
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))

    def done(scale, *arguments, fails=False, **environment):
        found = run(tmp_path, *arguments, SCALE=str(scale), **environment)
        assert (found.returncode != 0) == fails, found.stderr
        return found.stderr if fails else found.stdout.split("\n")[:-1]

    return done


def test_cached_callers_of_cached_callers(scripts):
    assert scripts(1, "user.py", "inner") == ["inner 0"]
    assert scripts(1, "user.py", "outer", "parallel", "vectorized") == ["outer 0", "parallel 0", "vectorized "]
    assert scripts(1, "user.py", "outer", "parallel", "vectorized") == ["outer 1", "parallel 1", "vectorized "]
    assert scripts(2, "user.py", "outer", "parallel", "vectorized") == ["outer 0", "parallel 0", "vectorized "]


def test_cached_callers_by_address(scripts):
    for scale, hits in ((1, 0), (1, 1), (2, 0)):
        assert scripts(scale, "user.py", "outer", BY_ADDRESS="1") == [f"outer {hits}"]


def test_cached_gufuncs_run_no_other_function(scripts):
    """Numba loads their loops without asking who calls whom."""
    for _ in range(2):
        scripts(1, "gufunc.py")
    message = scripts(2, "gufunc.py", fails=True)
    assert "RuntimeError: the native function jitgrad__lambda" in message
    assert "delete the cached files of its callers" in message
