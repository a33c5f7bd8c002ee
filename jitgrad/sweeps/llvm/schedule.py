"""The order of the instructions in the body of a loop.

The text of a loop comes row by row: all of an exp, then all of a tanh that has nothing to do with it. Each is one chain
of dependent steps, and a processor looks only some hundred instructions ahead, so it would wait for one chain most of
the time. Sorted by when they could start at the earliest, instructions of independent rows alternate. Measured on a
loop with two exp, a tanh and a log1p (EPYC Zen 3, 16 lanes): 3.08 ns an element before, 2.66 after.
"""

from __future__ import annotations

import re

_RESULT = re.compile(r"\s*(%[\w.]+) = ")
_NAME = re.compile(r"%[\w.]+")
_WRITES = re.compile(r"\bstore\b|@llvm\.masked\.(store|scatter)")
_READS = re.compile(r"= load\b|@load\.part\b|@llvm\.masked\.(load|gather)")
_FREE = ("getelementptr", "insertelement", "shufflevector", "bitcast")

FEWEST = 80
"""Instructions below which the order does not matter: the processor sees them all."""


def interleaved(lines: list[str]) -> list[str]:
    """Straight-line instructions, in an order in which independent ones alternate.

    What is read from memory and written to it keeps its order as far as one could see the other.
    """
    if len(lines) < FEWEST:
        return lines
    ready: dict[str, int] = {}  # when a value is there
    begins: list[int] = []
    last_write = last_access = 0
    for line in lines:
        result = _RESULT.match(line)
        name = result[1] if result else ""
        begin = max([ready.get(used, 0) for used in _NAME.findall(line) if used != name], default=0)
        if _WRITES.search(line):
            begin = last_write = last_access = max(begin, last_access)
        elif _READS.search(line):
            begin = max(begin, last_write)
            last_access = max(last_access, begin)
        begins.append(begin)
        if name:
            ready[name] = begin + (0 if any(word in line for word in _FREE) else 1)
    # Equal ones stay in their order, so a value still comes before its uses.
    return [lines[i] for i in sorted(range(len(lines)), key=lambda i: begins[i])]
