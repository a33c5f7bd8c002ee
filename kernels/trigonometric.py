"""sin, cos, tan and their inverses.

The first three leave numbers above 2**17 (float32) or 2**30 (float64) to the C library.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from jitgrad.kernels.common import F32, F64, Type, both, flipped, horner, singles
from jitgrad.kernels.primitives import bits, copysign, fma, rare_cos, rare_sin, rare_tan, select, sqrt, with_bits


class Trigonometric(NamedTuple):
    t: Type
    two_by_pi: Any
    pi_2: tuple  # pi/2 in three parts
    limit: Any
    last: int  # the place of the sign's bit
    sin: tuple  # (sin(r) - r) / r^3 in r^2 for |r| <= pi/4; relative error of sin: 2^-27, 2^-57
    cos: tuple  # (cos(r) - 1) / r^2 in r^2
    tan: tuple  # (tan(r) - r) / r^3 in r^2; relative error of tan: 2^-30, 2^-60
    atan: tuple  # (atan(u) - u) / u^3 in u^2 for |u| <= 1/2; relative error of atan: 2^-27, 2^-58
    asin: tuple  # (asin(s) - s) / s^3 in s^2 for |s| <= 1/2; relative error of asin: 2^-28, 2^-56
    huge: Any  # the sum of two of these is infinite


T32 = Trigonometric(
    F32,
    *singles(0.63661975),
    singles(1.5707964, -4.371139e-08, -1.7151245e-15),
    *singles(2.0**17),
    31,
    singles(-0.00019507884, 0.008332106, -0.16666654),
    singles(2.4430978e-05, -0.0013887302, 0.041666646, -0.5),
    singles(0.004372811, 9.80919e-05, 0.010827511, 0.021286199, 0.054058913, 0.13332675, 0.3333335),
    singles(-0.051251363, 0.10155763, -0.14174193, 0.19994166, -0.33333233),
    singles(0.042162582, 0.024182724, 0.045469463, 0.07495308, 0.16666752),
    *singles(2.0**126),
)
T64 = Trigonometric(
    F64,
    0.6366197723675814,
    (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33),
    2.0**30,
    63,
    (
        1.5893462655307546e-10,
        -2.505070102368261e-08,
        2.7557313329896033e-06,
        -0.000198412698287716,
        0.008333333333321128,
        -0.16666666666666627,
    ),
    (
        -1.1357195280516492e-11,
        2.087567564212848e-09,
        -2.755731399982353e-07,
        2.4801587288254485e-05,
        -0.0013888888888872147,
        0.04166666666666659,
        -0.5,
    ),
    (
        9.702016736361062e-06,
        -2.3836606166656017e-05,
        4.7749694328095764e-05,
        -2.456716233377524e-05,
        6.63736015498969e-05,
        8.402826337532707e-05,
        0.00024356588531883555,
        0.000588917124721545,
        0.0014560348762771094,
        0.003592102408983693,
        0.008863237772530383,
        0.0218694884089083,
        0.05396825397253361,
        0.13333333333326083,
        0.33333333333333376,
    ),
    (
        0.010112790644205089,
        -0.027429199492331382,
        0.04186149377298384,
        -0.05121880647391,
        0.05858271142191038,
        -0.06663806586836507,
        0.0769207352817237,
        -0.09090896221160084,
        0.11111110658756615,
        -0.1428571427636811,
        0.19999999999902965,
        -0.3333333333333298,
    ),
    (
        0.031933946466716046,
        -0.01625533772195241,
        0.01954770721389845,
        0.006521016278394523,
        0.012170783763795648,
        0.013885002317664404,
        0.017359727640662726,
        0.022371756589267697,
        0.030381959195186676,
        0.04464285682699228,
        0.07500000000338534,
        0.16666666666665403,
    ),
    2.0**1022,
)
TRIGONOMETRICS = (T32, T64)


def _reduced(a: Any, c: Any) -> Any:
    """r + low = a - k pi/2 for a >= 0, and bits of which the lower ones are those of k."""
    s = fma(a, c.two_by_pi, c.t.round)
    n = s - c.t.round
    h = fma(n, -c.pi_2[0], a)  # exact
    w = n * c.pi_2[1]
    r = h - w
    return r, fma(n, -c.pi_2[2], ((h - r) - w) + fma(n, -c.pi_2[1], w)), bits(s)


def _sin_of_quadrant(a: Any, q: Any, c: Any) -> Any:
    """sin(a + q pi/2) for a >= 0."""
    r, low, k = _reduced(a, c)
    z = r * r
    sine = r + fma(r * z, horner(z, c.sin), low)
    cosine = fma(horner(z, c.cos), z, c.t.one)
    k = k + q
    y = select((k & 1) == 0, sine, cosine)
    return with_bits(y, bits(y) ^ ((k << (c.last - 1)) & c.t.sign))


def sin(x: Any, c: Any) -> Any:
    a = abs(x)
    return rare_sin(a > c.limit, x, flipped(_sin_of_quadrant(a, 0, c), x, c.t))


def cos(x: Any, c: Any) -> Any:
    a = abs(x)
    return rare_cos(a > c.limit, x, _sin_of_quadrant(a, 1, c))


def tan(x: Any, c: Any) -> Any:
    """A polynomial for even k, and -1 / it for odd."""
    a = abs(x)
    r, low, k = _reduced(a, c)
    z = r * r
    cubic = fma(r * z, horner(z, c.tan), low)
    y = r + cubic
    low = cubic - (y - r)
    q = c.t.one / y
    q = fma(q, fma(-q, y, c.t.one) - q * low, q)
    y = select((k & 1) == 0, y, -q)
    return rare_tan(a > c.limit, x, flipped(y, x, c.t))


def _ratio(p: Any, q: Any, below: Any, above: Any) -> Any:
    """For p, q >= 0 the u with atan(p / q) = 0, pi/4 or pi/2 and atan(u), |u| <= 1/2: p / q is below 1/2, or above 2."""
    return select(below, p, select(above, -q, p - q)) / select(below, q, select(above, p, p + q))


def _atan_sum(u: Any, below: Any, above: Any, c: Any) -> Any:
    """0, pi/4 or pi/2, and atan(u)."""
    t = c.t
    offset = select(below, t.zero, select(above, c.pi_2[0], c.pi_2[0] * t.half))
    low = select(below, t.zero, select(above, c.pi_2[1], c.pi_2[1] * t.half))
    z = u * u
    return offset + (u + fma(u * z, horner(z, c.atan), low))


def atan(x: Any, c: Any) -> Any:
    a, t = abs(x), c.t
    below, above = a < t.half, a > t.two
    return copysign(_atan_sum(_ratio(a, t.one, below, above), below, above, c), x)


def atan2(y: Any, x: Any, c: Any) -> Any:
    t, p, q = c.t, abs(y), abs(x)
    same, none = p == q, p == t.zero
    scale = select((p > c.huge) | (q > c.huge), t.quarter, t.one)
    p, q = p * scale, q * scale
    below, above = p + p < q, q + q < p
    u = select(same, t.zero, _ratio(p, q, below, above))
    a = _atan_sum(u, below | none, above, c)
    a = select(bits(x) < 0, c.pi_2[0] * t.two - (a - c.pi_2[1] * t.two), a)
    return copysign(a, y)


def _asin_parts(a: Any, c: Any) -> Any:
    """Whether a > 1/2; s = a or, if so, sqrt((1 - a)/2), whose arc sine is acos(a)/2; and asin(s) - s."""
    large = a > c.t.half
    z = select(large, fma(a, -c.t.half, c.t.half), a * a)
    s = select(large, sqrt(z), a)
    return large, s, s * z * horner(z, c.asin)


def asin(x: Any, c: Any) -> Any:
    large, s, cubic = _asin_parts(abs(x), c)
    double = s + s
    far = c.pi_2[0] - double
    lost = (c.pi_2[0] - far) - double
    far = far + ((c.pi_2[1] + lost) - (cubic + cubic))
    return copysign(select(large, far, s + cubic), x)


def acos(x: Any, c: Any) -> Any:
    t = c.t
    large, s, cubic = _asin_parts(abs(x), c)
    y = s + cubic
    y = flipped(select(large, y + y, -y), x, t)
    below = x < t.zero
    base = select(large, select(below, c.pi_2[0] * t.two, t.zero), c.pi_2[0])
    low = select(large, select(below, c.pi_2[1] * t.two, t.zero), c.pi_2[1])
    return base + (y + low)


KERNELS = {f.__name__: both(f, TRIGONOMETRICS) for f in (sin, cos, tan, asin, acos, atan, atan2)}
