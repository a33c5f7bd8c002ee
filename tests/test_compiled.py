"""Native functions: what `compile` gives agrees with the Python call, from Python, from `@njit` code and from C."""

import ctypes
import os
import subprocess
import textwrap
import threading

import numba
import numpy as np
import pytest
from native_cases import CASES, leaves, normal, run, squares, tuples

import jitgrad as jg
from jitgrad.sweeps import artefact


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


@pytest.mark.parametrize(("function", "row"), [(lambda x: x.argmax(), "argmax"), (lambda x: x.cumsum(0) * 2, "cumsum")])
def test_what_numpy_runs_is_refused_by_name(function, row):
    with pytest.raises(jg.errors.NotCompilableError, match=rf"NumPy runs these rows of its tape:\n  {row} -> "):
        jg.jit(function).compile(jg.ones(3))


def test_dtypes_without_a_c_type_are_refused():
    with pytest.raises(jg.errors.NotCompilableError, match="dtype float16 among its arguments"):
        jg.jit(squares).compile(jg.ones(3, dtype=jg.float16))


# Callers in the disk cache of Numba.

_LOSS = """
    import os
    import numpy as np
    import jitgrad as jg
    scale = float(os.environ["SCALE"])
    gradient = jg.value_and_grad(lambda x: (x * x * scale).sum()).compile(np.zeros(3))
"""
_USER = """
    import numba
    import numpy as np
    from loss import gradient

    @numba.njit(cache=True)
    def step(x):
        value, slope = gradient(x)
        return x - slope

    print(step(np.ones(3)).tolist(), sum(step.stats.cache_hits.values()))
"""


def test_callers_can_be_cached(tmp_path):
    for name, text in (("loss.py", _LOSS), ("user.py", _USER)):
        (tmp_path / name).write_text(textwrap.dedent(text))
    assert run(tmp_path, "user.py", SCALE="1").stdout.split("]") == ["[-1.0, -1.0, -1.0", " 0\n"]
    assert run(tmp_path, "user.py", SCALE="1").stdout.split("]") == ["[-1.0, -1.0, -1.0", " 1\n"]
    # Numba does not see that what the cached function calls has changed; the code of another function must not run.
    assert run(tmp_path, "user.py", SCALE="2").stdout.split("]") == ["[-3.0, -3.0, -3.0", " 0\n"]
    assert run(tmp_path, "user.py", SCALE="2").stdout.split("]") == ["[-3.0, -3.0, -3.0", " 1\n"]


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


# Files.


def test_save_and_load(tmp_path):
    for name in ("neuron", "aux", "captured", "large product", "bools", "fixed", "dict and number", "nested"):
        function, args = CASES[{"neuron": "the neuron"}.get(name, name)]
        compiled = jg.jit(function).compile(*args)
        compiled.save(tmp_path / "f.native")
        loaded = jg.load_compiled(str(tmp_path / "f.native"))
        agree(compiled(*args), loaded(*args))
        assert loaded.header() == compiled.header()
        loaded.save(tmp_path / "again.native")
        assert (tmp_path / "again.native").read_bytes() == (tmp_path / "f.native").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.native", "f.native"]


_LOADS = """
    import sys
    import jitgrad as jg
    import jitgrad.transforms
    jitgrad.transforms.trace = None  # whoever wants to record something fails
    gradient = jg.load_compiled("f.native")
    assert "numba" not in sys.modules
    print(gradient(jg.tensor([1.0, 2.0]))[1].tolist())

    import numba
    import numpy as np

    @numba.njit(cache=True)
    def step(x):
        return x - gradient(x)[1]

    print(step(np.ones(2, np.float32)).tolist())
"""


def test_load_in_another_process_without_tracing(tmp_path):
    weights = jg.tensor([2.0, 3.0])
    jg.value_and_grad(lambda x: (x * x * weights).sum()).compile(jg.zeros(2)).save(tmp_path / "f.native")
    (tmp_path / "loads.py").write_text(textwrap.dedent(_LOADS))
    for _ in range(2):  # the second time, `step` comes from the cache
        done = run(tmp_path, "loads.py")
        assert (done.stdout, done.stderr) == ("[4.0, 12.0]\n[-3.0, -5.0]\n", "")


def test_files_that_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "f.native"
    GRADIENT.save(path)
    content = path.read_bytes()
    for wrong in (content[:-1], content[: len(content) // 2], content[:60], content[:-9] + b"x" + content[-8:]):
        path.write_bytes(wrong)
        with pytest.raises(ValueError, match="is damaged or cut short: save it again"):
            jg.load_compiled(path)
    for wrong in (b"", content[:10], b"something else"):
        path.write_bytes(wrong)
        with pytest.raises(ValueError, match="is no native function of jitgrad"):
            jg.load_compiled(path)
    with pytest.raises(FileNotFoundError):
        jg.load_compiled(tmp_path / "none")
    path.write_bytes(content)
    monkeypatch.setattr(jg, "__version__", "99.0")
    with pytest.raises(RuntimeError, match=r"was saved for jitgrad \S+, and here is jitgrad 99.0: compile and save it here"):
        jg.load_compiled(path)
    monkeypatch.undo()
    here = artefact.host()
    monkeypatch.setattr(artefact, "host", lambda: here._replace(cpu="another"))
    with pytest.raises(RuntimeError, match=r"was saved for cpu \S+, and here is cpu another"):
        jg.load_compiled(path)
    monkeypatch.setattr(artefact, "host", lambda: here._replace(features="+old"))
    with pytest.raises(RuntimeError, match="was saved for a CPU with other features"):
        jg.load_compiled(path)


def test_what_cannot_be_saved(tmp_path):
    compiled = jg.jit(lambda x, d: x.to(d)).compile(jg.ones(2), jg.float64)
    with pytest.raises(TypeError, match="d is fixed at a DType"):
        compiled.save(tmp_path / "f.native")
    assert not list(tmp_path.iterdir())
