"""Optimizers as pure functions: under every sweep and transform, in loops, and beside the objects."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.optim import functional
from tests.helpers.optimizers import OPTIONS, STEPS, flat, loss_of, minimized, start, taken
from tests.helpers.sweeps import SWEEPS

NAMES = [name for name in OPTIONS if name != "LBFGS"]


def made(name, i=1):
    return getattr(functional, name.lower())(**OPTIONS[name][i])


def shaped(name, w):
    """Vectors as an optimizer takes them."""
    return w.unsqueeze(-2) if name == "Muon" else w


def trained(opt, params, state, rest=(), steps=STEPS):
    def body(i, carried):
        params, state = carried
        return opt.update(jg.grad(lambda params: loss_of(jg, [*params, *rest]))(params), state, params)

    return jg.fori_loop(0, steps, body, (params, state))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_loop_compiled_whole_goes_where_the_objects_go(name, dtype):
    opt, params = made(name), [jg.tensor(a) for a in start(dtype)]
    moved = taken(name, params)
    rest = params[len(moved) :]
    found, state = jg.jit(lambda params: trained(opt, params, opt.init(params), rest))(moved)
    right, optimizer = minimized(jg, name, OPTIONS[name][1], dtype)
    tolerance = 2e-5 if dtype == "float32" else 1e-11
    np.testing.assert_allclose(flat([*found, *rest]), flat(right), rtol=tolerance, atol=tolerance)
    for held, p in zip(state, right):
        assert held.keys() == optimizer.state[p].keys()


@pytest.mark.parametrize("sweep", SWEEPS)
@pytest.mark.parametrize("name", NAMES)
def test_sweeps_agree(name, sweep):
    params = taken(name, [jg.tensor(a) for a in start("float64")])
    for i in range(len(OPTIONS[name])):
        opt, found = made(name, i), []
        for way in (sweep, "interpreted"):
            with jg.sweep(way):
                now, state = params, opt.init(params)
                for k in range(3):
                    now, state = opt.update([(p - k).cos() for p in now], state, now)
            found.append(flat(now))
        np.testing.assert_allclose(*found, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_many_trainings_at_once(name):
    opt = made(name)
    starts = shaped(name, jg.tensor(np.linspace(-1, 2, 6).reshape(3, 2)))

    def train(w, lr):
        state = opt.init(w)
        for _ in range(3):
            w, state = opt.update(w.cos(), state, w, lr=lr)
        return w

    rates = jg.tensor([0.1, 0.2, 0.3], dtype=jg.float64)
    found = jg.vmap(train)(starts, rates)
    np.testing.assert_allclose(found, [train(w, lr) for w, lr in zip(starts, rates)], rtol=1e-12)
    np.testing.assert_allclose(jg.jit(jg.vmap(train))(starts, rates), found, rtol=1e-12)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "Rprop"])  # whose steps have no slope
def test_training_is_differentiable_in_the_rate_and_the_start(name):
    opt = made(name)

    def after(lr, w):
        state = opt.init(w)
        for _ in range(3):
            w, state = opt.update((w * 2).cos(), state, w, lr=lr)
        return (w * w).sum()

    args = jg.tensor(0.05, dtype=jg.float64), shaped(name, jg.tensor([0.3, -0.8], dtype=jg.float64))
    assert jg.testing.gradcheck(after, tuple(x.clone().requires_grad_() for x in args))
    eager, jitted = jg.grad(after, (0, 1))(*args), jg.jit(jg.grad(after, (0, 1)))(*args)
    for a, b in zip(eager, jitted):
        np.testing.assert_allclose(a, b, rtol=1e-11)


def test_parameters_of_any_form():
    opt = functional.sgd(0.5)
    params = {"a": (np.ones(2), 2.0), "b": [jg.ones(1)]}
    assert opt.init(params) == [{}, {}, {}]
    grads = {"a": (np.ones(2), None), "b": [jg.ones(1)]}
    new, state = opt.update(grads, opt.init(params), params)
    assert (new["a"][0].tolist(), new["a"][1], new["b"][0].tolist()) == ([0.5, 0.5], 2.0, [0.5])
    assert state == [{}, {}, {}]


def test_a_scan_over_batches():
    opt = functional.adam(0.1)
    xs = jg.tensor(np.linspace(0, 1, 12).reshape(4, 3))

    def step(carried, x):
        w, state = carried
        value, g = jg.value_and_grad(lambda w: ((w * x).sum() - 1) ** 2)(w)
        return opt.update(g, state, w), value

    w = jg.zeros(3, dtype=jg.float64)
    (found, _), values = jg.jit(lambda w: jg.scan(step, (w, opt.init(w)), xs))(w)
    state, right = opt.init(w), []
    for x in xs:
        ((w, state), value) = step((w, state), x)
        right.append(value.item())
    np.testing.assert_allclose(found, w, rtol=1e-12)
    np.testing.assert_allclose(values, right, rtol=1e-12)


def test_what_does_not_fit_is_refused():
    opt, w = functional.adam(), jg.ones(2)
    with pytest.raises(ValueError, match="must be alike"):
        opt.update([w], opt.init(w), w)
    with pytest.raises(ValueError, match="state is of 0 parameters"):
        opt.update(w, [], w)
    with pytest.raises(TypeError, match="no hyperparameter rate: it has lr, betas"):
        opt.update(w, opt.init(w), w, rate=1)
    with pytest.raises(ValueError, match="lr must be"):
        functional.adam(-1.0)


@pytest.mark.parametrize("options", [{"momentum": 0.5, "centered": True}, {"momentum": 0.5}, {"centered": True}])
def test_the_state_keeps_its_order_in_loops(options):
    opt = jg.optim.functional.rmsprop(**options)
    p = jg.tensor([1.0, 2.0], dtype=jg.float64)
    found, state = jg.fori_loop(0, 3, lambda i, carried: opt.update(carried[0], carried[1], carried[0]), (p, opt.init(p)))
    want, held = p, opt.init(p)
    for _ in range(3):
        want, held = opt.update(want, held, want)
    assert jg.allclose(found, want)
    assert list(state[0]) == list(held[0]) == list(opt.init(p)[0])


@pytest.mark.parametrize(
    ("name", "options"), [("sgd", {}), ("sgd", {"momentum": 0.9}), ("adam", {}), ("adamw", {}), ("rprop", {}), ("muon", {})]
)
def test_a_hyperparameter_may_be_a_function_of_the_number_of_steps(name, options):
    make = getattr(jg.optim.functional, name)
    opt, constant = make(lr=lambda step: 0.1 * 0.5**step, **options), make(lr=0.1, **options)
    p = start = jg.tensor([[1.0, 2.0], [3.0, -1.0]], dtype=jg.float64)
    q, state, held = p, opt.init(p), constant.init(p)
    for k in range(4):
        p, state = opt.update(p * 2, state, p)
        q, held = constant.update(q * 2, held, q, lr=0.1 * 0.5**k)
    assert jg.allclose(p, q)

    def train(p):
        return jg.fori_loop(0, 4, lambda i, carried: opt.update(carried[0] * 2, carried[1], carried[0]), (p, opt.init(p)))[0]

    assert jg.allclose(jg.jit(train)(start), q)
    assert state[0]["step"].item() == 4
    with pytest.raises(TypeError, match=r"lr must be a number in .*, not function"):
        jg.optim.SGD([jg.ones(2, requires_grad=True)], lr=lambda step: 0.1)
