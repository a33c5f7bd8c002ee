"""lgamma, digamma and trigamma.

lgamma leaves arguments below -1/2 to the C library.  Asymptotic series: NIST Digital Library of Mathematical Functions,
5.11; recurrences and reflections: 5.5 and 5.15.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from jitgrad.kernels.common import F32, F64, Type, both, horner, singles
from jitgrad.kernels.logarithm import log_in_two_f32, log_in_two_f64, log_inside_f32, log_inside_f64
from jitgrad.kernels.primitives import copysign, fma, rare_lgamma, rint, select
from jitgrad.kernels.trigonometric import T32, T64


class Gamma(NamedTuple):
    t: Type
    lgamma: tuple  # lgamma(2 + u) / (u (1 + u)) for -0.75 <= u <= 0.25; relative error 2^-27, 2^-56
    lgamma_far: tuple  # x (lgamma(x) - its leading terms), in 1/x^2, for x >= 3.25; relative error of lgamma: 2^-29, 2^-56
    constant: Any  # (ln(2 pi) - 1) / 2
    digamma: tuple  # digamma(x) / (x - root) in x - root for 1 <= x <= 2.25; relative error 2^-25, 2^-54
    root: tuple  # of digamma, in two parts
    five_quarters: Any
    nine_quarters: Any
    far: Any
    digamma_far: tuple  # x^2 (digamma(x) - ln x + 1/(2x)), in 1/x^2, for x >= 3.25; relative error 2^-28, 2^-58
    pi: Any
    tan: tuple
    sin: tuple
    cos: tuple
    trigamma_far: tuple  # x^3 (trigamma(x) - 1/x - 1/(2 x^2)), in 1/x^2, for x >= 4; relative error 2^-30, 2^-54
    four: Any


G32 = Gamma(
    F32,
    singles(
        0.00052591343,
        0.0018419742,
        0.0009658254,
        0.0012241675,
        -0.0022144285,
        0.0049527963,
        -0.012383016,
        0.03296642,
        -0.10031729,
        0.42278433,
    ),
    singles(0.00070938613, -0.002774029, 0.08333329),
    *singles(0.4189385),
    singles(
        0.0052935653,
        -0.016632017,
        0.025882704,
        -0.03389278,
        0.048278365,
        -0.07200754,
        0.10784596,
        -0.16395646,
        0.2585004,
        -0.44276288,
        0.9676722,
    ),
    singles(1.4616321, 1.243815e-08),
    *singles(1.25, 2.25, 3.25),
    singles(-0.0033497203, 0.008301712, -0.08333286),
    *singles(3.1415927),
    T32.tan,
    T32.sin,
    T32.cos,
    singles(-0.025232349, 0.023466382, -0.033327725, 0.16666664),
    *singles(4),
)
G64 = Gamma(
    F64,
    (
        1.836852628440162e-06,
        7.83792664781609e-06,
        1.4566142036261944e-05,
        1.3376318509330906e-05,
        5.962238308335301e-06,
        -1.7804202858689674e-06,
        -1.0964215141290542e-07,
        -4.429193356876508e-06,
        8.333774317272062e-06,
        -1.7565565403978362e-05,
        3.817668656730018e-05,
        -8.310093458972713e-05,
        0.00018255155314466146,
        -0.00040570724106709293,
        0.0009153769665115094,
        -0.00210813083566256,
        0.004998641163934203,
        -0.012384192193366728,
        0.03296500062116063,
        -0.10031730167435392,
        0.42278433509846713,
    ),
    (
        -0.07677303021450345,
        0.053448416605707295,
        -0.01967249123975894,
        0.005844346153712366,
        -0.0018951737465640424,
        0.0008411708085313282,
        -0.0005952288034816802,
        0.0007936507105490353,
        -0.002777777777433936,
        0.08333333333333291,
    ),
    0.4189385332046727,
    (
        3.278242674387971e-05,
        -0.00014533480963639737,
        0.0002525899989580794,
        -0.00021687399121445274,
        0.0001469884930105997,
        -0.0002582064113604833,
        0.0005154909122633875,
        -0.0007788584396395107,
        0.001086353195737256,
        -0.0015672216741170887,
        0.002301663402207462,
        -0.003371105973813881,
        0.004927464085718955,
        -0.007204438005871064,
        0.010538715616956646,
        -0.015424769040926286,
        0.022597653225800925,
        -0.03316112650010601,
        0.0488042879769094,
        -0.07219956125218967,
        0.10782405069484853,
        -0.16394270544248926,
        0.25849976095562405,
        -0.44276316898359175,
        0.9676722454476212,
    ),
    (1.4616321449683622, 9.549995429965697e-17),
    1.25,
    2.25,
    3.25,
    (
        -5.033783027137349,
        3.626238358414468,
        -1.2989695234639538,
        0.3330858009246085,
        -0.07812618314651244,
        0.020916852996679055,
        -0.007571697911178437,
        0.0041666062784413375,
        -0.003968253438283066,
        0.008333333330992293,
        -0.08333333333332972,
    ),
    3.141592653589793,
    T64.tan,
    T64.sin,
    T64.cos,
    (
        -42.392463267462624,
        20.16314565492291,
        -5.16918914496508,
        1.091201448463739,
        -0.2511020549774008,
        0.0757226274647873,
        -0.03333296008626752,
        0.023809521589584413,
        -0.03333333332723493,
        0.16666666666666172,
    ),
    4.0,
)


def _lgamma_near(x: Any, c: Any) -> Any:
    """u = x - 0, 1, 2 or 3 between -0.75 and 0.25; and the number whose logarithm takes lgamma(2 + u) to lgamma(x)."""
    t = c.t
    low, mid, high = x < t.quarter, x < c.five_quarters, x < c.nine_quarters
    u = x - select(low, t.zero, select(mid, t.one, select(high, t.two, t.three)))
    return u, select(low, abs(fma(x, x, x)), select(mid, x, select(high, t.one, x - t.one)))


def _lgamma(x: Any, u: Any, far: Any, log: Any, low: Any, c: Any) -> Any:
    """From the logarithm, in two parts, of the number above, or of x if x is far."""
    t = c.t
    near = fma(u * (u + t.one), horner(u, c.lgamma), select(x < c.five_quarters, -log, log))
    r = t.one / x
    series = fma(r, horner(r * r, c.lgamma_far), c.constant)
    y = select(far, fma(x - t.half, (log - t.one) + low, series), near)
    return rare_lgamma(x < -t.half, x, select((x == t.zero) | (x == t.inf), t.inf, y))


def lgamma_f32(x: Any) -> Any:
    u, p = _lgamma_near(x, G32)
    far = x > G32.far
    log, low = log_in_two_f32(select(far, x, p))
    return _lgamma(x, u, far, log, low, G32)


def lgamma_f64(x: Any) -> Any:
    u, p = _lgamma_near(x, G64)
    far = x > G64.far
    log, low = log_in_two_f64(select(far, x, p))
    return _lgamma(x, u, far, log, low, G64)


def _right_half(x: Any, t: Any) -> Any:
    """x, or 1 - x if x is negative."""
    return select(x < t.zero, t.one - x, x)


def _from_whole(x: Any, t: Any) -> Any:
    """For reflections: x less the nearest whole number; NaN where that is 0."""
    r = x - rint(x)
    return select(r == t.zero, t.nan, r)


def _digamma(x: Any, log: Any, c: Any) -> Any:
    """By recurrence to 1 … 2.25, where there is a polynomial, or the asymptotic series; `log` is ln(|x| or 1 + |x|)."""
    t = c.t
    a = _right_half(x, t)
    low, high, far = a < t.one, a < c.nine_quarters, a > c.far
    z = a + select(low, t.one, select(high, t.zero, -t.one))
    above = select(low, -t.one, select(high, t.zero, t.one))
    below = select(low | far, a, z)
    q = above / below  # 1/a if a is far
    v = (z - c.root[0]) - c.root[1]
    w = q * q
    y = select(far, fma(w, horner(w, c.digamma_far), fma(q, -t.half, log)), fma(v, horner(v, c.digamma), q))
    y = select(a == t.inf, a, y)
    r = _from_whole(x, t)
    b = abs(r)
    large = b > t.quarter
    g = select(large, t.half - b, b) * c.pi
    tangent = fma(g * g * g, horner(g * g, c.tan), g)
    cotangent = copysign(select(large, tangent, t.one / tangent), r)
    return select(x < t.zero, fma(cotangent, -c.pi, y), y)


def digamma_f32(x: Any) -> Any:
    return _digamma(x, log_inside_f32(_right_half(x, F32)), G32)


def digamma_f64(x: Any) -> Any:
    return _digamma(x, log_inside_f64(_right_half(x, F64)), G64)


def trigamma(x: Any, c: Any) -> Any:
    """By recurrence to x >= 4, its terms 1/x^2 after the first as one fraction, and the asymptotic series."""
    t = c.t
    a = _right_half(x, t)
    first = t.one / a
    first = select(a < c.four, first * first, t.zero)
    z, above, below = select(a < c.four, a + t.one, a), t.zero, t.one
    for _ in range(3):
        near, square = z < c.four, z * z
        above = select(near, fma(square, above, below), above)
        below = select(near, square * below, below)
        z = select(near, z + t.one, z)
    r = t.one / z
    w = r * r
    y = fma(w, t.half, r) + fma(r * w, horner(w, c.trigamma_far), above / below) + first
    whole = rint(x)
    b = select(x == whole, t.zero, abs(x - whole))
    large = b > t.quarter
    g = select(large, t.half - b, b) * c.pi
    w = g * g
    sine = select(large, fma(horner(w, c.cos), w, t.one), fma(g * w, horner(w, c.sin), g))
    q = c.pi / sine
    return select(x < t.zero, q * q - y, y)


KERNELS: dict[str, dict[str, Callable[..., Any]]] = {
    "lgamma": {"f32": lgamma_f32, "f64": lgamma_f64},
    "digamma": {"f32": digamma_f32, "f64": digamma_f64},
    "trigamma": both(trigamma, (G32, G64)),
}
