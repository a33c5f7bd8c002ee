"""`jitgrad.grad` and `value_and_grad`: arguments, structures, nesting in each other and in `jit`, and closures."""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.functions.data import tensor
from jitgrad.testing import gradcheck
from tests.helpers.sweeps import SWEEPS

quick = pytest.mark.quick


def f64(*values: float) -> Any:
    return tensor(values, dtype=jg.float64)


def same(x: Callable) -> Callable:
    return x


# Arguments.


@quick
def test_value_and_gradient() -> None:
    value, gradient = jg.value_and_grad(lambda x: (x**3).sum())(f64(1, 2))
    assert (value.item(), gradient.tolist()) == (9, [3, 12])
    assert not value.requires_grad
    assert not gradient.requires_grad
    assert jg.grad(lambda x: x**2)(3.0).item() == 6
    assert jg.grad(lambda x: x**2)(3).dtype is jg.float64
    assert jg.grad(lambda x: (x * x).sum())(np.array([1.0, 2.0])).tolist() == [2, 4]


@quick
def test_argnums_and_keywords() -> None:
    def f(x: Any, y: Any, *, scale: float = 1.0) -> Any:
        return (x * y**2).sum() * scale

    x, y = f64(1, 2), f64(3, 4)
    assert jg.grad(f)(x, y).tolist() == [9, 16]
    assert jg.grad(f, 1)(x, y).tolist() == [6, 16]
    assert jg.grad(f, -1)(x, y, scale=2.0).tolist() == [12, 32]
    value, (gx, gy) = jg.value_and_grad(f, argnums=(0, 1))(x, y)
    assert (value.item(), gx.tolist(), gy.tolist()) == (41, [9, 16], [6, 16])
    (only,) = jg.grad(f, (1,))(x, y)
    assert only.tolist() == [6, 16]


@quick
def test_auxiliary_results() -> None:
    def f(x: Any) -> Any:
        hidden = x * 2
        return (hidden**2).sum(), {"hidden": hidden, "name": "f"}

    (value, aux), gradient = jg.value_and_grad(f, has_aux=True)(f64(1, 2))
    assert (value.item(), gradient.tolist(), aux["name"]) == (20, [8, 16], "f")
    assert aux["hidden"].tolist() == [2, 4]
    gradient, aux = jg.grad(f, has_aux=True)(f64(1, 2))
    assert (gradient.tolist(), aux["hidden"].tolist()) == ([8, 16], [2, 4])


class Layer(NamedTuple):
    weight: Any
    bias: Any


@quick
def test_structures_of_arguments() -> None:
    def loss(layers: Any, x: Any) -> Any:
        for layer in layers["all"]:
            x = (x @ layer.weight + layer.bias).tanh()
        return (x * layers["scale"]).sum()

    rng = np.random.default_rng(0)
    both = [Layer(tensor(rng.normal(size=(2, 2))), tensor(rng.normal(size=2))) for _ in range(2)]
    layers: dict[str, Any] = {"all": both, "scale": 2.0}
    x = tensor(rng.normal(size=(3, 2)))
    gradient = jg.grad(loss)(layers, x)
    assert type(gradient["all"][0]) is Layer
    assert gradient["scale"].shape == ()
    step = 1e-6
    for k, name in itertools.product(range(2), ("weight", "bias")):
        part = getattr(layers["all"][k], name)
        moved = []
        for sign in (1, -1):
            changed = part.clone()
            changed.view(-1)[1] += sign * step
            copy = [layer._replace(**{name: changed}) if i == k else layer for i, layer in enumerate(layers["all"])]
            moved.append(loss({"all": copy, "scale": 2.0}, x).item())
        wanted = (moved[0] - moved[1]) / (2 * step)
        assert getattr(gradient["all"][k], name).reshape(-1)[1].item() == pytest.approx(wanted, rel=1e-6)


@quick
def test_what_the_value_does_not_depend_on() -> None:
    gradient = jg.grad(lambda pair: pair[0] * 3)((tensor(1.0), f64(1, 2)))
    assert gradient[0].item() == 3
    assert gradient[1].tolist() == [0, 0]
    assert jg.grad(lambda x: tensor(1.0))(2.0).item() == 0
    assert jg.grad(lambda x: x)(2.0).item() == 1
    assert jg.grad(lambda x: x.detach() * x)(2.0).item() == 2
    with jg.no_grad():
        assert jg.grad(lambda x: x * x)(2.0).item() == 4


@quick
def test_arguments_are_left_alone() -> None:
    x = tensor([1.0, 2.0], requires_grad=True)
    gradient = jg.grad(lambda v: (v * v).sum())(x)
    assert gradient.tolist() == [2, 4]
    assert x.grad is None

    def writes(v: Any) -> Any:
        v = v * 1
        v[0] = v[1] * 3
        return (v * v).sum()

    assert jg.grad(writes)(x).tolist() == [0, 40]
    assert x.tolist() == [1, 2]


# Nesting, in every order.

ORDERS = [
    combination
    for depth in (1, 2, 3)
    for combination in itertools.product(("grad", "jit", "vag"), repeat=depth)
    if 0 < sum(c != "jit" for c in combination) <= 2
]
WRAP: dict[str, Callable] = {"grad": jg.grad, "jit": jg.jit, "vag": lambda f: lambda x: jg.value_and_grad(f)(x)[1]}
DERIVATIVES = [lambda x: 4 * x**3 - np.sin(x), lambda x: 12 * x**2 - np.cos(x)]


@pytest.mark.parametrize("order", ORDERS, ids=".".join)
def test_nesting(order: tuple[str, ...]) -> None:
    def function(x: Any) -> Any:
        return x**4 + x.cos()

    f: Callable = function
    for name in reversed(order):
        f = WRAP[name](f)
    for x in (0.5, 1.5):
        result = f(tensor(x, dtype=jg.float64))
        wanted = DERIVATIVES[sum(c != "jit" for c in order) - 1](x)
        assert result.item() == pytest.approx(wanted, rel=1e-12)
        assert result.dtype is jg.float64


@pytest.mark.parametrize("outer", [same, jg.jit], ids=["eager", "jit"])
@pytest.mark.parametrize("inner", [same, jg.jit], ids=["eager", "jit"])
def test_closing_over_an_outer_traced_value(outer: Callable, inner: Callable) -> None:
    """d/dx of x * (d/dy of x * y**2 at y = 3) = d/dx of 6 x**2."""

    def f(x: Any) -> Any:
        return x * jg.grad(inner(lambda y: x * y * y))(tensor(3.0, dtype=jg.float64))

    x = tensor(2.0, dtype=jg.float64)
    assert outer(f)(x).item() == 24
    assert outer(jg.grad(f))(x).item() == pytest.approx(24)
    assert jg.grad(outer(f))(x).item() == pytest.approx(24)
    assert jg.grad(jg.grad(outer(f)))(x).item() == pytest.approx(12)
    value, gradient = outer(jg.value_and_grad(f))(x)
    assert (value.item(), gradient.item()) == (24, 24)


@quick
def test_perturbations_are_not_confused() -> None:
    """The textbook case: d/dx of x * d/dy (x + y) is 1, not 2."""
    assert jg.grad(lambda x: x * jg.grad(lambda y: x + y)(1.0))(1.0).item() == 1
    assert jg.grad(lambda x: jg.grad(lambda y: x * y)(x))(3.0).item() == 1
    assert jg.grad(lambda x: jg.grad(lambda x: x * x)(x) * x)(3.0).item() == 12


@pytest.mark.parametrize("wrap", [same, jg.jit], ids=["eager", "jit"])
def test_closing_over_a_tensor_that_requires_grad(wrap: Callable) -> None:
    """The gradient in x is itself recorded, and `backward()` goes on from it into w."""
    w = tensor(3.0, dtype=jg.float64, requires_grad=True)
    value, gradient = jg.value_and_grad(wrap(lambda x: w * w * x * x))(tensor(2.0, dtype=jg.float64))
    assert (value.item(), gradient.item()) == (36, 36)
    assert w.grad is None
    gradient.backward(retain_graph=True)
    assert w.grad.item() == 24
    w.grad = None
    value.backward()
    assert w.grad.item() == 24


@quick
def test_argument_that_requires_grad() -> None:
    x = tensor(2.0, dtype=jg.float64, requires_grad=True)
    y = x * 1
    gradient = jg.grad(lambda v: v**3)(y)
    assert gradient.item() == 12
    gradient.backward()
    assert x.grad.item() == 12


# Backward through compiled functions.


@pytest.mark.parametrize("sweep", SWEEPS)
def test_backward_through_a_compiled_function(sweep: str) -> None:
    @jg.jit
    def layer(x: Any, w: Any, scale: float) -> Any:
        hidden = (x @ w).tanh()
        return {"out": hidden * scale, "size": (hidden * hidden).mean(), "kind": "tanh", "where": hidden.argmax()}

    def eager(x: Any, w: Any, scale: float) -> Any:
        hidden = (x @ w).tanh()
        return {"out": hidden * scale, "size": (hidden * hidden).mean()}

    rng = np.random.default_rng(1)
    data, weights = rng.normal(size=(3, 4)), rng.normal(size=(4, 2))
    gradients = []
    with jg.sweep(sweep):
        for function in (layer, eager):
            x, w = tensor(data), tensor(weights, requires_grad=True)
            for scale in (2.0, 3.0):
                result = function(x * 1, w, scale)
                (result["out"].sum() * 2 + result["size"]).backward()
            gradients.append(w.grad.numpy())
            if function is layer:
                assert result["kind"] == "tanh"
                assert not result["where"].requires_grad
                assert repr(result["size"]).endswith("Backward0>)")
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-12)


def test_second_derivatives_through_a_compiled_function() -> None:
    f = jg.jit(lambda x: (x**3 * x.sin()).sum())
    x = tensor([0.5, 1.5], dtype=jg.float64, requires_grad=True)
    (g,) = jg.autograd.grad(f(x), x, create_graph=True)
    (h,) = jg.autograd.grad(g.sum(), x)
    s, c, v = np.sin(x.tolist()), np.cos(x.tolist()), np.array(x.tolist())
    np.testing.assert_allclose(g.tolist(), 3 * v**2 * s + v**3 * c, rtol=1e-10)
    np.testing.assert_allclose(h.tolist(), 6 * v * s + 6 * v**2 * c - v**3 * s, rtol=1e-10)


def test_compiled_calls_free_retain_and_guard_as_rows_do() -> None:
    f = jg.jit(lambda x: (x * x).sum())
    x = tensor([1.0, 2.0], requires_grad=True)
    y = f(x)
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [4, 8]
    with pytest.raises(jg.errors.FreedTapeError):
        y.backward()
    with jg.no_grad():
        assert not f(x).requires_grad


def test_overwritten_arguments_of_compiled_calls() -> None:
    product = jg.jit(lambda a, b: (a * b).sum())
    w = f64(1, 2).requires_grad_()
    changes: list[Callable] = [lambda t: t.add_(1), lambda t: t[:].add_(1), lambda t: t.detach().numpy().fill(9)]
    for change in changes:
        base = w * 1
        y = product(base, base)
        change(base)
        with pytest.raises(jg.errors.OverwrittenError):
            y.backward()
    array = np.array([3.0, 4.0])
    for shared in (array, jg.from_numpy(array)):
        array[:] = [3, 4]
        w.grad = None
        y = product(w, shared)
        array[:] = 100
        y.backward()
        assert w.grad.tolist() == [3, 4]


@quick
def test_results_that_are_not_tensors() -> None:
    f = jg.jit(lambda x: (None, x * 2, None, "text", 3))
    for x in (tensor(1.0), tensor(1.0, requires_grad=True), tensor(2.0)):
        a, b, c, d, e = f(x)
        assert (a, b.item(), c, d, e) == (None, 2 * x.item(), None, "text", 3)


@quick
def test_a_training_loop_as_people_write_it() -> None:
    rng = np.random.default_rng(2)
    x = tensor(rng.normal(size=(40, 3)), dtype=jg.float32)
    y = (x @ tensor([1.0, -2.0, 0.5]) > 0).float()
    w, b = jg.zeros(3, requires_grad=True), jg.zeros((), requires_grad=True)
    losses = []
    for _ in range(30):
        loss = jg.binary_cross_entropy(jg.sigmoid(x @ w + b), y)
        loss.backward()
        losses.append(loss.item())
        with jg.no_grad():
            for parameter in (w, b):
                parameter -= 2 * parameter.grad
                parameter.grad.zero_()
    assert losses[-1] < 0.3 * losses[0]
    assert losses == sorted(losses, reverse=True)


@quick
@pytest.mark.parametrize("shape", [(4,), (5, 4), (5, 4, 3)])
def test_cross_entropy_of_one_sample_of_many_and_of_pictures(shape) -> None:
    rng = np.random.default_rng(3)
    scores, place = rng.normal(size=shape), 0 if len(shape) == 1 else 1
    classes = np.asarray(rng.integers(0, 4, shape[:place] + shape[place + 1 :]))
    logs = np.moveaxis(scores - np.log(np.exp(scores).sum(place, keepdims=True)), place, -1)
    want = -np.take_along_axis(logs, classes[..., None], -1)[..., 0]
    np.testing.assert_allclose(jg.cross_entropy(tensor(scores), tensor(classes), reduction="none").numpy(), want, rtol=1e-12)
    gradcheck(lambda x: jg.cross_entropy(x, tensor(classes)), tensor(scores))
    if len(shape) == 2:
        np.testing.assert_allclose(jg.vmap(jg.cross_entropy)(tensor(scores), tensor(classes)).numpy(), want, rtol=1e-12)


@quick
@pytest.mark.parametrize("equal_nan", [True, False])
def test_isclose_is_numpys_and_runs_under_jit(equal_nan: bool) -> None:
    special = np.array([0.0, -0.0, 1.0, 1.000001, 1.1, 1e-9, np.inf, -np.inf, np.nan, 1e30])
    x, y = tensor(special[:, None]), tensor(special)
    want = np.isclose(special[:, None], special, equal_nan=equal_nan)
    f = lambda x, y: jg.isclose(x, y, equal_nan=equal_nan)
    for found in (f(x, y), jg.jit(f)(x, y)):
        np.testing.assert_array_equal(found.numpy(), want)
    assert jg.allclose(tensor([1, 2]), tensor([1, 2]))
    assert jg.allclose(tensor([1, 2]), [1.0, 2.0])
    with pytest.raises(RuntimeError, match="one dtype"):
        jg.isclose(tensor([1, 2]), tensor([1.0, 2.0]))
    with pytest.raises(RuntimeError, match="rtol must not be negative"):
        jg.isclose(x, y, rtol=-1.0)
    assert not jg.equal(x, x)
    assert jg.equal(y[:8], y[:8].clone())
    assert jg.equal(jg.zeros(0, 2), jg.zeros(0, 2))
    with pytest.raises(RuntimeError, match="broadcast"):
        jg.isclose(jg.ones(2), jg.ones(3))


@pytest.mark.parametrize("call", [lambda x: jg.gradient(x)[0], np.gradient, lambda x: jg.jit(jg.gradient)(x)[0]])
def test_slopes_know_nothing_of_the_sample_between(call):
    nan = float("nan")
    for given in ([1.0, nan, 3.0, 4.0], [0.0, 1e8, 1.0], [2.0, float("inf"), 3.0]):
        np.testing.assert_array_equal(call(jg.tensor(given)).numpy(), np.gradient(np.float32(given)))
