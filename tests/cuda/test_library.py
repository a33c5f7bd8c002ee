"""Products and running sums by the kernels written by hand, and what all of these have in common.

Against NumPy, in the simulator, which looks for races and accesses out of bounds.
"""

from __future__ import annotations

import ast

import numpy as np
import pytest

from jitgrad.ops.sums import running
from jitgrad.sweeps.cuda.library import product, scatter, sorting
from jitgrad.sweeps.cuda.library import running as running_sums
from jitgrad.sweeps.cuda.library.launches import LARGEST, kernel
from tests.cuda.library import BLOCKS, FLOATS, SIZES, WHOLE, carry_out, every_kernel, numpy_dtype, words


@pytest.mark.parametrize("block", [1, 2, 4, 8, 64])
@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (1, 3, 5, 9), (2, 8, 8, 8), (3, 7, 1, 2), (1, 9, 17, 5)])
def test_products(block, sizes):
    batch, m, k, n = sizes
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(batch, m, k)), rng.normal(size=(batch, k, n))
    c = np.full((batch, m, n), np.nan)
    carry_out(product.matmul("float64", *sizes, block, (m * k, k, 1), (k * n, n, 1)), [a, b, c])
    np.testing.assert_allclose(c, a @ b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [*FLOATS, *WHOLE, "bool"])
def test_products_of_every_dtype(dtype):
    rng, kind = np.random.default_rng(1), numpy_dtype(dtype)
    a, b = (rng.integers(0, 2 if dtype == "bool" else 100, size).astype(kind) for size in ((5, 6), (6, 7)))
    if dtype in FLOATS:
        a, b = (a / 8 - 5).astype(kind), (b / 8 - 7).astype(kind)
    c = np.empty((5, 7), kind)
    carry_out(product.matmul(dtype, 1, 5, 6, 7, 8, (0, 6, 1), (0, 7, 1)), [a, b, c])
    wide = (a.astype(np.float64) @ b.astype(np.float64)).astype(kind) if dtype in FLOATS else a @ b
    rounding = {"float32": 1e-6, "float64": 1e-14, "float16": 1e-3, "bfloat16": 8e-3}.get(dtype, 0)
    np.testing.assert_allclose(c.astype(np.float64), wide.astype(np.float64), rtol=rounding, atol=rounding)


@pytest.mark.parametrize("block", BLOCKS)
def test_products_of_views(block):
    """Transposed, and one matrix for the whole batch."""
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(9, 5)), rng.normal(size=(2, 7, 9))
    c = np.empty((2, 5, 7))
    carry_out(product.matmul("float64", 2, 5, 9, 7, block, (0, 1, 5), (63, 1, 9)), [a, b, c])
    np.testing.assert_allclose(c, a.T @ b.transpose(0, 2, 1), rtol=1e-12)


@pytest.mark.parametrize("dtype", [*FLOATS, "int16", "bool"])
@pytest.mark.parametrize("k", [64, 127, 128, 200, 333])
def test_long_products_are_divided(dtype, k):
    rng, kind = np.random.default_rng(k), numpy_dtype(dtype)
    a, b = (rng.integers(0, 2, (2, *size)).astype(kind) for size in ((3, k), (k, 5)))
    c = np.empty((2, 3, 5), kind)
    launches = product.matmul(dtype, 2, 3, k, 5, 8, (3 * k, k, 1), (5 * k, 5, 1))
    assert len(launches) == 1 + (k >= 128)
    carry_out(launches, [a, b, c])
    exact = a.astype(np.int64) @ b.astype(np.int64)  # of numbers so small that no dtype but bfloat16 rounds them
    np.testing.assert_array_equal(words(c), words(exact.astype(kind)))


def test_a_product_over_nothing_is_zero():
    c = np.full((2, 3), np.nan, np.float32)
    carry_out(product.matmul("float32", 1, 2, 0, 3, 8, (0, 0, 1), (0, 3, 1)), [np.ones(0, "f4"), np.ones(0, "f4"), c])
    assert (c == 0).all()


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize(("outer", "inner"), [(1, 1), (3, 1), (2, 3)])
def test_running_sums(block, n, outer, inner):
    x = np.random.default_rng(n).normal(size=(outer, n, inner)).astype(np.float32)
    z = np.full_like(x, np.nan)
    carry_out(running_sums.cumsum("float32", outer, n, inner, block), [x, z])
    np.testing.assert_allclose(z, running(x, 1), rtol=1e-7, atol=0)


@pytest.mark.parametrize("dtype", [*FLOATS, *WHOLE])
@pytest.mark.parametrize("n", [9, 100, 300])
def test_running_sums_of_every_dtype(dtype, n):
    """Long lines are divided, which the sums do not show; whole numbers wrap around."""
    kind = numpy_dtype(dtype)
    x = np.random.default_rng(3).integers(-100 if kind.kind != "u" else 0, 100, (2, n, 1)).astype(kind)
    z = np.empty_like(x)
    carry_out(running_sums.cumsum(dtype, 2, n, 1, 4), [x, z])
    np.testing.assert_array_equal(z.astype(np.float64), running(x, 1).astype(np.float64))


@pytest.mark.parametrize("n", [3, 20, 100])
def test_running_sums_keep_what_is_special(n):
    for value, at in ((-0.0, slice(None)), (np.inf, n // 2), (np.nan, n - 2)):
        x = np.zeros(n, np.float32) if isinstance(at, int) else np.full(n, value, np.float32)
        x[at] = value
        z = np.full_like(x, 7)
        carry_out(running_sums.cumsum("float32", 1, n, 1, 4), [x, z])
        np.testing.assert_array_equal(words(z), words(np.cumsum(x)))


def test_running_sums_in_place():
    for n, inner in ((5, 1), (40, 1), (200, 1), (50, 3)):
        x = np.arange(n * inner, dtype=np.int64).reshape(n, inner)
        expected = np.cumsum(x, 0)
        carry_out(running_sums.cumsum("int64", 1, n, inner, 4), [x, x])
        np.testing.assert_array_equal(x, expected)


def test_empty_arrays_need_no_launches():
    assert product.matmul("float32", 0, 3, 3, 3, 8, (9, 3, 1), (9, 3, 1)) == []
    assert product.matmul("float32", 1, 3, 3, 0, 8, (9, 3, 1), (0, 0, 1)) == []
    for outer, n, inner in ((0, 3, 1), (2, 0, 1), (2, 3, 0)):
        assert running_sums.cumsum("float32", outer, n, inner, 8) == []
    assert sorting.sort("float32", 0, 5, False, 8) == sorting.sort("float32", 5, 0, False, 8) == []
    assert scatter.index_add("float32", 0, 5, 8) == scatter.index_put("float32", 0, 5, 8) == []


def test_too_many_elements():
    n = LARGEST + 1
    for call in (
        lambda: product.matmul("float32", 1, n, 1, 1, 8, (0, 1, 1), (0, 1, 1)),
        lambda: running_sums.cumsum("float32", 1, n, 1, 8),
        lambda: sorting.sort("float32", 1, 2**30 + 1, False, 8),
        lambda: scatter.index_add("float32", n, 5, 8),
        lambda: scatter.index_put("float32", 5, n, 8),
    ):
        with pytest.raises(ValueError, match="split it"):
            call()


def test_texts_have_no_sizes():
    """So that one compiled kernel serves all shapes."""
    for make in (
        lambda n: product.matmul("float32", 1, n, n, n, 8, (0, n, 1), (0, n, 1)),
        lambda n: running_sums.cumsum("float32", 1, n, 1, 8),
        lambda n: sorting.sort("float32", 2, n, True, 8),
        lambda n: scatter.index_add("float32", n, n, 8),
    ):
        few, many = ({launch[0] for launch in make(n)} for n in (300, 400))
        assert few == many


def test_all_kernels_say_what_they_take():
    for made in every_kernel(8):
        (function,) = ast.parse(made.text).body
        assert function.name == "kernel"
        assert len(function.args.args) == len(made.types)


def test_blocks_are_powers_of_two():
    with pytest.raises(ValueError, match="a power of two is needed"):
        kernel(12, {}, ["pass"])
