"""Kernels of two numbers: division with a whole quotient, and incomplete gamma functions."""

import functools
import math

import mpmath as mp
import numpy as np
import pytest

import jitgrad as jg
from jitgrad.kernels import scalar
from tests.helpers.lanes import NAMES, WIDTHS, compiled

INF, NAN = math.inf, math.nan


@functools.cache
def kernel(name, type, lanes):
    return compiled(scalar.KERNELS[name][type], [type, type], type, lanes)


def dividends(dtype):
    """Every pair of special numbers; any bits; whole multiples and their neighbours; quotients of every size."""
    rng, info = np.random.default_rng(7), np.finfo(dtype)
    ends = [0, 1, 3, 1 / 3, np.inf, info.max, info.tiny, info.smallest_subnormal, 2.0**24, 2.0**53]
    special = np.array([*ends, *[-v for v in ends], np.nan], dtype)
    words = rng.integers(0, 1 << 8 * info.dtype.itemsize, (2, 5000), np.uint64).astype(f"u{info.dtype.itemsize}").view(dtype)
    divisor, times = rng.uniform(0.1, 3, 5000).astype(dtype), rng.integers(-1000, 1000, 5000).astype(dtype)
    multiple = times * divisor
    size, small = 10 ** rng.uniform(-5, 20, 5000), 10 ** rng.uniform(-5, 5, 5000)
    pairs = [
        [v.ravel() for v in np.meshgrid(special, special)],
        words,
        *[(v, divisor) for v in (multiple, np.nextafter(multiple, dtype(np.inf)), np.nextafter(multiple, dtype(-np.inf)))],
        (size, small),
        (-size, small),
        (size, -small),
    ]
    return tuple([np.concatenate([np.asarray(pair[k], dtype) for pair in pairs]) for k in (0, 1)])


@pytest.mark.parametrize("sweep", ["jit", "machine", "numba"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["fmod", "remainder", "floor_divide", "nextafter"])
def test_exact_kernels_give_numpys_bits(name, dtype, sweep):
    x, y = dividends(dtype)
    with np.errstate(all="ignore"):
        exact = getattr(np, name)(x, y)
    with jg.sweep(sweep):
        got = jg.jit(getattr(jg, name))(jg.tensor(x), jg.tensor(y)).numpy()
    np.testing.assert_array_equal(got, exact)
    numbers = exact == exact
    np.testing.assert_array_equal(np.signbit(got[numbers]), np.signbit(exact[numbers]))


def arguments():
    """Orders and limits on both sides of every border between the ways they are computed."""
    rng = np.random.default_rng(8)
    u = rng.uniform
    near = np.repeat([0.25, 0.5, 1.0, 1.25, 2.25, 3.25, 12.0], 8)
    beside = np.concatenate([[0.3, 1.5, 1.5000001, 1 + a, 1.0000001 + a, 0.4 * a, 2 * a, 2.0000001 * a] for a in near[::8]])
    size = 10 ** u(1.1, 4, 40)
    pairs = [
        (near, beside),
        (u(0, 1, 40), u(0, 1.6, 40)),
        (10 ** u(-20, -1, 40), 10 ** u(-3, 0.6, 40)),
        (u(0, 12, 60), u(0, 16, 60)),
        (size, size + np.sqrt(size) * u(-3, 3, 40)),
        (middle := u(12, 80, 60), middle * u(0.2, 3, 60)),
    ]
    return tuple([np.concatenate([pair[k] for pair in pairs]) for k in (0, 1)])


def exactly(name, a, x):
    """By 40 digits; of a large order by the power series, whose terms are positive."""
    a, x = mp.mpf(float(a)), mp.mpf(float(x))
    if name == "gamma_density":
        return mp.exp((a - 1) * mp.log(x) - x - mp.loggamma(a))
    upper = name == "igammac"
    if a < 1000:
        return mp.gammainc(a, x, regularized=True) if upper else mp.gammainc(a, 0, x, regularized=True)
    total = term = mp.mpf(1)
    k = 0
    while term > total * mp.mpf(10) ** -30:
        k += 1
        term *= x / (a + k)
        total += term
    lower = total * mp.exp(a * mp.log(x) - x - mp.loggamma(a + 1))
    return 1 - lower if upper else lower


@pytest.mark.parametrize("type", ["f32", "f64"])
@pytest.mark.parametrize("name", ["igamma", "igammac", "gamma_density"])
def test_error_of_incomplete_gamma_functions(name, type):
    a, x = (v.astype(NAMES[type]) for v in arguments())
    got = kernel(name, type, WIDTHS[type])(a, x)
    with mp.workdps(40):
        exact = [exactly(name, *pair) for pair in zip(a, x)]
        error = np.array([float(abs(mp.mpf(float(g)) - e) / e) for g, e in zip(got, exact)])
    # Relative to the value, and to what a rounding of x changes in the exponent -a (x/a - 1 - ln(x/a)).
    size = np.array([float(e) for e in exact])
    bound = np.where(size > 1e-30, 1.5e-7 if type == "f32" else 4e-15 - 5e-16 * np.log(size), INF)
    worst = np.argmax(error / bound)
    assert error[worst] <= bound[worst], (a[worst], x[worst], got[worst], exact[worst])


@pytest.mark.parametrize("type", ["f32", "f64"])
def test_incomplete_gamma_functions_at_their_ends(type):
    a = np.array([0.0, 0.0, 1, 0.5, INF, 1, INF, 1e30, 1e30, -1, 1, NAN, 1, 1e-30], NAMES[type])
    x = np.array([0.0, 1.0, 0, INF, 1, INF, INF, 1e29, 1e31, 1, -1, 1, NAN, 1e-30], NAMES[type])
    lower = [NAN, 1, 0.0, 1, 0.0, 1, NAN, 0.0, 1, NAN, NAN, NAN, NAN, 1]
    np.testing.assert_array_equal(kernel("igamma", type, 8)(a, x), np.array(lower, NAMES[type]))
    np.testing.assert_allclose(kernel("igammac", type, 8)(a, x), 1 - np.array(lower, NAMES[type]), atol=1e-28)


def test_their_slope_keeps_its_digits_under_jit():
    a, x = (jg.tensor(v) for v in arguments())
    slope = jg.jit(jg.grad(lambda x: jg.special.gammainc(a, x).sum()))(x)
    with mp.workdps(40):
        exact = [float(exactly("gamma_density", *pair)) for pair in zip(a.numpy(), x.numpy())]
    np.testing.assert_allclose(slope.numpy(), exact, rtol=2e-13, atol=1e-30)
