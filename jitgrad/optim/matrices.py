"""Optimizers that know of matrices: Adafactor, which keeps of their squares the means of rows and columns, and Muon."""

from __future__ import annotations

import math
from typing import Any

from jitgrad.dtypes import finfo
from jitgrad.functions.creation import zeros, zeros_like
from jitgrad.optim.compiled import Compiled
from jitgrad.optim.rule import Functional, State, count, is_off
from jitgrad.tensors.tensor import Tensor


def _root_mean_square(x: Tensor) -> Tensor:
    return x.norm().double() / math.sqrt(x.numel())


def _refuse_complex(p: Tensor) -> None:
    if p.dtype.is_complex:
        raise RuntimeError(
            f"a parameter of shape {list(p.shape)} is complex, which this optimizer does not take: use view_as_real(parameter)"
        )


def _start_adafactor(p: Tensor, hyper: dict[str, Any]) -> State:
    if p.ndim < 2:
        return {"step": count(), "variance": zeros_like(p)}
    *many, rows, columns = p.shape
    row_var, col_var = [zeros(*many, *shape, dtype=p.dtype, device=p.device) for shape in ((rows, 1), (1, columns))]
    return {"step": count(), "row_var": row_var, "col_var": col_var}


def _adafactor(
    p: Tensor,
    g: Tensor,
    state: State,
    *,
    lr: Any,
    beta2_decay: Any,
    eps: tuple[Any, Any],
    d: Any,
    weight_decay: Any,
) -> tuple[Tensor, State]:
    tiny = finfo(p.dtype).eps if eps[0] is None else eps[0]
    step, squares = state["step"] + 1, g * g
    t = step.double()
    new = t**beta2_decay
    state = {name: value + new * (_mean_for(name, squares) - value) for name, value in state.items() if name != "step"}
    variance = state.get("variance")
    if variance is None:
        row, column = state["row_var"], state["col_var"]
        variance = row * column / row.mean(-2, keepdim=True).clamp(min=tiny)
    direction = g / variance.clamp(min=tiny * tiny).sqrt()
    size = _root_mean_square(p).clamp(min=eps[1]) * (t**-0.5).minimum(lr)
    kept = p if is_off(weight_decay) else p * (1 - lr * weight_decay)
    return kept - size / (_root_mean_square(direction) / d).clamp(min=1) * direction, {"step": step, **state}


def _mean_for(name: str, squares: Tensor) -> Tensor:
    """What is added to a part of the state: squares themselves, or the means of their rows or columns."""
    return squares if name == "variance" else squares.mean(-1 if name == "row_var" else -2, keepdim=True)


def adafactor(
    lr: float = 1e-2,
    beta2_decay: float = -0.8,
    eps: tuple[float | None, float] = (None, 1e-3),
    d: float = 1.0,
    weight_decay: float = 0,
    *,
    maximize: bool = False,
) -> Functional:
    """Adafactor: p ← p − a u / max(1, rms(u) / d), where u = g / √v and a = max(eps₂, rms(p)) min(lr, 1 / √t).

    v ← v + t^beta2_decay (g² − v); of a matrix only the means r of rows and c of columns are kept, and v is r c / mean(r). No v
    is below eps₁², which is the spacing of numbers at 1 if it is None. Weight decay is decoupled: (1 − lr weight_decay) p takes
    the place of p. Shazeer & Stern, "Adafactor: adaptive learning rates with sublinear memory cost" (2018). `ValueError` for a
    positive `beta2_decay` and for `d` below 1, `RuntimeError` for complex parameters.
    """
    return Functional(_start_adafactor, _adafactor, dict(locals()), refuse_parameter=_refuse_complex)


def _refuse_but_matrices(p: Tensor) -> None:
    if p.ndim != 2:
        raise ValueError(
            f"Muon changes matrices, and a parameter has shape {list(p.shape)}: give vectors and the like to another optimizer"
        )
    _refuse_complex(p)


def _start_muon(p: Tensor, hyper: dict[str, Any]) -> State:
    return {"momentum_buffer": zeros_like(p)}


def _muon(
    p: Tensor,
    g: Tensor,
    state: State,
    *,
    lr: Any,
    weight_decay: Any,
    momentum: Any,
    nesterov: bool,
    ns_coefficients: tuple[Any, Any, Any],
    eps: Any,
    ns_steps: int,
    adjust_lr_fn: str | None,
) -> tuple[Tensor, State]:
    buffer = state["momentum_buffer"] + (1 - momentum) * (g - state["momentum_buffer"])
    update = _orthogonal(g + momentum * (buffer - g) if nesterov else buffer, ns_coefficients, eps, ns_steps)
    rows, columns = p.shape
    factor = 0.2 * math.sqrt(max(rows, columns)) if adjust_lr_fn == "match_rms_adamw" else math.sqrt(max(1, rows / columns))
    kept = p if is_off(weight_decay) else p * (1 - lr * weight_decay)
    return kept - lr * factor * update, {"momentum_buffer": buffer}


def _orthogonal(x: Tensor, coefficients: tuple[Any, Any, Any], eps: Any, steps: int) -> Tensor:
    """A matrix of the same singular vectors whose singular values are about 1, by a polynomial of them, time and again."""
    a, b, c = coefficients
    wide = x if x.shape[0] <= x.shape[1] else x.T
    wide = wide / wide.norm().clamp(min=eps)
    for _ in range(steps):
        squared = wide @ wide.T
        wide = a * wide + (b * squared + c * (squared @ squared)) @ wide
    return wide if x.shape[0] <= x.shape[1] else wide.T


def muon(
    lr: float = 1e-3,
    weight_decay: float = 0.1,
    momentum: float = 0.95,
    nesterov: bool = True,
    ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
    eps: float = 1e-7,
    ns_steps: int = 5,
    adjust_lr_fn: str | None = None,
) -> Functional:
    """Muon: b ← momentum b + (1 − momentum) g, p ← (1 − lr weight_decay) p − lr s O(b), for matrices alone.

    O has the singular vectors of its argument and singular values near 1: x / max(‖x‖, eps), then `ns_steps` times x ← a x +
    (b x xᵀ + c (x xᵀ)²) x with the `ns_coefficients` a, b, c. With `nesterov` its argument is (1 − momentum) g + momentum b. s is
    √max(1, rows / columns), or with `adjust_lr_fn="match_rms_adamw"` 0.2 √max(rows, columns). Jordan et al., "Muon: an optimizer
    for hidden layers in neural networks" (2024). All is computed in the precision of the parameter, where PyTorch rounds O to
    bfloat16. `ValueError` for parameters that are no matrices and for another `adjust_lr_fn`, `RuntimeError` for complex ones.
    """
    hyper = dict(locals())
    if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
        raise ValueError(f"adjust_lr_fn is 'original' or 'match_rms_adamw', not {adjust_lr_fn!r}")
    if len(ns_coefficients) != 3:
        raise ValueError(f"ns_coefficients must be three numbers, not {ns_coefficients}")
    return Functional(_start_muon, _muon, hyper, refuse_parameter=_refuse_but_matrices)


class Adafactor(Compiled):
    """Adam in little memory, as `torch.optim.Adafactor`; the formula is that of `functional.adafactor`."""

    functional = staticmethod(adafactor)
    how = ("foreach",)


class Muon(Compiled):
    """Steps by orthogonal matrices, as `torch.optim.Muon`; the formula is that of `functional.muon`.

    >>> import jitgrad
    >>> w = jitgrad.tensor([[3.0, 0.0], [0.0, 1.0]], requires_grad=True)
    >>> optimizer = jitgrad.optim.Muon([w], lr=0.5, weight_decay=0)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.detach().round(decimals=1)
    tensor([[2.6000, 0.0000],
            [0.0000, 0.4000]])
    """

    functional = staticmethod(muon)
    how = ()
