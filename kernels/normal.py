"""What the normal distribution needs beside erf and erfc: e**(x^2) erfc(x), and the quantile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from jitgrad.kernels.common import both, horner, singles
from jitgrad.kernels.error import ER32, ER64, I32, I64, Error, Inverse
from jitgrad.kernels.exponential import exp
from jitgrad.kernels.logarithm import log_f32, log_f64
from jitgrad.kernels.primitives import fma, select, sqrt


class Scaled(NamedTuple):
    error: Error
    far: tuple  # x erfcx(x) in 1/(2 x^2), from erfc_max on: the asymptotic series, DLMF 7.12.1


class Quantile(NamedTuple):
    inverse: Inverse
    tail: tuple  # erfinv(x) / x / r in (r - 6)/(r + 6), r = sqrt(w), beyond the others; relative error 2^-26, 2^-56
    tail_at: Any
    tail_from: Any
    zero: Any
    half: Any
    two: Any
    four: Any
    sqrt2: Any


S32 = Scaled(ER32, singles(59.239906, -8.462844, 1.6925688, -0.5641896, 0.5641896))
S64 = Scaled(
    ER64,
    (
        5864.750720978927,
        -533.1591564526298,
        59.23990627251442,
        -8.462843753216346,
        1.692568750643269,
        -0.5641895835477563,
        0.5641895835477563,
    ),
)
Q32 = Quantile(
    I32,
    singles(-0.11069352, 0.09282243, -0.033620294, -0.015245307, 0.05358259, -0.07725515, 0.06590565, 0.9766522),
    *singles(6, 16, 0, 0.5, 2, 4, 1.4142135),
)
Q64 = Quantile(
    I64,
    (
        -0.003119722325715531,
        0.018704865900494316,
        -0.05506734800748234,
        0.10724643525214198,
        -0.15851581508827556,
        0.19416043837390962,
        -0.20972599772284364,
        0.2076164444367464,
        -0.19133916042501198,
        0.1631860227431523,
        -0.12525818553279391,
        0.0801171179376933,
        -0.031807732869318275,
        -0.015040920395825708,
        0.05354346927373244,
        -0.07725402187173791,
        0.06590586288338623,
        0.9766521906577076,
    ),
    6.0,
    36.7,
    0.0,
    0.5,
    2.0,
    4.0,
    1.4142135623730951,
)


def erfcx(x: Any, c: Any) -> Any:
    """The polynomial that erfc is made of, and from where that is 0 the asymptotic series; 2 e**(x^2) - erfcx(-x) below 0.

    Around 0 it is e**(x^2) (1 - erf(x)), as erfc is.
    """
    e, t = c.error, c.error.e.t
    a = abs(x)
    square = a * a
    power = exp(square, e.e)
    power = select(power == t.inf, power, fma(power, fma(a, a, -square), power))
    y = horner((a - e.erfc_middle) / (a + e.erfc_middle), e.erfc) / fma(a, t.two, t.one)
    y = select(a < e.erfc_max, y, horner(t.half / square, c.far) / a)
    y = select(x < t.zero, t.two * power - y, y)
    return select(a < t.half, power * ((t.one - x) - x * horner(square, e.near)), y)


def _ndtri(x: Any, w: Any, root: Any, far: Any, c: Any) -> Any:
    """sqrt(2) erfinv(2 x - 1), by w = -ln(4 x (1 - x)), which loses no digits where x is small, and its square root.

    `far` is erfinv(2 x - 1) / (2 x - 1) between where erfinv's polynomial in the middle ends and the tail begins.
    """
    i = c.inverse
    y = select(w < i.middle_end, horner(root - i.middle_at, i.middle), far)
    y = select(w < i.near_end, horner(w - i.near_at, i.near), y)
    y = select(w < c.tail_from, y, root * horner((root - c.tail_at) / (root + c.tail_at), c.tail))
    odd = c.two * (x - c.half)
    return select((x > c.zero) & (x < i.one), c.sqrt2 * (odd * y), select((x == c.zero) | (x == i.one), i.inf * odd, i.nan))


def ndtri_f32(x: Any) -> Any:
    c = Q32
    w = -log_f32(c.four * (x * (c.inverse.one - x)))
    root = sqrt(w)
    return _ndtri(x, w, root, root, c)  # nothing lies between the middle and the tail


def ndtri_f64(x: Any) -> Any:
    c = Q64
    w = -log_f64(c.four * (x * (c.inverse.one - x)))
    root = sqrt(w)
    return _ndtri(x, w, root, horner(root - c.inverse.far_at, c.inverse.far), c)


KERNELS: dict[str, dict[str, Callable[..., Any]]] = {
    "erfcx": both(erfcx, (S32, S64)),
    "ndtri": {"f32": ndtri_f32, "f64": ndtri_f64},
}
