"""An algorithm as two pure functions of one parameter; what holds for all of them is here.

`start(parameter, hyper)` gives the state that a parameter begins with, a dict of tensors. `update(parameter, gradient, state,
**hyper)` gives the new parameter and the new state. Both are written in operations on real tensors. What stands around them, for
many parameters at once, complex ones too, is `step_of`: one function under `jit`, of which a tape holds the update of all. There
`maximize` and weight decay are seen to, so that rules know nothing of them.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from jitgrad.base.tree import flatten, shown, unflatten
from jitgrad.dtypes import by_name, get_default_dtype
from jitgrad.functions.complexes import view_as_complex, view_as_real
from jitgrad.functions.creation import zeros
from jitgrad.functions.data import as_tensor
from jitgrad.jitted.jit import jit
from jitgrad.tensors.tensor import Tensor

State = dict[str, Tensor]

_UNIT = ("[0, 1)", lambda value: 0 <= value < 1)
_NOT_NEGATIVE = ("[0, ∞)", lambda value: value >= 0)
_LIMITS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    **dict.fromkeys(("lr", "eps", "weight_decay", "momentum", "momentum_decay", "lr_decay", "alpha"), _NOT_NEGATIVE),
    "initial_accumulator_value": _NOT_NEGATIVE,
    "betas": _UNIT,
    "rho": ("[0, 1]", lambda value: 0 <= value <= 1),
    "beta2_decay": ("(-∞, 0]", lambda value: value <= 0),
    "d": ("[1, ∞)", lambda value: value >= 1),
    "ns_steps": ("[0, 100)", lambda value: 0 <= value < 100),
}


def is_off(value: Any) -> bool:
    """Whether a hyperparameter is zero for good, so that what it belongs to is left out."""
    return isinstance(value, (int, float)) and not value


def _decayed(p: Tensor, g: Tensor, hyper: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Parameter and gradient after weight decay: of half its multiple of the square of the parameter the gradient is added, or
    where it is decoupled the parameter alone shrinks."""
    weight_decay = hyper.get("weight_decay", 0)
    if is_off(weight_decay):
        return p, g
    if hyper.get("decoupled_weight_decay"):
        return p * (1 - hyper["lr"] * weight_decay), g
    return p, g + weight_decay * p


_ABOUT_ALL = ("maximize", "weight_decay", "decoupled_weight_decay")
"""Hyperparameters of any rule, which rules are not given; one that asks for its weight decay sees to that itself."""


def count() -> Tensor:
    """The number of steps taken so far, as a state holds it."""
    double = by_name("float64")
    return zeros((), dtype=double if get_default_dtype() is double else by_name("float32"))


class Functional:
    """An optimizer as a pair of pure functions, for loops that are compiled whole: see `jitgrad.optim.functional`.

    `init(params)` gives the state for parameters nested in any way, one dict of tensors for each of them, in a list.
    `update(grads, state, params)` gives `(new params, new state)` and changes nothing; outside of `jit` it is one compiled call,
    and inside, or in the body of a loop, part of what is compiled. Keywords change hyperparameters for one step, as schedules do:
    `update(grads, state, params, lr=...)`, a number or a tensor. A hyperparameter may also be a function of the number of steps
    taken before, a tensor: `adam(lr=lambda step: 0.1 * 0.99**step)`.

    >>> import jitgrad
    >>> opt = jitgrad.optim.functional.sgd(lr=0.25)
    >>> params = {"w": jitgrad.tensor([1.0, 2.0])}
    >>> opt.update({"w": jitgrad.tensor([4.0, 4.0])}, opt.init(params), params)
    ({'w': tensor([0., 1.])}, [{}])
    """

    def __init__(
        self,
        start: Callable,
        update: Callable,
        hyper: dict[str, Any],
        refuse_parameter: Callable[[Tensor], None] | None = None,
    ) -> None:
        for name, value in hyper.items():
            if not callable(value):
                refuse(name, value)
        self.start, self.rule, self.hyper, self._refuse = start, update, hyper, refuse_parameter
        self.name = update.__name__.lstrip("_")

    def __repr__(self) -> str:
        return f"{self.name}({', '.join([f'{name}={value!r}' for name, value in self.hyper.items()])})"

    def init(self, params: Any) -> list[State]:
        """The state that the parameters begin with."""
        leaves: list[Any] = []
        flatten(params, leaves)
        tensors = [as_tensor(p).detach() for p in leaves]
        self.refuse(tensors)
        return [begun(self.start, p, self.hyper) for p in tensors]

    def refuse(self, params: Sequence[Tensor]) -> None:
        """An error for parameters that the rule does not take."""
        if self._refuse is not None:
            for p in params:
                self._refuse(p)

    def update(self, grads: Any, state: Sequence[State], params: Any, **changes: Any) -> tuple[Any, list[State]]:
        """New parameters and new state. A gradient that is None leaves its parameter alone.

        `ValueError` if gradients, state and parameters do not fit together, `TypeError` for an unknown hyperparameter."""
        given: list[Any] = []
        leaves: list[Any] = []
        structure = flatten(params, leaves)
        if (other := flatten(grads, given)) != structure:
            raise ValueError(
                f"gradients are nested as {shown(other)}, and the parameters as {shown(structure)}: they must be alike"
            )
        if len(state) != len(leaves):
            raise ValueError(f"the state is of {len(state)} parameters, and there are {len(leaves)}: make one with init(params)")
        if unknown := changes.keys() - self.hyper.keys():
            raise TypeError(f"{self.name} has no hyperparameter {min(unknown)}: it has {', '.join(self.hyper)}")
        moved = [i for i, g in enumerate(given) if g is not None]
        parts = [[each[i] for i in moved] for each in (leaves, given, state)]
        news, states = step_of(self.rule)(*parts, plain(self.hyper | changes))
        new, kept = dict(zip(moved, news)), dict(zip(moved, states))
        found = [new.get(i, p) for i, p in enumerate(leaves)]
        return unflatten(structure, iter(found)), [kept.get(i, each) for i, each in enumerate(state)]


def refuse(name: str, value: Any) -> None:
    """`ValueError` for a number that is no such hyperparameter."""
    wanted, fits = _LIMITS.get(name, ("", lambda value: True))
    for each in value if isinstance(value, (tuple, list)) else (value,):
        if isinstance(each, Tensor) and (each._value is None or each.numel() != 1):
            continue  # which may be anything, or one number for each element
        if wanted and (isinstance(each, (str, bytes, dict)) or callable(each)):
            raise TypeError(f"{name} must be a number in {wanted}, not {type(each).__name__}")
        if each is not None and not fits(each):
            raise ValueError(f"{name} must be in {wanted}, and it is {value}")
    if name == "betas" and len(value) != 2:
        raise ValueError(f"betas must be two numbers, not {value}")


def plain(hyper: dict[str, Any]) -> dict[str, Any]:
    """Hyperparameters as `jit` is given them: numbers that may change are floats, and so inputs of the tape; what is off, or
    counts, is part of the key."""
    return {name: value if name in _COUNTS else _plain(value, name == "lr") for name, value in hyper.items()}


_COUNTS = ("ns_steps",)


def _plain(value: Any, changes: bool) -> Any:
    if isinstance(value, (tuple, list)):
        return tuple([_plain(each, changes) for each in value])
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    return float(value) if changes or value else 0


@functools.cache
def step_of(update: Callable) -> Any:
    """The function under `jit` that takes parameters, gradients, states and hyperparameters a step further, by one rule."""

    def step(params: list[Tensor], grads: list[Tensor], states: list[State], hyper: dict[str, Any]) -> tuple:
        grads = [-g for g in grads] if hyper.get("maximize") else grads
        done = [_moved(update, p, g, state, hyper) for p, g, state in zip(params, grads, states)]
        return [p for p, _ in done], [state for _, state in done]

    step.__name__ = step.__qualname__ = update.__name__.lstrip("_")
    return jit(step)


def begun(start: Callable, p: Tensor, hyper: dict[str, Any]) -> State:
    """The state that a parameter begins with; that of a complex one is complex."""
    parts = real_of(p)
    found = start(parts, _at(count(), hyper))
    if any(map(callable, hyper.values())) and "step" not in found:
        found = {"step": count(), **found}
    return {name: _as(p, x) if x.shape == parts.shape else x for name, x in found.items()} if p.dtype.is_complex else found


def _at(step: Tensor, hyper: dict[str, Any]) -> dict[str, Any]:
    """Hyperparameters, those that are functions of the number of steps as it is."""
    return {name: value(step.double()) if callable(value) else value for name, value in hyper.items()}


def _moved(update: Callable, p: Tensor, g: Tensor, state: State, hyper: dict[str, Any]) -> tuple[Tensor, State]:
    """The update of one parameter: the parts of a complex one are updated as two, and every dtype stays as it was."""
    asked, changes = inspect.signature(update).parameters, any(map(callable, hyper.values()))
    hyper = _at(state["step"], hyper) if changes else hyper
    own = {name: value for name, value in hyper.items() if name in asked or name not in _ABOUT_ALL}
    both = (real_of(p), real_of(g))
    both = both if "weight_decay" in asked else _decayed(*both, hyper)
    new, found = update(*both, {name: real_of(x) for name, x in state.items()}, **own)
    found = {"step": state["step"] + 1, **found} if changes else found
    return _as(p, new), {name: _as(value, found[name]) for name, value in state.items() if name in found}  # in their order


def real_of(x: Any) -> Any:
    """A complex tensor seen as its parts, along a last dimension; whatever else there is as it is."""
    return view_as_real(x) if isinstance(x, Tensor) and x.dtype.is_complex else x


def _as(old: Tensor, new: Tensor) -> Tensor:
    """`new` in the dtype of `old`: beside a tensor of no dimensions hyperparameters in double precision widen it."""
    return view_as_complex(new) if old.dtype.is_complex else new.to(old.dtype)
