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

All are right for ±0, subnormal numbers, infinities and NaN.  Largest error against the exact value in units in the last
place (float32: every number; float64: millions of random ones, and near the critical points):

ULP_TABLE
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
# (e^r - 1 - r) / r^2 for |r| <= ln(2)/2; relative error of e^r - 1: 2^-26
EXP2_F32, EXP3_F32, EXP4_F32 = np.float32(0.49999997), np.float32(0.16666539), np.float32(0.04166775)
EXP5_F32, EXP6_F32 = np.float32(0.008367088), np.float32(0.0013837862)
# (ln(1 + f) - f) / f^2 for |f| <= 1/3; relative error of ln(1 + f): 2^-27
LOG2_F32, LOG3_F32, LOG4_F32 = np.float32(-0.5), np.float32(0.33333197), np.float32(-0.2499992)
LOG5_F32, LOG6_F32, LOG7_F32 = np.float32(0.20011435), np.float32(-0.16674446), np.float32(0.13989641)
LOG8_F32, LOG9_F32, LOG10_F32 = np.float32(-0.12273508), np.float32(0.14062329), np.float32(-0.12483311)
TWO_THIRDS_BITS_F32 = 0x3F2AAAAB
EXPONENT_F32 = -0x800000  # the bits of the sign and the exponent
LN2_OF_BITS_F32 = np.float32(0.6931472 * 2.0**-23)
# (sin(r) - r) / r^3 as a polynomial in r^2 for |r| <= pi/2; relative error of sin(r): 2^-27
SIN3_F32, SIN5_F32 = np.float32(-0.1666666), np.float32(0.0083330665)
SIN7_F32, SIN9_F32 = np.float32(-0.00019809435), np.float32(2.6051127e-06)
ONE_BY_PI_F32 = np.float32(0.31830987)
PI_1_F32, PI_2_F32, PI_3_F32 = np.float32(3.1415927), np.float32(-8.742278e-08), np.float32(-3.430249e-15)
SIGN_F32 = -0x80000000
TRIG_LIMIT_F32 = np.float32(2.0**17)

# -- float32: kernels ------------------------------------------------------------------------------------------------


def _expm1_near_0_f32(r: Any) -> Any:
    """e**r - 1 for |r| <= ln(2)/2."""
    p = fma(r, EXP6_F32, EXP5_F32)
    p = fma(p, r, EXP4_F32)
    p = fma(p, r, EXP3_F32)
    p = fma(p, r, EXP2_F32)
    return fma(r * r, p, r)


def _log1p_near_0_f32(f: Any, low: Any) -> Any:
    """ln(1 + f) + low for |f| <= 1/3."""
    p = fma(f, LOG10_F32, LOG9_F32)
    p = fma(p, f, LOG8_F32)
    p = fma(p, f, LOG7_F32)
    p = fma(p, f, LOG6_F32)
    p = fma(p, f, LOG5_F32)
    p = fma(p, f, LOG4_F32)
    p = fma(p, f, LOG3_F32)
    p = fma(p, f, LOG2_F32)
    return f + fma(f * f, p, low)


EXP_MAX_F32, EXP_MIN_F32 = np.float32(89), np.float32(-104)
EXP_ROUND_F32 = np.float32(1.5 * 2**23 + 254)


def exp_f32(x: Any) -> Any:
    x = select(x > EXP_MAX_F32, EXP_MAX_F32, x)  # in this form NaN stays
    x = select(x < EXP_MIN_F32, EXP_MIN_F32, x)
    t = fma(x, LOG2E_F32, EXP_ROUND_F32)
    n = t - EXP_ROUND_F32
    r = fma(n, -LN2_LOW_F32, fma(n, -LN2_HIGH_F32, x))
    p = _expm1_near_0_f32(r) + ONE_F32
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
    p = _expm1_near_0_f32(r) + ONE_F32
    return p * float_of(to_i32(bits(t) << 23)) * EXPNEG_SCALE_F32


EXPM1_MIN_F32, EXPM1_SAME_F32 = np.float32(-18), np.float32(2.0**-26)
EXPM1_ROUND_F32 = np.float32(1.5 * 2**23 + 126)


def expm1_f32(x: Any) -> Any:
    y = select(x > EXP_MAX_F32, EXP_MAX_F32, x)
    y = select(y < EXPM1_MIN_F32, EXPM1_MIN_F32, y)
    t = fma(y, LOG2E_F32, EXPM1_ROUND_F32)
    n = t - EXPM1_ROUND_F32
    r = fma(n, -LN2_LOW_F32, fma(n, -LN2_HIGH_F32, y))
    half = float_of(to_i32(bits(t) << 23))  # 2**(n - 1), as 2**128 does not exist
    e = fma(half, _expm1_near_0_f32(r), half - HALF_F32)
    return select(abs(x) < EXPM1_SAME_F32, x, e + e)  # the sign of 0, and subnormal numbers


TANH_MAX_F32, TANH_ROUND_F32 = np.float32(10), np.float32(1.5 * 2**23 + 127)
# (tanh(a) - a) / a^3 as a polynomial in a^2 for a <= ln(2)/4; relative error of tanh(a): 2^-32
TANH3_F32, TANH5_F32, TANH7_F32 = np.float32(-0.33333322), np.float32(0.13331142), np.float32(-0.052715298)
TANH_NEAR_0_F32 = np.float32(0.173)


def tanh_f32(x: Any) -> Any:
    """(e**2a - 1) / (e**2a + 1), a = |x|; a polynomial where that would round three times with full effect."""
    a = abs(x)
    z = a * a
    p = fma(z, TANH7_F32, TANH5_F32)
    p = fma(p, z, TANH3_F32)
    near = fma(a * z, p, a)
    b = select(a > TANH_MAX_F32, TANH_MAX_F32, a)
    b = b + b
    t = fma(b, LOG2E_F32, TANH_ROUND_F32)
    n = t - TANH_ROUND_F32
    r = fma(n, -LN2_LOW_F32, fma(n, -LN2_HIGH_F32, b))
    power = float_of(to_i32(bits(t) << 23))
    e = fma(power, _expm1_near_0_f32(r), power - ONE_F32)
    return copysign(select(a < TANH_NEAR_0_F32, near, e / (e + TWO_F32)), x)


def sigmoid_f32(x: Any) -> Any:
    z = _exp_of_negative_f32(-abs(x))
    return select(x < ZERO_F32, z, ONE_F32) / (z + ONE_F32)


THIRD_F32 = np.float32(1 / 3)


def softplus_f32(x: Any) -> Any:
    """ln(1 + e**x) = max(x, 0) + ln(1 + e**-|x|)."""
    z = _exp_of_negative_f32(-abs(x))
    large = z > THIRD_F32
    y = _log1p_near_0_f32(select(large, fma(z, HALF_F32, -HALF_F32), z), ZERO_F32)
    y = select(large, y + LN2_F32, y)
    return select(x > ZERO_F32, x, ZERO_F32) + y


LOG_SCALE_F32, LOG_SHIFT_F32, LOG_NO_SHIFT_F32 = np.float32(2.0**23), np.int32(23 << 23), np.int32(0)


def log_f32(x: Any) -> Any:
    subnormal = x < TINY_F32
    b = bits(select(subnormal, x * LOG_SCALE_F32, x))
    e = to_i32((b - TWO_THIRDS_BITS_F32) & EXPONENT_F32)  # x = m 2**(e / 2**23), 2/3 <= m < 4/3
    f = float_of(to_i32(b - e)) - ONE_F32
    e = to_i32(e - select(subnormal, LOG_SHIFT_F32, LOG_NO_SHIFT_F32))
    y = fma(to_f32(e), LN2_OF_BITS_F32, _log1p_near_0_f32(f, ZERO_F32))
    y = select(x < INF_F32, y, x)
    return select(x > ZERO_F32, y, select(x == ZERO_F32, -INF_F32, NAN_F32))


FOUR_BITS_F32 = 0x40800000


def log1p_f32(x: Any) -> Any:
    e = to_i32((bits(x + ONE_F32) - TWO_THIRDS_BITS_F32) & EXPONENT_F32)
    # 1 + f = (1 + x) / 2**e, without the rounding of 1 + x.  Times 4, because 2**-128 is subnormal.
    m = float_of(to_i32(bits(x) - e))
    c = fma(float_of(to_i32(FOUR_BITS_F32 - e)), QUARTER_F32, -ONE_F32)
    f = m + c
    y = fma(to_f32(e), LN2_OF_BITS_F32, _log1p_near_0_f32(f, m - (f - c)))
    y = select(x < INF_F32, y, x)
    y = select(x > -ONE_F32, y, select(x == -ONE_F32, -INF_F32, NAN_F32))
    return select(x == ZERO_F32, x, y)


def sin_f32(x: Any) -> Any:
    a = abs(x)
    t = fma(a, ONE_BY_PI_F32, ROUND_F32)
    n = t - ROUND_F32
    r = fma(n, -PI_3_F32, fma(n, -PI_2_F32, fma(n, -PI_1_F32, a)))  # the innermost is exact
    y = _sin_near_0_f32(r)
    y = float_of(to_i32(bits(y) ^ (bits(t) << 31) ^ (bits(x) & SIGN_F32)))
    return rare_sin(a > TRIG_LIMIT_F32, x, y)


def _sin_near_0_f32(r: Any) -> Any:
    """sin(r) for |r| <= pi/2."""
    z = r * r
    p = fma(z, SIN9_F32, SIN7_F32)
    p = fma(p, z, SIN5_F32)
    p = fma(p, z, SIN3_F32)
    y = fma(r * z, p, r)
    y = select(y > ONE_F32, ONE_F32, y)
    return select(y < -ONE_F32, -ONE_F32, y)


def cos_f32(x: Any) -> Any:
    """(-1)**n sin((n + 1/2) pi - |x|)."""
    a = abs(x)
    t = fma(a, ONE_BY_PI_F32, -HALF_F32) + ROUND_F32
    n = (t - ROUND_F32) + HALF_F32
    r = fma(n, PI_3_F32, fma(n, PI_2_F32, fma(n, PI_1_F32, -a)))
    y = _sin_near_0_f32(r)
    y = float_of(to_i32(bits(y) ^ (bits(t) << 31)))
    return rare_cos(a > TRIG_LIMIT_F32, x, y)


# -- float64: constants ----------------------------------------------------------------------------------------------

INF, NAN = float("inf"), float("nan")
TINY = 2.0**-1022
LOG2E = 1.4426950408889634
LN2, LN2_LOW = 0.6931471805599453, 2.3190468138462996e-17
LN2_HIGH, LN2_REST = 0.6931471803691238, 1.9082149292705877e-10  # n * HIGH is exact
ROUND = 1.5 * 2.0**52
# as EXP2_F32 …; relative error 2^-60
EXP2, EXP3, EXP4, EXP5 = 0.5, 0.16666666666666677, 0.04166666666666651, 0.008333333333321653
EXP6, EXP7, EXP8 = 0.0013888888888962544, 0.000198412698860751, 2.4801587172353167e-05
EXP9, EXP10 = 2.755724425291434e-06, 2.755740267558289e-07
EXP11, EXP12 = 2.5109024817372376e-08, 2.0875357454002375e-09
# (ln((1 + s)/(1 - s)) - 2 s) / s^3 as a polynomial in s^2, |s| <= (sqrt(2) - 1)/(sqrt(2) + 1); of the result: 2^-59
LOG3, LOG5, LOG7, LOG9 = 0.6666666666666734, 0.3999999999941653, 0.28571428742070754, 0.22222198599214235
LOG11, LOG13, LOG15 = 0.18183563219790927, 0.15314073949760704, 0.147957555367196
SQRT_HALF_BITS = 0x3FE6A09E667F3BCD
EXPONENT = -0x10000000000000
LN2_OF_BITS, LN2_LOW_OF_BITS = LN2 * 2.0**-20, LN2_LOW * 2.0**-20  # of the exponent's place in the upper 32 bits
# as SIN3_F32 …; relative error 2^-61
SIN3, SIN5, SIN7, SIN9 = -0.16666666666666666, 0.008333333333333203, -0.00019841269841210506, 2.755731921114916e-06
SIN11, SIN13 = -2.5052106860425295e-08, 1.6058938574914459e-10
SIN15, SIN17 = -7.642951639642611e-13, 2.720666136727943e-15
ONE_BY_PI = 0.3183098861837907
PI_1, PI_2, PI_3 = 3.141592653589793, 1.2246467991473532e-16, -2.9947698097183397e-33
SIGN = -0x8000000000000000
TRIG_LIMIT = 2.0**30

# -- float64: kernels ------------------------------------------------------------------------------------------------


def _expm1_near_0_f64(r: Any) -> Any:
    """e**r - 1 for |r| <= ln(2)/2."""
    p = fma(r, EXP12, EXP11)
    p = fma(p, r, EXP10)
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
    p = _expm1_near_0_f64(r) + 1.0
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
    p = _expm1_near_0_f64(r) + 1.0
    return p * float_of(bits(t) << 52) * EXPNEG_SCALE


EXPM1_MIN, EXPM1_SAME, EXPM1_ROUND = -38.0, 2.0**-55, 1.5 * 2.0**52 + 1022


def expm1_f64(x: Any) -> Any:
    y = select(x > EXP_MAX, EXP_MAX, x)
    y = select(y < EXPM1_MIN, EXPM1_MIN, y)
    t = fma(y, LOG2E, EXPM1_ROUND)
    n = t - EXPM1_ROUND
    r = fma(n, -LN2_REST, fma(n, -LN2_HIGH, y))
    half = float_of(bits(t) << 52)
    e = fma(half, _expm1_near_0_f64(r), half - 0.5)
    return select(abs(x) < EXPM1_SAME, x, e + e)


TANH_MAX, TANH_ROUND = 20.0, 1.5 * 2.0**52 + 1023
# as TANH3_F32 …; relative error 2^-57
TANH3, TANH5, TANH7 = -0.3333333333333247, 0.13333333332776207, -0.0539682527690233
TANH9, TANH11, TANH13 = 0.021869369750458875, -0.008857276610719922, 0.003444442096545277
TANH_NEAR_0 = 0.173


def tanh_f64(x: Any) -> Any:
    """(e**2a - 1) / (e**2a + 1), a = |x|; a polynomial where that would round three times with full effect."""
    a = abs(x)
    z = a * a
    p = fma(z, TANH13, TANH11)
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
    e = fma(power, _expm1_near_0_f64(r), power - 1.0)
    return copysign(select(a < TANH_NEAR_0, near, e / (e + 2.0)), x)


def sigmoid_f64(x: Any) -> Any:
    z = _exp_of_negative_f64(-abs(x))
    return select(x < 0.0, z, 1.0) / (z + 1.0)


def _log1p_near_0_f64(f: Any, low: Any) -> Any:
    """ln(1 + f) + low for sqrt(1/2) <= 1 + f <= sqrt(2)."""
    s = f / (f + 2.0)
    z = s * s
    p = fma(z, LOG15, LOG13)
    p = fma(p, z, LOG11)
    p = fma(p, z, LOG9)
    p = fma(p, z, LOG7)
    p = fma(p, z, LOG5)
    p = fma(p, z, LOG3)
    half = f * f * 0.5
    return f - (half - fma(s, fma(z, p, half), low))  # 2 s = f - s f, and the large part, f, is exact


SQRT2_LESS_1 = 0.41421356237309503


def softplus_f64(x: Any) -> Any:
    """ln(1 + e**x) = max(x, 0) + ln(1 + e**-|x|)."""
    z = _exp_of_negative_f64(-abs(x))
    large = z > SQRT2_LESS_1
    y = _log1p_near_0_f64(select(large, fma(z, 0.5, -0.5), z), 0.0)
    y = select(large, y + LN2, y)
    return select(x > 0.0, x, 0.0) + y


LOG_SCALE, LOG_SHIFT, LOG_NO_SHIFT = 2.0**54, np.int64(54 << 52), np.int64(0)


def log_f64(x: Any) -> Any:
    subnormal = x < TINY
    b = bits(select(subnormal, x * LOG_SCALE, x))
    e = (b - SQRT_HALF_BITS) & EXPONENT
    f = float_of(b - e) - 1.0
    n = to_f64(to_i32((e - select(subnormal, LOG_SHIFT, LOG_NO_SHIFT)) >> 32))  # AVX2 converts from int32 only
    y = fma(n, LN2_OF_BITS, _log1p_near_0_f64(f, n * LN2_LOW_OF_BITS))
    y = select(x < INF, y, x)
    return select(x > 0.0, y, select(x == 0.0, -INF, NAN))


FOUR_BITS = 0x4010000000000000


def log1p_f64(x: Any) -> Any:
    e = (bits(x + 1.0) - SQRT_HALF_BITS) & EXPONENT
    m = float_of(bits(x) - e)
    c = fma(float_of(FOUR_BITS - e), 0.25, -1.0)
    f = m + c
    n = to_f64(to_i32(e >> 32))
    y = fma(n, LN2_OF_BITS, _log1p_near_0_f64(f, fma(n, LN2_LOW_OF_BITS, m - (f - c))))
    y = select(x < INF, y, x)
    y = select(x > -1.0, y, select(x == -1.0, -INF, NAN))
    return select(x == 0.0, x, y)


def _sin_near_0_f64(r: Any) -> Any:
    """sin(r) for |r| <= pi/2."""
    z = r * r
    p = fma(z, SIN17, SIN15)
    p = fma(p, z, SIN13)
    p = fma(p, z, SIN11)
    p = fma(p, z, SIN9)
    p = fma(p, z, SIN7)
    p = fma(p, z, SIN5)
    p = fma(p, z, SIN3)
    y = fma(r * z, p, r)
    y = select(y > 1.0, 1.0, y)
    return select(y < -1.0, -1.0, y)


def sin_f64(x: Any) -> Any:
    a = abs(x)
    t = fma(a, ONE_BY_PI, ROUND)
    n = t - ROUND
    r = fma(n, -PI_3, fma(n, -PI_2, fma(n, -PI_1, a)))
    y = _sin_near_0_f64(r)
    y = float_of(bits(y) ^ (bits(t) << 63) ^ (bits(x) & SIGN))
    return rare_sin(a > TRIG_LIMIT, x, y)


def cos_f64(x: Any) -> Any:
    """(-1)**n sin((n + 1/2) pi - |x|)."""
    a = abs(x)
    t = fma(a, ONE_BY_PI, -0.5) + ROUND
    n = (t - ROUND) + 0.5
    r = fma(n, PI_3, fma(n, PI_2, fma(n, PI_1, -a)))
    y = _sin_near_0_f64(r)
    y = float_of(bits(y) ^ (bits(t) << 63))
    return rare_cos(a > TRIG_LIMIT, x, y)


# -- by the type of the argument -------------------------------------------------------------------------------------

KERNELS: dict[str, dict[str, Callable[[Any], Any]]] = {
    "exp": {"f32": exp_f32, "f64": exp_f64},
    "expm1": {"f32": expm1_f32, "f64": expm1_f64},
    "log": {"f32": log_f32, "f64": log_f64},
    "log1p": {"f32": log1p_f32, "f64": log1p_f64},
    "tanh": {"f32": tanh_f32, "f64": tanh_f64},
    "sigmoid": {"f32": sigmoid_f32, "f64": sigmoid_f64},
    "softplus": {"f32": softplus_f32, "f64": softplus_f64},
    "sin": {"f32": sin_f32, "f64": sin_f64},
    "cos": {"f32": cos_f32, "f64": cos_f64},
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
tanh, sigmoid, softplus = _by_type("tanh"), _by_type("sigmoid"), _by_type("softplus")
sin, cos = _by_type("sin"), _by_type("cos")
