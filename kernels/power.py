"""cbrt, pow and hypot."""

from __future__ import annotations

from typing import Any, NamedTuple

from jitgrad.kernels.common import F32, F64, Type, clamped, flipped, horner, scaled, singles
from jitgrad.kernels.exponential import E32, E64, Exponential
from jitgrad.kernels.logarithm import ONE_BIT_F32, ONE_BIT_F64, split_f32, split_f64
from jitgrad.kernels.primitives import bits, copysign, fma, rint, select, sqrt, to_f32, to_f64, to_i32, with_bits


class Root(NamedTuple):
    t: Type
    inverse: tuple  # ((1 - e)^(-1/3) - 1) / e for |e| < 0.107; relative error 2^-27, 2^-39
    third: Any
    scale: Any  # of subnormal numbers
    unscale: Any
    guess: Any
    by_bits: Any  # -1/3 of what the exponent's last bit counts as
    places: int


class Power(NamedTuple):
    e: Exponential
    log2: tuple  # (log2((1 + s)/(1 - s)) - 2 s / ln 2 - 2 s^3 / (3 ln 2)) / s^5 in s^2; of log2: 2^-38, 2^-67
    first: tuple  # 2 / ln 2, and what it lacks
    third: tuple  # 2 / (3 ln 2)
    least: Any
    most: Any


R32 = Root(
    F32,
    singles(0.17488544, 0.22359844, 0.33332643),
    *singles(1 / 3, 2.0**24, 2.0**-8, 1.5 * 2**10 + 127 * 4 / 3 - 0.068, -(2.0**-23) / 3),
    10,
)
R64 = Root(
    F64,
    (0.11330302800282284, 0.12685406685031445, 0.14401444113554837, 0.1728279785815983, 0.22222226599453457, 0.33333334947337545),
    1 / 3,
    2.0**54,
    2.0**-18,
    1.5 * 2.0**13 + 1023 * 4 / 3 - 0.068,
    -(2.0**-20) / 3,
    13,
)
P32 = Power(
    E32,
    singles(0.2879342, 0.31958738, 0.41221502, 0.5770779),
    singles(2.88539, 3.851926e-08),
    singles(0.9617967, -7.028462e-09),
    *singles(-160, 140),
)
P64 = Power(
    E64,
    (
        0.18144561699031075,
        0.16722967207502873,
        0.19247287684118503,
        0.2219500420099532,
        0.26230823809092735,
        0.3205988975219176,
        0.4121985831133149,
        0.5770780163555813,
    ),
    (2.8853900817779268, 4.0710547481862066e-17),
    (0.9617966939259756, 5.0577616648125907e-17),
    -1090.0,
    1030.0,
)


def _cbrt(x: Any, v: Any, exponent: Any, c: Any) -> Any:
    """From v = |x|, scaled if subnormal, and its biased exponent with the fraction's upper bits behind it.

    A third of the exponent gives z, the inverse root to 3.3%, a polynomial in e = 1 - v z^3 makes it good to half its
    digits, and one step of Newton's method for y^3 = v, with the residue to twice the digits, does the rest.
    """
    t = c.t
    z = with_bits(x, bits(fma(exponent, c.by_bits, c.guess)) << c.places)
    e = fma(-(v * z), z * z, t.one)
    z = fma(z * e, horner(e, c.inverse), z)
    y = v * z * z
    square = y * y
    residue = fma(-square, y, v) - fma(y, y, -square) * y
    y = fma(residue, z * z * c.third, y)
    y = select(abs(x) < t.tiny, y * c.unscale, y)
    return select(abs(x) < t.inf, copysign(y, x), x)


def cbrt_f32(x: Any) -> Any:
    a = abs(x)
    v = select(a < F32.tiny, a * R32.scale, a)
    return _cbrt(x, v, to_f32(bits(v)), R32)


def cbrt_f64(x: Any) -> Any:
    a = abs(x)
    v = select(a < F64.tiny, a * R64.scale, a)
    return _cbrt(x, v, to_f64(to_i32(bits(v) >> 32)), R64)


def _log2_in_two(n: Any, f: Any, c: Any) -> Any:
    """n + log2(1 + f) as a sum of two numbers, the second below half a unit in the last place of the first.

    2 artanh(s) with s = f/(2 + f); the first two terms of its series are computed to twice the digits.  Products and
    sums with what their rounding lost: T. J. Dekker, "A floating-point technique for extending the available
    precision" (1971), with fma.
    """
    t = c.e.t
    d = f + t.two
    inverse = t.one / d
    s = f * inverse
    s_low = (fma(-s, d, f) - s * (f - (d - t.two))) * inverse
    linear = s * c.first[0]
    low = fma(s, c.first[0], -linear) + fma(s, c.first[1], s_low * c.first[0])
    z = s * s
    z_low = fma(s, s, -z) + (s + s) * s_low
    rest = z * horner(z, c.log2)
    g = rest + c.third[0]
    g_low = rest - (g - c.third[0]) + c.third[1]
    w = s * z
    w_low = fma(s, z, -w) + fma(s, z_low, s_low * z)
    cubic = w * g
    low = low + (fma(w, g, -cubic) + fma(w, g_low, w_low * g))
    high = n + linear
    low = low + (linear - (high - n))
    sum = high + cubic
    low = low + (cubic - (sum - high))
    high = sum + low
    return high, low - (high - sum)


def _pow(x: Any, y: Any, n: Any, f: Any, c: Any) -> Any:
    """2**(y log2 |x|), |x| = 2**n (1 + f), and the special cases of IEEE 754-2019, section 9.2.1."""
    e, t = c.e, c.e.t
    a = abs(x)
    log, log_low = _log2_in_two(n, f, c)
    log = select(a < t.inf, select(a == t.zero, -t.inf, log), a)
    product = y * log
    low = fma(y, log, -product) + y * log_low
    low = select(abs(product) < -c.least, low, t.zero)
    product = select((a == t.one) | (y == t.zero), t.zero, clamped(product, c.least, c.most))
    s = product + e.exp_round
    r = (product - (s - e.exp_round)) + low
    z = scaled(fma(r, horner(r, e.exp2), t.one), bits(s), t)
    whole, half = rint(y) == y, y * t.half
    z = select(whole & (rint(half) != half), flipped(z, x, t), z)
    return select(whole, z, select((x < t.zero) & (x > -t.inf), t.nan, z))


def pow_f32(x: Any, y: Any) -> Any:
    n, f = split_f32(abs(x))
    return _pow(x, y, n * ONE_BIT_F32, f, P32)


def pow_f64(x: Any, y: Any) -> Any:
    n, f = split_f64(abs(x))
    return _pow(x, y, n * ONE_BIT_F64, f, P64)


def hypot_f32(x: Any, y: Any) -> Any:
    """In float64, where the squares are exact and their sum cannot overflow."""
    p, q = to_f64(x), to_f64(y)
    z = to_f32(sqrt(fma(p, p, q * q)))
    return select((abs(x) == F32.inf) | (abs(y) == F32.inf), F32.inf, z)


def hypot_f64(x: Any, y: Any) -> Any:
    """The larger number's power of two is taken out, and a step of Newton's method mends the rounding of the sum."""
    p, q = abs(x), abs(y)
    large, small = select(p > q, p, q), select(p > q, q, p)
    huge, slight = large > 2.0**500, large < 2.0**-500
    scale = select(huge, 2.0**-600, select(slight, 2.0**600, 1.0))
    a, b = large * scale, small * scale
    a2, b2 = a * a, b * b
    h = sqrt(a2 + b2)
    h2 = h * h
    excess = (((a2 - h2) + b2) + (fma(a, a, -a2) - fma(h, h, -h2))) + fma(b, b, -b2)
    z = select(large > 0.0, h + excess / (h + h), h) * select(huge, 2.0**600, select(slight, 2.0**-600, 1.0))
    return select((p == F64.inf) | (q == F64.inf), F64.inf, z)


KERNELS = {
    "cbrt": {"f32": cbrt_f32, "f64": cbrt_f64},
    "pow": {"f32": pow_f32, "f64": pow_f64},
    "hypot": {"f32": hypot_f32, "f64": hypot_f64},
}
