"""Orthogonal polynomials of degree n: PyTorch's, 0 for a negative one, whose degree is the whole part of n; and SciPy's.

The derivatives of the former, which PyTorch lacks, are polynomials again, of Gegenbauer's and Laguerre's families (DLMF 18.9.19
to 18.9.28).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.ops.choosing import abs, sign, trunc, where
from jitgrad.ops.table import Op, register, todo
from jitgrad.ops.with_scipy import rare, special_function

LARGEST = 1_000_000
"""The largest degree, which takes SciPy milliseconds for each element."""
_NONE_IN_DEGREE = todo("a degree is a whole number; detach() it")


def _degree(whose: str, n: Any) -> np.ndarray:
    """The degrees as integers, 0 for what is none."""
    return _steps(whose, np.maximum(np.where(np.isfinite(n), n, 0), -1))


def _steps(whose: str, n: Any) -> np.ndarray:
    """The degrees as integers: SciPy takes as many steps, and cannot be interrupted."""
    n = np.asarray(n)
    if np.any(beyond := ~(np.abs(n) <= LARGEST)):  # so said, nan is beyond, too
        raise RuntimeError(f"{whose}: the degree n is a whole number up to {LARGEST}, and {n[beyond][0]:g} is among them")
    return n.astype(np.int64)


def _of_any_degree(name: str, slope: Callable, wholes: tuple[bool, ...] = (True, False), order: float | None = None) -> Op:
    """SciPy's own, for degrees of every sign: of integers it goes step by step, of fractions by hypergeometric functions.
    Those that have an order are 0 for negative integers, which are nan to it as floats."""

    def run(n: Any, x: Any, whole: bool, **more: float) -> Any:
        evaluate: Callable = special_function(name, f"scipy.special.{name}")
        found = evaluate(_steps(name, n) if whole else n, *more.values(), x)
        if more:
            found = np.where(np.less(n, 0) & np.equal(n, np.floor(n)), 0, found)
        return np.asarray(found, dtype=np.result_type(n, x))[()]

    more = {} if order is None else {"order": order}
    return rare(
        run,
        inputs=("n", "x"),
        d=(_NONE_IN_DEGREE, slope),
        domain=((-3.0, 6.0), (0.1, 0.9)),
        internal=True,
        samples=lambda: [{"whole": whole} | more for whole in wholes],
        oracle=f"scipy.special.{name}(n.astype(int) if whole else n, {'order, ' if more else ''}x)",
    )


def _evaluated(name: str, whose: str, x: Any, n: Any, before: int = 0, order: tuple[float, ...] = ()) -> Any:
    """SciPy's polynomial; with `before` times the one of the degree before added."""
    evaluate: Callable = special_function(name, f"special.{whose}")
    degree = _degree(whose, n)
    value = evaluate(degree, *order, x)
    if before:
        value = value + before * np.where(degree > 0, evaluate(degree - 1, *order, x), 0)
    value = np.where(degree < 0, 0, value)
    return np.where(np.isfinite(n), value, np.nan).astype(np.result_type(x, n))[()]


def _family(name: str, whose: str, slope: Callable) -> Op:
    """A family that has an order beside the degree."""
    return rare(
        lambda x, n, order: _evaluated(name, whose, x, n, order=(order,)),
        inputs=("x", "n"),
        d=(slope, _NONE_IN_DEGREE),
        domain=((-1.0, 1.0), (0.0, 6.0)),
        samples=lambda: [{"order": 1.0}, {"order": 1.5}],
        internal=True,
        oracle=f"scipy.special.{name}(n.astype(int), order, x)",
    )


gegenbauer = _family(
    "eval_gegenbauer", "gegenbauer", lambda x, n, order: 2 * order * gegenbauer(x, trunc(n) - 1, order=order + 1)
)
generalized_laguerre = _family(
    "eval_genlaguerre", "laguerre_polynomial_l", lambda x, n, order: -generalized_laguerre(x, trunc(n) - 1, order=order + 1)
)


def _of_second_kind(before: int) -> Callable:
    """The derivative of the polynomials of the second kind, plus `before` times that of the degree before."""

    def slope(x: Any, n: Any) -> Any:
        found = 2 * gegenbauer(x, n - 1, order=2.0)
        return found + 2 * before * gegenbauer(x, n - 2, order=2.0) if before else found

    return slope


def _polynomial(name: str, whose: str, slope: Callable, *, shift: bool = False, before: int = 0) -> Op:
    """SciPy's polynomial; of 2 x - 1 if `shift`; with `before` times the one of the degree before added.

    The polynomials of the third and fourth kind are those of the second kind, less or plus the one before (DLMF 18.9.9).
    """
    kind = whose.rpartition("_")[0].replace("_", " ")
    at = "2 * x - 1" if shift else "x"
    less = f" + {before} * (n >= 1) * scipy.special.{name}(np.maximum(n.astype(int) - 1, 0), {at})" if before else ""
    return rare(
        lambda x, n: _evaluated(name, whose, 2 * x - 1 if shift else x, n, before),
        inputs=("x", "n"),
        d=(lambda x, n: 2 * slope(2 * x - 1, trunc(n)) if shift else slope(x, trunc(n)), _NONE_IN_DEGREE),
        domain=((0.0, 1.0) if shift else (-1.0, 1.0), (0.0, 6.0)),
        doc=f"The {kind} {whose[-1].upper()} of degree n at x, elementwise, differentiable in x",
        oracle=f"scipy.special.{name}(n.astype(int), {at}){less}",
    )


def _chebyshev(kind: str, shift: bool = False) -> Op:
    """T, of the first kind, U, V or W, of the fourth."""
    whose = f"{'shifted_' * shift}chebyshev_polynomial_{kind}"
    if kind == "t":
        return _polynomial("eval_chebyt", whose, lambda x, n: n * chebyshev_polynomial_u(x, n - 1), shift=shift)
    before = {"u": 0, "v": -1, "w": 1}[kind]
    return _polynomial("eval_chebyu", whose, _of_second_kind(before), shift=shift, before=before)


chebyshev_polynomial_t = _chebyshev("t")
chebyshev_polynomial_u = _chebyshev("u")
chebyshev_polynomial_v = _chebyshev("v")
chebyshev_polynomial_w = _chebyshev("w")
shifted_chebyshev_polynomial_t = _chebyshev("t", shift=True)
shifted_chebyshev_polynomial_u = _chebyshev("u", shift=True)
shifted_chebyshev_polynomial_v = _chebyshev("v", shift=True)
shifted_chebyshev_polynomial_w = _chebyshev("w", shift=True)
hermite_polynomial_h = _polynomial("eval_hermite", "hermite_polynomial_h", lambda x, n: 2 * n * hermite_polynomial_h(x, n - 1))
hermite_polynomial_he = _polynomial("eval_hermitenorm", "hermite_polynomial_he", lambda x, n: n * hermite_polynomial_he(x, n - 1))
laguerre_polynomial_l = _polynomial(
    "eval_laguerre", "laguerre_polynomial_l", lambda x, n: -generalized_laguerre(x, n - 1, order=1.0)
)
legendre_polynomial_p = _polynomial("eval_legendre", "legendre_polynomial_p", lambda x, n: gegenbauer(x, n - 1, order=1.5))

# Of any degree. Those of the second kind are odd in n + 1, and Legendre's even in n + 1/2.
eval_gegenbauer = _of_any_degree(
    "eval_gegenbauer",
    lambda n, x, whole, order: 2 * order * eval_gegenbauer(n - 1, x, whole=whole, order=order + 1),
    order=1.5,
)
eval_genlaguerre = _of_any_degree(
    "eval_genlaguerre", lambda n, x, whole, order: -eval_genlaguerre(n - 1, x, whole=whole, order=order + 1), order=1.0
)


def _slope_of_second_kind(n: Any, x: Any, whole: bool) -> Any:
    return 2 * sign(n + 1) * eval_gegenbauer(abs(n + 1) - 2, x, whole=whole, order=2.0)


def _below(n: Any) -> Any:
    """The degree before, 0 before 0: SciPy has no Hermite polynomials of negative degrees, and says nan."""
    return where(n == 0, 0, n - 1)


eval_chebyt = _of_any_degree("eval_chebyt", lambda n, x, whole: n * eval_chebyu(n - 1, x, whole=whole))
eval_chebyu = _of_any_degree("eval_chebyu", _slope_of_second_kind)
eval_sh_chebyt = _of_any_degree("eval_sh_chebyt", lambda n, x, whole: 2 * n * eval_chebyu(n - 1, 2 * x - 1, whole=whole))
eval_sh_chebyu = _of_any_degree("eval_sh_chebyu", lambda n, x, whole: 2 * _slope_of_second_kind(n, 2 * x - 1, whole))
eval_laguerre = _of_any_degree("eval_laguerre", lambda n, x, whole: -eval_genlaguerre(n - 1, x, whole=whole, order=1.0))
eval_legendre = _of_any_degree(
    "eval_legendre", lambda n, x, whole: eval_gegenbauer(abs(n + 0.5) - 1.5, x, whole=whole, order=1.5)
)
eval_hermite = _of_any_degree("eval_hermite", lambda n, x, whole: 2 * n * eval_hermite(_below(n), x, whole=whole), (True,))
eval_hermitenorm = _of_any_degree(
    "eval_hermitenorm", lambda n, x, whole: n * eval_hermitenorm(_below(n), x, whole=whole), (True,)
)

register(globals())
