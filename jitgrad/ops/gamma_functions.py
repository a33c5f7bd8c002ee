"""Incomplete gamma functions and Hurwitz' zeta function, of which SciPy gives single values."""

from __future__ import annotations

from typing import Any

from jitgrad.ops.arithmetic import AWAY, exp, xlogy
from jitgrad.ops.special_functions import lgamma
from jitgrad.ops.table import Op, register, todo
from jitgrad.ops.with_scipy import by_scipy, rare

_IN_FIRST = "no closed form is known; differentiate by the other operand, or use jitgrad.from_njit with a vjp of yours"


def _density(x: Any, y: Any) -> Any:
    """The derivative of the regularized incomplete gamma function in its upper limit (DLMF 8.8.13)."""
    return exp(xlogy(x - 1, y) - y - lgamma(x))


def _incomplete(name: str, what: str, slope: Any, doc: str) -> Op:
    return rare(
        by_scipy(name, what),
        kernel=f"{what}(x, y)",
        hot=True,
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
    lambda g, x, y: g * _density(x, y),
    "The lower incomplete gamma function of order x up to y, divided by gamma(x), elementwise",
)
igammac = _incomplete(
    "gammaincc",
    "igammac",
    lambda g, x, y: -g * _density(x, y),
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
