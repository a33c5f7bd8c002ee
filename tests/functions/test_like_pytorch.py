"""Small things of tensors that are as they are in PyTorch; the expected values were taken from there."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest

import jitgrad as jg
from tests.helpers.sweeps import SWEEPS

F = jg.nn.functional
T = jg.tensor


def leaf(*values):
    return T(values, requires_grad=True)


# Changes of a tensor and its gradient.


def test_data_rebinds_a_tensor_to_other_memory():
    p, t = leaf(1.0, 2.0), T([3.0, 4.0])
    backup, view = p.data, p.detach()[:1]
    p.data = t
    t.mul_(2)
    assert (p.tolist(), backup.tolist(), view.tolist()) == ([6.0, 8.0], [1.0, 2.0], [1.0])
    p.data = backup
    assert p.tolist() == [1.0, 2.0]
    assert p.is_leaf
    assert p.requires_grad
    (p * p).sum().backward()
    p.data = p.data - 0.5 * p.grad
    assert (p.tolist(), p.grad.tolist()) == ([0.0, 0.0], [2.0, 4.0])


def test_data_of_what_was_used_before():
    p = leaf(1.0, 2.0)
    y = (p * p).sum()
    p.data = T([5.0, 6.0])
    y.backward()
    assert p.grad.tolist() == [2.0, 4.0]  # the old memory is as it was
    p.data = T([1.0, 2.0, 3.0])
    (p * p).sum().backward()
    assert p.grad.tolist() == [2.0, 4.0, 6.0]
    view = jg.zeros(4)[:2]
    view.data = T([1.0, 2.0])
    view.add_(1)
    assert view.tolist() == [2.0, 3.0]


def test_copies_of_tensors():
    x = leaf(1.0, 2.0)
    (x * x).sum().backward()
    shallow, deep = copy.copy(x), copy.deepcopy([x, x])
    shallow.detach().mul_(3)
    assert x.tolist() == [3.0, 6.0]
    assert shallow.requires_grad
    assert deep[0] is deep[1]
    assert (deep[0].tolist(), deep[0].grad.tolist()) == ([1.0, 2.0], [2.0, 4.0])
    assert deep[0].grad is not x.grad


def test_a_kept_gradient_follows_a_change_in_place():
    p = leaf(1.0, 2.0)
    y = p * 2
    y.retain_grad()
    y.mul_(3)
    y.sum().backward()
    assert (y.grad.tolist(), p.grad.tolist()) == ([1.0, 1.0], [6.0, 6.0])
    p.grad = None
    y = p * 2
    y.retain_grad()
    part = y[:1]
    part.mul_(3)
    y.sum().backward()
    assert (y.grad.tolist(), p.grad.tolist()) == ([1.0, 1.0], [6.0, 2.0])
    p.grad = None
    y = p * 2
    part = y[:1]
    part.retain_grad()
    y.mul_(3)
    (part * 2).sum().backward()
    assert (part.grad.tolist(), p.grad.tolist()) == ([2.0], [12.0, 0.0])


def test_gradients_can_be_deleted_and_outlive_detach():
    p = leaf(1.0, 2.0)
    (p * p).sum().backward()
    p.detach_()
    assert (p.grad.tolist(), p.requires_grad) == ([2.0, 4.0], False)
    del p.grad
    assert p.grad is None


# Derivatives.


def gradients(function, *xs):
    return [g.tolist() for g in jg.autograd.grad(function(*xs).sum(), xs)]


def test_where_a_bound_is_attained_the_gradient_is_that_of_the_tensor():
    x = leaf(1.0, 2.0, 3.0)
    assert gradients(lambda x, b: x.clamp(min=b), x, leaf(1.0, 3.0, 3.0)) == [[1, 0, 1], [0, 1, 0]]
    assert gradients(lambda x, b: x.clamp(max=b), x, leaf(1.0, 1.0, 3.0)) == [[1, 0, 1], [0, 1, 0]]
    found = gradients(lambda x, a, b: x.clamp(a, b), x, leaf(2.0, 2.0, 5.0), leaf(3.0, 1.0, 4.0))
    assert found == [[0, 0, 0], [1, 0, 0], [0, 1, 1]]


@pytest.mark.parametrize("p", [0.5, 1.5, 2.0, 3.0])
def test_second_derivatives_of_norms_are_finite_at_zero(p):
    for values in ((0.0, 2.0), (0.0, 0.0)):
        x = leaf(*values)
        (g,) = jg.autograd.grad(x.norm(p), x, create_graph=True)
        (second,) = jg.autograd.grad(g[1], x)
        assert np.isfinite(second.numpy()).all()


def test_quotients_that_are_rounded_have_gradient_zero():
    for divide in (lambda x: x // 2, lambda x: x.div(2, rounding_mode="floor"), lambda x: x.div(2, rounding_mode="trunc")):
        assert gradients(divide, leaf(5.0, 7.0)) == [[0, 0]]


# Values.

NAN = math.nan
FOUND = {
    "a bound that is nan": (lambda x: x.clamp(min=NAN), [NAN, NAN]),
    "the other bound is nan": (lambda x: x.clamp(0.0, NAN), [NAN, NAN]),
    "bounds are tensors": (lambda x: x.clamp(T([NAN, 1.5]), T(1.7)), [NAN, 1.7]),
    "a mask": (lambda x: jg.masked_select(T([[1.0, 2.0], [3.0, 4.0]]), T([True, False])), [1.0, 3.0]),
    "a larger mask": (lambda x: x.masked_select(T([[True, False], [True, True]])), [1.0, 1.0, 2.0]),
    "of integers by a fraction": (lambda x: x.add(T([2, 3]), alpha=2.5), [6.0, 9.5]),
    "bools": (lambda x: T([True, False]).add(T([True, True]), alpha=2), [True, True]),
    "of a number": (lambda x: T(1.0).index_select(0, T([0])), 1.0),
    "gather nothing": (lambda x: T([[1.0, 2.0]]).gather(0, jg.zeros(0, dtype=jg.int64)), []),
    "scatter nothing": (lambda x: x.scatter_add(0, jg.zeros(0, dtype=jg.int64), x[:0]), [1.0, 2.0]),
    "a start that is a tensor": (lambda x: x.narrow(0, T(1), 1), [2.0]),
    "a dimension of none": (lambda x: T(1.0).movedim(0, 0), 1.0),
    "whole steps": (lambda x: jg.arange(0.5, 5, 1.5, dtype=jg.int64), [0, 1, 2, 3, 4]),
    "whole numbers": (lambda x: jg.arange(-1.5, 2, dtype=jg.int8), [-1, 0, 1, 2]),
    "whole numbers of a part": (lambda x: jg.arange(1.9, 5.1, 1.5, dtype=jg.int32), [1, 2, 3]),
    "no whole step": (lambda x: jg.arange(0, 1, 0.4, dtype=jg.int32), [0, 0, 0]),
    "classes as bytes": (lambda x: jg.cross_entropy(x[None] * 0, T([1], dtype=jg.uint8)).exp().round(decimals=4), 2.0),
}


@pytest.mark.parametrize(("function", "expected"), FOUND.values(), ids=FOUND.keys())
def test_value(function, expected):
    np.testing.assert_allclose(function(T([1.0, 2.0])).tolist(), expected)


def test_numbers_with_nan_bounds_in_every_sweep():
    for name in SWEEPS:
        with jg.sweep(name):
            for x in (T(1.0), T([1.0, NAN])):
                found = jg.jit(lambda x: (x.clamp(min=NAN), x.clamp(0.0, NAN), x.clamp(0.0, 2.0)))(x)
                assert found[0].isnan().all()
                assert found[1].isnan().all()
                np.testing.assert_equal(found[2].tolist(), x.tolist())


def test_short_floats_are_rounded_to_decimals_without_overflow():
    assert T([1.2345, 600.5], dtype=jg.float16).round(decimals=2).tolist() == [1.23046875, 600.5]


def test_a_dot_product_has_the_dtype_of_its_operands():
    assert jg.dot(T([100, 2], dtype=jg.int8), T([100, 2], dtype=jg.int8)).dtype is jg.int8


def test_limits_are_python_floats():
    assert jg.finfo(jg.float32).eps == 2.0**-23
    assert type(jg.finfo(jg.float32).eps) is float
    assert jg.finfo(jg.float64).dtype == "float64"
    assert jg.ones(2).type() == "jitgrad.float32"


def test_a_format_and_a_gradient_inside_of_jit_say_what_to_do():
    with pytest.raises(jg.errors.TracedValueError, match="a format needs the value"):
        jg.jit(lambda x: (f"{x:.2f}", x)[1])(T(1.0))
    for f in (lambda x: jg.autograd.grad((x * x).sum(), x)[0], lambda x: (x * x).sum().backward()):
        with pytest.raises(jg.errors.TracedValueError, match=r"jitgrad\.grad\(f\)"):
            jg.jit(f)(T([1.0]))


def test_numbers_by_numpy_that_have_no_dtype_here():
    for wrong in (np.timedelta64(1), np.datetime64("2020")):
        with pytest.raises(TypeError, match="cannot compute with"):
            T([1.0]) * wrong


# Sums of many numbers.


def test_float32_sums_are_accurate_along_every_dimension():
    many = jg.ones(2**25, 2)
    assert many.sum(0).tolist() == [2**25] * 2
    assert many.mean(0).tolist() == [1.0, 1.0]
    assert many.reshape(2**12, 2**13, 2).sum((0, 1)).tolist() == [2**25] * 2
    assert many[:, 0].cumsum(0)[-1].item() == 2**25
    assert many[:, :1].mul(0).logsumexp(0).item() == pytest.approx(25 * math.log(2))
    x = np.random.default_rng(0).standard_normal((3, 700, 5)).astype(np.float32)
    for layout in (x, x.transpose(2, 0, 1), x[:, ::-2], np.asfortranarray(x), np.broadcast_to(x[:, :, :1], x.shape)):
        for dim in (0, 1, 2, (0, 1), (0, 2), (1, 2), (0, 1, 2)):
            for keep in (False, True):
                found = jg.from_numpy(layout).sum(dim, keepdim=keep).numpy()
                np.testing.assert_allclose(found, layout.sum(dim, np.float64, keepdims=keep), rtol=2e-6, atol=2e-5)


@pytest.mark.parametrize("source", [np.float16, np.float32, np.float64])
def test_floats_beyond_an_integer_are_the_same_in_every_sweep(source):
    values = [3e9, -3e9, NAN, math.inf, -math.inf, 300.0, -5.0, 1e20, -(2.0**31), 2.0**31 - 1, 127.9, -128.9, 0.5, -0.5, 9.3e18]
    with np.errstate(over="ignore"):
        x = np.array(values * 3).astype(source)
    for dtype in (jg.uint8, jg.int8, jg.int16, jg.int32, jg.int64):
        wanted = T(x).to(dtype).tolist()
        for name in SWEEPS:
            with jg.sweep(name):
                assert jg.jit(lambda x: x.to(dtype))(T(x)).tolist() == wanted  # noqa: B023
                assert [jg.jit(lambda x: x.to(dtype))(T(v)).item() for v in x[:15]] == wanted[:15]  # noqa: B023


# Compiled functions.


@jg.jit
def compiled(x):
    return x * x


def squared(x):
    return x * x


def test_compiled_functions_can_be_copied_and_pickled():
    assert compiled(T(3.0)).item() == 9
    assert pickle.loads(pickle.dumps(compiled)) is compiled
    other = pickle.loads(pickle.dumps(jg.jit(squared, guard=True)))
    assert other(T(3.0)).item() == copy.deepcopy(other)(T(3.0)).item() == 9


def test_only_results_that_depend_on_what_requires_grad_do():
    x, y = leaf(1.0), T([2.0])
    found = jg.jit(lambda x, y: (x * 2, y * 3, x.detach() + y, (x > 0).float()))(x, y)
    assert [r.requires_grad for r in found] == [True, False, False, False]


def test_arrays_among_the_results_stay_what_they_are():
    f = jg.jit(lambda x: (x * 2, np.arange(3), "text"))
    for _ in range(2):
        doubled, array, text = f(jg.ones(2))
        assert (doubled.tolist(), array.tolist(), text) == ([2.0, 2.0], [0, 1, 2], "text")


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda x: jg.amax(x[:0], dim=()), RuntimeError, "nothing to reduce"),
        (lambda x: jg.amax(x[:0], dim=0), IndexError, "nothing to reduce"),
        (lambda x: x.put(T([0, 1]), x), IndexError, "2 places and 3 elements"),
        (lambda x: F.local_response_norm(x.reshape(1, 3, 1), 0), RuntimeError, "size must be positive"),
        (lambda x: F.huber_loss(x, x, reduction="most", delta=-1.0), ValueError, "reduction must be"),
        (lambda x: F.smooth_l1_loss(x, x, reduction="most", beta=-1.0), ValueError, "reduction must be"),
        (lambda x: F.binary_cross_entropy(x + 9, x, reduction="most"), ValueError, "reduction must be"),
    ],
)
def test_errors_are_of_the_type_that_pytorch_raises(call, error, said):
    with pytest.raises(error, match=said):
        call(T([1.0, 2.0, 3.0]))


@pytest.mark.parametrize("decimals", [400, -400])
def test_rounding_to_decimals_beyond_the_floats_is_nan(decimals):
    for rounded in (lambda x: x.round(decimals=decimals), jg.jit(lambda x: x.round(decimals=decimals))):
        assert rounded(T([1.0, -2.0])).isnan().all()
