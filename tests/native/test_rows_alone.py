"""Native functions of rows that NumPy runs elsewhere, and of nothing at all."""

import numpy as np
import pytest

import jitgrad as jg
import jitgrad.nn.functional as F

MATRIX, X = np.eye(3) + 0.1, np.arange(12.0).reshape(3, 4) % 5


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (lambda a, b: jg.linalg.lu_solve(*jg.linalg.lu_factor(a), b), (MATRIX[[1, 2, 0]], np.ones((3, 1)))),
        (lambda a: jg.linalg.lu(a), (np.stack([MATRIX[[2, 0, 1]], MATRIX]),)),
        (lambda q: F.scaled_dot_product_attention(q, q, q, is_causal=True), (np.ones((1, 2, 4, 3)),)),
        (lambda x: (x == 0).all(-1), (X,)),
        (lambda x: (x == 0).any(), (X,)),
        (lambda x: x.argmax(-1), (X,)),
        (lambda x: x.argmin(), (X,)),
        (lambda x: x.max(1), (X,)),
        (lambda x: x.cumprod(0), (X,)),
        (lambda x, w: F.conv1d(x, w, padding=1), (np.ones((1, 2, 5)), np.ones((3, 2, 2)))),
        (jg.grad(lambda x, w: (F.conv_transpose2d(x, w) ** 2).sum()), (np.ones((1, 2, 5, 3)), np.ones((2, 3, 2, 2)))),
    ],
)
def test_rows_that_numpy_runs_under_jit(function, arguments):
    _alike(function, arguments)


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (jg.linalg.inv, [(0, 3, 3)]),
        (jg.linalg.inv, [(2, 0, 0)]),
        (jg.linalg.inv, [(0, 20, 20)]),
        (jg.linalg.det, [(0, 0)]),
        (jg.linalg.det, [(5, 0, 0)]),
        (jg.linalg.cholesky, [(0, 3, 3)]),
        (jg.linalg.solve, [(0, 3, 3), (0, 3, 3)]),
        (jg.linalg.solve, [(2, 0, 3, 3), (2, 0, 3, 1)]),
        (jg.grad(lambda x: jg.linalg.det(x).sum()), [(4, 0, 3, 3)]),
        (jg.matmul, [(0, 3, 3), (0, 3, 2)]),
        (jg.matmul, [(2, 0), (0, 3)]),
    ],
)
def test_of_nothing(function, shapes):
    _alike(function, [np.ones(shape) for shape in shapes])


def test_pivots_that_are_no_rows():
    f = lambda p, b: jg.linalg.lu_solve(jg.eye(3), p, b)
    p, b = jg.tensor([3, 2, 3], dtype=jg.int32), jg.ones(3, 1)
    native = jg.jit(f).compile(p, b)
    np.testing.assert_array_equal(native(p, b), f(p, b))
    for wrong in (0, 4, -7):
        p = jg.tensor([1, wrong, 3], dtype=jg.int32)
        for run in (f, jg.jit(f), native):
            with pytest.raises(RuntimeError, match="pivot"):
                run(p, b)


def _alike(function, arguments):
    eager = function(*map(jg.tensor, arguments))
    native = jg.jit(function).compile(*arguments)(*arguments)
    for a, b in zip(*((x if isinstance(x, tuple) else (x,)) for x in (eager, native))):
        b = np.asarray(b)
        assert (a.shape, a.numpy().dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-12)
