"""Kin of Adam: Adamax, NAdam and RAdam."""

from __future__ import annotations

from typing import Any

from jitgrad.functions.creation import zeros_like
from jitgrad.optim.adam import followed, means
from jitgrad.optim.compiled import Compiled
from jitgrad.optim.rule import Functional, State, count
from jitgrad.tensors.tensor import Tensor

_NADAM = 0.96
"""What Dozat's schedule of momentum is a power of."""


def _start_adamax(p: Tensor, hyper: dict[str, Any]) -> State:
    return {"step": count(), "exp_avg": zeros_like(p), "exp_inf": zeros_like(p)}


def _adamax(p: Tensor, g: Tensor, state: State, *, lr: Any, betas: tuple[Any, Any], eps: Any) -> tuple[Tensor, State]:
    beta1, beta2 = betas
    step = state["step"] + 1
    mean = state["exp_avg"] + (1 - beta1) * (g - state["exp_avg"])
    largest = (beta2 * state["exp_inf"]).maximum(g.abs() + eps)
    new = p - lr / (1 - beta1 ** step.double()) * mean / largest
    return new, {"step": step, "exp_avg": mean, "exp_inf": largest}


def adamax(
    lr: float = 2e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0,
    *,
    maximize: bool = False,
) -> Functional:
    """Adam by the largest gradient: m as in `adam`, u ← max(β₂ u, |g| + eps), p ← p − lr / (1 − β₁ᵗ) m / u.

    Kingma & Ba, "Adam: a method for stochastic optimization" (2015), section 7. `weight_decay` adds its multiple of p to g first.
    """
    return Functional(_start_adamax, _adamax, dict(locals()))


def _start_nadam(p: Tensor, hyper: dict[str, Any]) -> State:
    return {"step": count(), "mu_product": count() + 1} | means(p)


def _nadam(
    p: Tensor,
    g: Tensor,
    state: State,
    *,
    lr: Any,
    betas: tuple[Any, Any],
    eps: Any,
    momentum_decay: Any,
) -> tuple[Tensor, State]:
    beta1, beta2 = betas
    step, mean, square = followed(g, state, beta1, beta2)
    t = step.double()
    now, following = [beta1 * (1 - 0.5 * _NADAM ** (n * momentum_decay)) for n in (t, t + 1)]
    product = state["mu_product"] * now.to(step.dtype)
    scale = (square / (1 - beta2**t)).sqrt() + eps
    of_gradient, of_mean = (1 - now) / (1 - product.double()), following / (1 - product.double() * following)
    new = p - lr * of_gradient * g / scale - lr * of_mean * mean / scale
    return new, {"mu_product": product, "step": step, "exp_avg": mean, "exp_avg_sq": square}


def nadam(
    lr: float = 2e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0,
    momentum_decay: float = 4e-3,
    decoupled_weight_decay: bool = False,
    *,
    maximize: bool = False,
) -> Functional:
    """Adam with Nesterov's momentum: p ← p − lr ((1 − μₜ) g / (1 − Πμ) + μₜ₊₁ m / (1 − Πμ μₜ₊₁)) / (√v̂ + eps).

    m and v̂ are those of `adam`, μₜ = β₁ (1 − 0.96^(t momentum_decay) / 2), and Πμ the product of those up to t. Dozat,
    "Incorporating Nesterov momentum into Adam" (2016). Weight decay is as in `adam`.
    """
    return Functional(_start_nadam, _nadam, dict(locals()))


def _start_radam(p: Tensor, hyper: dict[str, Any]) -> State:
    return means(p)


def _radam(
    p: Tensor,
    g: Tensor,
    state: State,
    *,
    lr: Any,
    betas: tuple[Any, Any],
    eps: Any,
) -> tuple[Tensor, State]:
    beta1, beta2 = betas
    step, mean, square = followed(g, state, beta1, beta2)
    t = step.double()
    most = 2 / (1 - beta2) - 1
    rho = most - 2 * t * beta2**t / (1 - beta2**t)
    tractable = rho > 5
    safe = rho.where(tractable, 6)  # so that no root of what is not used is nan
    rectified = ((safe - 4) * (safe - 2) * most / ((most - 4) * (most - 2) * safe)).sqrt()
    scaled = rectified * (1 - beta2**t).sqrt() / (square.sqrt() + eps)
    factor = scaled.where(tractable, 1)
    return p - lr / (1 - beta1**t) * mean * factor, {"step": step, "exp_avg": mean, "exp_avg_sq": square}


def radam(
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0,
    decoupled_weight_decay: bool = False,
    *,
    maximize: bool = False,
) -> Functional:
    """Adam with a rectified variance: p ← p − lr m̂ r √(1 − β₂ᵗ) / (√v + eps) where ρₜ > 5, else p ← p − lr m̂.

    m̂ and v are those of `adam`; ρ∞ = 2 / (1 − β₂) − 1, ρₜ = ρ∞ − 2 t β₂ᵗ / (1 − β₂ᵗ), and r² = (ρₜ − 4)(ρₜ − 2) ρ∞ / ((ρ∞ − 4)
    (ρ∞ − 2) ρₜ). Liu et al., "On the variance of the adaptive learning rate and beyond" (2020). Weight decay is as in `adam`.
    """
    return Functional(_start_radam, _radam, dict(locals()))


class Adamax(Compiled):
    """Adam by the largest gradient, as `torch.optim.Adamax`; the formula is that of `functional.adamax`."""

    functional = staticmethod(adamax)


class NAdam(Compiled):
    """Adam with Nesterov's momentum, as `torch.optim.NAdam`; the formula is that of `functional.nadam`."""

    functional = staticmethod(nadam)


class RAdam(Compiled):
    """Adam with a rectified variance, as `torch.optim.RAdam`; the formula is that of `functional.radam`."""

    functional = staticmethod(radam)
