"""The numba sweep: the same values as machine code, to the last bit where the arithmetic is the same, compiled or as Python."""

from __future__ import annotations

import linecache
import os
import subprocess
import sys

import numba
import numpy as np
import pytest

import jitgrad as jg
from jitgrad import kernels
from jitgrad.errors import NotCompilableError
from jitgrad.ops import rows
from jitgrad.sweeps.code import compile
from jitgrad.sweeps.numba.names import namespace

FLOATS = ("float32", "float64")
AT_EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, 1e-30, -3e9, 1e30, np.inf, -np.inf, np.nan]


def operands(op, dtype, seed=0):
    """Some values of the domain of an elementwise row, and some at its edges."""
    rng = np.random.default_rng(seed)
    inside = [rng.uniform(low, high, 12) for low, high in op.domain or ()]
    return [jg.tensor(np.concatenate([x, rng.permutation(AT_EDGES)]).astype(dtype)) for x in inside]


def elementwise():
    """The rows that are called as they are, with arrays of floats."""
    found = [op for op in rows() if op.elementwise and op.kernel and op.domain and not op.internal and not op.samples]
    return [op for op in found if op.result != "integer" and hasattr(jg, op.name) and op.inputs[0] != "c"]


def both(f, *args):
    """What the jit sweep gives, and what Numba does."""
    compiled, found = jg.jit(f), []
    for sweep in ("jit", "numba"):
        with jg.sweep(sweep):
            found.append([np.asarray(y) for y in compiled(*args)])
    return found


def same_bits(f, *args):
    for want, got in zip(*both(f, *args), strict=True):
        assert want.dtype == got.dtype
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("op", elementwise(), ids=lambda op: op.name)
def test_every_operation_as_python(op, dtype):
    same_bits(lambda *xs: [getattr(jg, op.name)(*xs)], *operands(op, dtype))


def test_every_operation_compiled(compiled_by_numba):
    """All that are more than a call of a kernel, in one function, since each takes Numba's front end some time."""
    ops = [op for op in elementwise() if op.kernel.partition("(")[0] not in kernels.__all__]
    assert len(ops) > 25
    given = [operands(op, "float32", k) for k, op in enumerate(ops)]

    def f(given):
        return [getattr(jg, op.name)(*xs) for op, xs in zip(ops, given)]

    same_bits(f, given)


def others(x, i):
    return [
        *(x**e for e in (0, 1, 2, 3, 4, -1, -2, 0.5, 1.7)),
        jg.clamp(x, -0.5, 1.25),
        x.clamp(min=0.1),
        *(x.to(dtype) for dtype in (jg.int8, jg.int32, jg.int64, jg.bool, jg.float32, jg.float64)),
        *(i.to(dtype) for dtype in (jg.int8, jg.uint8, jg.int64, jg.bool, jg.float32, jg.float64)),
        i * i - i,
        -i,
        abs(i),
        i % 7,
        i // -3,
        i & 5,
        i ^ 3,
        ~i,
        (i > 2) & (x > 0),
        ~(i > 2),
        jg.where(i > 1, x, 0.5),
        x.amax(0),
        i.amin(0),
        i.sum(),
        x[jg.tensor([0, -1, 3])],
    ]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("whole", ["int8", "int32", "int64", "uint8"])
def test_powers_bounds_dtypes_and_whole_numbers(request, compiled, whole):
    if compiled:
        request.getfixturevalue("compiled_by_numba")
    rng = np.random.default_rng(1)
    for dtype in FLOATS if not compiled else FLOATS[:1]:
        x = jg.tensor(np.concatenate([rng.normal(size=9) * 3, AT_EDGES]).astype(dtype))
        i = jg.tensor(rng.integers(0 if whole == "uint8" else -100, 100, 20).astype(whole))
        same_bits(others, x, i)


def test_an_index_that_is_out_of_bounds(compiled_by_numba):
    f = jg.jit(lambda x, i: x[i] * 2)
    with jg.sweep("numba"):
        assert f(jg.arange(4.0), jg.tensor([0, -4])).tolist() == [0, 0]
        for bad in (4, -5):
            with pytest.raises(IndexError, match=f"index {bad} is out of bounds for a dimension of size 4"):
                f(jg.arange(4.0), jg.tensor([0, bad]))


def test_strided_read_only_and_empty_arguments(compiled_by_numba):
    f = jg.jit(lambda x: (jg.exp(x).sum(0), x * 2))
    with jg.sweep("numba"):
        for array in (np.arange(12.0).reshape(3, 4)[:, ::2], np.asfortranarray(np.ones((3, 2))), np.ones((0, 2))):
            array.flags.writeable = False
            np.testing.assert_allclose(f(array)[0].numpy(), np.exp(array).sum(0))


def test_results_have_memory_of_their_own():
    f = jg.jit(lambda x: (x, x.reshape(-1), x * 1, (x * 1).reshape(2, 2), x.T))
    x = jg.tensor([[1.0, 2.0], [3.0, 4.0]])
    with jg.sweep("numba"):
        found = f(x)
    for k, y in enumerate(found):
        y.add_(k + 1)
    assert x.tolist() == [[1, 2], [3, 4]]
    assert [y.sum().item() for y in found] == [14, 18, 22, 26, 30]


@numba.njit
def kinked(x):
    if x < 0:
        return x / 3.0
    return x * x


def test_functions_of_the_user_are_called_by_their_names(compiled_by_numba):
    f = jg.elementwise(derivative=lambda x: jg.where(x < 0, 1 / 3, 2 * x))(kinked)
    x = jg.tensor([-1.0, 2.0], dtype=jg.float64)
    gradient = jg.jit(jg.value_and_grad(lambda x: f(x).sum()))
    assert "kinked(float64(" in gradient.source(x)
    same_bits(lambda x: [*jg.value_and_grad(lambda x: f(x).sum())(x)], x)


def test_half_precision_is_left_to_numpy():
    x = jg.tensor([1.0, 2.0], dtype=jg.float16)
    same_bits(lambda x: [(x * 3).exp(), x.float() * 2, jg.scan(lambda c, a: (c * a, c), x[0], x)[0]], x)


def test_a_debugger_walks_through_it():
    """The text is where debuggers look for it, and with NUMBA_DISABLE_JIT it is Python."""
    f = jg.jit(lambda x: jg.tanh(x) * 2)
    x = jg.tensor([0.25, 0.5])
    with jg.sweep("numba"):
        f(x)
        seen = []

        def line(frame, event, arg):
            if frame.f_code.co_name == "lambda_0":
                seen.append(frame.f_code.co_filename)
                return line
            return None

        sys.settrace(line)
        try:
            f(x)
        finally:
            sys.settrace(None)
    assert len(seen) > 5
    assert any("tanh(v0[d0])" in text for text in linecache.getlines(seen[0]))


def test_without_numbas_compiler():
    code = (
        "import jitgrad as jg, numpy as np\n"
        "f = jg.jit(jg.value_and_grad(lambda x: (jg.tanh(x) * jg.exp(-x * x) + jg.lgamma(x + 3)).sum()))\n"
        "x = jg.tensor(np.linspace(-2, 2, 9))\n"
        "want = f(x)\n"
        "with jg.sweep('numba'):\n"
        "    got = f(x)\n"
        "assert abs(got[0].item() - want[0].item()) < 1e-13, (got, want)\n"
        "assert got[1].tolist() == want[1].tolist(), (got, want)\n"
    )
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


# The kernels in code of the user's.


def test_the_public_kernels_are_those_of_public_operations():
    assert {op.kernel.partition("(")[0] for op in rows() if op.kernel and not op.internal} >= set(kernels.__all__)
    with pytest.raises(AttributeError, match="there is no kernel 'nonsense'"):
        _ = kernels.nonsense
    assert dir(kernels) == sorted(kernels.__all__)


@pytest.mark.parametrize("dtype", FLOATS)
def test_kernels_compute_numbers_outside_of_njit_as_machine_code_does(dtype):
    with np.errstate(all="ignore"):
        xs = np.concatenate([np.random.default_rng(0).normal(size=20) * 4, AT_EDGES, [1e-310, 88.0, -700.0, 700.0]]).astype(dtype)
    ys = xs[::-1].copy()
    two = ("pow", "hypot", "atan2", "igamma", "igammac")
    found_of = lambda name: getattr(jg, name, None) or getattr(jg.special, name)
    compiled = jg.jit(lambda x, y: [found_of(name)(*(x, y)[: 1 + (name in two)]) for name in kernels.__all__])
    with np.errstate(all="ignore"):
        for name, found in zip(kernels.__all__, compiled(xs, ys)):
            kernel = getattr(kernels, name)
            outside = [kernel(x, y) if name in two else kernel(x) for x, y in zip(xs, ys)]
            assert all(type(v) is np.dtype(dtype).type for v in outside)
            np.testing.assert_array_equal(np.array(outside, dtype), found.numpy(), err_msg=name)


def test_kernels_take_whole_numbers_and_mixed_ones_as_float64():
    @numba.njit
    def f(x, y):
        return kernels.exp(2), kernels.pow(x, 2), kernels.atan2(x, y)

    assert f(np.float32(0.5), 2.0) == (kernels.exp(2), 0.25, kernels.atan2(0.5, 2.0))


def test_the_names_of_the_written_functions_are_numbas():
    assert namespace()["exp"] is kernels.exp


def test_a_number_taken_out_of_an_array_goes_into_a_loop(compiled_by_numba):
    def f(x):
        y = x * 2
        return jg.scan(lambda c, a: (c * a, c + a), y[2], y)

    same_bits(lambda x: list(f(x)), jg.tensor([1.0, 2.0, 3.0], dtype=jg.float64))


def test_the_report_says_what_numba_does():
    f = jg.jit(lambda x: jg.sort(jg.exp(x), 0).values * 2)
    with jg.sweep("numba"):
        f(jg.tensor([2.0, 1.0]))
    assert "Numba: 2 @njit functions, which source() shows" in f.report()
    assert "NumPy: sort" in f.report()


def test_where_the_own_loader_does_not_run(monkeypatch, compiled_by_numba):
    def fails(*args, **kwargs):
        raise OSError("no executable memory")

    monkeypatch.setattr(compile, "compile_text", fails)
    f = jg.jit(jg.value_and_grad(lambda x: (jg.tanh(x) * x).sum()))
    x = jg.tensor([1.0, 2.0], dtype=jg.float64)
    with jg.sweep("numba"):
        for _ in range(3):
            assert f(x)[0].item() == pytest.approx((np.tanh(x.numpy()) * x.numpy()).sum())


def test_what_would_take_minutes_is_refused(compiled_by_numba):
    def f(x):
        for _ in range(3000):
            x = jg.sin(x) * 1.5
        return x

    with jg.sweep("numba"), pytest.raises(NotCompilableError, match="take the sweep 'machine'"):
        jg.jit(f)(jg.tensor(1.0))
