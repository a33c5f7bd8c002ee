"""The ways in which NumPy computes convolutions: one product for a window, or one for each of its lines."""

from __future__ import annotations

import numpy as np
import pytest

from jitgrad.ops import convolution_blocks as blocks
from jitgrad.ops.convolution_blocks import Sliding

CASES = [
    ((2, 4, 9), (6, 4, 3), Sliding((1,), (1,), ((0, 0),), 1)),
    ((3, 4, 7, 6), (6, 2, 3, 2), Sliding((1, 1), (1, 1), ((1, 1), (0, 1)), 2)),
    ((1, 4, 40, 30), (2, 4, 3, 3), Sliding((1, 1), (2, 1), ((4, 4), (1, 1)), 1)),
    ((70, 2, 5, 5), (4, 2, 3, 3), Sliding((1, 1), (1, 2), ((1, 2), (2, 2)), 1)),
    ((2, 2, 5, 4, 6), (4, 1, 2, 3, 3), Sliding((1, 1, 1), (1, 1, 1), ((1, 1), (1, 1), (0, 0)), 2)),
    ((2, 4, 9, 9), (6, 4, 3, 3), Sliding((1, 2), (1, 1), ((1, 1), (1, 1)), 1)),
    ((2, 4, 6, 6), (6, 4, 2, 2), Sliding((1, 1), (1, 1), ((3, 3), (0, 0)), 1)),
    ((2, 4, 20, 20), (6, 2, 1, 1), Sliding((1, 1), (1, 1), ((0, 0), (0, 0)), 2)),
]


def results(x, w, g, how):
    lengths, sizes = x.shape[2:], w.shape[2:]
    found = blocks.run_correlate(x, w, how), blocks.run_weigh(g, x, sizes, how), blocks.run_spread(g, w, lengths, how)
    return [np.array(part) for part in found]


@pytest.mark.parametrize(("shape", "filters", "how"), CASES, ids=str)
def test_a_product_for_each_line_of_a_window_gives_what_one_gives(shape, filters, how, monkeypatch):
    rng = np.random.default_rng(1)
    x, w = rng.standard_normal(shape), rng.standard_normal(filters)
    g = rng.standard_normal((shape[0], filters[0], *how.places(shape[2:], filters[2:])))
    monkeypatch.setattr(blocks, "DEEP", 10**9)
    wanted = results(x, w, g, how)
    monkeypatch.setattr(blocks, "DEEP", 1)
    for a, b in zip(results(x, w, g, how), wanted):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)
    for other, slope in ((w, wanted[1]), (x, wanted[2])):
        assert np.isclose((g * wanted[0]).sum(), (other * slope).sum())
