"""Runs the text of a kernel as Python, one thread after the other, and finds what it does wrong.

The threads of a block go on from barrier to barrier, in a fixed order, in which a race would go unnoticed: see
`simulated_races`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.sweeps.cuda.kernel import Kernel
from jitgrad.sweeps.cuda.simulated_races import Array, Memory, Race
from jitgrad.sweeps.cuda.simulated_text import Made, Passed, made

__all__ = ["Race", "run"]


class Watch:
    """One launch: whose turn it is, the arrays there are, and the memory that threads share."""

    def __init__(self, kernel: Kernel, found: Made, check: bool) -> None:
        self.kernel, self.made, self.check = kernel, found, check
        self.block = self.thread = 0
        self.memories: list[Memory] = []
        self.private: dict[int, Array] = {}
        self.shared: dict[int, tuple[Any, ...]] = {}
        self._lasting = 0  # memories that are not of a block

    def begin(self, names: Sequence[str], arrays: Sequence[np.ndarray]) -> list[Any]:
        """What notes accesses of the arrays that the kernel is given."""
        watched: list[Array] = []
        for group in _groups(arrays):
            several = [Array(names[k], len(arrays[k]), _placing(arrays, group, k)) for k in group]
            watched += several
            self.memories.append(Memory(several))
        self._lasting = len(self.memories)
        by_name = {array.name: array for array in watched}
        return [note for name in names for note in _notes(by_name[name])]

    def shared_array(self, key: int, name: str, size: int, type: Any) -> tuple[Any, ...]:
        """The one that all threads of a block have, and what notes its accesses."""
        found = self.shared.get(key)
        if found is None:
            array = Array(name, size)
            if self.check:
                self.memories.append(Memory([array]))
            found = self.shared[key] = (_poisoned(size, type), *_notes(array))
        return found

    def local_array(self, key: int, name: str, size: int, type: Any) -> tuple[Any, ...]:
        """One of this thread alone."""
        array = self.private.setdefault(key, Array(name, size))
        return _poisoned(size, type), *_notes(array)

    def end_turn(self) -> None:
        for memory in self.memories:
            memory.end_turn(self.block, self.thread)
        for array in self.private.values():
            array.taken()

    def end(self, what: Callable[[Memory], None]) -> None:
        """Of all memory that something ended, after which others come."""
        if self.check:
            for memory in self.memories:
                what(memory)

    def end_block(self) -> None:
        self.shared.clear()
        del self.memories[self._lasting :]
        for memory in self.memories:
            memory.end_block()

    def told(self, error: Exception) -> Exception:
        """The error with what it is about: where in the kernel, by which thread, and of a bound which index of which array."""
        text = f"{self.made.lines[0]} (thread {self.thread} of block {self.block}"
        line = _line(error, self.made)
        text += f", line {line}: {self.made.lines[line - 1].strip()})" if line else ")"
        if isinstance(error, IndexError):
            arrays = [array for memory in self.memories for array in memory.arrays] + list(self.private.values())
            for array in arrays:
                for i, did in [*[(i, "reads") for i in array.reads], *[(i, "writes") for i in array.writes]]:
                    if not 0 <= i < array.size:
                        return IndexError(f"{did} element {i} of `{array.name}`, which has {array.size}: {text}")
        return type(error)(f"{error}: {text}")


def _line(error: Exception, found: Made) -> int:
    """The line of the text that an error comes from; 0 if it was found afterwards."""
    line, trace = 0, error.__traceback__
    while trace is not None:
        line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == found.where else line
        trace = trace.tb_next
    return line


def run(kernel: Kernel, grid: int, arguments: Sequence[Any], check: bool = True) -> None:
    """Run a kernel with `grid` blocks; arrays, whose elements are in order, stand for pointers.

    With `check` an access out of bounds is an `IndexError`, also one that counts from the end, and a `Race` that of two threads
    that nothing keeps apart. A barrier that not every thread of a block gets to is a `RuntimeError` in any case.
    """
    found = made(kernel, check)
    if len(arguments) != len(kernel.types):
        raise TypeError(f"{found.lines[0]} takes {len(kernel.types)} arguments, and was given {len(arguments)}")
    given = [_argument(x, type, found.lines[0]) for x, type in zip(arguments, kernel.types)]
    watch = Watch(kernel, found, check)
    if check:
        arrays = [x for x, type in zip(given, kernel.types) if type[0] == "*"]
        given += watch.begin(found.pointers, arrays)
    over = _with_barriers if found.waits else _straight
    with np.errstate(all="ignore"):
        try:
            for watch.block in range(grid):
                over(found, given, grid, watch)
                watch.end_block()
        except (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise watch.told(error) from error


def _straight(found: Made, given: list[Any], grid: int, watch: Watch) -> None:
    """A block whose threads never wait."""
    function, block, size = found.function, watch.block, watch.kernel.block
    for watch.thread in range(size):
        function(*given, watch.thread, block, size, grid, watch.shared_array, watch.local_array)
        if watch.check:
            watch.end_turn()


def _with_barriers(found: Made, given: list[Any], grid: int, watch: Watch) -> None:
    """A block whose threads go on from barrier to barrier together."""
    block, size = watch.block, watch.kernel.block
    makers = watch.shared_array, watch.local_array
    threads = [found.function(*given, t, block, size, grid, *makers) for t in range(size)]
    warp = found.warp or size
    lines: list[int] = [1]
    while any(lines):
        lines = []
        for first in range(0, size, warp):
            lines += _to_barrier(threads[first : first + warp], first, found, watch)
            watch.end(Memory.end_warp)
        _refuse_apart("block", lines, 0, found)
        watch.end(Memory.end_phase)


def _to_barrier(threads: list[Any], first: int, found: Made, watch: Watch) -> list[int]:
    """Let a warp go on to the next barrier of its block: the line of that for each thread, 0 where it has ended."""
    answers: list[Any] = [None] * len(threads)
    while True:
        said: list[Any] = []
        for k, thread in enumerate(threads):
            watch.thread = first + k
            said.append(_sent(thread, answers[k]))
            if watch.check:
                watch.end_turn()
        passed = [x for x in said if isinstance(x, Passed)]
        if not passed:
            return said
        _refuse_apart("warp", [x.line if isinstance(x, Passed) else x for x in said], first, found)
        if len(threads) < found.warp:
            raise RuntimeError(f"a warp of {len(threads)} threads, where line {passed[0].line} wants {found.warp}")
        answers = [_from_other(passed, k) for k in range(len(threads))]
        watch.end(Memory.end_turn_of_warp)


def _sent(thread: Any, answer: Any) -> Any:
    try:
        return thread.send(answer)
    except StopIteration:
        return 0


def _from_other(passed: list[Passed], k: int) -> Any:
    """What thread k of a warp gets; its own value from beyond the end, as a device has it."""
    way, where = passed[k].way, passed[k].where
    other = k + where if way == "cuda.shfl_down_sync" else where
    return passed[other if 0 <= other < len(passed) else k].value


def _refuse_apart(what: str, lines: list[int], first: int, found: Made) -> None:
    if len(set(lines)) > 1:
        groups = [(line, [first + t for t, other in enumerate(lines) if other == line]) for line in sorted(set(lines))]
        said = [f"threads {each} {f'wait at line {line}' if line else 'have ended'}" for line, each in groups]
        raise RuntimeError(f"not all threads of the {what} get to the same barrier: {', '.join(said)}")


def _poisoned(size: int, type: Any) -> np.ndarray:
    """Memory that nobody has written to: nan, or -1, which is no index."""
    dtype = np.dtype(type)
    return np.frombuffer(bytearray(b"\xff" * (size * dtype.itemsize)), dtype)


def _notes(array: Array) -> tuple[Any, Any]:
    return array.reads.append, array.writes.append


def _argument(value: Any, type: str, name: str) -> Any:
    """What a kernel is called with for a parameter: memory as its type, whole numbers as plain ints."""
    if type[0] == "*":
        if not isinstance(value, np.ndarray) or not value.flags.c_contiguous:
            raise TypeError(f"{name} takes an array whose elements are in order for {type}, not {value!r:.80}")
        flat, dtype = value.reshape(-1), np.dtype(getattr(np, type[1:].replace("boolean", "bool_")))
        if flat.itemsize != dtype.itemsize:
            raise TypeError(f"{name} takes an array for {type}, and was given one of {value.dtype}")
        return flat.view(dtype)
    dtype = np.dtype(type.replace("boolean", "bool"))
    if dtype.kind not in "iu":
        return dtype.type(value)
    if not isinstance(value, int | np.integer | np.bool_):
        raise TypeError(f"{name} takes {type}, and was given {value!r}, a {value.__class__.__name__}")
    limits, number = np.iinfo(dtype), int(value)
    if not limits.min <= number <= limits.max:
        raise OverflowError(f"{name} takes {type}, and was given {number}")
    return number


def _start(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def _groups(arrays: Sequence[np.ndarray]) -> list[list[int]]:
    """The numbers of the arrays, those together whose memory overlaps."""
    groups: list[list[int]] = []
    end = 0
    for k in sorted(range(len(arrays)), key=lambda k: (_start(arrays[k]), k)):
        if groups and _start(arrays[k]) < end:
            groups[-1].append(k)
        else:
            groups.append([k])
        end = max(end, _start(arrays[k]) + arrays[k].nbytes)
    return groups


def _placing(arrays: Sequence[np.ndarray], group: list[int], k: int) -> Callable[[set[int]], set[int]] | None:
    """What makes indices of an array into parts of the memory of its group; None where they are the same."""
    first = min([_start(arrays[j]) for j in group])
    part = math.gcd(*[x for j in group for x in (arrays[j].itemsize, _start(arrays[j]) - first)])
    each, offset = arrays[k].itemsize // part, (_start(arrays[k]) - first) // part
    if each == 1:
        return (lambda places: {i + offset for i in places}) if offset else None
    return lambda places: {i * each + offset + j for i in places for j in range(each)}
