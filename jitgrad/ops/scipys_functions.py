"""Functions of SciPy's that PyTorch does not have: `scipy.special.gamma(tensor)` is one of these rows. DLMF 5, 8 and 10."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitgrad.ops.arithmetic import exp, xlogy
from jitgrad.ops.choosing import sign
from jitgrad.ops.logarithms import xlog1py
from jitgrad.ops.special_functions import digamma
from jitgrad.ops.table import Op, register, todo
from jitgrad.ops.with_scipy import by_scipy, rare

_IN_ORDER = "the derivative by the order has no closed form"
_IN_SHAPE = "the derivatives by a and b have no closed form"


def _row(name: str, **more: Any) -> Op:
    inputs = more.get("inputs", ("x",))
    facts = {"internal": True, "oracle": f"scipy.special.{name}({', '.join(inputs)})"} | more
    return rare(by_scipy(name, f"scipy.special.{name}"), **facts)


def _bessel(name: str, d: Callable) -> Op:
    """A function of an order x and a place y, differentiated by the place."""
    return _row(name, inputs=("x", "y"), vjp=(todo(_IN_ORDER), d), domain=((0.3, 2.5), (0.5, 3.0)))


gamma = _row("gamma", d=(lambda x, y: y * digamma(x),), domain=((0.5, 4.0),))
rgamma = _row("rgamma", d=(lambda x, y: -(y * digamma(x)),), domain=((0.5, 4.0),))
beta = _row(
    "beta",
    inputs=("x", "y"),
    d=(lambda x, y, z: z * (digamma(x) - digamma(x + y)), lambda x, y, z: z * (digamma(y) - digamma(x + y))),
    domain=((0.5, 4.0), (0.5, 4.0)),
)
betaln = _row(
    "betaln",
    inputs=("x", "y"),
    d=(lambda x, y: digamma(x) - digamma(x + y), lambda x, y: digamma(y) - digamma(x + y)),
    domain=((0.5, 4.0), (0.5, 4.0)),
)
betainc = _row(
    "betainc",
    inputs=("a", "b", "x"),
    vjp=(todo(_IN_SHAPE), todo(_IN_SHAPE), lambda g, a, b, x: g * exp(xlogy(a - 1, x) + xlog1py(b - 1, -x) - betaln(a, b))),
    domain=((0.5, 4.0), (0.5, 4.0), (0.1, 0.9)),
)
bessel_jv = _bessel("jv", lambda g, x, y: g * (0.5 * (bessel_jv(x - 1, y) - bessel_jv(x + 1, y))))
bessel_yv = _bessel("yv", lambda g, x, y: g * (0.5 * (bessel_yv(x - 1, y) - bessel_yv(x + 1, y))))
bessel_iv = _bessel("iv", lambda g, x, y: g * (0.5 * (bessel_iv(x - 1, y) + bessel_iv(x + 1, y))))
bessel_kv = _bessel("kv", lambda g, x, y: g * (-0.5 * (bessel_kv(x - 1, y) + bessel_kv(x + 1, y))))
bessel_ive = _bessel(
    "ive", lambda g, x, y: g * (0.5 * (bessel_ive(x - 1, y) + bessel_ive(x + 1, y)) - sign(y) * bessel_ive(x, y))
)
bessel_kve = _bessel("kve", lambda g, x, y: g * (bessel_kve(x, y) - 0.5 * (bessel_kve(x - 1, y) + bessel_kve(x + 1, y))))

register(globals())
