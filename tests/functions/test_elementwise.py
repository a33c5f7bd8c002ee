"""Elementwise and special functions that are written in others, or that SciPy runs: values, edges, dtypes, errors."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import scipy.special

import jitgrad as jg
from tests.helpers.sweeps import SWEEPS
from tests.helpers.whole import whole

INF, NAN = math.inf, math.nan
X = np.array([[0.3, -1.2, 2.5], [0.7, 1.9, -0.4]])
INSIDE = np.array([0.2, 0.45, 0.9])
RIGHT = np.array([1.7, 2.5, 4.0])


def test_composites_are_whole():
    whole(
        {
            "logit": (jg.logit, [INSIDE]),
            "logit eps": (lambda x: jg.logit(x, 0.3), [INSIDE]),
            "sinc": (jg.sinc, [X]),
            "frac": (jg.frac, [X]),
            "ldexp": (jg.ldexp, [X, X[0]]),
            "float_power": (jg.float_power, [RIGHT, X]),
            "lerp": (lambda x, y: jg.lerp(x, y, 0.3), [X, X[::-1]]),
            "lerp tensor": (jg.lerp, [X, X[::-1], np.array([0.2, 0.7, 1.3])]),
            "addcmul": (lambda x, y, z: jg.addcmul(x, y, z, value=0.5), [X, X[0], X[::-1]]),
            "addcdiv": (lambda x, y, z: jg.addcdiv(x, y, z, value=-2), [X, X[0], X[::-1]]),
            "clamp_min": (lambda x: jg.clamp_min(x, 0.1), [X]),
            "clamp_max": (jg.clamp_max, [X, X[::-1] + 0.01]),
            "nan_to_num": (jg.nan_to_num, [X]),
            "signbit": (jg.signbit, [X]),
            "heaviside": (jg.heaviside, [X, X[0]]),
            "rsub": (lambda x, y: jg.rsub(x, y, alpha=2), [X, X[0]]),
            "angle": (jg.angle, [X]),
            "isreal": (jg.isreal, [X]),
            "mvlgamma": (lambda x: jg.mvlgamma(x, 3), [RIGHT]),
            "polygamma": (lambda x: jg.special.polygamma(2, x), [RIGHT]),
            "log_ndtr": (jg.special.log_ndtr, [3 * X]),
        }
    )


@pytest.mark.parametrize("name", ["igamma", "igammac", "special.zeta"])
def test_rows_with_a_derivative_in_the_second_operand(name):
    f = getattr(jg.special, name[8:]) if "." in name else getattr(jg, name)
    whole({name: (lambda y: f(jg.tensor(RIGHT), y), [np.array([0.7, 2.0, 3.0])])})
    x = jg.tensor(RIGHT, requires_grad=True)
    for called in (f, jg.jit(f)):
        y = called(x, jg.tensor(RIGHT)).sum()
        assert y.requires_grad
        with pytest.raises(jg.errors.HoleError, match="no closed form"):
            y.backward()
    for derivative in (jg.grad, jg.jacfwd):
        with pytest.raises(jg.errors.HoleError, match="no closed form"):
            derivative(lambda x: f(x, jg.tensor(RIGHT)).sum())(x.detach())


@pytest.mark.parametrize(
    ("x", "power", "dtype"),
    [
        (jg.float16, jg.int64, jg.float16),
        (jg.bfloat16, jg.int32, jg.bfloat16),
        (jg.float16, jg.float32, jg.float32),
        (jg.float64, jg.int64, jg.float64),
        (jg.int32, jg.int64, jg.float32),
        (jg.int32, jg.float16, jg.float16),
    ],
)
def test_ldexp_is_of_the_dtype_of_what_is_floating(x, power, dtype):
    found = jg.ldexp(jg.tensor([3], dtype=x), jg.tensor([2], dtype=power))
    assert (found.dtype, found.item()) == (dtype, 12.0)


def test_ldexp_has_powers_beyond_the_dtype():
    assert jg.ldexp(jg.tensor([2.0**-24], dtype=jg.float16), jg.tensor([20])).item() == 2.0**-4
    assert jg.ldexp(jg.tensor([2.0**-900], dtype=jg.float64), jg.tensor([900])).item() == 1.0


def numpy_of(f, *xs):
    return f(*[jg.tensor(np.asarray(x)) for x in xs]).numpy()


def test_values_at_the_edges():
    ends = np.array([0.0, -0.0, INF, -INF, NAN])
    for f, want in (
        (jg.special.ndtr, [0.5, 0.5, 1, 0, NAN]),
        (jg.special.log_ndtr, [-math.log(2), -math.log(2), 0, -INF, NAN]),
        (jg.special.erfcx, [1, 1, 0, INF, NAN]),
        (jg.special.ndtri, [-INF, -INF, NAN, NAN, NAN]),
        (jg.special.entr, [0, 0, -INF, -INF, NAN]),
        (jg.special.spherical_bessel_j0, [1, 1, 0, 0, NAN]),
        (jg.nan_to_num, [0, 0, np.finfo(float).max, np.finfo(float).min, 0]),
        (jg.isposinf, [False, False, True, False, False]),
        (jg.isneginf, [False, False, False, True, False]),
        (jg.angle, [0, 0, 0, math.pi, NAN]),
        (jg.logit, [-INF, -INF, NAN, NAN, NAN]),
    ):
        np.testing.assert_allclose(numpy_of(f, ends), want, rtol=1e-15)
        np.testing.assert_allclose(jg.jit(f)(jg.tensor(ends)).numpy(), want, rtol=1e-15)
    np.testing.assert_array_equal(numpy_of(jg.signbit, [0.0, -0.0, -NAN, -1]), np.signbit([0.0, -0.0, -NAN, -1]))
    np.testing.assert_array_equal(numpy_of(jg.logit, [0.1, 0.0, 1, 2, -1])[3:], [NAN, NAN])
    got = jg.logit(jg.tensor([0.1, 0.0, 1, 2, -1], dtype=jg.float64), 0.6).numpy()
    np.testing.assert_allclose(got, scipy.special.logit([0.6, 0.6, 0.4, 0.4, 0.6]))
    np.testing.assert_array_equal(numpy_of(jg.fmax, ends, [1.0, 1, NAN, NAN, 2]), [1, 1, INF, -INF, 2])
    np.testing.assert_array_equal(numpy_of(jg.logaddexp, [-INF, INF, INF], [-INF, INF, -INF]), [-INF, INF, INF])
    np.testing.assert_array_equal(numpy_of(jg.heaviside, [-1.0, 0, 2, NAN], [5.0, 5, 5, 5]), [0, 5, 1, 0])


def test_derivatives_in_the_tails():
    x = jg.tensor([-1e3, -1e8, -40.0, 40.0], dtype=jg.float64, requires_grad=True)
    (slope,) = jg.autograd.grad(jg.special.log_ndtr(x).sum(), x, create_graph=True)
    np.testing.assert_allclose(slope.detach().numpy()[:2], [1e3 + 1e-3 - 2e-9, 1e8], rtol=1e-14)
    (second,) = jg.autograd.grad(slope.sum(), x)
    np.testing.assert_allclose(second.numpy()[:2], [-1, -1], rtol=1e-5)
    zero = jg.zeros(1, dtype=jg.float64, requires_grad=True)
    (slope,) = jg.autograd.grad(jg.sinc(zero).sum(), zero, create_graph=True)
    assert slope.item() == 0
    assert jg.autograd.grad(slope, zero)[0].item() == pytest.approx(-(math.pi**2) / 3)


def test_polynomials():
    n = np.arange(-1, 7)
    for x in (-1.0, -0.3, 0.0, 0.8, 1.0):
        angle = math.acos(x)
        with np.errstate(all="ignore"):
            half = np.cos((n + 0.5) * angle) / math.cos(angle / 2)
            other = np.sin((n + 0.5) * angle) / math.sin(angle / 2) if angle else 2.0 * n + 1
        for f, want in (
            (jg.special.chebyshev_polynomial_t, np.cos(n * angle)),
            (jg.special.chebyshev_polynomial_v, half if x > -1 else (-1.0) ** n * (2 * n + 1)),
            (jg.special.chebyshev_polynomial_w, other),
            (jg.special.legendre_polynomial_p, scipy.special.eval_legendre(np.maximum(n, 0), x)),
        ):
            got = f(x, jg.tensor(n, dtype=jg.float64)).numpy()
            np.testing.assert_allclose(got, np.where(n < 0, 0, want), atol=1e-13)
    assert jg.special.shifted_chebyshev_polynomial_t(jg.tensor(2.0), 2).item() == 17
    assert jg.special.hermite_polynomial_h(jg.tensor([0.5, 2]), jg.tensor([-1, 2.5])).tolist() == [0, 14]
    assert jg.special.chebyshev_polynomial_t(jg.tensor([1, 2]), jg.tensor([3, 2])).dtype == jg.float32


def test_integers_and_dtypes():
    a, b = jg.tensor([4, 6, -8]), jg.tensor([6, -4, 12])
    assert jg.gcd(a, b).tolist() == [2, 2, 4]
    assert jg.lcm(a, b).tolist() == [12, 12, 24]
    assert (a << 1).tolist() == [8, 12, -16]
    assert (a >> jg.tensor([1, 70, 70])).tolist() == [2, 0, -1]
    assert (1 << jg.tensor([3, 70, -1])).tolist() == [8, 0, 0]
    a <<= 2
    assert a.tolist() == [16, 24, -32]
    assert jg.fmod(jg.tensor([5, -7]), 3).tolist() == [2, -1]
    assert jg.addcmul(jg.tensor([1, 2]), jg.tensor([1, 2]), jg.tensor([1, 2]), value=2.5).tolist() == [3, 10]
    for f, dtype in (
        (lambda x: jg.deg2rad(x), jg.float32),
        (lambda x: jg.float_power(x, 2), jg.float64),
        (lambda x: jg.sgn(x), jg.int64),
        (lambda x: jg.clamp_min(x, 1.5), jg.float32),
        (lambda x: jg.nan_to_num(x), jg.int64),
        (lambda x: jg.copysign(x, -1), jg.float32),
        (lambda x: jg.special.ndtr(x), jg.float32),
        (lambda x: jg.mvlgamma(x, 2), jg.float32),
        (lambda x: jg.special.zeta(2, x), jg.float32),
        (lambda x: jg.sinc(x), jg.float32),
        (lambda x: jg.sinc(x.half()), jg.float16),
        (lambda x: jg.special.airy_ai(x.half()), jg.float16),
    ):
        assert f(jg.tensor([1, 2])).dtype == dtype
        assert tuple(f(jg.ones(0, 3, dtype=jg.int64)).shape) == (0, 3)
        assert f(jg.tensor(2)).shape == ()


def test_in_place():
    for name, args in (
        ("logit", ()),
        ("sinc", ()),
        ("frac", ()),
        ("lerp", (jg.tensor(INSIDE), 0.3)),
        ("addcdiv", (jg.tensor(INSIDE), jg.tensor(RIGHT))),
        ("clamp_min", (0.5,)),
        ("nan_to_num", ()),
        ("copysign", (-1.0,)),
        ("fmod", (0.3,)),
        ("deg2rad", ()),
        ("igamma", (jg.tensor(RIGHT),)),
        ("mvlgamma", (1,)),
        ("float_power", (2,)),
        ("sgn", ()),
        ("polygamma", (2,)),
    ):
        x = jg.tensor(INSIDE)
        want = getattr(x, name)(*args).numpy()
        assert getattr(x, name + "_")(*args) is x
        np.testing.assert_array_equal(x.numpy(), want)


@pytest.mark.parametrize(
    ("error", "call"),
    [
        (NotImplementedError, lambda x, i: jg.logaddexp(i, i)),
        (NotImplementedError, lambda x, i: jg.frac(i)),
        (NotImplementedError, lambda x, i: jg.lerp(i, i, 0.5)),
        (NotImplementedError, lambda x, i: jg.gcd(x, x)),
        (NotImplementedError, lambda x, i: x << 1),
        (NotImplementedError, lambda x, i: jg.nextafter(i, i)),
        (RuntimeError, lambda x, i: jg.lerp(x, x.double(), 0.5)),
        (RuntimeError, lambda x, i: jg.addcdiv(x, i, i)),
        (RuntimeError, lambda x, i: jg.heaviside(x, i)),
        (RuntimeError, lambda x, i: jg.positive(i > 0)),
        (RuntimeError, lambda x, i: jg.fmod(i, 0)),
        (RuntimeError, lambda x, i: jg.mvlgamma(x, 0)),
        (RuntimeError, lambda x, i: jg.polygamma(-1, x)),
        (RuntimeError, lambda x, i: x.float_power_(2)),
        (RuntimeError, lambda x, i: jg.copysign(x, jg.ones(3))),
        (TypeError, lambda x, i: jg.clamp_min(x, None)),
        (TypeError, lambda x, i: jg.logit(x, "a")),
        (TypeError, lambda x, i: jg.nan_to_num(x, posinf=[1])),
    ],
)
def test_errors(error, call):
    with pytest.raises(error):
        call(jg.tensor([0.5, 2.0]), jg.tensor([1, 2]))


def test_without_scipy_an_error_names_the_extra():
    code = (
        "import sys; sys.modules['scipy'] = None; import jitgrad as jg\n"
        "x = jg.tensor([0.5]); jg.special.ndtri(x); jg.special.log_ndtr(x); jg.special.erfcx(x); jg.sinc(x)\n"
        "try: jg.special.airy_ai(x)\n"
        "except ImportError as e: assert 'jitgrad[scipy]' in str(e)\n"
        "else: raise AssertionError\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("sweep", ["eager", *SWEEPS])
def test_powers_of_integers_have_no_fractions(sweep: str) -> None:
    """Of tensors; a negative number as exponent is refused."""
    base, exponent = (jg.tensor(v) for v in ([2, 1, -1, -1, 0, -3, 3, 0], [-1, -5, -3, -2, -1, 3, 0, 2]))
    want = [0, 1, -1, 1, 0, -27, 1, 0]
    calls = [
        (lambda x, y: x**y, want),
        (lambda x, y: jg.pow(x.int(), y), want),
        (lambda x, y: 2 ** (y + 5), [16, 1, 4, 8, 16, 256, 32, 128]),
        (lambda x, y: 2**y, [0, 0, 0, 0, 0, 8, 1, 4]),
        (lambda x, y: (-1) ** y, [-1, -1, -1, 1, -1, -1, 1, 1]),
        (lambda x, y: (x > 0) ** y.clamp(min=1), [1, 1, 0, 0, 0, 0, 1, 0]),
    ]
    for call, values in calls:
        if sweep == "eager":
            found = call(base, exponent)
        else:
            with jg.sweep(sweep):
                found = jg.jit(call)(base, exponent)
        assert found.tolist() == values
        assert found.dtype == jg.int64
    with pytest.raises(RuntimeError, match="negative integer powers"):
        base**-1


def test_signs_and_squares_of_bools() -> None:
    """A sign is a bool, and does not share its memory; squares are counted."""
    x = jg.tensor([True, False])
    for sign in (jg.sign, jg.sgn, jg.jit(jg.sign), jg.vmap(jg.sgn)):
        found = sign(x)
        found[1] = True
        assert found.dtype == jg.bool
        assert x.tolist() == [True, False]
    for square in (jg.square, jg.jit(jg.square), lambda x: x**2):
        assert square(x).dtype == jg.int64
        assert square(x).tolist() == [1, 0]


def test_bools_are_clamped_as_integers_by_numbers():
    b = jg.tensor([True, False])
    for f in (lambda b: b.clamp(0), lambda b: b.clamp(0, 1), jg.jit(lambda b: b.clamp(0, 1))):
        assert (f(b).tolist(), f(b).dtype) == ([1, 0], jg.int64)
    assert b.clamp(0, 0.5).dtype == jg.float32
    for wrong in (lambda: b.clamp(False, True), lambda: b.clamp_(0)):
        with pytest.raises(RuntimeError, match="bool"):
            wrong()
