"""Optimizers as objects, as in `torch.optim`: parameters in groups, their states, and `step()`, which changes them in place."""

from __future__ import annotations

import copy
import functools
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from jitgrad.autograd.removal import HookHandle, listed
from jitgrad.base.tree import tree_map
from jitgrad.functions.data import as_tensor
from jitgrad.optim.rule import refuse
from jitgrad.tensors.tensor import Tensor


class Optimizer:
    """What all optimizers share; derive from it, with a `step` of your own, for one that is not here.

    `params` are tensors that require grad, or dicts, one for each group of parameters, which may give values of their own for
    what is in `defaults`; pairs (name, tensor) too. `param_groups` are the groups, as dicts whose entries may be changed between
    steps; `state` holds what an algorithm remembers, a dict for each parameter. Raises `TypeError` for what are no tensors,
    `ValueError` for no parameters, for parameters that are no leaves, that are in several groups, or lack a value.
    """

    param_groups: list[dict[str, Any]]
    state: dict[Tensor, dict[str, Any]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in vars(cls):
            cls.step = _hooked(cls.step)  # type: ignore[method-assign]

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.state = defaultdict(dict)
        self.param_groups = []
        self.steps = 0
        """How many steps were taken, for what must know whether there was one."""
        self._hooks: dict[str, dict[int, Callable]] = {moment: {} for moment in _MOMENTS}
        if isinstance(params, (Tensor, np.ndarray)):
            raise TypeError("an optimizer takes a list of parameters, or of groups: for one tensor write [tensor]")
        groups = list(params)
        if not groups:
            raise ValueError("an optimizer was given no parameters: the list is empty, or an iterator that was used up before")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters, with values of their own for any of `defaults`; errors are as those of the class."""
        if not isinstance(param_group, dict):
            raise TypeError(f"a group of parameters is a dict with 'params', not {type(param_group).__name__}")
        group = param_group  # the very one, as in PyTorch, so that its owner may change it
        group |= _listed(group["params"])
        for name, value in self.defaults.items():
            if group.setdefault(name, value) is REQUIRED:
                raise ValueError(f"a group of parameters has no value for {name}, which has none by default: give it one")
            refuse(name, group[name])
            if isinstance(group[name], Tensor) and group[name].numel() != 1:
                raise ValueError(f"{name} must be one number for a group, and it is a tensor of shape {list(group[name].shape)}")
        _refuse_bad(group["params"])
        if {id(p) for p in group["params"]} & {id(p) for other in self.param_groups for p in other["params"]}:
            raise ValueError("a parameter is in more than one group, and would be changed twice: leave it in one")
        if self.param_groups and ("param_names" in group) != ("param_names" in self.param_groups[0]):
            raise ValueError("parameters of all groups must have names, or of none")
        self.param_groups.append(group)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change the parameters. A `closure` computes the loss anew, with gradients, and its result is returned."""
        raise NotImplementedError(f"{type(self).__name__} has no step: derive from Optimizer and write one")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or with `set_to_none=False` fill them with zeros in place."""
        for p in [p for group in self.param_groups for p in group["params"]]:
            if p.grad is not None and not set_to_none:
                p.grad.detach_().zero_()
            elif set_to_none:
                p.grad = None

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> HookHandle:
        """Call `hook(optimizer, args, kwargs)` before each step; it may return others. The first of `args` is the optimizer."""
        return listed(self._hooks["before step"], hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> HookHandle:
        """Call `hook(optimizer, args, kwargs)` after each step."""
        return listed(self._hooks["after step"], hook)

    def register_state_dict_pre_hook(self, hook: Callable[[Any], Any], prepend: bool = False) -> HookHandle:
        """Call `hook(optimizer)` before each `state_dict()`, with `prepend` before the hooks that there are."""
        return self._listed("before state_dict", hook, prepend)

    def register_state_dict_post_hook(self, hook: Callable[[Any, Any], Any], prepend: bool = False) -> HookHandle:
        """Call `hook(optimizer, state_dict)` with each `state_dict()`; it may change it, or return another."""
        return self._listed("after state_dict", hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Callable[[Any, Any], Any], prepend: bool = False) -> HookHandle:
        """Call `hook(optimizer, state_dict)` with what `load_state_dict` is given; it may change it, or return another."""
        return self._listed("before load_state_dict", hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Callable[[Any], Any], prepend: bool = False) -> HookHandle:
        """Call `hook(optimizer)` after each `load_state_dict`."""
        return self._listed("after load_state_dict", hook, prepend)

    def _listed(self, moment: str, hook: Callable, prepend: bool) -> HookHandle:
        hooks = self._hooks[moment]
        before = list(hooks.items()) if prepend else []
        handle = listed(hooks, hook)
        for key, other in before:  # to the end, behind the new one
            del hooks[key]
            hooks[key] = other
        return handle

    def _shown(self, moment: str, state_dict: dict[str, Any]) -> dict[str, Any]:
        """The dict, or the other one that hooks return."""
        for hook in list(self._hooks[moment].values()):
            found = hook(self, state_dict)
            state_dict = state_dict if found is None else found
        return state_dict

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_hooks": {moment: {} for moment in _MOMENTS}}  # which are of this object alone

    def state_dict(self) -> dict[str, Any]:
        """State and groups in PyTorch's form, with numbers for the parameters; tensors in it are those of this optimizer."""
        for hook in list(self._hooks["before state_dict"].values()):
            hook(self)
        number = {id(p): i for i, p in enumerate([p for group in self.param_groups for p in group["params"]])}
        groups = [
            {name: value for name, value in group.items() if name != "params"}
            | {"params": [number[id(p)] for p in group["params"]]}
            for group in self.param_groups
        ]
        state = {number.get(id(p), p): held for p, held in self.state.items()}
        return self._shown("after state_dict", {"state": state, "param_groups": groups})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take state and hyperparameters of a `state_dict()`, of PyTorch too once its tensors are arrays; all is copied.

        State gets the dtype of its parameter, and a group that lacks a hyperparameter its default. `ValueError` if groups, or
        numbers of parameters in them, are others.
        """
        state_dict = self._shown("before load_state_dict", dict(state_dict))
        groups, mine = copy.deepcopy(state_dict["param_groups"]), self.param_groups
        if [len(group["params"]) for group in groups] != [len(group["params"]) for group in mine]:
            raise ValueError(
                f"the state is of groups of {[len(group['params']) for group in groups]} parameters, and this optimizer has "
                f"groups of {[len(group['params']) for group in mine]}"
            )
        pairs = zip([i for group in groups for i in group["params"]], [p for group in mine for p in group["params"]])
        by_number = dict(pairs)
        state: dict[Any, Any] = defaultdict(dict)
        for key, held in state_dict["state"].items():
            p = by_number.get(key, key)
            state[p] = {name: _brought(name, value, p) for name, value in held.items()} if isinstance(p, Tensor) else held
        names = [{"param_names": group["param_names"]} if "param_names" in group else {} for group in mine]
        self.state = state
        self.param_groups = [
            {**self.defaults, **new, "params": old["params"], **own} for new, old, own in zip(groups, mine, names)
        ]
        for hook in list(self._hooks["after load_state_dict"].values()):
            hook(self)

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines += [f"Parameter Group {i}", *[f"    {name}: {group[name]}" for name in sorted(group) if name != "params"]]
        return "\n".join([*lines, ")"])


_MOMENTS = [f"{when} {what}" for what in ("step", "state_dict", "load_state_dict") for when in ("before", "after")]
"""When hooks are called."""
REQUIRED: Any = object()
"""Stands in `defaults` for what every group must give."""


def _hooked(step: Callable) -> Callable:
    """A method `step` with the hooks around it."""

    @functools.wraps(step)
    def call(self: Optimizer, *given: Any, **kwargs: Any) -> Any:
        args: tuple = (self, *given)
        for hook in list(self._hooks["before step"].values()):
            changed = hook(self, args, kwargs)
            if changed is not None:
                if not isinstance(changed, tuple) or len(changed) != 2:
                    raise RuntimeError(f"a hook before a step returns None or (args, kwargs), not {changed!r}")
                args, kwargs = changed
        result = step(*args, **kwargs)
        self.steps += 1
        for hook in list(self._hooks["after step"].values()):
            hook(self, args, kwargs)
        return result

    return call


def _listed(params: Any) -> dict[str, Any]:
    """The entries of a group for its parameters: a list of them, and their names if they are given as pairs."""
    if isinstance(params, (set, frozenset)):
        raise TypeError("parameters must stand in an order that is the same in every run: give a list, not a set")
    found = [params] if isinstance(params, Tensor) else list(params) if isinstance(params, Iterable) else [params]
    named = [isinstance(each, tuple) and len(each) == 2 and isinstance(each[0], str) for each in found]
    if any(named) and not all(named):
        raise ValueError("either all parameters of a group are pairs of name and tensor, or none is")
    return (
        {"params": [p for _, p in found], "param_names": [name for name, _ in found]}
        if found and all(named)
        else {"params": found}
    )


def _refuse_bad(params: list[Any]) -> None:
    for p in params:
        if not isinstance(p, Tensor):
            raise TypeError(
                f"an optimizer changes tensors, and it was given {type(p).__name__}: make jitgrad.tensor(..., requires_grad=True)"
            )
        if not p.is_leaf:
            raise ValueError(
                f"an optimizer changes leaves, and a tensor of shape {list(p.shape)} is the result of {p._row.op.name}: give "
                "it the tensors that that was computed from, or detach().requires_grad_()"
            )
    if len({id(p) for p in params}) != len(params):
        warnings.warn("a group of parameters has one of them twice, which would be changed twice in a step", stacklevel=4)


_NUMBERS = ("step", "mu_product", "eta", "mu")
"""What states hold that is of no dtype of a parameter."""


def _brought(name: str, value: Any, p: Tensor) -> Any:
    """A value of a state as the optimizer of `p` keeps it, a copy."""

    def one(leaf: Any) -> Any:
        if not isinstance(leaf, (Tensor, np.ndarray, np.generic)) and name != "step":
            return copy.deepcopy(leaf)
        found = as_tensor(leaf).detach().clone()
        return found if name in _NUMBERS or not p.dtype.is_floating_point else found.to(p.device, p.dtype)

    return tree_map(one, value)
