"""Gradient descent, with momentum, and with the mean of where it was."""

from __future__ import annotations

from typing import Any

from jitgrad.functions.creation import zeros_like
from jitgrad.optim.compiled import Compiled
from jitgrad.optim.rule import Functional, State, count, is_off
from jitgrad.tensors.tensor import Tensor


def _start(p: Tensor, hyper: dict[str, Any]) -> State:
    if is_off(hyper["momentum"]):
        return {}
    buffer = {"momentum_buffer": zeros_like(p)}
    return buffer if is_off(hyper["dampening"]) else {"step": count(), **buffer}


def _sgd(p: Tensor, g: Tensor, state: State, *, lr: Any, momentum: Any, dampening: Any, nesterov: bool) -> tuple[Tensor, State]:
    if is_off(momentum):
        return p - lr * g, {}
    state = dict(state)
    new = (1 - dampening) * g
    if "step" in state:  # the first gradient is not dampened
        new = g.where(state["step"] == 0, new)
        state["step"] = state["step"] + 1
    buffer = state["momentum_buffer"] = momentum * state["momentum_buffer"] + new
    return p - lr * (g + momentum * buffer if nesterov else buffer), state


def sgd(
    lr: float = 1e-3,
    momentum: float = 0,
    dampening: float = 0,
    weight_decay: float = 0,
    nesterov: bool = False,
    *,
    maximize: bool = False,
) -> Functional:
    """Gradient descent: b ← momentum b + (1 − dampening) g, then p ← p − lr b; the first b is g.

    With `nesterov` p ← p − lr (g + momentum b). `weight_decay` adds its multiple of p to g first. Sutskever et al., "On the
    importance of initialization and momentum in deep learning" (2013). `ValueError` for negative numbers, and for `nesterov`
    without momentum or with dampening.

    >>> import jitgrad
    >>> opt = jitgrad.optim.functional.sgd(lr=0.5, momentum=0.9)
    >>> w = jitgrad.tensor(4.0)
    >>> state = opt.init(w)
    >>> for _ in range(2):
    ...     w, state = opt.update(w, state, w)
    >>> w
    tensor(-0.8000)
    """
    hyper = dict(locals())
    if nesterov and (is_off(momentum) or not is_off(dampening)):
        raise ValueError(f"nesterov needs momentum and no dampening, and they are {momentum} and {dampening}")
    return Functional(_start, _sgd, hyper)


def _start_asgd(p: Tensor, hyper: dict[str, Any]) -> State:
    return {"step": count(), "eta": count() + hyper["lr"], "mu": count() + 1, "ax": zeros_like(p)}


def _asgd(p: Tensor, g: Tensor, state: State, *, lr: Any, lambd: Any, alpha: Any, t0: Any) -> tuple[Tensor, State]:
    step, eta, mu, mean = state["step"] + 1, state["eta"].double(), state["mu"].double(), state["ax"]
    new = p * (1 - lambd * eta) - eta * g
    t = step.double()
    following = {"eta": lr / (1 + lambd * lr * t) ** alpha, "mu": 1 / (t - t0).clamp(min=1)}
    return new, {"step": step, **following, "ax": new.where(mu == 1, mean + mu * (new - mean))}


def asgd(
    lr: float = 1e-2,
    lambd: float = 1e-4,
    alpha: float = 0.75,
    t0: float = 1e6,
    weight_decay: float = 0,
    *,
    maximize: bool = False,
) -> Functional:
    """Averaged gradient descent: p ← (1 − lambd η) p − η g, with η = lr / (1 + lambd lr t)^alpha from the second step on.

    The state holds in "ax" the mean of p over the steps after `t0` + 1, and p itself before. Polyak & Juditsky, "Acceleration of
    stochastic approximation by averaging" (1992). `weight_decay` adds its multiple of p to g first.
    """
    return Functional(_start_asgd, _asgd, dict(locals()))


class ASGD(Compiled):
    """Averaged gradient descent, as `torch.optim.ASGD`; the formula is that of `functional.asgd`."""

    functional = staticmethod(asgd)


class SGD(Compiled):
    """Gradient descent, with momentum, as `torch.optim.SGD`; the formula is that of `functional.sgd`.

    >>> import jitgrad
    >>> w = jitgrad.tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = jitgrad.optim.SGD([w], lr=0.25)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([0.5000, 1.0000], requires_grad=True)
    """

    functional = staticmethod(sgd)
    how = ("foreach", "differentiable", "fused")
