"""Adam and AdamW: steps scaled by running means of gradients and of their squares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from jitgrad.functions.creation import zeros_like
from jitgrad.optim.compiled import Compiled
from jitgrad.optim.rule import Functional, State, count
from jitgrad.tensors.tensor import Tensor


def means(p: Tensor) -> State:
    """The state of the kin of Adam: a number of steps, and running means of the gradient and of its square."""
    return {"step": count(), "exp_avg": zeros_like(p), "exp_avg_sq": zeros_like(p)}


def followed(g: Tensor, state: State, beta1: Any, beta2: Any) -> tuple[Tensor, Tensor, Tensor]:
    """The number of this step, and both means with this gradient."""
    mean, square = state["exp_avg"], state["exp_avg_sq"]
    return state["step"] + 1, mean + (1 - beta1) * (g - mean), beta2 * square + (1 - beta2) * g * g


def _start(p: Tensor, hyper: dict[str, Any]) -> State:
    return means(p) | ({"max_exp_avg_sq": zeros_like(p)} if hyper["amsgrad"] else {})


def _adam(
    p: Tensor,
    g: Tensor,
    state: State,
    *,
    lr: Any,
    betas: tuple[Any, Any],
    eps: Any,
    amsgrad: bool,
) -> tuple[Tensor, State]:
    beta1, beta2 = betas
    step, mean, square = followed(g, state, beta1, beta2)
    before, state = state, {"step": step, "exp_avg": mean, "exp_avg_sq": square}
    if amsgrad:
        square = state["max_exp_avg_sq"] = before["max_exp_avg_sq"].maximum(square)
    t = step.double()
    return p - lr / (1 - beta1**t) * mean / (square.sqrt() / (1 - beta2**t).sqrt() + eps), state


def adam(
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0,
    amsgrad: bool = False,
    *,
    maximize: bool = False,
    decoupled_weight_decay: bool = False,
) -> Functional:
    """Adam: m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², p ← p − lr m̂ / (√v̂ + eps), where m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ).

    With `amsgrad` v̂ is the largest v so far. `weight_decay` adds its multiple of p to g first, or where it is decoupled takes lr
    times it off p. Kingma & Ba, "Adam: a method for stochastic optimization" (2015); Reddi, Kale & Kumar, "On the convergence of
    Adam and beyond" (2018). `ValueError` for numbers out of their ranges.

    >>> import jitgrad
    >>> opt = jitgrad.optim.functional.adam(lr=0.1)
    >>> loss = lambda w: ((w - 3) ** 2).sum()
    >>> def train(w):
    ...     def body(i, carried):
    ...         w, state = carried
    ...         return opt.update(jitgrad.grad(loss)(w), state, w)
    ...     return jitgrad.fori_loop(0, 200, body, (w, opt.init(w)))[0]
    >>> jitgrad.jit(train)(jitgrad.zeros(2)).round(decimals=2)
    tensor([3., 3.])
    """
    return Functional(_start, _adam, dict(locals()))


def adamw(
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
    amsgrad: bool = False,
    *,
    maximize: bool = False,
) -> Functional:
    """`adam` with decoupled weight decay: p ← (1 − lr weight_decay) p before each step.

    Loshchilov & Hutter, "Decoupled weight decay regularization" (2019).
    """
    return adam(lr, betas, eps, weight_decay, amsgrad, maximize=maximize, decoupled_weight_decay=True)


class Adam(Compiled):
    """Adam, as `torch.optim.Adam`; the formula is that of `functional.adam`.

    >>> import jitgrad
    >>> w = jitgrad.tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = jitgrad.optim.Adam([w], lr=0.5)
    >>> for _ in range(3):
    ...     optimizer.zero_grad()
    ...     (w * w).sum().backward()
    ...     optimizer.step()
    >>> w
    tensor([-0.3359,  0.5370], requires_grad=True)
    """

    functional: ClassVar[Callable[..., Functional]] = staticmethod(adam)
    how = ("foreach", "capturable", "differentiable", "fused")


class AdamW(Adam):
    """Adam with decoupled weight decay, as `torch.optim.AdamW`; the formula is that of `functional.adamw`."""

    functional = staticmethod(adamw)
