"""`jvp`, `linearize` and `hvp`: derivatives of functions by the forward sweep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jitgrad.base.tree import flatten, shown, unflatten
from jitgrad.devices.moving import beside
from jitgrad.func.gradients import grad
from jitgrad.func.point import Point, as_seed
from jitgrad.ops.choosing import cast
from jitgrad.tensors.tensor import Tensor


def jvp(func: Callable, primals: Sequence[Any], tangents: Sequence[Any], *, has_aux: bool = False) -> tuple:
    """`(value, change)`: the result at `primals`, and how it changes along `tangents`: the Jacobian times a vector.

    `primals` and `tangents` are tuples of arguments, nested and shaped alike. One forward sweep, whatever the size of the
    inputs and outputs. With `has_aux` the result is `(value, change, aux)`.
    Raises `RuntimeError` if the tangents do not fit, `TypeError` for what cannot be differentiated.

    >>> import jitgrad
    >>> jitgrad.jvp(lambda x: x ** 3, (jitgrad.tensor(2.0),), (jitgrad.tensor(1.0),))
    (tensor(8.), tensor(12.))
    """
    point = Point(func, _arguments("primals", primals), {}, range(len(primals)), has_aux)
    change = pushed(point, tangents)
    return (point.value(), change, point.aux) if has_aux else (point.value(), change)


def linearize(func: Callable, *primals: Any) -> tuple[Any, Callable]:
    """`(value, push)`: the result at `primals`, and the linear function `push(*tangents)` that approximates the changes.

    The function runs once; each `push` is one forward sweep over what was recorded then.

    >>> import jitgrad
    >>> value, push = jitgrad.linearize(lambda x: x.sin(), jitgrad.tensor(0.0))
    >>> push(jitgrad.tensor(2.0))
    tensor(2.)
    """
    point = Point(func, _arguments("primals", primals), {}, range(len(primals)))
    return point.value(), lambda *tangents: pushed(point, tangents)


def hvp(func: Callable, primals: Sequence[Any], tangents: Sequence[Any], *, has_aux: bool = False) -> Any:
    """The Hessian of a scalar `func` times a vector: how its gradient at `primals` changes along `tangents`.

    Forward over reverse: a few times the cost of the function, and no Hessian is formed. The result is nested like the
    one primal, or a tuple of such for several. With `has_aux` the result is `(product, aux)`.
    Raises what `grad` and `jvp` raise.

    >>> import jitgrad
    >>> jitgrad.hvp(lambda x: (x ** 3).sum(), (jitgrad.tensor([1.0, 2.0]),), (jitgrad.tensor([1.0, 1.0]),))
    tensor([ 6., 12.])
    """
    gradient = grad(func, tuple(range(len(_arguments("primals", primals)))), has_aux)
    found = jvp(gradient, primals, tangents, has_aux=has_aux)
    product = found[1][0] if len(primals) == 1 else found[1]
    return (product, found[2]) if has_aux else product


def _arguments(what: str, given: Any) -> Sequence[Any]:
    if not isinstance(given, (tuple, list)):
        raise TypeError(f"{what} must be a tuple of arguments, not {type(given).__name__}: for one argument write (x,)")
    if not given:
        raise TypeError(f"{what} is empty: there is nothing to differentiate in")
    return given


def pushed(point: Point, given: Any) -> Any:
    """The tangent of the result, nested like it, from tangents of the arguments."""
    leaves: list[Any] = []
    structures = [flatten(t, leaves) for t in _arguments("tangents", given)]
    if structures != point.structures:
        have, want = ", ".join(map(shown, structures)), ", ".join(map(shown, point.structures))
        raise RuntimeError(f"tangents are nested as ({have}) and primals as ({want}): they must be alike")
    tangents = [_tangent(i, t, x) for i, (t, x) in enumerate(zip(leaves, point.inputs))]
    return unflatten(point.structure, iter(point.push(tangents)))


def _tangent(i: int, t: Any, x: Tensor) -> Tensor | None:
    """The tangent of one leaf, checked; None, which is zero, stays."""
    if t is None:
        return None
    t = beside(f"tangent {i}", as_seed(t, x), x)
    if tuple(t.shape) != tuple(x.shape):
        raise RuntimeError(f"tangent {i} has shape {list(t.shape)}, and its primal has {list(x.shape)}: they must be equal")
    return t if t.dtype is x.dtype else cast(t, dtype=x._held.dtype)
