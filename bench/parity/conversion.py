"""PyTorch's samples as ours."""

from __future__ import annotations

from typing import Any

import torch

import jitgrad as jg


def ours(x: Any) -> Any:
    """A tensor of PyTorch's as one of jitgrad's, in order as that one; `NotImplementedError` for what has no counterpart."""
    if x.is_sparse or x.layout != torch.strided or x.device.type != "cpu":
        raise NotImplementedError("tensors that are sparse, or not on the CPU")
    plain = x.detach().resolve_conj().resolve_neg()
    if x.dtype == torch.bfloat16:
        return jg.tensor(plain.float().numpy(), dtype=jg.bfloat16)
    array = plain.numpy().copy(order="K")
    made = jg.from_numpy(array) if array.ndim else jg.tensor(array[()].item(), dtype=dtype(x.dtype))
    return made.requires_grad_() if x.requires_grad else made


def dtype(of: Any) -> Any:
    """The dtype of the same name."""
    return getattr(jg, str(of).partition(".")[2])


def sharing(value: Any) -> dict[int, Any]:
    """The tensors of an argument, by their identity, as ours: what looks at one memory does so here, too."""
    found = {id(x): x for x in tensors(value, torch.Tensor)}
    made = {name: ours(x) for name, x in found.items()}
    groups: dict[int, list[Any]] = {}
    for x in found.values():
        groups.setdefault(x.untyped_storage().data_ptr() if x.numel() else id(x), []).append(x)
    for group in groups.values():
        first = group[0]
        again = any(n > 1 and not step for n, step in zip(first.shape, first.stride()))
        if (len(group) > 1 or again) and len({x.dtype for x in group}) == 1:
            whole = first.detach().as_strided((first.untyped_storage().nbytes() // first.element_size(),), (1,), 0)
            base = jg.tensor(whole.numpy())
            made |= {id(x): jg.as_strided(base, tuple(x.shape), x.stride(), x.storage_offset()) for x in group}
    return made


def converted(value: Any, leaves: list[tuple[Any, Any]], known: dict[int, Any] | None = None) -> Any:
    """An argument with its tensors exchanged, by those that are known; those that require grad are put down, too."""
    if isinstance(value, torch.Tensor):
        made = ours(value) if known is None else known[id(value)]
        if value.requires_grad:
            leaves.append((value, made))
        return made
    if isinstance(value, torch.dtype):
        return dtype(value)
    if isinstance(value, torch.Size):
        return tuple(value)
    if isinstance(value, (list, tuple)):
        parts = [converted(part, leaves, known) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if isinstance(value, dict):
        return {key: converted(part, leaves, known) for key, part in value.items()}
    if isinstance(value, slice):
        return slice(*(converted(part, leaves, known) for part in (value.start, value.stop, value.step)))
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
