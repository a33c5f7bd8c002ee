"""Generators: what a seed decides, states, and the same numbers however a function runs."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.errors import LeakedTraceError, NotCompilableError, TracedValueError
from tests.helpers.oracles import philox
from tests.helpers.sweeps import SWEEPS


def seeded(seed=5):
    return jg.Generator().manual_seed(seed)


def test_a_number_is_a_function_of_seed_and_place():
    seed = 0xFEDCBA9876543210
    drawn = jg.rand(3, dtype=jg.float64, generator=seeded(seed))
    assert drawn.tolist() == [(a << 32 | b) // 2**11 / 2**53 for a, b, *_ in (philox(seed, k) for k in range(3))]
    parts, whole = seeded(seed), jg.rand(70_000, generator=seeded(seed))
    assert (jg.cat([jg.rand(n, generator=parts) for n in (1, 65_536, 0, 4463)]) == whole).all()
    halves = jg.rand(70_000, dtype=jg.float64, generator=seeded(seed))
    assert (halves.float() - whole).abs().max() < 2**-23


def test_the_counter_goes_around():
    last = jg.tensor(np.array([7, 2**64 - 2], np.uint64).view(np.uint8))
    generator = jg.Generator().set_state(last)
    first, second = jg.rand(3, dtype=jg.float64, generator=generator), jg.rand(1, dtype=jg.float64, generator=generator)
    places = [2**64 - 2, 2**64 - 1, 0, 1]
    assert [*first.tolist(), *second.tolist()] == [(a << 32 | b) // 2**11 / 2**53 for a, b, *_ in (philox(7, k) for k in places)]


@pytest.mark.parametrize("seed", [0, 1, -1, 2**63, 2**64 - 1, -(2**63)])
def test_the_range_of_seeds(seed):
    assert seeded(seed).initial_seed() == seed % 2**64
    assert jg.manual_seed(seed).initial_seed() == jg.get_rng_state().numpy().view(np.uint64)[0] == seed % 2**64


def test_states():
    a = seeded(3)
    jg.rand(3, generator=a)
    state, other = a.get_state(), a.clone_state()
    assert state.dtype is jg.uint8
    again = jg.randn(2, generator=a).tolist()
    assert jg.randn(2, generator=other).tolist() == again
    assert jg.randn(2, generator=a.set_state(state)).tolist() == again
    assert jg.Generator().initial_seed() != jg.Generator().initial_seed()
    b = jg.Generator()
    seed = b.seed()
    assert jg.rand(2, generator=b).tolist() == jg.rand(2, generator=seeded(seed)).tolist()
    assert jg.seed() == jg.initial_seed()
    jg.manual_seed(4)
    state, first = jg.get_rng_state(), jg.rand(2).tolist()
    jg.set_rng_state(state)
    assert jg.rand(2).tolist() == first == jg.rand(2, generator=seeded(4)).tolist()


def test_threads_draw_different_numbers():
    generator, found = seeded(), []

    def draw():
        found.extend(jg.rand(1, dtype=jg.float64, generator=generator).item() for _ in range(300))

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for each in (*threads,):
        each.start()
    for each in threads:
        each.join()
    assert sorted(found) == sorted(jg.rand(1200, dtype=jg.float64, generator=seeded()).tolist())


def every(x, generator):
    """All that draws and is made of rows."""
    F = jg.nn.functional
    return [
        x + jg.rand(3, generator=generator),
        jg.randn(2, 2, generator=generator, dtype=jg.float64),
        jg.randint(-4, 9, (5,), generator=generator),
        jg.randint(0, 100, (3,), generator=generator, dtype=jg.uint8),
        jg.randperm(6, generator=generator),
        jg.rand_like(x, generator=generator),
        jg.randn(2, generator=generator, dtype=jg.complex64),
        jg.normal(x, 2.0, generator=generator),
        jg.bernoulli(x.abs() / 9, generator=generator),
        jg.poisson(x.abs() * 3, generator=generator),
        jg.binomial(x.abs() * 3, x.abs() / 9, generator=generator),
        jg.multinomial(x.abs() + 1, 2, generator=generator),
        (x * 1).exponential_(2.0, generator=generator),
        F.dropout(x, 0.5, generator=generator),
        F.alpha_dropout(x, 0.5, True, generator=generator),
        F.rrelu(-x, training=True, generator=generator),
        F.gumbel_softmax(x, generator=generator),
    ]


@pytest.mark.parametrize("name", SWEEPS)
def test_jit_draws_the_same_and_goes_on(name):
    x, ours, theirs = jg.tensor([1.0, -2.0, 3.0]), seeded(), seeded()
    with jg.sweep(name):
        compiled = jg.jit(every)
        for _ in range(2):
            for got, want in zip(compiled(x, ours), every(x, theirs)):
                assert got.dtype is want.dtype
                np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=3e-6, atol=1e-6)
            assert ours.get_state().tolist() == theirs.get_state().tolist()


def test_generators_anywhere_among_arguments():
    def f(both, *, more):
        return jg.rand(2, generator=both["a"]) + 10 * jg.rand(2, generator=more[0]) + 100 * jg.rand(2, generator=both["b"])

    compiled = jg.jit(f)
    for a, b in [(seeded(1), seeded(2)), (one := seeded(3), one)]:  # also one that is there twice
        x, y = a.clone_state(), b.clone_state()
        y = x if a is b else y
        np.testing.assert_array_equal(compiled({"a": a, "b": b}, more=[a]).numpy(), f({"a": x, "b": y}, more=[x]).numpy())
        assert a.get_state().tolist() == x.get_state().tolist()
    kept = jg.jit(lambda x, g: (x + jg.rand(2, generator=g), {"g": g}))
    for _ in range(2):  # a generator among the results is the one that was given
        assert kept(jg.zeros(2), a)[1]["g"] is a
    assert "random_uniform" in str(compiled.tape({"a": a, "b": b}, more=[a]))
    assert "random_uniform" in compiled.source({"a": a, "b": b}, more=[a])
    assert "machine code" in compiled.report()


def test_gradients_see_the_numbers_that_were_drawn():
    def loss(x, generator):
        return (jg.nn.functional.dropout(x, 0.5, generator=generator) * x).sum() + (
            x * jg.randn_like(x, generator=generator)
        ).sum()

    x = jg.ones(20, dtype=jg.float64)
    value, slope = jg.value_and_grad(loss)(x, seeded())
    kept, noise = (a := seeded(), jg.rand_like(x, generator=a) >= 0.5)[1], jg.randn_like(x, generator=a)
    np.testing.assert_allclose(slope.numpy(), (kept * 4.0 + noise).numpy())
    for transformed in (jg.jit(jg.value_and_grad(loss)), jg.value_and_grad(jg.jit(loss))):
        again = transformed(x, seeded())
        np.testing.assert_allclose(again[1].numpy(), slope.numpy())
        assert again[0].item() == pytest.approx(value.item())
    noisy = jg.hessian(lambda x: (x**2 * jg.rand(20, dtype=jg.float64, generator=seeded())).sum())(x)
    np.testing.assert_allclose(noisy.diagonal().numpy(), 2 * jg.rand(20, dtype=jg.float64, generator=seeded()).numpy())
    (y := x.clone().requires_grad_()).sum().backward()
    out = jg.jit(loss)(y, seeded())
    y.grad = None
    out.backward()
    np.testing.assert_allclose(y.grad.numpy(), slope.numpy())


def test_examples_of_vmap():
    def draw(x, generator):
        return x + jg.rand(2, generator=generator)

    x = jg.zeros(3, 2)
    each = jg.vmap(draw, (0, None), randomness="different")
    same = jg.vmap(draw, (0, None), randomness="same")
    for transform in (lambda f: f, jg.jit):
        assert transform(each)(x, seeded()).tolist() == jg.rand(3, 2, generator=seeded()).tolist()
        assert transform(same)(x, seeded()).tolist() == [jg.rand(2, generator=seeded()).tolist()] * 3
    with pytest.raises(TracedValueError, match="randomness='different'"):
        jg.vmap(draw, (0, None))(x, seeded())
    inner = jg.vmap(jg.vmap(lambda x: jg.rand((), generator=seeded()) + x))(x)
    assert (inner == inner[0, 0]).all()
    empty = jg.vmap(lambda x: x + jg.rand(2), randomness="different")(jg.zeros(0, 2))
    assert empty.shape == (0, 2)


def of_seed(x, seed):
    return x + jg.randn(3, generator=jg.Generator().manual_seed(seed))


def test_seeds_as_arguments():
    x = jg.zeros(3)
    want = [of_seed(x, seed).tolist() for seed in range(4)]
    compiled, native = jg.jit(of_seed), jg.jit(of_seed).compile(x, jg.tensor(0))
    assert [compiled(x, seed).tolist() for seed in range(4)] == want  # as an int, of which the third is no constant any more
    assert [compiled(x, jg.tensor(seed)).tolist() for seed in range(4)] == want
    assert [native(x, seed).tolist() for seed in range(4)] == want
    assert jg.vmap(of_seed, (None, 0))(x, jg.arange(4)).tolist() == want
    assert jg.jit(jg.vmap(of_seed, (None, 0)))(x, jg.arange(4)).tolist() == want


def test_counts_are_those_of_each_example():
    def f(rate, seed):
        generator = jg.Generator().manual_seed(seed)
        return jg.poisson(rate, generator=generator) + jg.binomial(rate.round(), rate / 99, generator=generator)

    rates = jg.tensor([1.0, 20.0, 50.0])
    want = [f(rates, seed).tolist() for seed in range(4)]
    assert jg.vmap(f, (None, 0))(rates, jg.arange(4)).tolist() == want
    assert jg.jit(jg.vmap(f, (None, 0)))(rates, jg.arange(4)).tolist() == want


def test_native_functions_draw_in_loops():
    def path(x, seed):
        def step(carry, _):
            x, generator = carry
            x = x * 0.9 + jg.randn((), dtype=jg.float64, generator=generator)
            return (x, generator), x

        return jg.scan(step, (x, jg.Generator().manual_seed(seed)), None, 20)[1]

    x = jg.tensor(1.0, dtype=jg.float64)
    noise, want = jg.randn(20, dtype=jg.float64, generator=seeded(3)), [1.0]
    for e in noise.tolist():
        want.append(want[-1] * 0.9 + e)
    for got in (path(x, 3), jg.jit(path)(x, jg.tensor(3)), jg.jit(path).compile(x, jg.tensor(0))(1.0, 3)):
        np.testing.assert_allclose(got.numpy(), want[1:], rtol=1e-12)


@pytest.mark.parametrize("loop", ["scan", "fori_loop", "of a tensor", "while_loop"])
def test_loops_carry_generators(loop):
    def f(x, n, generator):
        def step(x, generator):
            return x + jg.rand((), generator=generator), generator

        if loop == "scan":
            (x, out), _ = jg.scan(lambda c, _: (step(*c), None), (x, generator), None, 5)
        elif loop == "while_loop":
            x, out = jg.while_loop(lambda c: c[0] < 3, lambda c: step(*c), (x, generator))
        else:
            x, out = jg.fori_loop(0, 5 if loop == "fori_loop" else n, lambda i, c: step(*c), (x, generator))
        assert out is generator
        return x + jg.rand((), generator=generator)

    x, n, a, b = jg.tensor(0.0), jg.tensor(5), seeded(), seeded()
    compiled = jg.jit(f)
    for _ in range(2):
        assert compiled(x, n, a).item() == pytest.approx(f(x, n, b).item(), rel=1e-6)
        assert a.get_state().tolist() == b.get_state().tolist()
    together = jg.vmap(lambda x, seed: f(x, 5, jg.Generator().manual_seed(seed)))
    if loop != "of a tensor":
        assert together(jg.zeros(2), jg.tensor([5, 5]))[1].item() == pytest.approx(f(x, n, seeded()).item(), rel=1e-6)


def test_what_is_refused():
    x, outside, kept = jg.zeros(3), seeded(), []

    def keeps(x):
        kept.append(jg.Generator().manual_seed(x.sum().long()))
        return x

    jg.jit(keeps)(x)
    for call, error, text in [
        (lambda: jg.jit(lambda x: x + jg.rand(3))(x), TracedValueError, "random numbers drawn inside.*pass a jitgrad.Generator"),
        (lambda: jg.jit(lambda x: x + jg.rand(3, generator=outside))(x), TracedValueError, "random numbers drawn inside"),
        (lambda: jg.jit(lambda x: x + jg.rand(3, generator=jg.Generator()))(x), TracedValueError, "without a seed"),
        (lambda: jg.jit(lambda x: (outside.manual_seed(3), x)[1])(x), TracedValueError, "a generator from outside"),
        (lambda: jg.jit(lambda x: (jg.manual_seed(3), x)[1])(x), TracedValueError, "a generator from outside"),
        (lambda: jg.vmap(lambda x: (outside.manual_seed(x.long()), x)[1])(x), TracedValueError, "a generator from outside"),
        (lambda: jg.jit(lambda x, g: jg.tensor(g.get_state().numpy()))(x, outside), TracedValueError, "ask for it outside"),
        (
            lambda: jg.jit(lambda x, g: jg.scan(lambda c, _: (c + jg.rand(3, generator=g), None), x, None, 3))(x, outside),
            TracedValueError,
            "in the carry of the loop",
        ),
        (
            lambda: jg.vmap(lambda x: jg.scan(lambda c, _: (c, None), (x, outside), None, 3)[0][0])(x),
            TracedValueError,
            "a generator from outside",
        ),
        (lambda: jg.jit(lambda x, g: x + jg.rand(3, generator=g)).compile(x, outside), NotCompilableError, "let it take a seed"),
        (lambda: jg.rand(3, generator=kept[0]), LeakedTraceError, "a generator that was made"),
        (
            lambda: jg.rand(3, generator=np.random.default_rng(0)),
            TypeError,
            "must be a jitgrad.Generator, not one of another library",
        ),
        (lambda: jg.rand(3, generator=3), TypeError, "must be a jitgrad.Generator, not int"),
        (lambda: jg.manual_seed(2**64), ValueError, "64 bits"),
        (lambda: seeded(-(2**63) - 1), ValueError, "64 bits"),
        (lambda: seeded("a"), TypeError, "not str"),
        (lambda: seeded(jg.ones(2)), TypeError, "one integer, not float32"),
        (lambda: jg.set_rng_state(jg.zeros(16)), RuntimeError, "set_rng_state: this is no state"),
        (lambda: jg.Generator("tpu"), RuntimeError, "is not supported"),
    ]:
        with pytest.raises(error, match=text):
            call()


@pytest.mark.parametrize("sweep", SWEEPS)
def test_branches_draw_as_many_as_they_draw(sweep):
    def function(x, generator):
        first = jg.cond(x > 0, lambda g: jg.rand(1, generator=g), lambda g: jg.randn(3, generator=g)[:1] * x, generator)
        return first, jg.rand(2, generator=generator)

    ours, theirs = seeded(), seeded()
    with jg.sweep(sweep):
        compiled = jg.jit(function)
        for x in (1.0, -1.0, 2.0):
            expected, found = (f(jg.tensor(x), g) for f, g in ((function, ours), (compiled, theirs)))
            assert [part.tolist() for part in found] == [part.tolist() for part in expected]
            assert ours.state == theirs.state
