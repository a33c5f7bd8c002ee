"""Incomplete gamma functions and Hurwitz' zeta function, of which SciPy gives single values."""

from __future__ import annotations

from typing import Any

from jitgrad.ops import special
from jitgrad.ops.arithmetic import AWAY, log
from jitgrad.ops.choosing import where
from jitgrad.ops.special_functions import digamma
from jitgrad.ops.table import Op, binary, register, todo
from jitgrad.ops.with_scipy import by_scipy, rare

_IN_FIRST = "no closed form is known; differentiate by the other operand, or use jitgrad.from_njit with a vjp of yours"


gamma_density = binary(
    "gamma_density(x, y)",
    special.gamma_density,
    d=(
        lambda x, y, z: where(z == 0, 0, z * (log(y) - digamma(x))),
        lambda x, y, z: where(z == 0, 0, z * ((x - 1 - y) / y)),
    ),
    result="floating",
    internal=True,
    domain=AWAY,
    oracle="np.exp((x - 1) * np.log(y) - y - scipy.special.gammaln(x))",
)
"""The derivative of the regularized incomplete gamma function in its upper limit (DLMF 8.8.13)."""


def _incomplete(name: str, what: str, slope: Any, doc: str) -> Op:
    return rare(
        by_scipy(name, what),
        kernel=f"{what}(x, y)",
        inputs=("x", "y"),
        vjp=(todo(_IN_FIRST), slope),
        result="floating",
        domain=AWAY,
        namespace="",
        method=True,
        inplace=True,
        aliases=(f"special.{name}",),
        doc=doc,
        oracle=f"scipy.special.{name}(x, y)",
    )


igamma = _incomplete(
    "gammainc",
    "igamma",
    lambda g, x, y: g * gamma_density(x, y),
    "The lower incomplete gamma function of order x up to y, divided by gamma(x), elementwise",
)
igammac = _incomplete(
    "gammaincc",
    "igammac",
    lambda g, x, y: -(g * gamma_density(x, y)),
    "The upper incomplete gamma function of order x from y on, divided by gamma(x), elementwise",
)
zeta = rare(
    by_scipy("zeta", "special.zeta"),
    inputs=("x", "y"),
    vjp=(todo(_IN_FIRST), lambda g, x, y: -g * (x * zeta(x + 1, y))),
    domain=((1.5, 4.0), (0.5, 3.0)),
    doc="Hurwitz' zeta function: the sum of (y + k) ** -x over k >= 0, elementwise",
    oracle="scipy.special.zeta(x, y)",
)


register(globals())
