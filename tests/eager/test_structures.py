"""Recurring reverse sweeps: compiled ones give what the interpreted one gives, and raise what it raises."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.eager import background
from jitgrad.eager import backward as structures
from jitgrad.errors import FreedTapeError, OverwrittenError
from tests.helpers.hot import gradients, interpreted, make_hot, numbers, same

pytestmark = pytest.mark.usefixtures("hot_at_once")

FUNCTIONS = {
    "square": (lambda x: x * x, [()]),
    "neuron": (lambda w, b: -jg.log(jg.clamp(jg.sigmoid(w * 2.0 + b), 1e-8, 1 - 1e-8)), [(), ()]),
    "elementwise": (lambda x, y: jg.mean(jg.tanh(x * y) * jg.exp(-x * x) + jg.log1p(jg.exp(y))), [(50,), (50,)]),
    "product": (lambda x, y: (x @ y).sum(), [(5, 4), (4, 3)]),
    "layer": (lambda x, w, b: jg.relu(x @ w + b).mean(), [(5, 4), (4, 3), (3,)]),
    "gathered": (lambda x: (x[jg.tensor([0, 2, 2])] * x[:, None][jg.tensor([1]), 0]).sum(), [(4,)]),
    "softmax": (lambda x, y: jg.softmax(x + y, 1).log()[0, 1] * 3, [(5, 4), (4,)]),
    "parts": (lambda x: (x[1] * x[0:2].sum() + x.reshape(3, 2)[2, 0] * x[-1]).sum(), [(6,)]),
    "many parts": (lambda x: jg.stack([jg.tanh(x[i]) * x[i - 1 :].sum() for i in range(1, 9)]).sum(), [(9,)]),
    "moved": (lambda x: (x.T.unsqueeze(0) * jg.ones(4, 3)).sum(1).amax(), [(3, 4)]),
    "shared": (lambda x: (lambda h: (h * h + h).sum())(jg.exp(x)), [(3,)]),
    "sum of leaves": (lambda x, y: (x + y).sum(), [(3,), (3,)]),
    "leaf itself": (lambda x: x.sum(), [(3,)]),
    "one element": (lambda x: x * x, [(1,)]),
    "twice": (lambda x: (x + x).sum(), [(3,)]),
    "chosen": (lambda x, y: jg.where(x > 0.7, x * y, y).sum(), [(9,), (9,)]),
    "joined": (lambda x, y: (jg.cat((x, y)) * jg.arange(5.0)).sum(), [(3,), (2,)]),
    "powers": (lambda x: (x**3 + x**0.5 + 2.0**x).sum(), [(4,)]),
    "wide": (lambda x: (x.double() * 2).sum(), [(4,)]),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_hot_sweep_gives_what_the_interpreted_one_gives(name, dtype):
    f, shapes = FUNCTIONS[name]
    leaves = [numbers(*shape, seed=i, dtype=dtype) for i, shape in enumerate(shapes)]
    make_hot(f, leaves)
    for seed in range(3):  # other values, same structure
        fresh = [numbers(*shape, seed=10 * seed + i, dtype=dtype) for i, shape in enumerate(shapes)]
        same(gradients(f, fresh), interpreted(f, fresh), 5e-3 if dtype == np.float16 else 2e-6)


UNARY = [jg.exp, jg.tanh, jg.sin, jg.sigmoid, lambda x: -x, lambda x: x * 0.5, lambda x: 1 - x, lambda x: x * x]
BINARY = [jg.add, jg.mul, jg.sub, lambda x, y: x / (1 + y * y), jg.maximum]


def random_function(seed):
    """A random expression of three leaves, some of its values used several times."""
    rng = np.random.default_rng(seed)
    plan = [(rng.integers(2), rng.integers(100), rng.integers(100), rng.integers(100)) for _ in range(rng.integers(2, 15))]

    def f(*leaves):
        values = list(leaves)
        for binary, which, a, b in plan:
            x, y = values[a % len(values)], values[b % len(values)]
            values.append(jg.tanh(BINARY[which % len(BINARY)](x, y)) if binary else UNARY[which % len(UNARY)](x))
        return (values[-1] * values[len(values) // 2]).sum()

    return f


@pytest.mark.parametrize("seed", range(40))
def test_random_graphs(seed):
    f = random_function(seed)
    shapes = [[(), (), ()], [(3,), (3,), (3,)], [(2, 3), (3,), ()], [(2, 1), (1, 3), (2, 3)]][seed % 4]
    leaves = [numbers(*shape, seed=i, dtype=np.float64) for i, shape in enumerate(shapes)]
    if not f(*leaves).requires_grad:
        return
    make_hot(f, leaves)
    found = gradients(f, leaves)
    same(found, interpreted(f, leaves), 1e-10)
    for x, g in zip(leaves, found):
        if g is None:
            continue
        direction = np.random.default_rng(seed).normal(size=x.shape)
        with jg.no_grad():
            ahead, behind = ([y + s * 1e-6 * jg.tensor(direction) if y is x else y for y in leaves] for s in (1, -1))
            slope = (f(*ahead) - f(*behind)).item() / 2e-6
        np.testing.assert_allclose((g * direction).sum(), slope, rtol=1e-5, atol=1e-6)


ALIKE = [
    lambda x, y: (x * y).sum(),
    lambda x, y: (x * x).sum(),
    lambda x, y: (x * y * x).sum(),
    lambda x, y: (x * (x * y)).sum(),
    lambda x, y: (x * y.detach()).sum(),
    lambda x, y: (x * 2.0).sum() + y.sum(),
    lambda x, y: (x * 3.0).sum() + y.sum(),
    lambda x, y: (x * y[0]).sum(),
    lambda x, y: (x * y[1]).sum(),
    lambda x, y: (x[0:2] * y[0:2]).sum(),
    lambda x, y: (x[1:3] * y[1:3]).sum(),
    lambda x, y: jg.clamp(x * y, 0.3, 0.8).sum(),
    lambda x, y: jg.clamp(x * y, 0.4, 0.8).sum(),
    lambda x, y: (x * y).double().sum().float(),
    lambda x, y: (lambda h, k: (h * k).sum())(jg.exp(x), jg.exp(x)),
    lambda x, y: (lambda h: (h * h).sum())(jg.exp(x)),
    lambda x, y: (lambda h, k: (h * k).sum())(jg.exp(x), jg.exp(y)),
    lambda x, y: (x + y).sum(),
    lambda x, y: (x + x).sum(),
    lambda x, y: (x * y).mean(),
    lambda x, y: jg.pow(x, 2.0).sum(),
    lambda x, y: jg.pow(x, 3.0).sum(),
]


def test_structures_that_are_alike_are_told_apart():
    for shapes in ([(3,), (3,)], [(4,), (4,)], [(3, 3), (3, 3)]):
        for dtype in (np.float32, np.float64):
            for f in ALIKE * 3:
                leaves = [numbers(*shape, seed=i, dtype=dtype) for i, shape in enumerate(shapes)]
                same(gradients(f, leaves), interpreted_without_forgetting(f, leaves))
            background.wait()


def interpreted_without_forgetting(f, leaves):
    kept = {op: list(found) for op, found in structures.entries.items()}
    found = interpreted(f, leaves)
    structures.entries.update(kept)
    return found


SEEDED = {
    "elementwise": (lambda x, y: jg.exp(x) * y + x, [(4, 3), (3,)]),
    "number": (lambda x: x * x, [()]),
    "leaf": (lambda x: x + 0, [(3,)]),
    "twice": (lambda x, y: x + y, [(3,), (3,)]),
    "product": (lambda x, y: jg.tanh(x @ y), [(4, 3), (3, 2)]),
    "part": (lambda x: x[1:], [(4, 2)]),
}


@pytest.mark.parametrize("name", SEEDED)
def test_sweeps_that_start_from_a_cotangent(name):
    f, shapes = SEEDED[name]
    leaves = [numbers(*shape, seed=i) for i, shape in enumerate(shapes)]

    def found(seed, cotangent=None):
        out = f(*leaves)
        g = jg.tensor(np.random.default_rng(seed).normal(size=out.shape).astype(np.float32)) if cotangent is None else cotangent
        before = g.numpy().copy()
        out.backward(g, retain_graph=True)
        out.backward(g)
        gradients = [leaf.grad.numpy().copy() for leaf in leaves]
        for leaf in leaves:
            leaf.grad.zero_()
            leaf.grad = None
        assert (g.numpy() == before).all()
        return gradients

    for seed in range(4):
        with jg.config(structure_cache=False):
            wanted = found(seed)
        structures.forget()
        found(seed)
        background.wait()
        assert structures.seeded
        assert not structures.entries
        same(found(seed), wanted)
    with pytest.raises(RuntimeError, match="shape"):
        found(0, jg.ones(7, 7))
    shape = f(*leaves).shape
    apart = jg.ones(*shape, 2)[..., 0]  # not contiguous
    same(found(0, apart), found(0, apart.clone()))


@pytest.mark.parametrize("length", [46, 47, 48, 49, 200])
def test_a_long_sweep_that_is_checked_in_parts(length):
    def f(x, y):
        h = x
        for i in range(length):
            h = jg.sin(h) * y if i % 3 else h + x * 0.5
        return h.sum()

    for shape in ((), (3,)):
        leaves = [numbers(*shape, dtype=np.float64), numbers(*shape, seed=1, dtype=np.float64)]
        make_hot(f, leaves)
        same(gradients(f, leaves), interpreted(f, leaves), 1e-9)


def test_a_dtype_that_has_no_kernels():
    pytest.importorskip("ml_dtypes")
    x = jg.tensor([1.0, 2.0], dtype=jg.bfloat16, requires_grad=True)
    f = lambda x: (x * x * 0.5 + x).sum()
    make_hot(f, [x])
    f(x).backward()
    assert x.grad.dtype is jg.bfloat16
    assert x.grad.float().tolist() == [2, 3]


def test_one_tensor_used_twice_where_two_were_seen():
    f = lambda x, y: (jg.exp(x) * jg.exp(y)).sum()
    x, y = numbers(3), numbers(3, seed=1)
    make_hot(f, [x, y])
    h = jg.exp(x)
    (h * h).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.exp(2 * x.detach().numpy()), rtol=1e-5)
    x.grad = None
    f(x, x).backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.exp(2 * x.detach().numpy()), rtol=1e-5)


def test_gradients_add_up_and_are_memory_of_their_own():
    x, y = numbers(3), numbers(3, seed=1)
    f = lambda x, y: (x * y).sum() + x.sum() + y.sum()
    make_hot(f, [x, y])
    for k in (1, 2, 3):
        f(x, y).backward()
        np.testing.assert_allclose(x.grad.numpy(), k * (1 + y.detach().numpy()), rtol=1e-6)
    held = x.grad
    held.zero_()
    y.grad.zero_()
    np.testing.assert_allclose(x.detach().numpy(), numbers(3).detach().numpy())
    for g in ((lambda x, y: (x * y).sum()), (lambda x, y: (x + y).sum())):
        x.grad = y.grad = None
        make_hot(g, [x, y])
        g(x, y).backward()
        arrays = [x.grad.numpy(), y.grad.numpy(), x.detach().numpy(), y.detach().numpy()]
        assert not any(np.shares_memory(a, b) for i, a in enumerate(arrays) for b in arrays[:i])
        before = y.detach().numpy().copy()
        x.grad.zero_()
        assert (y.detach().numpy() == before).all()
        old = x.grad
        x.grad = None
        for _ in range(5):  # a gradient that somebody holds is not written to
            g(x, y).backward()
            x.grad = None
        assert (old.numpy() == 0).all()


def test_values_changed_in_place_raise_as_without_the_cache():
    f = lambda x: (jg.exp(x) * x).sum()
    x = numbers(3)
    make_hot(f, [x])

    def spoilt():
        h = jg.exp(x)
        out = (h * h).sum()
        with jg.no_grad():
            h.zero_()
        out.backward()

    make_hot(lambda x: (lambda h: (h * h).sum())(jg.exp(x)), [x])
    messages = []
    for cached in (True, False):
        with jg.config(structure_cache=cached), pytest.raises(OverwrittenError) as caught:
            spoilt()
        messages.append(str(caught.value))
        assert x.grad is None
    assert messages[0] == messages[1]


def test_values_changed_through_numpy_raise():
    x = numbers(3)
    make_hot(lambda x: (lambda h: (h * h).sum())(jg.exp(x)), [x])
    h = jg.exp(x)
    out = (h * h).sum()
    h.detach().numpy()[:] = 0
    with pytest.raises(OverwrittenError):
        out.backward()
    assert x.grad is None


def test_a_second_sweep_needs_retain_graph():
    f = lambda x: (jg.exp(x) * x).sum()
    x = numbers(3)
    make_hot(f, [x])
    out = f(x)
    out.backward(retain_graph=True)
    once = x.grad.numpy().copy()
    out.backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * once)
    with pytest.raises(FreedTapeError):
        out.backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * once)


def test_hooks_and_retained_gradients_are_not_passed_by():
    f = lambda h: (h * h).sum()
    x = numbers(3)
    make_hot(lambda x: f(jg.exp(x)), [x])
    plain = gradients(lambda x: f(jg.exp(x)), [x])[0]
    h = jg.exp(x)
    seen = []
    h.register_hook(lambda g: seen.append(g) or g * 10)
    f(h).backward()
    assert len(seen) == 1
    np.testing.assert_allclose(x.grad.numpy(), 10 * plain, rtol=1e-6)
    x.grad = None
    h = jg.exp(x)
    h.retain_grad()
    f(h).backward()
    np.testing.assert_allclose(h.grad.numpy(), 2 * h.detach().numpy(), rtol=1e-6)
    x.grad = None
    hook = x.register_hook(lambda g: g * 5)
    assert np.allclose(gradients(lambda x: f(jg.exp(x)), [x])[0], 5 * plain)
    hook.remove()


def test_a_leaf_that_no_longer_requires_grad_gets_none():
    f = lambda x, y: (jg.exp(x) * y).sum()
    x, y = numbers(3), numbers(3, seed=1)
    make_hot(f, [x, y])
    out = f(x, y)
    y.requires_grad_(False)
    out.backward()
    assert y.grad is None
    np.testing.assert_allclose(x.grad.numpy(), (jg.exp(x) * y).detach().numpy(), rtol=1e-6)


def test_create_graph_inputs_and_gradient_go_the_general_way():
    f = lambda x: (x * x * x).sum()
    x = numbers(3)
    make_hot(f, [x])
    f(x).backward(create_graph=True)
    (second,) = jg.autograd.grad(x.grad.sum(), x)
    np.testing.assert_allclose(second.numpy(), 6 * x.detach().numpy(), rtol=1e-6)
    x.grad = None
    f(x).backward(jg.tensor(2.0))
    np.testing.assert_allclose(x.grad.numpy(), 6 * x.detach().numpy() ** 2, rtol=1e-6)


def test_a_view_changed_before_it_is_used():
    def f(x):
        h = x * 3.0
        h[0] = 2.0
        return (h * h).sum()

    x = numbers(3)
    make_hot(f, [x])
    same(gradients(f, [x]), interpreted(f, [x]))
    assert gradients(f, [x])[0][0] == 0


def test_other_settings_of_a_leaf():
    """A leaf of another shape or dtype, an array that is not contiguous, a read-only one."""
    f = lambda x, y: (jg.exp(x) * y).sum()
    make_hot(f, [numbers(2, 3), numbers(2, 3)])
    for x, y in [
        (numbers(3, 2), numbers(3, 2)),
        (numbers(2, 3, dtype=np.float64), numbers(2, 3, dtype=np.float64)),
        (numbers(2, 3), numbers(3)),
        (numbers(2, 3), numbers()),
    ]:
        same(gradients(f, [x, y]), interpreted_without_forgetting(f, [x, y]))
    base = np.random.default_rng(0).random((3, 4)).astype(np.float32)
    frozen = base[:2, :3].copy()
    frozen.flags.writeable = False
    for array in (base[:2, 1:], base.T[:2], frozen):
        leaves = [jg.from_numpy(a).requires_grad_(True) for a in (array, array)]
        same(gradients(f, leaves), interpreted_without_forgetting(f, leaves))
