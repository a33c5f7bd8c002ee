"""Values that leave the graph: a warning where a gradient would be lost, and none where values are just looked at."""

from __future__ import annotations

import collections
import copy
import math
import pickle
import types
import warnings

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.errors import LeakedTraceError, LostGradientWarning, TracedValueError

X = np.array([1.0, 2.0])


def into_an_array(x):
    array = np.zeros(2)
    array[0] = x[0]
    return jg.tensor(array).sum() + x.sum()


def added_to_an_array(x):
    array = np.zeros(2)
    array[0] += x[0]
    return x.sum() * array[0]


def filled(x):
    array = np.zeros(2)
    array.fill(x[0])
    return x.sum() * array[0]


LOSING = {
    "into an array": into_an_array,
    "added to an array": added_to_an_array,
    "fill": filled,
    "tensor of tensors": lambda x: jg.tensor([x[0], 2.0]).sum() + x.sum(),
    "nested": lambda x: jg.tensor([[x[0]], [x[1]]]).sum() + x.sum(),
    "tensor of a tensor": lambda x: jg.tensor(x).sum() + x.sum(),
    "as_tensor": lambda x: jg.as_tensor([x[0], x[1]]).sum() + x.sum(),
    "new_tensor": lambda x: x.new_tensor([x[0], x[1]]).sum() + x.sum(),
    "full": lambda x: jg.full((2,), x[0]).sum() + x.sum(),
    "linspace": lambda x: jg.linspace(0, x[0], 3).sum() + x.sum(),
    "math.exp": lambda x: x.sum() * math.exp(x[0]),
    "math.hypot": lambda x: x.sum() * math.hypot(*x),
    "float": lambda x: x.sum() * float(x[0]),
    "int": lambda x: x.sum() * int(x[0]),
    "item": lambda x: x.sum() * x[0].item(),
    "text": lambda x: x.sum() * float(f"{x[0]:.3f}"),
    "text of an int": lambda x: x.sum() * int(format(x[0], ".0f")),
    "tolist": lambda x: x.sum() * x.tolist()[0],
    "np.float64": lambda x: x.sum() * np.float64(x[0]),
    "fromiter": lambda x: x.sum() * np.fromiter(x, float)[0],
    "a bound": lambda x: jg.clamp(x, min=float(x[0])).sum(),
}

TRANSFORMS = {
    "grad": jg.grad,
    "value_and_grad": jg.value_and_grad,
    "vjp": lambda f: lambda x: jg.vjp(f, x),
    "jvp": lambda f: lambda x: jg.jvp(f, (x,), (np.ones(2),)),
    "linearize": lambda f: lambda x: jg.linearize(f, x),
    "jacrev": jg.jacrev,
    "jacfwd": jg.jacfwd,
    "hessian": jg.hessian,
    "grad of grad": lambda f: jg.grad(lambda x: jg.grad(f)(x).sum()),
}


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS.keys())
@pytest.mark.parametrize("f", LOSING.values(), ids=LOSING.keys())
def test_where_a_gradient_is_lost_there_is_a_warning(f, transform):
    with pytest.warns(LostGradientWarning) as told:
        transform(f)(jg.tensor(X))
    first = f.__code__.co_firstlineno
    for warning in told:
        assert warning.filename == __file__
        assert first <= warning.lineno <= first + 3
        assert "jitgrad.stack" in str(warning.message)
        assert "detach()" in str(warning.message)


def test_a_place_warns_once_by_default():
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        for _ in range(3):
            jg.grad(LOSING["float"])(X)
    assert len(told) == 1


def test_a_new_tensor_of_one_that_requires_grad_warns_also_outside_of_transforms():
    w = jg.tensor([1.0, 2.0], requires_grad=True)
    for make in (lambda: jg.tensor([w[0], w[1]]), lambda: jg.tensor(w), lambda: jg.full((2,), w[0])):
        with pytest.warns(LostGradientWarning, match="new tensor"):
            make()
        with jg.no_grad():
            make()
    jg.tensor([w[0].detach(), w[1].detach()])


def test_a_training_loop_may_look_at_its_loss():
    w = jg.tensor([1.0, 2.0], requires_grad=True)
    for _ in range(3):
        loss = (w * w).sum()
        loss.backward()
        assert loss.item() == float(loss) == pytest.approx(sum(v * v for v in w.tolist()))
        assert f"{loss:.3f} {int(loss)} {loss}"
        with jg.no_grad():
            w -= 0.1 * w.grad
        w.grad = None


def looks(x):
    """Prints, asserts and logs as one does while a gradient is being taken."""
    assert f"{x.sum():.3f} {x}"
    assert float(x.detach()[0]) == x[0].detach().item() == 1.0
    assert x[1] > x[0]
    assert x[0]
    with jg.no_grad():
        assert float(x[0]) == 1.0
    return (x * x).sum() * (x.argmax().item() + int(x.argmax())) * W.item()


W = jg.tensor(2.0, requires_grad=True)


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS.keys())
def test_values_may_be_looked_at_while_a_gradient_is_taken(transform):
    transform(looks)(jg.tensor(X))


def test_results_of_transforms_are_numbers_like_others():
    value, gradient = jg.value_and_grad(lambda x: (x * x).sum())(X)
    assert (value.item(), float(value), gradient.tolist()) == (5.0, 5.0, [2.0, 4.0])


def test_errors_do_not_recommend_what_loses_the_gradient():
    w = jg.tensor([1.0, 2.0], requires_grad=True)
    for call in (lambda: np.array([w[0], w[1]]), lambda: np.asarray(w), lambda: w.numpy()):
        with pytest.raises(RuntimeError, match=r"stack\(\[x, y\]\)"):
            call()
    for call in (np.spacing, np.histogram, lambda x: np.vander([x[0], x[1]], 2)):
        with pytest.raises((TypeError, RuntimeError), match="gradient") as told:
            call(w)
        assert "numpy()" not in str(told.value)
        with pytest.raises(TypeError) as told:
            jg.jit(call)(X)
        assert "detach" not in str(told.value)
    assert np.spacing(w.detach()).tolist() == np.spacing(np.float32([1, 2])).tolist()


MASKED = np.ma.array(X, mask=[False, True])
T = jg.tensor(X)
WITH_MASKS = {
    "tensor": jg.tensor,
    "as_tensor": jg.as_tensor,
    "from_numpy": jg.from_numpy,
    "of several": lambda m: jg.tensor([m, m]),
    "operand": lambda m: T * m,
    "masked itself": lambda m: T * np.ma.masked,
    "where": lambda m: jg.where(T > 0, T, m),
    "ufunc": lambda m: np.add(T, m),
    "method": lambda m: T.maximum(m),
    "product": lambda m: T @ m,
    "function": jg.exp,
    "close": lambda m: jg.allclose(T, m),
    "reduced": jg.sum,
    "written": lambda m: T.clone().copy_(m),
    "set": lambda m: T.clone().__setitem__(slice(None), m),
    "index": lambda m: T[np.ma.array([0, 1], mask=[False, True])],
    "jit": jg.jit(lambda x: x * 2),
    "outside of jit": lambda m: jg.jit(lambda x: x * m)(T),
    "compiled": lambda m: jg.jit(lambda x: x * 2).compile(X)(m),
    "stack": lambda m: jg.stack([T, m]),
    "cat": lambda m: jg.cat([T, m]),
    "bound": lambda m: T.clamp(max=m),
    "scan": lambda m: jg.scan(lambda c, x: (c, x), T.sum(), m),
    "start": lambda m: jg.fori_loop(0, 2, lambda i, x: x, m),
    "gather": lambda m: T.gather(0, m),
    "full": lambda m: jg.full((2,), m),
    "range": lambda m: jg.linspace(0, m[1], 3),
    "NumPy's": lambda m: np.stack([T, m]),
    "like": jg.zeros_like,
    "cotangent": lambda m: jg.ones(2, requires_grad=True).exp().backward(m),
    "outer": lambda m: jg.outer(T, m),
    "grad": jg.grad(lambda x: x.sum()),
    "vmap": jg.vmap(lambda x: x),
    "loss": lambda m: jg.mse_loss(T, m),
}


@pytest.mark.parametrize("call", WITH_MASKS.values(), ids=WITH_MASKS.keys())
def test_masked_arrays_are_refused(call):
    for _ in range(2):
        with pytest.raises(TypeError, match="mask"):
            call(MASKED)


def test_a_compiled_function_refuses_a_masked_array_after_plain_ones():
    f = jg.jit(lambda x: x * 2)
    for _ in range(3):
        assert f(X).tolist() == [2.0, 4.0]
    with pytest.raises(TypeError, match="mask"):
        f(MASKED)


class Box:
    def __init__(self, held):
        self.held = held


class Slot:
    __slots__ = ("held",)

    def __init__(self, held):
        self.held = held


HIDING = {
    "a key": lambda x: {x: 1},
    "a key and a value": lambda x: {x: x},
    "a part of a key": lambda x: {(1, x): x},
    "nested": lambda x: (x, [{"a": {x: 1}}]),
    "a set": lambda x: {x},
    "a frozen set": lambda x: frozenset([x]),
    "a deque": lambda x: collections.deque([x]),
    "an object": Box,
    "slots": Slot,
    "an object in an object": lambda x: Box([Slot(x)]),
    "a namespace": lambda x: types.SimpleNamespace(a=x),
    "a proxy": lambda x: types.MappingProxyType({"a": x}),
    "an array": lambda x: np.array([Box(x)], object),
    "a user's dict": lambda x: collections.UserDict(a=x),
}
RECORDING = {
    "jit": jg.jit,
    "guarded": lambda f: jg.jit(f, guard=True),
    "vmap": jg.vmap,
    "scan": lambda f: lambda x: jg.scan(lambda c, _: (c, f(c)), x, None, 2),
    "scan under jit": lambda f: jg.jit(lambda x: jg.scan(lambda c, _: (c, f(c)), x, None, 2)),
    "cond under jit": lambda f: jg.jit(lambda x: jg.cond(x.sum() > 0, f, f, x)),
    "aux of grad": lambda f: jg.jit(jg.grad(lambda x: (x.sum(), f(x)), has_aux=True)),
    "compile": lambda f: jg.jit(f).compile,
}


@pytest.mark.parametrize("record", RECORDING.values(), ids=RECORDING.keys())
@pytest.mark.parametrize("f", HIDING.values(), ids=HIDING.keys())
def test_results_that_hide_tensors_are_refused(f, record):
    with pytest.raises(TypeError):
        record(f)(jg.tensor(X))


def test_results_may_hold_what_has_no_tensors():
    box = Box([1, {2}])
    found = jg.jit(lambda x: (x, None, "a", box, {1: x}, {2, 3}))(T)
    assert found[1:4] == (None, "a", box)
    assert found[4][1].tolist() == [1.0, 2.0]


KEPT: dict = {}


def kept_in_a_default(x, held=[]):  # noqa: B006
    held[:] = [x * 2]
    KEPT["a"] = held[0]
    return x


def kept_in_an_object(x):
    BOX.held = KEPT["a"] = x * 2
    return x


BOX = Box(None)
USES = {
    "add": lambda v: v + 1,
    "clone": lambda v: v.clone(),
    "detach": lambda v: v.detach() + 1,
    "item": lambda v: v[0].item(),
    "float": lambda v: float(v[0]),
    "tolist": lambda v: v.tolist(),
    "numpy": lambda v: np.asarray(v),
    "bool": lambda v: bool(v),
    "tensor": lambda v: jg.tensor([v[0]]),
    "stack": lambda v: jg.stack([v, v]),
    "in place": lambda v: v.add_(1),
    "an argument": lambda v: jg.jit(lambda x: x)(v),
    "in another": lambda v: jg.jit(lambda x: x * v)(T),
    "grad": lambda v: jg.grad(lambda x: x.sum())(v),
    "vmap": lambda v: jg.vmap(lambda x: x)(v),
    "backward": lambda v: v.sum().backward(),
    "format": lambda v: f"{v[0]:.2f}",
    "set": lambda v: T.clone().__setitem__(0, v[0]),
}


@pytest.mark.parametrize("f", [kept_in_a_default, kept_in_an_object])
@pytest.mark.parametrize("record", [lambda f: jg.jit(f)(T), lambda f: jg.vmap(f)(jg.ones(2, 2))])
@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_a_tensor_that_was_kept_is_an_error_when_it_is_used(use, record, f):
    record(f)
    with pytest.raises(LeakedTraceError, match="trace"):
        use(KEPT["a"])


def test_inside_of_a_trace_a_number_is_an_error_still():
    with pytest.raises(TracedValueError):
        jg.jit(jg.grad(lambda x: x.sum() * float(x[0])))(X)


def test_a_copied_tensor_keeps_its_history():
    f = lambda x: (x * copy.copy(x)).sum()
    for grad in (jg.grad(f), jg.jit(jg.grad(f)), lambda x: jg.vmap(jg.grad(f))(x[None])[0]):
        assert grad(jg.tensor([1.0, 2.0])).tolist() == [2.0, 4.0]
    assert jg.jit(jg.hessian(f))(jg.tensor([1.0, 2.0])).tolist() == [[2.0, 0.0], [0.0, 2.0]]
    assert jg.jvp(f, (jg.tensor([1.0, 2.0]),), (jg.tensor([1.0, 2.0]),))[1].item() == 10
    leaf = jg.tensor([1.0], requires_grad=True)
    assert copy.copy(leaf).is_leaf
    assert not copy.copy(leaf * 2).is_leaf


def test_copies_that_would_lose_the_derivative_are_refused():
    x = jg.tensor(X)
    for copied in (copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))):
        for transform in (jg.grad, jg.jacrev, lambda f: jg.jit(jg.grad(f))):
            with pytest.raises((RuntimeError, TracedValueError), match=r"deep-copied|pickle"):
                transform(lambda x: (copied(x) * x).sum())(x)  # noqa: B023
    assert jg.grad(lambda x: (copy.deepcopy(x.detach()) * x).sum())(x).tolist() == X.tolist()
    assert jg.jit(lambda x: copy.deepcopy(x) * x)(x).tolist() == (X * X).tolist()
    assert copy.deepcopy(x.requires_grad_()).requires_grad
