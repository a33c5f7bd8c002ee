"""Where a function under jit needs a value, the error names the cure for that very call."""

import math
import re

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.errors import TracedValueError

pytestmark = pytest.mark.quick

TABLE, LIST = np.arange(5.0), [1, 2, 3]


def branch(x):
    if x > 0:
        return x
    return -x


def loop(x):
    while x > 0:
        x = x - 1
    return x


names: dict = {}
exec("def asserted(x):\n    assert x > 0\n    return x", names)  # pytest would write the assertion anew


def counted(x):
    total = 0
    for i in range(x):
        total += i
    return total


def stored(x):
    found = np.zeros(3)
    found[x] = 1
    return found


NUMBERS = [
    (branch, "jitgrad.where.*cond.*guard=True"),
    (loop, "while_loop"),
    (names["asserted"], "assertion.*guard=True"),
    (lambda x: x if x > 0 else -x, "jitgrad.where"),
    (lambda x: (x > 0) and x, "jitgrad.where"),
    (lambda x: not x, "jitgrad.where"),
    (math.sqrt, r"float\(\)"),
    (lambda x: math.sqrt(x), r"math.sqrt\(\) needs.*jitgrad.sqrt"),
    (lambda x: math.floor(x), "jitgrad.floor"),
    (lambda x: math.gamma(x), "lgamma"),
    (lambda x: math.atan2(x, 1), "jitgrad.atan2"),
    (lambda x: math.trunc(x), "jitgrad.trunc"),
    (lambda x: math.isnan(x), "jitgrad.isnan"),
    (lambda x: np.array([x, x]), r"np.array\(\) needs.*jitgrad.stack"),
    (lambda x: np.interp(x, [0, 1], [0, 1], period=2), "np.interp with period needs"),
    (lambda x: np.linalg.eig(jg.eye(2) * x), r"np.linalg.eig needs.*jitgrad.linalg.eig"),
    (lambda x: np.histogram(x), "np.histogram needs"),
    (lambda x: np.i0(x) + np.spacing(x), "np.spacing needs.*NumPy's own"),
    (lambda x: np.float64(x), "jitgrad.float64"),
    (lambda x: max(x, 0), r"max\(\) needs.*jitgrad.maximum"),
    (lambda x: min(x, 0), "jitgrad.minimum"),
    (lambda x: sorted([x, x]), "sorted"),
    (lambda x: any([x > 0]), r"\.any\(\)"),
    (lambda x: x in LIST, r"\(x == y\).any\(\)"),
    (lambda x: int(x), "jitgrad.int64"),
    (lambda x: float(x), "jitgrad.float64"),
    (lambda x: bool(x), "x != 0"),
    (lambda x: x.item(), "the tensor itself"),
    (lambda x: x.tolist(), "unbind"),
    (lambda x: x.numpy(), "the tensor itself"),
    (lambda x: f"{x:.3f}", "outside"),
    (lambda x: f"{x:.3f}", "outside"),
    (lambda x: "%.3f" % x, "outside"),  # noqa: UP031
    (lambda x: jg.full((2,), x), r"ones\(shape\) \* x"),
    (lambda x: jg.tensor([x, x]), "jitgrad.stack"),
    (lambda x: jg.linspace(0, x, 3), "linspace"),
    (lambda x: jg.equal(x, x), r"\(a == b\).all\(\)"),
    (lambda x: np.unique(x), "where.mask"),
    (lambda x: x.nonzero(), "where.mask"),
]
INTS = [
    (lambda i: TABLE[i], r"jitgrad.tensor\(table\)\[i\]"),
    (lambda i: LIST[i], r"jitgrad.tensor\(table\)\[i\]"),
    (lambda i: LIST[:i], "slice is fixed"),
    (lambda i: jg.ones(3)[i:], "slice is fixed"),
    (counted, r"range\(\) needs.*fori_loop"),
    (lambda i: jg.zeros(i), "sizes are fixed"),
    (lambda i: jg.ones(4).reshape(i), "sizes are fixed"),
    (stored, "zeros.*stack"),
    (lambda i: jg.ones(2, 2).sum(i), "Python int"),
]


@pytest.mark.parametrize("transform", [jg.jit, jg.vmap, lambda f: jg.jit(jg.vmap(f))])
def test_the_cure_for_the_call(transform):
    for cases, value in ((NUMBERS, jg.tensor([1.5])), (INTS, jg.tensor([1]))):
        for function, words in cases:
            given = value[0] if transform is jg.jit else value
            with pytest.raises(TracedValueError, match=f"(?s){words}"):
                transform(function)(given)


def test_what_numpy_says_itself_has_the_cure_behind_it():
    def f(x):
        found = np.zeros(2)
        found[0] = x
        return found

    with pytest.raises(ValueError, match="setting an array element") as caught:
        jg.jit(f)(jg.tensor(1.0))
    assert "jitgrad.stack" in str(caught.value.__cause__)


def test_traced_tensors_are_no_keys():
    for f in (lambda x: {x: 1}, lambda x: {x}, lambda x: {1: 2}[x], lambda x: {"a": {x: 3}}):
        with pytest.raises(TypeError, match="no hash"):
            jg.jit(f)(jg.tensor(1.0))
    x = jg.tensor(1.0)
    assert {x: 1}[x] == 1


def test_round_is_that_of_a_tensor():
    assert round(jg.tensor(2.5)).item() == 2.0
    assert round(jg.tensor(2.345, dtype=jg.float64), 2).item() == pytest.approx(2.35, abs=0.011)
    assert jg.jit(lambda x: round(x))(jg.tensor(1.6)).item() == 2.0


def test_decorators_with_options():
    @jg.jit(guard=True)
    def f(x):
        return x * 2 if x.sum() > 0 else x * 3

    @jg.vmap(in_dims=1)
    def columns(x):
        return x.sum()

    @jg.grad(argnums=1)
    def second(x, y):
        return x * y * y

    @jg.jit()
    @jg.value_and_grad(has_aux=True)
    def both(x):
        return x * x, x

    assert [f(jg.ones(2)).tolist(), f(-jg.ones(2)).tolist()] == [[2.0, 2.0], [-3.0, -3.0]]
    assert columns(jg.ones(2, 3)).tolist() == [2.0] * 3
    assert second(jg.tensor(1.0), jg.tensor(2.0)).item() == 4.0
    assert both(jg.tensor(3.0))[1].item() == 6.0
    for transform in (jg.jit, jg.grad, jg.value_and_grad, jg.func.grad_and_value, jg.vmap, jg.jacrev, jg.jacfwd, jg.hessian):
        with pytest.raises(TypeError, match="unexpected keyword argument 'donate'"):
            transform(donate=1)
        for wrong in (3, None):
            with pytest.raises(TypeError):
                transform(wrong)(jg.ones(2))


M, A, B = np.array([[1.0, 2.0], [3.0, 5.0]]), np.array([1.0, -2.0, 4.0]), np.array([3.0, 7.0, 2.0])
FOLLOWED = [
    (lambda a, b: np.r_[a, b], (A, B)),
    (lambda a, b: np.c_[a, b], (A, B)),
    (lambda a, b: math.fmod(a, b), (7.5, -2.0)),
    (lambda a, b: math.remainder(a, b), (7.5, 2.0)),
    (lambda x: math.degrees(x), (0.3,)),
    (lambda x: math.radians(x), (30.0,)),
    (lambda x: math.fabs(x), (-2.0,)),
]


@pytest.mark.parametrize(("function", "given"), FOLLOWED)
def test_cures_when_followed_give_the_same(function, given):
    tensors = [x if isinstance(x, int) else jg.tensor(x, dtype=None if isinstance(x, np.ndarray) else jg.float64) for x in given]
    with pytest.raises(TracedValueError) as caught:
        jg.jit(lambda *args: function(*args))(*tensors)
    written = re.search(r"use (jitgrad\.\w+$|.*)", str(caught.value)).group(1)
    names = dict(zip("xn" if len(given) == 1 or isinstance(given[1], int) else "ab", tensors))
    found = eval(written, {"jitgrad": jg, "math": math, **names})
    found = found(*tensors) if callable(found) else found
    np.testing.assert_allclose(found.numpy(), function(*given), rtol=1e-6)
