"""Products by cuBLAS: which operand comes first, how each lies, and where it begins, on a stand-in for the library."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.cuda import standin

needs_standin = pytest.mark.skipif(bool(standin.missing()), reason=f"the stand-in driver needs {standin.missing()}")


@pytest.fixture(autouse=True)
def gpu():
    """The device of the other tests here is of no use: each of these has one in a process of its own."""


PRODUCTS = """
from jitgrad.sweeps.cuda import cublas
cublas.library = lambda: found
found = cublas.declared(library)
d = driver_of(0)
rng = np.random.default_rng(1)
"""


@needs_standin
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_products(dtype):
    """The stand-in's follows the definition in cuBLAS's manual, so that this is about the order of arguments."""
    standin.run(
        PRODUCTS
        + f"dtype = np.dtype({dtype!r})\n"
        + """
for batch, m, k, n in ((1, 3, 4, 5), (2, 5, 1, 3), (3, 1, 4, 1), (2, 2, 7, 1), (1, 1, 1, 1), (1, 3, 0, 2), (1, 0, 2, 2)):
    for first in (False, True):
        for second in (False, True):
            x, y = rng.integers(-4, 5, (batch, m, k)).astype(dtype), rng.integers(-4, 5, (batch, k, n)).astype(dtype)
            a = filled(d, np.ascontiguousarray(np.concatenate([[9], (x.swapaxes(1, 2) if first else x).ravel()]).astype(dtype)))
            b = filled(d, np.ascontiguousarray((y.swapaxes(1, 2) if second else y)))
            c = filled(d, np.full(batch * m * n + 1, 5, dtype))
            cublas.matmul(
                d, dtype.name, (batch, m, k, n),
                cublas.Matrix(a, 1, (m * k, 1, m) if first else (m * k, k, 1)),
                cublas.Matrix(b, 0, (k * n, 1, k) if second else (k * n, n, 1)),
                cublas.Matrix(c, 1, (m * n, n, 1)),
            )
            got = array(d, c, dtype)
            np.testing.assert_array_equal(got[1:].reshape(batch, m, n), x @ y)
            assert got[0] == 5
b = filled(d, np.zeros(16, dtype))
try:
    good = cublas.Matrix(b, 0, (4, 2, 1))
    cublas.matmul(d, dtype.name, (1, 2, 2, 2), cublas.Matrix(b, 0, (8, 4, 2)), good, good)
except cublas.NotInOrder as error:
    assert "neither rows nor columns of the first matrix" in str(error)
else:
    raise AssertionError
"""
    )


def test_cublas_is_missing_or_there():
    """Whichever it is, asking is no error."""
    code = "from jitgrad.sweeps.cuda import cublas; print(cublas.available() in (True, False))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


@needs_standin
def test_products_of_arrays():
    """As the device's arrays say themselves; what does not fit is left to others."""
    standin.run(
        PRODUCTS
        + """
from types import SimpleNamespace as Array
def stack(x, layout=None):
    raw = filled(d, np.ascontiguousarray(x))
    steps = layout or tuple(s // x.itemsize for s in np.ascontiguousarray(x).strides)
    return Array(buffer=Array(raw=raw), offset=0, layout=Array(strides=steps), shape=x.shape, dtype=x.dtype)
x, y = rng.normal(size=(2, 3, 4)), rng.normal(size=(1, 4, 5))
out = stack(np.zeros((2, 3, 5)))
assert d.product(stack(x), Array(**{**vars(stack(y)), "shape": (2, 4, 5), "layout": Array(strides=(0, 5, 1))}), out)
np.testing.assert_allclose(array(d, out.buffer.raw, float).reshape(2, 3, 5), x @ y)
assert not d.product(stack(x, (12, 4, 0)), stack(np.zeros((2, 4, 5))), out)
whole = stack(np.zeros((2, 2, 2), np.int64))
assert not d.product(whole, whole, whole)
"""
    )
