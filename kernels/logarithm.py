"""log and what is made of it: log1p, log2, log10, softplus, asinh, acosh, atanh.

The cores differ: in float32 a polynomial in f gives ln(1 + f), in float64 one in s = f/(2 + f).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.kernels.common import F32, F64, horner, singles
from jitgrad.kernels.exponential import E32, E64, exp_of_negative
from jitgrad.kernels.primitives import bits, copysign, float_of, fma, select, sqrt, to_f32, to_f64, to_i32

# (ln(1 + f) - f) / f^2 for |f| <= 1/3; relative error of ln(1 + f): 2^-27
LOG_F32 = singles(-0.12483311, 0.14062329, -0.12273508, 0.13989641, -0.16674446, 0.20011435, -0.2499992, 0.33333197, -0.5)
# (ln((1 + s)/(1 - s)) - 2 s) / s^3 as a polynomial in s^2, |s| <= (sqrt(2) - 1)/(sqrt(2) + 1); of the result: 2^-59
LOG_F64 = (
    0.147957555367196,
    0.15314073949760704,
    0.18183563219790927,
    0.22222198599214235,
    0.28571428742070754,
    0.3999999999941653,
    0.6666666666666734,
)
TWO_THIRDS_BITS_F32, EXPONENT_F32 = 0x3F2AAAAB, -0x800000  # the bits of the sign and the exponent
SQRT_HALF_BITS_F64, EXPONENT_F64 = 0x3FE6A09E667F3BCD, -0x10000000000000
LN2_OF_BITS_F32 = np.float32(0.6931472 * 2.0**-23)
LN2_OF_BITS_F64, LN2_LOW_OF_BITS_F64 = F64.ln2 * 2.0**-20, F64.ln2_low * 2.0**-20  # of the upper 32 bits
SCALE_F32, SHIFT_F32, NO_SHIFT_F32 = np.float32(2.0**23), np.int32(23 << 23), np.int32(0)
SCALE_F64, SHIFT_F64, NO_SHIFT_F64 = 2.0**54, np.int64(54 << 52), np.int64(0)


def log1p_less_f32(f: Any, low: Any) -> Any:
    """ln(1 + f) - f + low for |f| <= 1/3."""
    return fma(f * f, horner(f, LOG_F32), low)


def log1p_less_f64(f: Any, low: Any) -> Any:
    """ln(1 + f) - f + low for sqrt(1/2) <= 1 + f <= sqrt(2)."""
    s = f / (f + 2.0)
    z = s * s
    half = f * f * 0.5
    return fma(s, fma(z, horner(z, LOG_F64), half), low) - half  # 2 s = f - s f, and the large part, f, is exact


def split_f32(x: Any) -> Any:
    """n 2**23 and f of x = 2**n (1 + f), -1/3 <= f < 1/3; x is positive and finite."""
    subnormal = x < F32.tiny
    b = bits(select(subnormal, x * SCALE_F32, x))
    e = to_i32((b - TWO_THIRDS_BITS_F32) & EXPONENT_F32)
    f = float_of(to_i32(b - e)) - F32.one
    return to_f32(to_i32(e - select(subnormal, SHIFT_F32, NO_SHIFT_F32))), f


def split_f64(x: Any) -> Any:
    """n 2**20 and f of x = 2**n (1 + f), sqrt(1/2) <= 1 + f < sqrt(2); x is positive and finite."""
    subnormal = x < F64.tiny
    b = bits(select(subnormal, x * SCALE_F64, x))
    e = (b - SQRT_HALF_BITS_F64) & EXPONENT_F64
    f = float_of(b - e) - 1.0
    return to_f64(to_i32((e - select(subnormal, SHIFT_F64, NO_SHIFT_F64)) >> 32)), f  # AVX2 converts from int32 only


def log_outside(x: Any, y: Any, t: Any) -> Any:
    """A logarithm that is y, but for x that are not positive and finite."""
    y = select(x < t.inf, y, x)
    return select(x > t.zero, y, select(x == t.zero, -t.inf, t.nan))


def log_inside_f32(x: Any) -> Any:
    """ln x for x that are positive and finite."""
    n, f = split_f32(x)
    return fma(n, LN2_OF_BITS_F32, f + log1p_less_f32(f, F32.zero))


def log_inside_f64(x: Any) -> Any:
    n, f = split_f64(x)
    return fma(n, LN2_OF_BITS_F64, f + log1p_less_f64(f, n * LN2_LOW_OF_BITS_F64))


def log_in_two_f32(x: Any) -> Any:
    """ln x for x that are positive and finite, and what its last rounding lost."""
    n, f = split_f32(x)
    rest = f + log1p_less_f32(f, F32.zero)
    y = fma(n, LN2_OF_BITS_F32, rest)
    return y, fma(n, LN2_OF_BITS_F32, -y) + rest


def log_in_two_f64(x: Any) -> Any:
    n, f = split_f64(x)
    rest = f + log1p_less_f64(f, n * LN2_LOW_OF_BITS_F64)
    y = fma(n, LN2_OF_BITS_F64, rest)
    return y, fma(n, LN2_OF_BITS_F64, -y) + rest


def log_f32(x: Any) -> Any:
    return log_outside(x, log_inside_f32(x), F32)


def log_f64(x: Any) -> Any:
    return log_outside(x, log_inside_f64(x), F64)


ONE_BIT_F32, ONE_BIT_F64 = np.float32(2.0**-23), 2.0**-20
LOG2_E_F32, LOG2_E_LOW_F32 = np.float32(1.442695), np.float32(1.925963e-08)
LOG2_E_F64, LOG2_E_LOW_F64 = 1.4426950408889634, 2.0355273740931033e-17
LOG10_E_F32, LOG10_E_LOW_F32 = np.float32(0.4342945), np.float32(-1.010305e-08)
LOG10_E_F64, LOG10_E_LOW_F64 = 0.4342944819032518, 1.098319650216765e-17
# n * HIGH is exact
LOG10_2_HIGH_F32 = np.float32(0.301025390625 * 2.0**-23)
LOG10_2_LOW_F32 = np.float32(4.605039066518657e-06 * 2.0**-23)
LOG10_2_HIGH_F64, LOG10_2_LOW_F64 = 0.301029995663157 * 2.0**-20, 8.241712586023572e-13 * 2.0**-20


def log2_f32(x: Any) -> Any:
    n, f = split_f32(x)
    n = n * ONE_BIT_F32
    y = fma(f, LOG2_E_F32, n)
    low = fma(f, LOG2_E_F32, n - y)  # what y lacks
    low = low + fma(f, LOG2_E_LOW_F32, log1p_less_f32(f, F32.zero) * LOG2_E_F32)
    return log_outside(x, y + low, F32)


def log2_f64(x: Any) -> Any:
    n, f = split_f64(x)
    y = fma(f, LOG2_E_F64, fma(f, LOG2_E_LOW_F64, log1p_less_f64(f, 0.0) * LOG2_E_F64))
    return log_outside(x, fma(n, ONE_BIT_F64, y), F64)


def log10_f32(x: Any) -> Any:
    n, f = split_f32(x)
    low = fma(n, LOG10_2_LOW_F32, fma(f, LOG10_E_LOW_F32, log1p_less_f32(f, F32.zero) * LOG10_E_F32))
    return log_outside(x, fma(n, LOG10_2_HIGH_F32, fma(f, LOG10_E_F32, low)), F32)


def log10_f64(x: Any) -> Any:
    n, f = split_f64(x)
    low = fma(n, LOG10_2_LOW_F64, fma(f, LOG10_E_LOW_F64, log1p_less_f64(f, 0.0) * LOG10_E_F64))
    return log_outside(x, fma(n, LOG10_2_HIGH_F64, fma(f, LOG10_E_F64, low)), F64)


FOUR_BITS_F32, FOUR_BITS_F64 = 0x40800000, 0x4010000000000000
# bits - … rounded down to a power of two's, with the sign changed
UPPER_BITS_F32, UPPER_BITS_F64 = TWO_THIRDS_BITS_F32 + 0x7FFFFF, SQRT_HALF_BITS_F64 + 0xFFFFFFFFFFFFF


def log1p_f32(x: Any) -> Any:
    """ln(1 + x) = -n ln 2 + ln(1 + f), 1 + f = (1 + x) 2**n without the rounding of 1 + x.

    n is the negative of what `log` has, and c is subtracted, so that -0 stays -0.
    """
    e = to_i32((UPPER_BITS_F32 - bits(x + F32.one)) & EXPONENT_F32)
    m = float_of(to_i32(bits(x) + e))
    c = fma(float_of(to_i32(e + FOUR_BITS_F32)), -F32.quarter, F32.one)  # times 4, because 2**-128 is subnormal
    f = m - c
    y = fma(to_f32(e), -LN2_OF_BITS_F32, f + log1p_less_f32(f, m - (f + c)))
    return _log1p_outside(x, y, F32)


def log1p_f64(x: Any) -> Any:
    e = (UPPER_BITS_F64 - bits(x + 1.0)) & EXPONENT_F64
    m = float_of(bits(x) + e)
    c = fma(float_of(e + FOUR_BITS_F64), -0.25, 1.0)
    f = m - c
    n = to_f64(to_i32(e >> 32))
    y = fma(n, -LN2_OF_BITS_F64, f + log1p_less_f64(f, fma(n, -LN2_LOW_OF_BITS_F64, m - (f + c))))
    return _log1p_outside(x, y, F64)


def _log1p_outside(x: Any, y: Any, t: Any) -> Any:
    y = select(x < t.inf, y, x)
    return select(x > -t.one, y, select(x == -t.one, -t.inf, t.nan))


THIRD_F32, SQRT2_LESS_1_F64 = np.float32(1 / 3), 0.41421356237309503


def softplus_f32(x: Any) -> Any:
    """ln(1 + e**x) = max(x, 0) + ln(1 + e**-|x|)."""
    z = exp_of_negative(-abs(x), E32)
    large = z > THIRD_F32
    f = select(large, fma(z, F32.half, -F32.half), z)
    y = f + log1p_less_f32(f, F32.zero)
    y = select(large, y + F32.ln2, y)
    return select(x > F32.zero, x, F32.zero) + y


def softplus_f64(x: Any) -> Any:
    z = exp_of_negative(-abs(x), E64)
    large = z > SQRT2_LESS_1_F64
    f = select(large, fma(z, 0.5, -0.5), z)
    y = f + log1p_less_f64(f, 0.0)
    y = select(large, y + F64.ln2, y)
    return select(x > 0.0, x, 0.0) + y


LARGE_F32, LARGE_F64 = np.float32(2.0**40), 2.0**80  # 1 is nothing beside them


def asinh_f32(x: Any) -> Any:
    """ln(a + sqrt(a^2 + 1)) for a = |x|, as log1p(a + a^2 / (1 + sqrt(a^2 + 1)))."""
    a = abs(x)
    z = a * a
    y = log1p_f32(select(a < LARGE_F32, a + z / (sqrt(z + F32.one) + F32.one), a))
    return copysign(select(a < LARGE_F32, y, y + F32.ln2), x)


def asinh_f64(x: Any) -> Any:
    a = abs(x)
    z = a * a
    y = log1p_f64(select(a < LARGE_F64, a + z / (sqrt(z + 1.0) + 1.0), a))
    return copysign(select(a < LARGE_F64, y, y + F64.ln2), x)


def acosh_f32(x: Any) -> Any:
    """ln(x + sqrt(x^2 - 1)) as log1p(u + sqrt(2 u + u^2)), u = x - 1."""
    u = x - F32.one
    y = log1p_f32(select(x < LARGE_F32, u + sqrt(u * (u + F32.two)), x))
    return select(x < F32.one, F32.nan, select(x < LARGE_F32, y, y + F32.ln2))


def acosh_f64(x: Any) -> Any:
    u = x - 1.0
    y = log1p_f64(select(x < LARGE_F64, u + sqrt(u * (u + 2.0)), x))
    return select(x < 1.0, F64.nan, select(x < LARGE_F64, y, y + F64.ln2))


def atanh_f32(x: Any) -> Any:
    """ln((1 + a) / (1 - a)) / 2 for a = |x|, as log1p(2 a / (1 - a)) / 2."""
    a = abs(x)
    return copysign(log1p_f32((a + a) / (F32.one - a)) * F32.half, x)


def atanh_f64(x: Any) -> Any:
    a = abs(x)
    return copysign(log1p_f64((a + a) / (1.0 - a)) * 0.5, x)


KERNELS = {
    "log": {"f32": log_f32, "f64": log_f64},
    "log1p": {"f32": log1p_f32, "f64": log1p_f64},
    "log2": {"f32": log2_f32, "f64": log2_f64},
    "log10": {"f32": log10_f32, "f64": log10_f64},
    "softplus": {"f32": softplus_f32, "f64": softplus_f64},
    "asinh": {"f32": asinh_f32, "f64": asinh_f64},
    "acosh": {"f32": acosh_f32, "f64": acosh_f64},
    "atanh": {"f32": atanh_f32, "f64": atanh_f64},
}
