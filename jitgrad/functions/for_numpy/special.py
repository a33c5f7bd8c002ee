"""Ufuncs of `scipy.special`, by their names: which rows they are. SciPy is not imported for that."""

from __future__ import annotations

import math
from collections.abc import Callable

from jitgrad.functions import elementwise
from jitgrad.functions.for_numpy.naming import ROW, named, same_dtype
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
    "gammaln": "lgamma",
    "psi": "digamma",
    "gammainc": "igamma",
    "gammaincc": "igammac",
    "yn": "bessel_yv",
    "kn": "bessel_kv",
}
"""The rows that have the same meaning, and the same operands in the same order."""

_POLYNOMIALS = {
    "chebyt": "chebyshev_polynomial_t",
    "chebyu": "chebyshev_polynomial_u",
    "sh_chebyt": "shifted_chebyshev_polynomial_t",
    "sh_chebyu": "shifted_chebyshev_polynomial_u",
    "hermite": "hermite_polynomial_h",
    "hermitenorm": "hermite_polynomial_he",
    "laguerre": "laguerre_polynomial_l",
    "legendre": "legendre_polynomial_p",
}
"""Those whose degree comes first."""


def _offer(name: str, call: Callable) -> None:
    named(f"special.{name}")(lambda *operands: call(*same_dtype(*operands, floats=True)))


for _name, _row in _ROWS.items():
    _offer(_name, ROW[_row])
for _name, _row in _POLYNOMIALS.items():
    _offer(f"eval_{_name}", lambda n, x, row=_row: ROW[row](x, n))

_TURN = math.pi / 180


def _signs(x: Tensor) -> Tensor:
    """The sign of gamma: it changes at each pole."""
    below = ROW["where"](ROW["floor"](x) == x, math.nan, 1 - 2 * (ROW["floor"](x) % 2))
    return ROW["where"](x > 0, 1.0, ROW["where"](x == 0, ROW["copysign"](x * 0 + 1, x), below))


_COMPOSED: dict[str, Callable] = {
    "logit": elementwise.logit,
    "log_expit": lambda x: -ROW["softplus"](-x),
    "softplus": lambda x: ROW["softplus"](x),
    "erfcinv": lambda x: ROW["ndtri"](x / 2) * -math.sqrt(0.5),
    "gammasgn": _signs,
    "exp10": lambda x: 10.0**x,
    "rel_entr": lambda x, y: ROW["where"](
        (x > 0) & (y > 0), x * ROW["log"](x / y), ROW["where"]((x == 0) & (y >= 0), 0.0, math.inf)
    ),
    "sindg": lambda x: ROW["sin"](x * _TURN),
    "cosdg": lambda x: ROW["cos"](x * _TURN),
    "tandg": lambda x: ROW["tan"](x * _TURN),
    "huber": lambda delta, r: ROW["where"](abs(r) <= delta, r * r / 2, delta * (abs(r) - delta / 2)),
    "pseudo_huber": lambda delta, r: delta * delta * (ROW["hypot"](r / delta, r * 0 + 1) - 1),
    "boxcox": lambda x, power: ROW["where"](
        power == 0, ROW["log"](x), ROW["expm1"](power * ROW["log"](x)) / ROW["where"](power == 0, 1.0, power)
    ),
}
"""Those that are several rows."""
for _name, _call in _COMPOSED.items():
    _offer(_name, _call)
