"""exp, log, tanh, sin … as branch-free arithmetic, written once for every way of compiling.

Each kernel takes and gives numbers of one type.  Traced with `jitgrad.sweeps.lanes.Lane` it becomes vector
instructions; under `@njit` (names and types from `jitgrad.kernels.launch`) the same source gives the same bits.
So: operators, `primitives`, no branch, typed constants, an `fma` wherever a contraction is meant, and the first
argument of a primitive is never a constant.  The families are modules of their own; here they come together.

Methods.  Range reductions by multiples of ln 2 and pi in two or three parts after W. J. Cody and W. Waite, "Software
Manual for the Elementary Functions" (1980), with fma; rounding to an integer by adding 1.5 * 2**p, which leaves the
integer in the low bits of the sum, and scaling by 2**k through the exponent bits: J.-M. Muller, "Elementary
Functions" (3rd ed., 2016), chapters 9 to 11.  Polynomials: our own minimax fits (`fit.py`).

BOUNDS
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitgrad.kernels import bessel, error, exponential, gamma, logarithm, power, trigonometric

FAMILIES = (exponential, logarithm, trigonometric, power, error, gamma, bessel)
KERNELS: dict[str, dict[str, Callable[..., Any]]] = {
    name: kernels for family in FAMILIES for name, kernels in family.KERNELS.items()
}
"""By name and by the type of the arguments."""


def _by_type(name: str) -> Callable[..., Any]:
    kernels = KERNELS[name]

    def unary(x: Any) -> Any:
        if x.type == "f16":
            return kernels["f32"](x.to("f32")).to("f16")
        return kernels[x.type](x)

    def binary(x: Any, y: Any) -> Any:
        if x.type == "f16":
            return kernels["f32"](x.to("f32"), y.to("f32")).to("f16")
        return kernels[x.type](x, y)

    kernel: Callable[..., Any] = binary if kernels["f32"].__code__.co_argcount == 2 else unary
    kernel.__name__ = kernel.__qualname__ = name
    return kernel


GENERIC: dict[str, Callable[..., Any]] = {name: _by_type(name) for name in KERNELS}
"""By name: the kernel for whichever type x has."""


def fmod(x: Any, y: Any) -> Any:
    """The C library's, lane by lane; float32 is widened for the call and rounded after it."""
    return x.libm("fmod", y)
