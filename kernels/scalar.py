"""exp, log, tanh, sin … as branch-free arithmetic, written once for every way of compiling.

Each function takes and gives one number of the type in its name.  Traced with `jitgrad.sweeps.lanes.Lane` it becomes
vector instructions; under `@njit` (names and types from `jitgrad.kernels.launch`) the same source gives the same bits.
So: operators, `primitives`, no branch, typed constants, an `fma` wherever a contraction is meant, and the first
argument of a primitive is never a constant.

Methods.  Range reductions by multiples of ln 2 and pi in two or three parts after W. J. Cody and W. Waite, "Software
Manual for the Elementary Functions" (1980), with fma; rounding to an integer by adding 1.5 * 2**p, which leaves the
integer in the low bits of the sum, and scaling by 2**k through the exponent bits: J.-M. Muller, "Elementary
Functions" (3rd ed., 2016), chapters 9 to 11.  Polynomials: our own minimax fits (Remez exchange in 50 digits, for the
relative error of the result), coefficients rounded one after the other, the rest fitted again.

All are right for ±0, subnormal numbers, infinities and NaN, and sin and cos for huge numbers, which they leave to the
C library (above 2**17 in float32, 2**30 in float64).  Largest error seen, in units in the last place (float32: every
seventh number there is, log2 every 31st; float64: millions of random ones, many near critical points; erf thousands):

              exp  expm1    log  log1p   log2  log10   tanh  sigmoid  softplus    sin    cos    erf
    float32  1.01   1.40   0.94   1.14   1.13   1.41   1.33     2.33      1.94   1.20   1.18   1.09
    float64  1.02   1.13   0.78   0.87   1.00   0.92   1.28     2.15      1.98   1.14   1.20   0.96
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.kernels.primitives import (
    bits,
    copysign,
    float_of,
    fma,
    rare_cos,
    rare_sin,
    select,
    to_f32,
    to_f64,
    to_i32,
)

# -- float32: constants ----------------------------------------------------------------------------------------------

ZERO_F32, QUARTER_F32, HALF_F32, ONE_F32, TWO_F32 = (np.float32(v) for v in (0, 0.25, 0.5, 1, 2))
INF_F32, NAN_F32 = np.float32(np.inf), np.float32(np.nan)
TINY_F32 = np.float32(2.0**-126)  # the smallest normal number
LOG2E_F32 = np.float32(1.442695)
LN2_F32 = np.float32(0.6931472)
LN2_HIGH_F32, LN2_LOW_F32 = np.float32(0.693359375), np.float32(-0.00021219444)  # n * HIGH is exact
ROUND_F32 = np.float32(1.5 * 2**23)  # x + ROUND is a whole number, and its low bits are that number's
# (e^r - 1 - r) / r^2 for |r| <= ln(2)/2; relative error of e^r: 2^-28
EXP2_F32, EXP3_F32, EXP4_F32 = np.float32(0.49999994), np.float32(0.16666517), np.float32(0.041668102)
EXP5_F32, EXP6_F32 = np.float32(0.0083691655), np.float32(0.0013838004)
# (ln(1 + f) - f) / f^2 for |f| <= 1/3; relative error of ln(1 + f): 2^-27
LOG2_F32, LOG3_F32, LOG4_F32 = np.float32(-0.5), np.float32(0.33333197), np.float32(-0.2499992)
LOG5_F32, LOG6_F32, LOG7_F32 = np.float32(0.20011435), np.float32(-0.16674446), np.float32(0.13989641)
LOG8_F32, LOG9_F32, LOG10_F32 = np.float32(-0.12273508), np.float32(0.14062329), np.float32(-0.12483311)
TWO_THIRDS_BITS_F32 = 0x3F2AAAAB
EXPONENT_F32 = -0x800000  # the bits of the sign and the exponent
LN2_OF_BITS_F32 = np.float32(0.6931472 * 2.0**-23)
# (sin(r) - r) / r^3 and (cos(r) - 1 + r^2/2) / r^4 as polynomials in r^2 for |r| <= pi/4; relative error of sin: 2^-27
SIN3_F32, SIN5_F32, SIN7_F32 = np.float32(-0.16666654), np.float32(0.008332106), np.float32(-0.00019507884)
COS4_F32, COS6_F32, COS8_F32 = np.float32(0.041666646), np.float32(-0.0013887302), np.float32(2.4430978e-05)
TWO_BY_PI_F32 = np.float32(0.63661975)
PI_2_1_F32, PI_2_2_F32, PI_2_3_F32 = np.float32(1.5707964), np.float32(-4.371139e-08), np.float32(-1.7151245e-15)
SIGN_F32 = -0x80000000
TRIG_LIMIT_F32 = np.float32(2.0**17)

# -- float32: kernels ------------------------------------------------------------------------------------------------


def _exp_less_1_f32(r: Any) -> Any:
    """e**r - 1 for |r| <= ln(2)/2."""
    p = fma(r, EXP6_F32, EXP5_F32)
    p = fma(p, r, EXP4_F32)
    p = fma(p, r, EXP3_F32)
    p = fma(p, r, EXP2_F32)
    return fma(r * r, p, r)


def _log1p_less_f32(f: Any, low: Any) -> Any:
    """ln(1 + f) - f + low for |f| <= 1/3."""
    p = fma(f, LOG10_F32, LOG9_F32)
    p = fma(p, f, LOG8_F32)
    p = fma(p, f, LOG7_F32)
    p = fma(p, f, LOG6_F32)
    p = fma(p, f, LOG5_F32)
    p = fma(p, f, LOG4_F32)
    p = fma(p, f, LOG3_F32)
    p = fma(p, f, LOG2_F32)
    return fma(f * f, p, low)


EXP_MAX_F32, EXP_MIN_F32 = np.float32(89), np.float32(-104)
EXP_ROUND_F32 = np.float32(1.5 * 2**23 + 254)


def exp_f32(x: Any) -> Any:
    x = select(x > EXP_MAX_F32, EXP_MAX_F32, x)  # in this form NaN stays
    x = select(x < EXP_MIN_F32, EXP_MIN_F32, x)
    t = fma(x, LOG2E_F32, EXP_ROUND_F32)
    n = t - EXP_ROUND_F32
    r = fma(n, -LN2_LOW_F32, fma(n, -LN2_HIGH_F32, x))
    p = _exp_less_1_f32(r) + ONE_F32
    # 2**n as the product of two powers: neither overflows, and a subnormal result is rounded once
    k = bits(t)  # n + 254, below constant bits that the shifts push out
    half = k >> 1
    return p * float_of(to_i32(half << 23)) * float_of(to_i32((k - half) << 23))


EXPNEG_ROUND_F32, EXPNEG_SCALE_F32 = np.float32(1.5 * 2**23 + 127 + 63), np.float32(2.0**-63)


def _exp_of_negative_f32(x: Any) -> Any:
    """e**x for x <= 0, where one power of two and a constant are enough."""
    x = select(x < EXP_MIN_F32, EXP_MIN_F32, x)
    t = fma(x, LOG2E_F32, EXPNEG_ROUND_F32)
    n = t - EXPNEG_ROUND_F32
    r = fma(n, -LN2_LOW_F32, fma(n, -LN2_HIGH_F32, x))
    p = _exp_less_1_f32(r) + ONE_F32
    return p * float_of(to_i32(bits(t) << 23)) * EXPNEG_SCALE_F32


# (e^r - 1 - r) / r^2 for |r| <= 1/2; relative error of e^r - 1: 2^-27
EXPM1_2_F32, EXPM1_3_F32, EXPM1_4_F32 = np.float32(0.50000006), np.float32(0.1666668), np.float32(0.041664943)
EXPM1_5_F32, EXPM1_6_F32, EXPM1_7_F32 = np.float32(0.008331231), np.float32(0.0014010919), np.float32(0.00020564845)
EXPM1_MIN_F32, EXPM1_SAME_F32 = np.float32(-18), np.float32(2.0**-26)
EXPM1_ROUND_F32 = np.float32(1.5 * 2**23 + 126)


def expm1_f32(x: Any) -> Any:
    y = select(x > EXP_MAX_F32, EXP_MAX_F32, x)
    y = select(y < EXPM1_MIN_F32, EXPM1_MIN_F32, y)
    t = fma(y, LOG2E_F32, EXPM1_ROUND_F32)
    t = select(abs(x) < HALF_F32, EXPM1_ROUND_F32, t)  # n = 0 a bit further than needed: 2 e - 1 would lose a digit
    n = t - EXPM1_ROUND_F32
    r = fma(n, -LN2_LOW_F32, fma(n, -LN2_HIGH_F32, y))
    p = fma(r, EXPM1_7_F32, EXPM1_6_F32)
    p = fma(p, r, EXPM1_5_F32)
    p = fma(p, r, EXPM1_4_F32)
    p = fma(p, r, EXPM1_3_F32)
    p = fma(p, r, EXPM1_2_F32)
    half = float_of(to_i32(bits(t) << 23))  # 2**(n - 1), as 2**128 does not exist
    e = fma(half, fma(r * r, p, r), half - HALF_F32)
    return select(abs(x) < EXPM1_SAME_F32, x, e + e)  # the sign of 0, and subnormal numbers


TANH_MAX_F32, TANH_ROUND_F32 = np.float32(10), np.float32(1.5 * 2**23 + 127)
# (tanh(a) - a) / a^3 as a polynomial in a^2 for a < 0.55, tanh(a) = 1/2; relative error of tanh(a): 2^-29
TANH3_F32, TANH5_F32, TANH7_F32 = np.float32(-0.33333316), np.float32(0.13332544), np.float32(-0.053847548)
TANH9_F32, TANH11_F32, TANH_NEAR_0_F32 = np.float32(0.021050714), np.float32(-0.0062428494), np.float32(0.5495)


def tanh_f32(x: Any) -> Any:
    """1 - 2 / (e**2a + 1), a = |x|, and a polynomial below 1/2, where the difference would lose digits."""
    a = abs(x)
    z = a * a
    p = fma(z, TANH11_F32, TANH9_F32)
    p = fma(p, z, TANH7_F32)
    p = fma(p, z, TANH5_F32)
    p = fma(p, z, TANH3_F32)
    near = fma(a * z, p, a)
    b = select(a > TANH_MAX_F32, TANH_MAX_F32, a)
    b = b + b
    t = fma(b, LOG2E_F32, TANH_ROUND_F32)
    n = t - TANH_ROUND_F32
    r = fma(n, -LN2_F32, b)  # what LN2 lacks would count only where tanh has become flat
    power = float_of(to_i32(bits(t) << 23))
    far = ONE_F32 - TWO_F32 / fma(_exp_less_1_f32(r), power, power + ONE_F32)
    return copysign(select(a < TANH_NEAR_0_F32, near, far), x)


def sigmoid_f32(x: Any) -> Any:
    z = _exp_of_negative_f32(-abs(x))
    return select(x < ZERO_F32, z, ONE_F32) / (z + ONE_F32)


THIRD_F32 = np.float32(1 / 3)


def softplus_f32(x: Any) -> Any:
    """ln(1 + e**x) = max(x, 0) + ln(1 + e**-|x|)."""
    z = _exp_of_negative_f32(-abs(x))
    large = z > THIRD_F32
    f = select(large, fma(z, HALF_F32, -HALF_F32), z)
    y = f + _log1p_less_f32(f, ZERO_F32)
    y = select(large, y + LN2_F32, y)
    return select(x > ZERO_F32, x, ZERO_F32) + y


LOG_SCALE_F32, LOG_SHIFT_F32, LOG_NO_SHIFT_F32 = np.float32(2.0**23), np.int32(23 << 23), np.int32(0)
ONE_BIT_F32 = np.float32(2.0**-23)
LOG2_E_F32, LOG2_E_LOW_F32 = np.float32(1.442695), np.float32(1.925963e-08)
LOG10_E_F32, LOG10_E_LOW_F32 = np.float32(0.4342945), np.float32(-1.010305e-08)
LOG10_2_HIGH_F32 = np.float32(0.301025390625 * 2.0**-23)  # n * HIGH is exact
LOG10_2_LOW_F32 = np.float32(4.605039066518657e-06 * 2.0**-23)


def _split_f32(x: Any) -> Any:
    """n 2**23 and f of x = 2**n (1 + f), -1/3 <= f < 1/3; x is positive and finite."""
    subnormal = x < TINY_F32
    b = bits(select(subnormal, x * LOG_SCALE_F32, x))
    e = to_i32((b - TWO_THIRDS_BITS_F32) & EXPONENT_F32)
    f = float_of(to_i32(b - e)) - ONE_F32
    return to_f32(to_i32(e - select(subnormal, LOG_SHIFT_F32, LOG_NO_SHIFT_F32))), f


def _log_outside_f32(x: Any, y: Any) -> Any:
    """A logarithm that is y, but for x that are not positive and finite."""
    y = select(x < INF_F32, y, x)
    return select(x > ZERO_F32, y, select(x == ZERO_F32, -INF_F32, NAN_F32))


def log_f32(x: Any) -> Any:
    n, f = _split_f32(x)
    return _log_outside_f32(x, fma(n, LN2_OF_BITS_F32, f + _log1p_less_f32(f, ZERO_F32)))


def log2_f32(x: Any) -> Any:
    n, f = _split_f32(x)
    n = n * ONE_BIT_F32
    y = fma(f, LOG2_E_F32, n)
    low = fma(f, LOG2_E_F32, n - y)  # what y lacks
    low = low + fma(f, LOG2_E_LOW_F32, _log1p_less_f32(f, ZERO_F32) * LOG2_E_F32)
    return _log_outside_f32(x, y + low)


def log10_f32(x: Any) -> Any:
    n, f = _split_f32(x)
    low = fma(n, LOG10_2_LOW_F32, fma(f, LOG10_E_LOW_F32, _log1p_less_f32(f, ZERO_F32) * LOG10_E_F32))
    return _log_outside_f32(x, fma(n, LOG10_2_HIGH_F32, fma(f, LOG10_E_F32, low)))


FOUR_BITS_F32 = 0x40800000


def log1p_f32(x: Any) -> Any:
    e = to_i32((bits(x + ONE_F32) - TWO_THIRDS_BITS_F32) & EXPONENT_F32)
    # 1 + f = (1 + x) / 2**e, without the rounding of 1 + x.  Times 4, because 2**-128 is subnormal.
    m = float_of(to_i32(bits(x) - e))
    c = fma(float_of(to_i32(FOUR_BITS_F32 - e)), QUARTER_F32, -ONE_F32)
    f = m + c
    y = fma(to_f32(e), LN2_OF_BITS_F32, f + _log1p_less_f32(f, m - (f - c)))
    y = select(x < INF_F32, y, x)
    y = select(x > -ONE_F32, y, select(x == -ONE_F32, -INF_F32, NAN_F32))
    return select(x == ZERO_F32, x, y)


def _sin_of_quadrant_f32(a: Any, q: Any) -> Any:
    """sin(a + q pi/2) for a >= 0."""
    t = fma(a, TWO_BY_PI_F32, ROUND_F32)
    n = t - ROUND_F32
    h = fma(n, -PI_2_1_F32, a)  # exact
    w = n * PI_2_2_F32
    r = h - w
    low = fma(n, -PI_2_3_F32, ((h - r) - w) + fma(n, -PI_2_2_F32, w))  # what r lacks
    z = r * r
    p = fma(z, SIN7_F32, SIN5_F32)
    p = fma(p, z, SIN3_F32)
    sine = r + fma(r * z, p, low)
    p = fma(z, COS8_F32, COS6_F32)
    p = fma(p, z, COS4_F32)
    p = fma(p, z, -HALF_F32)
    cosine = fma(p, z, ONE_F32)
    k = bits(t) + q  # its low bits are the quadrant's
    y = select((k & 1) == 0, sine, cosine)
    return float_of(to_i32(bits(y) ^ ((k << 30) & SIGN_F32)))


def sin_f32(x: Any) -> Any:
    a = abs(x)
    y = _sin_of_quadrant_f32(a, 0)
    y = float_of(to_i32(bits(y) ^ (bits(x) & SIGN_F32)))
    return rare_sin(a > TRIG_LIMIT_F32, x, y)


def cos_f32(x: Any) -> Any:
    a = abs(x)
    return rare_cos(a > TRIG_LIMIT_F32, x, _sin_of_quadrant_f32(a, 1))


# erf(a)/a - 1 as a polynomial in a^2 for a <= 0.93, ln(erfc(a)) for 0.9 <= a <= 4; relative error of erf: 2^-29
ERF0_F32, ERF1_F32, ERF2_F32 = np.float32(0.12837917), np.float32(-0.3761263), np.float32(0.11283626)
ERF3_F32, ERF4_F32, ERF5_F32 = np.float32(-0.026855731), np.float32(0.005192405), np.float32(-0.00080497697)
ERF6_F32 = np.float32(7.99665e-05)
ERFC0_F32, ERFC1_F32, ERFC2_F32 = np.float32(-0.00016652759), np.float32(-1.1277969), np.float32(-0.6369767)
ERFC3_F32, ERFC4_F32, ERFC5_F32 = np.float32(-0.10411309), np.float32(0.022314912), np.float32(-0.0030654108)
ERFC6_F32 = np.float32(0.00019821122)
ERF_NEAR_0_F32, ERF_MAX_F32 = np.float32(0.93), np.float32(4)


def erf_f32(x: Any) -> Any:
    """A polynomial near 0; elsewhere 1 - e**(a polynomial), that is 1 - erfc(|x|)."""
    a = abs(x)
    z = a * a
    p = fma(z, ERF6_F32, ERF5_F32)
    p = fma(p, z, ERF4_F32)
    p = fma(p, z, ERF3_F32)
    p = fma(p, z, ERF2_F32)
    p = fma(p, z, ERF1_F32)
    p = fma(p, z, ERF0_F32)
    near = fma(a, p, a)
    a = select(a > ERF_MAX_F32, ERF_MAX_F32, a)
    y = fma(a, ERFC6_F32, ERFC5_F32)
    y = fma(y, a, ERFC4_F32)
    y = fma(y, a, ERFC3_F32)
    y = fma(y, a, ERFC2_F32)
    y = fma(y, a, ERFC1_F32)
    y = fma(y, a, ERFC0_F32)
    t = fma(y, LOG2E_F32, TANH_ROUND_F32)
    n = t - TANH_ROUND_F32
    r = fma(n, -LN2_LOW_F32, fma(n, -LN2_HIGH_F32, y))
    far = fma(float_of(to_i32(bits(t) << 23)), -(_exp_less_1_f32(r) + ONE_F32), ONE_F32)
    return copysign(select(a < ERF_NEAR_0_F32, near, far), x)


# -- float64: constants ----------------------------------------------------------------------------------------------

INF, NAN = float("inf"), float("nan")
TINY = 2.0**-1022
LOG2E = 1.4426950408889634
LN2, LN2_LOW = 0.6931471805599453, 2.3190468138462996e-17
LN2_HIGH, LN2_REST = 0.6931471803691238, 1.9082149292705877e-10  # n * HIGH is exact
ROUND = 1.5 * 2.0**52
# as EXP2_F32 …; relative error 2^-56
EXP2, EXP3, EXP4, EXP5 = 0.5000000000000011, 0.1666666666666641, 0.041666666666529725, 0.008333333333494987
EXP6, EXP7, EXP8 = 0.0013888888943760645, 0.00019841269505764956, 2.4801492948905326e-05
EXP9, EXP10, EXP11 = 2.755758680566036e-06, 2.7630306500300396e-07, 2.5000019288099746e-08
# (ln((1 + s)/(1 - s)) - 2 s) / s^3 as a polynomial in s^2, |s| <= (sqrt(2) - 1)/(sqrt(2) + 1); of the result: 2^-59
LOG3, LOG5, LOG7, LOG9 = 0.6666666666666734, 0.3999999999941653, 0.28571428742070754, 0.22222198599214235
LOG11, LOG13, LOG15 = 0.18183563219790927, 0.15314073949760704, 0.147957555367196
SQRT_HALF_BITS = 0x3FE6A09E667F3BCD
EXPONENT = -0x10000000000000
LN2_OF_BITS, LN2_LOW_OF_BITS = LN2 * 2.0**-20, LN2_LOW * 2.0**-20  # of the exponent's place in the upper 32 bits
# as SIN3_F32 …; relative error 2^-57
SIN3, SIN5, SIN7 = -0.16666666666666627, 0.008333333333321128, -0.000198412698287716
SIN9, SIN11, SIN13 = 2.7557313329896033e-06, -2.505070102368261e-08, 1.5893462655307546e-10
COS4, COS6, COS8 = 0.04166666666666659, -0.0013888888888872147, 2.4801587288254485e-05
COS10, COS12, COS14 = -2.755731399982353e-07, 2.087567564212848e-09, -1.1357195280516492e-11
TWO_BY_PI = 0.6366197723675814
PI_2_1, PI_2_2, PI_2_3 = 1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33
SIGN = -0x8000000000000000
TRIG_LIMIT = 2.0**30

# -- float64: kernels ------------------------------------------------------------------------------------------------


def _exp_less_1_f64(r: Any) -> Any:
    """e**r - 1 for |r| <= ln(2)/2."""
    p = fma(r, EXP11, EXP10)
    p = fma(p, r, EXP9)
    p = fma(p, r, EXP8)
    p = fma(p, r, EXP7)
    p = fma(p, r, EXP6)
    p = fma(p, r, EXP5)
    p = fma(p, r, EXP4)
    p = fma(p, r, EXP3)
    p = fma(p, r, EXP2)
    return fma(r * r, p, r)


EXP_MAX, EXP_MIN, EXP_ROUND = 710.0, -746.0, 1.5 * 2.0**52 + 2046


def exp_f64(x: Any) -> Any:
    x = select(x > EXP_MAX, EXP_MAX, x)
    x = select(x < EXP_MIN, EXP_MIN, x)
    t = fma(x, LOG2E, EXP_ROUND)
    n = t - EXP_ROUND
    r = fma(n, -LN2_REST, fma(n, -LN2_HIGH, x))
    p = _exp_less_1_f64(r) + 1.0
    k = bits(t)
    half = k >> 1
    return p * float_of(half << 52) * float_of((k - half) << 52)


EXPNEG_ROUND, EXPNEG_SCALE = 1.5 * 2.0**52 + 1023 + 511, 2.0**-511


def _exp_of_negative_f64(x: Any) -> Any:
    """e**x for x <= 0."""
    x = select(x < EXP_MIN, EXP_MIN, x)
    t = fma(x, LOG2E, EXPNEG_ROUND)
    n = t - EXPNEG_ROUND
    r = fma(n, -LN2_REST, fma(n, -LN2_HIGH, x))
    p = _exp_less_1_f64(r) + 1.0
    return p * float_of(bits(t) << 52) * EXPNEG_SCALE


# as EXPM1_2_F32 …; relative error 2^-57
EXPM1_2, EXPM1_3, EXPM1_4 = 0.5, 0.16666666666666669, 0.0416666666666676
EXPM1_5, EXPM1_6, EXPM1_7 = 0.008333333333332521, 0.001388888888858129, 0.00019841269842640988
EXPM1_8, EXPM1_9, EXPM1_10 = 2.4801587729984962e-05, 2.7557318260623134e-06, 2.7557030793496495e-07
EXPM1_11, EXPM1_12, EXPM1_13 = 2.505236722855695e-08, 2.0969656885533613e-09, 1.6060204225587433e-10
EXPM1_MIN, EXPM1_SAME, EXPM1_ROUND = -38.0, 2.0**-55, 1.5 * 2.0**52 + 1022


def expm1_f64(x: Any) -> Any:
    y = select(x > EXP_MAX, EXP_MAX, x)
    y = select(y < EXPM1_MIN, EXPM1_MIN, y)
    t = fma(y, LOG2E, EXPM1_ROUND)
    t = select(abs(x) < 0.5, EXPM1_ROUND, t)
    n = t - EXPM1_ROUND
    r = fma(n, -LN2_REST, fma(n, -LN2_HIGH, y))
    p = fma(r, EXPM1_13, EXPM1_12)
    p = fma(p, r, EXPM1_11)
    p = fma(p, r, EXPM1_10)
    p = fma(p, r, EXPM1_9)
    p = fma(p, r, EXPM1_8)
    p = fma(p, r, EXPM1_7)
    p = fma(p, r, EXPM1_6)
    p = fma(p, r, EXPM1_5)
    p = fma(p, r, EXPM1_4)
    p = fma(p, r, EXPM1_3)
    p = fma(p, r, EXPM1_2)
    half = float_of(bits(t) << 52)
    e = fma(half, fma(r * r, p, r), half - 0.5)
    return select(abs(x) < EXPM1_SAME, x, e + e)


TANH_MAX, TANH_ROUND = 20.0, 1.5 * 2.0**52 + 1023
# as TANH3_F32 …; relative error 2^-58
TANH3, TANH5, TANH7 = -0.333333333333333, 0.13333333333326622, -0.05396825396376087
TANH9, TANH11, TANH13 = 0.021869488385862473, -0.008863232601538873, 0.0035920920313175886
TANH15, TANH17, TANH19 = -0.0014555428508036552, 0.0005884445046325862, -0.00023338160674066523
TANH21, TANH23 = 8.331649990319787e-05, -1.9494716141641986e-05
TANH_NEAR_0 = 0.5495


def tanh_f64(x: Any) -> Any:
    """1 - 2 / (e**2a + 1), a = |x|, and a polynomial below 1/2, where the difference would lose digits."""
    a = abs(x)
    z = a * a
    p = fma(z, TANH23, TANH21)
    p = fma(p, z, TANH19)
    p = fma(p, z, TANH17)
    p = fma(p, z, TANH15)
    p = fma(p, z, TANH13)
    p = fma(p, z, TANH11)
    p = fma(p, z, TANH9)
    p = fma(p, z, TANH7)
    p = fma(p, z, TANH5)
    p = fma(p, z, TANH3)
    near = fma(a * z, p, a)
    b = select(a > TANH_MAX, TANH_MAX, a)
    b = b + b
    t = fma(b, LOG2E, TANH_ROUND)
    n = t - TANH_ROUND
    r = fma(n, -LN2_REST, fma(n, -LN2_HIGH, b))
    power = float_of(bits(t) << 52)
    far = 1.0 - 2.0 / fma(_exp_less_1_f64(r), power, power + 1.0)
    return copysign(select(a < TANH_NEAR_0, near, far), x)


def sigmoid_f64(x: Any) -> Any:
    z = _exp_of_negative_f64(-abs(x))
    return select(x < 0.0, z, 1.0) / (z + 1.0)


def _log1p_less_f64(f: Any, low: Any) -> Any:
    """ln(1 + f) - f + low for sqrt(1/2) <= 1 + f <= sqrt(2)."""
    s = f / (f + 2.0)
    z = s * s
    p = fma(z, LOG15, LOG13)
    p = fma(p, z, LOG11)
    p = fma(p, z, LOG9)
    p = fma(p, z, LOG7)
    p = fma(p, z, LOG5)
    p = fma(p, z, LOG3)
    half = f * f * 0.5
    return fma(s, fma(z, p, half), low) - half  # 2 s = f - s f, and the large part, f, is exact


SQRT2_LESS_1 = 0.41421356237309503


def softplus_f64(x: Any) -> Any:
    """ln(1 + e**x) = max(x, 0) + ln(1 + e**-|x|)."""
    z = _exp_of_negative_f64(-abs(x))
    large = z > SQRT2_LESS_1
    f = select(large, fma(z, 0.5, -0.5), z)
    y = f + _log1p_less_f64(f, 0.0)
    y = select(large, y + LN2, y)
    return select(x > 0.0, x, 0.0) + y


LOG_SCALE, LOG_SHIFT, LOG_NO_SHIFT = 2.0**54, np.int64(54 << 52), np.int64(0)
ONE_BIT = 2.0**-20
LOG2_E, LOG2_E_LOW = 1.4426950408889634, 2.0355273740931033e-17
LOG10_E, LOG10_E_LOW = 0.4342944819032518, 1.098319650216765e-17
LOG10_2_HIGH, LOG10_2_LOW = 0.301029995663157 * 2.0**-20, 8.241712586023572e-13 * 2.0**-20  # n * HIGH is exact


def _split_f64(x: Any) -> Any:
    """n 2**20 and f of x = 2**n (1 + f), sqrt(1/2) <= 1 + f < sqrt(2); x is positive and finite."""
    subnormal = x < TINY
    b = bits(select(subnormal, x * LOG_SCALE, x))
    e = (b - SQRT_HALF_BITS) & EXPONENT
    f = float_of(b - e) - 1.0
    return to_f64(to_i32((e - select(subnormal, LOG_SHIFT, LOG_NO_SHIFT)) >> 32)), f  # AVX2 converts from int32 only


def _log_outside_f64(x: Any, y: Any) -> Any:
    """A logarithm that is y, but for x that are not positive and finite."""
    y = select(x < INF, y, x)
    return select(x > 0.0, y, select(x == 0.0, -INF, NAN))


def log_f64(x: Any) -> Any:
    n, f = _split_f64(x)
    return _log_outside_f64(x, fma(n, LN2_OF_BITS, f + _log1p_less_f64(f, n * LN2_LOW_OF_BITS)))


def log2_f64(x: Any) -> Any:
    n, f = _split_f64(x)
    y = fma(f, LOG2_E, fma(f, LOG2_E_LOW, _log1p_less_f64(f, 0.0) * LOG2_E))
    return _log_outside_f64(x, fma(n, ONE_BIT, y))


def log10_f64(x: Any) -> Any:
    n, f = _split_f64(x)
    low = fma(n, LOG10_2_LOW, fma(f, LOG10_E_LOW, _log1p_less_f64(f, 0.0) * LOG10_E))
    return _log_outside_f64(x, fma(n, LOG10_2_HIGH, fma(f, LOG10_E, low)))


FOUR_BITS = 0x4010000000000000


def log1p_f64(x: Any) -> Any:
    e = (bits(x + 1.0) - SQRT_HALF_BITS) & EXPONENT
    m = float_of(bits(x) - e)
    c = fma(float_of(FOUR_BITS - e), 0.25, -1.0)
    f = m + c
    n = to_f64(to_i32(e >> 32))
    y = fma(n, LN2_OF_BITS, f + _log1p_less_f64(f, fma(n, LN2_LOW_OF_BITS, m - (f - c))))
    y = select(x < INF, y, x)
    y = select(x > -1.0, y, select(x == -1.0, -INF, NAN))
    return select(x == 0.0, x, y)


def _sin_of_quadrant_f64(a: Any, q: Any) -> Any:
    """sin(a + q pi/2) for a >= 0."""
    t = fma(a, TWO_BY_PI, ROUND)
    n = t - ROUND
    h = fma(n, -PI_2_1, a)
    w = n * PI_2_2
    r = h - w
    low = fma(n, -PI_2_3, ((h - r) - w) + fma(n, -PI_2_2, w))
    z = r * r
    p = fma(z, SIN13, SIN11)
    p = fma(p, z, SIN9)
    p = fma(p, z, SIN7)
    p = fma(p, z, SIN5)
    p = fma(p, z, SIN3)
    sine = r + fma(r * z, p, low)
    p = fma(z, COS14, COS12)
    p = fma(p, z, COS10)
    p = fma(p, z, COS8)
    p = fma(p, z, COS6)
    p = fma(p, z, COS4)
    p = fma(p, z, -0.5)
    cosine = fma(p, z, 1.0)
    k = bits(t) + q
    y = select((k & 1) == 0, sine, cosine)
    return float_of(bits(y) ^ ((k << 62) & SIGN))


def sin_f64(x: Any) -> Any:
    a = abs(x)
    y = _sin_of_quadrant_f64(a, 0)
    return rare_sin(a > TRIG_LIMIT, x, float_of(bits(y) ^ (bits(x) & SIGN)))


def cos_f64(x: Any) -> Any:
    a = abs(x)
    return rare_cos(a > TRIG_LIMIT, x, _sin_of_quadrant_f64(a, 1))


# as ERF0_F32 … for a <= 1 and for 0.98 <= a <= 6; relative error 2^-56
ERF0, ERF1, ERF2 = 0.1283791670955126, -0.376126389031841, 0.11283791670971101
ERF3, ERF4, ERF5 = -0.02686617064803234, 0.005223977652711319, -0.0008548328537286735
ERF6, ERF7, ERF8 = 0.00012055386262238815, -1.4926883456742403e-05, 1.648109603709459e-06
ERF9, ERF10, ERF11 = -1.655757642810737e-07, 1.6016574284190393e-08, -1.6478933949914545e-09
ERF12 = 1.436959851361619e-10
ERFC0, ERFC1, ERFC2 = -1.505444297190639e-07, -1.128377613767077, -0.6366271913978485
ERFC3, ERFC4, ERFC5 = -0.10275091614179818, 0.019085332702356444, 0.0002701330346800585
ERFC6, ERFC7, ERFC8 = -0.0017575965983285668, 0.000631373375484881, -3.816265626132464e-05
ERFC9, ERFC10, ERFC11 = -7.397281906997762e-05, 4.659675949396569e-05, -1.7051128338339166e-05
ERFC12, ERFC13, ERFC14 = 4.473369923968974e-06, -8.816641708774773e-07, 1.3074400125481409e-07
ERFC15, ERFC16, ERFC17 = -1.4227892701250589e-08, 1.075420086971535e-09, -5.05040137954563e-11
ERFC18 = 1.1102106210472184e-12
ERF_NEAR_0, ERF_MAX = 1.0, 6.0


def erf_f64(x: Any) -> Any:
    """A polynomial near 0; elsewhere 1 - e**(a polynomial), that is 1 - erfc(|x|)."""
    a = abs(x)
    z = a * a
    p = fma(z, ERF12, ERF11)
    p = fma(p, z, ERF10)
    p = fma(p, z, ERF9)
    p = fma(p, z, ERF8)
    p = fma(p, z, ERF7)
    p = fma(p, z, ERF6)
    p = fma(p, z, ERF5)
    p = fma(p, z, ERF4)
    p = fma(p, z, ERF3)
    p = fma(p, z, ERF2)
    p = fma(p, z, ERF1)
    p = fma(p, z, ERF0)
    near = fma(a, p, a)
    a = select(a > ERF_MAX, ERF_MAX, a)
    y = fma(a, ERFC18, ERFC17)
    y = fma(y, a, ERFC16)
    y = fma(y, a, ERFC15)
    y = fma(y, a, ERFC14)
    y = fma(y, a, ERFC13)
    y = fma(y, a, ERFC12)
    y = fma(y, a, ERFC11)
    y = fma(y, a, ERFC10)
    y = fma(y, a, ERFC9)
    y = fma(y, a, ERFC8)
    y = fma(y, a, ERFC7)
    y = fma(y, a, ERFC6)
    y = fma(y, a, ERFC5)
    y = fma(y, a, ERFC4)
    y = fma(y, a, ERFC3)
    y = fma(y, a, ERFC2)
    y = fma(y, a, ERFC1)
    y = fma(y, a, ERFC0)
    t = fma(y, LOG2E, TANH_ROUND)
    n = t - TANH_ROUND
    r = fma(n, -LN2_REST, fma(n, -LN2_HIGH, y))
    far = fma(float_of(bits(t) << 52), -(_exp_less_1_f64(r) + 1.0), 1.0)
    return copysign(select(a < ERF_NEAR_0, near, far), x)


# -- by the type of the argument -------------------------------------------------------------------------------------

KERNELS: dict[str, dict[str, Callable[[Any], Any]]] = {
    "exp": {"f32": exp_f32, "f64": exp_f64},
    "expm1": {"f32": expm1_f32, "f64": expm1_f64},
    "log": {"f32": log_f32, "f64": log_f64},
    "log1p": {"f32": log1p_f32, "f64": log1p_f64},
    "log2": {"f32": log2_f32, "f64": log2_f64},
    "log10": {"f32": log10_f32, "f64": log10_f64},
    "tanh": {"f32": tanh_f32, "f64": tanh_f64},
    "sigmoid": {"f32": sigmoid_f32, "f64": sigmoid_f64},
    "softplus": {"f32": softplus_f32, "f64": softplus_f64},
    "sin": {"f32": sin_f32, "f64": sin_f64},
    "cos": {"f32": cos_f32, "f64": cos_f64},
    "erf": {"f32": erf_f32, "f64": erf_f64},
}


def _by_type(name: str) -> Callable[[Any], Any]:
    kernels = KERNELS[name]

    def kernel(x: Any) -> Any:
        if x.type == "f16":
            return kernels["f32"](x.to("f32")).to("f16")
        return kernels[x.type](x)

    kernel.__name__ = kernel.__qualname__ = name
    return kernel


exp, expm1, log, log1p = _by_type("exp"), _by_type("expm1"), _by_type("log"), _by_type("log1p")
log2, log10 = _by_type("log2"), _by_type("log10")
tanh, sigmoid, softplus = _by_type("tanh"), _by_type("sigmoid"), _by_type("softplus")
sin, cos, erf = _by_type("sin"), _by_type("cos"), _by_type("erf")


# -- the C library's, for what has no kernel here --------------------------------------------------------------------

LIBM = {
    **dict.fromkeys(("tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh", "exp2", "cbrt"), 1),
    **dict.fromkeys(("erfc", "lgamma"), 1),
    **dict.fromkeys(("atan2", "pow", "fmod", "hypot"), 2),
}
"""Name and number of arguments of `double name(double, …)`; float32 is widened for the call and rounded after it."""


def _from_libm(name: str) -> Callable[..., Any]:
    def unary(x: Any) -> Any:
        return x.libm(name)

    def binary(x: Any, y: Any) -> Any:
        return x.libm(name, y)

    function: Callable[..., Any] = unary if LIBM[name] == 1 else binary
    function.__name__ = function.__qualname__ = name
    return function


tan, asin, acos, atan = _from_libm("tan"), _from_libm("asin"), _from_libm("acos"), _from_libm("atan")
sinh, cosh, asinh, acosh = _from_libm("sinh"), _from_libm("cosh"), _from_libm("asinh"), _from_libm("acosh")
atanh, exp2, cbrt, erfc = _from_libm("atanh"), _from_libm("exp2"), _from_libm("cbrt"), _from_libm("erfc")
lgamma, atan2, pow = _from_libm("lgamma"), _from_libm("atan2"), _from_libm("pow")
fmod, hypot = _from_libm("fmod"), _from_libm("hypot")
