"""Convolutions, pools, padding and resampling: values against loops written out, and what holds of every function."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal

import jitgrad as jg
from jitgrad.nn import functional as F
from tests.helpers.whole import whole

RNG = np.random.default_rng(3)


def draw(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape)


def same(got: Any, want: Any, **tolerance: float) -> None:
    np.testing.assert_allclose(got.numpy(), want, **({"rtol": 1e-12, "atol": 1e-12} | tolerance))


def slow_conv(x: np.ndarray, w: np.ndarray, step: Any, border: Any, dilation: Any, groups: int = 1) -> np.ndarray:
    """One product of numbers at a time, in any number of dimensions."""
    count = x.ndim - 2
    x = np.pad(x, [(0, 0), (0, 0), *[(b, b) for b in border]])
    sizes = w.shape[2:]
    places = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(x.shape[2:], sizes, step, dilation)]
    out = np.zeros((x.shape[0], w.shape[0], *places))
    for f, at in itertools.product(range(w.shape[0]), np.ndindex(*places)):
        group = f // (w.shape[0] // groups)
        for c, k in itertools.product(range(w.shape[1]), np.ndindex(*sizes)):
            where = tuple(at[i] * step[i] + k[i] * dilation[i] for i in range(count))
            out[(slice(None), f, *at)] += x[(slice(None), group * w.shape[1] + c, *where)] * w[(f, c, *k)]
    return out


CONVOLUTIONS = [
    (F.conv1d, (2, 4, 9), (6, 2, 3), (2,), (1,), (2,), 2),
    (F.conv2d, (2, 2, 6, 5), (3, 2, 3, 2), (1, 2), (1, 0), (1, 1), 1),
    (F.conv2d, (1, 4, 6, 5), (4, 1, 2, 3), (1, 1), (0, 1), (2, 1), 4),
    (F.conv3d, (1, 2, 4, 3, 5), (2, 2, 2, 1, 3), (1, 2, 1), (1, 0, 0), (1, 1, 2), 1),
]
TRANSPOSES = {F.conv1d: F.conv_transpose1d, F.conv2d: F.conv_transpose2d, F.conv3d: F.conv_transpose3d}


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=lambda case: "-".join([case[0].__name__, *map(str, case[1:])]))
def test_convolutions_are_sums_of_products(case: Any) -> None:
    f, shape, filters, step, border, dilation, groups = case
    x, w, b = draw(*shape), draw(*filters), draw(filters[0])
    want = slow_conv(x, w, step, border, dilation, groups) + b.reshape(-1, *(1,) * (x.ndim - 2))
    got = f(jg.tensor(x), jg.tensor(w), jg.tensor(b), step, border, dilation, groups)
    same(got, want)
    assert got.is_contiguous()
    same(f(jg.tensor(x[0]), jg.tensor(w), None, step, border, dilation, groups), (want - b.reshape(-1, *(1,) * (x.ndim - 2)))[0])


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=lambda case: "-".join([case[0].__name__, *map(str, case[1:])]))
def test_transposed_convolutions_are_adjoint(case: Any) -> None:
    """<conv(x), y> = <x, transpose(y)>; the length that a stride leaves open is the output padding."""
    f, shape, filters, step, border, dilation, groups = case
    x, w = jg.tensor(draw(*shape)), jg.tensor(draw(*filters))
    seen = f(x, w, None, step, border, dilation, groups)
    y = jg.tensor(draw(*seen.shape))
    plain = TRANSPOSES[f](y, w, None, step, border, 0, groups, dilation)
    more = tuple(n - m for n, m in zip(x.shape[2:], plain.shape[2:]))
    back = TRANSPOSES[f](y, w, None, step, border, more, groups, dilation)
    assert tuple(back.shape) == shape
    same((back * x).sum(), (seen * y).sum().item(), rtol=1e-10)


def test_convolutions_match_scipy() -> None:
    x, w = draw(7, 8), draw(3, 4)
    same(F.conv2d(jg.tensor(x[None, None]), jg.tensor(w[None, None]))[0, 0], scipy.signal.correlate(x, w, "valid"))
    same(F.conv_transpose2d(jg.tensor(x[None, None]), jg.tensor(w[None, None]))[0, 0], scipy.signal.convolve(x, w, "full"))
    odd = draw(3, 5)
    want = scipy.ndimage.correlate(x, odd, mode="constant")
    same(F.conv2d(jg.tensor(x[None]), jg.tensor(odd[None, None]), padding="same")[0], want)
    same(
        jg.conv_tbc(jg.tensor(draw(5, 2, 3)), jg.zeros(2, 3, 4, dtype=jg.float64), jg.arange(4.0).double()),
        np.tile(np.arange(4.0), (4, 2, 1)),
    )


def test_convolutions_are_whole() -> None:
    cases: dict[str, Any] = {}
    for i, (f, shape, filters, step, border, dilation, groups) in enumerate(CONVOLUTIONS[:3]):
        args = [draw(*shape), draw(*filters), draw(filters[0])]
        cases[f"{i}"] = (lambda x, w, b, f=f, r=(step, border, dilation, groups): f(x, w, b, *r), args)
        t = TRANSPOSES[f]
        back = [draw(1, filters[0], *(3,) * (len(shape) - 2)), args[1]]
        cases[f"{i} transposed"] = (lambda x, w, t=t, r=(step, border, 0, groups, dilation): t(x, w, None, *r), back)
    whole(cases, second=False)


def test_convolutions_of_many() -> None:
    """More samples where the filters are the same for all examples, more groups where they are not."""
    x, w = jg.tensor(draw(3, 1, 4, 6)), jg.tensor(draw(3, 2, 2, 3))
    alone = [[F.conv1d(one, filters, None, 2, 1, 1, 2) for filters in w] for one in x]
    for at, mapped in (((0, None), lambda i: alone[i][0]), ((None, 0), lambda i: alone[0][i]), ((0, 0), lambda i: alone[i][i])):
        got = jg.vmap(lambda a, b: F.conv1d(a, b, None, 2, 1, 1, 2), at)(x if at[0] == 0 else x[0], w if at[1] == 0 else w[0])
        same(got, np.stack([mapped(i).numpy() for i in range(3)]))
    slopes = jg.vmap(jg.grad(lambda b, a: (F.conv1d(a, b, None, 2, 1, 1, 2) ** 2).sum()), (None, 0))(w[0], x)
    for one, slope in zip(x, slopes):
        same(slope, jg.grad(lambda b, a=one: (F.conv1d(a, b, None, 2, 1, 1, 2) ** 2).sum())(w[0]).numpy())


def test_many_small_images_go_into_one_product() -> None:
    x, w = draw(70, 2, 5, 5), draw(3, 2, 3, 3)
    want = np.concatenate([F.conv2d(jg.tensor(part), jg.tensor(w), padding=1).numpy() for part in np.split(x, 70)])
    same(F.conv2d(jg.tensor(x), jg.tensor(w), padding=1), want)
    for f in (lambda w: F.conv2d(jg.tensor(x), w, padding=1), lambda w: F.conv_transpose2d(jg.tensor(x), w.swapaxes(0, 1))):
        slope = jg.grad(lambda w, f=f: (f(w) ** 2).sum())(jg.tensor(w))
        step = draw(*w.shape) * 1e-6
        values = [(f(jg.tensor(w + sign * step)) ** 2).sum().item() for sign in (1, -1)]
        assert (slope.numpy() * step).sum() == pytest.approx((values[0] - values[1]) / 2, rel=1e-6)


def slow_pool(x: np.ndarray, size: Any, step: Any, border: Any, over: Any, value: float) -> np.ndarray:
    x = np.pad(x, [(0, 0), (0, 0), *[(b, b) for b in border]], constant_values=value)
    places = [(n - k) // s + 1 for n, k, s in zip(x.shape[2:], size, step)]
    out = np.zeros((*x.shape[:2], *places))
    for at in np.ndindex(*places):
        part = x[(..., *[slice(i * s, i * s + k) for i, s, k in zip(at, step, size)])]
        out[(..., *at)] = over(part.reshape(*x.shape[:2], -1), -1)
    return out


@pytest.mark.parametrize(
    ("size", "step", "border"), [((2, 2), (2, 2), (0, 0)), ((3, 2), (1, 2), (1, 1)), ((18, 3), (1, 1), (2, 0))]
)
def test_pools_go_over_windows(size: Any, step: Any, border: Any) -> None:
    x = draw(2, 3, 20, 7)
    same(F.max_pool2d(jg.tensor(x), size, step, border), slow_pool(x, size, step, border, np.max, -np.inf))
    same(F.avg_pool2d(jg.tensor(x), size, step, border), slow_pool(x, size, step, border, np.mean, 0))
    want = slow_pool(x, size, step, border, np.sum, 0) / slow_pool(np.ones(x.shape), size, step, border, np.sum, 0)
    same(F.avg_pool2d(jg.tensor(x), size, step, border, count_include_pad=False), want)
    same(F.avg_pool2d(jg.tensor(x), size, step, border, divisor_override=3), slow_pool(x, size, step, border, np.sum, 0) / 3)
    same(F.lp_pool2d(jg.tensor(x), 4, size, step), slow_pool(x, size, step, (0, 0), lambda p, d: (p**4).sum(d) ** 0.25, 0))
    values, places = F.max_pool2d(jg.tensor(x), size, step, border, return_indices=True)
    same(values, np.take_along_axis(x.reshape(2, 3, -1), places.numpy().reshape(2, 3, -1), -1).reshape(values.shape))


def test_windows_may_reach_over_the_end() -> None:
    x = jg.arange(1.0, 6.0).reshape(1, 1, 5)
    assert F.max_pool1d(x, 2, ceil_mode=True).tolist() == [[[2, 4, 5]]]
    assert F.avg_pool1d(x, 2, ceil_mode=True).tolist() == [[[1.5, 3.5, 5]]]
    assert F.max_pool1d(x, 2, 2, 1, ceil_mode=True).tolist() == [[[1, 3, 5]]]
    assert F.avg_pool1d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False).tolist() == [[[1.5, 3, 4.5]]]
    assert jg.max_pool1d(x, 2, 1, dilation=3).tolist() == [[[4, 5]]]


def test_the_first_of_equal_maxima_is_taken() -> None:
    for size in (3, 18):
        x = jg.zeros(1, size, size).requires_grad_()
        out, places = F.max_pool2d(x, size, return_indices=True)
        assert places.item() == 0
        out.sum().backward()
        assert x.grad.nonzero().tolist() == [[0, 0, 0]]
    x = jg.tensor([[[0.0, 1.0], [1.0, 0.0]]])
    assert F.max_pool2d(x, 2, return_indices=True)[1].item() == 1
    assert F.adaptive_max_pool2d(x, 1, True)[1].item() == 1
    nothing = jg.full((1, 1, 2), -np.inf)
    assert F.max_pool1d(nothing, 2, 2, 1, return_indices=True)[1].tolist() == [[[0, 1]]]
    assert F.max_pool1d(jg.tensor([[1.0, np.nan, 3.0]]), 2, 1).isnan().all()
    assert F.max_pool1d(jg.tensor([[1, 5, 3]]), 2, 1).tolist() == [[5, 5]]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 12])
def test_adaptive_pools(size: int) -> None:
    x = draw(2, 2, 7, 6)
    parts = [(i * 7 // size, -(-(i + 1) * 7 // size)) for i in range(size)]
    same(F.adaptive_avg_pool2d(jg.tensor(x), (size, None)), np.stack([x[:, :, a:b].mean(2) for a, b in parts], 2))
    values, places = F.adaptive_max_pool2d(jg.tensor(x), (size, 6), return_indices=True)
    same(values, np.stack([x[:, :, a:b].max(2) for a, b in parts], 2))
    same(values, np.take_along_axis(x.reshape(2, 2, -1), places.numpy().reshape(2, 2, -1), -1).reshape(values.shape))


def test_pools_are_undone() -> None:
    x = jg.tensor(draw(2, 3, 6, 4))
    values, places = F.max_pool2d_with_indices(x, 2)
    back = F.max_unpool2d(values, places, 2)
    same(back, np.where(np.isin(x.numpy(), values.numpy()), x.numpy(), 0))
    assert tuple(F.max_unpool2d(values, places, 2, output_size=(7, 5)).shape) == (2, 3, 7, 5)
    with pytest.raises(RuntimeError, match="out of range"):
        F.max_unpool2d(values, places + 99, 2)
    with pytest.raises(ValueError, match="within less than a stride"):
        F.max_unpool2d(values, places, 2, output_size=(9, 9))


def test_fractional_pools() -> None:
    x, u = draw(1, 1, 9, 8), np.array([[[0.3, 0.8]]])
    values, places = F.fractional_max_pool2d(jg.tensor(x), (2, 3), (4, 3), return_indices=True, _random_samples=jg.tensor(u))

    def starts(n: int, m: int, k: int, draw: float) -> list[int]:
        step = (n - k) / (m - 1)
        return [int((i + draw) * step) - int(draw * step) for i in range(m - 1)] + [n - k]

    rows, columns = starts(9, 4, 2, 0.8), starts(8, 3, 3, 0.3)
    same(values[0, 0], [[x[0, 0, r : r + 2, c : c + 3].max() for c in columns] for r in rows])
    same(values, x.reshape(-1)[places.numpy()])
    jg.manual_seed(0)
    assert tuple(F.fractional_max_pool3d(jg.tensor(draw(1, 2, 9, 9, 9)), 2, output_ratio=0.5).shape) == (1, 2, 4, 4, 4)


def test_pools_are_whole() -> None:
    x, u = draw(1, 2, 5, 7), jg.tensor(RNG.random((1, 2, 2)))
    places = np.array([[[5, 0, 11]]])
    whole(
        {
            "max": (lambda x: F.max_pool2d(x, (3, 2), (2, 1), (1, 1), (1, 2), True, True), [x]),
            "large max": (lambda x: F.max_pool1d(x, 18, 1, 2, return_indices=True), [draw(2, 21)]),
            "mean": (lambda x: F.avg_pool2d(x, (2, 3), (2, 1), (1, 0), True, False), [x]),
            "large mean": (lambda x: F.avg_pool1d(x, 18, 1), [draw(2, 21)]),
            "adaptive mean": (lambda x: F.adaptive_avg_pool2d(x, (3, 7)), [x]),
            "large adaptive mean": (lambda x: F.adaptive_avg_pool1d(x, 2), [draw(2, 37)]),
            "adaptive max": (lambda x: F.adaptive_max_pool2d(x, (2, 3), True), [x]),
            "norm": (lambda x: F.lp_pool2d(x, 3, 2), [abs(x) + 1]),
            "fractional": (lambda x: F.fractional_max_pool2d(x, 2, (3, 2), return_indices=True, _random_samples=u), [x]),
            "unpooled": (lambda x, i: F.max_unpool1d(x, i, 4), [draw(1, 1, 3), places]),
        },
        mapped=False,
    )
    whole({"max": (lambda x: F.max_pool2d(x, 2, 1, 1), [x]), "adaptive": (lambda x: F.adaptive_avg_pool1d(x, 3), [x[0]])})


@pytest.mark.parametrize(
    ("mode", "numpys"), [("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap"), ("constant", "constant")]
)
def test_padding(mode: str, numpys: str) -> None:
    x = draw(2, 3, 4, 5)
    same(F.pad(jg.tensor(x), (1, 3, 2, 0), mode), np.pad(x, [(0, 0), (0, 0), (2, 0), (1, 3)], mode=numpys))  # type: ignore[call-overload]
    same(
        F.pad(jg.tensor(x[0]), (-1, 2), mode),
        np.pad(x[0, :, :, 1:] if mode != "reflect" else x[0], [(0, 0), (0, 0), (0, 2)], mode=numpys)[:, :, -6:],
    )  # type: ignore[call-overload]


def test_constant_padding() -> None:
    assert jg.constant_pad_nd(jg.tensor([1, 2]), (1, -1), 7).tolist() == [7, 1]
    assert F.pad(jg.tensor([True]), (0, 1)).tolist() == [True, False]
    assert F.pad(jg.tensor(2.0), ()).item() == 2
    whole(
        {
            "constant": (lambda x: F.pad(x, (1, -1, 2, 0), value=3.0), [draw(3, 4)]),
            "reflect": (lambda x: F.pad(x, (2, 1, 0, 1), "reflect"), [draw(2, 3, 3)]),
            "circular": (lambda x: F.pad(x, (2, -1), "circular"), [draw(2, 3)]),
        }
    )


def test_columns_of_windows() -> None:
    x = draw(2, 3, 5, 6)
    columns = F.unfold(jg.tensor(x), (2, 3), 1, (1, 0), (2, 1))
    padded = np.pad(x, [(0, 0), (0, 0), (1, 1), (0, 0)])
    want = [padded[:, :, i : i + 2, j : j + 3].reshape(2, -1) for i in (0, 2, 4) for j in range(4)]
    same(columns, np.stack(want, -1))
    y = draw(*columns.shape)
    same((F.fold(jg.tensor(y), (5, 6), (2, 3), 1, (1, 0), (2, 1)) * jg.tensor(x)).sum(), (y * columns.numpy()).sum(), rtol=1e-10)
    whole({"unfold": (lambda x: F.unfold(x, 2, 1, 1, 2), [x[:1]]), "fold": (lambda x: F.fold(x, (4, 3), 2), [draw(8, 6)])})


def test_pixels_and_channels() -> None:
    x = jg.tensor(draw(2, 8, 3, 2))
    shuffled = F.pixel_shuffle(x, 2)
    assert shuffled[1, 1, 3, 2] == x[1, 6, 1, 1]
    assert (jg.pixel_unshuffle(shuffled, 2) == x).all()
    assert (jg.channel_shuffle(x, 4)[:, 1] == x[:, 2]).all()


def linear_matrix(n: int, m: int, corners: bool) -> np.ndarray:
    out = np.zeros((m, n))
    for i in range(m):
        at = i * (n - 1) / (m - 1) if corners else max((i + 0.5) * n / m - 0.5, 0)
        j = min(int(at), n - 1)
        out[i, j] += 1 - (at - j)
        out[i, min(j + 1, n - 1)] += at - j
    return out


@pytest.mark.parametrize("corners", [False, True])
def test_linear_interpolation(corners: bool) -> None:
    x = draw(2, 3, 5, 4)
    want = linear_matrix(5, 8, corners) @ x @ linear_matrix(4, 3, corners).T
    same(F.interpolate(jg.tensor(x), (8, 3), mode="bilinear", align_corners=corners), want)
    same(F.upsample(jg.tensor(x[:, :, 0]), 9, mode="linear", align_corners=corners), x[:, :, 0] @ linear_matrix(4, 9, corners).T)
    cubic = F.interpolate(jg.tensor(np.arange(10.0).reshape(1, 1, 1, 10)), (1, 19), mode="bicubic", align_corners=True)
    same(cubic[0, 0, 0, 4:-4], np.arange(2, 7.5, 0.5))


def test_nearest_interpolation_and_means() -> None:
    x = draw(1, 2, 4, 6)
    same(F.interpolate(jg.tensor(x), scale_factor=2), x.repeat(2, 2).repeat(2, 3))
    same(F.interpolate(jg.tensor(x), (3, 5)), x[:, :, [0, 1, 2]][..., [0, 1, 2, 3, 4]])
    same(F.interpolate(jg.tensor(x), (2, 3), mode="nearest-exact"), x[:, :, 1::2, 1::2])
    same(F.interpolate(jg.tensor(x), (2, 3), mode="area"), x.reshape(1, 2, 2, 2, 3, 2).mean((3, 5)))
    smooth = F.interpolate(jg.ones(1, 1, 16, 16, dtype=jg.float64), (5, 3), mode="bicubic", antialias=True)
    same(smooth, np.ones((1, 1, 5, 3)))
    assert F.upsample_nearest(jg.tensor([[[1, 2]]]), 4).tolist() == [[[1, 1, 2, 2]]]
    assert tuple(F.upsample_bilinear(jg.tensor(x), scale_factor=2).shape) == (1, 2, 8, 12)


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_grids(mode: str) -> None:
    x, places = draw(1, 2, 5, 6), RNG.random((2, 3, 4)) * 3.9
    grid = np.stack([places[1] / 2.5 - 1, places[0] / 2 - 1], -1)[None]
    got = F.grid_sample(jg.tensor(x), jg.tensor(grid), mode, align_corners=True)
    order = {"bilinear": 1, "nearest": 0}[mode]
    same(got[0], [scipy.ndimage.map_coordinates(c, places, order=order) for c in x[0]])
    whole_grid = F.affine_grid(jg.tensor([[[1.0, 0, 0], [0, 1, 0]]]).double(), (1, 2, 5, 6), align_corners=False)
    for border in ("zeros", "border", "reflection"):
        same(F.grid_sample(jg.tensor(x), whole_grid, mode, border, False), x)
        far = F.grid_sample(jg.tensor(x), whole_grid * 0 + 7, mode, border, True)
        want = {"zeros": [0, 0], "border": x[0, :, -1, -1], "reflection": x[0, :, 0, 0]}[border]  # which 7 comes back to
        same(far[0, :, 0, 0], want, atol=1e-9)


def test_resampling_is_whole() -> None:
    x, grid = draw(1, 2, 3, 4), RNG.uniform(-1.4, 1.4, (1, 2, 3, 2))
    cases: dict[str, Any] = {
        "affine": (lambda t: F.affine_grid(t, (1, 1, 2, 3)), [draw(1, 2, 3)]),
        "nearest": (lambda x: F.interpolate(x, (6, 5)), [x]),
        "bilinear": (lambda x: F.interpolate(x, (5, 2), mode="bilinear"), [x]),
        "smoothed": (lambda x: F.interpolate(x, (2, 2), mode="bicubic", antialias=True), [x]),
        "volume": (lambda x, g: F.grid_sample(x, g), [draw(1, 1, 2, 3, 2), RNG.uniform(-1, 1, (1, 1, 2, 1, 3))]),
    }
    for mode, border in (("bilinear", "reflection"), ("bicubic", "border"), ("bicubic", "zeros")):
        cases[f"{mode} {border}"] = (lambda x, g, m=mode, b=border: F.grid_sample(x, g, m, b, False), [x, grid])
    whole(cases, mapped=False)
    whole({name: cases[name] for name in ("bilinear", "bicubic zeros")}, second=False)


X = jg.ones(1, 2, 4, 4)
WRONG = [
    (lambda: F.conv2d(X, jg.ones(3, 3, 2, 2)), RuntimeError, "has 2"),
    (lambda: F.conv2d(X, jg.ones(3, 2, 5, 2)), RuntimeError, "do not fit"),
    (lambda: F.conv2d(X, jg.ones(3, 2, 2)), RuntimeError, "4 dimensions"),
    (lambda: F.conv2d(X, jg.ones(3, 2, 2, 2), jg.ones(2)), RuntimeError, "3 filters"),
    (lambda: F.conv2d(X, jg.ones(3, 2, 2, 2).double()), RuntimeError, "must be equal"),
    (lambda: F.conv2d(X, jg.ones(3, 2, 2, 2), stride=0), RuntimeError, "positive"),
    (lambda: F.conv2d(X, jg.ones(3, 2, 2, 2), stride=1.5), TypeError, "stride"),
    (lambda: F.conv2d(X, jg.ones(3, 2, 2, 2), padding="same", stride=2), RuntimeError, "stride of 1"),
    (lambda: F.conv_transpose2d(X, jg.ones(2, 2, 2, 2), output_padding=1), RuntimeError, "output_padding"),
    (lambda: F.max_pool2d(X, 2, padding=2), RuntimeError, "half"),
    (lambda: F.max_pool2d(X, 5), RuntimeError, "fits"),
    (lambda: F.max_pool2d(X, (1, 2, 3)), RuntimeError, "2 ints"),
    (lambda: F.avg_pool2d(X, 2, divisor_override=0), RuntimeError, "divisor"),
    (lambda: F.lp_pool2d(X, 0, 2), ZeroDivisionError, "norm_type"),
    (lambda: F.adaptive_avg_pool2d(X[0, 0], 2), ValueError, "3 dimensions"),
    (lambda: F.fractional_max_pool2d(X, 2), ValueError, "output_ratio"),
    (lambda: F.pad(X, (1,)), RuntimeError, "two numbers"),
    (lambda: F.pad(X, (4, 4), "reflect"), NotImplementedError, "pads the last"),
    (lambda: F.pad(X[0], (4, 4), "reflect"), RuntimeError, "smaller"),
    (lambda: F.pad(X, (1, 1), "mirror"), NotImplementedError, "mirror"),
    (lambda: F.unfold(X, 9), RuntimeError, "fits"),
    (lambda: F.fold(X[0], 4, 3), RuntimeError, "columns"),
    (lambda: F.pixel_shuffle(X, 3), RuntimeError, "multiple"),
    (lambda: F.channel_shuffle(X, 3), RuntimeError, "parted"),
    (lambda: F.interpolate(X, 3, 2.0), ValueError, "not both"),
    (lambda: F.interpolate(X, 3, mode="linear"), NotImplementedError, "linear"),
    (lambda: F.interpolate(X, 3, align_corners=True), ValueError, "align_corners"),
    (lambda: F.interpolate(X, 0), RuntimeError, "positive"),
    (lambda: F.grid_sample(X, jg.ones(1, 4, 4, 3)), RuntimeError, "coordinates"),
    (lambda: F.grid_sample(X, jg.ones(1, 4, 4, 2), "cubic"), ValueError, "cubic"),
    (lambda: F.affine_grid(jg.ones(1, 3, 3), (1, 2, 4, 4)), ValueError, "shape"),
]


@pytest.mark.parametrize(("call", "kind", "words"), WRONG, ids=range(len(WRONG)))
def test_wrong_arguments(call: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        call()


def test_empty_batches_and_halves() -> None:
    none = jg.ones(0, 2, 4, 4)
    assert tuple(F.conv2d(none, jg.ones(3, 2, 2, 2)).shape) == (0, 3, 3, 3)
    assert tuple(F.max_pool2d(none, 2).shape) == tuple(F.avg_pool2d(none, 2).shape) == (0, 2, 2, 2)
    assert tuple(F.interpolate(none, 3, mode="bilinear").shape) == (0, 2, 3, 3)
    half = jg.ones(1, 2, 4, 4, dtype=jg.float16)
    assert F.conv2d(half, jg.ones(3, 2, 2, 2, dtype=jg.float16)).dtype == jg.float16
    assert F.interpolate(half, 3, mode="bilinear").dtype == F.avg_pool2d(half, 2).dtype == jg.float16
