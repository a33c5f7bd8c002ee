"""The first phase: what is there, how quickly the device copies, and whether graphs work."""

from __future__ import annotations

import platform
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Any

import numpy as np

from bench.gpu_measure import Found, Setting, copy_bandwidth, device, large, replays, simulated

PACKAGES = (
    *("jitgrad", "numpy", "numba", "numba-cuda", "cuda-core", "cuda-bindings", "nvidia-nvjitlink", "nvidia-cublas"),
    *("torch", "triton", "jax", "cupy-cuda12x", "cupy-cuda13x"),
)
QUERY = "name,driver_version,clocks.max.sm,clocks.max.mem,power.limit,ecc.mode.current"


def machine(setting: Setting) -> Iterator[Found]:
    """A line for each version and speed; a problem if a graph does not what it is a graph of."""
    compute = device()
    driver = compute.driver
    yield {"what": "GPU", "value": driver.name}
    yield from _properties(compute)
    yield {"what": "Python", "value": platform.python_version()}
    for name in PACKAGES:
        try:
            yield {"what": name, "value": metadata.version(name)}
        except metadata.PackageNotFoundError:
            continue
    nbytes = large(setting)
    yield {"what": "copy within the device, GB/s", "value": copy_bandwidth(compute, nbytes) / 1e9}
    yield from _host_bandwidth(driver, nbytes // 4)
    yield from _graph(compute)
    yield from _repeated()


def _properties(compute: Any) -> Iterator[Found]:
    driver = compute.driver
    yield {"what": "memory, GB", "value": driver.memory()[1] / 1e9}
    yield {"what": "threads of a block, blocks of a grid at most", "value": f"{driver.block}, {driver.blocks}"}
    if simulated():
        return
    yield {"what": "compute capability", "value": ".".join(map(str, driver.cc))}
    yield {"what": "CUDA of the driver", "value": _version(driver.call("cuDriverGetVersion"))}
    from jitgrad.sweeps.cuda import cublas

    yield {"what": "products of matrices", "value": "cuBLAS" if cublas.available() else "kernels of ours: there is no cuBLAS"}
    if shutil.which("nvidia-smi"):
        asked = ["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader"]
        said = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=False).stdout.strip()
        yield {"what": f"nvidia-smi ({QUERY})", "value": said.partition("\n")[0]}


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def _host_bandwidth(driver: Any, nbytes: int) -> Iterator[Found]:
    """To the device and back, from memory of the host as it comes, and from such as the device reads by itself."""
    buffer = driver.allocate(nbytes)
    ways = {"memory as it comes": np.ones(nbytes, np.uint8), "pinned memory": driver.pinned(nbytes)}
    for name, array in ways.items():
        array[:] = 1
        for where, move in (("to the device", driver.upload), ("from the device", driver.download)):
            seconds = _median(lambda move=move, array=array: move(buffer, 0, array), driver.synchronize)
            yield {"what": f"copy {where}, {name}, GB/s", "value": nbytes / seconds / 1e9}
    buffer.free()


def _median(work: Callable[[], Any], wait: Callable[[], Any]) -> float:
    times = []
    for _ in range(5):
        wait()
        begin = time.perf_counter()
        work()
        wait()
        times.append(time.perf_counter() - begin)
    return max(statistics.median(times), 1e-9)


DOUBLING = """def kernel(x, n):
    i = i32(i32(cuda.blockIdx.x) * i32(cuda.blockDim.x) + i32(cuda.threadIdx.x))
    while i < n:
        x[i] = x[i] * float32(2)
        i = i32(i + i32(cuda.gridDim.x) * i32(cuda.blockDim.x))
"""


def _graph(compute: Any) -> Iterator[Found]:
    """A graph of a copy and two launches, started three times."""
    from jitgrad.sweeps.cuda.kernel import Kernel

    driver, n = compute.driver, 40
    loaded = driver.load(Kernel(DOUBLING, ("*float32", "int32"), driver.block))
    x, kept = driver.allocate(4 * n), driver.allocate(4 * n)
    driver.upload(x, 0, np.ones(n, np.float32))

    def work() -> None:
        driver.copy(kept, 0, x, 0, 4 * n)
        driver.launch(loaded, 2, [x, n])
        driver.launch(loaded, 2, [x, n])

    graph = driver.capture(work)
    for _ in range(3):
        graph.launch()
    found = np.zeros((2, n), np.float32)
    driver.download(x, 0, found[0])
    driver.download(kept, 0, found[1])
    right = (found[0] == 64).all() and (found[1] == 16).all()
    what = "a graph of a copy and two kernels"
    yield (
        {"what": what, "value": "works"} if right else {"what": what, "problem": f"wrong: {found[:, 0].tolist()}, not 64 and 16"}
    )


def _repeated() -> Iterator[Found]:
    """A function under `jit`, called until it is replayed: always the same bits."""
    import jitgrad as jg

    step = jg.jit(jg.value_and_grad(lambda w, x: (jg.softmax(x @ w, -1) ** 2).sum()))
    rng = np.random.default_rng(1)
    w, x = (jg.tensor(rng.normal(size=shape).astype(np.float32), device="cuda") for shape in ((7, 5), (9, 7)))
    with replays() as seen:
        found = [[part.cpu().numpy().tobytes() for part in step(w, x)] for _ in range(6)]
    what = "a step under jit, replayed as a graph"
    if any(other != found[0] for other in found):
        yield {"what": what, "problem": "wrong: results differ from call to call"}
    elif not any(seen):
        yield {"what": what, "problem": "it was never replayed"}
    else:
        yield {"what": what, "value": f"works: {sum(seen)} of {len(seen)} runs"}
