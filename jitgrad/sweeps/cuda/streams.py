"""Streams, events and graphs of a GPU, with PyTorch's names."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jitgrad.sweeps.cuda.driver import Driver

__all__ = ["Event", "Graph", "Stream"]


class Stream:
    """A queue of work, done in its order. `with stream:` puts what the thread starts there into this queue."""

    def __init__(self, driver: Driver, raw: Any, outer: Stream | None = None) -> None:
        self.driver = driver
        self.raw = raw  # where launches go: a stream, or what records one
        self.for_memory: Any = outer.for_memory if outer else raw  # a graph that repeats an allocation would need it freed
        self.queue = (raw.stream if outer else raw).handle  # as launches take it
        self.handle = int(self.queue)
        self.lasting: int = outer.lasting if outer else self.handle
        self.recording = outer is not None

    def __enter__(self) -> Stream:
        self.driver.begin(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.driver.end()

    def synchronize(self) -> None:
        """Wait until all that is in the queue is done."""
        self.driver.enter()
        self.driver.call("cuStreamSynchronize", self.handle)

    def query(self) -> bool:
        """Whether all that is in the queue is done."""
        self.driver.enter()
        return self.driver.is_done("cuStreamQuery", self.handle)

    def wait(self, other: Event | Stream) -> None:
        """Begin what is put into the queue from now on after an event, or after all that another stream has now."""
        event = other if isinstance(other, Event) else other.record()
        self.driver.enter()
        self.driver.call("cuStreamWaitEvent", self.handle, event.handle, 0)

    wait_event = wait_stream = wait

    def record(self, event: Event | None = None) -> Event:
        """The event happens when all that is in the queue now is done."""
        event = event or self.driver.event()
        event.record(self)
        return event

    record_event = record

    def __repr__(self) -> str:
        return f"<Stream {self.handle:#x} of {self.driver.name}>"


class Event:
    """A moment in a stream."""

    def __init__(self, driver: Driver, raw: Any) -> None:
        self.driver, self._raw = driver, raw
        self.handle = int(raw.handle)

    def record(self, stream: Stream | None = None) -> None:
        """Happen when all is done that is in a stream now, the current one unless another is given."""
        self.driver.enter()
        self.driver.call("cuEventRecord", self.handle, (stream or self.driver.current()).handle)

    def wait(self, stream: Stream | None = None) -> None:
        """What is put into a stream from now on begins when this has happened."""
        (stream or self.driver.current()).wait(self)

    def synchronize(self) -> None:
        """Wait until it has happened."""
        self.driver.enter()
        self.driver.call("cuEventSynchronize", self.handle)

    def query(self) -> bool:
        """Whether it has happened."""
        self.driver.enter()
        return self.driver.is_done("cuEventQuery", self.handle)

    def elapsed_time(self, end: Event) -> float:
        """Milliseconds from this event to a later one; both must have been recorded, and have happened."""
        self.driver.enter()
        return float(self.driver.call("cuEventElapsedTime", self.handle, end.handle))


class Graph:
    """Launches and copies that are started together, at the cost of one.

    The buffers that they use must not be freed before the graph is let go of, nor hold anything else while it runs.
    """

    def __init__(self, driver: Driver, function: Callable[[], Any]) -> None:
        self.driver = driver
        recorded = self._recorded(function)
        with driver.told("a graph"):
            self._ready = recorded.complete()

    def launch(self) -> None:
        """Put all of it into the current stream."""
        self.driver.enter()
        self._ready.launch(self.driver.current().raw)

    def update(self, function: Callable[[], Any]) -> None:
        """Do what `function` does now: as many launches and copies, with other buffers, numbers or grids."""
        recorded = self._recorded(function)
        with self.driver.told("a graph that was to do other things than it did: capture a new one instead"):
            self._ready.update(recorded)

    def _recorded(self, function: Callable[[], Any]) -> Any:
        """What `function` puts into a stream of its own; memory that it asks for is not the graph's, but the current stream's."""
        self.driver.enter()
        outer = self.driver.current()
        builder = self.driver.graph_builder()
        builder.begin_building("relaxed")  # kernels may be loaded meanwhile
        try:
            with Stream(self.driver, builder, outer):
                function()
        except BaseException:
            builder.close()
            raise
        return builder.end_building()
