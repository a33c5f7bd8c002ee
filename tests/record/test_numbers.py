"""What a number among the arguments is: exact, and adapting to the tensors that it meets, in eager code and under jit."""

import itertools
import math
import statistics

import numpy as np
import pytest
from scipy import integrate, optimize

import jitgrad as jg
from jitgrad.errors import TracedValueError
from tests.helpers.sweeps import SWEEPS

NUMBERS = [2.5, 0.1, -3.0, np.float64(2.5), np.float32(0.1), np.float16(0.5), np.int64(3), np.int32(3), np.int8(3)]


OF_ONE = {
    "doubled": lambda c: c * 2,
    "as a fraction": lambda c: c / 7,
    "less one": lambda c: 1 - c,
    "negative": lambda c: -c,
    "size": lambda c: abs(c),
    "power": lambda c: 2.5**c,
    "square": lambda c: c**2,
    "root": lambda c: abs(c) ** 0.5,
    "rest": lambda c: c % 0.7,
    "whole": lambda c: c // 0.7,
    "long": lambda c: (c * 365.25 * 24 + 8193) - 8192,
    "larger": lambda c: c > 1,
    "same": lambda c: c == 2.5,
    "function": lambda c: jg.sin(c),
    "of two": lambda c: jg.add(c, 0.3),
    "divmod": lambda c: divmod(c, 0.7)[0],
    "its rest": lambda c: divmod(c, 0.7)[1],
    "divmod of": lambda c: divmod(7.3, c)[1],
    "clamped": lambda c: jg.clamp(c, 0.3, 5.0),
    "smooth": lambda c: jg.softplus(c),
    "put together": lambda c: jg.stack([c, 0.3]),
    "of NumPy": lambda c: np.exp(c) * c,
    "of two of NumPy": lambda c: np.arctan2(c, 2.0),
}


WITH_A_TENSOR = {
    "product": lambda x, c: x * c,
    "sum": lambda x, c: c + x,
    "of numbers first": lambda x, c: x * (c * 3 - 0.2),
    "quotient": lambda x, c: c / (x + 2),
    "power": lambda x, c: (x + 2) ** c,
    "base": lambda x, c: abs(c) ** x,
    "choice": lambda x, c: jg.where(x > 0, x, c),
    "maximum": lambda x, c: jg.maximum(x, c),
    "of a function": lambda x, c: x * jg.exp(c),
    "comparison": lambda x, c: x > c,
    "assigned": lambda x, c: assigned(c, x),
    "clamped": lambda x, c: x.clamp(max=c),
    "scaled": lambda x, c: jg.add(x, x, alpha=c) * jg.add(c, c, alpha=-2.0),
    "loop": lambda x, c: jg.scan(lambda a, s: (a + s, a), c, x.reshape(-1))[0],
    "branch": lambda x, c: jg.cond(x.sum() > 1, lambda c: c * 2, lambda c: c - 1, c) * x,
    "batch": lambda x, c: jg.vmap(lambda s: s * (c + 0.1))(x.reshape(-1)),
    "gradient": lambda x, c: jg.grad(lambda x: (x * x * c).sum())(x),
}


def assigned(c, x):
    """`+=` and the like, which make another number."""
    c += 1
    c *= 2.5
    d = c
    c -= x
    d **= 2
    d /= 3
    return c * d


def result_of(call, *args):
    """A value and its dtype, also of a Python number; or the kind of error."""
    try:
        out = call(*args)
    except (RuntimeError, TypeError) as error:
        return type(error).__name__
    value = out.detach().numpy() if isinstance(out, jg.Tensor) else np.asarray(out)
    return value.dtype, value.astype(np.float64).tolist()


def close(one, other):
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    rtol = 1e-14 if one[0] == np.float64 else 1e-3 if one[0] == np.float16 else 1e-6
    return one[0] == other[0] and np.allclose(one[1], other[1], rtol=rtol, atol=0)


@pytest.mark.parametrize("name", OF_ONE)
def test_numbers_alone_are_what_python_makes_of_them(name):
    for c in NUMBERS:
        want = result_of(OF_ONE[name], c)
        for sweep in SWEEPS if c in (2.5, 3) else ("interpreted",):
            with jg.sweep(sweep):
                assert close(result_of(jg.jit(OF_ONE[name]), c), want), (name, c, sweep)
        assert close(result_of(jg.jit(lambda d: OF_ONE[name](d["c"][0])), {"c": [c]}), want)


@pytest.mark.parametrize("name", WITH_A_TENSOR)
def test_numbers_adapt_to_the_tensors_that_they_meet(name):
    function = WITH_A_TENSOR[name]
    for c, dtype, shape in itertools.product(NUMBERS, ("float32", "float64", "float16", "int64"), [(3,), ()]):
        x = jg.tensor(np.arange(1, 4) if shape else np.int64(2)).to(getattr(jg, dtype))
        want = result_of(function, x, c)
        with jg.sweep("interpreted"):
            assert close(result_of(jg.jit(function), x, c), want), (name, c, dtype, shape)
        if c == 0.1 and dtype == "float64" and shape:
            assert close(result_of(jg.jit(function), x, c), want)


@pytest.mark.quick
def test_a_number_beside_float64_is_exact_in_every_way_to_run():
    w, c = np.ones(3), 16777217.0

    def f(w, c):
        return (w * (c - 16777216.0)).sum()

    for call in (f, jg.jit(f), jg.jit(f).compile(w, 1.0)):
        assert float(call(jg.tensor(w), c)) == 3
    assert jg.vmap(f, (0, None))(w[None], c).tolist() == [3]
    for call in (jg.grad(f), jg.jit(jg.grad(f)), jg.grad(f).compile(w, 1.0)):
        assert call(w, c).tolist() == [1, 1, 1]


@pytest.mark.quick
def test_gradients_in_numbers_have_their_dtype():
    for c, dtype in ((0.3, "float64"), (np.float64(0.3), "float64"), (np.float32(0.3), "float32"), (np.array(0.3), "float64")):
        for f in (lambda c: c * c, lambda c: jg.sin(c) * c, lambda c: (jg.ones(3) * c).sum()):
            for call in (jg.grad(f), jg.jit(jg.grad(f))):
                assert call(c).dtype is getattr(jg, dtype)
            assert abs(float(jg.grad(f)(c)) - float(jg.jit(jg.grad(f))(c))) < 1e-7


def test_callbacks_of_solvers_are_exact():
    for f in (lambda x: jg.cos(x) - x, jg.jit(lambda x: jg.cos(x) - x)):
        assert abs(optimize.brentq(f, 0, 1) - 0.7390851332151607) < 1e-13
    bell = jg.jit(lambda x: jg.exp(-x * x))
    for f in (bell, bell.compile(1.0).low_level_callable()):
        assert abs(integrate.quad(f, 0, 2)[0] - math.sqrt(math.pi) / 2 * math.erf(2)) < 1e-13


OF_ARRAYS = {
    "grad": lambda f, x, y: jg.grad(f)(x, y),
    "value_and_grad": lambda f, x, y: jg.value_and_grad(f)(x, y)[0],
    "keyword": lambda f, x, y: jg.grad(f)(x, y=y),
    "vjp": lambda f, x, y: jg.vjp(lambda x: f(x, y), x)[0],
    "jvp": lambda f, x, y: jg.jvp(f, (x, y), (x, y))[1],
    "hvp": lambda f, x, y: jg.hvp(f, (x, y), (x, y))[0],
    "jacrev": lambda f, x, y: jg.jacrev(f)(x, y),
    "jacfwd": lambda f, x, y: jg.jacfwd(f)(x, y),
    "hessian": lambda f, x, y: jg.hessian(f)(x, y),
    "linearize": lambda f, x, y: jg.linearize(f, x, y)[0],
    "vmap": lambda f, x, y: jg.vmap(f, (0, None))(x[None], y),
    "vmap, keyword": lambda f, x, y: jg.vmap(f)(x[None], y=y),
    "nested": lambda f, x, y: jg.grad(lambda x, d: f(x, d["y"][0]))(x, {"y": [y]}),
    "cond": lambda f, x, y: jg.cond(True, f, f, x, y),
    "switch": lambda f, x, y: jg.switch(0, [f], x, y),
    "scan": lambda f, x, y: jg.scan(lambda c, s: (c, f(s, s)), x, y[None])[1],
    "custom_vjp": lambda f, x, y: with_rule(jg.custom_vjp(f))(x, y),
    "custom_jvp": lambda f, x, y: with_rule(jg.custom_jvp(f))(x, y),
}


def with_rule(custom):
    """The function, with a rule that nothing here asks for."""
    if isinstance(custom, jg.custom_vjp):
        custom.defvjp(lambda *args: (custom(*args), None), lambda residuals, g: (g, g))
    else:
        custom.defjvp(lambda primals, tangents: (custom(*primals), tangents[0]))
    return custom


@pytest.mark.quick
@pytest.mark.parametrize("name", OF_ARRAYS)
def test_arrays_are_tensors_in_every_transform(name):
    seen = []

    def f(x, y):
        seen.append(type(y))
        return (x * x * y.std(0)).sum()

    x, y = np.array([0.5, -1.0]), np.arange(6.0).reshape(3, 2) if name != "scan" else np.array([1.0, 4.0])
    if name in ("jvp", "hvp"):
        y = np.array([1.0, 4.0])
    call = OF_ARRAYS[name]
    outside = {"vjp"}  # the array is not an argument there
    got = call(f, x, jg.tensor(y) if name in outside else y)
    assert set(seen) == {jg.Tensor}
    np.testing.assert_allclose(got.detach().numpy(), call(f, jg.tensor(x), jg.tensor(y)).detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(got.detach().numpy(), jg.jit(lambda x, y: call(f, x, y))(x, y).detach().numpy(), rtol=1e-12)


TEXTS = {
    "str": lambda x, t: x * len(str(t)),
    "format": lambda x, t: x * len(f"{t}"),
    "percent": lambda x, t: x * len("%s" % t),  # noqa: UP031
    "name": lambda x, t: x * {"1": 10.0, "2": 20.0, "3": 30.0}.get(str(t), 0.0),
    "digits": lambda x, t: x * len(f"{t:d}"),
    "kind": lambda x, t: x * (2.0 if hasattr(t, "shape") else 1.0),
    "scalar": lambda x, t: x * (1.0 if np.isscalar(t) else 2.0),
}


@pytest.mark.parametrize("name", TEXTS)
def test_an_int_whose_text_or_kind_is_asked_stays_an_int(name):
    x, f = jg.tensor([1.5, -2.5]), TEXTS[name]
    jitted = jg.jit(f)
    for t in (1, 2, 3, 10, 100, 7):
        assert jitted(x, t).tolist() == f(x, t).tolist()


def test_the_text_of_a_float_is_no_constant():
    for f in (lambda x, t: x * len(str(t)), lambda x, t: x * len(f"{t}"), lambda x, t: x * len(repr(t * 2))):
        with pytest.raises(TypeError, match="needs the value"):
            jg.jit(f)(jg.ones(2), 0.25)


INTEGERS = np.arange(3)


BESIDE_ARRAYS = [
    lambda x: x * INTEGERS,
    lambda x: INTEGERS + x,
    lambda x: INTEGERS - x,
    lambda x: x**INTEGERS,
    lambda x: np.multiply(INTEGERS, x),
    lambda x: x * (INTEGERS > 0),
    lambda x: np.where(INTEGERS > 0, x, 0),
    lambda x: x * np.array(3),
]


@pytest.mark.parametrize("f", BESIDE_ARRAYS)
def test_a_float_beside_an_array_of_integers_is_exact(f):
    x = 0.1234567890123456
    np.testing.assert_array_equal(jg.jit(f)(x).numpy(), f(x))


@pytest.mark.parametrize("name", ["mul", "sub", "div", "add", "maximum", "pow", "hypot", "atan2"])
def test_an_int_and_a_float_are_exact_in_either_order(name):
    f, x = getattr(jg, name), 0.1234567890123456
    plain = ((3, x), (x, 3)) if name in ("mul", "sub", "div", "add") else ()  # the others ask for more than Python's numbers
    for a, b in (*plain, (np.int64(3), x), (x, np.int64(3)), (np.float64(x), 3)):
        assert f(a, b).dtype is jg.float64
        assert jg.jit(f)(a, b).item() == f(a, b).item()


def test_where_of_a_python_bool():
    for f in (lambda c, x, y: jg.where(c, x, y),):
        for c in (True, False):
            assert jg.jit(f)(c, 16777217.0, 0.5).item() == f(c, 16777217.0, 0.5).item() == (16777217.0 if c else 0.5)
    assert jg.where(False, np.int8(7), np.int64(300)).item() == 300
    x = jg.tensor([1.0, 2.0])
    for jacobian in (jg.jacrev, jg.jacfwd):
        assert jacobian(lambda x: jg.where(True, x, 0))(x).tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_numbers_by_numpy_compare_alike_on_both_sides():
    t = jg.tensor(0.1)
    assert (np.float64(0.1) == t).item() == (t == np.float64(0.1)).item() == jg.jit(lambda t: np.float64(0.1) == t)(t).item()
    assert (np.float64(0.1) < t).item() == (t > np.float64(0.1)).item() == jg.jit(lambda t: np.float64(0.1) < t)(t).item()


def test_numbers_become_tensors_as_python_makes_them():
    x = 16777217.0
    wide = jg.zeros(2, dtype=jg.float64)
    for f in (jg.as_tensor, lambda x: jg.as_tensor(x) + wide, lambda x: jg.as_tensor(x, dtype=jg.float64)):
        eager, traced = f(x), jg.jit(f)(x)
        assert traced.dtype is eager.dtype
        assert traced.tolist() == eager.tolist()
    joined = jg.jit(lambda x, y: jg.stack([x, y]))
    assert joined(0.1, jg.tensor(1.0)).dtype is jg.float32
    assert joined(0.1, jg.tensor(1.0, dtype=jg.float64)).tolist() == [0.1, 1.0]
    assert joined(0.1, 0.3).tolist() == [0.1, 0.3]


def test_what_stays_pythons_is_refused():
    for f in (round, lambda x: round(x, 2), str, lambda x: statistics.mean([x, 1.0]), lambda x: f"{x}"):
        for c in (2.675, np.float64(2.675)):
            with pytest.raises(TracedValueError):
                jg.jit(f)(c)
    with pytest.raises(TracedValueError, match=r"statistics.mean\(\) needs.*stack\(.*mean"):
        jg.jit(lambda x: statistics.mean([x, 1.0]))(2.5)


T32, T64 = jg.tensor(0.3), jg.tensor(0.3, dtype=jg.float64)


TOGETHER = [
    lambda c: jg.stack([c, T32]),
    lambda c: jg.stack([T64, c]),
    lambda c: jg.stack([c, c]),
    lambda c: jg.stack([c, np.int8(2)]),
    lambda c: jg.mse_loss(jg.stack([c, c]), jg.stack([T64, T64])),
    lambda c: jg.clamp(c, 0.0, T64),
    lambda c: jg.round(c),
    lambda c: jg.atan2(c, np.float32(0.5)),
    lambda c: jg.mul(c, np.float64(3)),
    lambda c: jg.as_tensor(c),
    lambda c: jg.isclose(c, T64),
    lambda c: jg.reshape(c, 1),
    lambda c: jg.zeros_like(c),
    lambda c: jg.clone(c),
    lambda c: jg.max(c),
]


@pytest.mark.parametrize("f", TOGETHER)
def test_functions_take_numbers_for_tensors_alike(f):
    for c in (0.1234567890123456, np.float32(0.7), np.float64(0.7), np.array(0.7)):
        if not (isinstance(c, np.ndarray) and f in TOGETHER[7:9]):  # which is a tensor under jit
            want = result_of(f, c)
            assert not isinstance(want, str)
            assert close(result_of(jg.jit(f), c), want)


@pytest.mark.parametrize("array", [np.arange(3), np.arange(3.0), np.arange(3, dtype=np.float32)])
def test_a_dict_of_a_number_and_an_array_is_one_thing_everywhere(array):
    f = lambda d: d["c"] * d["x"]
    for c in (0.1234567890123456, 2, np.float32(0.3)):
        given = {"c": c, "x": array}
        want = result_of(f, {"c": c, "x": jg.tensor(array)})
        axes = ({"c": None, "x": 0},)
        for call in (
            jg.jit(f),
            jg.vmap(f, axes),
            jg.jit(jg.vmap(f, axes)),
            jg.jit(f).compile(given),
            lambda d: jg.cond(True, f, f, d),
            lambda d: jg.grad(lambda x, d: (x * x, f(d)), has_aux=True)(1.0, d)[1],
        ):
            assert close(result_of(call, given), want)
