"""PyTorch's `autograd.forward_ad`: dual numbers, tensors that carry a tangent.

What is computed of a dual tensor is recorded, and `unpack_dual` carries the tangents along what was recorded: the forward sweep
of `jvp`. So `no_grad` does not stop the recording while there is a dual level, as it does not stop tangents in PyTorch.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np

from jitgrad.autograd.modes import dual_numbers
from jitgrad.functions.shaping import view_as
from jitgrad.ops.choosing import cast
from jitgrad.passes.forward import forget, forward
from jitgrad.record.apply import apply, grad_mode, watched
from jitgrad.tape.handle import Handle, requires
from jitgrad.tape.handle import tensor as made
from jitgrad.tape.row import Row, beyond, reachable

__all__ = ["UnpackedDualTensor", "dual_level", "enter_dual_level", "exit_dual_level", "make_dual", "unpack_dual"]


class UnpackedDualTensor(NamedTuple):
    """A tensor without its tangent, and the tangent, None if it has none."""

    primal: Any
    tangent: Any


class _Level:
    """The tangents that were given while dual numbers are used, by the rows that they are of, and what those rows are made of."""

    def __init__(self) -> None:
        self.tangents: dict[Row, Any] = {}
        self.primals: dict[Row, Any] = {}


_current: ContextVar[_Level | None] = ContextVar("dual_level", default=None)


def enter_dual_level() -> int:
    """Begin to use dual numbers; the number of the level, which is 0, as levels do not nest (RuntimeError)."""
    if _current.get() is not None:
        raise RuntimeError("dual levels do not nest: use jitgrad.func.jvp, which does")
    _current.set(_Level())
    dual_numbers.set(True)
    return 0


def exit_dual_level(*, level: int | None = None) -> None:
    """Use dual numbers no more: all tangents are gone. RuntimeError if there is no such level."""
    found = _current.get()
    if found is None or level not in (None, 0):
        raise RuntimeError("there is no such dual level to leave: enter one first")
    forget(found.tangents)
    dual_numbers.set(False)
    _current.set(None)


class dual_level:
    """Dual numbers may be used within the block; their tangents are gone at its end.

    >>> import jitgrad
    >>> fwAD = jitgrad.autograd.forward_ad
    >>> with fwAD.dual_level():
    ...     x = fwAD.make_dual(jitgrad.tensor(2.0), jitgrad.tensor(1.0))
    ...     fwAD.unpack_dual(x**3).tangent
    tensor(12.)
    """

    def __enter__(self) -> int:
        self._was = grad_mode.get()
        level = enter_dual_level()
        grad_mode.set(True)
        return level

    def __exit__(self, *_: object) -> None:
        exit_dual_level()
        grad_mode.set(self._was)


def make_dual(tensor: Any, tangent: Any, *, level: int | None = None) -> Any:
    """A tensor of the same values in the same memory that carries a tangent.

    `RuntimeError` if there is no dual level, or shapes differ, or one of both carries a tangent already;
    `ValueError` for a tensor that is not floating.
    """
    current = _current.get()
    if current is None or level not in (None, 0):
        raise RuntimeError("there is no dual level to make a dual tensor for: use `with dual_level():`")
    _refuse_others("make_dual", (tensor, tangent))
    for x in (tensor, tangent):
        if x._held.dtype.kind not in "fcV":
            raise ValueError(f"make_dual takes floating tensors, and this one is {x._held.dtype.name}")
    if tuple(tensor.shape) != tuple(tangent.shape):
        raise RuntimeError(
            f"the tangent has shape {list(tangent.shape)}, and its primal {list(tensor.shape)}: they must be equal"
        )
    if any(_carries_tangent(current, x) for x in (tensor, tangent)):
        raise RuntimeError(
            "make_dual: the tensor or the tangent carries a tangent already, and there is no level for a second: use "
            "jitgrad.func.jvp, which nests, or unpack_dual() it first"
        )
    if tangent._held.dtype != tensor._held.dtype:
        tangent = apply(cast, (tangent,), {"dtype": tensor._held.dtype})
    leaf = watched(tensor)
    current.tangents[leaf._row], current.primals[leaf._row] = tangent, tensor
    out = view_as(leaf, leaf)
    out._view = None  # so that it may be changed in place, as a leaf may not
    current.primals[out._row] = tensor
    return out


def _refuse_others(name: str, given: tuple[Any, ...]) -> None:
    for x in given:
        if not isinstance(x, Handle):
            raise TypeError(f"{name} takes tensors, not {type(x).__name__}")


def _carries_tangent(current: _Level, x: Any) -> bool:
    """Whether a tensor is a dual one, or was computed from one."""
    behind = reachable([x._row], lambda row: not row.requires) if requires(x) else ()
    return any(row in current.tangents for row in behind)


def unpack_dual(tensor: Any, *, level: int | None = None) -> UnpackedDualTensor:
    """A tensor without its tangent, and the tangent: that it was given, or that follows from how it was computed.

    Both can be differentiated in what requires grad apart from the dual tensors. Outside of a dual level there are no tangents.
    """
    _refuse_others("unpack_dual", (tensor,))
    current = _current.get()
    row = tensor._row
    if current is None or level not in (None, 0) or row is None or not row.requires:
        return UnpackedDualTensor(tensor, None)
    ends = set(current.tangents)
    history = beyond([row], ends)
    recorded = tensor._value is None or (grad_mode.get() and (bool(history) or any(map(requires, current.tangents.values()))))
    seeds = {end: t if recorded else t._value for end, t in current.tangents.items()}
    was = grad_mode.get()
    try:
        grad_mode.set(recorded)
        with np.errstate(all="ignore"):
            found = forward(seeds, [row], recorded=recorded, history=history).get(row)
    finally:
        grad_mode.set(was)
    if found is None:
        return UnpackedDualTensor(tensor, None)
    primal = current.primals.get(row)
    if primal is None:
        primal = tensor if row in history else tensor.detach()
    return UnpackedDualTensor(primal, found if recorded else made(found))
