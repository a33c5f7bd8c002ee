"""How rows become loops: tiles, views, partial writes, small products, and what is computed again."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.sweeps.llvm import phase as codegen
from jitgrad.sweeps.plan import chunks
from jitgrad.sweeps.program.program import (
    Program,
)
from jitgrad.sweeps.program.steps import (
    Interpreted,
)

RANDOM = np.random.default_rng(5)


def data(*shape: int, dtype: Any = np.float64) -> jg.Tensor:
    return jg.tensor(RANDOM.uniform(-1, 1, shape).astype(dtype))


def program(f: jg.jit) -> Program:
    return next(iter(f._compiled.values())).program


def numpy_rows(f: Any) -> list[str]:
    return [step.row.op.name for step in program(f).steps if isinstance(step, Interpreted)]


def flat(results: Any) -> list[np.ndarray]:
    found = results if isinstance(results, tuple) else (results,)
    return [part for r in found for part in (flat(r) if isinstance(r, tuple) else [r.numpy()])]


def agree(function: Callable, *args: jg.Tensor, rtol: float = 1e-12) -> Any:
    """The function compiled, after its results and gradients were compared with those of the interpreted sweep."""

    def loss(*xs: jg.Tensor) -> Any:
        out = function(*xs)
        weights = jg.arange(out.numel(), dtype=out.dtype).reshape(out.shape) / max(out.numel(), 1) + 0.5
        return (out * weights).sum(), out

    both = jg.jit(jg.value_and_grad(loss, tuple(range(len(args))), has_aux=True))
    with jg.sweep("interpreted"):
        want = flat(both(*args))
    with jg.sweep("jit"):
        got = flat(both(*args))
        again = flat(both(*args))
    for a, b, c in zip(want, got, again):
        assert a.shape == b.shape
        np.testing.assert_allclose(b, a, rtol=rtol, atol=rtol)
        np.testing.assert_array_equal(b, c)
    return both


def standardised(x: jg.Tensor, dim: int) -> jg.Tensor:
    centred = x - x.mean(dim, keepdim=True)
    return centred / ((centred * centred).mean(dim, keepdim=True) + 1e-5).sqrt()


NORMALISED = {
    "softmax last": lambda x: jg.softmax(x, -1),
    "softmax first": lambda x: jg.softmax(x, 0),
    "log_softmax": lambda x: jg.log_softmax(x, -1) * x,
    "logsumexp": lambda x: jg.logsumexp(x, -1),
    "layer norm": lambda x: standardised(x, -1) * x,
    "over the first": lambda x: standardised(x, 0),
    "over all, then each": lambda x: (x - x.mean()) * x.amax(),
    "twice": lambda x: jg.softmax(standardised(x, -1) * 2, -1),
    "rows and columns": lambda x: x - x.sum(0, keepdim=True) * x.sum(-1, keepdim=True),
    "var": lambda x: x.var(-1),
    "extremes": lambda x: x.amax(-1, keepdim=True) * x - x.amin(0, keepdim=True),
}


@pytest.fixture(params=["tiles of 2", "whole"])
def tiles(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "tiles of 2":
        monkeypatch.setattr(codegen, "TILE_BYTES", 1)
        monkeypatch.setattr(chunks, "LEAST_ROWS", 2)


@pytest.mark.parametrize("name", NORMALISED)
@pytest.mark.parametrize("shape", [(5, 7), (4, 33), (1, 5), (6, 1), (3, 2, 5)])
def test_reductions_and_what_comes_after_them(name: str, shape: tuple[int, ...], tiles: None) -> None:
    agree(NORMALISED[name], data(*shape))


def test_softmax_is_one_nest_and_keeps_one_tile() -> None:
    f = jg.jit(lambda x: jg.softmax(x, -1))
    f(data(64, 50))
    plan = program(f).plan
    (phase,) = plan.phases
    (level,) = phase.ordered()
    (nest,) = level.nests.values()
    assert len(nest.stages) == 3
    assert {row.op.name for row in plan.local} == {"amax", "exp", "sum"}


def test_tiles_end_where_the_rows_do() -> None:
    """Far more rows than a tile has, and not a multiple of it."""
    x = data(1003, 300, dtype=np.float32)
    f = jg.jit(lambda x: jg.softmax(x, -1))
    got = f(x).numpy()
    e = np.exp(x.numpy() - x.numpy().max(1, keepdims=True))
    np.testing.assert_allclose(got, e / e.sum(1, keepdims=True), rtol=2e-6)


def test_cheap_values_are_computed_again_and_dear_ones_kept() -> None:
    f = jg.jit(lambda x: (lambda c: c / (c * c).sum(-1, keepdim=True))(x - x.mean(-1, keepdim=True)))
    f(data(40, 30))
    assert {row.op.name for row in program(f).plan.local} == {"sum", "div"}  # the sums and the means
    g = jg.jit(lambda x: (lambda e: e / e.sum(-1, keepdim=True))(x.exp()))
    g(data(40, 30))
    assert {row.op.name for row in program(g).plan.local} == {"exp", "sum"}


VIEWS = {
    "transpose": lambda x: x.T * 2,
    "slices": lambda x: x[1:, ::2] * x[:-1, 1::2],
    "negative index": lambda x: x[-1] + x[0] * 2,
    "one element": lambda x: x[1, 2] * x,
    "new axes": lambda x: x[:, None, :] - x[None, :, :],
    "reshape": lambda x: x.reshape(6, 4) * x.reshape(-1, 4)[0],
    "reshape of a transpose": lambda x: x.T.reshape(4, 6).sin(),
    "expand": lambda x: x[:, :1].expand(4, 6) * x,
    "narrow": lambda x: x.narrow(1, 2, 3).exp(),
    "flip": lambda x: jg.flip(x, (0, 1)) * x,
    "cat": lambda x: jg.cat([x, x * 2, x[:1]], 0).sin(),
    "cat columns": lambda x: jg.cat([x.sin(), x], 1),
    "sum of a transpose": lambda x: (x.T * x.T.sin()).sum(0),
    "sum of the rows of a transpose": lambda x: x.T.sum(1) + x.T[:, 1:].amax(1),
    "reductions over one row": lambda x: x[:1].sum(0) * x,
    "many slices": lambda x: x[0] * x[1] + x[2] * x[3] - x[1],
    "result in another shape": lambda x: (x * 2).reshape(2, 12),
    "number in another shape": lambda x: x.sum().reshape(1, 1),
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_and_their_transposes_are_machine_code(name: str, tiles: None) -> None:
    f = agree(VIEWS[name], data(4, 6))
    assert numpy_rows(f) == []


def test_slices_of_one_tensor_share_the_memory_of_its_gradient() -> None:
    def curve(x: jg.Tensor) -> jg.Tensor:
        return sum((x[i] * x[i + 1] for i in range(8)), jg.tensor(0.0, dtype=jg.float64))

    f = agree(curve, data(9))
    plan = program(f).plan
    assert len(plan.home) >= 10  # each partial sum goes on in the memory of the one before


def test_a_value_that_others_read_is_not_written_over() -> None:
    def f(x: jg.Tensor) -> jg.Tensor:
        y = x * 2
        z = y.clone()
        z[1] = 0.0
        return y * z

    agree(f, data(5, 3))


SIZES = [(1, 5, 1), (4, 4, 4), (5, 17, 33), (33, 3, 20), (1, 40, 19), (19, 40, 1), (7, 1, 5), (16, 16, 16), (2, 70, 2)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_small_products(size: tuple[int, int, int], dtype: Any) -> None:
    m, k, n = size
    rtol = 2e-5 if dtype is np.float32 else 1e-12
    for x_turned, y_turned in itertools.product((False, True), repeat=2):
        x = data(*((k, m) if x_turned else (m, k)), dtype=dtype)
        y = data(*((n, k) if y_turned else (k, n)), dtype=dtype)

        def product(x: jg.Tensor, y: jg.Tensor, turned: tuple = (x_turned, y_turned)) -> jg.Tensor:
            return (x.T if turned[0] else x) @ (y.T if turned[1] else y)

        f = agree(product, x, y, rtol=rtol)
        assert "matmul" not in numpy_rows(f)


def test_small_products_in_a_batch_and_of_what_was_just_computed() -> None:
    f = agree(lambda x, y: (x.sin() @ y.exp()).tanh(), data(3, 4, 5), data(3, 5, 6))
    assert numpy_rows(f) == []
    agree(lambda x, y: (x @ y[:, ::2]) @ x[1:, :3].T, data(4, 5), data(5, 6))


def test_a_product_of_what_is_repeated() -> None:
    agree(lambda x: x @ jg.ones(4, 3, dtype=jg.float64), data(5, 4))
    agree(lambda x: x[:1].expand(6, 4) @ x.T, data(5, 4))


def test_large_products_are_left_to_blas() -> None:
    f = jg.jit(lambda x, y: x @ y + 1)
    f(data(100, 100), data(100, 100))
    assert numpy_rows(f) == ["matmul"]


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 3)])
def test_empty_arrays(shape: tuple[int, ...]) -> None:
    agree(lambda x: (x * 2).sum(-1), data(*shape))
    agree(lambda x: jg.cat([x, x], 0).sin(), data(*shape))
    agree(lambda x: x.reshape(-1) * 2 + x.sum(), data(*shape))


def test_results_that_are_views_of_one_result_do_not_share_memory() -> None:
    f = jg.jit(lambda x: (lambda y: (y, y.reshape(6), y.T, y.reshape(3, 2)))(x * 2))
    x = data(2, 3)
    results = [r.numpy() for r in f(x)]
    for a, b in itertools.combinations(results, 2):
        assert not np.shares_memory(a, b)
    np.testing.assert_array_equal(results[3], (x.numpy() * 2).reshape(3, 2))


def test_one_index_a_row_is_a_mask_in_the_loop() -> None:
    classes = jg.tensor([3, 0, 2, 4])
    f = agree(lambda x: jg.gather(x, 1, classes.reshape(4, 1)) * x, data(4, 5))
    assert set(numpy_rows(f)) <= {"places", "within", "reshape"}
    loss = agree(lambda x: jg.cross_entropy(x, jg.tensor([3, 0, 2, 1])), data(4, 5))
    assert len([phase for phase in program(loss).plan.phases if phase.levels]) <= 3


def test_an_index_out_of_bounds_is_an_error_under_jit() -> None:
    f = jg.jit(lambda x, k: jg.gather(x, 1, k))
    x = data(2, 3)
    assert f(x, jg.tensor([[2], [0]])).shape == (2, 1)
    with pytest.raises(IndexError, match="index 3 is out of bounds for a dimension of size 3"):
        f(x, jg.tensor([[0], [3]]))


def test_what_is_repeated_is_computed_once() -> None:
    f = jg.jit(lambda x, s: (x * jg.log(s.reshape(40, 1).expand(40, 30)) * (s.sum() + 1).expand(40, 30).exp()).sum())
    f(data(40, 30), data(40) + 2)
    (log,) = [row for row in program(f).tape.rows if row.op.name == "log"]
    (exp,) = [row for row in program(f).tape.rows if row.op.name == "exp"]
    assert log.shape == (40, 1)
    assert exp.shape == ()


def changed(x: jg.Tensor, index: Any, value: Any, adds: bool) -> jg.Tensor:
    y = x * 1.5
    if adds:
        y[index] += value
    else:
        y[index] = value
    return y


INPLACE = {
    "add a number": lambda x: changed(x, slice(0, 1), 0.5, True) * x,
    "add what it is": lambda x: changed(x, slice(1, None), x[:-1], True).sin(),
    "twice": lambda x: changed(changed(x, 0, 2.0, True), (slice(None), slice(None, None, 2)), 0.25, False) * x,
    "its own part": lambda x: (lambda y: changed(y, slice(0, 2), y[2:] * y[:2], False) + y[0])(x * 2),
    "after it was read": lambda x: (lambda y: y.sum(0) + changed(y, -1, 1.0, True)[0])(x.exp()),
}


@pytest.mark.parametrize("name", INPLACE)
def test_changes_of_parts(name: str, tiles: None) -> None:
    agree(INPLACE[name], data(4, 6))


def test_the_gradient_of_log_softmax_takes_no_second_exp() -> None:
    for dim in (0, 1):
        f = agree(lambda x, dim=dim: jg.log_softmax(x * 30, dim) * x, data(7, 9))
        assert len([row for row in program(f).tape.rows if row.op.name == "exp"]) == 1
