"""Orthogonal polynomials of degree n: PyTorch's, 0 for a negative one, whose degree is the whole part of n; and SciPy's.

The derivatives of the former, which PyTorch lacks, are polynomials again, of Gegenbauer's and Laguerre's families (DLMF 18.9.19
to 18.9.28).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.ops.choosing import abs, cast, sign, trunc, where, zeros_like
from jitgrad.ops.movement import expand
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


def _chebyshev_step(k: int, x: Any, p: Any, q: Any) -> Any:
    return (2 * x) * p - q


_RECURRENCES: dict[str, tuple[Callable, Callable]] = {
    "eval_chebyt": (lambda x: x, _chebyshev_step),
    "eval_chebyu": (lambda x: 2 * x, _chebyshev_step),
    "eval_hermite": (lambda x: 2 * x, lambda k, x, p, q: (2 * x) * p - (2 * k) * q),
    "eval_hermitenorm": (lambda x: x, lambda k, x, p, q: x * p - k * q),
    "eval_laguerre": (lambda x: 1 - x, lambda k, x, p, q: ((2 * k + 1 - x) * p - k * q) / (k + 1)),
    "eval_legendre": (lambda x: x, lambda k, x, p, q: ((2 * k + 1) * x * p - k * q) / (k + 1)),
    "eval_gegenbauer": (
        lambda x, a: (2 * a) * x,
        lambda k, x, p, q, a: ((2 * (k + a)) * x * p - (k + 2 * a - 1) * q) / (k + 1),
    ),
    "eval_genlaguerre": (lambda x, a: 1 + a - x, lambda k, x, p, q, a: ((2 * k + 1 + a - x) * p - (k + a) * q) / (k + 1)),
}
"""The polynomial of degree 1, and that of degree k + 1 by those of degrees k and k - 1 (DLMF 18.9.1 and 18.9.2)."""
FEW, PIECE = 16, 8192
"""Up to which degree they are used, and for how many elements at a time, which stay in cache."""


def _in_turn(name: str, x: Any, n: int, before: int, order: tuple[float, ...]) -> Any:
    """The polynomial of degree n > 0, plus `before` times the one of the degree before."""
    first, step = _RECURRENCES[name]
    q, p = 1, first(x, *order)
    for k in range(1, n):
        q, p = p, step(k, x, p, q, *order)
    return p + before * q if before else p


def _known(row: Any) -> Any:
    """What a row is computed of constants alone; of one that is repeated, the constant; None for any other row."""
    if row.op is expand:
        return _known(row.inputs[0])
    if not row.op.elementwise:
        return row.params.get("value")
    values = list(map(_known, row.inputs))
    return None if any(value is None for value in values) else row.op.run(*values, **row.params)


def _low(n: Any) -> int | None:
    """The degree if it is the same for all elements, low, and known; -1 for a negative one."""
    if hasattr(n, "__record__"):
        n = _known(n._row)
    if n is None or any(step for step, size in zip(np.asarray(n).strides, np.shape(n)) if size > 1) or not np.size(n):
        return None
    number = np.asarray(n).flat[0]
    return max(int(number), -1) if -LARGEST <= number < FEW + 1 else None


def _recurrent(name: str, run: Callable, before: int = 0, shift: bool = False, **more: Any) -> Op:
    """A row that is made of others where its degree is low and known, in double precision."""

    def lower(x: Any, n: Any, **order: float) -> Any:
        degree, dtype = _low(n), getattr(x, "_held", x).dtype
        if degree is None:
            return row(x, n, **order)
        if degree < 1:
            return zeros_like(x) + (degree + 1)
        wide = cast(2 * x - 1 if shift else x, dtype=np.dtype(np.float64))
        return cast(_in_turn(name, wide, degree, before, tuple(order.values())), dtype=dtype)

    row = rare(run, inputs=("x", "n"), lower=lower, **more)
    return row


def _by_recurrence(name: str, x: Any, n: int, before: int, order: tuple[float, ...]) -> Any:
    """The polynomial of a low degree, for which SciPy takes as many calls as there are elements."""
    found = np.empty(np.shape(x), x.dtype)
    flat, results = np.ravel(x), found.reshape(-1)
    with np.errstate(all="ignore"):
        for start in range(0, flat.size, PIECE):
            piece = flat[start : start + PIECE].astype(np.float64)
            results[start : start + PIECE] = _in_turn(name, piece, n, before, order) if n > 0 else n + 1
    return found[()]


def _evaluated(name: str, whose: str, x: Any, n: Any, before: int = 0, order: tuple[float, ...] = ()) -> Any:
    """The polynomial; with `before` times the one of the degree before added."""
    low = _low(n)
    if low is not None and np.shape(x) == np.broadcast_shapes(np.shape(x), np.shape(n)):
        return _by_recurrence(name, np.asarray(x), low, before, order)
    evaluate: Callable = special_function(name, f"special.{whose}")
    degree = _degree(whose, n)
    value = evaluate(degree, *order, x)
    if before:
        value = value + before * np.where(degree > 0, evaluate(degree - 1, *order, x), 0)
    value = np.where(degree < 0, 0, value)
    return np.where(np.isfinite(n), value, np.nan).astype(np.result_type(x, n))[()]


def _family(name: str, whose: str, slope: Callable) -> Op:
    """A family that has an order beside the degree."""
    return _recurrent(
        name,
        lambda x, n, order: _evaluated(name, whose, x, n, order=(order,)),
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
    return _recurrent(
        name,
        lambda x, n: _evaluated(name, whose, 2 * x - 1 if shift else x, n, before),
        before,
        shift,
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
