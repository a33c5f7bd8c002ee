"""Sorting, and adding and writing at computed places, by the kernels written by hand: against NumPy, in the simulator."""

from __future__ import annotations

import numpy as np
import pytest

from jitgrad.ops.sums import added_at
from jitgrad.sweeps.cuda.library import scatter, sorting
from jitgrad.sweeps.cuda.library.keys import key_of
from tests.cuda.library import BLOCKS, FLOATS, SIZES, WHOLE, carry_out, numpy_dtype, values_of, words


def order_of(x, descending):
    """Stable, nan the largest, of either sign."""
    x = np.where(np.isnan(x), np.nan, x) if x.dtype.kind not in "iub" else x
    if not descending:
        return np.argsort(x, -1, kind="stable")
    return x.shape[-1] - 1 - np.flip(np.argsort(np.flip(x, -1), -1, kind="stable"), -1)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_sorting(block, n, descending, dtype):
    x = values_of(dtype, (3, n), n)
    values, places = np.full_like(x, 5), np.full(x.shape, -7)
    carry_out(sorting.sort(dtype, 3, n, descending, block), [x, values, places])
    np.testing.assert_array_equal(places, order_of(x, descending))
    np.testing.assert_array_equal(words(values), words(np.take_along_axis(x, places, -1)))


@pytest.mark.parametrize("dtype", [*FLOATS, *WHOLE, "bool"])
@pytest.mark.parametrize("descending", [False, True])
def test_sorting_every_dtype(dtype, descending):
    x = values_of(dtype, (2, 21), 4)
    values, places = np.zeros_like(x), np.full(x.shape, -7)
    carry_out(sorting.sort(dtype, 2, 21, descending, 4), [x, values, places])
    wide = x.astype(np.float64) if dtype == "bfloat16" else x
    np.testing.assert_array_equal(places, order_of(wide, descending))
    np.testing.assert_array_equal(words(values), words(np.take_along_axis(x, places, -1)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_keys_are_in_the_order_of_all_halves(dtype):
    every = np.arange(2**16, dtype=np.uint16)
    names = {"u32": lambda value: int(value) & 0xFFFFFFFF}
    code = compile("\n".join(key_of(dtype, False).lines), dtype, "exec")
    keys = []
    for word in every:
        names["w"] = int(word)
        exec(code, names)
        keys.append(names["c"])
    with np.errstate(invalid="ignore"):  # of signalling nan
        x = every.view(numpy_dtype(dtype)).astype(np.float64)
    ranks = np.unique(np.where(np.isnan(x), np.inf, x), return_inverse=True)[1] + np.isnan(x)
    _, keys = np.unique(keys, return_inverse=True)
    np.testing.assert_array_equal(keys, ranks)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64"])
def test_adding_at_places(block, n, dtype):
    """To the last bit what NumPy gives, which adds one after the other, where not very many are for one element."""
    rng = np.random.default_rng(n)
    kind, size = numpy_dtype(dtype), n // 2 + 1
    places = rng.integers(0, size, n)
    values, out = (rng.normal(size=k).astype(np.float32) * 100 for k in (n, size))
    values, out = values.astype(kind), out.astype(kind)
    expected = out.copy()
    added_at(expected, places, values)
    carry_out(scatter.index_add(dtype, n, size, block), [places, values, out])
    np.testing.assert_array_equal(words(out), words(expected))


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "int32", "bool"])
@pytest.mark.parametrize("lengths", [[100], [3, 40, 8, 9, 1], [16, 16, 16], [7, 33, 24, 0, 15], [8] * 6, [1, 17, 1, 23]])
def test_adding_many_at_one_place(dtype, lengths):
    """These are cut, at 8 in a small block, and joined: whole numbers, which round nothing, show that each is counted once."""
    kind, size = numpy_dtype(dtype), len(lengths)
    places = np.random.default_rng(0).permutation(np.repeat(np.arange(size), lengths))
    values = (np.arange(len(places)) % 3 - 1).astype(kind)
    for inner in (1, 2):
        given = np.repeat(values[:, None], inner, 1)
        out = np.ones((size, inner), kind)
        expected = out.copy()
        np.add.at(expected, places, given)
        carry_out(scatter.index_add(dtype, len(places), size, 4, inner), [places, given, out])
        np.testing.assert_array_equal(words(out), words(expected))


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("dtype", ["float64", "float16", "bool", "int8"])
def test_writing_at_places(block, n, dtype):
    """Of several values for one place the last stays."""
    places = np.random.default_rng(n).integers(0, 6, n)
    values, out = values_of(dtype, n, 5), values_of(dtype, 6, 6)
    expected = out.copy()
    for at, value in zip(places, values):
        expected[at] = value
    carry_out(scatter.index_put(dtype, n, 6, block), [places, values, out])
    np.testing.assert_array_equal(words(out), words(expected))


@pytest.mark.parametrize("work", ["index_add", "index_put"])
def test_rows_at_places(work):
    rng = np.random.default_rng(7)
    places, values, out = rng.permutation(np.arange(30) % 4), rng.normal(size=(30, 5)), rng.normal(size=(4, 5))
    expected = out.copy()
    if work == "index_add":
        np.add.at(expected, places, values)
    else:
        expected[places] = values
    carry_out(getattr(scatter, work)("float64", 30, 4, 4, inner=5), [places, values, out])
    np.testing.assert_array_equal(out, expected)


def test_places_that_do_not_exist_are_left_out():
    places, out = np.array([-1, 3, 0, 9, -(2**31)]), np.zeros(3)
    carry_out(scatter.index_add("float64", 5, 3, 4), [places, np.arange(1.0, 6.0), out])
    np.testing.assert_array_equal(out, [3, 0, 0])


def test_bools_are_added_as_or():
    out = np.array([False, True, False])
    carry_out(scatter.index_add("bool", 3, 3, 4), [np.array([0, 0, 1]), np.array([True, True, False]), out])
    np.testing.assert_array_equal(out.view(np.uint8), [1, 1, 0])


def test_zeros_keep_their_sign():
    out = np.full(2, -0.0, np.float32)
    carry_out(scatter.index_add("float32", 2, 2, 4), [np.array([0, 0]), np.full(2, -0.0, np.float32), out])
    assert np.signbit(out).all()
