"""NumPy functions that are no operations of jitgrad run as NumPy's own on tensors without gradient, and are refused on others."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special

import jitgrad as jg
from jitgrad.errors import TracedValueError

pytestmark = pytest.mark.quick

MATRIX, VECTOR = np.array([[4.0, 1.0], [1.0, 3.0]]), np.array([1.0, 2.0])

PLAIN = [
    lambda m, v: np.spacing(v),
    lambda m, v: np.interp(v[0], [0, 3], [0, 6], period=4),
    lambda m, v: np.histogram(v, 2),
    lambda m, v: np.quantile(v, 0.3, method="weibull"),
    lambda m, v: np.ravel(m, "K"),
    lambda m, v: np.unique_counts(v),
    lambda m, v: np.linalg.qr(m, "raw"),
    lambda m, v: np.add.reduce(v, out=np.zeros(())),
    lambda m, v: np.add(v, v, out=np.zeros(2)),
    lambda m, v: np.sum(v, out=np.zeros(())),
    lambda m, v: np.result_type(v, np.float32),
    lambda m, v: np.array2string(v),
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
    assert getattr(found, "_fields", None) == getattr(want, "_fields", None)
    for got, wanted in zip(*([x if isinstance(x, tuple) else (x,) for x in (found, want)]), strict=True):
        if isinstance(got, jg.Tensor):
            assert got._held.dtype == wanted.dtype
        np.testing.assert_array_equal(np.asarray(got), np.asarray(wanted))


def test_arrays_that_it_makes_are_tensors_and_those_it_was_given_stay():
    out, total = np.zeros(2), np.zeros(())
    assert all(isinstance(x, jg.Tensor) for x in (*PLAIN[2](*tensors()), PLAIN[0](*tensors())))
    assert np.add(tensors()[1], 1, out=out) is out
    assert np.add.reduce(tensors()[1], out=total) is total
    assert (out.tolist(), total.item()) == ([2.0, 3.0], 3.0)


@pytest.mark.parametrize("f", OPERATIONS)
def test_what_is_an_operation_gives_a_tensor(f):
    found = f(*tensors())
    assert isinstance(found, jg.Tensor)
    np.testing.assert_allclose(found.numpy(), f(MATRIX, VECTOR))
    np.testing.assert_allclose(jg.jit(f)(*tensors()).numpy(), f(MATRIX, VECTOR))


def test_where_a_gradient_would_end_it_is_an_error():
    _, v = (x.requires_grad_() for x in tensors())
    for f, name in (
        (lambda: np.spacing(v), "np.spacing is not"),
        (lambda: np.histogram(v), "np.histogram is not"),
        (lambda: np.sum(v, out=np.zeros(())), "np.sum with out is not"),
        (lambda: np.add.reduce(v, out=np.zeros(())), "np.add.reduce is"),
        (lambda: np.add.at(np.zeros(2), [0, 1], v), "np.add.at is"),
        (lambda: np.add(v, 1, out=np.zeros(2)), "np.add with out is not"),
        (lambda: np.quantile(v, 0.3, method="weibull"), "np.quantile with method is not"),
    ):
        with pytest.raises(TypeError, match=name + ".*no gradient flows.*detach"):
            f()


def test_without_values_it_is_an_error():
    for f in PLAIN[:10]:
        with pytest.raises(TracedValueError):
            jg.jit(f)(*tensors())
    for read in (np.unique, np.histogram):
        with pytest.raises(TracedValueError, match=f"np.{read.__name__} needs the value"):
            jg.vmap(lambda v, read=read: read(v))(jg.ones(2, 2))


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


def test_scipys_ufuncs_are_not_told_what_they_leave_out():
    """They write beyond their memory then."""
    a, out = np.array([[-1.0, 2.0], [3.0, -4.0]]), np.full((2, 2), 7.0)
    x = jg.tensor(a)
    for where in (x > 0, a > 0, jg.tensor([True, False])):
        mask = np.broadcast_to(np.asarray(where), (2, 2))
        found = scipy.special.expit(x, where=where, out=out)
        assert found is out
        np.testing.assert_allclose(out, np.where(mask, 1 / (1 + np.exp(-a)), 7.0))
        out.fill(7.0)
        scipy.special.expit(a, where=where, out=out)
        np.testing.assert_allclose(out, np.where(mask, 1 / (1 + np.exp(-a)), 7.0))
        out.fill(7.0)
    sums = np.zeros((2, 2)), np.full((2, 2), 7.0)
    scipy.special.sici(x.abs(), where=x > 0, out=sums)
    np.testing.assert_allclose(sums, np.where(a > 0, scipy.special.sici(abs(a)), [np.zeros((2, 2)), np.full((2, 2), 7.0)]))
    with pytest.raises(TypeError, match="expit with"):
        scipy.special.expit(jg.tensor(a, requires_grad=True), where=a > 0, out=out)


COMPLEX = [
    np.sort,
    np.argsort,
    lambda z: np.lexsort((z, z)),
    np.max,
    np.min,
    np.ptp,
    np.argmax,
    np.median,
    np.nanvar,
    np.nanstd,
    lambda z: np.maximum(z, 1),
    lambda z: np.fmin(z, 1j),
    lambda z: np.less(z, 1),
    scipy.special.erf,
    scipy.special.gamma,
]


@pytest.mark.parametrize("f", COMPLEX)
def test_complex_numbers_that_an_operation_does_not_take_are_numpys(f):
    z = np.array([1 + 2j, -0.5j, 3.0])
    found = f(jg.tensor(z))
    assert isinstance(found, jg.Tensor)
    np.testing.assert_allclose(found.numpy(), f(z))
    assert found.numpy().dtype == f(z).dtype
    if f not in (np.nanvar, np.nanstd):  # which are had
        with pytest.raises(TypeError, match=r"complex|needs float|no gradient flows"):
            f(jg.tensor(z, requires_grad=True))


@pytest.mark.parametrize("ufunc", [np.floor, np.ceil, np.cbrt, np.deg2rad, np.signbit, np.invert])
def test_what_numpy_refuses_too_is_its_error(ufunc):
    for requires_grad in (False, True):
        with pytest.raises(TypeError, match=r"complex|works on bool and integer"):
            ufunc(jg.tensor([1j, 2.0], requires_grad=requires_grad))
    for two in (np.gcd, np.bitwise_and):
        with pytest.raises(TypeError, match="works on bool and integer"):
            two(jg.tensor([1.0]), jg.tensor([2.0]))


@pytest.mark.parametrize("ufunc", [np.absolute, np.floor, np.mod, np.power, np.floor_divide])
def test_bools_are_numpys_under_jit_too(ufunc):
    given = [np.array([True, False]), np.array([True, True])][: ufunc.nin]
    for f in (ufunc, jg.jit(ufunc), jg.vmap(ufunc)):
        found = f(*map(jg.tensor, given)).numpy()
        np.testing.assert_array_equal(found, ufunc(*given))
        assert found.dtype == ufunc(*given).dtype


def test_operators_of_an_array_and_a_tensor_are_pytorchs():
    b = np.array([True, False])
    for f in (lambda x, y: x - y, lambda x, y: x % y):
        for given in ((b, jg.tensor(b)), (jg.tensor(b), b)):
            with pytest.raises(NotImplementedError, match="not for bool tensors"):
                f(*given)


@pytest.mark.parametrize("requires_grad", [False, True])
def test_shapes_that_do_not_fit_are_numpys_error(requires_grad):
    given = jg.ones(2, requires_grad=requires_grad), jg.ones(3)
    for f in (np.hypot, np.add, jg.jit(np.hypot)):
        with pytest.raises(ValueError, match="shapes"):
            f(*given)
