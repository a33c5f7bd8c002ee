"""`out=`: results that are written into tensors which the caller has."""

from __future__ import annotations

import warnings
from typing import Any

from jitgrad import dtypes
from jitgrad.ops.choosing import cast
from jitgrad.record.apply import apply, grad_mode
from jitgrad.record.trace import in_mode
from jitgrad.tape.device_array import copy_of
from jitgrad.tape.handle import requires
from jitgrad.tensors.inplace import before_change, overwrite
from jitgrad.tensors.tensor import Tensor


def into(out: Any, found: Any, name: str, exact: bool = False) -> Any:
    """The results of a function in the tensor, or the tensors, that were given for them.

    `TypeError` for anything else, `RuntimeError` where a gradient would flow through `out`, or the dtype has no room for the
    result, or is another one where `exact` is said. A tensor of another shape takes that of the result, with a warning if it had
    elements.
    """
    if not isinstance(found, (tuple, list)):
        return _into(out, found, name, exact)
    if not isinstance(out, (tuple, list)) or len(out) != len(found):
        raise TypeError(f"{name}: out must be {len(found)} tensors, one for each result, not {_shown(out)}")
    outs = [_into(one, result, name, exact) for one, result in zip(out, found)]
    return found._make(outs) if hasattr(found, "_make") else tuple(outs)


def _into(out: Any, found: Any, name: str, exact: bool) -> Any:
    if not isinstance(out, Tensor):
        raise TypeError(f"{name}: out must be a tensor, not {_shown(out)}")
    if not dtypes.has_gradient(found._held.dtype) and requires(out):
        return in_mode(False, lambda: _written(out, found, name, exact))  # `out` keeps what gradient it has
    if grad_mode.get() and (requires(found) or requires(out)):
        which = "an operand" if requires(found) else "out"
        raise RuntimeError(
            f"{name}: no gradient flows through out=, and {which} requires grad: leave out= away, or compute under no_grad()"
        )
    return _written(out, found, name, exact)


def _written(out: Any, found: Any, name: str, exact: bool) -> Any:
    have, want = dtypes.of(found._held.dtype), dtypes.of(out._held.dtype)
    if exact and have != want:
        raise RuntimeError(f"{name}: out must have the dtype of the result, {have.name}, and it is {want.name}")
    if have.category > want.category:
        raise RuntimeError(f"{name}: the result type {have.name} can't be cast to {want.name}, the dtype of out")
    if tuple(out.shape) == tuple(found.shape):
        return overwrite(out, found, name)
    if out._value is None or found._value is None:
        shapes = f"{list(out.shape)}, and under jit it must have that of the result, {list(found.shape)}"
        raise RuntimeError(f"{name}: out has shape {shapes}")
    return _resized(out, found, name)


def _resized(out: Any, found: Any, name: str) -> Any:
    storage = out._storage
    if out._view is not None or (storage is not None and (storage.exported is not None or len(list(storage.living())) > 1)):
        raise RuntimeError(
            f"{name}: out has shape {list(out.shape)} and others see its memory, so it cannot take the shape of the result, "
            f"{list(found.shape)}: give a tensor of that shape, or an empty one"
        )
    if out.numel():
        warnings.warn(
            f"{name}: out, of shape {list(out.shape)}, takes the shape of the result, {list(found.shape)}: give a tensor of that "
            "shape, or an empty one",
            UserWarning,
            stacklevel=5,
        )
    before_change(out)
    if found._held.dtype != out._held.dtype:
        found = apply(cast, (found,), {"dtype": out._held.dtype})
    out._value, out._storage = copy_of(found._value), None
    return out


def _shown(x: Any) -> str:
    return f"{len(x)} of them" if isinstance(x, (tuple, list)) else type(x).__name__
