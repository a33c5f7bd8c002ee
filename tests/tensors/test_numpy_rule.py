"""NumPy functions that are no operations of jitgrad run as NumPy's own on tensors without gradient, and are refused on others."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.errors import TracedValueError

pytestmark = pytest.mark.quick

MATRIX, VECTOR = np.array([[4.0, 1.0], [1.0, 3.0]]), np.array([1.0, 2.0])

PLAIN = [
    lambda m, v: np.atleast_1d(v.sum()),
    lambda m, v: np.atleast_2d(v),
    lambda m, v: np.copy(v),
    lambda m, v: np.linalg.solve(m, v),
    lambda m, v: np.linalg.cholesky(m),
    lambda m, v: np.linalg.norm(m, 2),
    lambda m, v: np.linalg.eigvalsh(m),
    lambda m, v: np.sum(v, where=v > 1),
    lambda m, v: np.sum(v, initial=3.0),
    lambda m, v: np.add.reduce(v),
    lambda m, v: np.multiply.outer(v, v),
    lambda m, v: np.interp(v[0], [0, 3], [0, 6]),
    lambda m, v: np.sort(v),
    lambda m, v: np.add(v, v, out=np.zeros(2)),
    lambda m, v: np.add(v, 1, dtype=np.float64),
    lambda m, v: np.vdot(v, v),
    lambda m, v: np.block([[m, m]]),
    lambda m, v: np.array_equal(v, v),
    lambda m, v: np.hstack([v, v]),
    lambda m, v: np.diag(v),
    lambda m, v: np.column_stack([v, v]),
    lambda m, v: np.meshgrid(v, v)[0],
    lambda m, v: np.tensordot(m, m),
    lambda m, v: np.einsum("ij,j", m, v),
    lambda m, v: np.append(v, 1.0),
    lambda m, v: np.result_type(v, np.float32),
    lambda m, v: np.iscomplexobj(v),
    lambda m, v: np.isrealobj(v),
    lambda m, v: np.convolve(v, v),
    lambda m, v: np.unique(v),
    lambda m, v: np.histogram(v, 2)[0],
    lambda m, v: np.cov(m),
    lambda m, v: np.gradient(v),
    lambda m, v: np.trapezoid(v),
    lambda m, v: np.percentile(v, 50),
    lambda m, v: np.frexp(v)[0],
]
OPERATIONS = [
    lambda m, v: np.isfinite(v),
    lambda m, v: np.linalg.norm(v),
    lambda m, v: np.sum(v, out=None),
    lambda m, v: np.abs(v),
    lambda m, v: np.prod(v),
    lambda m, v: np.concatenate([v, np.ones(1)]),
    lambda m, v: np.stack([np.ones(2), v]),
    lambda m, v: np.exp(v),
    lambda m, v: m @ v,
    lambda m, v: np.where(v > 1, v, 0.0),
    lambda m, v: np.ravel(m),
    lambda m, v: np.divmod(v, 2)[0],
    lambda m, v: divmod(7.0, v)[1],
]


def tensors():
    return jg.tensor(MATRIX), jg.tensor(VECTOR)


@pytest.mark.parametrize("f", PLAIN)
def test_what_is_no_operation_gives_what_numpy_gives(f):
    found, want = f(*tensors()), f(MATRIX, VECTOR)
    assert not isinstance(found, jg.Tensor)
    assert type(found) is type(want)
    np.testing.assert_array_equal(np.asarray(found), np.asarray(want))


@pytest.mark.parametrize("f", OPERATIONS)
def test_what_is_an_operation_gives_a_tensor(f):
    found = f(*tensors())
    assert isinstance(found, jg.Tensor)
    np.testing.assert_allclose(found.numpy(), f(MATRIX, VECTOR))
    np.testing.assert_allclose(jg.jit(f)(*tensors()).numpy(), f(MATRIX, VECTOR))


def test_where_a_gradient_would_end_it_is_an_error():
    m, v = (x.requires_grad_() for x in tensors())
    for f, name in (
        (lambda: np.linalg.solve(m, v), "np.linalg.solve is not"),
        (lambda: np.sort(v), "np.sort is not"),
        (lambda: np.sum(v, where=np.array([True, False])), "np.sum with where is not"),
        (lambda: np.add.reduce(v), "np.add.reduce is"),
        (lambda: np.add(v, 1, out=np.zeros(2)), "np.add with out is not"),
        (lambda: np.hstack([np.ones(2), v]), "np.hstack is not"),
    ):
        with pytest.raises(TypeError, match=name + ".*no gradient flows.*detach"):
            f()


def test_without_values_it_is_an_error():
    for f in PLAIN[3:12]:
        with pytest.raises(TracedValueError):
            jg.jit(f)(*tensors())
    for read in (np.sort, np.unique):
        with pytest.raises(TracedValueError, match=f"np.{read.__name__} needs the value"):
            jg.vmap(lambda v, read=read: jg.as_tensor(read(v)))(jg.ones(2, 2))


def test_arrays_that_numpy_returns_share_memory_as_numpy_does():
    x = jg.tensor(2.0)
    np.atleast_1d(x)[0] = 5.0
    assert x.item() == 5.0
    m, _ = tensors()
    np.fill_diagonal(m, 0.0)
    assert m.tolist() == [[0.0, 1.0], [1.0, 0.0]]
    w = jg.tensor(VECTOR, requires_grad=True)
    y = (w * m.sum(0)).sum()
    np.fill_diagonal(m, 7.0)
    y.backward()
    assert w.grad.tolist() == [1.0, 1.0]


def test_what_numpy_reads_from_outside_under_jit_is_looked_at_again():
    table = jg.tensor([1.0, 2.0])
    f = jg.jit(lambda x: x * np.linalg.norm(np.atleast_2d(table), 2))
    assert f(jg.tensor(1.0)).item() == pytest.approx(5**0.5)
    table.mul_(2)
    assert f(jg.tensor(1.0)).item() == pytest.approx(20**0.5)


def test_dtypes_are_taken_by_numpy():
    for name in ("float32", "float64", "int64", "bool", "int8", "float16"):
        dtype = getattr(jg, name)
        assert np.zeros(2, dtype=dtype).dtype == name
        assert np.dtype(dtype) == np.dtype(name)
    assert np.issubdtype(jg.float32, np.floating)


def test_in_place_with_an_array_takes_the_values():
    a = np.ones(2)
    a += jg.tensor([1.0, 2.0], dtype=jg.float64)
    assert a.tolist() == [2.0, 3.0]
    with pytest.raises(TypeError, match=r"np\.add with out"):
        a += jg.tensor([1.0, 2.0], requires_grad=True)


OF_A_NUMBER = {
    "mean": lambda a: np.mean(a),
    "sum": lambda a: np.sum(a) + a,
    "max": lambda a: np.max(a),
    "clip": lambda a: np.clip(a, 0, 1),
    "where": lambda a: np.where(True, a, 2.0),
    "round": lambda a: np.round(a, 1),
    "squeeze": lambda a: np.squeeze(a),
    "var": lambda a: np.var(a),
}


@pytest.mark.parametrize("name", OF_A_NUMBER)
def test_what_numpy_makes_of_a_number_is_as_weak_under_jit(name):
    function = lambda x, a: x * OF_A_NUMBER[name](a)
    for dtype in (jg.int64, jg.uint8, jg.float16, jg.float32, jg.float64):
        for a in (0.1, 2, np.float64(0.5)):
            x = jg.tensor([3, 2], dtype=dtype)
            want, got = function(x, a), jg.jit(function)(x, a)
            assert got.dtype == want.dtype
            np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-6)
