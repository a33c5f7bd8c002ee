"""The machine: instructions instead of a compiled tape. It gives what the compiled sweep gives, bit for bit where no
sum is involved, and a long tape needs neither a compiler nor patience."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jitgrad as jg
from jitgrad.base.tree import flatten
from jitgrad.errors import NotCompilableError
from jitgrad.ops.choosing import (
    clamp,
)
from jitgrad.sweeps.machine import assembly, handlers
from jitgrad.sweeps.machine.machine import MANY_ROWS, Machine, is_better
from jitgrad.sweeps.plan.segments import MOST_ROWS
from tests.helpers.cases import SPECIAL, applied, legal, prepared, tensors
from tests.sweeps.test_random_tapes import COMMON


def results(function: Any, name: str, *args: Any) -> list[np.ndarray]:
    with jg.sweep(name):
        tree = function(*args)
    found: list = []
    flatten(tree, found)
    return [np.asarray(t.numpy()) for t in found]


def same_bits(function: Any, *args: Any) -> list[np.ndarray]:
    """The machine's results, which are those of machine code; a NaN is like any other."""
    f = jg.jit(function)
    got, want = results(f, "machine", *args), results(f, "jit", *args)
    for k, (a, b) in enumerate(zip(got, want, strict=True)):
        assert (a.dtype, a.shape) == (b.dtype, b.shape), k
        np.testing.assert_array_equal(a, b, err_msg=f"result {k}")
        assert np.array_equal(np.signbit(a[a == 0]), np.signbit(b[b == 0])), f"result {k}: -0.0"
    return got


def machine_of(f: Any) -> Machine:
    (compiled,) = f._compiled.values()
    return compiled.machine


def chain(rows: int) -> Any:
    """A chain of scalar operations."""

    def f(x: jg.Tensor, y: jg.Tensor) -> jg.Tensor:
        z = x
        for k in range(rows // 4):
            z = z * y
            z = z + 0.25 if k % 3 else z / (1.5 + x)
            z = jg.sin(z)
            z = z - x
        return z

    return f


# The same numbers.


TOGETHER = {
    "float16": ("0-d", "broadcast"),
    "float32": ("0-d", "contiguous"),
    "float64": ("0-d", "broadcast"),
    "int32": ("contiguous", "broadcast"),
    "int64": ("0-d", "contiguous"),
    "bool": ("0-d",),
}


@pytest.mark.parametrize(("dtype", "layout"), [(dtype, layout) for dtype, layouts in TOGETHER.items() for layout in layouts])
def test_elementwise_rows_give_the_bits_of_machine_code(dtype: str, layout: str) -> None:
    many = [case for case in prepared(dtype, layout) if case.op.elementwise and legal(case)]
    assert len(many) > {"bool": 10}.get(dtype, 30)

    def everything(*flat: jg.Tensor) -> list[jg.Tensor]:
        given = iter(flat)
        return [applied(case, [next(given) for _ in case.operands]) for case in many]

    same_bits(everything, *[x for case in many for x in tensors(case)])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_special_values_one_number_at_a_time(dtype: str) -> None:
    values = [jg.tensor(v, dtype=getattr(jg, dtype)) for v in SPECIAL]

    def f(*xs: jg.Tensor) -> list[jg.Tensor]:
        found = []
        for x, y in zip(xs, (*xs[5:], *xs[:5])):
            found += [
                x / y,
                x**3,
                x**-1,
                x**0.3,
                jg.exp(x),
                jg.log(x),
                jg.clamp(x, -0.5, 1.0),
                x.maximum(y),
                jg.where(x < y, x, -y),
                x.floor_divide(y),
                x % y,
                (x == y).float(),
                jg.tanh(x) * jg.sigmoid(y),
            ]
        return found

    same_bits(f, *values)


UNARY = ("sin", "exp", "tanh", "sqrt", "neg", "abs", "relu", "square", "log1p", "sigmoid", "floor", "isnan")
BINARY = ("add", "sub", "mul", "div", "maximum", "minimum", "lt", "atan2")


@st.composite
def scalar_programs(draw: Any) -> list[tuple]:
    kinds = st.sampled_from(["unary", "binary", "binary", "where", "number", "cast"])
    program = []
    for size in range(3, 3 + draw(st.integers(1, 40))):
        at = [draw(st.integers(max(0, size - 6), size - 1)) for _ in range(3)]
        kind = draw(kinds)
        names = {"unary": UNARY, "binary": BINARY, "cast": ("float32", "float64", "int64")}.get(kind, ("",))
        program.append((kind, draw(st.sampled_from(names)), at, draw(st.sampled_from([0.5, -2.0, 3, 0.0]))))
    return program


def computed(xs: list[jg.Tensor], program: list[tuple]) -> jg.Tensor:
    values = list(xs)
    for kind, name, (i, j, k), number in program:
        x, y, z = (v.float() if v.dtype == jg.bool else v for v in (values[i], values[j], values[k]))
        if kind == "unary":
            out = getattr(jg, name)(x if x.dtype.is_floating_point else x.double())
        elif kind == "binary":
            out = getattr(jg, name)(x, y)
        elif kind == "where":
            out = jg.where(x > y, y, z)
        elif kind == "number":
            out = x * number + 1
        else:
            out = jg.clamp(x, -1e6, 1e6).to(getattr(jg, name))
        values.append(out)
    return sum((v.double() for v in values[-3:]), jg.tensor(0.0, dtype=jg.float64))


@settings(max_examples=60, **COMMON)
@given(scalar_programs(), st.lists(st.floats(-3, 3, width=32), min_size=3, max_size=3))
def test_random_tapes_of_numbers_give_the_bits_of_machine_code(program: list[tuple], values: list[float]) -> None:
    f = jg.value_and_grad(lambda *xs: computed(list(xs), program), argnums=(0, 1, 2))
    same_bits(f, jg.tensor(values[0]), jg.tensor(values[1], dtype=jg.float64), jg.tensor(values[2]))


def test_reductions_over_every_set_of_dimensions() -> None:
    rng = np.random.default_rng(0)
    for shape in [(), (1,), (7,), (33,), (0,), (5, 3), (1, 4), (3, 17, 2), (2, 3, 4, 5)]:
        dims = [[d for d in range(len(shape)) if mask >> d & 1] for mask in range(1, 1 << len(shape))]

        def f(x: jg.Tensor, dims: Any = tuple(dims), full: bool = 0 not in shape) -> list[jg.Tensor]:
            found = [x.sum()]
            for some in dims:
                found += [x.sum(dim=some), (x * 2).sum(dim=some, keepdim=True)]
                found += [x.amax(dim=some), x.amin(dim=some, keepdim=True), (x > 0).sum(dim=some)] if full else []
            return found

        for dtype in (jg.float32, jg.float64, jg.int32):
            x = jg.tensor(rng.uniform(-9, 9, shape)).to(dtype)
            g = jg.jit(f)
            for got, want in zip(results(g, "machine", x), results(g, "interpreted", x), strict=True):
                assert (got.dtype, got.shape) == (want.dtype, want.shape)
                np.testing.assert_allclose(got, want, rtol=1e-5 if dtype == jg.float32 else 1e-13, atol=1e-5)


def test_arrays_that_are_moved_and_memory_that_is_used_again() -> None:
    def f(x: jg.Tensor, w: jg.Tensor) -> jg.Tensor:
        y = x
        for _ in range(30):
            y = jg.tanh(y.T.flip(0)).reshape(x.shape) * w
            y = jg.cat([y[1:], y[:1] * 2], dim=0) + x.amax(dim=1, keepdim=True)
        return (y * y).sum() + y[2, 1]

    rng = np.random.default_rng(0)
    args = jg.tensor(rng.standard_normal((5, 3))), jg.tensor(rng.standard_normal(3))
    g = jg.jit(jg.value_and_grad(f, argnums=(0, 1)))
    for got, want in zip(results(g, "machine", *args), results(g, "interpreted", *args), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-11)
    h = jg.jit(f)
    results(h, "machine", *args)
    held = machine_of(h)
    assert held.slots * 8 < 64 * len(next(iter(h._compiled.values())).simplified())  # 128 bytes an array if kept


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_of_matrices(dtype: str) -> None:
    rng = np.random.default_rng(0)
    shapes = [(1, 1, 1), (2, 3, 4), (3, 2, 1), (5, 17, 1), (1, 9, 20), (7, 33, 5), (16, 8, 16), (4, 0, 3), (0, 2, 3)]
    for m, k, n in [*shapes, (40, 50, 60)]:
        x, y = (jg.tensor(rng.standard_normal(shape).astype(dtype)) for shape in ((m, k), (k, n)))
        f = jg.jit(lambda x, y: (x @ y, (x @ y) * 2 + 1, y.T @ x.T))
        for got, want in zip(results(f, "machine", x, y), results(f, "interpreted", x, y), strict=True):
            assert (got.dtype, got.shape) == (want.dtype, want.shape)
            np.testing.assert_allclose(got, want, rtol=1e-4 if dtype == "float32" else 1e-12, atol=2e-6)
        assert ("NumPy: " in f.report()) == (m * k * n > 20_000)


def test_a_recurrent_network() -> None:
    def loss(w: jg.Tensor, u: jg.Tensor, b: jg.Tensor, xs: jg.Tensor) -> jg.Tensor:
        h = b * 0
        for t in range(100):
            h = jg.tanh(w @ h + u @ xs[t] + b)
        return (h * h).sum()

    rng = np.random.default_rng(0)
    args = [jg.tensor(0.3 * rng.standard_normal(shape)) for shape in ((5, 5), (5, 3), (5,), (100, 3))]
    f = jg.jit(jg.value_and_grad(loss, argnums=(0, 1, 2)))
    for got, want in zip(results(f, "auto", *args), results(f, "interpreted", *args), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-10)
    assert "NumPy" not in f.report()
    g = jg.jit(jg.value_and_grad(loss, argnums=3))  # reads a part of the same array in every step
    for got, want in zip(results(g, "auto", *args), results(g, "interpreted", *args), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-10)


def test_values_put_together_from_others() -> None:
    def f(x: jg.Tensor, y: jg.Tensor) -> jg.Tensor:
        z = jg.cat([x, y[:, 1:], x * 2], dim=1)
        before = z[1] * 1.5
        z[1, 2:4] = y[0, :2] * 3  # in place where nobody else reads it, which the next line does
        z[0] = x[0].sum() + before
        one = x[0, :1] * 2
        one[0] = y[0, 0] + one[0]
        z = z + one * jg.cat([one[:0], one])
        parts = jg.stack([z[0, 0], z[1, 3], y.sum()]) + jg.flip(x, 1)[0]
        return (z * z).sum() + (parts * x[0]).sum() + sum((x[k] * y[1 - k]).sum() for k in range(2))

    rng = np.random.default_rng(0)
    for dtype in (jg.float32, jg.float64):
        args = [jg.tensor(rng.standard_normal((2, 3))).to(dtype) for _ in range(2)]
        g = jg.jit(jg.value_and_grad(f, argnums=(0, 1)))
        for got, want in zip(results(g, "machine", *args), results(g, "interpreted", *args), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-6)
        assert "NumPy" not in g.report()


def test_large_arrays_and_what_numpy_does_between() -> None:
    x = jg.tensor(np.random.default_rng(0).standard_normal((300, 200)).astype(np.float32))
    f = jg.jit(lambda x: ((x @ x.T).cumsum(dim=0) * 0.5, x.T.sum(dim=0), x[7:250:3, 3], jg.exp(x).T))
    for got, want in zip(results(f, "machine", x), results(f, "interpreted", x), strict=True):
        np.testing.assert_allclose(got, want, rtol=2e-4, atol=1e-3)
    assert "NumPy: cumsum" in f.report()


def test_dtypes_without_kernels_run_in_between() -> None:
    def f(x: jg.Tensor) -> tuple:
        y = x.to(jg.bfloat16) * 2
        z = (x > 0).to(jg.uint8) + 1
        return y + y[0], z, y.float() + x, (z.float() * x).sum()

    g = jg.jit(f)
    for x in (jg.tensor([1.0, -2.0, 3.5]), jg.tensor([0.3])):
        for got, want in zip(results(g, "machine", x), results(g, "interpreted", x), strict=True):
            assert got.dtype == want.dtype
            np.testing.assert_array_equal(got.astype(float), want.astype(float))


# Long tapes.


@pytest.mark.quick
def test_a_long_chain_and_its_gradient() -> None:
    x, y = jg.tensor(0.7, dtype=jg.float64), jg.tensor(0.9, dtype=jg.float64)
    f = jg.jit(jg.value_and_grad(chain(10_000), argnums=(0, 1)))
    value, (dx, dy) = f(x, y)
    held = machine_of(f)
    assert [type(step) for step in held.steps] == [np.ndarray]  # every row is an instruction
    assert len(held.steps[0]) > 20_000
    a, b = x.clone().requires_grad_(), y.clone().requires_grad_()
    out = chain(10_000)(a, b)
    out.backward()
    assert value.item() == pytest.approx(out.item(), rel=1e-9)
    assert dx.item() == pytest.approx(a.grad.item(), rel=1e-9)
    assert dy.item() == pytest.approx(b.grad.item(), rel=1e-9)


def test_a_very_long_chain() -> None:
    f = jg.jit(jg.value_and_grad(chain(30_000)))
    args = jg.tensor(0.7), jg.tensor(0.9)
    value, _ = f(*args)
    assert f(*args)[0].item() == value.item()
    assert "machine" in f.report()


def test_handlers_of_different_kinds_are_different() -> None:
    f4 = np.dtype("float32")
    kinds = [
        handlers.Put("f32", False),
        handlers.Product("f32", False),
        handlers.Pick(4),
        *[
            handlers.Elementwise(clamp, (("min", low), ("max", None)), f4, ("f32", "f32"))
            for low in (handlers.Operand(1), 1, -0.0, 0.0)
        ],
    ]
    assert len({handlers.handler(kind).address for kind in kinds}) == len(kinds)


def test_no_handler_is_made_twice() -> None:
    args = jg.tensor(0.7), jg.tensor(0.9)
    with jg.sweep("machine"):
        jg.jit(chain(40))(*args)
        jg.jit(lambda x: x**1.75)(args[0])
        before = len(handlers._handlers)
        jg.jit(lambda x, y: chain(60)(y, x) + x**1.25)(*args)
        assert len(handlers._handlers) == before


# What chooses it, and what it says.


def test_auto_takes_the_machine_for_long_tapes_of_numbers_and_for_very_long_ones() -> None:
    def steps(count: int) -> Any:
        return lambda x: chain(count)(x, x).sum()

    def tape(count: int, size: int) -> Any:
        return jg.jit(steps(count)).tape(jg.ones(size))

    assert not is_better(tape(MANY_ROWS // 2, 1))
    assert is_better(tape(2 * MANY_ROWS, 1))
    assert not is_better(tape(2 * MANY_ROWS, 100))
    assert is_better(tape(2 * MOST_ROWS, 100))
    f = jg.jit(steps(2 * MANY_ROWS))
    f(jg.ones(()))
    assert "machine code" not in f.report()


def test_the_report_names_what_numpy_does() -> None:
    f = jg.jit(lambda x: jg.tanh(x.cumsum(dim=0) * 2).cumsum(dim=0).sum())
    with jg.sweep("machine"):
        f(jg.ones(4))
    text = f.report()
    assert "machine: 3 instructions of 3 kinds, in 2 runs" in text
    assert "NumPy: 2 times cumsum -> f32[4]" in text


# Several runs at once.


def test_threads_have_memory_of_their_own() -> None:
    f = jg.jit(jg.value_and_grad(chain(4000)))
    xs = [jg.tensor(0.1 * k, dtype=jg.float64) for k in range(8)]
    want = [f(x, xs[3])[0].item() for x in xs]
    wrong: list[Any] = []

    def work(k: int) -> None:
        for _ in range(30):
            got = f(xs[k], xs[3])[0].item()
            if got != want[k]:
                wrong.append((k, got))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_results_are_not_overwritten_by_later_calls() -> None:
    f = jg.jit(lambda x: (x * 2, x, x.reshape(2, 2), x.sum()))
    with jg.sweep("machine"):
        first = f(jg.ones(4))
        f(jg.zeros(4))
    assert [t.numpy().tolist() for t in first] == [[2.0] * 4, [1.0] * 4, [[1.0] * 2] * 2, 4.0]


# Arrays that instructions cannot count.


def test_numpy_runs_rows_of_arrays_that_are_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembly, "MOST_COUNTED", 50)
    x = jg.tensor(np.arange(120.0).reshape(60, 2))
    function = lambda x: (x[-1] * 2 + x.sum(), x[3:5].sum(0), x.sum(1).amax(), (x.sum() * 2).expand(70).sum())
    with jg.sweep("machine"):
        f = jg.jit(function)
        for got, want in zip(f(x), function(x)):
            np.testing.assert_allclose(got.numpy(), want.numpy())


def test_a_tape_that_needs_too_much_memory_is_an_error_that_says_so() -> None:
    f = jg.jit(lambda x: (x.expand(2**32).sum(), x + 1))
    with jg.sweep("machine"), pytest.raises(NotCompilableError, match=r"32 GiB.*sweep\('jit'\)"):
        f(jg.tensor(1.0, dtype=jg.float64))
