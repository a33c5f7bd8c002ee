"""`implicit_root` and `implicit_fixed_point`: derivatives of what a solver found, without a look into the solver.

If residual(x, *args) = 0 defines x, then dx = -A^-1 B dargs with A and B the derivatives of the residual in x and args
(the implicit function theorem). So a solver may be any code at all, its steps are not recorded, and the derivative is
exact where the solution is.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from jitgrad.base.tree import flatten, unflatten
from jitgrad.func.custom import custom_vjp
from jitgrad.func.gradients import vjp
from jitgrad.func.jacobians import jacrev
from jitgrad.functions.data import as_tensor
from jitgrad.functions.shaping import reshape
from jitgrad.ops.linalg import solve as solve_op
from jitgrad.record.apply import apply
from jitgrad.tensors.tensor import Tensor


def implicit_root(residual: Callable, solve: Callable) -> Callable:
    """A differentiable function of `args` that returns the `x` with `residual(x, *args) = 0`, as `solve(*args)` finds it.

    `x` is one floating tensor, and `residual` has its shape. `solve` may be any code (SciPy, say) that returns a tensor
    or array; nothing in it is recorded. Derivatives of every order in the tensors among `args` follow from the residual
    alone: the cotangent g of x becomes -B^T w with A^T w = g, where A is formed and solved densely (n^3 for n unknowns).
    Works under `jit` and `vmap` if `solve` is written in jitgrad's operations. Raises `ValueError` if shapes differ,
    `numpy.linalg.LinAlgError` if A is singular.

    >>> import jitgrad
    >>> root = jitgrad.func.implicit_root(lambda x, a: x * x - a, lambda a: a.numpy() ** 0.5)
    >>> jitgrad.value_and_grad(root)(jitgrad.tensor(4.0))
    (tensor(2.), tensor(0.2500))
    """

    for given in (residual, solve):
        if not callable(given):
            raise TypeError(f"implicit_root takes two functions, not {type(given).__name__}")

    @custom_vjp
    @functools.wraps(solve)
    def root(*args: Any) -> Tensor:
        return as_tensor(solve(*args))

    def forward(*args: Any) -> tuple[Tensor, Any]:
        x = root(*args)
        return x, (x, args)

    def backward(residuals: Any, g: Tensor) -> tuple:
        x, args = residuals
        w = _solved(_matrix(residual, x, args).T, reshape(g, (-1,)))
        leaves: list[Any] = []
        structure = flatten(args, leaves)
        moving = [k for k, leaf in enumerate(leaves) if isinstance(leaf, Tensor) and leaf.dtype.has_gradient]

        def of_leaves(*some: Tensor) -> Tensor:
            given = dict(zip(moving, some))
            return residual(x, *unflatten(structure, iter([given.get(k, leaf) for k, leaf in enumerate(leaves)])))

        found = dict(zip(moving, vjp(of_leaves, *[leaves[k] for k in moving])[1](reshape(-w, x.shape))))
        return unflatten(structure, iter([found.get(k) for k in range(len(leaves))]))

    root.defvjp(forward, backward)
    return root


def implicit_fixed_point(step: Callable, solve: Callable) -> Callable:
    """A differentiable function of `args` that returns the `x` with `step(x, *args) = x`, as `solve(*args)` finds it.

    `implicit_root` of `step(x, *args) - x`; see there.

    >>> import jitgrad
    >>> def iterate(a):
    ...     x = a
    ...     for _ in range(50):
    ...         x = 0.5 * (x + a / x)
    ...     return x
    >>> root = jitgrad.func.implicit_fixed_point(lambda x, a: 0.5 * (x + a / x), iterate)
    >>> jitgrad.grad(root)(jitgrad.tensor(4.0))
    tensor(0.2500)
    """
    return implicit_root(lambda x, *args: step(x, *args) - x, solve)


def _matrix(residual: Callable, x: Tensor, args: tuple) -> Tensor:
    """The derivative of the residual in x as a matrix."""
    shape = tuple(residual(x, *args).shape)
    if shape != tuple(x.shape):
        raise ValueError(
            f"the residual has shape {list(shape)}, and what solve returned has {list(x.shape)}: they must be "
            "equal, an equation for each unknown"
        )
    size = math.prod(shape)
    return reshape(jacrev(lambda x: residual(x, *args))(x), (size, size))


def _solved(a: Tensor, b: Tensor) -> Tensor:
    """The vector x with a x = b."""
    return reshape(apply(solve_op, (a, reshape(b, (-1, 1)))), (-1,))
