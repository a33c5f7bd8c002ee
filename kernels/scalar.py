"""exp, log, tanh, sin … as branch-free arithmetic, written once for every way of compiling.

Each kernel takes and gives numbers of one type.  Traced with `jitgrad.sweeps.lanes.Lane` it becomes vector
instructions; under `@njit` (names and types from `jitgrad.kernels.launch`) the same source gives the same bits.
So: operators, `primitives`, no branch, typed constants, an `fma` wherever a contraction is meant, and the first
argument of a primitive is never a constant.  The families are modules of their own; here they come together.

Methods.  Range reductions by multiples of ln 2 and pi in two or three parts after W. J. Cody and W. Waite, "Software
Manual for the Elementary Functions" (1980), with fma; rounding to an integer by adding 1.5 * 2**p, which leaves the
integer in the low bits of the sum, and scaling by 2**k through the exponent bits: J.-M. Muller, "Elementary
Functions" (3rd ed., 2016), chapters 9 to 11.  Polynomials: our own minimax fits (`fit.py`).

All are right for ±0, subnormal numbers, infinities and NaN; sin, cos and tan of huge numbers (above 2**17 in float32,
2**30 in float64) and lgamma below -1/2 are the C library's.  Largest error seen, in units in the last place (float32:
every 211th number there is; float64: a million random ones, many near critical points, special functions a thousand
against mpmath; the functions of two numbers: a million pairs):

              exp   exp2  expm1   log  log1p  log2  log10  sinh  cosh  tanh  sigmoid softplus   sin   cos   tan
    float32  0.85   0.88   1.34  0.86   1.06  0.99   1.38  1.36  1.21  1.29     2.2     1.9    1.11  1.14  1.42
    float64  0.90   0.76   1.14  0.75   0.78  0.96   0.83  1.32  1.20  1.26     2.2     2.0    1.15  1.05  1.26

             asin   acos   atan  atan2  asinh  acosh  atanh  cbrt   pow  hypot   erf  erfc  erfinv
    float32  1.15   1.10   1.42   1.53   1.73   2.4    2.0   0.81  1.01   0.50  1.04   3.7     2.4
    float64  1.17   1.12   1.17   1.49   1.59   2.4    1.74  0.51  0.91   0.75  0.96   2.4     2.1

            lgamma digamma trigamma    i0   i0e    i1   i1e
    float32   2.9     2.6     2.8     3.8   3.4   3.5   3.1     for lgamma above -1/2, digamma and trigamma above 0;
    float64   2.1     2.2     2.1     2.6   2.8   2.5   2.8     digamma below 0: four of the larger of it and ln(3 + |x|)

erfcx and ndtri: 2.9 in float32, 3.2 in float64.  igamma and igammac: 0.6 in float32; in float64 a relative error of 3e-15 down
to 1e-4, of 1e-13 at 1e-100.  fmod, remainder, floor_divide and nextafter: NumPy's bits.  Derivatives: sigmoid_slope 3.6,
tanh_slope 2.2 (float32: 8), i1_over_x, i2_over_x and i1e_over_x 4.5; where terms cancel below 14, i1e_over_x_slope 20,
i0e_less_i1e 50 and its slope 340.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitgrad.kernels import (
    bessel,
    error,
    exact,
    exponential,
    gamma,
    gamma_incomplete,
    logarithm,
    normal,
    plain,
    power,
    random,
    trigonometric,
)
from jitgrad.kernels.primitives import NUMBERS, to_i64

FAMILIES = (exact, exponential, logarithm, trigonometric, power, error, normal, gamma, gamma_incomplete, bessel, random)
KERNELS: dict[str, dict[str, Callable[..., Any]]] = {
    name: kernels for family in FAMILIES for name, kernels in family.KERNELS.items()
}
"""By name and by the type of the arguments; what takes whole numbers takes those of 64 bits alone."""
LONG = frozenset({"igamma", "igammac"})
"""Those of hundreds of instructions, of which machine code has one copy."""


def _by_type(name: str) -> Callable[..., Any]:
    whole = KERNELS[name].get("i64")

    def kernel(*xs: Any) -> Any:
        if whole is not None:
            return whole(*map(to_i64, xs))
        if isinstance(xs[0], NUMBERS):
            type, xs = plain.typed(xs)
            return KERNELS[name][type](*xs)
        return KERNELS[name][xs[0].type](*xs)

    kernel.__name__ = kernel.__qualname__ = name
    kernel.__doc__ = f"`{name}` of a number, {'whole' if whole else 'float32 or float64'}: for `@njit` code, where it is inlined."
    return kernel


GENERIC: dict[str, Callable[..., Any]] = {name: _by_type(name) for name in KERNELS}
"""By name: the kernel for whichever type the arguments have."""
