"""Which GPUs there are, and what computes with each. Nothing of CUDA is imported before a tensor is sent there.

With `JITGRAD_CUDA=simulate` in the environment there is one that is simulated: every kernel runs as Python, thread after thread,
and is checked for races and bounds. It is slow, and for tests.
"""

from __future__ import annotations

import os
import threading
from functools import cache
from typing import Any

import numpy as np

from jitgrad.base.signals import importing
from jitgrad.devices.device import Device
from jitgrad.devices.layouts import like_host
from jitgrad.tape.device_array import DeviceArray

_current = threading.local()
_lock = threading.Lock()
_made: dict[int, Any] = {}


def simulated() -> bool:
    """Whether there is a simulated GPU, and no real one."""
    return os.environ.get("JITGRAD_CUDA", "") == "simulate"


@cache
def _real_count() -> int:
    with importing("jitgrad.sweeps.cuda.driver"):
        try:
            from jitgrad.sweeps.cuda import driver
        except ImportError:
            return 0
    return driver.count()


def count() -> int:
    """How many GPUs there are to compute on."""
    return 1 if simulated() else _real_count()


def current_index() -> int:
    """The number of the GPU that "cuda" means in this thread."""
    return getattr(_current, "index", 0)


def set_current(index: int) -> None:
    """Make "cuda" mean another GPU in this thread."""
    _current.index = index


def compute_of(device: Any) -> Any:
    """What computes on a device; None for the CPU. `RuntimeError` for one that there is not."""
    wanted = device if isinstance(device, Device) else Device(device)
    if wanted.type == "cpu":
        return None
    index = current_index() if wanted.index is None else wanted.index
    with _lock:
        found = _made.get(index)
        if found is None:
            found = _made[index] = _make(index)
    return found


def _make(index: int) -> Any:
    there = count()
    if not there:
        raise RuntimeError(
            "there is no GPU to compute on: it takes one of NVIDIA's with its driver, and pip install 'jitgrad[cuda13]' (or "
            "cuda12); JITGRAD_CUDA=simulate in the environment simulates one, slowly, for tests"
        )
    if index >= there:
        raise RuntimeError(f"there is no cuda:{index}: there {'is' if there == 1 else 'are'} {there}, from cuda:0 on")
    from jitgrad.devices.compute import Compute

    if simulated():
        from jitgrad.sweeps.cuda.simulated import Driver
    else:
        from jitgrad.sweeps.cuda.driver import Driver  # type: ignore[assignment]
    return Compute(Driver(index), f"cuda:{index}")


def placed(value: Any, device: Any) -> Any:
    """A value, an array of the host or of a device, on the device: itself if it is there."""
    compute = None if device is None else compute_of(device)
    if device is None or (value.compute if value.__class__ is DeviceArray else None) is compute:
        return value
    if value.__class__ is DeviceArray:
        value = value.to_host()
    return value[()] if compute is None else like_host(compute, np.asarray(value))


def in_use() -> list[Any]:
    """What computes on the GPUs that were used."""
    return list(_made.values())
