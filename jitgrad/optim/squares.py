"""Steps scaled by squares of gradients: RMSprop, Adagrad and Adadelta."""

from __future__ import annotations

from typing import Any

from jitgrad.functions.creation import full_like, zeros_like
from jitgrad.optim.compiled import Compiled
from jitgrad.optim.rule import Functional, State, count, is_off
from jitgrad.tensors.tensor import Tensor


def _start_rmsprop(p: Tensor, hyper: dict[str, Any]) -> State:
    momentum = {} if is_off(hyper["momentum"]) else {"momentum_buffer": zeros_like(p)}
    centre = {"grad_avg": zeros_like(p)} if hyper["centered"] else {}
    return {"step": count(), "square_avg": zeros_like(p)} | momentum | centre


def _rmsprop(
    p: Tensor, g: Tensor, state: State, *, lr: Any, alpha: Any, eps: Any, momentum: Any, centered: bool
) -> tuple[Tensor, State]:
    square = alpha * state["square_avg"] + (1 - alpha) * g * g
    new, variance = {"step": state["step"] + 1, "square_avg": square}, square
    if centered:
        mean = new["grad_avg"] = state["grad_avg"] + (1 - alpha) * (g - state["grad_avg"])
        variance = square - mean * mean
    move = g / (variance.sqrt() + eps)
    if not is_off(momentum):
        move = new["momentum_buffer"] = momentum * state["momentum_buffer"] + move
    return p - lr * move, new


def rmsprop(
    lr: float = 1e-2,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0,
    momentum: float = 0,
    centered: bool = False,
    *,
    maximize: bool = False,
) -> Functional:
    """RMSprop: v ← alpha v + (1 − alpha) g², b ← momentum b + g / (√v + eps), p ← p − lr b.

    If it is `centered` the square of the running mean of g is taken off v under the root. Hinton, lecture 6 of "Neural networks
    for machine learning" (2012); Graves, "Generating sequences with recurrent neural networks" (2013). `weight_decay` adds its
    multiple of p to g first.
    """
    return Functional(_start_rmsprop, _rmsprop, dict(locals()))


def _start_adagrad(p: Tensor, hyper: dict[str, Any]) -> State:
    return {"step": count(), "sum": full_like(p, hyper["initial_accumulator_value"])}


def _adagrad(
    p: Tensor,
    g: Tensor,
    state: State,
    *,
    lr: Any,
    lr_decay: Any,
    initial_accumulator_value: Any,
    eps: Any,
) -> tuple[Tensor, State]:
    step, total = state["step"] + 1, state["sum"] + g * g
    return p - lr / (1 + (step.double() - 1) * lr_decay) * g / (total.sqrt() + eps), {"step": step, "sum": total}


def adagrad(
    lr: float = 1e-2,
    lr_decay: float = 0,
    weight_decay: float = 0,
    initial_accumulator_value: float = 0,
    eps: float = 1e-10,
    *,
    maximize: bool = False,
) -> Functional:
    """Adagrad: s ← s + g², p ← p − lr / (1 + (t − 1) lr_decay) g / (√s + eps), for steps t = 1, 2, …

    s begins with `initial_accumulator_value`. Duchi, Hazan & Singer, "Adaptive subgradient methods for online learning and
    stochastic optimization" (2011). `weight_decay` adds its multiple of p to g first.
    """
    return Functional(_start_adagrad, _adagrad, dict(locals()))


def _start_adadelta(p: Tensor, hyper: dict[str, Any]) -> State:
    return {"step": count(), "square_avg": zeros_like(p), "acc_delta": zeros_like(p)}


def _adadelta(p: Tensor, g: Tensor, state: State, *, lr: Any, rho: Any, eps: Any) -> tuple[Tensor, State]:
    square = rho * state["square_avg"] + (1 - rho) * g * g
    move = (state["acc_delta"] + eps).sqrt() / (square + eps).sqrt() * g
    moved = rho * state["acc_delta"] + (1 - rho) * move * move
    return p - lr * move, {"step": state["step"] + 1, "square_avg": square, "acc_delta": moved}


def adadelta(
    lr: float = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0, *, maximize: bool = False
) -> Functional:
    """Adadelta: v ← rho v + (1 − rho) g², d = √(u + eps) / √(v + eps) g, u ← rho u + (1 − rho) d², p ← p − lr d.

    Zeiler, "ADADELTA: an adaptive learning rate method" (2012). `weight_decay` adds its multiple of p to g first.
    """
    return Functional(_start_adadelta, _adadelta, dict(locals()))


class RMSprop(Compiled):
    """Steps by the root of the running mean square, as `torch.optim.RMSprop`; the formula is that of `functional.rmsprop`."""

    functional = staticmethod(rmsprop)


class Adagrad(Compiled):
    """Steps by the root of all squares so far, as `torch.optim.Adagrad`; the formula is that of `functional.adagrad`."""

    functional = staticmethod(adagrad)
    how = ("foreach", "differentiable", "fused")


class Adadelta(Compiled):
    """Steps in the units of the parameters, as `torch.optim.Adadelta`; the formula is that of `functional.adadelta`."""

    functional = staticmethod(adadelta)
