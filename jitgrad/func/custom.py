"""`custom_vjp` and `custom_jvp`: functions that bring a derivative of their own.

A call is one row of a new op: its value is what the function computes, its derivative what the user says. While a
trace records, the row keeps the tape of the function, from which it is run, lowered for compiling, and batched.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from jitgrad.base.tree import flatten
from jitgrad.func.custom_call import Tensors, _Call, _transpose_of
from jitgrad.tensors.tensor import Tensor


class Custom:
    """A function with a derivative of its own, as a decorator makes it; called like the function."""

    def __init__(self, function: Callable | None = None) -> None:
        if not callable(function):
            given = "nothing" if function is None else type(function).__name__
            raise TypeError(f"{type(self).__name__} takes a function, not {given}: as a decorator it stands without parentheses")
        functools.update_wrapper(self, function)
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if _holds_tensors(kwargs):
            args, kwargs = self._by_position(args, kwargs)
        call = _Call(self, args, kwargs)
        return call.traced() if any(x._value is None for x in call.xs) else call.eager()

    def _by_position(self, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        """The arguments, those by keyword and defaults at the places of their parameters: rules are about places.

        TypeError if they do not fit, or a tensor can be given by keyword alone.
        """
        given = inspect.signature(self._function).bind(*args, **kwargs)
        given.apply_defaults()
        if _holds_tensors(given.kwargs):
            raise TypeError(f"{self.__name__}: tensors are given by position, and one of {', '.join(given.kwargs)} holds one")  # type: ignore[attr-defined]
        return given.args, given.kwargs

    def batching(self, call: _Call) -> Callable | None:
        """How a row of the call runs for many examples (as `Op.batch`), where that does not follow from its tape."""
        return None

    def rules(self, call: _Call) -> tuple[Callable, Callable | None]:
        """`pull(xs, gs)`, and `push(xs, ts)` or None if it follows from that, of the cotangents and tangents of the floating
        results."""
        raise NotImplementedError


def _holds_tensors(tree: Any) -> bool:
    leaves: list[Any] = []
    if tree:
        flatten(tree, leaves)
    return any(isinstance(leaf, Tensor) for leaf in leaves)


class custom_vjp(Custom):
    """A function whose cotangents you compute yourself; give the rules with `defvjp(forward, backward)`.

    `forward(*args)` returns the result and residuals, anything that `backward(residuals, cotangent)` needs. That returns a
    tuple with a cotangent for each argument: nested like it, or None for what gets none. Arguments that hold no tensors
    are handed on as they are. The rules are written in jitgrad's operations and so differentiated again; `forward` runs
    when a gradient is asked for. Works under every transform: `jvp` transposes your rule, `vmap` batches it. Results have
    memory of their own. Tensors given by keyword count as given at the places of their parameters.

    Raises `TypeError` or `ValueError` for rules that are missing or whose results do not fit, `RuntimeError` for a function that
    uses a tensor from outside that requires grad: rules are about arguments alone.

    >>> import jitgrad
    >>> @jitgrad.custom_vjp
    ... def straight_through(x):
    ...     return x.round()
    >>> straight_through.defvjp(lambda x: (straight_through(x), None), lambda residuals, g: (g,))
    >>> jitgrad.value_and_grad(lambda x: straight_through(x) * x)(jitgrad.tensor(1.7))
    (tensor(3.4000), tensor(3.7000))
    """

    _forward: Callable | None = None
    _backward: Callable | None = None

    def defvjp(self, forward: Callable, backward: Callable) -> None:
        """Set the rules."""
        self._forward, self._backward = forward, backward

    def rules(self, call: _Call) -> tuple[Callable, Callable | None]:
        forward, backward = self._forward, self._backward
        if forward is None or backward is None:
            raise TypeError(f"{self.__name__} has no rules: call {self.__name__}.defvjp(forward, backward) first")  # type: ignore[attr-defined]

        def pull(xs: Tensors, gs: Tensors) -> list[Any]:
            args, kwargs = call.rebuilt(xs)
            found = forward(*args, **kwargs)
            if not isinstance(found, tuple) or len(found) != 2:
                raise TypeError(f"forward must return (result, residuals), not {type(found).__name__}")
            call.results.floating(found[0], "what the forward rule returned")
            return call.cotangents(xs, backward(found[1], call.results.nested(gs)))

        return pull, None


class custom_jvp(Custom):
    """A function whose tangents you compute yourself; give the rule with `defjvp`, also as a decorator.

    `rule(primals, tangents)` gets two tuples, of the arguments and of their tangents (zeros where there is none, None for
    what is no floating tensor), and returns the result and its tangent, which must be linear in the tangents. The rule is
    written in jitgrad's operations and so differentiated again; reverse sweeps transpose it, `vmap` batches it.

    Raises `TypeError` or `ValueError` for a rule that is missing or whose result does not fit.

    >>> import jitgrad
    >>> @jitgrad.custom_jvp
    ... def log1pexp(x):
    ...     return (1 + x.exp()).log()
    >>> @log1pexp.defjvp
    ... def rule(primals, tangents):
    ...     (x,), (t,) = primals, tangents
    ...     return log1pexp(x), t * (1 - 1 / (1 + x.exp()))
    >>> jitgrad.grad(log1pexp)(jitgrad.tensor(100.0))
    tensor(1.)
    """

    _rule: Callable | None = None

    def defjvp(self, rule: Callable) -> Callable:
        """Set the rule."""
        self._rule = rule
        return rule

    def rules(self, call: _Call) -> tuple[Callable, Callable | None]:
        rule = self._rule
        if rule is None:
            raise TypeError(f"{self.__name__} has no rule: set one with @{self.__name__}.defjvp first")  # type: ignore[attr-defined]

        def push(xs: Tensors, ts: Tensors) -> list[Any]:
            args, kwargs = call.rebuilt(xs)
            if kwargs:
                raise TypeError("a function with a custom_jvp takes positional arguments where it is differentiated")
            tangents, _ = call.rebuilt(ts, others=None)
            found = rule(tuple(args), tuple(tangents))
            if not isinstance(found, tuple) or len(found) != 2:
                raise TypeError(f"the rule must return (result, tangent), not {type(found).__name__}")
            return call.results.floating(found[1], "the tangent that the rule returned")

        return _transpose_of(push), push
