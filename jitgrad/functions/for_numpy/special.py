"""Ufuncs of `scipy.special`, by their names: which rows they are. SciPy is not imported for that."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.functions import elementwise
from jitgrad.functions.for_numpy.naming import ROW, cast, named, same_dtype, tensor_of
from jitgrad.ops import TABLE
from jitgrad.record.apply import apply
from jitgrad.record.trace import comes_later
from jitgrad.tensors.tensor import Tensor

_ROWS = {
    **{name: name for name in ("erf", "erfc", "erfcx", "erfinv", "i0", "i0e", "i1", "i1e", "entr", "ndtr", "ndtri", "log_ndtr")},
    **{
        name: name
        for name in ("zeta", "xlogy", "xlog1py", "exp2", "expm1", "log1p", "cbrt", "gamma", "rgamma", "beta", "betaln", "betainc")
    },
    **{f"{kind}{order}": f"bessel_{kind}{order}" for kind in "jy" for order in (0, 1)},
    **{f"k{order}": f"modified_bessel_k{order}" for order in (0, 1)},
    **{f"k{order}e": f"scaled_modified_bessel_k{order}" for order in (0, 1)},
    **{name: f"bessel_{name}" for name in ("jv", "yv", "iv", "kv", "ive", "kve")},
    "expit": "sigmoid",
    "psi": "digamma",
    "gammainc": "igamma",
    "gammaincc": "igammac",
}
"""The rows that have the same meaning, and the same operands in the same order."""

_POLYNOMIALS = ("chebyt", "chebyu", "sh_chebyt", "sh_chebyu", "laguerre", "legendre")
"""Those of a degree that comes first, which may be a fraction."""

_OF_INTEGERS = ("hermite", "hermitenorm")
"""Those of a degree that is an integer."""


_OF_DOUBLES = frozenset({"xlogy", "xlog1py", "beta", "betaln", "gammainc", "gammaincc"})
"""Those whose first loop is one of float64, and so what SciPy chooses for a number beside an array."""


def _offer(name: str, call: Callable) -> None:
    weak = name not in _OF_DOUBLES
    named(f"special.{name}")(lambda *operands: call(*same_dtype(*operands, floats=True, weak=weak)))


for _name, _row in _ROWS.items():
    _offer(_name, ROW[_row])


def _polynomial(name: str) -> None:
    @named(f"special.{name}")
    def polynomial(n: Any, x: Any) -> Any:
        degree, at = tensor_of(n, x), tensor_of(x, n)
        whole = not degree.dtype.has_gradient
        if degree.dtype.is_complex or at.dtype.is_complex:
            return NotImplemented
        if not whole and name.removeprefix("eval_") in _OF_INTEGERS:
            raise TypeError(f"scipy.special.{name}: the degree must be an integer, not {degree.dtype.name}: convert with .long()")
        operands = same_dtype(n, cast(at, np.float64) if whole else x, floats=True, weak=True)
        return apply(TABLE[name], operands, {"whole": whole})


for _name in (*_POLYNOMIALS, *_OF_INTEGERS):
    _polynomial(f"eval_{_name}")


def _parts_of_turn(x: Tensor) -> tuple[Tensor, Tensor]:
    """Degrees as a number of quarters of a turn and what is left, at most 45 degrees of it, in radians. Both are exact before
    the last product, which is why what is left is not taken of radians."""
    rest = ROW["fmod"](x, 360.0)
    quarters = ROW["round"](rest.detach() / 90)
    return quarters % 4, (rest - 90 * quarters) * (math.pi / 180)


def _sine_of_degrees(x: Tensor, turned: int) -> Tensor:
    """The sine, or turned by a quarter the cosine; 0 beyond what SciPy takes to have digits."""
    quarters, angle = _parts_of_turn(ROW["where"](abs(x) > _MOST_DEGREES, 270.0 * turned, x))
    quarters = (quarters + turned) % 4
    found = ROW["where"](quarters % 2 == 0, ROW["sin"](angle), ROW["cos"](angle))
    return ROW["where"](quarters >= 2, -found, found)


def _tangent_of_degrees(x: Tensor) -> Tensor:
    quarters, angle = _parts_of_turn(ROW["where"](abs(x) > _MOST_DEGREES, 0.0, x))
    tangent, upright = ROW["tan"](angle), quarters % 2 == 1
    about = dtypes.finfo(x.dtype)
    least = ROW["copysign"](x.detach() * 0 + about.tiny * about.eps, x.detach())  # beside the pole, on SciPy's side of it
    return ROW["where"](upright, -1 / ROW["where"](upright, ROW["where"](tangent == 0, tangent - least, tangent), 1.0), tangent)


_MOST_DEGREES = 1e14


def _signs(x: Tensor) -> Tensor:
    """The sign of gamma: it changes at each pole."""
    below = ROW["where"](ROW["floor"](x) == x, math.nan, 1 - 2 * (ROW["floor"](x) % 2))
    return ROW["where"](x > 0, 1.0, ROW["where"](x == 0, ROW["copysign"](x * 0 + 1, x), below))


def _rel_entr(x: Tensor, y: Tensor) -> Tensor:
    outside = ROW["where"]((x == 0) & (y >= 0), 0.0, ROW["where"]((x != x) | (y != y), math.nan, math.inf))
    return ROW["where"]((x > 0) & (y > 0), x * ROW["log"](x / y), outside)


def _of_positive(delta: Tensor, loss: Tensor) -> Tensor:
    return ROW["where"](delta < 0, math.inf, loss)


def _pseudo_huber(delta: Tensor, r: Tensor) -> Tensor:
    scale = ROW["where"](delta == 0, 1.0, delta)
    return ROW["where"](delta == 0, 0.0, delta * delta * (ROW["hypot"](r / scale, r * 0 + 1) - 1))


def _of_whole_order(name: str, row: str) -> Callable:
    """A function of an order that SciPy truncates, with a warning where it is a fraction."""

    def call(order: Tensor, x: Tensor) -> Tensor:
        order = order.detach()
        whole = ROW["trunc"](order)
        if not comes_later(order) and bool((abs(whole - order) > 0).any()):
            warnings.warn(f"scipy.special.{name}: the order is an integer, and a fraction is truncated", RuntimeWarning, 4)
        return ROW["where"](order != order, order, ROW[row](whole, x))

    return call


_COMPOSED: dict[str, Callable] = {
    "logit": elementwise.logit,
    "log_expit": lambda x: -ROW["softplus"](-x),
    "softplus": lambda x: ROW["softplus"](x),
    "erfcinv": lambda x: ROW["ndtri"](x / 2) * -math.sqrt(0.5),
    "gammasgn": _signs,
    "exp10": lambda x: 10.0**x,
    "rel_entr": lambda x, y: _rel_entr(x, y),
    "sindg": lambda x: _sine_of_degrees(x, 0),
    "cosdg": lambda x: _sine_of_degrees(x, 1),
    "tandg": lambda x: _tangent_of_degrees(x),
    "huber": lambda delta, r: _of_positive(delta, ROW["where"](abs(r) <= delta, r * r / 2, delta * (abs(r) - delta / 2))),
    "pseudo_huber": lambda delta, r: _of_positive(delta, _pseudo_huber(delta, r)),
    "gammaln": lambda x: ROW["where"](x == -math.inf, -math.inf, ROW["lgamma"](x)),
    "yn": _of_whole_order("yn", "bessel_yv"),
    "kn": _of_whole_order("kn", "bessel_kv"),
    "boxcox": lambda x, power: ROW["where"](
        power == 0, ROW["log"](x), ROW["expm1"](power * ROW["log"](x)) / ROW["where"](power == 0, 1.0, power)
    ),
}
"""Those that are several rows."""
for _name, _call in _COMPOSED.items():
    _offer(_name, _call)
