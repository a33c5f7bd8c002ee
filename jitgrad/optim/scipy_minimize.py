"""`minimize`: SciPy's minimizers, given value, gradient, Hessian and its products by compiled functions."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.base.tree import flatten, unflatten
from jitgrad.dtypes import by_name
from jitgrad.func.gradients import value_and_grad
from jitgrad.func.jacobians import hessian, jacrev
from jitgrad.func.sparsity import hessian_sparsity
from jitgrad.func.tangents import hvp
from jitgrad.functions.data import as_tensor
from jitgrad.jitted.jit import jit
from jitgrad.record.checking import checked
from jitgrad.tensors.tensor import Tensor

WITHOUT_GRADIENT = frozenset({"nelder-mead", "powell", "cobyla", "cobyqa"})
WITH_PRODUCTS = frozenset({"newton-cg", "trust-ncg", "trust-krylov", "trust-constr"})
WITH_HESSIAN = frozenset({"dogleg", "trust-exact"})
SPARSE = 0.25
"""A Hessian with no more than this part of its elements is given to "trust-constr" as a sparse matrix."""


@checked
def minimize(
    fun: Callable,
    x0: Any,
    args: tuple = (),
    method: str | None = None,
    *,
    bounds: Any = None,
    constraints: Any = (),
    tol: float | None = None,
    callback: Callable | None = None,
    options: dict[str, Any] | None = None,
) -> Any:
    """`scipy.optimize.minimize` of a scalar `fun(x, *args)` of tensors, with all the derivatives that `method` can use.

    `x0` is a tensor, an array, a number or a nested tuple, list, dict or dataclass of them, and `x` of the result, an
    `OptimizeResult`, has its form and dtypes; so has what `callback(x)` is given. Whatever else is in the result is of one vector
    of all elements, and so are `bounds`. `fun` runs under `jit`: value and gradient are one compiled call; "newton-cg",
    "trust-ncg", "trust-krylov" and "trust-constr" get products with the Hessian, the last one the Hessian as a sparse matrix if
    few of its elements can be other than zero; "dogleg" and "trust-exact" get the Hessian. A constraint given as a dict may leave
    out `jac`: its `fun` is a function like the first one. SciPy computes in double precision, and `fun` in the dtypes of `x0`.
    Raises `ImportError` without SciPy, `TypeError` for an `x0` of no floating numbers, `ValueError` for one without elements.

    >>> import jitgrad
    >>> def rosenbrock(p):
    ...     return (1 - p["x"]) ** 2 + 100 * (p["y"] - p["x"] ** 2) ** 2
    >>> found = jitgrad.optim.minimize(rosenbrock, {"x": -1.0, "y": 2.0}, method="trust-ncg")
    >>> {name: round(value, 4) for name, value in found.x.items()}
    {'x': 1.0, 'y': 1.0}
    """
    try:
        import scipy.optimize as scipy
    except ImportError:
        raise ImportError("jitgrad.optim.minimize hands functions to SciPy: pip install 'jitgrad[scipy]'") from None
    form = _Form(x0)
    start, name = form.vector(), (method or "").lower()
    of_vector = form.taking(fun)
    given: dict[str, Any] = {}
    if name in WITHOUT_GRADIENT:
        value = jit(of_vector)
        compute: Callable = lambda x, *args: float(value(x, *args))
    else:
        compute = _value_and_gradient(of_vector)
        given = {"jac": True} | _second_order(of_vector, name, start, args)
    found = scipy.minimize(
        compute,
        start,
        args=args,
        method=method,
        bounds=bounds,
        constraints=[_constraint(each, form) for each in _several(constraints)],
        tol=tol,
        callback=None if callback is None else lambda xk, *_: callback(form.of(xk)),
        options=options,
        **given,
    )
    found.x = form.of(found.x)
    return found


def _value_and_gradient(of_vector: Callable) -> Callable:
    both = jit(value_and_grad(of_vector))

    def compute(x: np.ndarray, *args: Any) -> tuple[float, np.ndarray]:
        value, gradient = both(x, *args)
        return float(value), gradient.numpy()

    return compute


def _second_order(of_vector: Callable, name: str, start: np.ndarray, args: tuple) -> dict[str, Any]:
    """What SciPy is told of the Hessian."""
    if name in WITH_HESSIAN:
        whole = jit(hessian(of_vector))
        return {"hess": lambda x, *args: whole(x, *args).numpy()}
    if name not in WITH_PRODUCTS:
        return {}
    if name == "trust-constr":
        pattern = hessian_sparsity(of_vector, start, *args)
        if pattern.nnz <= SPARSE * start.size**2:
            return {"hess": hessian(jit(of_vector), sparsity=pattern)}
    product = jit(lambda x, v, *args: hvp(lambda at: of_vector(at, *args), (x,), (v,)))
    return {"hessp": lambda x, v, *args: product(x, v, *args).numpy()}


def _several(constraints: Any) -> list[Any]:
    return list(constraints) if isinstance(constraints, (list, tuple)) else [constraints]


def _constraint(given: Any, form: _Form) -> Any:
    """A constraint as SciPy takes it: a dict without `jac` gets one."""
    if not isinstance(given, dict) or "jac" in given:
        return given
    of_vector = form.taking(given["fun"])
    value, slope = jit(of_vector), jit(jacrev(of_vector))
    return given | {"fun": lambda x, *args: value(x, *args).numpy(), "jac": lambda x, *args: slope(x, *args).numpy()}


class _Form:
    """How parameters are nested, and what they are, beside one vector of all their elements."""

    def __init__(self, x0: Any) -> None:
        self.given: list[Any] = []
        self.structure = flatten(x0, self.given)
        double = by_name("float64")
        self.leaves = [as_tensor(x, dtype=double) if isinstance(x, (int, float)) else as_tensor(x).detach() for x in self.given]
        bad = next((x for x in self.leaves if not x.dtype.is_floating_point), None)
        if bad is not None or not self.leaves:
            what = "nothing" if bad is None else f"a tensor of {bad.dtype.name}"
            raise TypeError(f"minimize needs floating numbers to begin with, and x0 holds {what}")
        if not any(x.numel() for x in self.leaves):
            shapes = ", ".join([str(list(x.shape)) for x in self.leaves])
            raise ValueError(f"minimize needs numbers to change, and x0 holds no elements: its shape is {shapes}")

    def vector(self) -> np.ndarray:
        """What x0 holds, as SciPy takes it."""
        return np.concatenate([x.cpu().numpy().astype(np.float64).ravel() for x in self.leaves])

    def parts(self, vector: Tensor) -> list[Tensor]:
        """The parameters in a vector, as tensors."""
        found, at = [], 0
        for x in self.leaves:
            size = math.prod(x.shape)
            found.append(vector[at : at + size].reshape(x.shape).to(x.dtype))
            at += size
        return found

    def taking(self, function: Callable) -> Callable:
        """A function of parameters as one of a vector."""

        @functools.wraps(function)
        def of_vector(vector: Tensor, *args: Any) -> Any:
            return function(unflatten(self.structure, iter(self.parts(vector))), *args)

        return of_vector

    def of(self, vector: np.ndarray) -> Any:
        """The parameters in a vector of SciPy's, as what they were given as."""
        leaves = [_like(given, part) for given, part in zip(self.given, self.parts(as_tensor(np.array(vector))))]
        return unflatten(self.structure, iter(leaves))


def _like(given: Any, part: Tensor) -> Any:
    if isinstance(given, Tensor):
        return part.to(given.device)
    return part.numpy() if isinstance(given, np.ndarray) else part.item()
