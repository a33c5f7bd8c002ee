"""NumPy's functions of tensors are NumPy's: the same values and shapes as of arrays, or an error where it has one."""

import functools
import inspect
import itertools
import re
import warnings

import numpy as np
import pytest
import scipy.special

import jitgrad as jg
from jitgrad.functions.for_numpy import NUMPY
from jitgrad.tensors.numpy_protocols import UFUNCS

SHAPES = [(), (3,), (0,), (1,), (2, 3), (3, 1), (2, 0), (1, 3, 2)]
AXES = [None, 0, -1, 1, -2, 2, 3, (), (0,), (0, 1), (-1, 0), (0, 0), (0, 1, 2)]
KINDS = ["f8", "f4", "i8", "b1", "i1"]

ALONG = {  # functions of an array and an axis
    **{f.__name__: f for f in (np.sum, np.prod, np.mean, np.any, np.all, np.max, np.min)},
    **{f.__name__: f for f in (np.argmax, np.argmin, np.std, np.var)},
    "norm": lambda x, a, **kw: np.linalg.norm(x, axis=a, **kw),
    "norm 1": lambda x, a, **kw: np.linalg.norm(x, 1, a, **kw),
    "norm inf": lambda x, a, **kw: np.linalg.norm(x, np.inf, a, **kw),
    "fro": lambda x, a, **kw: np.linalg.norm(x, "fro", a, **kw),
    "ddof": lambda x, a, **kw: np.var(x, a, ddof=1, **kw),
    "correction": lambda x, a, **kw: np.std(x, a, correction=0.5, **kw),
}
WITH_AN_AXIS = {
    "cumsum": np.cumsum,
    "flip": np.flip,
    "squeeze": np.squeeze,
    "expand_dims": np.expand_dims,
    "size": np.size,
    "concatenate": lambda x, a: np.concatenate([x, x], a),
    "beside an array": lambda x, a: np.concatenate([x, np.zeros(2)], a),
    "stack": lambda x, a: np.stack([x, x * 1], a),
    "swapaxes": lambda x, a: np.swapaxes(x, a, 0),
    "moveaxis": lambda x, a: np.moveaxis(x, a, -1),
    "moveaxis of two": lambda x, a: np.moveaxis(x, (0, 1), a),
    **{f"split {s}": (lambda x, a, s=s: np.split(x, s, a)) for s in (1, 2, [1], [0, 5], [2, 1], [-1])},
}
OF_ONE = {
    **{f.__name__: f for f in (np.ravel, np.nonzero, np.shape, np.ndim, np.size)},
    **{f.__name__: f for f in (np.transpose, np.round, np.where, np.zeros_like)},
    **{f"reshape {s}": (lambda x, s=s: np.reshape(x, s)) for s in ((6,), (3, 2), -1, (2, -1), (), 0, (0, -1), (4,))},
    **{f"broadcast_to {s}": (lambda x, s=s: np.broadcast_to(x, s)) for s in ((2, 3), (3,), 3, (-1,), (2, 1, 3, 2), ())},
    **{f"axes {p}": (lambda x, p=p: np.transpose(x, p)) for p in ((1, 0), (2, 0, 1), (-1, 0), (0, 0), ())},
    **{f"clip {b}": (lambda x, b=b: np.clip(x, *b)) for b in ((-1, 2), (None, 0.5), (1, -1), (np.zeros(3), None))},
    "rounded": lambda x: np.round(x * 10, 1),
    "rounded to tens": lambda x: np.round(x * 10, -1),
    "full_like": lambda x: np.full_like(x, 3.7, dtype=float),
    "ones_like": lambda x: np.ones_like(x, shape=(2, 2)),
    "shape of zeros": lambda x: np.zeros_like(x, dtype=np.int32),
    "float64": lambda x: np.sum(x, dtype=np.float64),
    "int64": lambda x: np.cumsum(x, dtype=np.int64),
    "chosen": lambda x: np.where(x, 0.1, 0.2),
    "close": lambda x: np.isclose(x, 1.0),
    "all close": lambda x: np.allclose(x, x + 1e-9),
    "product with a number": lambda x: np.dot(x, 3),
    "nothing asked": lambda x: np.sum(x, None, out=None, where=True),
}
OF_TWO = {"dot": np.dot, "where": lambda x, y: np.where(x > 0, y, 1.5), "isclose": np.isclose, "maximum": np.maximum}


def data(shape, kind, seed=0):
    values = np.random.default_rng(seed).normal(size=shape) * 3
    return np.asarray(values > 0 if kind == "b1" else np.rint(values) if kind[0] == "i" else values).astype(kind)


def outcome(call, *args):
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # NumPy's, of empty means
        try:
            found = call(*args)
        except (ValueError, TypeError, IndexError, RuntimeError) as error:
            return error
    many = found if isinstance(found, list | tuple) else [found]
    return [np.asarray(x.numpy() if isinstance(x, jg.Tensor) else x) for x in many]


def check(call, *arrays):
    """What a call gives for tensors is what it gives for arrays, or a plain refusal."""
    want, got = outcome(call, *arrays), outcome(call, *map(jg.tensor, arrays))
    if isinstance(got, Exception):
        refused = any(text in str(got) for text in ("operation of jitgrad", "floating dtype"))
        assert refused or isinstance(want, Exception), f"{got!r} instead of {want}"
        return
    assert not isinstance(want, Exception), f"{got} instead of {want!r}"
    assert [x.shape for x in got] == [x.shape for x in want]
    for x, y in zip(got, want):
        if len({a.dtype for a in arrays}) == 1 and call is not OF_ONE["product with a number"]:  # else promotion is PyTorch's
            assert x.dtype == y.dtype
        rtol = 1e-12 if x.dtype == y.dtype == float else 1e-5
        np.testing.assert_allclose(x.astype(float), y.astype(float), rtol=rtol, atol=1e-6)


def _called(function, axis, keepdims, x):
    return function(x, axis, **keepdims)


@pytest.mark.parametrize("name", ALONG)
def test_reductions(name):
    for shape, kind, axis in itertools.product(SHAPES, KINDS, AXES):
        for keepdims in ({}, {"keepdims": True}, {"keepdims": False}):
            check(functools.partial(_called, ALONG[name], axis, keepdims), data(shape, kind))


@pytest.mark.parametrize("name", WITH_AN_AXIS)
def test_functions_with_an_axis(name):
    for shape, kind, axis in itertools.product(SHAPES, ("f8", "i8"), AXES):
        check(functools.partial(_called, WITH_AN_AXIS[name], axis, {}), data(shape, kind))


@pytest.mark.quick
@pytest.mark.parametrize("name", OF_ONE)
def test_functions_of_one_array(name):
    for shape, kind in itertools.product(SHAPES, KINDS):
        if name != "clip (None, 0.5)" or kind != "b1":
            check(OF_ONE[name], data(shape, kind))


@pytest.mark.parametrize("name", OF_TWO)
def test_functions_of_two_arrays(name):
    for one, other, kind in itertools.product([*SHAPES, (3, 2), (2, 2, 3)], [*SHAPES, (4, 5), (2, 3, 4)], ("f8", "i8")):
        check(OF_TWO[name], data(one, kind), data(other, "f8", 1))


@pytest.mark.quick
@pytest.mark.parametrize("ufunc", sorted(UFUNCS, key=lambda f: f.__name__), ids=lambda f: f.__name__)
def test_ufuncs_compute_in_the_dtype_that_numpy_does(ufunc):
    if ufunc.types == np.true_divide.types:  # operators promote as PyTorch's
        return
    for shape, kind in itertools.product([(), (3,), (0,)], ["f8", "f4", "i8", "i1"]):
        x = abs(data(shape, kind)) % 1 if kind[0] == "f" else np.ones(shape, kind)
        check(ufunc, *[x] * ufunc.nin)


@pytest.mark.quick
def test_a_reciprocal_of_integers_and_a_number_beside_them():
    n = np.array([1, -1, 2, -3])
    check(np.reciprocal, n)
    for f in (lambda x: np.hypot(x, 0.5), lambda x: np.maximum(0.5, x), lambda x: np.clip(x, -0.5, 1.5)):
        check(f, n)


@pytest.mark.quick
def test_what_out_takes_is_written_there():
    x = jg.tensor([0.5, -1.0, 2.0], dtype=jg.float64, requires_grad=True)
    for call, want in ((np.exp, np.exp), (np.cumsum, np.cumsum), (lambda x, out: np.clip(x, 0, 1, out), lambda x: x.clip(0, 1))):
        out = jg.zeros(3, dtype=jg.float64)
        assert call(x, out=out) is out
        np.testing.assert_allclose(out.detach().numpy(), want(x.detach().numpy()))
        assert out.requires_grad
    with pytest.raises(ValueError, match=r"np.exp: out has shape \(2,\)"):
        np.exp(x, out=jg.zeros(2))
    with pytest.raises(TypeError, match="float64 cannot be written to out, which is int64"):
        np.exp(x, out=jg.zeros(3, dtype=jg.int64))
    with pytest.raises(TypeError, match=r"np\.sum with out is not an operation"):
        np.sum(x, out=np.zeros(()))


@pytest.mark.quick
def test_where_keeps_infinite_slopes_out():
    for wrapped in (lambda f: f, jg.jit):
        f = wrapped(jg.grad(lambda x: np.log(x, where=x > 0, out=np.zeros_like(x)).sum()))
        assert f(jg.tensor([-1.0, 0.0, 2.0])).tolist() == [0.0, 0.0, 0.5]


@pytest.mark.quick
def test_ufuncs_change_tensors_at_places():
    at, twice = np.array([0, 2, 0]), np.array([1.0, 2.0, 3.0])
    for ufunc, given in (
        (np.add, [twice]),
        (np.multiply, [twice]),
        (np.subtract, [2.0]),
        (np.negative, []),
        (np.maximum, [twice]),
    ):
        array = np.array([0.5, 1.0, 1.5])
        ufunc.at(array, at, *given)
        x = jg.tensor([0.5, 1.0, 1.5], dtype=jg.float64, requires_grad=True)
        y = x * 1
        ufunc.at(y, at, *given)
        assert y.tolist() == array.tolist()
        assert jg.autograd.grad(y.sum(), x)[0].shape == (3,)
    with pytest.raises(ValueError, match="reduce only supported for binary"):
        np.exp.reduce(y)


CHANGES = {
    "copyto": lambda x: np.copyto(x, [-3.0, -4.0, -5.0], where=[True, False, True]),
    "copyto of one": lambda x: np.copyto(x, -3),
    "putmask": lambda x: np.putmask(x, x > 4, 9.0),
    "fill_diagonal": lambda x: np.fill_diagonal(x, 7.0),
    "put_along_axis": lambda x: np.put_along_axis(x, np.array([[0], [2], [1]]), 8.0, 1),
}


@pytest.mark.quick
@pytest.mark.parametrize("name", CHANGES)
def test_changes_in_place_are_recorded(name):
    array = np.arange(9.0).reshape(3, 3)
    x = jg.tensor(array, requires_grad=True)
    y = x * 1
    CHANGES[name](y)
    before = array.copy()
    CHANGES[name](array)
    assert y.tolist() == array.tolist()
    y.sum().backward()
    assert x.grad.tolist() == (array == before).astype(float).tolist()


@pytest.mark.quick
def test_mistakes_are_numpys_errors():
    x = jg.ones(2, 3, requires_grad=True)
    for call, kind, text in (
        (lambda: np.linalg.inv(x), np.linalg.LinAlgError, "np.linalg.inv: the matrices must be square"),
        (lambda: np.linalg.inv(x[:, :2]), np.linalg.LinAlgError, "the matrix is singular"),
        (lambda: np.reshape(x, (4, 2)), ValueError, "np.reshape: "),
        (lambda: np.repeat(x, [1, 2], 1), ValueError, "np.repeat: "),
        (lambda: np.sum(x, axis=5), np.exceptions.AxisError, "axis 5"),
        (lambda: np.concatenate([x, x[0]]), ValueError, "np.concatenate: all must have"),
        (lambda: np.max(x, where=x > 0), ValueError, "give initial="),
    ):
        with pytest.raises(kind, match=re.escape(text)):
            call()


@pytest.mark.quick
@pytest.mark.parametrize("name", sorted(NUMPY))
def test_arguments_are_named_and_placed_as_numpys(name):
    """So that what is given by position is what it is to NumPy; others than these are left to NumPy itself."""
    home, _, short = name.rpartition(".")
    function = getattr({"": np, "linalg": np.linalg, "fft": np.fft, "special": scipy.special}[home], short)
    if isinstance(function, np.ufunc) or home == "special" or name == "einsum":
        return
    theirs, ours = (list(inspect.signature(f).parameters.values()) for f in (function, NUMPY[name]))
    assert {p.name for p in ours if p.kind is not p.VAR_KEYWORD} <= {p.name for p in theirs}
    places = [[p.name for p in ps if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)] for ps in (ours, theirs)]
    assert places[0] == places[1][: len(places[0])]


@pytest.mark.quick
def test_gradients_flow_through_them_and_they_can_be_compiled():
    x = np.arange(1.0, 25.0).reshape(2, 3, 4)
    y = np.linspace(-1, 1, 40).reshape(2, 4, 5)

    def f(x, y):
        return (
            (np.dot(x, y) ** 2).sum()
            + np.sum(np.sum(x, axis=()) ** 2)
            + np.squeeze(x[:1], 0).sum()
            + np.moveaxis(x, (0, 1), (2, 0))[0].sum()
            + np.std(x, axis=()).sum()
        )

    product = np.dot(x, y)
    want = 2 * np.einsum("abcd,ced->abe", product, y) + 2 * x
    want[0] += 1
    want[:, 0] += 1
    for call in (jg.grad(f), jg.jit(jg.grad(f))):
        np.testing.assert_allclose(call(x, y).numpy(), want, rtol=1e-12)
