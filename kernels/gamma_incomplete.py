"""The regularized incomplete gamma functions P(a, x) and Q(a, x) = 1 - P(a, x), each with its own digits where it is small.

Three ways, of which each number takes one: the power series of P (NIST Digital Library of Mathematical Functions, 8.11.4);
the continued fraction of Q (8.9.2) where x is beyond a + 1 and 1.5; and from a = 12 on, where x is between 0.4 a and 2 a, the
expansion that is uniform in both (8.12.3 to 8.12.9, after N. M. Temme), by e**(z^2) erfc(z) and polynomials in eta. Up to
x = 1.5 and for a < 1, where Q may be small, it is 8.7.1 with expm1. float32 is computed in float64, with fewer terms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from jitgrad.kernels.common import F64, horner
from jitgrad.kernels.error import ER64
from jitgrad.kernels.exponential import E64, exp, expm1
from jitgrad.kernels.gamma import G64
from jitgrad.kernels.logarithm import log1p_less_f64, log_f64
from jitgrad.kernels.primitives import fma, select, sqrt, to_f32, to_f64


class Incomplete(NamedTuple):
    terms: int  # of the power series, at x = a + 1 for a <= 12, or x = 0.4 a
    steps: int  # of the continued fraction, at x = 1.5
    small: int  # terms of Q's series, at x = 1.5
    first: tuple  # c_k(eta) of the uniform expansion for |eta| <= 0.8, of the largest k first; error 2^-55
    further: tuple  # the same for larger k


C64 = Incomplete(
    42,
    53,
    22,
    (
        (
            0.0,
            0.0,
            0.0,
            0.0,
            0.0,
            -1.750150886182104e-07,
            4.226279460833516e-07,
            -1.1103971752901478e-08,
            -2.341983188646907e-06,
            8.023485442496162e-06,
            -1.3578066290126689e-05,
            1.4082141225005442e-07,
            6.797548646165378e-05,
            -0.00019932560596890053,
            0.0002772754482360793,
            -6.972814017153475e-05,
            -0.0003367985544383824,
        ),
        (
            0.0,
            0.0,
            0.0,
            0.0,
            3.5598987480347804e-08,
            -2.8948876597684126e-08,
            -2.3517737906406318e-07,
            9.1370674218533e-07,
            -1.6927445436469665e-06,
            -8.506998218376435e-09,
            1.1375087550790953e-05,
            -3.968202393665169e-05,
            6.641505671952358e-05,
            -1.4639747972263037e-06,
            -0.0002990724836399226,
            0.0007840392246672215,
            -0.0008618882908916835,
        ),
        (
            0.0,
            0.0,
            0.0,
            -2.373647828386466e-09,
            -1.3914806073799172e-08,
            8.341852441650247e-08,
            -1.7431041051868752e-07,
            -1.3006720180748551e-09,
            1.425182769662707e-06,
            -5.674591243903709e-06,
            1.1082181825842727e-05,
            -2.3970382598062557e-07,
            -7.561796614900461e-05,
            0.0002677206355742262,
            -0.0004691894964208074,
            0.00022947209355341107,
            0.0006494341563918199,
        ),
        (
            0.0,
            0.0,
            -9.720744182001673e-10,
            6.041735443069571e-09,
            -1.454532026183934e-08,
            3.322671799907696e-11,
            1.4307275234300642e-07,
            -6.300288311921678e-07,
            1.372108844640145e-06,
            3.427155764085521e-08,
            -1.2760619753359362e-05,
            5.292344389299479e-05,
            -0.00010736653361922865,
            2.0093881556446074e-06,
            0.000771604938317371,
            -0.0026813271604988866,
            0.0041335978835976275,
        ),
        (
            0.0,
            4.023769996317708e-10,
            -1.1975189589561514e-09,
            4.4412528383023025e-12,
            1.213618131038522e-08,
            -5.754106219718826e-08,
            1.3776665490548453e-07,
            4.6531367854682764e-09,
            -1.612061710498127e-06,
            7.649159627661491e-06,
            -1.8098554882868398e-05,
            -4.0187742651039127e-07,
            0.0002057613172314812,
            -0.000990226337455929,
            0.0026455026454918285,
            -0.003472222222222113,
            -0.0018518518518517984,
        ),
        (
            -4.640889727191315e-11,
            4.404870376734498e-11,
            8.667295958476504e-10,
            -4.464238240843681e-09,
            1.0317214672736097e-08,
            6.7596857927863355e-09,
            -1.7669078301969088e-07,
            8.296524138813625e-07,
            -1.854052665956848e-06,
            -2.1854446516063525e-06,
            3.919263022133926e-05,
            -0.00017875514445769698,
            0.00035273368619183365,
            0.001157407407428564,
            -0.014814814814818583,
            0.08333333333333302,
            -0.3333333333333333,
        ),
    ),
    (
        (
            0.0,
            0.0,
            0.0,
            0.0,
            0.0,
            0.0,
            0.002831627340573697,
            -0.001504079094399158,
            -0.00420866099914294,
            0.006635508108829854,
            -0.004064747615210566,
        ),
        (
            0.0,
            0.0,
            0.0,
            0.0,
            0.0,
            0.0,
            -0.000532159469026733,
            0.001999986425632086,
            -0.0022097979830125445,
            0.0001896830811571302,
            0.0015867891457335647,
        ),
        (
            0.0,
            0.0,
            0.0,
            0.0,
            -9.189301246352725e-05,
            0.0004001610269548217,
            -0.0005454692785147068,
            1.2165503734160952e-05,
            0.0011146187188470049,
            -0.0019153857186776514,
            0.0013323021751534244,
        ),
        (
            0.0,
            0.0,
            0.0,
            5.6485509722669406e-05,
            -0.00010570668884070988,
            3.375359694398435e-06,
            0.000284948158172119,
            -0.0006408558725081607,
            0.0006773482431496181,
            -7.200808640565573e-05,
            -0.0005967447701656679,
        ),
        (
            0.0,
            0.0,
            -1.3446776319805594e-05,
            9.501003254705547e-06,
            4.789848311597319e-05,
            -0.00013232130541450165,
            0.0001660555888892154,
            9.134550488957071e-08,
            -0.00043826146760764684,
            0.0008394612885013754,
            -0.0006526244727062782,
        ),
        (
            0.0,
            1.1504373926639857e-06,
            3.84403357774943e-06,
            -1.906401761889516e-05,
            2.8872799622955053e-05,
            1.2160480213534645e-07,
            -0.00011002744423456413,
            0.0002812371650028967,
            -0.00033491056804043414,
            5.171912032960922e-05,
            0.00034436733795363463,
        ),
        (
            3.674371655461819e-07,
            -1.9375285877451066e-06,
            3.637634897489656e-06,
            -7.998205479960077e-08,
            -1.8393262775775113e-05,
            5.614058607691776e-05,
            -8.152884913704835e-05,
            7.874106282072886e-07,
            0.0002708775299883107,
            -0.000592166346437875,
            0.0005313079435054641,
        ),
    ),
)
C32 = Incomplete(24, 20, 16, C64.first[3:], C64.first[:3])
LARGE, SERIES_END, UNIFORM_END, SMALL_END = 12.0, 0.4, 2.0, 1.5
STIRLING = 3.25  # from here on gamma(a) is by Stirling's series
TWO_PI = 6.283185307179586


def _gamma_near(a: Any) -> Any:
    """ln gamma(2 + u) for u = a - 0, 1, 2 or 3 between -0.75 and 0.25; and gamma(2 + u) / gamma(1 + a), and that less 1."""
    low, mid, high = a < 0.25, a < 1.25, a < 2.25
    u = a - select(low, 0.0, select(mid, 1.0, select(high, 2.0, 3.0)))
    factor = select(low, a + 1.0, select(mid, 1.0, 1.0 / select(high, a, a * (a - 1.0))))
    return u * (u + 1.0) * horner(u, G64.lgamma), factor, select(low, a, factor - 1.0)


def _series(a: Any, x: Any, c: Any) -> Any:
    """The sum of x**k / ((a + 1) … (a + k)), as one fraction; numbers are divided by a + 1, lest they overflow."""
    r = 1.0 / (a + 1.0)
    w = x * r
    above, below, power = w + 1.0, r * 0.0 + 1.0, w
    for k in range(1, c.terms):
        m = fma(r, 1.0 * k, 1.0)
        power = power * w
        above, below = fma(above, m, power), below * m
    return above / below


def _fraction(a: Any, x: Any, c: Any) -> Any:
    """x + 1 - a - 1 (1 - a)/(x + 3 - a - 2 (2 - a)/(…)), divided by x; of what was cut off the leading terms are known."""
    r = 1.0 / x
    first, square = fma(1.0 - a, r, 1.0), r * r
    less = a * square
    n = 1.0 * c.steps
    above, below = fma(r, n + 0.25, sqrt(r * n)) + (0.5 - a * r * 0.5), r * 0.0 + 1.0
    for step in range(c.steps):
        k = 1.0 * (c.steps - step)
        above, below = fma(fma(r, 2.0 * k - 2.0, first), above, -(fma(square, k * k, less * -k) * below)), above
    return above / below


def _smaller(a: Any, eta: Any, exponent: Any, power: Any, c: Any) -> Any:
    """The smaller one of P and Q by the uniform expansion: e**-exponent, the `power`, times what varies slowly."""
    r = 1.0 / a
    total = horner(eta, c.further[0])
    for k in range(1, len(c.further)):
        total = fma(total, r, horner(eta, c.further[k]))
    for k in range(len(c.first)):
        total = fma(total, r, horner(eta, c.first[k]))
    z = sqrt(exponent)
    z = select(z > ER64.erfc_max, ER64.erfc_max, z)
    half = horner((z - ER64.erfc_middle) / (z + ER64.erfc_middle), ER64.erfc) / fma(z, 4.0, 2.0)
    part = total / sqrt(a * TWO_PI)
    return power * (half + select(eta < 0.0, -part, part))


def _upper_of_small(a: Any, x: Any, power: Any, factor: Any, lacks: Any, c: Any) -> Any:
    """Q for a < 1: 1 - x**a / gamma(1 + a) times 1 - a x / (a + 1) + …; x**a / gamma(1 + a) is e**power times the factor."""
    term, total = -x, x / (a + 1.0)
    for k in range(2, c.small):
        term = term * (x * (-1.0 / k))
        total = total - term / (a + 1.0 * k)
    g = fma(expm1(power, E64), factor, lacks)
    return fma(g + 1.0, a * total, -g)


def _logarithms(a: Any, x: Any) -> tuple[Any, Any]:
    """ln x, or ln(x / a) for large a; and x / a - 1 - ln(x / a) for large a."""
    mu, ratio = (x - a) / a, x / a
    log = log_f64(select(a < STIRLING, x, select(ratio < F64.tiny, F64.tiny, ratio)))
    slight = (mu > -0.29) & (mu < 0.41)
    return log, select(slight, -log1p_less_f64(select(slight, mu, 0.0), 0.0), mu - log)


def _stirling(a: Any) -> Any:
    """The logarithm of gamma(a), for large a, less its leading terms."""
    r = 1.0 / a
    return r * horner(r * r, G64.lgamma_far)


def _tails(a: Any, x: Any, c: Any) -> tuple[Any, Any]:
    """P and Q of numbers above 0 that are finite."""
    near, left, ratio = a < STIRLING, x < a, x / a
    log, phi = _logarithms(a, x)
    uniform = (a >= LARGE) & (ratio > SERIES_END) & (ratio < UNIFORM_END)
    beyond = (x > SMALL_END) & (x > a + 1.0)
    gamma, factor, lacks = _gamma_near(select(near, a, 1.0))
    rest, exponent = _stirling(a), a * phi
    power = exp(select(near, fma(a, log, -x) - gamma, -exponent - select(uniform, 0.0, rest)), E64)
    density = power * select(near, factor, 1.0 / sqrt(a * TWO_PI))  # x**a e**-x / gamma(a + 1)
    lower, upper = density * _series(a, x, c), density * (a / x) / _fraction(a, x, c)
    little = _upper_of_small(a, x, fma(a, log, -gamma), factor, lacks, c)
    eta = sqrt(phi + phi)
    smaller = _smaller(a, select(left, -eta, eta), exponent, power, c)
    larger = 1.0 - smaller
    p = select(uniform, select(left, smaller, larger), select(beyond, 1.0 - upper, lower))
    q = select(beyond, upper, select((a < 1.0) & (x <= SMALL_END), little, 1.0 - lower))
    return p, select(uniform, select(left, larger, smaller), q)


def _at_ends(a: Any, x: Any, y: Any, none: Any, all: Any) -> Any:
    """y, but `none` where x is 0 or a infinite, `all` the other way round, and nan where both are or one is negative."""
    y = select((x == 0.0) | (a == F64.inf), none, y)
    y = select((a == 0.0) | (x == F64.inf), all, y)
    return select((a >= 0.0) & (x >= 0.0) & (a + x > 0.0) & ((a < F64.inf) | (x < F64.inf)), y, F64.nan)


def _lower(a: Any, x: Any, c: Any) -> Any:
    return _at_ends(a, x, _tails(a, x, c)[0], 0.0, 1.0)


def _upper(a: Any, x: Any, c: Any) -> Any:
    return _at_ends(a, x, _tails(a, x, c)[1], 1.0, 0.0)


def _density(a: Any, x: Any) -> Any:
    """The derivative of P in x: x**(a - 1) e**-x / gamma(a)."""
    near, low = a < STIRLING, a < 1.0
    log, phi = _logarithms(a, x)
    gamma, factor, _ = _gamma_near(select(near, a, 1.0))
    power = exp(select(near, fma(select(low, a, a - 1.0), log, -x) - gamma, -(a * phi) - _stirling(a) - log), E64)
    y = power * select(near, factor * a, 1.0 / sqrt(a * TWO_PI))
    y = select(low, y / x, y)  # rather than a large exponent
    y = select((a < F64.inf) & (x < F64.inf), y, 0.0)
    y = select(x > 0.0, y, select(a == 1.0, 1.0, select(a < 1.0, F64.inf, 0.0)))
    return select((a >= 0.0) & (x >= 0.0), select(a == 0.0, 0.0, y), F64.nan)


def igamma_f32(a: Any, x: Any) -> Any:
    return to_f32(_lower(to_f64(a), to_f64(x), C32))


def igamma_f64(a: Any, x: Any) -> Any:
    return _lower(a, x, C64)


def igammac_f32(a: Any, x: Any) -> Any:
    return to_f32(_upper(to_f64(a), to_f64(x), C32))


def igammac_f64(a: Any, x: Any) -> Any:
    return _upper(a, x, C64)


def gamma_density_f32(a: Any, x: Any) -> Any:
    return to_f32(_density(to_f64(a), to_f64(x)))


def gamma_density_f64(a: Any, x: Any) -> Any:
    return _density(a, x)


KERNELS: dict[str, dict[str, Callable[..., Any]]] = {
    "igamma": {"f32": igamma_f32, "f64": igamma_f64},
    "igammac": {"f32": igammac_f32, "f64": igammac_f64},
    "gamma_density": {"f32": gamma_density_f32, "f64": gamma_density_f64},
}
