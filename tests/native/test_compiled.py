"""Native functions: what `compile` gives agrees with the Python call, from Python, from `@njit` code and from C."""

import ctypes
import gc
import os
import subprocess
import threading

import numba
import numpy as np
import pytest

import jitgrad as jg
from tests.helpers.native_cases import CASES, leaves, normal, squares, tuples


def agree(want, got, exact_dtype=True, tolerance=None):
    want, got = leaves(tuples(want)), leaves(tuples(got))
    assert len(want) == len(got)
    for a, b in zip(want, got):
        if a is None or isinstance(a, str):
            assert a == b
            continue
        a, b = np.asarray(a), np.asarray(b)
        assert a.shape == b.shape
        assert a.dtype == b.dtype or not (exact_dtype or a.shape)
        close = tolerance if tolerance is not None else 2e-5 if a.dtype == np.float32 else 1e-12
        np.testing.assert_allclose(a, b, rtol=close, atol=close)


@pytest.mark.parametrize("name", CASES)
def test_python_and_njit_give_what_the_function_gives(name):
    function, args = CASES[name]
    want = jg.jit(function)(*args)
    compiled = jg.jit(function).compile(*args)
    found = compiled(*args)
    agree(want, found)
    agree(found, compiled.njit(*tuples(args)), exact_dtype=False, tolerance=0)  # Numba hands numbers to Python as Python's


GRADIENT = jg.value_and_grad(squares).compile(np.zeros(3))


def test_other_values_than_the_example():
    x = jg.tensor([1.0, 2.0, 3.0], dtype=jg.float64)
    agree((14.0, [2.0, 4.0, 6.0]), (GRADIENT(x)[0].item(), GRADIENT(x)[1].tolist()))
    columns = np.arange(12.0).reshape(4, 3).T[:, 1:2].reshape(3)[::-1]
    agree((50.0, np.array([10.0, 8.0, 6.0])), GRADIENT.njit(columns), exact_dtype=False)


@numba.njit
def descend(x, n):
    value = 0.0
    for _ in range(n):
        value, slope = GRADIENT(x)
        x = x - 0.25 * slope
    return value, x


def test_a_loop_in_njit_code():
    value, x = descend(np.ones(3), 11)
    assert value == 3 * 0.25**10
    assert (x == 0.5**11).all()


@numba.njit(parallel=True)
def in_parallel(points):
    values, slopes = np.empty(len(points)), np.empty_like(points)
    for i in numba.prange(len(points)):
        values[i], slopes[i] = GRADIENT(points[i])
    return values, slopes


def test_prange():
    points = normal(1000, 3)
    values, slopes = in_parallel(points)
    np.testing.assert_allclose(values, (points**2).sum(1))
    np.testing.assert_array_equal(slopes, 2 * points)


def test_threads_share_a_function_that_uses_the_heap():
    function = jg.value_and_grad(lambda x: (jg.tanh(x @ x.t()).exp() @ x).sum())
    native = function.compile(np.zeros((50, 40)))
    points = [normal(50, 40) for _ in range(4)]
    want = [native(x) for x in points]
    found: dict[int, list] = {i: [] for i in range(4)}

    def work(i):
        for _ in range(20):
            found[i].append(native.njit(points[i]))

    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for i, w in enumerate(want):
        for value, slope in found[i]:
            assert value == w[0].item()
            assert (slope == w[1].numpy()).all()


def test_captured_tensors_keep_their_values():
    scale = jg.tensor([1.0, 2.0])
    native = jg.jit(lambda x: x * scale).compile(jg.ones(2))
    scale.mul_(10)
    assert native(jg.ones(2)).tolist() == [1.0, 2.0]


# Errors.


def test_other_shapes():
    with pytest.raises(ValueError, match=r"x of squares has shape \(4,\), and it was compiled for \(3,\)"):
        GRADIENT(np.ones(4))
    with pytest.raises(ValueError, match=r"x of squares must have the shape \(3,\)"):
        GRADIENT.njit(np.ones(4))
    with pytest.raises(ValueError, match=r"x of squares must have the shape \(3,\)"):
        descend(np.ones(2), 1)


@pytest.mark.parametrize("x", [np.ones(3, np.float32), np.ones((3, 1)), 1.0, (np.ones(3),)])
def test_other_types_are_typing_errors(x):
    with pytest.raises(numba.TypingError, match=r"squares must be an array\(float64, 1d\) of shape \(3,\)|squares must be a"):
        GRADIENT.njit(x)


def test_the_quick_way_from_python_checks_what_the_first_call_checks():
    def f(x, a, i, how):
        return {"sum": (a * x).sum(), "how": how, "all": x * a + i}

    x, a = np.arange(3, dtype=np.float32), np.float32(2)
    native = jg.jit(f).compile(x, jg.tensor(a), jg.tensor(4), "so")
    arrays = [x, jg.tensor(x), np.repeat(x, 2)[::2], jg.tensor(np.repeat(x, 2))[::2], x.view(np.matrix).A1]
    for _ in range(3):
        for array in arrays:
            for number in (a, 2.0, jg.tensor(2.0), np.array(a)):
                for whole in (np.int64(4), 4, jg.tensor(4), np.array(4)):
                    found = native(array, number, whole, "so")
                    assert (found["sum"].item(), found["how"], found["all"].tolist()) == (6, "so", [4, 6, 8])
                    assert found["all"].dtype == jg.float32
    assert len(native._entries) > 1
    assert not np.shares_memory(native(x, a, 4, "so")["all"].numpy(), native(x, a, 4, "so")["all"].numpy())
    for wrong, error in (
        ((x.astype(np.float64), a, 4, "so"), TypeError),
        ((x, a, 4.0, "so"), TypeError),
        ((x, a, 4), TypeError),
        ((x, [a], 4, "so"), TypeError),
        ((x[:2], a, 4, "so"), ValueError),
        ((x, a, 4, "not"), ValueError),
        ((jg.tensor(x, requires_grad=True), a, 4, "so"), RuntimeError),
        ((x, jg.tensor(a, requires_grad=True), 4, "so"), RuntimeError),
    ):
        with pytest.raises(error):
            native(*wrong)
    with jg.no_grad():
        assert native(jg.tensor(x, requires_grad=True), a, 4, "so")["sum"].item() == 6


def test_other_arguments_in_python():
    with pytest.raises(TypeError, match="has dtype float32, and it was compiled for float64"):
        GRADIENT(np.ones(3, np.float32))
    with pytest.raises(TypeError, match="squares was compiled for other arguments"):
        GRADIENT(np.ones(3), 1)
    with pytest.raises(RuntimeError, match=r"x requires grad.*x.detach\(\)"):
        GRADIENT(jg.ones(3, dtype=jg.float64, requires_grad=True))
    power = jg.jit(lambda x, n: x * n).compile(jg.ones(2), 3)
    with pytest.raises(ValueError, match="n of <lambda> was 3 when it was compiled"):
        power(jg.ones(2), 4)
    with pytest.raises(ValueError, match="n is fixed at 3"):
        power.njit(np.ones(2, np.float32), 4)
    text = jg.jit(lambda x, how: x).compile(jg.ones(2), "fast")
    with pytest.raises(numba.TypingError, match="compile a function without this parameter"):
        text.njit(np.ones(2, np.float32), "fast")


@pytest.mark.parametrize(
    ("function", "row"), [(lambda x: x.sort()[0], "sort"), (lambda x: jg.linalg.svdvals(x[None] * 2), "svd")]
)
def test_what_numpy_runs_is_refused_by_name(function, row):
    with pytest.raises(jg.errors.NotCompilableError, match=rf"NumPy runs these rows of its tape:\n  {row} -> "):
        jg.jit(function).compile(jg.ones(3))


def test_dtypes_without_a_c_type_are_refused():
    with pytest.raises(jg.errors.NotCompilableError, match="dtype float16 among its arguments"):
        jg.jit(squares).compile(jg.ones(3, dtype=jg.float16))


# C.


def test_ctypes_address_and_header():
    native = jg.value_and_grad(lambda w, x: (w * x).sum()).compile(np.float64(2), np.zeros((2, 3)))
    x, value, slope = np.arange(6.0).reshape(2, 3), ctypes.c_double(), ctypes.c_double()
    double = ctypes.POINTER(ctypes.c_double)
    function = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_double, double, double, double)(native.address)
    for call in (native.ctypes, function):
        assert call(2.0, x.ctypes.data_as(double), value, slope) == 0
        assert (value.value, slope.value) == (30.0, 15.0)
    assert native.header().endswith(f"int32_t {native.symbol}(double w, const double *x, double *result_0, double *result_1);\n")
    assert "const double *x: 2 x 3" in native.header()


def test_names_in_c_are_distinct_and_no_words_of_c():
    native = jg.jit(lambda int, result, a, a_0: (a[0] * a_0).sum() + int * result).compile(1.0, 2.0, (np.ones(2),), np.ones(2))
    assert native.prototype().split("(")[1] == (
        "double int_, double result, const double *a_0, const double *a_0_, double *result_)"
    )


@pytest.mark.skipif(not any(os.access(f"{p}/cc", os.X_OK) for p in os.get_exec_path()), reason="no C compiler to ask")
def test_c_compilers_accept_the_header(tmp_path):
    function, args = CASES["bools"]
    (tmp_path / "header.h").write_text(jg.jit(function).compile(*args).header())
    (tmp_path / "user.c").write_text('#include "header.h"\n')
    subprocess.run(["cc", "-Wall", "-Werror", "-c", "user.c"], cwd=tmp_path, check=True)


@numba.njit
def through_cfunc(function, x):
    out = np.empty(4)
    status = function(x.ctypes, out.ctypes, out[1:].ctypes)
    return status, out


def test_cfunc_is_a_first_class_function_of_numba():
    assert (GRADIENT.cfunc.address, GRADIENT.cfunc.native_name) == (GRADIENT.address, GRADIENT.symbol)
    status, out = through_cfunc(GRADIENT.cfunc, np.array([1.0, 2.0, 3.0]))
    assert status == 0
    assert out.tolist() == [14.0, 2.0, 4.0, 6.0]


# SciPy.


def test_integrals():
    integrate = pytest.importorskip("scipy.integrate")
    slope = jg.grad(lambda x: x**3).compile(np.float64(0))
    assert integrate.quad(slope.low_level_callable(), 0, 2)[0] == pytest.approx(8)
    product = jg.jit(lambda x, a, b: jg.exp(a * x) * b).compile(*[np.float64(1)] * 3)
    assert integrate.quad(product.low_level_callable(), 0, 1, args=(2.0, 3.0))[0] == pytest.approx(1.5 * np.expm1(2))
    plane = jg.jit(lambda x: x[0] * x[1] ** 2).compile(np.zeros(2))
    assert integrate.nquad(plane.low_level_callable(), [(0, 1), (0, 3)])[0] == pytest.approx(4.5)
    assert np.isnan(plane.low_level_callable().function(3, (ctypes.c_double * 3)()))


def test_code_that_was_made_twice_stays_where_it_is():
    integrate = pytest.importorskip("scipy.integrate")

    def cube():
        return jg.grad(lambda x: x**3).compile(np.float64(0))

    first, second = cube(), cube()
    assert first.address == second.address
    del first, second
    for _ in range(3):
        callable_alone = cube().low_level_callable()
        gc.collect()
        assert integrate.quad(callable_alone, 0, 2)[0] == pytest.approx(8)


def test_filters():
    ndimage = pytest.importorskip("scipy.ndimage")
    image = normal(8, 9)
    norm = jg.jit(lambda x: (x * x).sum()).compile(np.zeros(9))
    found = ndimage.generic_filter(image, norm.low_level_callable("generic_filter"), size=3)
    np.testing.assert_allclose(found, ndimage.generic_filter(image, lambda x: (x * x).sum(), size=3))
    steps = jg.jit(lambda x: x[2:] - x[:-2]).compile(np.zeros(11))
    found = ndimage.generic_filter1d(image, steps.low_level_callable("generic_filter1d"), 3)
    np.testing.assert_allclose(found, ndimage.correlate1d(image, [-1, 0, 1]))
    with pytest.raises(RuntimeError):
        ndimage.generic_filter(image, norm.low_level_callable("generic_filter"), size=2)


def test_what_scipy_cannot_call():
    with pytest.raises(TypeError, match="for integrate, squares must take one 1-d array, or numbers, to one number"):
        GRADIENT.low_level_callable()
    with pytest.raises(ValueError, match="use must be one of integrate, generic_filter, generic_filter1d"):
        GRADIENT.low_level_callable("optimize")


def test_the_symbol_tells_apart_what_callers_know_of_a_function():
    x = np.ones(6)
    forms = [
        lambda x: (x.sum(), 3),
        lambda x: (x.sum(), 4),
        lambda x: ((x.sum(),), 3),
        lambda x: (x.sum(), 3.0),
    ]
    compiled = [jg.jit(f).compile(x) for f in forms]
    compiled += [jg.jit(lambda x, s=s: (x + 1).reshape(s)).compile(x) for s in ((2, 3), (3, 2))]
    compiled += [jg.jit(lambda x, n: x.sum()).compile(x, n) for n in (3, 4)]
    assert len({g.symbol for g in compiled}) == len(compiled)
    assert jg.jit(forms[0]).compile(x).symbol == compiled[0].symbol


def test_results_that_are_not_finite():
    assert jg.jit(lambda x: (x.sum(), float("inf"), float("-inf"))).compile(np.ones(2)).njit(np.ones(2)) == (2.0, np.inf, -np.inf)
