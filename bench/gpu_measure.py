"""What the phases on a GPU share: what they are told, the device, and its clock."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from bench.measure import middle

Clock = Callable[[Callable[[], None]], float]
"""How many seconds the device takes for what a function starts."""
Found = dict[str, Any]
"""One result, as it goes into JSON."""


class Setting(NamedTuple):
    """What a phase is told. `start` is where it goes on, if it is run again after the GPU was lost to an error.

    `share` is which of the checks are its own, k of every n; with `processes` they are to be divided among so many.
    """

    tiny: bool = False
    seed: int = 0
    end: float = math.inf  # of its time, as `time.monotonic()` has it
    start: tuple[int, int] = (0, 0)
    share: tuple[int, int] = (0, 1)
    processes: int = 1

    def left(self) -> float:
        """Seconds that the phase has left."""
        return self.end - time.monotonic()


class Lost(Exception):
    """An error after which a process can do no more on the GPU; where to go on, in a new one."""

    def __init__(self, start: tuple[int, int], why: str) -> None:
        super().__init__(why)
        self.start = start


def device() -> Any:
    """What computes on the GPU, real or simulated."""
    from jitgrad.devices import cuda

    return cuda.compute_of("cuda")


def simulated() -> bool:
    """Whether there is no real GPU, so that no time means anything."""
    from jitgrad.devices import cuda

    return cuda.simulated()


def host_clock(wait: Callable[[], Any]) -> Clock:
    """The time of the host, until the device is done."""

    def seconds(work: Callable[[], None]) -> float:
        wait()
        begin = time.perf_counter()
        work()
        wait()
        return time.perf_counter() - begin

    return seconds


def event_clock(event: Callable[[], Any], wait: Callable[[], Any]) -> Clock:
    """The device's own time between two events in its queue."""

    def seconds(work: Callable[[], None]) -> float:
        first, last = event(), event()
        wait()
        first.record()
        work()
        last.record()
        wait()
        return first.elapsed_time(last) / 1e3

    return seconds


def our_clock(compute: Any) -> Clock:
    """The clock for jitgrad. The events of a simulated GPU know no time."""
    wait = compute.driver.synchronize
    return host_clock(wait) if simulated() else event_clock(compute.driver.event, wait)


class Effort(NamedTuple):
    """Seconds that a turn takes at least, the most turns, and seconds for all of them."""

    turn: float
    turns: int
    seconds: float


TINY = Effort(0.0, 2, 0.0)
FULL = Effort(0.02, 25, 1.5)


def timed(clock: Clock, call: Callable[[int], Any], effort: Effort) -> tuple[float, float]:
    """Seconds of one of many calls behind each other, the median of several turns, and their spread; calls are numbered."""

    def turn() -> float:
        def work() -> None:
            for k in range(many):
                call(k)

        return clock(work) / many

    many = 1
    if effort.turn:
        many = 6  # each of the inputs, which take turns, has been seen then, so that what is to be repeated as a graph is one
        for _ in range(3):
            once = turn()
        many = max(6, min(5000, math.ceil(effort.turn / max(once, 1e-9))))
    begin = time.monotonic()
    times: list[float] = []
    while len(times) < 2 or (len(times) < effort.turns and time.monotonic() - begin < effort.seconds):
        times.append(turn())
    return middle(times)


def copy_bandwidth(compute: Any, nbytes: int) -> float:
    """Bytes a second that a copy within the device reads and writes: what a kernel that only moves data is measured by."""
    driver, clock = compute.driver, our_clock(compute)
    source, target = driver.allocate(nbytes), driver.allocate(nbytes)
    try:
        driver.copy(target, 0, source, 0, nbytes)
        times = [clock(lambda: driver.copy(target, 0, source, 0, nbytes)) for _ in range(10)]
    finally:
        source.free()
        target.free()
    return 2 * nbytes / max(statistics.median(times), 1e-9)


def large(setting: Setting) -> int:
    """Bytes for a copy that the cache of the device has no room for."""
    return 1 << 12 if setting.tiny else 1 << 30


@contextmanager
def replays() -> Iterator[list[bool]]:
    """Whether programs that run meanwhile are replayed as a graph, run by run."""
    from jitgrad.sweeps.cuda.replay import Replay

    seen: list[bool] = []
    usual = Replay.run

    def run(self: Any, values: Any, results: Any) -> bool:
        seen.append(usual(self, values, results))
        return seen[-1]

    Replay.run = run  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        Replay.run = usual  # type: ignore[method-assign]


@contextmanager
def poisoned(compute: Any) -> Iterator[None]:
    """All memory that is given out meanwhile holds nan, or -1, so that an element that no kernel writes is seen.

    It is done by copies within the device, which a graph may hold, too.
    """
    driver, pool = compute.driver, compute.pool
    poison = np.full(1 << 20, 0xFF, np.uint8)
    source, usual = driver.allocate(poison.nbytes), pool.allocate
    driver.upload(source, 0, poison)

    def allocate(nbytes: int) -> Any:
        memory = usual(nbytes)
        for place in range(0, nbytes, poison.nbytes):
            driver.copy(memory.raw, place, source, 0, min(poison.nbytes, nbytes - place))
        return memory

    pool.allocate = allocate
    try:
        yield
    finally:
        del pool.allocate
    driver.synchronize()  # not after an error, as a GPU that is lost has the same one for everything, which would hide it
    source.free()
