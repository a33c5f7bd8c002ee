"""Integrals of gradients: SciPy's `quad` calls the machine code of a derivative, with no Python in between.

Two of them. The length of a curve is the integral of sqrt(1 + f'(x)²), and f' is compiled from f. And the period of a
pendulum is an integral over an angle in which the amplitude is a parameter: the derivative of the integrand in the amplitude,
integrated, says how much slower the pendulum of a clock gets as it swings wider. Run it:

    pip install jitgrad scipy
    python examples/quadrature.py [--quick] [--plot FILE]

It prints both beside their closed forms, and what one integral costs over the ways to call an integrand.

Sources: the period is 4 K(m) with m = sin²(amplitude / 2), times the root of length over gravity, and
dK/dm = (E - (1 - m) K) / (2 m (1 - m)) (Abramowitz and Stegun, 17.3 and Byrd and Friedman, 710.00); the arc of a catenary
cosh x from 0 to b is sinh b long.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from shared import options, picture, table

import jitgrad as jg

NUMBER = np.float64(1)


def speed(f: Callable) -> Any:
    """sqrt(1 + f'(x)²) as a native function."""
    return jg.jit(lambda x: jg.sqrt(1 + jg.grad(f)(x) ** 2)).compile(NUMBER)


def integrand(angle: Any, amplitude: Any) -> Any:
    """Of the period, from 0 to pi / 2."""
    return 4 / jg.sqrt(1 - (jg.sin(amplitude / 2) * jg.sin(angle)) ** 2)


def change(angle: float, amplitude: float) -> float:
    """Its derivative in the amplitude, by hand."""
    half, s = amplitude / 2, math.sin(angle) ** 2
    return 2 * math.sin(half) * math.cos(half) * s * (1 - math.sin(half) ** 2 * s) ** -1.5


native_change = numba.njit(change)


@numba.cfunc("double(intc, CPointer(double))")
def raw_change(n, x):
    """The same with the signature that SciPy wants."""
    return native_change(x[0], x[1])


def closed_form(amplitude: float) -> float:
    """The derivative of the period."""
    from scipy.special import ellipe, ellipk

    m = np.sin(amplitude / 2) ** 2
    return 4 * (ellipe(m) - (1 - m) * ellipk(m)) / (2 * m * (1 - m)) * np.sin(amplitude) / 2


def main(arguments: list[str] | None = None) -> tuple:
    """The example; returns the two integrals."""
    given = options(__doc__, arguments)
    from scipy import LowLevelCallable
    from scipy.integrate import quad

    length, error = quad(speed(jg.cosh).low_level_callable(), 0, 2)
    print(f"arc of the catenary: {length:.12f} +- {error:.0e}, off by {abs(length - np.sinh(2)):.0e}")

    gradient, amplitude = jg.grad(integrand, argnums=1), 2.0
    native, under_jit = gradient.compile(NUMBER, NUMBER), jg.jit(gradient)
    machine_code = native.low_level_callable()
    slower, error = quad(machine_code, 0, np.pi / 2, (amplitude,))
    print(f"d period / d amplitude: {slower:.12f} +- {error:.0e}, off by {abs(slower - closed_form(amplitude)):.0e}")

    def integral(f: Any) -> Callable[[], float]:
        return lambda: quad(f, 0, np.pi / 2, (amplitude,))[0]

    def difference() -> float:
        period = lambda a: quad(lambda angle: 4 / math.sqrt(1 - (math.sin(a / 2) * math.sin(angle)) ** 2), 0, np.pi / 2)[0]
        return (period(amplitude + 1e-5) - period(amplitude - 1e-5)) / 2e-5

    table(
        "one integral of the derivative",
        {
            "low_level_callable()": integral(machine_code),
            "derivative by hand, numba.cfunc": integral(LowLevelCallable(raw_change.ctypes)),
            "the same native function, called by Python": integral(lambda *x: native(*x).item()),
            "its .njit, called by Python": integral(native.njit),
            "jit, called by Python": integral(lambda *x: under_jit(*x).item()),
            "derivative by hand, Python": integral(change),
            "difference of two integrals, Python": difference,
        },
        7 if given.quick else 101,
    )
    if given.plot:
        amplitudes = np.linspace(0.05, 3, 100)
        with picture(given.plot) as axes:
            axes.plot(amplitudes, [quad(machine_code, 0, np.pi / 2, (a,))[0] for a in amplitudes])
            axes.set(xlabel="amplitude", ylabel="d period / d amplitude", yscale="log")
    return length, slower


if __name__ == "__main__":
    main()
