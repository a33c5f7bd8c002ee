"""jitgrad, PyTorch, JAX and CuPy on the device: each gets copies of the arguments there, and a clock."""

from __future__ import annotations

import gc
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from bench.contestants import COMPILED, EAGER, JAX, JIT, TORCH
from bench.gpu_measure import Clock, device, event_clock, host_clock, our_clock
from bench.gpu_works import Work
from bench.libraries import load

CUPY = "CuPy by hand"


class Runner(NamedTuple):
    """`call(k)` is what is timed, with the arguments of turn k; `numbers` makes NumPy's arrays of what it gives."""

    call: Callable[[int], Any]
    numbers: Callable[[Any], Any]
    clock: Clock


Build = Callable[[Work], Runner]


def contestants() -> dict[str, Build]:
    """Those that can use the device, ours first, and torch.compile, which takes its time, last."""
    found: dict[str, Build] = {JIT: ours_jit, EAGER: ours_eager}
    if _torch_can():
        found[TORCH] = torch_eager
    if _jax_can():
        found[JAX] = jax_jit
    if _cupy_can():
        found[CUPY] = cupy_by_hand
    if TORCH in found:
        found[COMPILED] = torch_compiled
    return found


def absent() -> Iterator[str]:
    """Who is installed and does not see the device, or is not installed."""
    for name, can in (("torch", _torch_can), ("jax", _jax_can), ("cupy", _cupy_can)):
        if not can():
            yield name


def free_memory() -> None:
    """Have all libraries let go of what they keep."""
    import sys

    gc.collect()
    import jitgrad as jg

    jg.cuda.empty_cache()
    for name, empty in (
        ("torch", lambda torch: torch.cuda.is_available() and torch.cuda.empty_cache()),
        ("cupy", lambda cupy: cupy.get_default_memory_pool().free_all_blocks()),
    ):
        if name in sys.modules:
            empty(sys.modules[name])


def _imports(name: str) -> Any:
    """A library, None if it is not there or does not start."""
    if importlib.util.find_spec(name) is None:
        return None
    try:
        return importlib.import_module(name)
    except Exception:  # one that was built for another CUDA, say
        return None


def _torch_can() -> bool:
    torch = _imports("torch")
    return torch is not None and bool(torch.cuda.is_available())


def _jax_can() -> bool:
    jax = _imports("jax")
    try:
        return jax is not None and jax.default_backend() == "gpu"
    except RuntimeError:
        return False


def _cupy_can() -> bool:
    cupy = _imports("cupy")
    try:
        return cupy is not None and cupy.cuda.runtime.getDeviceCount() > 0
    except Exception:
        return False


def _copies(work: Work, array: Callable[[np.ndarray], Any]) -> list[tuple]:
    """The arguments, some times, in memory of their own each time."""
    return [tuple(array(np.asarray(a)) for a in work.args()) for _ in range(work.sets())]


def _nested(found: Any, one: Callable[[Any], np.ndarray]) -> Any:
    return tuple(_nested(part, one) for part in found) if isinstance(found, tuple | list) else one(found)


# jitgrad.


def ours_jit(work: Work) -> Runner:
    """Value and gradient as one compiled function."""
    import jitgrad as jg

    loss, given = work.loss(load("jitgrad")), _copies(work, lambda a: jg.tensor(a, device="cuda"))
    step = jg.jit(jg.value_and_grad(loss, argnums=tuple(range(work.wrt))) if work.wrt else loss)
    return Runner(lambda k: step(*given[k % len(given)]), _our_numbers, our_clock(device()))


def ours_eager(work: Work) -> Runner:
    """Forward and `autograd.grad`, kernel after kernel."""
    import jitgrad as jg

    loss, given = work.loss(load("jitgrad")), _copies(work, lambda a: jg.tensor(a, device="cuda"))
    return Runner(_differentiated(work, loss, given, jg.autograd.grad), _our_numbers, our_clock(device()))


def _our_numbers(found: Any) -> Any:
    return _nested(found, lambda x: x.detach().cpu().numpy())


def _differentiated(work: Work, loss: Callable, given: list[tuple], grad: Callable) -> Callable[[int], Any]:
    """What PyTorch and we do alike."""
    for args in given:
        for x in args[: work.wrt]:
            x.requires_grad_(True)

    def call(k: int) -> Any:
        args = given[k % len(given)]
        value = loss(*args)
        return (value, grad(value, args[: work.wrt])) if work.wrt else value

    return call


# The others.


def torch_eager(work: Work, compiled: bool = False) -> Runner:
    """PyTorch, products of float32 in full."""
    import torch

    torch.set_float32_matmul_precision("highest")
    loss, given = work.loss(load("torch")), _copies(work, lambda a: torch.tensor(a, device="cuda"))
    if compiled:
        torch._dynamo.reset()
        loss = torch.compile(loss, dynamic=False)
    clock = event_clock(lambda: torch.cuda.Event(enable_timing=True), torch.cuda.synchronize)
    call = _differentiated(work, loss, given, torch.autograd.grad)
    return Runner(call, lambda found: _nested(found, lambda x: x.detach().cpu().numpy()), clock)


def torch_compiled(work: Work) -> Runner:
    """The same with the loss compiled."""
    return torch_eager(work, compiled=True)


def jax_jit(work: Work) -> Runner:
    """JAX, products of float32 in full; it has no events, so by the time of the host."""
    import jax

    jax.config.update("jax_default_matmul_precision", "highest")
    loss, given = work.loss(load("jax")), _copies(work, jax.numpy.asarray)
    step = jax.jit(jax.value_and_grad(loss, argnums=tuple(range(work.wrt))) if work.wrt else loss)
    last: list[Any] = [0]

    def call(k: int) -> Any:
        last[0] = step(*given[k % len(given)])
        return last[0]

    return Runner(call, lambda found: _nested(found, np.asarray), host_clock(lambda: jax.block_until_ready(last[0])))


def cupy_by_hand(work: Work) -> Runner:
    """The gradient as it is derived by hand, an operation a kernel."""
    import cupy

    if not work.cupy:
        raise NotImplementedError("not written for CuPy")
    given = _copies(work, cupy.asarray)
    wait = cupy.cuda.get_current_stream().synchronize
    return Runner(
        lambda k: work.by_hand(*given[k % len(given)]),
        lambda found: _nested(found, cupy.asnumpy),
        _cupy_clock(cupy, wait),
    )


def _cupy_clock(cupy: Any, wait: Callable[[], Any]) -> Clock:
    def seconds(work: Callable[[], None]) -> float:
        first, last = cupy.cuda.Event(), cupy.cuda.Event()
        wait()
        first.record()
        work()
        last.record()
        wait()
        return cupy.cuda.get_elapsed_time(first, last) / 1e3

    return seconds
