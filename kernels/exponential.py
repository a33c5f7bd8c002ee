"""exp and what is made of it: exp2, expm1, sinh, cosh, tanh, sigmoid."""

from __future__ import annotations

from typing import Any, NamedTuple

from jitgrad.kernels.common import F32, F64, Type, both, clamped, horner, power_of_two, scaled, singles
from jitgrad.kernels.primitives import bits, copysign, fma, select


class Exponential(NamedTuple):
    t: Type
    exp: tuple  # (e^r - 1 - r) / r^2 for |r| <= ln(2)/2; relative error of e^r: 2^-28, 2^-56
    exp_min: Any
    exp_max: Any
    exp_round: Any  # for `scaled`
    negative_round: Any
    negative_scale: Any
    one_round: Any  # for a single power of two
    unit_round: Any  # for one times `unit`
    unit: Any  # so small that unit * e**2a is finite where tanh' is 0
    exp2: tuple  # (2^r - 1) / r for |r| <= 1/2; relative error of 2^r: 2^-28, 2^-57
    exp2_min: Any
    exp2_max: Any
    expm1: tuple  # (e^r - 1 - r) / r^2 for |r| <= 1/2; relative error of e^r - 1: 2^-27, 2^-57
    expm1_min: Any
    expm1_same: Any
    half_round: Any
    sinh: tuple  # (sinh(r) - r) / r^3 as a polynomial in r^2 for |r| <= 1; relative error of sinh: 2^-34, 2^-63
    cosh: tuple  # (cosh(r) - 1 - r^2/2) / r^4, in r^2, for |r| <= ln(2)/2; relative error of cosh: 2^-33, 2^-57
    sinh_max: Any
    quarter_round: Any
    flat: Any  # n from which on 2**-n is nothing beside 2**n
    tanh: tuple  # (tanh(a) - a) / a^3, in a^2, for a < 0.55, tanh(a) = 1/2; relative error of tanh: 2^-29, 2^-58
    tanh_near_0: Any
    tanh_max: Any  # from here on the derivative is 0


E32 = Exponential(
    F32,
    singles(0.0013838004, 0.0083691655, 0.041668102, 0.16666517, 0.49999994),
    *singles(-104, 89, 1.5 * 2**23 + 254, 1.5 * 2**23 + 127 + 63, 2.0**-63, 1.5 * 2**23 + 127),
    *singles(1.5 * 2**23 + 127 - 26, 2.0**-26),
    singles(0.00013343222, 0.0013388005, 0.009625425, 0.055503663, 0.24022594, 0.6931472),
    *singles(-151, 129),
    singles(0.00020564845, 0.0014010919, 0.008331231, 0.041664943, 0.1666668, 0.50000006),
    *singles(-18, 2.0**-26, 1.5 * 2**23 + 126),
    singles(2.782207e-06, 0.00019842896, 0.0083333105, 0.16666667),
    singles(0.0013935438, 0.04166646),
    *singles(89.6, 1.5 * 2**23 + 125, 40),
    singles(-0.0062428494, 0.021050714, -0.053847548, 0.13332544, -0.33333316),
    *singles(0.5495, 53),
)
E64 = Exponential(
    F64,
    (
        2.5000019288099746e-08,
        2.7630306500300396e-07,
        2.755758680566036e-06,
        2.4801492948905326e-05,
        0.00019841269505764956,
        0.0013888888943760645,
        0.008333333333494987,
        0.041666666666529725,
        0.1666666666666641,
        0.5000000000000011,
    ),
    -746.0,
    710.0,
    1.5 * 2.0**52 + 2046,
    1.5 * 2.0**52 + 1023 + 511,
    2.0**-511,
    1.5 * 2.0**52 + 1023,
    1.5 * 2.0**52 + 1023 - 57,
    2.0**-57,
    (
        4.519680811354896e-10,
        7.075608153911184e-09,
        1.0177653958501835e-07,
        1.321542453034608e-06,
        1.5252734742199427e-05,
        0.00015403530478770602,
        0.001333355814556428,
        0.009618129107577119,
        0.05550410866482458,
        0.24022650695910172,
        0.6931471805599453,
    ),
    -1076.0,
    1025.0,
    (
        1.6060204225587433e-10,
        2.0969656885533613e-09,
        2.505236722855695e-08,
        2.7557030793496495e-07,
        2.7557318260623134e-06,
        2.4801587729984962e-05,
        0.00019841269842640988,
        0.001388888888858129,
        0.008333333333332521,
        0.0416666666666676,
        0.16666666666666669,
        0.5,
    ),
    -38.0,
    2.0**-55,
    1.5 * 2.0**52 + 1022,
    (
        7.776602494068875e-13,
        1.6056659096947145e-10,
        2.5052130999493805e-08,
        2.7557319106753153e-06,
        0.00019841269841593416,
        0.008333333333332912,
        0.16666666666666669,
    ),
    (2.7625516316438013e-07, 2.480150786724076e-05, 0.0013888888927431823, 0.04166666666660243),
    710.6,
    1.5 * 2.0**52 + 1021,
    100.0,
    (
        -1.9494716141641986e-05,
        8.331649990319787e-05,
        -0.00023338160674066523,
        0.0005884445046325862,
        -0.0014555428508036552,
        0.0035920920313175886,
        -0.008863232601538873,
        0.021869488385862473,
        -0.05396825396376087,
        0.13333333333326622,
        -0.333333333333333,
    ),
    0.5495,
    373.5,
)
EXPONENTIALS = (E32, E64)


def exp_less_1(r: Any, c: Any) -> Any:
    """e**r - 1 for |r| <= ln(2)/2."""
    return fma(r * r, horner(r, c.exp), r)


def exp_of_rest(r: Any, c: Any) -> Any:
    """e**r for |r| <= ln(2)/2, in one operation less than by way of e**r - 1."""
    return fma(fma(horner(r, c.exp), r, c.t.one), r, c.t.one)


def less_whole_ln2(x: Any, n: Any, t: Any) -> Any:
    """x - n ln 2."""
    return fma(n, -t.ln2_rest, fma(n, -t.ln2_high, x))


def exp(x: Any, c: Any) -> Any:
    x = clamped(x, c.exp_min, c.exp_max)
    s = fma(x, c.t.log2e, c.exp_round)
    r = less_whole_ln2(x, s - c.exp_round, c.t)
    return scaled(exp_of_rest(r, c), bits(s), c.t)


def exp_of_negative(x: Any, c: Any) -> Any:
    """e**x for x <= 0, where one power of two and a constant are enough."""
    x = select(x < c.exp_min, c.exp_min, x)
    s = fma(x, c.t.log2e, c.negative_round)
    r = less_whole_ln2(x, s - c.negative_round, c.t)
    return exp_of_rest(r, c) * power_of_two(x, bits(s), c.t) * c.negative_scale


def exp2(x: Any, c: Any) -> Any:
    x = clamped(x, c.exp2_min, c.exp2_max)
    s = x + c.exp_round
    r = x - (s - c.exp_round)
    return scaled(fma(r, horner(r, c.exp2), c.t.one), bits(s), c.t)


def expm1(x: Any, c: Any) -> Any:
    t, a = c.t, abs(x)
    y = clamped(x, c.expm1_min, c.exp_max)
    s = fma(y, t.log2e, c.half_round)
    s = select(a < t.half, c.half_round, s)  # n = 0 a bit further than needed: 2 e - 1 would lose a digit
    r = less_whole_ln2(y, s - c.half_round, t)
    half = power_of_two(x, bits(s), t)  # 2**(n - 1), as 2**128 does not exist
    e = fma(half, fma(r * r, horner(r, c.expm1), r), half - t.half)
    return select(a < c.expm1_same, x, e + e)  # the sign of 0, and subnormal numbers


def _addition(a: Any, s: Any, c: Any) -> Any:
    """For a = n ln 2 + r and s = n + c.quarter_round: sinh r, cosh r - 1, e^(n ln 2)/4 and e^(-n ln 2)/4."""
    t = c.t
    n = s - c.quarter_round
    r = less_whole_ln2(a, n, t)
    z = r * r
    few = select(n > c.flat, c.flat, n)
    up, down = power_of_two(a, bits(s), t), power_of_two(a, bits(c.quarter_round - few), t)
    return fma(r * z, horner(z, c.sinh), r), z * fma(z, horner(z, c.cosh), t.half), up, down


def sinh(x: Any, c: Any) -> Any:
    """By the addition theorem for |x| = n ln 2 + r; n = 0 up to 1, where the two terms would cancel."""
    a = abs(x)
    a = select(a > c.sinh_max, c.sinh_max, a)
    s = fma(a, c.t.log2e, c.quarter_round)
    s = select(a < c.t.one, c.quarter_round, s)
    sine, cosine_less_1, up, down = _addition(a, s, c)
    whole = up - down
    lost = (up - whole) - down
    y = whole + (fma(up + down, sine, whole * cosine_less_1) + lost)
    return select(a < c.expm1_same, x, copysign(y + y, x))


def cosh(x: Any, c: Any) -> Any:
    a = abs(x)
    a = select(a > c.sinh_max, c.sinh_max, a)
    s = fma(a, c.t.log2e, c.quarter_round)
    sine, cosine_less_1, up, down = _addition(a, s, c)
    y = up + (fma(up - down, sine, (up + down) * cosine_less_1) + down)
    return y + y


def _double_in_powers(x: Any, c: Any) -> Any:
    """b = 2 |x|, bounded, and n + c.unit_round for the n of b = n ln 2 + r."""
    a = abs(x)
    b = select(a > c.tanh_max, c.tanh_max, a)
    b = b + b
    return b, fma(b, c.t.log2e, c.unit_round)


def _lacks(x: Any, r: Any, s: Any, c: Any) -> Any:
    """What tanh(a) lacks to 1, 2 / (e**2a + 1), a = |x|."""
    power = power_of_two(x, bits(s), c.t)
    return (c.unit + c.unit) / fma(exp_less_1(r, c), power, power + c.unit)


def _tanh(x: Any, r: Any, s: Any, c: Any) -> Any:
    """A polynomial below 1/2, where the difference to 1 would lose digits."""
    a = abs(x)
    z = a * a
    near = fma(a * z, horner(z, c.tanh), a)
    far = c.t.one - _lacks(x, r, s, c)
    return copysign(select(a < c.tanh_near_0, near, far), x)


def _tanh_slope(x: Any, r: Any, s: Any, c: Any) -> Any:
    """1 - tanh^2 = q (2 - q) for what tanh lacks to 1; beside a tanh of the same x it costs an instruction or two."""
    q = _lacks(x, r, s, c)
    return q * (c.t.two - q)


def _rest_f32(x: Any) -> Any:
    b, s = _double_in_powers(x, E32)
    return fma(s - E32.unit_round, -F32.ln2, b), s  # what ln2 lacks would count only where tanh has become flat


def _rest_f64(x: Any) -> Any:
    b, s = _double_in_powers(x, E64)
    return less_whole_ln2(b, s - E64.unit_round, F64), s


def tanh_f32(x: Any) -> Any:
    r, s = _rest_f32(x)
    return _tanh(x, r, s, E32)


def tanh_f64(x: Any) -> Any:
    r, s = _rest_f64(x)
    return _tanh(x, r, s, E64)


def tanh_slope_f32(x: Any) -> Any:
    r, s = _rest_f32(x)
    return _tanh_slope(x, r, s, E32)


def tanh_slope_f64(x: Any) -> Any:
    r, s = _rest_f64(x)
    return _tanh_slope(x, r, s, E64)


def sigmoid(x: Any, c: Any) -> Any:
    z = exp_of_negative(-abs(x), c)
    return select(x < c.t.zero, z, c.t.one) / (z + c.t.one)


def sigmoid_slope(x: Any, c: Any) -> Any:
    """sigmoid(x) sigmoid(-x)."""
    z = exp_of_negative(-abs(x), c)
    u = z + c.t.one
    return z / (u * u)


KERNELS = {
    **{f.__name__: both(f, EXPONENTIALS) for f in (exp, exp2, expm1, sinh, cosh, sigmoid, sigmoid_slope)},
    "tanh": {"f32": tanh_f32, "f64": tanh_f64},
    "tanh_slope": {"f32": tanh_slope_f32, "f64": tanh_slope_f64},
}
