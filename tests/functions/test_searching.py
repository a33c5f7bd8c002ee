"""Sorting, searching, sets, counts and histograms, as PyTorch has them."""

from __future__ import annotations

import math

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.errors import TracedValueError
from tests.functions.test_reductions import CUBE, X, both, same


def test_order_and_places() -> None:
    same(both("argsort", X, 1)[0], np.argsort(X, 1))
    assert jg.argsort(jg.tensor([1, 1, 0]), stable=True).tolist() == [2, 0, 1]
    same(both("msort", CUBE)[0], np.sort(CUBE, 0))
    assert both("count_nonzero", [[0.0, 2.0], [math.nan, 0.0]], dim=0)[0].tolist() == [1, 1]
    assert jg.count_nonzero(jg.tensor([True, False])).item() == 1
    edges = np.array([-1.0, 0.0, 0.0, 1.0])
    for right in (False, True):
        want = np.searchsorted(edges, CUBE, "right" if right else "left")
        same(jg.searchsorted(jg.tensor(edges), jg.tensor(CUBE), right=right), want)
        same(jg.bucketize(jg.tensor(CUBE), jg.tensor(edges), right=right), want)
    ordered = np.sort(CUBE)
    found = jg.searchsorted(jg.tensor(ordered), jg.tensor(CUBE), side="right")
    same(found, (ordered[..., None, :] <= CUBE[..., None]).sum(-1))
    assert jg.searchsorted(jg.tensor([1, 2, 3]), 2.5).item() == 2
    assert jg.bucketize(2, jg.tensor([1, 2]), out_int32=True).dtype == jg.int32
    assert jg.searchsorted(jg.tensor([3, 1, 2]), jg.tensor([2]), sorter=jg.tensor([1, 2, 0])).tolist() == [1]
    assert jg.searchsorted(jg.tensor([1.0]), jg.tensor([math.nan])).tolist() == [1]
    assert jg.searchsorted(jg.zeros(2, 0), jg.zeros(2, 3)).tolist() == [[0] * 3] * 2
    s = jg.tensor([1, 2, 3])
    for wrong in (
        lambda: jg.searchsorted(s, s, side="middle"),
        lambda: jg.searchsorted(s, s, side="left", right=True),
        lambda: jg.searchsorted(jg.tensor(1), s),
        lambda: jg.searchsorted(jg.tensor([[1, 2]]), s),
        lambda: jg.searchsorted(s, s, sorter=jg.tensor([0])),
        lambda: jg.searchsorted(s, s, sorter=jg.tensor([0.0, 1, 2])),
        lambda: jg.searchsorted(s, s, sorter=jg.tensor([0, 1, 5])),
        lambda: jg.bucketize(s, jg.tensor([[1]])),
    ):
        with pytest.raises(RuntimeError):
            wrong()


@pytest.mark.parametrize("largest", [False, True])
def test_few_of_many_are_those_of_all_in_order(largest: bool) -> None:
    rng = np.random.default_rng(4)
    for shape, dim in (((40,), 0), ((3, 33), 1), ((17, 4), 0), ((2, 20, 3), 1)):
        for missing in (0.0, 0.2, 0.95):
            x = np.where(rng.uniform(size=shape) < missing, math.nan, rng.integers(0, 6, shape))
            found = jg.tensor(x).topk(2, dim, largest)
            for got, want in zip(found, jg.tensor(x).sort(dim, largest)):
                np.testing.assert_array_equal(got.numpy(), np.take(want.numpy(), [0, 1], dim))


def test_members_of_sets() -> None:
    x = jg.tensor([[1, 2], [3, 2]])
    assert jg.isin(x, jg.tensor([2, 3])).tolist() == [[False, True], [True, True]]
    assert jg.isin(x, 2, invert=True).tolist() == [[True, False], [True, False]]
    assert jg.isin(2, x).item() is True
    assert jg.isin(jg.tensor([1, math.nan]), jg.tensor([math.nan])).tolist() == [False, False]
    assert jg.isin(jg.tensor([1]), jg.tensor([])).tolist() == [False]
    with pytest.raises(TypeError, match="tensor"):
        jg.isin(1, 2)


def test_different_elements() -> None:
    values, inverse, counts = both("unique", [[3, 1], [3, 2]], return_inverse=True, return_counts=True)
    assert (values.tolist(), inverse.tolist(), counts.tolist()) == ([1, 2, 3], [[2, 0], [2, 1]], [1, 1, 2])
    assert jg.tensor([[3, 1], [3, 1]]).unique(dim=0).tolist() == [[3, 1]]
    assert len(jg.tensor([math.nan, math.nan, 1.0]).unique()) == 3
    assert jg.tensor(1.0).unique(return_inverse=True)[1].tolist() == 0
    found = both("unique_consecutive", [1, 1, 2, 1], return_inverse=True, return_counts=True)
    assert [f.tolist() for f in found] == [[1, 2, 1], [0, 0, 1, 2], [2, 1, 1]]
    assert jg.tensor([[1, 1], [1, 1], [2, 2]]).unique_consecutive(dim=0).tolist() == [[1, 1], [2, 2]]
    assert jg.tensor([]).unique_consecutive(return_counts=True)[1].tolist() == []
    x = jg.tensor([2.0, 1.0, 2.0], requires_grad=True)
    (x.unique() * jg.tensor([10.0, 20.0])).sum().backward()
    assert x.grad.tolist() == [20, 10, 0]
    with pytest.raises(IndexError):
        jg.tensor(1.0).unique(dim=0)
    with pytest.raises(RuntimeError, match="empty"):
        jg.zeros(2, 0).unique(dim=0)
    for name in ("unique", "unique_consecutive", "bincount"):
        with pytest.raises(TracedValueError, match=name):
            jg.jit(lambda x, name=name: getattr(x, name)())(jg.tensor([1, 2]))


def test_counts() -> None:
    assert both("bincount", [1, 1, 3])[0].tolist() == [0, 2, 0, 1]
    assert jg.bincount(jg.tensor([], dtype=jg.int64), minlength=2).tolist() == [0, 0]
    assert jg.bincount(jg.tensor([1, 1]), jg.tensor([1, 2])).dtype == jg.float64
    w = jg.tensor([1.0, 2.0], requires_grad=True)
    out = jg.bincount(jg.tensor([1, 0]), w)
    assert out.dtype == jg.float32
    assert out.tolist() == [2, 1]
    out[0].backward()
    assert w.grad.tolist() == [0, 1]
    for wrong in (
        lambda: jg.bincount(jg.tensor([-1])),
        lambda: jg.bincount(jg.tensor([[1]])),
        lambda: jg.bincount(jg.tensor([1]), jg.tensor([1.0, 2.0])),
        lambda: jg.bincount(jg.tensor([1]), minlength=-1),
        lambda: jg.bincount(jg.tensor([1.0])),
    ):
        with pytest.raises(RuntimeError):  # NotImplementedError is one
            wrong()


def test_histograms_are_numpys() -> None:
    edges = np.array([-1.5, -0.2, 0.0, 1.0])
    weights = np.abs(CUBE)
    for dense in (False, True):
        hist, found = both("histogram", CUBE, 7, density=dense)
        want, at = np.histogram(CUBE, 7, density=dense)
        same(hist, want.astype(float))
        same(found, at)
        hist = jg.histogram(jg.tensor(CUBE), jg.tensor(edges), weight=jg.tensor(weights), density=dense).hist
        same(hist, np.histogram(CUBE, edges, weights=weights, density=dense)[0])
        points = CUBE.reshape(-1, 2)
        found = jg.histogramdd(jg.tensor(points), [3, 4], range=[-2.0, 2.0, -1.0, 1.0], density=dense)
        same(found.hist, np.histogramdd(points, (3, 4), [(-2, 2), (-1, 1)], density=dense)[0])
        assert [tuple(e.shape) for e in found.bin_edges] == [(4,), (5,)]
    same(both("histc", CUBE, 5)[0], np.histogram(CUBE, 5)[0].astype(float))
    assert jg.histc(jg.tensor([1.0, 2.0, math.nan, 9.0]), 3, 0, 3).tolist() == [0, 1, 1]
    assert jg.histc(jg.tensor([1.0, 1.0]), 3).tolist() == [0, 2, 0]
    for wrong in (
        lambda: jg.histc(jg.tensor([1.0]), 0),
        lambda: jg.histc(jg.tensor([1.0]), 3, 3, 0),
        lambda: jg.histc(jg.tensor([1.0, math.nan]), 3),
        lambda: jg.histc(jg.tensor([1]), 3),
        lambda: jg.histogram(jg.tensor([1.0]), 3, range=(2, 1)),
        lambda: jg.histogram(jg.tensor([1.0]), 3, weight=jg.tensor([1.0, 2.0])),
        lambda: jg.histogram(jg.tensor([1.0]), jg.tensor([1.0])),
        lambda: jg.histogramdd(jg.tensor([1.0]), 3),
        lambda: jg.histogramdd(jg.tensor([[1.0, 2.0]]), [3]),
    ):
        with pytest.raises(RuntimeError):
            wrong()
