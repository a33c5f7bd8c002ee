"""PyTorch's samples as ours."""

from __future__ import annotations

from typing import Any

import torch

import jitgrad as jg


def ours(x: Any, copied: bool = True) -> Any:
    """A tensor of PyTorch's as one of jitgrad's, in order as that one; `NotImplementedError` for what has no counterpart.

    One that is not copied looks at the same memory, as views of it do.
    """
    if x.is_sparse or x.layout != torch.strided or x.device.type != "cpu":
        raise NotImplementedError("tensors that are sparse, or not on the CPU")
    plain = x.detach().resolve_conj().resolve_neg()
    if x.dtype == torch.bfloat16:
        return jg.tensor(plain.float().numpy(), dtype=jg.bfloat16)
    array = plain.numpy().copy(order="K") if copied else plain.numpy()
    made = jg.from_numpy(array) if array.ndim else jg.tensor(array[()].item(), dtype=dtype(x.dtype))
    return made.requires_grad_() if x.requires_grad else made


def dtype(of: Any) -> Any:
    """The dtype of the same name."""
    return getattr(jg, str(of).partition(".")[2])


def converted(value: Any, leaves: list[tuple[Any, Any]], copied: bool = True) -> Any:
    """An argument with its tensors exchanged; those that require grad are put down with what they became."""
    if isinstance(value, torch.Tensor):
        made = ours(value, copied)
        if value.requires_grad:
            leaves.append((value, made))
        return made
    if isinstance(value, torch.dtype):
        return dtype(value)
    if isinstance(value, torch.Size):
        return tuple(value)
    if isinstance(value, (list, tuple)):
        parts = [converted(part, leaves, copied) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if isinstance(value, dict):
        return {key: converted(part, leaves, copied) for key, part in value.items()}
    if isinstance(value, slice):
        return slice(*(converted(part, leaves, copied) for part in (value.start, value.stop, value.step)))
    return value


def leaves_of(leaves: list[tuple[Any, Any]], side: int) -> list[Any]:
    return [pair[side] for pair in leaves]


def tensors(found: Any, kind: type) -> list[Any]:
    """The tensors in a result, in order."""
    if isinstance(found, kind):
        return [found]
    if isinstance(found, dict):
        return tensors(list(found.values()), kind)
    return [x for part in found for x in tensors(part, kind)] if isinstance(found, (list, tuple)) else []
