"""The modified Bessel functions of the first kind i0 and i1, and i0e and i1e, which are e**-|x| times them; and what
their derivatives are made of: quotients by x, which have no digits to lose around 0, and the difference i0e - i1e.

A polynomial in (x/2)^2 near 0, which is the power series (DLMF 10.25.2) made short; elsewhere e**x / sqrt(x) times one
in 1/x, as the asymptotic expansion (DLMF 10.40.1) says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from jitgrad.kernels.common import both, horner, scaled, singles
from jitgrad.kernels.exponential import E32, E64, Exponential, exp_less_1, exp_of_negative, less_whole_ln2
from jitgrad.kernels.primitives import bits, copysign, fma, select, sqrt


class Bessel(NamedTuple):
    e: Exponential
    near: tuple  # I_n(a) / (a/2)^n in (a/2)^2 for a <= end; relative error 2^-27, 2^-56
    far: tuple  # I_n(a) e^-a sqrt(a) in 1/a for a >= end; relative error 2^-24, 2^-54
    end: Any
    infinite: Any  # from here on I_n is infinite


ZERO = (
    Bessel(
        E32,
        singles(
            1.4634233e-11,
            4.0082557e-10,
            4.2709e-08,
            1.8991624e-06,
            6.9601e-05,
            0.0017356413,
            0.027778525,
            0.24999946,
            1.0000001,
            1.0,
        ),
        singles(0.65696174, -0.0979094, 0.04293396, 0.027494961, 0.049875773, 0.39894226),
        *singles(7.75, 93),
    ),
    Bessel(
        E64,
        (
            1.994203507271375e-34,
            -6.616546037139178e-33,
            1.1990902644185787e-29,
            1.9298382868977123e-27,
            6.065591755631297e-25,
            1.3059460301088775e-22,
            2.5822677641716622e-20,
            4.357528726748855e-18,
            6.276250545787421e-16,
            7.594033179637571e-14,
            7.594061263301274e-12,
            6.151187090875522e-10,
            3.936759903358321e-08,
            1.9290123450781315e-06,
            6.944444444614568e-05,
            0.0017361111111080922,
            0.02777777777778081,
            0.24999999999999856,
            1.0000000000000002,
            1.0,
        ),
        (
            -2491910944.361474,
            1316919830.7559822,
            -312739066.1734132,
            44150170.566456854,
            -4123769.926786503,
            268465.81020783586,
            -12473.010158251767,
            420.80381738034,
            -9.37791306181756,
            0.3995513505475151,
            0.08860765936492906,
            0.044757397126541164,
            0.029219335726840413,
            0.028050629257714788,
            0.049867785050020846,
            0.3989422804014327,
        ),
        14.0,
        715.0,
    ),
)
ONE = (
    Bessel(
        E32,
        singles(
            1.3783036e-12,
            4.9731587e-11,
            5.20838e-09,
            2.7303915e-07,
            1.1587054e-05,
            0.00034718512,
            0.006944497,
            0.083333306,
            0.5,
            1.0,
        ),
        singles(-0.6001679, 0.05487315, -0.05095827, -0.04636899, -0.14960854, 0.3989423),
        *singles(7.75, 93),
    ),
    Bessel(
        E64,
        (
            9.340549922081204e-36,
            -8.477344421745661e-35,
            6.1588395653725675e-31,
            1.1932405999213697e-28,
            3.74572500988494e-26,
            8.731541865380637e-24,
            1.8434396363406102e-21,
            3.352265081234146e-19,
            5.230134193887851e-17,
            6.90367968676251e-15,
            7.594059516577537e-13,
            6.834652495579423e-11,
            4.920949866783454e-09,
            2.7557319221749737e-07,
            1.1574074074136005e-05,
            0.00034722222222211734,
            0.006944444444444539,
            0.0833333333333333,
            0.5,
            1.0,
        ),
        (
            -1611058716.1095788,
            881953245.4496222,
            -217606457.72206345,
            31888180.33203984,
            -3087355.170527657,
            207753.11544341382,
            -9983.71764487279,
            341.5317205122684,
            -9.313067580563434,
            -0.121239021066503,
            -0.11251451677697386,
            -0.057511846091121456,
            -0.04090723244943526,
            -0.04675104832480837,
            -0.14960335515069212,
            0.3989422804014327,
        ),
        14.0,
        715.0,
    ),
)

TWO = (
    Bessel(
        E32,
        singles(
            1.2837004e-13,
            4.7889527e-12,
            5.833172e-10,
            3.4067366e-08,
            1.6557941e-06,
            5.7861787e-05,
            0.001388906,
            0.020833317,
            0.16666667,
            0.5,
        ),
        singles(0.9465676, -0.043150116, 0.13801365, 0.32666785, -0.7480086, 0.39894226),
        *singles(7.75, 98),
    ),
    Bessel(
        E64,
        (
            3.806687300572614e-37,
            2.2468591971708586e-35,
            2.732883223911456e-32,
            7.215944721255316e-30,
            2.157539792883985e-27,
            5.482847695037194e-25,
            1.22789966193876e-22,
            2.3948049399938523e-20,
            4.0231022696436525e-18,
            5.753080367919074e-16,
            6.903688579159681e-14,
            6.834652686556656e-12,
            5.467722060091745e-10,
            3.444664903459168e-08,
            1.653439153421592e-06,
            5.7870370370412867e-05,
            0.0013888888888888295,
            0.020833333333333374,
            0.16666666666666666,
            0.5,
        ),
        (
            -2417306321.4460306,
            1277901541.9417126,
            -303417685.7269261,
            42826324.93939964,
            -3999698.813134299,
            260466.74262317733,
            -12100.77592251308,
            410.471580618172,
            -8.564442426330448,
            0.6166828205974451,
            0.20370497414661998,
            0.12657142819803086,
            0.1227214338284117,
            0.32725733955683567,
            -0.7480167757528435,
            0.3989422804014327,
        ),
        14.0,
        725.0,
    ),
)
LESS = (
    singles(17.013815, -3.479457, 0.61736864, 0.08145055, 0.070606865, 0.074797586, 0.19947115),
    (
        -8698085682.658825,
        4163408370.521973,
        -887073625.4892844,
        111857893.64141887,
        -9299359.121195422,
        538478.069769348,
        -22112.698402998958,
        680.5099733148976,
        -8.900304351244923,
        1.6963766410426575,
        0.4961317713675705,
        0.20135465362966867,
        0.10226785921354055,
        0.07012657285177361,
        0.07480167757516629,
        0.19947114020071635,
    ),
)
"""(I_0(a) - I_1(a)) e^-a a^(3/2) in 1/a for a >= end; relative error 2^-25, 2^-53."""
LESS_SLOPE = (
    singles(-103.80426, 14.14952, -2.258682, -0.43794692, -0.24503593, -0.18701744, -0.29920667),
    (
        146816823355.35522,
        -65778976396.468544,
        13034746831.439564,
        -1515886914.1738594,
        114943768.7176819,
        -5979675.604684441,
        215847.49271046402,
        -5682.24402175258,
        50.58127859569413,
        -12.177572394866687,
        -3.232803364130257,
        -1.1073758557392417,
        -0.4602057890109173,
        -0.24544300371959502,
        -0.18700419393943624,
        -0.2992067103010742,
    ),
)
"""The derivative of (I_0(a) - I_1(a)) e^-a, times a^(5/2); relative error 2^-22, 2^-49."""


def _near(a: Any, c: Any) -> Any:
    """I_n(a) / (a/2)^n for a < end, and 1/a for other a.

    What the rounding of (a/2)^2 lost is brought back by the derivative, roughly: the slope of ln I_n is nearly 2/(1 + a).
    """
    t = c.e.t
    half = a * t.half
    z = half * half
    r = t.one / select(a < c.end, half + t.half, a)
    y = horner(z, c.near)
    return fma(y, fma(half, half, -z) * r, y), r


def _plain(a: Any, first: Any, c: Any) -> Any:
    """I_n(a) for a >= 0; `first` is (a/2)^n."""
    e, t = c.e, c.e.t
    b = select(a > c.infinite, c.infinite, a)
    near, r = _near(b, c)
    s = fma(b, t.log2e, e.exp_round)
    p = exp_less_1(less_whole_ln2(b, s - e.exp_round, t), e) + t.one
    return select(a < c.end, near * first, scaled(p * (horner(r, c.far) / sqrt(b)), bits(s), t))


def _shrunk(a: Any, first: Any, c: Any) -> Any:
    """I_n(a) e^-a for a >= 0."""
    b = select(a > c.end, c.end, a)
    near, r = _near(a, c)
    return select(a < c.end, near * first * exp_of_negative(-b, c.e), horner(r, c.far) / sqrt(a))


def i0(x: Any, c: Any) -> Any:
    return _plain(abs(x), c.e.t.one, c)


def i0e(x: Any, c: Any) -> Any:
    return _shrunk(abs(x), c.e.t.one, c)


def i1(x: Any, c: Any) -> Any:
    a = abs(x)
    return copysign(_plain(a, a * c.e.t.half, c), x)


def i1e(x: Any, c: Any) -> Any:
    a = abs(x)
    return copysign(_shrunk(a, a * c.e.t.half, c), x)


def i1_over_x(x: Any, c: Any) -> Any:
    return _plain_over(abs(x), c.e.t.half, c)


def i2_over_x(x: Any, c: Any) -> Any:
    a = abs(x)
    return copysign(_plain_over(a, a * c.e.t.quarter, c), x)


def _plain_over(a: Any, first: Any, c: Any) -> Any:
    """I_n(a) / a for a >= 0; `first` is (a/2)^n / a."""
    e, t = c.e, c.e.t
    b = select(a > c.infinite, c.infinite, a)
    near, r = _near(b, c)
    s = fma(b, t.log2e, e.exp_round)
    p = exp_less_1(less_whole_ln2(b, s - e.exp_round, t), e) + t.one
    return select(a < c.end, near * first, scaled(p * (horner(r, c.far) / sqrt(b) * r), bits(s), t))


def i1e_over_x(x: Any, c: Any) -> Any:
    a = abs(x)
    b = select(a > c.end, c.end, a)
    near, r = _near(a, c)
    return select(a < c.end, near * c.e.t.half * exp_of_negative(-b, c.e), horner(r, c.far) / sqrt(a) * r)


class Orders(NamedTuple):
    """What the differences of functions of several orders take."""

    zero: Bessel
    one: Bessel
    two: Bessel
    less: tuple
    less_slope: tuple


def i1e_over_x_slope(x: Any, c: Any) -> Any:
    """(I_2(a) - I_1(a)) e^-a / a, which for large a is ((I_0 - I_1) e^-a - 2 I_1 e^-a / a) / a."""
    t, a = c.one.e.t, abs(x)
    b = select(a > c.one.end, c.one.end, a)
    one, r = _near(a, c.one)
    two, _ = _near(a, c.two)
    near = fma(two, b * t.quarter, -one * t.half) * exp_of_negative(-b, c.one.e)
    far = (horner(r, c.less) - t.two * horner(r, c.one.far)) / sqrt(a) * r * r
    return select(a < c.one.end, near, far)


def i0e_less_i1e(x: Any, c: Any) -> Any:
    t, a = c.one.e.t, abs(x)
    b = select(a > c.one.end, c.one.end, a)
    zero, r = _near(a, c.zero)
    one, _ = _near(a, c.one)
    near = fma(-one, b * t.half, zero) * exp_of_negative(-b, c.one.e)
    return select(a < c.one.end, near, horner(r, c.less) / sqrt(a) * r)


def i0e_less_i1e_slope(x: Any, c: Any) -> Any:
    """I_1(a) e^-a / a - 2 (I_0(a) - I_1(a)) e^-a."""
    t, a = c.one.e.t, abs(x)
    b = select(a > c.one.end, c.one.end, a)
    zero, r = _near(a, c.zero)
    one, _ = _near(a, c.one)
    near = (one * t.half - t.two * fma(-one, b * t.half, zero)) * exp_of_negative(-b, c.one.e)
    return select(a < c.one.end, near, horner(r, c.less_slope) / sqrt(a) * r * r)


ALL = (
    Orders(ZERO[0], ONE[0], TWO[0], LESS[0], LESS_SLOPE[0]),
    Orders(ZERO[1], ONE[1], TWO[1], LESS[1], LESS_SLOPE[1]),
)
ONE_OVER = (ONE[0]._replace(infinite=TWO[0].infinite), ONE[1]._replace(infinite=TWO[1].infinite))  # reached later than by I_1
KERNELS: dict[str, dict[str, Callable[..., Any]]] = {
    "i0": both(i0, ZERO),
    "i0e": both(i0e, ZERO),
    "i1": both(i1, ONE),
    "i1e": both(i1e, ONE),
    "i1_over_x": both(i1_over_x, ONE_OVER),
    "i2_over_x": both(i2_over_x, TWO),
    "i1e_over_x": both(i1e_over_x, ONE),
    **{f.__name__: both(f, ALL) for f in (i1e_over_x_slope, i0e_less_i1e, i0e_less_i1e_slope)},
}
