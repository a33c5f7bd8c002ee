"""GPUs, as in `torch.cuda`: what there is, memory, waiting for what they compute.

>>> import jitgrad
>>> "cuda" if jitgrad.cuda.is_available() else "cpu"
'cpu'
"""

from __future__ import annotations

from typing import Any

from jitgrad.devices import cuda as devices
from jitgrad.devices.device import Device
from jitgrad.functions.generators import shared

__all__ = [
    *("Event", "Stream", "current_stream", "default_stream", "stream"),
    *("current_device", "device_count", "empty_cache", "get_device_capability", "get_device_name", "is_available"),
    *("manual_seed", "manual_seed_all", "max_memory_allocated", "mem_get_info", "memory_allocated", "memory_reserved"),
    *("reset_peak_memory_stats", "set_device", "synchronize"),
]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    import difflib

    near = difflib.get_close_matches(name, __all__, 3)
    raise AttributeError(f"jitgrad.cuda.{name} is not available{': there is ' + ', '.join(near) if near else ''}", name=name)


def _compute(device: Any = None) -> Any:
    return devices.compute_of(Device("cuda" if device is None else device))


def is_available() -> bool:
    """Whether tensors can be on a GPU."""
    return devices.count() > 0


def device_count() -> int:
    """How many GPUs there are to compute on."""
    return devices.count()


def current_device() -> int:
    """The number of the GPU that "cuda" means; RuntimeError if there is none."""
    _compute()
    return devices.current_index()


def set_device(device: Any) -> None:
    """Make "cuda" mean another GPU in this thread; RuntimeError if there is none such."""
    _compute(device)
    index = Device(device).index
    if index is not None:
        devices.set_current(index)


def get_device_name(device: Any = None) -> str:
    """What a GPU is called, as "NVIDIA H100 80GB HBM3"; RuntimeError if there is none."""
    return _compute(device).driver.name


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """The generation of a GPU, as (9, 0); RuntimeError if there is none, or it is simulated."""
    found = getattr(_compute(device).driver, "cc", None)
    if found is None:
        raise RuntimeError("a GPU that is simulated is of no generation")
    return found


def synchronize(device: Any = None) -> None:
    """Wait for what a GPU is doing; RuntimeError if there is none."""
    _compute(device).synchronize()


def Stream(device: Any = None, priority: int | None = None) -> Any:
    """A new queue of work of a GPU. `with stream:` puts what this thread starts there into it; `synchronize()` waits for it,
    `wait_stream(other)` and `wait_event(event)` make it wait for another one, `record_event()` gives an event of it.

    Values of tensors that another stream computes are there only after a wait. RuntimeError if there is no GPU.
    """
    return _compute(device).driver.stream(priority)


def Event(enable_timing: bool = False, device: Any = None) -> Any:
    """A moment in a stream: `record()`, `wait()`, `synchronize()`, `query()` and, in milliseconds, `start.elapsed_time(end)`."""
    return _compute(device).driver.event()


def current_stream(device: Any = None) -> Any:
    """The stream that this thread's work goes into."""
    return _compute(device).driver.current()


def default_stream(device: Any = None) -> Any:
    """The stream that work goes into where nothing else is said."""
    return _compute(device).driver.first


def stream(stream: Any) -> Any:
    """`with jitgrad.cuda.stream(s):` is `with s:`."""
    return stream


def memory_allocated(device: Any = None) -> int:
    """Bytes of a GPU that tensors and programs hold; 0 if there is none."""
    return _compute(device).pool.in_use if is_available() else 0


def max_memory_allocated(device: Any = None) -> int:
    """The most bytes of a GPU that tensors and programs held at one time; 0 if there is none."""
    return _compute(device).pool.most_in_use if is_available() else 0


def reset_peak_memory_stats(device: Any = None) -> None:
    """Let `max_memory_allocated` count from now on."""
    if is_available():
        _compute(device).pool.most_in_use = _compute(device).pool.in_use


def memory_reserved(device: Any = None) -> int:
    """Bytes of a GPU that are held, or kept to be used again; 0 if there is none."""
    return _compute(device).pool.reserved if is_available() else 0


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """Free and all bytes of a GPU, as its driver counts them; RuntimeError if there is none."""
    return _compute(device).driver.memory()


def empty_cache() -> None:
    """Give memory that is kept to be used again back to the GPUs."""
    for compute in devices.in_use():
        compute.pool.empty()


def manual_seed(seed: int) -> None:
    """Start the random numbers of the GPU that is in use anew, if there is one; those of the CPU go by `jitgrad.manual_seed`."""
    if is_available():
        shared("cuda").manual_seed(seed)


def manual_seed_all(seed: int) -> None:
    """Start the random numbers of all GPUs anew."""
    for index in range(device_count()):
        shared(f"cuda:{index}").manual_seed(seed)
