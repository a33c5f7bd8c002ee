"""Every call of `numpy_calls` gives of tensors what it gives of arrays, with right gradients, in eager code and under `jit`."""

from __future__ import annotations

import re

import numpy as np
import pytest
import scipy.special

import jitgrad as jg
from tests.helpers.numpy_calls import CALLS, REFUSED, WARNED

RNG = np.random.default_rng(3)
M = np.array([[2.0, 0.3, -0.4], [0.5, 1.7, 0.2], [-0.3, 0.6, 2.4]])
ARRAYS = {
    "x": np.array([[0.7, 1.3, 1.9], [2.6, 0.4, 1.1]]),
    "y": np.array([[1.2, -0.6, 0.35], [0.8, 1.55, -1.4]]),
    "v": np.array([0.45, 1.25, 2.2]),
    "w": np.array([0.3, 1.6, 0.9]),
    "n": np.array([[0.7, np.nan, 1.9], [2.6, 0.4, np.nan]]),
    "m": M,
    "s": M @ M.T,
    "q": np.stack([M, M.T + np.eye(3)]),
    "p": np.array([[0.6, 1.4, 2.3], [3.1, 0.9, 1.7]]),
    "u": np.array([[0.15, 0.4, 0.62], [0.81, 0.33, 0.55]]),
    "b": np.array([[True, False, True], [True, True, False]]),
    "k": np.array([[1, 0, 2], [3, 1, 1]]),
}
WITHOUT_GRADIENT = re.compile(r"eval_")
NEEDS_VALUES = re.compile(
    r"np\.(where\(b\)|nonzero|flatnonzero|argwhere|unique|bincount|trim_zeros|allclose|array_equ|extract|delete|insert\(v, k"
    r"|digitize|linalg.lstsq)"
)


def results(found) -> list:
    many = found if isinstance(found, (tuple, list)) else [found]
    return [x.detach().numpy() if isinstance(x, jg.Tensor) else np.asarray(x) for x in many]


def called(text: str, values: dict):
    with np.errstate(all="ignore"):
        return eval(text, {"np": np, "sp": scipy.special} | values)


def total(text: str, values: dict):
    """A sum of all fractions among the results, each with a weight of its own."""
    found = called(text, values)
    many = found if isinstance(found, (tuple, list)) else [found]
    sums = []
    for x in many:
        if getattr(x, "shape", None) is None or np.dtype(x.dtype).kind not in "fc":
            continue
        weights = np.cos(np.arange(np.prod(x.shape, dtype=int))).reshape(tuple(x.shape)) + 1.5
        sums += [(part * weights).sum() for part in ((x.real, x.imag) if np.dtype(x.dtype).kind == "c" else (x,))]
    return sum(sums[1:], sums[0]) if sums else None


def slopes(text: str, name: str) -> np.ndarray:
    """The gradient by one of the arrays, by differences."""
    at, h = ARRAYS[name], 1e-6
    out = np.zeros(at.shape)
    for place in np.ndindex(at.shape):
        ends = []
        for step in (h, -h):
            moved = at.copy()
            moved[place] += step
            ends.append(float(total(text, ARRAYS | {name: moved})))
        out[place] = (ends[0] - ends[1]) / (2 * h)
    return out


def variables(text: str) -> list[str]:
    """The arrays of fractions that a call is of."""
    text = re.sub(r'lambda \w+:|"[^"]*"', "", text)
    return [name for name, array in ARRAYS.items() if array.dtype.kind == "f" and re.search(rf"(?<![\w.]){name}(?![\w=])", text)]


EVERY = [(kind, call) for kind, calls in CALLS.items() for call in calls]


@pytest.mark.quick
@pytest.mark.parametrize("call", [call for _, call in EVERY])
def test_it_is_numpys(call):
    agrees(call, called(call, ARRAYS))


@pytest.mark.quick
@pytest.mark.parametrize("call", WARNED)
def test_it_is_what_numpy_warns_of(call):
    with pytest.warns((RuntimeWarning, DeprecationWarning)):
        want = called(call, ARRAYS)
    agrees(call, want)


def agrees(call, want):
    tensors = {name: jg.tensor(array, requires_grad=array.dtype.kind == "f") for name, array in ARRAYS.items()}
    for given in (tensors, {name: x.detach() for name, x in tensors.items()}):
        found = called(call, given)
        for part, other in zip(*([x if isinstance(x, (tuple, list)) else [x] for x in (found, want)]), strict=True):
            is_array = "indices_from" in call or ("atleast" in call and given is not tensors)
            assert isinstance(part, jg.Tensor) == isinstance(other, (np.ndarray, np.generic)) or is_array
        if isinstance(want, tuple):
            assert getattr(found, "_fields", None) == getattr(want, "_fields", None)
        for got, wanted in zip(results(found), results(want), strict=True):
            assert got.shape == wanted.shape
            assert got.dtype == wanted.dtype
            np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.quick
@pytest.mark.parametrize("call", REFUSED)
def test_it_refuses_what_numpy_does(call):
    with pytest.raises((TypeError, ValueError, ArithmeticError, IndexError)) as wanted:
        called(call, ARRAYS)
    kind = TypeError if issubclass(wanted.type, TypeError) else wanted.type  # of which NumPy's ufuncs have kinds of their own
    with pytest.raises(kind):
        called(call, {name: jg.tensor(array) for name, array in ARRAYS.items()})


@pytest.mark.quick
@pytest.mark.parametrize("bins", [[0, 1], [1, 0], [2.0, 1.0, 0.5], [1], []])
@pytest.mark.parametrize("right", [False, True])
def test_bins_may_fall_where_they_are_not_known_yet(bins, right):
    x = np.array([-0.5, 0.5, 1.0, 1.5, np.nan])
    wanted = np.digitize(x, bins, right)
    given = jg.tensor(x), jg.tensor(bins, dtype=jg.float64)
    for way in ("interpreted", "numba", "jit"):
        with jg.sweep(way):
            np.testing.assert_array_equal(jg.jit(lambda x: np.digitize(x, bins, right))(given[0]), wanted)
            np.testing.assert_array_equal(jg.jit(lambda x, y: np.digitize(x, y, right))(*given), wanted)
    np.testing.assert_array_equal(jg.vmap(lambda x: np.digitize(x, bins, right))(given[0]), wanted)


@pytest.mark.parametrize("name", ["sign", "rint", "round"])
def test_complex_numbers_have_a_sign_and_are_rounded_as_by_numpy(name):
    z = np.array([1.2 - 2.6j, 0j, -3.5j, 4 + 0.5j])
    np.testing.assert_allclose(getattr(np, name)(jg.tensor(z)).numpy(), getattr(np, name)(z))
    np.testing.assert_allclose(jg.jit(getattr(np, name))(jg.tensor(z)).numpy(), getattr(np, name)(z))


def test_complex_numbers_are_clipped_in_numpys_order_or_refused():
    z = np.array([1j, 2.0, -1.0])
    for bounds in ((0.2, None), (None, 0.5), (-0.5, 1j)):
        np.testing.assert_array_equal(np.clip(jg.tensor(z), *bounds), np.clip(z, *bounds))
    with pytest.raises(TypeError, match="clip"):
        np.clip(jg.tensor(z, requires_grad=True), 0.2, None)
    with pytest.raises(RuntimeError, match="complex"):
        jg.clamp(jg.tensor(z), 0.2)


@pytest.mark.parametrize(("name", "order"), [("kn", 1.5), ("yn", 1.5), ("kn", -2.5)])
def test_orders_are_truncated_with_a_warning(name, order):
    function, x = getattr(scipy.special, name), np.array([0.3, 1.7])
    with pytest.warns(RuntimeWarning, match="truncated"):
        wanted = function(order, x)
    with pytest.warns(RuntimeWarning, match="truncated"):
        np.testing.assert_allclose(function(order, jg.tensor(x)), wanted, rtol=1e-12)


@pytest.mark.parametrize("call", [call for _, call in EVERY])
def test_gradients(call):
    names = variables(call)
    if total(call, ARRAYS) is None or "float32" in call or WITHOUT_GRADIENT.search(call) or not names:
        return
    tensors = {name: jg.tensor(array) for name, array in ARRAYS.items()}
    f = lambda *given: total(call, tensors | dict(zip(names, given)))
    given = [tensors[name] for name in names]
    which = tuple(range(len(names)))
    leaves = [x.clone().requires_grad_() for x in given]
    out = f(*leaves)
    eager = jg.autograd.grad(out, leaves, allow_unused=True) if out.requires_grad else [None] * len(leaves)
    eager = [np.zeros(x.shape) if g is None else g.numpy() for g, x in zip(eager, given)]
    for name, got in zip(names, eager):
        wanted = slopes(call, name)
        if name == "s":  # of which one triangle is read, and the gradient is symmetric
            got, wanted = got + got.T, wanted + wanted.T
        np.testing.assert_allclose(got[np.isfinite(wanted)], wanted[np.isfinite(wanted)], rtol=2e-5, atol=2e-7)
    if NEEDS_VALUES.search(call):
        return
    for other in (jg.grad(f, which), jg.jit(jg.grad(f, which))):
        for got, wanted in zip(other(*given), eager):
            np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-9, atol=1e-12)
