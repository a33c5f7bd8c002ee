"""Resilient propagation: steps by the signs of gradients alone."""

from __future__ import annotations

from typing import Any

from jitgrad.functions.creation import full_like, zeros_like
from jitgrad.optim.compiled import Compiled
from jitgrad.optim.rule import Functional, State, count
from jitgrad.tensors.tensor import Tensor


def _start(p: Tensor, hyper: dict[str, Any]) -> State:
    return {"step": count(), "prev": zeros_like(p), "step_size": full_like(p, hyper["lr"])}


def _rprop(
    p: Tensor, g: Tensor, state: State, *, lr: Any, etas: tuple[Any, Any], step_sizes: tuple[Any, Any]
) -> tuple[Tensor, State]:
    agreed = g * state["prev"]
    size = state["step_size"]
    size = (size * etas[1]).where(agreed > 0, (size * etas[0]).where(agreed < 0, size)).clamp(*step_sizes)
    g = (g * 0).where(agreed < 0, g)
    return p - g.sign() * size, {"step": state["step"] + 1, "prev": g, "step_size": size}


def rprop(
    lr: float = 1e-2,
    etas: tuple[float, float] = (0.5, 1.2),
    step_sizes: tuple[float, float] = (1e-6, 50),
    *,
    maximize: bool = False,
) -> Functional:
    """Resilient propagation: p ← p − sign(g) s, each element with a step s of its own, within `step_sizes`, that begins with lr.

    Where g has the sign that it had before, s grows by the second of `etas`; where it has the other one, s shrinks by the first,
    and g counts as 0. Riedmiller & Braun, "A direct adaptive method for faster backpropagation learning" (1993). `ValueError` for
    a negative lr, and unless 0 < etas[0] < 1 < etas[1].
    """
    hyper = dict(locals())
    if not 0 < etas[0] < 1 < etas[1]:
        raise ValueError(f"etas must be a number between 0 and 1 and one above 1, not {etas}")
    return Functional(_start, _rprop, hyper)


class Rprop(Compiled):
    """Steps by signs alone, as `torch.optim.Rprop`; the formula is that of `functional.rprop`."""

    functional = staticmethod(rprop)
