"""Random numbers: their distributions, generators, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

import jitgrad as jg

N = 20_000


def moments(x):
    return x.double().mean().item(), x.double().std().item()


@pytest.mark.parametrize(
    ("draw", "mean", "std"),
    [
        (lambda x: x.uniform_(1, 3), 2, 2 / 12**0.5),
        (lambda x: x.normal_(1, 2), 1, 2),
        (lambda x: x.exponential_(2), 0.5, 0.5),
        (lambda x: x.geometric_(0.25), 4, 12**0.5),
        (lambda x: x.log_normal_(0, 0.5), np.exp(0.125), ((np.exp(0.25) - 1) * np.exp(0.25)) ** 0.5),
        (lambda x: x.bernoulli_(0.3), 0.3, 0.21**0.5),
        (lambda x: x.random_(2, 6), 3.5, 1.25**0.5),
        (lambda x: x.random_(4), 1.5, 1.25**0.5),
        (lambda x: jg.normal(x + 1, 2.0), 1, 2),
        (lambda x: jg.normal(0.0, x + 2), 0, 2),
        (lambda x: jg.bernoulli(x + 0.7), 0.7, 0.21**0.5),
        (lambda x: jg.poisson(x + 3), 3, 3**0.5),
        (lambda x: jg.binomial(x + 10, x + 0.5), 5, 2.5**0.5),
    ],
)
def test_moments(draw, mean, std):
    jg.manual_seed(1)
    x = draw(jg.zeros(N))
    assert x.dtype == jg.float32
    got = moments(x)
    assert got[0] == pytest.approx(mean, abs=6 * std / N**0.5)
    assert got[1] == pytest.approx(std, rel=0.1)


def distance(x, cdf):
    """Kolmogorov's and Smirnov's, times the root of the number of draws."""
    places = np.unique(x)
    return abs(np.searchsorted(np.sort(x), places, side="right") / x.size - cdf(places)).max() * x.size**0.5


@pytest.mark.parametrize("rate", [0.5, 9.9, 10.0, 30.0, 1e6])
def test_poisson_s_distribution(rate):
    jg.manual_seed(1)
    x = jg.poisson(jg.full((N,), rate, dtype=jg.float64)).numpy()
    assert distance(x, scipy.stats.poisson(rate).cdf) < 1.95


@pytest.mark.parametrize(
    ("count", "p"), [(10, 0.3), (10, 0.8), (100, 0.3), (100, 0.99), (1000, 0.5), (10**6, 0.7), (10**9, 1e-9)]
)
def test_the_binomial_distribution(count, p):
    jg.manual_seed(1)
    x = jg.binomial(jg.full((N,), float(count), dtype=jg.float64), jg.tensor(p, dtype=jg.float64)).numpy()
    assert distance(x, scipy.stats.binom(count, p).cdf) < 1.95


def test_counts_at_the_ends():
    nan, inf = float("nan"), float("inf")
    assert jg.poisson(jg.zeros(3)).tolist() == [0, 0, 0]
    assert jg.binomial(jg.tensor([0.0, 5.0, 5.0]), jg.tensor([0.5, 0.0, 1.0])).tolist() == [0, 0, 5]
    assert jg.poisson(jg.zeros(0)).shape == (0,)
    assert jg.ops.counts.poisson(jg.rand(2), jg.tensor([nan, inf])).isnan().all()


def test_cauchy_by_its_quartiles():
    jg.manual_seed(1)
    found = np.quantile(jg.zeros(N).cauchy_(1.0, 2.0).numpy(), [0.25, 0.5, 0.75])
    np.testing.assert_allclose(found, [-1, 1, 3], atol=0.15)


@pytest.mark.parametrize("replacement", [False, True])
def test_multinomial(replacement):
    jg.manual_seed(2)
    weights = jg.tensor([[1.0, 3.0, 0.0, 4.0], [1.0, 0.0, 0.0, 1.0]])
    first = jg.stack([jg.multinomial(weights, 2, replacement)[:, 0] for _ in range(2000)])
    assert first.dtype == jg.int64
    shares = np.stack([np.bincount(first.numpy()[:, k], minlength=4) / 2000 for k in range(2)])
    np.testing.assert_allclose(shares, (weights / weights.sum(1, keepdim=True)).numpy(), atol=0.05)
    if not replacement:
        assert sorted(jg.multinomial(weights[1], 2).tolist()) == [0, 3]


def test_randperm():
    assert sorted(jg.randperm(10).tolist()) == list(range(10))
    assert jg.randperm(0).shape == (0,)
    assert jg.randperm(3, dtype=jg.float32).dtype == jg.float32


@pytest.mark.parametrize("dtype", [jg.complex64, jg.complex128])
def test_both_parts_of_complex_numbers_are_drawn(dtype):
    generator = jg.Generator().manual_seed(3)
    x = jg.zeros(N, dtype=dtype)
    for draw, mean, std in [
        (lambda: x.normal_(generator=generator), 0, 0.5**0.5),
        (lambda: x.normal_(3, 2, generator=generator), 3, 2**0.5),
        (lambda: x.uniform_(1, 3, generator=generator), 2, 2 / 12**0.5),
    ]:
        draw()
        parts = jg.view_as_real(x).numpy()
        np.testing.assert_allclose(parts.mean(0), mean, atol=0.05)
        np.testing.assert_allclose(parts.std(0), std, rtol=0.05)
        assert abs(np.corrcoef(parts.T)[0, 1]) < 0.05


def test_normal_numbers_have_the_dtype_of_the_first_tensor():
    assert jg.normal(jg.zeros(3), jg.ones(3, dtype=jg.float64)).dtype == jg.float32
    assert jg.normal(1.0, jg.ones(3, dtype=jg.float64)).dtype == jg.float64
    assert jg.normal(jg.zeros(3, dtype=jg.complex64), jg.ones(3)).dtype == jg.complex64


def test_generators_repeat():
    a, b = jg.Generator().manual_seed(3), jg.Generator().manual_seed(3)
    assert jg.rand(3, generator=a).tolist() == jg.rand(3, generator=b).tolist()
    state = a.get_state()
    again = jg.randn(2, generator=a).tolist()
    assert jg.randn(2, generator=a.set_state(state)).tolist() == again
    assert a.initial_seed() == 3
    jg.manual_seed(4)
    state = jg.get_rng_state()
    first = jg.rand(2).tolist()
    jg.set_rng_state(state)
    assert jg.rand(2).tolist() == first


@pytest.mark.parametrize(
    "draw",
    [
        jg.bernoulli,
        jg.poisson,
        lambda p: jg.bernoulli(p, 0.5),
        lambda p: jg.zeros(3).bernoulli_(p),
        lambda p: jg.binomial(jg.full((3,), 4.0), p),
        lambda p: jg.binomial(p, jg.full((3,), 0.5, dtype=jg.float64)),
        lambda p: jg.normal(p, 1.0),
        lambda p: jg.normal(0.0, p),
    ],
)
def test_the_gradient_through_what_is_drawn_is_0(draw):
    p = jg.full((3,), 1.0, requires_grad=True)
    draw(p).sum().backward()
    assert p.grad.tolist() == [0, 0, 0]


def test_what_was_there_before_a_draw_has_gradient_0():
    mean = jg.ones(3, requires_grad=True)
    x = mean * 2
    x.normal_()
    x.sum().backward()
    assert mean.grad.tolist() == [0, 0, 0]


def test_what_is_refused():
    for call, error, text in [
        (lambda: jg.normal(jg.ones(2), -1.0), RuntimeError, "std must not be negative"),
        (lambda: jg.normal(0.0, 1.0), TypeError, "a size is needed"),
        (lambda: jg.bernoulli(jg.tensor([1.5])), RuntimeError, "between 0 and 1"),
        (lambda: jg.bernoulli(jg.tensor([1])), RuntimeError, r"convert it with .float\(\)"),
        (lambda: jg.multinomial(jg.ones(3), 4), RuntimeError, "num_samples is 4"),
        (lambda: jg.multinomial(-jg.ones(3), 1), RuntimeError, "not negative"),
        (lambda: jg.poisson(jg.tensor([-1.0])), RuntimeError, "must not be negative"),
        (lambda: jg.zeros(2).exponential_(0.0), RuntimeError, "lambd must be positive"),
        (lambda: jg.zeros(2).uniform_(2, 1), RuntimeError, "beyond their end"),
        (lambda: jg.zeros(2).uniform_(0, 1e40), RuntimeError, "from 0 to 1e.40 do not fit into float32"),
        (lambda: jg.zeros(2).uniform_(-3e38, 3e38), RuntimeError, "do not fit into float32"),
        (lambda: jg.randperm(-1), RuntimeError, "must not be negative"),
        (lambda: jg.randperm(257, dtype=jg.uint8), RuntimeError, "up to 256 do not fit into uint8"),
        (lambda: jg.randperm(2, dtype=jg.bool), NotImplementedError, "integers, not bool"),
        (lambda: jg.rand(True), TypeError, "sizes are ints, not bools"),
        (lambda: jg.normal(jg.zeros(2), 1.0, dtype=jg.float64), TypeError, "no dtype or device"),
        (lambda: jg.normal(jg.zeros(2, dtype=jg.int64), 1.0), NotImplementedError, "not int64"),
        (lambda: jg.normal(jg.zeros(2), jg.ones(2, dtype=jg.complex64)), RuntimeError, "std must be real"),
        (lambda: jg.ones(2, requires_grad=True).normal_(), RuntimeError, "a leaf that requires grad"),
        (lambda: jg.Generator().set_state(jg.zeros(3)), RuntimeError, "no state of a generator"),
        (lambda: jg.jit(lambda x: x * jg.bernoulli(x))(jg.ones(2)), jg.errors.TracedValueError, "random numbers"),
    ]:
        with pytest.raises(error, match=text):
            call()


@pytest.mark.parametrize("name", ["uniform_", "normal_", "log_normal_", "exponential_", "cauchy_"])
@pytest.mark.parametrize("dtype", [jg.int64, jg.bool])
def test_whole_numbers_are_not_filled_with_fractions(name, dtype):
    with pytest.raises(NotImplementedError, match=f"{name} fills floating.*, not one of {dtype.name}"):
        getattr(jg.zeros(3, dtype=dtype), name)()


def test_integers_that_do_not_fit():
    for dtype, low, high in [
        (jg.uint8, -5, 300),
        (jg.uint8, 0, 257),
        (jg.int8, -129, 20),
        (jg.bool, 0, 3),
        (jg.float16, 0, 2**20),
    ]:
        with pytest.raises(RuntimeError, match=f"numbers from {low} to {high - 1} do not fit into {dtype.name}"):
            jg.zeros(2, dtype=dtype).random_(low, high)
    jg.manual_seed(1)
    assert jg.zeros(5000, dtype=jg.uint8).random_().unique().tolist() == [*range(256)]
    assert jg.zeros(50, dtype=jg.bool).random_().unique().tolist() == [False, True]
