"""gather and scatter_add as machine code, with indices that are smaller than what they point into."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as jg

X = np.random.default_rng(1).standard_normal((4, 5, 6))
SHAPES = [((4, 3, 6), 1), ((2, 5, 6), 0), ((3, 2, 9), 2), ((4, 5, 1), 2), ((4, 7, 6), 1)]


def index(shape, size, dtype="int64"):
    return jg.tensor(np.random.default_rng(2).integers(0, size, shape).astype(dtype))


@pytest.mark.parametrize("sweep", ["jit", "numba"])
@pytest.mark.parametrize(("shape", "dim"), SHAPES, ids=str)
def test_as_eager_code_in_every_sweep(shape, dim, sweep):
    x, at = jg.tensor(X), index(shape, X.shape[dim])
    src = jg.tensor(np.random.default_rng(3).standard_normal([n + 1 for n in shape]))

    def read(x, at):
        return jg.gather(x.flip(0) * 1, dim, at).sin()

    def added(x, at, src):
        return jg.scatter_add(x, dim, at, src)

    def slopes(x, at, src):
        return jg.grad(lambda x, s: read(x, at).sum() + (added(x, at, s) ** 2).sum(), (0, 1))(x, src)

    with jg.sweep(sweep):
        for f, given in ((read, (x, at)), (added, (x, at, src)), (slopes, (x, at, src))):
            for found, wanted in zip(_many(jg.jit(f)(*given)), _many(f(*given))):
                np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=1e-12)


def _many(found):
    return found if isinstance(found, tuple) else (found,)


def test_nothing_is_left_to_numpy_and_the_operand_stays():
    x, at, src = jg.tensor(X), index((4, 3, 6), 5), jg.tensor(X[:, :3])
    f = jg.jit(lambda x, at, src: (jg.gather(x, 1, at), jg.scatter_add(x, 1, at, src)))
    f(x, at, src)
    assert "NumPy" not in f.report()
    np.testing.assert_array_equal(x.numpy(), X)


@pytest.mark.parametrize("sweep", ["jit", "numba", "interpreted"])
def test_an_index_out_of_bounds_is_an_error(sweep):
    x, at = jg.tensor(X), jg.tensor(np.full((4, 3, 6), 5))
    with jg.sweep(sweep), pytest.raises(IndexError, match=r"out of (bounds|range)"):
        jg.jit(lambda x, at: jg.gather(x, 1, at))(x, at)
