"""Optimizers that follow a rule: all of the mathematics is the rule's, and what is here holds for each of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from jitgrad.autograd.modes import enable_grad, no_grad
from jitgrad.errors import TracedValueError
from jitgrad.optim.optimizer import Optimizer
from jitgrad.optim.rule import Functional, begun, plain, step_of
from jitgrad.tensors.inplace import overwrite
from jitgrad.tensors.tensor import Tensor, wrap

_HOW = {"foreach": None, "capturable": False, "differentiable": False, "fused": None}
"""How PyTorch is to compute, in what order of loops; it is taken and kept for programs that say it, and changes nothing here."""

TOGETHER = 16
"""How many parameters one call changes: as many as make no tape so long, by any rule, that no machine code is compiled for it.
Further calls for parameters of the same shapes run the same code."""


class Compiled(Optimizer):
    """An optimizer by the rule of `functional`, whose hyperparameters it takes: the update of a group is one compiled call, or a
    few if it has many parameters."""

    functional: ClassVar[Callable[..., Functional]]
    how: ClassVar[tuple[str, ...]] = ("foreach", "capturable", "differentiable")
    """Which of `_HOW` PyTorch's optimizer of that name takes."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = inspect.signature(cls.functional).parameters.values()
        first = inspect.Parameter("params", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        how = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=_HOW[name]) for name in cls.how]
        cls.__signature__ = inspect.Signature([first, *own, *how])  # type: ignore[attr-defined]

    def __init__(self, params: Any, *args: Any, **kwargs: Any) -> None:
        how = {name: kwargs.pop(name, _HOW[name]) for name in self.how}
        if how.get("fused") and how.get("foreach"):
            raise RuntimeError(f"{type(self).__name__}: fused and foreach cannot both be True: here neither changes anything")
        if how.get("differentiable"):
            raise NotImplementedError(
                f"{type(self).__name__} changes parameters in place, and nothing can be differentiated through that: use "
                f"jitgrad.optim.functional.{self.functional.__name__}, which gives new ones"
            )
        made = self.functional(*args, **kwargs)
        self.made, self.names = made, tuple(made.hyper)
        super().__init__(params, made.hyper | how)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        self.made.refuse(self.param_groups[-1]["params"])

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        with no_grad():
            for group in self.param_groups:
                self._change(group)
        return loss

    def _change(self, group: dict[str, Any]) -> None:
        moved = [p for p in group["params"] if p.grad is not None]
        if any(x._value is None for p in moved for x in (p, p.grad)):
            raise TracedValueError(
                f"{type(self).__name__}.step() changes tensors that have no value yet, under jit or vmap: a step to be recorded "
                f"is one of jitgrad.optim.functional.{self.functional.__name__}, whose update gives new parameters"
            )
        hyper = {name: group[name] for name in self.names}
        while moved:
            now, moved = _at_once(moved)
            self._change_some(now, hyper)

    def _change_some(self, moved: list[Tensor], hyper: dict[str, Any]) -> None:
        states = [self.state.get(p) or begun(self.made.start, p.detach(), hyper) for p in moved]
        values = [wrap(p._value) for p in moved]
        news, states = step_of(self.made.rule)(values, [wrap(p.grad._value) for p in moved], states, plain(hyper))
        for p, new, state in zip(moved, news, states):
            overwrite(p, new, "step")
            if state:
                self.state[p].update(state)


def _at_once(params: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """The first parameters, which one call may change, and the others: what is there again, or lies in memory that one of the
    first ones changes, waits for that change."""
    now: list[Tensor] = []
    seen: dict[int, list[Tensor]] = {}
    for p in params[:TOGETHER]:
        alike = seen.setdefault(id(p if p._storage is None else p._storage), [])
        if any(_overlap(p, other) for other in alike):
            break
        alike.append(p)
        now.append(p)
    return now, params[len(now) :]


def _overlap(p: Tensor, q: Tensor) -> bool:
    """Whether parameters with the same memory share elements; of parts of one vector, say, no two do."""
    places = [p._value, q._value]
    return p is q or not all(isinstance(x, np.ndarray) for x in places) or np.may_share_memory(*places)
