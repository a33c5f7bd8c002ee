"""Orthogonal polynomials of degree n: PyTorch's, 0 for a negative one, and SciPy's. As in PyTorch they are not differentiable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.ops.table import Op, register
from jitgrad.ops.with_scipy import rare, special_function

LARGEST = 1_000_000
"""The largest degree, which takes SciPy milliseconds for each element."""


def _polynomial(name: str, whose: str, *, shift: bool = False, before: int = 0) -> Op:
    """SciPy's polynomial; of 2 x - 1 if `shift`; with `before` times the one of the degree before added.

    The polynomials of the third and fourth kind are those of the second kind, less or plus the one before (DLMF 18.9.9).
    """

    def run(x: Any, n: Any) -> Any:
        evaluate: Callable = special_function(name, f"special.{whose}")
        at = 2 * x - 1 if shift else x
        degree = _degree(whose, n)
        value = evaluate(degree, at) + (before * np.where(degree > 0, evaluate(degree - 1, at), 0) if before else 0)
        value = np.where(degree < 0, 0, value)
        return np.where(np.isfinite(n), value, np.nan).astype(np.result_type(x, n))[()]

    kind = whose.rpartition("_")[0].replace("_", " ")
    at = "2 * x - 1" if shift else "x"
    less = f" + {before} * (n >= 1) * scipy.special.{name}(np.maximum(n.astype(int) - 1, 0), {at})" if before else ""
    return rare(
        run,
        inputs=("x", "n"),
        domain=((0.0, 1.0) if shift else (-1.0, 1.0), (0.0, 6.0)),
        doc=f"The {kind} {whose[-1].upper()} of degree n at x, elementwise. Its values are not differentiable",
        oracle=f"scipy.special.{name}(n.astype(int), {at}){less}",
    )


def _degree(whose: str, n: Any) -> np.ndarray:
    """The degrees as integers, 0 for what is none."""
    return np.maximum(_steps(whose, np.where(np.isfinite(n), n, 0)), -1)


def _steps(whose: str, n: Any) -> np.ndarray:
    """The degrees as integers: SciPy takes as many steps, and cannot be interrupted."""
    if np.size(n) and np.max(np.abs(n)) > LARGEST:
        raise RuntimeError(f"{whose}: the degree n is at most {LARGEST}, and {np.max(np.abs(n)):g} is among them")
    return np.asarray(n).astype(np.int64)


def _of_any_degree(name: str, wholes: tuple[bool, ...] = (True, False)) -> Op:
    """SciPy's own, for degrees of every sign: of integers it goes step by step, of fractions by hypergeometric functions."""

    def run(n: Any, x: Any, whole: bool) -> Any:
        evaluate: Callable = special_function(name, f"scipy.special.{name}")
        found = evaluate(_steps(name, n) if whole else n, x)
        return np.asarray(found, dtype=np.result_type(n, x))[()]

    return rare(
        run,
        inputs=("n", "x"),
        domain=((-3.0, 6.0), (0.1, 0.9)),
        internal=True,
        samples=lambda: [{"whole": whole} for whole in wholes],
        oracle=f"scipy.special.{name}(n.astype(int) if whole else n, x)",
    )


chebyshev_polynomial_t = _polynomial("eval_chebyt", "chebyshev_polynomial_t")
chebyshev_polynomial_u = _polynomial("eval_chebyu", "chebyshev_polynomial_u")
chebyshev_polynomial_v = _polynomial("eval_chebyu", "chebyshev_polynomial_v", before=-1)
chebyshev_polynomial_w = _polynomial("eval_chebyu", "chebyshev_polynomial_w", before=1)
shifted_chebyshev_polynomial_t = _polynomial("eval_chebyt", "shifted_chebyshev_polynomial_t", shift=True)
shifted_chebyshev_polynomial_u = _polynomial("eval_chebyu", "shifted_chebyshev_polynomial_u", shift=True)
shifted_chebyshev_polynomial_v = _polynomial("eval_chebyu", "shifted_chebyshev_polynomial_v", shift=True, before=-1)
shifted_chebyshev_polynomial_w = _polynomial("eval_chebyu", "shifted_chebyshev_polynomial_w", shift=True, before=1)
hermite_polynomial_h = _polynomial("eval_hermite", "hermite_polynomial_h")
hermite_polynomial_he = _polynomial("eval_hermitenorm", "hermite_polynomial_he")
laguerre_polynomial_l = _polynomial("eval_laguerre", "laguerre_polynomial_l")
legendre_polynomial_p = _polynomial("eval_legendre", "legendre_polynomial_p")

eval_chebyt = _of_any_degree("eval_chebyt")
eval_chebyu = _of_any_degree("eval_chebyu")
eval_sh_chebyt = _of_any_degree("eval_sh_chebyt")
eval_sh_chebyu = _of_any_degree("eval_sh_chebyu")
eval_laguerre = _of_any_degree("eval_laguerre")
eval_legendre = _of_any_degree("eval_legendre")
eval_hermite = _of_any_degree("eval_hermite", (True,))
eval_hermitenorm = _of_any_degree("eval_hermitenorm", (True,))

register(globals())
