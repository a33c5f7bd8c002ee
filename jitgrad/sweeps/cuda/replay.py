"""Programs that are called again with arrays at the same addresses: their launches as one graph, started at the cost of one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from jitgrad.tape.device_array import DeviceArray

MOST_GRAPHS = 8
"""Memory that is freed and asked for again has one of a few addresses."""
MOST_SEEN = 64
FEWEST = 2
"""Launches from which on a graph is worth it."""


class Replay:
    """The graphs of one program, by the addresses and numbers that they were recorded with."""

    def __init__(self, program: Any) -> None:
        self.program = program
        self._graphs: OrderedDict[tuple, tuple[Any, Any, list[Any]]] = OrderedDict()
        self._seen: OrderedDict[tuple, None] = OrderedDict()

    def run(self, env: dict[Any, Any], results: Sequence[DeviceArray]) -> bool:
        """Whether there is a graph for these arrays, and it was started; if such arrays come the second time one is made."""
        program = self.program
        if len(program.steps) < FEWEST:
            return False
        compute = program.compute
        key = (compute.driver.queue(), *[_place(x) for x in env.values()], *[_place(x) for x in results])
        found = self._graphs.get(key)
        if found is None:
            if key not in self._seen:
                self._seen[key] = None
                if len(self._seen) > MOST_SEEN:
                    self._seen.popitem(last=False)
                return False
            found = self._graphs[key] = self._made(env, results)
            if len(self._graphs) > MOST_GRAPHS:
                self._graphs.popitem(last=False)
        found[0].launch()
        return True

    def _made(self, env: dict[Any, Any], results: Sequence[DeviceArray]) -> tuple[Any, Any, list[Any]]:
        """A graph of everything that the program does, with the memory that it does it in."""
        space, compute = self.program.workspace(), self.program.compute
        with compute.pool.keeping() as kept:
            self.program.run_steps(env, results, space)  # so that all memory, and every kernel, is there
            graph = compute.driver.capture(lambda: self.program.run_steps(env, results, space))
        return graph, space, kept

    def release(self) -> None:
        """Let go of all graphs, and of the memory that they use."""
        self._graphs.clear()
        self._seen.clear()


def _place(x: Any) -> Any:
    return (x.buffer.raw.address, x.offset) if isinstance(x, DeviceArray) else x
