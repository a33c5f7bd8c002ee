"""What programs ask of `torch.cuda` before they use it. This version computes on the CPU alone, and says so.

>>> import jitgrad
>>> "cuda" if jitgrad.cuda.is_available() else "cpu"
'cpu'
"""

from __future__ import annotations

from typing import Any

from jitgrad.tensors.device import only_cpu

__all__ = ["current_device", "device_count", "empty_cache", "is_available", "manual_seed", "manual_seed_all", "synchronize"]


def __dir__() -> list[str]:
    return __all__


def is_available() -> bool:
    """Whether tensors can be on a GPU: False."""
    return False


def device_count() -> int:
    """How many GPUs there are to compute on: 0."""
    return 0


def current_device() -> int:
    """The number of the GPU that is in use; RuntimeError, since there is none."""
    only_cpu("cuda")
    raise AssertionError


def synchronize(device: Any = None) -> None:
    """Wait for what a GPU is doing; RuntimeError, since there is none."""
    only_cpu(device or "cuda")


def empty_cache() -> None:
    """Give memory of a GPU back: there is none."""


def manual_seed(seed: int) -> None:
    """Seed the generator of a GPU, if there is one; that of the CPU is seeded by `jitgrad.manual_seed`."""


def manual_seed_all(seed: int) -> None:
    """Seed the generators of all GPUs: there are none."""
