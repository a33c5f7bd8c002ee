"""The phases that take the time: of the device, beside other libraries; of the host; and by the size of blocks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bench.contestants import EAGER, JIT, wrong
from bench.gpu_contestants import Runner, absent, contestants, free_memory, ours_jit
from bench.gpu_measure import FULL, TINY, Effort, Found, Setting, copy_bandwidth, device, large, replays, timed
from bench.gpu_works import Work, binary_network, single_neuron, streaming, works
from bench.measure import one_line

OURS = (JIT, EAGER)


def speed(setting: Setting) -> Iterator[Found]:
    """Value and gradient of each work by each contestant, and how near that is to only copying as many bytes."""
    bandwidth = copy_bandwidth(device(), large(setting))
    yield {"work": "copy within the device", "title": "a copy within the device", "who": "cuMemcpyAsync", "rate": bandwidth}
    for name in absent():
        yield {"work": "", "who": name, "note": "not installed, or does not see the GPU"}
    jobs = [(who, build, work) for who, build in contestants().items() for work in works(setting.tiny)]
    right: dict[str, Any] = {}
    for who, build, work in jobs:
        if setting.left() < 8:
            yield {"work": work.name, "who": who, "note": "no time was left"}
            continue
        if work.name not in right:
            right[work.name] = work.right()
        yield {"work": work.name, "title": work.title, "who": who} | _measured(
            who, build, work, right[work.name], bandwidth, setting
        )
        free_memory()


def _measured(who: str, build: Callable[[Work], Runner], work: Work, right: Any, bandwidth: float, setting: Setting) -> Found:
    """What a contestant takes; one that is wrong is not timed, and others that fail are no problem of ours."""
    try:
        runner = build(work)
        begin = time.perf_counter()
        found = work.arrays(runner.numbers(runner.call(0)))
        first = time.perf_counter() - begin
        difference = wrong(found, right)
        if difference is not None:
            return {"problem" if who in OURS else "note": f"wrong: {difference}"}
        seconds, spread = timed(runner.clock, runner.call, TINY if setting.tiny else FULL)
    except Exception as error:
        return {"problem" if who in OURS else "note": f"failed: {one_line(error)}"}
    return {"seconds": seconds, "spread": spread, "first": first} | _rate(work, seconds, bandwidth)


def _rate(work: Work, seconds: float, bandwidth: float) -> Found:
    """Bytes a second, where there are enough of them for that to mean something, products of matrices aside."""
    traffic = work.traffic()
    if work.name.startswith(("network", "neuron")):
        return {}
    return {"rate": traffic / seconds, "share": traffic / seconds / bandwidth}


# Blocks.

WAYS = ((128, 1.0), (256, 1.0), (512, 1.0), (256, 0.5), (256, 2.0))
"""Threads of a block, and how many times as many threads a grid may have as it has usually."""


def blocks(setting: Setting) -> Iterator[Found]:
    """The same works with other grids, which give what the usual one does; that it is right is for the phase before to see."""
    compute = device()
    usual, bandwidth = compute.grid, copy_bandwidth(compute, large(setting))
    for work in streaming(setting.tiny):
        runner = ours_jit(work)
        right = work.arrays(runner.numbers(runner.call(0)))
        del runner
        for block, times in WAYS:
            found: Found = {"work": work.name, "title": work.title, "who": _shown(block, times)}
            if setting.left() < 5:
                yield found | {"note": "no time was left"}
                continue
            mine = block * usual.block // 256
            compute.grid = usual._replace(block=mine, blocks=max(1, round(usual.blocks * usual.block * times / mine)))
            try:
                yield found | {"block": mine} | _measured(JIT, ours_jit, work, right, bandwidth, setting)
            finally:
                compute.grid = usual
            free_memory()


def _shown(block: int, times: float) -> str:
    return f"{block} threads" + f", {times:g} × as many blocks" * (times != 1)


# The host.

BURST = 100
"""Calls behind each other: as many as the queue of a GPU takes without waiting, at some launches each."""


def host(setting: Setting) -> Iterator[Found]:
    """Microseconds until a call returns, with the device left to itself."""
    import jitgrad as jg

    compute, few = device(), setting.tiny
    wait, n = compute.driver.synchronize, 20 if few else 1000
    x, y = (jg.tensor(np.ones(n, np.float32), device="cuda") for _ in range(2))
    z = x.detach().requires_grad_()
    yield _host("launch of a kernel, 3 pointers and a number", "driver", _launch(compute), wait, few)
    yield _host(f"x + y, {n} elements", EAGER, lambda: x + y, wait, few)
    yield _host(f"z * y, {n} elements, recorded", EAGER, lambda: z * y, wait, few)
    yield _host(f"(z * y).sum().backward(), {n} elements", EAGER, lambda: (z * y).sum().backward(), wait, few)
    small = binary_network(4, 3, 5) if few else binary_network(32, 16, 32)
    for work in (single_neuron(), small):
        yield from _steps(work, wait, few)
    yield from _others(n, small, few)


def _launch(compute: Any) -> Callable[[], Any]:
    """A launch of a kernel that adds two short arrays."""
    from jitgrad.sweeps.cuda.kernel import Kernel

    text = (
        "def kernel(x, y, z, n):\n    i = i32(i32(cuda.blockIdx.x) * i32(cuda.blockDim.x) + i32(cuda.threadIdx.x))\n"
        "    if i < n:\n        z[i] = x[i] + y[i]\n"
    )
    driver = compute.driver
    loaded = driver.load(Kernel(text, ("*float32", "*float32", "*float32", "int32"), driver.block))
    memory = [compute.from_host(np.ones(8, np.float32)).buffer for _ in range(3)]
    arguments = [*[m.raw for m in memory], 8]
    return lambda memory=memory: driver.launch(loaded, 1, arguments)


def _steps(work: Work, wait: Callable[[], Any], few: bool) -> Iterator[Found]:
    """A step under jit: its kernels launched one by one, then as a graph, then waited for."""
    from jitgrad.sweeps.cuda import replay

    usual = replay.FEWEST
    try:
        replay.FEWEST = 1 << 30
        plain = ours_jit(work)
        yield _host(f"{work.name}, value and gradient, launched", JIT, lambda: plain.call(0), wait, few)
    finally:
        replay.FEWEST = usual
    graphs = ours_jit(work)
    with replays() as seen:
        found = _host(f"{work.name}, value and gradient, replayed", JIT, lambda: graphs.call(0), wait, few)
    if not any(seen):
        found["what"] = f"{work.name}, value and gradient, not replayed"
    yield found
    yield _host(f"{work.name}, value and gradient, and waiting", JIT, lambda: (graphs.call(0), wait()), wait, few)


def _others(n: int, work: Work, few: bool) -> Iterator[Found]:
    """What other libraries take for such calls, where they are there."""
    for who, build in contestants().items():
        if who in OURS:
            continue
        try:
            runner = build(work)
            yield _host(f"{work.name}, value and gradient", who, lambda call=runner.call: call(0), _wait_of(runner), few)
        except Exception as error:
            yield {"what": work.name, "who": who, "note": f"failed: {one_line(error)}"}
    for name, who in (("torch", "torch eager"), ("cupy", "CuPy")):
        if any(who.split()[0] in other for other in contestants()):
            library = __import__(name)
            x = library.ones(n, dtype=library.float32, **({"device": "cuda"} if name == "torch" else {}))
            wait = library.cuda.synchronize if name == "torch" else library.cuda.get_current_stream().synchronize
            yield _host(f"x + y, {n} elements", who, lambda x=x: x + x, wait, few)


def _wait_of(runner: Runner) -> Callable[[], Any]:
    """Waiting for whatever a runner started."""
    return lambda: runner.clock(lambda: None)


def _host(what: str, who: str, call: Callable[[], Any], wait: Callable[[], Any], few: bool) -> Found:
    """The time of a call of many, until the last one returns."""

    def clock(work: Callable[[], None]) -> float:
        wait()
        begin = time.perf_counter()
        work()
        found = time.perf_counter() - begin
        wait()
        return found

    effort = Effort(0.0, 3, 0.0) if few else Effort(0.0, 60, 1.0)
    many = 3 if few else BURST

    def burst(_: int) -> None:
        for _ in range(many):
            call()

    burst(0)
    seconds, spread = timed(clock, burst, effort)
    return {"what": what, "who": who, "seconds": seconds / many, "spread": spread}
