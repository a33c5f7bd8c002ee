"""Bessel functions beside I_0 and I_1, which `special_functions` has, and Airy's: DLMF 10 and 9."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jitgrad.ops.choosing import where
from jitgrad.ops.table import Op, register, unary
from jitgrad.ops.with_scipy import by_scipy, rare, special_function

_RIGHT = ((0.3, 4.0),)  # of 0, where these are infinite
_SLOPE = [(-1) ** k * 2 * k / math.factorial(2 * k + 1) for k in range(1, 12)]  # sin(x) / x differentiated, over x, in x^2


def _airy(place: int) -> Any:
    """Ai or its derivative; beyond 200, where SciPy's is nan at last, they are less than any float."""

    def run(x: Any) -> Any:
        found = special_function("airy", "special.airy_ai")(np.minimum(x, 200))[place]
        return np.asarray(found, dtype=x.dtype)[()]

    return run


def _bessel(name: str, of: str, **more: Any) -> Op:
    """A row of a function that SciPy calls `of`."""
    return rare(by_scipy(of, f"special.{name}"), oracle=f"scipy.special.{of}(x)", **more)


def _of_order(x: Any, n: int) -> Any:
    """J_n(x), by the best row that there is."""
    return (bessel_j0, bessel_j1)[n](x) if n < 2 else bessel_jn(x, n=n)


def _sine_over(x: Any) -> Any:
    x = np.asarray(x)
    value = np.where(x == 0, 1, np.sin(x) / x)
    return np.where(np.isinf(x), 0, value).astype(x.dtype)[()]


def _sine_over_slope(x: Any) -> Any:
    x = np.asarray(x)
    far = np.where(np.isinf(x), 0, (np.cos(x) - np.sin(x) / x) / x)
    near = x * np.polyval(_SLOPE[::-1], np.minimum(x * x, 4))
    return np.where(np.abs(x) < 1.5, near, far).astype(x.dtype)[()]


def _horner(x: str, coefficients: list[float]) -> str:
    """The polynomial with these coefficients, of the lowest power first, as text."""
    text = repr(coefficients[-1])
    for c in coefficients[-2::-1]:
        text = f"({text}) * {x} + {c!r}"
    return f"({text})"


airy_ai = rare(
    _airy(0),
    d=(lambda x: airy_ai_slope(x),),
    domain=((-3.0, 3.0),),
    doc="Airy's function Ai, elementwise",
    oracle="scipy.special.airy(x)[0]",
)
airy_ai_slope = rare(
    _airy(1), d=(lambda x: x * airy_ai(x),), domain=((-3.0, 3.0),), internal=True, oracle="scipy.special.airy(x)[1]"
)

bessel_j0 = _bessel(
    "bessel_j0", "j0", d=(lambda x: -bessel_j1(x),), domain=((-3.0, 3.0),), doc="Bessel's function of the first kind, order 0"
)
bessel_j1 = _bessel(
    "bessel_j1",
    "j1",
    d=(lambda x: 0.5 * (bessel_j0(x) - bessel_jn(x, n=2)),),
    domain=((-3.0, 3.0),),
    doc="Bessel's function of the first kind, order 1",
)
bessel_jn = rare(
    lambda x, n: np.asarray(special_function("jv", "special.bessel_j1")(n, x), dtype=x.dtype)[()],
    d=(lambda x, n: 0.5 * (_of_order(x, n - 1) - bessel_jn(x, n=n + 1)),),
    domain=((-3.0, 3.0),),
    samples=lambda: [{"n": 2}, {"n": 3}],
    internal=True,
    oracle="scipy.special.jv(n, x)",
)
bessel_y0 = _bessel(
    "bessel_y0", "y0", d=(lambda x: -bessel_y1(x),), domain=_RIGHT, doc="Bessel's function of the second kind, order 0"
)
bessel_y1 = _bessel(
    "bessel_y1",
    "y1",
    d=(lambda x, y: bessel_y0(x) - y / x,),
    domain=_RIGHT,
    doc="Bessel's function of the second kind, order 1",
)
modified_bessel_k0 = _bessel(
    "modified_bessel_k0",
    "k0",
    d=(lambda x: -modified_bessel_k1(x),),
    domain=_RIGHT,
    doc="The modified Bessel function of the second kind, order 0",
)
modified_bessel_k1 = _bessel(
    "modified_bessel_k1",
    "k1",
    d=(lambda x, y: -(modified_bessel_k0(x) + y / x),),
    domain=_RIGHT,
    doc="The modified Bessel function of the second kind, order 1",
)
scaled_modified_bessel_k0 = _bessel(
    "scaled_modified_bessel_k0",
    "k0e",
    d=(lambda x, y: y - scaled_modified_bessel_k1(x),),
    domain=_RIGHT,
    doc="exp(x) times the modified Bessel function of the second kind, order 0",
)
scaled_modified_bessel_k1 = _bessel(
    "scaled_modified_bessel_k1",
    "k1e",
    d=(lambda x, y: y - scaled_modified_bessel_k0(x) - y / x,),
    domain=_RIGHT,
    doc="exp(x) times the modified Bessel function of the second kind, order 1",
)

spherical_bessel_j0 = unary(
    "select(x - x != 0, 1 / abs(x), select(x == 0, 1, sin(x) / x))",
    _sine_over,
    d=lambda x: spherical_bessel_j0_slope(x),
    result="float",
    namespace="special",
    method=False,
    inplace=False,
    doc="The spherical Bessel function of order 0, sin(x) / x, elementwise",
    oracle="np.sinc(x / np.pi)",
)
spherical_bessel_j0_slope = unary(
    f"select(x - x != 0, 1 / x, select(abs(x) < 1.5, x * {_horner('(x * x)', _SLOPE)}, (cos(x) - sin(x) / x) / x))",
    _sine_over_slope,
    d=lambda x, y: where(x == 0, -1 / 3, -(spherical_bessel_j0(x) + 2 * (y / where(x == 0, 1, x)))),
    result="float",
    internal=True,
    oracle="-scipy.special.spherical_jn(1, x)",
)


register(globals())
