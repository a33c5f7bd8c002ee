"""The modified Bessel functions of the first kind i0 and i1, and i0e and i1e, which are e**-|x| times them.

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
            1.4634233e-11, 4.0082557e-10, 4.2709e-08, 1.8991624e-06, 6.9601e-05, 0.0017356413, 0.027778525,
            0.24999946, 1.0000001, 1.0
        ),
        singles(0.65696174, -0.0979094, 0.04293396, 0.027494961, 0.049875773, 0.39894226),
        *singles(7.75, 93),
    ),
    Bessel(
        E64,
        (1.994203507271375e-34, -6.616546037139178e-33, 1.1990902644185787e-29, 1.9298382868977123e-27,
         6.065591755631297e-25, 1.3059460301088775e-22, 2.5822677641716622e-20, 4.357528726748855e-18,
         6.276250545787421e-16, 7.594033179637571e-14, 7.594061263301274e-12, 6.151187090875522e-10,
         3.936759903358321e-08, 1.9290123450781315e-06, 6.944444444614568e-05, 0.0017361111111080922,
         0.02777777777778081, 0.24999999999999856, 1.0000000000000002, 1.0),
        (-2491910944.361474, 1316919830.7559822, -312739066.1734132, 44150170.566456854, -4123769.926786503,
         268465.81020783586, -12473.010158251767, 420.80381738034, -9.37791306181756, 0.3995513505475151,
         0.08860765936492906, 0.044757397126541164, 0.029219335726840413, 0.028050629257714788, 0.049867785050020846,
         0.3989422804014327),
        14.0, 715.0,
    ),
)  # fmt: skip
ONE = (
    Bessel(
        E32,
        singles(
            1.3783036e-12, 4.9731587e-11, 5.20838e-09, 2.7303915e-07, 1.1587054e-05, 0.00034718512, 0.006944497,
            0.083333306, 0.5, 1.0
        ),
        singles(-0.6001679, 0.05487315, -0.05095827, -0.04636899, -0.14960854, 0.3989423),
        *singles(7.75, 93),
    ),
    Bessel(
        E64,
        (9.340549922081204e-36, -8.477344421745661e-35, 6.1588395653725675e-31, 1.1932405999213697e-28,
         3.74572500988494e-26, 8.731541865380637e-24, 1.8434396363406102e-21, 3.352265081234146e-19,
         5.230134193887851e-17, 6.90367968676251e-15, 7.594059516577537e-13, 6.834652495579423e-11,
         4.920949866783454e-09, 2.7557319221749737e-07, 1.1574074074136005e-05, 0.00034722222222211734,
         0.006944444444444539, 0.0833333333333333, 0.5, 1.0),
        (-1611058716.1095788, 881953245.4496222, -217606457.72206345, 31888180.33203984, -3087355.170527657,
         207753.11544341382, -9983.71764487279, 341.5317205122684, -9.313067580563434, -0.121239021066503,
         -0.11251451677697386, -0.057511846091121456, -0.04090723244943526, -0.04675104832480837,
         -0.14960335515069212, 0.3989422804014327),
        14.0, 715.0,
    ),
)  # fmt: skip


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


KERNELS: dict[str, dict[str, Callable[..., Any]]] = {
    "i0": both(i0, ZERO), "i0e": both(i0e, ZERO), "i1": both(i1, ONE), "i1e": both(i1e, ONE),
}  # fmt: skip
