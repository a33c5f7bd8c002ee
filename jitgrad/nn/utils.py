"""Gradients made shorter, and parameters as one vector, by the names of `torch.nn.utils`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from jitgrad.autograd.modes import no_grad
from jitgrad.functions.complexes import view_as_complex, view_as_real
from jitgrad.functions.creation import scalar_tensor
from jitgrad.functions.linear_algebra.norms import vector_norm
from jitgrad.functions.shaping import cat, stack
from jitgrad.jitted.jit import jit
from jitgrad.record.checking import checked
from jitgrad.tensors.inplace import overwrite
from jitgrad.tensors.tensor import Tensor, wrap

__all__ = [
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "get_total_norm",
    "parameters_to_vector",
    "vector_to_parameters",
]

_SLACK = 1e-6
"""Is added to the norm that gradients are divided by, which may be 0."""


@checked
def clip_grad_norm_(
    parameters: Any, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: bool | None = None
) -> Tensor:
    """Scale the gradients of parameters in place so that the norm of all of them together is at most `max_norm`.

    Gives the norm that they had. `parameters` is a tensor or some; those without a gradient do not count. The norm is the p-norm
    of all elements for p = `norm_type`, which may be `inf`. With `error_if_nonfinite` a norm that is infinite or nan is a
    `RuntimeError`. All is one compiled call, and `foreach` changes nothing.

    >>> import jitgrad
    >>> w = jitgrad.tensor([3.0, 4.0], requires_grad=True)
    >>> (w * w / 2).sum().backward()
    >>> jitgrad.nn.utils.clip_grad_norm_(w, 1.0), w.grad
    (tensor(5.), tensor([0.6000, 0.8000]))
    """
    grads = _grads(parameters)
    total = get_total_norm(grads, norm_type, error_if_nonfinite)
    _change(grads, _scaled(_values(grads), float(max_norm), total))
    return total


@checked
def clip_grads_with_norm_(parameters: Any, max_norm: float, total_norm: Tensor, foreach: bool | None = None) -> None:
    """The second half of `clip_grad_norm_`: scale gradients by `max_norm / total_norm` where that is below 1."""
    grads = _grads(parameters)
    _change(grads, _scaled(_values(grads), float(max_norm), total_norm))


@checked
def get_total_norm(tensors: Any, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: bool | None = None) -> Tensor:
    """The norm of all elements of some tensors together, as `clip_grad_norm_` takes it; 0 of none."""
    given = _listed(tensors)
    if not given:
        return scalar_tensor(0.0)
    with no_grad():
        total = _norm(_values(given), repr(float(norm_type)))
    if error_if_nonfinite and not math.isfinite(float(total)):
        raise RuntimeError(
            f"the norm of order {float(norm_type)} of the gradients is {float(total)}, by which nothing can be scaled: to have "
            "them scaled all the same say error_if_nonfinite=False"
        )
    return total


@checked
def clip_grad_value_(parameters: Any, clip_value: float, foreach: bool | None = None) -> None:
    """Limit every element of the gradients of parameters to the range from `-clip_value` to `clip_value`, in place.

    >>> import jitgrad
    >>> w = jitgrad.tensor([3.0, -0.5], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> jitgrad.nn.utils.clip_grad_value_(w, 2.0)
    >>> w.grad
    tensor([ 2., -1.])
    """
    grads = _grads(parameters)
    _change(grads, _limited(_values(grads), float(clip_value)))


@checked
def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All elements of some tensors one after the other, as one vector, through which gradients flow.

    >>> import jitgrad
    >>> jitgrad.nn.utils.parameters_to_vector([jitgrad.ones(2), jitgrad.zeros(1, 1)])
    tensor([1., 1., 0.])
    """
    return cat([p.reshape(-1) for p in parameters])


@checked
def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Write the elements of a vector into parameters, in place. `RuntimeError` if there are more or fewer of them.

    >>> import jitgrad
    >>> w = jitgrad.zeros(2, 1, requires_grad=True)
    >>> jitgrad.nn.utils.vector_to_parameters(jitgrad.tensor([1.0, 2.0]), [w])
    >>> w
    tensor([[1.],
            [2.]], requires_grad=True)
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"vec must be a tensor, not {type(vec).__name__}")
    given = list(parameters)
    if vec.numel() != sum(p.numel() for p in given):
        count = sum(p.numel() for p in given)
        raise RuntimeError(f"a vector of {vec.numel()} elements for parameters of {count}: they must be as many")
    at = 0
    with no_grad():
        for p in given:
            p.copy_(vec[at : at + p.numel()].reshape(p.shape))
            at += p.numel()


def _listed(tensors: Any) -> list[Tensor]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def _grads(parameters: Any) -> list[Tensor]:
    return [p.grad for p in _listed(parameters) if p.grad is not None]


def _values(grads: list[Tensor]) -> list[Tensor]:
    """The gradients without their history."""
    return [g.detach() if g._value is None else wrap(g._value) for g in grads]


def _change(grads: list[Tensor], new: list[Tensor]) -> None:
    with no_grad():
        for g, value in zip(grads, new):
            overwrite(g, value, "clip_grad")


@jit
def _norm(tensors: list[Tensor], text: str) -> Tensor:
    order = float(text)  # text is part of the key, where a float would be an input
    return vector_norm(stack([vector_norm(x, order) for x in tensors]), order)


@jit
def _scaled(grads: list[Tensor], most: float, total: Tensor) -> list[Tensor]:
    factor = (most / (total + _SLACK)).clamp(max=1.0)
    return [(g * factor).to(g.dtype) for g in grads]


@jit
def _limited(grads: list[Tensor], most: float) -> list[Tensor]:
    return [view_as_complex(view_as_real(g).clamp(-most, most)) if g.is_complex() else g.clamp(-most, most) for g in grads]
