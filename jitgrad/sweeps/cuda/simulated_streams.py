"""Streams, events and graphs of a simulated GPU, where all work is done as soon as it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jitgrad.sweeps.cuda.simulated import Driver

__all__ = ["Event", "Graph", "Stream"]


class Stream:
    """A queue of work, which is done as soon as it is put there."""

    def __init__(self, driver: Driver, handle: int) -> None:
        self.driver, self.handle = driver, handle
        self._before: list[Stream | None] = []

    def __enter__(self) -> Stream:
        self._before.append(self.driver.use(self))
        return self

    def __exit__(self, *_: object) -> None:
        self.driver.use(self._before.pop())

    def synchronize(self) -> None:
        """Wait until all that is in the queue is done, as it is."""
        self.driver.synchronize()

    def query(self) -> bool:
        """Whether all that is in the queue is done."""
        return True

    def wait(self, other: Event | Stream) -> None:
        """Begin what is put into the queue from now on after an event, or after all that another stream has now."""

    wait_event = wait_stream = wait

    def record(self, event: Event | None = None) -> Event:
        """The event happens now."""
        event = event or self.driver.event()
        event.record(self)
        return event

    record_event = record

    def __repr__(self) -> str:
        return f"<Stream {self.handle:#x} of {self.driver.name}>"


class Event:
    """A moment in a stream; no time passes."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver

    def record(self, stream: Stream | None = None) -> None:
        """Happen when all is done that is in a stream now."""

    def wait(self, stream: Stream | None = None) -> None:
        """What is put into a stream from now on begins when this has happened."""

    def synchronize(self) -> None:
        """Wait until it has happened, as it has."""
        self.driver.synchronize()

    def query(self) -> bool:
        """Whether it has happened."""
        return True

    def elapsed_time(self, end: Event) -> float:
        """Milliseconds from this event to a later one."""
        return 0.0


class Graph:
    """Launches and copies that are repeated together."""

    def __init__(self, driver: Driver, function: Callable[[], Any]) -> None:
        self.driver = driver
        self.work = driver.recorded(function)

    def launch(self) -> None:
        """Do all of it."""
        for do, arguments in self.work:
            do(*arguments)

    def update(self, function: Callable[[], Any]) -> None:
        """Do what `function` does now: as many launches and copies, with other buffers, numbers or grids."""
        work = self.driver.recorded(function)
        if [do for do, _ in work] != [do for do, _ in self.work]:
            raise RuntimeError("a graph was to do other things than it did: capture a new one instead")
        self.work = work
