"""Error, gamma and Bessel functions."""

from __future__ import annotations

import math

from jitgrad.ops import special
from jitgrad.ops.arithmetic import POSITIVE, exp
from jitgrad.ops.choosing import abs, sign, where
from jitgrad.ops.table import Op, register, unary
from jitgrad.ops.trigonometric import INSIDE

erf = unary(
    "erf(x)",
    special.erf,
    d=lambda x: (2 / math.sqrt(math.pi)) * exp(-x * x),
    result="float",
    hot=True,
    aliases=("special.erf",),
    oracle="scipy.special.erf(x)",
)
erfc = unary(
    "erfc(x)",
    special.erfc,
    d=lambda x: (-2 / math.sqrt(math.pi)) * exp(-x * x),
    result="float",
    hot=True,
    aliases=("special.erfc",),
    oracle="scipy.special.erfc(x)",
)
erfinv = unary(
    "erfinv(x)",
    special.erfinv,
    d=lambda x: (math.sqrt(math.pi) / 2) * exp(erfinv(x) ** 2),  # not of the result, which may be changed in place
    domain=INSIDE,
    result="float",
    aliases=("special.erfinv",),
    oracle="scipy.special.erfinv(x)",
)
lgamma = unary(
    "lgamma(x)",
    special.lgamma,
    d=lambda x: digamma(x),
    domain=POSITIVE,
    result="float",
    hot=True,
    aliases=("special.gammaln",),
    oracle="scipy.special.gammaln(x)",
)
digamma = unary(
    "digamma(x)",
    special.digamma,
    d=lambda x: trigamma(x),
    domain=POSITIVE,
    result="float",
    aliases=("special.digamma", "special.psi"),
    oracle="scipy.special.psi(x)",
)
trigamma = unary(
    "trigamma(x)",
    lambda x: special.polygamma(x, 1),
    d=lambda x: polygamma(x, n=2),
    domain=(0.5, 4.0),
    result="float",
    label="polygamma",
    oracle="scipy.special.polygamma(1, x)",
)
polygamma = Op(
    special.polygamma,
    kind="elementwise",
    inputs=("x",),
    output="y",
    d=(lambda x, n: polygamma(x, n=n + 1),),
    result="float",
    domain=((0.5, 4.0),),
    method=False,
    samples=lambda: [{"n": 1}, {"n": 2}],
    oracle="scipy.special.polygamma(n, x)",
)
i0 = unary(
    "i0(x)",
    lambda x: special.bessel(x, 0),
    d=lambda x: i1(x),
    result="float",
    aliases=("special.i0", "special.modified_bessel_i0"),
    oracle="scipy.special.i0(x)",
)
i0e = unary(
    "i0e(x)",
    lambda x: special.bessel(x, 0, shrunk=True),
    d=lambda x: -sign(x) * i0e_less_i1e(x),
    result="float",
    aliases=("special.i0e",),
    oracle="scipy.special.i0e(x)",
)
i1 = unary(
    "i1(x)",
    lambda x: special.bessel(x, 1),
    d=lambda x: i0(x) - i1_over_x(x),
    result="float",
    aliases=("special.i1", "special.modified_bessel_i1"),
    oracle="scipy.special.i1(x)",
)
i1e = unary(
    "i1e(x)",
    lambda x: special.bessel(x, 1, shrunk=True),
    result="float",
    d=lambda x: i0e_less_i1e(x) - i1e_over_x(x),
    aliases=("special.i1e",),
    oracle="scipy.special.i1e(x)",
)
i1_over_x = unary(
    "i1_over_x(x)",
    lambda x: special.bessel(x, 1, over=True),
    d=lambda x: i2_over_x(x),
    result="float",
    internal=True,
    oracle="(iv(0, x) - iv(2, x)) / 2",
)
i2_over_x = unary(
    "i2_over_x(x)",
    lambda x: special.bessel(x, 2, over=True),
    result="float",
    internal=True,
    d=lambda x, y: where(x == 0, 0.125, i1_over_x(x) - 3 * (y / where(x == 0, 1, x))),
    oracle="(iv(1, x) - iv(3, x)) / 4",
)
i1e_over_x = unary(
    "i1e_over_x(x)",
    lambda x: special.bessel(x, 1, shrunk=True, over=True),
    result="float",
    internal=True,
    d=lambda x: sign(x) * i1e_over_x_slope(x),
    oracle="(ive(0, x) - ive(2, x)) / 2",
)
i1e_over_x_slope = unary(
    "i1e_over_x_slope(x)",
    special.bessel_over_slope,
    result="float",
    internal=True,
    d=lambda x, y: -sign(x) * (2 * y + 3 * (y + i1e_over_x(x)) / where(x == 0, 1, abs(x))),
    oracle="(ive(1, abs(x)) - ive(3, abs(x))) / 4 - (ive(0, x) - ive(2, x)) / 2",
)
i0e_less_i1e = unary(
    "i0e_less_i1e(x)",
    lambda x: special.bessel_less(x, slope=False),
    result="float",
    internal=True,
    d=lambda x: sign(x) * i0e_less_i1e_slope(x),
    oracle="ive(0, x) - ive(1, abs(x))",
)
"""i0e(a) - i1e(a) for a = |x|; the two are nearly equal where a is large."""
i0e_less_i1e_slope = unary(
    "i0e_less_i1e_slope(x)",
    lambda x: special.bessel_less(x, slope=True),
    result="float",
    internal=True,
    d=lambda x, y: sign(x) * (i1e_over_x_slope(x) - 2 * y),
    oracle="(ive(0, x) - ive(2, x)) / 2 - 2 * (ive(0, x) - ive(1, abs(x)))",
)


register(globals())
