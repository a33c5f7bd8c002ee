"""Programs that are called again with arrays at the same addresses: their launches as one graph, started at the cost of one."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from jitgrad.tape.device_array import DeviceArray

MOST_GRAPHS = 8
"""Memory that is freed and asked for again has one of a few addresses."""
MOST_SEEN = 64
FEWEST = 2
"""Launches from which on a graph is worth it."""

_address = operator.attrgetter("address")


def _address_or_bytes(x: Any) -> Any:
    """A number by its bytes: 0 and -0 are equal, and nan is equal to nothing."""
    return x.address if x.__class__ is DeviceArray else x.tobytes()


class Replay:
    """The graphs of one program, by the addresses and numbers that they were recorded with."""

    def __init__(self, program: Any) -> None:
        self.program, self.compute = program, program.compute
        self.launches = len(program.steps)
        self._place = _address_or_bytes if program.on_host else _address
        self._graphs: OrderedDict[tuple, Any] = OrderedDict()
        self._spaces: dict[Any, tuple[Any, list[Any]]] = {}  # that they use, by their queue, and what else must stay
        self._seen: OrderedDict[tuple, None] = OrderedDict()

    def run(self, values: Sequence[Any], results: Sequence[DeviceArray]) -> bool:
        """Whether there is a graph for these arrays, and it was started; if such arrays come the second time one is made."""
        compute = self.compute
        key: tuple = (*map(self._place, values), *map(_address, results))
        if compute.pool.streams > 1:
            key = (compute.driver.queue(), *key)
        graph = self._graphs.get(key)
        if graph is None:
            graph = self._wanted(key, values, results)
            if graph is None:
                return False
        graph.launch()
        return True

    def _wanted(self, key: tuple, values: Sequence[Any], results: Sequence[DeviceArray]) -> Any:
        """A graph for arrays that come the second time; None if it is not worth it, or not yet."""
        if self.launches < FEWEST:
            return None
        if key not in self._seen:
            self._seen[key] = None
            if len(self._seen) > MOST_SEEN:
                self._seen.popitem(last=False)
            return None
        program, queue = self.program, self.compute.driver.queue()
        space, known = self._spaces.setdefault(queue, (program.workspace(), []))  # what one stream does is done in turn
        with self.compute.pool.keeping() as kept:
            program.run_steps(values, results, space)  # so that all memory, and every kernel, is there
            graph = self.compute.driver.capture(lambda: program.run_steps(values, results, space))
        known += kept
        self._graphs[key] = graph
        if len(self._graphs) > MOST_GRAPHS:
            self._graphs.popitem(last=False)
        return graph

    def release(self) -> None:
        """Let go of all graphs, and of the memory that they use."""
        self._graphs.clear()
        self._spaces.clear()
        self._seen.clear()
