"""Reductions, scans and statistics, as PyTorch has them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special

import jitgrad as jg
from tests.helpers.whole import whole

rng = np.random.default_rng(3)
X = rng.uniform(-2, 2, (3, 4))
WITH_ZEROS = X * (np.abs(X) > 0.7)
HOLES = np.where(np.arange(12).reshape(3, 4) % 5 == 1, math.nan, X)
CUBE = rng.uniform(-2, 2, (2, 3, 4))
SPECIALS = np.array([1.0, -math.inf, 2.0, 2.0, math.nan, 3.0, math.inf])


def same(got: jg.Tensor, want: object, dtype: jg.DType | None = None) -> None:
    want = np.asarray(want)
    assert got.dtype == (dtype or jg.as_tensor(want).dtype)
    assert tuple(got.shape) == want.shape
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-12, atol=1e-12)


def both(name: str, x: object, *args: object, **kwargs: object) -> list:
    """Results as function and as method, which are the same."""
    x = jg.tensor(x)
    found, own = getattr(jg, name)(x, *args, **kwargs), getattr(x, name)(*args, **kwargs)
    found, own = (list(r) if isinstance(r, tuple) else [r] for r in (found, own))
    for a, b in zip(found, own, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    return found


def test_everything_holds_in_every_way_of_running() -> None:
    whole(
        {
            "cumprod": (lambda x: x.cumprod(1), [WITH_ZEROS]),
            "cumprod 0": (lambda x: jg.cumprod(x, 0), [X]),
            "logcumsumexp": (lambda x: x.logcumsumexp(-1), [X]),
            "logcumsumexp ties": (lambda x: jg.logcumsumexp(x, 0), [np.round(X)]),
            "cummax": (lambda x: jg.cummax(x, 1), [X]),
            "cummin": (lambda x: x.cummin(0), [X]),
            "median": (lambda x: x.median(1), [X]),
            "median of all": (jg.median, [X]),
            "nanmedian": (lambda x: jg.nanmedian(x, 0, True), [X]),
            "kthvalue": (lambda x: x.kthvalue(2, 0, keepdim=True), [X]),
            "mode": (lambda x: x.mode(1), [X]),
            "quantile": (lambda x: x.quantile(0.3, 1), [X]),
            "quantiles": (lambda x, q: x.quantile(q, 0, keepdim=True), [X, np.array([0.1, 0.55])]),
            "nanquantile": (lambda x: jg.nanquantile(x, 0.3), [X]),
            "nansum": (lambda x: x.nansum(1), [X]),
            "nanmean": (lambda x: x.nanmean((0, 1)), [X]),
            "dist": (lambda x, y: jg.dist(x, y, 3), [X, X[:1] * 0.3]),
            "renorm": (lambda x: x.renorm(2, 1, 1.5), [X]),
        }
    )


def test_more_of_it_holds_in_every_way_of_running() -> None:
    places, weights = np.array([0.0, 0.5, 1.7, 2.0]), np.array([0.5, 1.0, 0.25, 2.0])
    times = np.array([2, 1, 3, 1])
    whole(
        {
            "trapezoid": (lambda y, x: jg.trapezoid(y, x), [X, places]),
            "trapezoid dx": (lambda y: jg.trapz(y, dx=0.3, dim=0), [X]),
            "cumulative_trapezoid": (lambda y, x: jg.cumulative_trapezoid(y, x, dim=1), [X, places]),
            "diff": (lambda x, p: x.diff(2, 0, prepend=p), [X, X[:1]]),
            "gradient": (lambda x: jg.gradient(x, spacing=0.5, edge_order=2), [rng.uniform(-1, 1, (3, 3))]),
            "gradient places": (lambda x, p: jg.gradient(x, spacing=(p,), dim=1), [X, places]),
            "cov": (jg.cov, [X]),
            "cov weights": (lambda x, f, w: x.cov(fweights=f, aweights=w), [X, times, weights]),
            "corrcoef": (lambda x: x.corrcoef()[0], [rng.uniform(-1, 1, (2, 4))[:, :]]),
            "var_mean": (lambda x: jg.var_mean(x, 0, correction=0), [X]),
            "std_mean": (lambda x: jg.std_mean(x, 1, keepdim=True), [X]),
            "argsort": (lambda x: jg.argsort(x, 1, descending=True), [X]),
            "msort": (jg.msort, [X]),
            "count_nonzero": (lambda x: x.count_nonzero(1), [WITH_ZEROS]),
            "searchsorted": (lambda s, x: jg.searchsorted(s, x), [np.sort(X), X]),
            "bucketize": (lambda x, b: jg.bucketize(x, b, right=True), [X, places]),
            "isin": (lambda x, y: jg.isin(x, y), [X, X[:2, 1]]),
            "histc": (lambda x: x.histc(5).long(), [X]),
            "histogram": (lambda x: jg.histogram(x, 4)[0].long(), [X]),
        }
    )


def test_scans_are_numpys() -> None:
    same(both("cumprod", X, 0)[0], np.cumprod(X, 0))
    same(both("cumprod", [[1, 2], [3, 4]], 1)[0], [[1, 2], [3, 12]])
    assert jg.tensor([True, True]).cumprod(0).dtype == jg.int64
    assert jg.tensor([2, 3], dtype=jg.int32).cumprod(0, dtype=jg.float64).dtype == jg.float64
    same(both("logcumsumexp", CUBE, 1)[0], np.logaddexp.accumulate(CUBE, 1))
    same(jg.tensor([-math.inf, 0.0, math.inf, 1.0]).logcumsumexp(0), np.float32([-math.inf, 0, math.inf, math.inf]))
    same(jg.tensor([1000.0, 1000.0]).logcumsumexp(0), np.float32([1000, 1000 + math.log(2)]))
    many = np.full(3000, 1.001, np.float32)
    np.testing.assert_allclose(jg.tensor(many).cumprod(0).numpy(), np.cumprod(many.astype(float)), rtol=1e-7)
    for name in ("cumprod", "logcumsumexp", "cummax", "cummin"):
        assert both(name, 2.0, 0)[0].shape == ()
        assert tuple(both(name, np.zeros((2, 0)), 1)[0].shape) == (2, 0)


def test_scans_in_place() -> None:
    x = jg.tensor([1.0, 2.0, 3.0])
    assert x.cumprod_(0).tolist() == [1, 2, 6]
    assert x.cumsum_(0).tolist() == [1, 3, 9]
    y = jg.tensor([[3.0, 4.0], [0.3, 0.4]])
    assert y.renorm_(2, 0, 1) is y
    np.testing.assert_allclose(y.numpy(), [[0.6, 0.8], [0.3, 0.4]], rtol=1e-6)


def test_running_extremes_find_the_last_of_equal_ones_and_nan() -> None:
    x = [1.0, 3.0, 3.0, math.nan, 2.0, math.nan]
    values, indices = both("cummax", x, 0)
    np.testing.assert_array_equal(values.numpy(), [1, 3, 3, math.nan, math.nan, math.nan])
    assert indices.tolist() == [0, 1, 2, 3, 3, 5]
    found = jg.tensor([3, 1, 2, 1]).cummin(dim=0)
    assert (found.values.tolist(), found.indices.tolist()) == ([3, 1, 1, 1], [0, 1, 1, 3])
    assert type(found).__name__ == "cummin"
    assert jg.tensor([True, False]).cummax(0).indices.tolist() == [0, 0]


def test_sums_and_means_without_nan() -> None:
    same(both("nansum", HOLES, 0)[0], np.nansum(HOLES, 0))
    same(both("nanmean", HOLES, 1, True)[0], np.nanmean(HOLES, 1, keepdims=True))
    same(jg.nansum(jg.tensor([1, 2], dtype=jg.uint8)), np.int64(3))
    same(jg.nansum(jg.tensor([1, 2]), dtype=jg.float64), 3.0)
    assert math.isnan(jg.tensor([math.nan]).nanmean().item())
    with pytest.raises(RuntimeError, match="floating"):
        jg.tensor([1]).nanmean()
    x = jg.tensor(HOLES, requires_grad=True)
    x.nanmean().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.isfinite(HOLES) / np.isfinite(HOLES).sum())


def test_medians() -> None:
    same(both("median", CUBE)[0], np.sort(CUBE.ravel())[11])
    assert math.isnan(jg.tensor(HOLES).median().item())
    same(both("nanmedian", HOLES)[0], np.sort(HOLES[np.isfinite(HOLES)])[(np.isfinite(HOLES).sum() - 1) // 2])
    found = jg.tensor([2.0, math.nan, 1.0, math.nan]).median(0)
    assert found.indices.item() == 1
    assert math.isnan(found.values.item())
    assert jg.tensor([2.0, math.nan, 1.0]).nanmedian(0).indices.item() == 2
    assert math.isnan(jg.tensor([math.nan, math.nan]).nanmedian(0).values.item())
    assert jg.tensor([4, 1, 3, 2]).median().item() == 2
    assert jg.tensor(3.0).median(0).values.item() == 3
    assert math.isnan(jg.tensor([]).median().item())
    x = jg.tensor([1.0, 2.0, 2.0, 3.0], requires_grad=True)
    x.median().backward()
    assert x.grad.tolist() == [0, 0.5, 0.5, 0]  # shared by equal elements, as in PyTorch
    with pytest.raises(IndexError, match="empty"):
        jg.zeros(2, 0).median(1)
    with pytest.raises(NotImplementedError, match="bool"):
        jg.tensor([True]).median()


@pytest.mark.parametrize("way", ["linear", "lower", "higher", "midpoint", "nearest"])
def test_quantiles_are_numpys(way: str) -> None:
    q = np.array([0.0, 0.2, 0.5, 1.0])
    same(jg.quantile(jg.tensor(CUBE), jg.tensor(q), 1, interpolation=way), np.quantile(CUBE, q, 1, method=way))
    same(jg.quantile(jg.tensor(CUBE), 0.3, interpolation=way), np.quantile(CUBE, 0.3, method=way))
    want = np.nanquantile(HOLES, q, 1, keepdims=True, method=way)
    same(jg.tensor(HOLES).nanquantile(jg.tensor(q), axis=1, keepdims=True, interpolation=way), want)


def test_quantiles_of_nan_and_wrong_ones() -> None:
    assert np.isnan(jg.tensor(HOLES).quantile(0.5, 1).numpy()).tolist() == np.isnan(HOLES).any(1).tolist()
    assert jg.tensor([1.0, math.inf]).quantile(0.0).item() == 1
    assert math.isnan(jg.tensor([math.nan]).nanquantile(0.5).item())
    assert tuple(jg.tensor([1.0]).quantile(jg.tensor([])).shape) == (0,)
    x = jg.tensor([1.0, 2.0])
    for wrong, why in (
        (lambda: x.quantile(2.0), "from 0 to 1"),
        (lambda: x.quantile(jg.tensor([0.5, -1.0])), "from 0 to 1"),
        (lambda: x.quantile(jg.tensor([[0.5]])), "one dimension"),
        (lambda: x.quantile(jg.tensor(0.5, dtype=jg.float64)), "equal"),
        (lambda: x.quantile(0.5, interpolation="cubic"), "one of"),
        (lambda: jg.tensor([1]).quantile(0.5), "float32 or float64"),
        (lambda: jg.tensor([]).quantile(0.5), "no elements"),
    ):
        with pytest.raises(RuntimeError, match=why):
            wrong()


def test_modes_and_kth_values() -> None:
    whole_numbers = rng.integers(0, 4, (6, 9))
    values, indices = both("mode", whole_numbers, 1)
    for row, value, index in zip(whole_numbers, values.tolist(), indices.tolist()):
        assert value == np.bincount(row).argmax()
        assert index == np.flatnonzero(row == value)[-1]
    assert jg.tensor([True, True, False]).mode().values.item() is True
    found = jg.tensor(X).kthvalue(2, 0)
    same(found.values, np.sort(X, 0)[1])
    same(found.indices, np.argsort(X, 0)[1])
    assert jg.tensor([2.0, math.nan, 1.0]).kthvalue(3).indices.item() == 1
    with pytest.raises(RuntimeError, match="k=3"):
        jg.tensor([1.0, 2.0]).kthvalue(3)
    with pytest.raises(IndexError):
        jg.zeros(2, 0).mode()


def test_norms_of_differences_and_slices() -> None:
    same(both("dist", X, jg.tensor(X[0]), 1)[0], np.abs(X - X[0]).sum())
    scaled = both("renorm", CUBE, 1, 1, 2.0)[0].numpy()
    sizes = np.abs(CUBE).sum((0, 2))
    np.testing.assert_allclose(np.abs(scaled).sum((0, 2)), np.minimum(sizes, 2), rtol=1e-6)
    for wrong in ((0, 0, 1), (2, 0, -1)):
        with pytest.raises(RuntimeError):
            jg.tensor(X).renorm(*wrong)
    with pytest.raises(RuntimeError, match="two dimensions"):
        jg.tensor([1.0]).renorm(2, 0, 1)


def test_integrals_differences_and_slopes_are_numpys() -> None:
    places = np.array([0.0, 0.5, 1.7, 2.0])
    same(jg.trapezoid(jg.tensor(X), jg.tensor(places)), np.trapezoid(X, places))
    same(jg.trapz(jg.tensor(X), dx=2, dim=0), np.trapezoid(X, dx=2, axis=0))
    assert jg.trapezoid(jg.tensor([1, 2, 3])).item() == 4
    assert jg.cumulative_trapezoid(jg.tensor([1, 2, 3])).tolist() == [1.5, 4]
    assert jg.trapezoid(jg.tensor([])).item() == 0
    with pytest.raises(RuntimeError, match="as many places"):
        jg.trapezoid(jg.tensor(X), jg.tensor([1.0, 2.0]))
    with pytest.raises(RuntimeError, match="bools"):
        jg.trapezoid(jg.tensor([True, False]))
    with pytest.raises(TypeError, match="one of them"):
        jg.trapezoid(jg.tensor(X), jg.tensor(places), dx=1)
    same(both("diff", CUBE, 2, 1)[0], np.diff(CUBE, 2, 1))
    same(jg.diff(jg.tensor(X), append=jg.tensor(X[:, :2])), np.diff(X, append=X[:, :2]))
    assert jg.tensor([True, False, False]).diff().tolist() == [True, False]
    assert jg.tensor([2, 1], dtype=jg.uint8).diff().tolist() == [255]
    assert tuple(jg.tensor([1, 2]).diff(5).shape) == (0,)
    for wrong in (
        lambda: jg.tensor(1.0).diff(),
        lambda: jg.tensor(X).diff(-1),
        lambda: jg.tensor(X).diff(prepend=jg.tensor(1.0)),
    ):
        with pytest.raises(RuntimeError):
            wrong()
    for order in (1, 2):
        for got, want in zip(jg.gradient(jg.tensor(CUBE), spacing=2.0, dim=(1, 2), edge_order=order), 2 * [None]):
            del want
            assert tuple(got.shape) == CUBE.shape
        got = jg.gradient(jg.tensor(X), spacing=[0.5, jg.tensor(places)], edge_order=order)
        for a, b in zip(got, np.gradient(X, 0.5, places, edge_order=order)):
            np.testing.assert_allclose(a.numpy(), b)
    with pytest.raises(RuntimeError, match="samples"):
        jg.gradient(jg.tensor([1.0]))
    with pytest.raises(RuntimeError, match="spacings"):
        jg.gradient(jg.tensor(X), spacing=[1.0])


def test_covariances_are_numpys() -> None:
    times, weights = np.array([2, 1, 3, 1]), np.array([0.5, 1.0, 0.25, 2.0])
    same(both("cov", X)[0], np.cov(X))
    same(jg.cov(jg.tensor(X), correction=0), np.cov(X, ddof=0))
    same(
        jg.cov(jg.tensor(X), fweights=jg.tensor(times), aweights=jg.tensor(weights)), np.cov(X, fweights=times, aweights=weights)
    )
    same(both("corrcoef", X)[0], np.corrcoef(X))
    assert jg.cov(jg.tensor([1, 2, 4])).dtype == jg.float32
    assert jg.corrcoef(jg.tensor([1.0, 2.0])).item() == 1
    assert math.isnan(jg.cov(jg.tensor([1.0])).item())
    for wrong in (
        {"fweights": jg.tensor([1.0, 2, 3, 4])},
        {"aweights": jg.tensor(times)},
        {"fweights": jg.tensor([1, 2])},
        {"fweights": jg.tensor([1, 2, 3, -4])},
    ):
        with pytest.raises(RuntimeError):
            jg.cov(jg.tensor(X), **wrong)


def test_variances_of_one_and_of_none() -> None:
    with np.errstate(all="ignore"):
        assert math.isnan(jg.tensor([1.0]).var().item())
        assert math.isnan(jg.tensor([]).std().item())
    assert jg.tensor([1.0]).var(unbiased=False).item() == 0
    var, mean = jg.var_mean(jg.tensor(X), 0, correction=None)
    same(var, X.var(0, ddof=1))
    same(mean, X.mean(0))
    same(jg.tensor(X).std(False), X.std())
    same(jg.std(jg.tensor(X), 1, False, True), X.std(1, keepdims=True))


def test_reductions_take_every_form() -> None:
    x = jg.tensor(CUBE)
    found = x.aminmax(dim=1)
    same(found.min, CUBE.min(1))
    same(found.max, CUBE.max(1))
    same(x.amax((0, -1), keepdim=True), CUBE.max((0, 2), keepdims=True))
    same(x.norm(3, (0, 1)), (np.abs(CUBE) ** 3).sum((0, 1)) ** (1 / 3))
    same(x.logsumexp((0, 2)), scipy.special.logsumexp(CUBE, (0, 2)))
    same(jg.sum(jg.tensor([1, 2]), dtype=jg.float64), 3.0)
    same(jg.mean(jg.tensor([1, 2]), dtype=jg.float64), 1.5)
    same(jg.tensor([[1, 2], [3, 4]]).prod(1), [2, 12])
    assert jg.tensor([SPECIALS.tolist()]).argmax(1).tolist() == [4]
    assert jg.topk(x, 2, sorted=False).values.shape == (2, 3, 2)


@pytest.mark.parametrize("way", ["jit", "numba"])
def test_running_products_in_machine_code(way: str) -> None:
    cases = [(X, 0), (X, 1), (CUBE, 1), (X[:1], 0), (X.astype(np.float32), 1), (np.arange(1, 9).reshape(2, 4), 1)]
    with jg.sweep(way):
        for x, dim in cases:
            got = jg.jit(lambda x, dim=dim: (x * 1).cumprod(dim) + 0)(jg.tensor(x))
            same(got, np.cumprod(x, dim)) if x.dtype != np.float32 else np.testing.assert_allclose(got, np.cumprod(x, dim), 1e-6)
    alone = jg.jit(lambda x: x.cumprod(0).sum()).compile(jg.zeros(5, dtype=jg.float64))
    assert alone(np.arange(1.0, 6.0)).item() == 153
