"""Bringing tensors from one device to another: an operation, whose derivative brings the cotangent back."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.devices.cuda import compute_of, placed
from jitgrad.devices.device import CPU, Device
from jitgrad.errors import TracedValueError
from jitgrad.ops.reductions import cumsum
from jitgrad.ops.shapes import Spec
from jitgrad.ops.table import Op
from jitgrad.record.apply import apply
from jitgrad.record.trace import comes_later, current_trace, is_constant
from jitgrad.tape.device_array import DeviceArray, device_of, refuse_elsewhere

MOVE: Op = Op(
    lambda x, device, source: placed(x, device),
    kind="move",
    inputs=("x",),
    output="y",
    label="to_copy",
    linear=True,
    internal=True,
    vjp=(lambda g, device, source: MOVE(g, device=source, source=device),),
    shape=lambda x, device, source: Spec(x.shape, x.dtype),
)
MOVE.name = "to"


def place_of(device: Any) -> Device:
    """The device that is meant, with its number if it is a GPU; `RuntimeError` if there is none such."""
    compute = compute_of(device)
    return CPU if compute is None else Device(compute.name)


def moved(x: Any, device: Any) -> Any:
    """A tensor on a device: itself if it is there, else a copy."""
    if is_constant(x):
        made_on(x._value, device)  # an error for another one than that of the trace
        return x
    here, there = x.device, place_of(device)
    if here == there:
        return x
    if x._value is None:
        raise TracedValueError(
            f"to({str(there)!r}): under jit and vmap everything is computed on one device, that of the arguments, {str(here)!r}: "
            "bring the arguments or the results to another one outside"
        )
    return apply(MOVE, (x,), {"device": str(there), "source": str(here)})


def moved_to(x: Any, other: Any) -> Any:
    """A tensor where another one is: itself, or a copy."""
    return x if device_of(x) == device_of(other) is not None else moved(x, other.device)


def beside(what: str, x: Any, owner: Any) -> Any:
    """A tensor where the one is that it belongs to: one number of the host is brought there, anything else is an error. What has
    no value yet is on the device of its trace."""
    if comes_later(x) or comes_later(owner):
        return x
    if not x._value.ndim and x._value.__class__ is not DeviceArray:
        return moved(x, owner.device)
    refuse_elsewhere(what, x, device_of(owner))
    return x


def made_on(value: Any, device: Any) -> Any:
    """A new value on the device that is asked for. While `jit` records it stays on the host, a constant of what is recorded,
    which is computed on one device."""
    return value if device is None or _stays(device) else placed(value, device)


def made_there(device: Any) -> Any:
    """What computes where a new tensor is made from the start; None where that is the host, as in `made_on`."""
    return None if device is None or _stays(device) else compute_of(device)


def places(count: int, device: Any) -> Any:
    """The ints from 0 on, where new tensors are made, in int64."""
    compute = made_there(device)
    if compute is None:
        return np.arange(count)
    ones = compute.from_host(np.broadcast_to(np.int64(1), (count,)))
    return cumsum(ones, dim=0) - 1 if count else ones


def _stays(device: Any) -> bool:
    """Whether `jit` records, which makes a new tensor a constant; `TracedValueError` for another device than its own."""
    trace = current_trace.get()
    if trace is None or not trace.lifts:
        return False
    there = place_of(device)
    if there not in (trace.device, CPU):
        raise TracedValueError(
            f"a new tensor on {str(there)!r}: under jit everything is computed on one device, that of the arguments, "
            f"{str(trace.device)!r}: make it outside, and pass it"
        )
    return True
