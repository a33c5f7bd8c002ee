"""Runs the text of a kernel as Python, one thread after the other, and finds what it does wrong.

The threads of a block go on from barrier to barrier, in a fixed order, in which a race would go unnoticed. So it is noted what
each of them touches in its turn, and held against what others touched that nothing puts before or after it: threads of the same
block since the last barrier, and all those of other blocks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.sweeps.cuda.kernel import Kernel
from jitgrad.sweeps.cuda.simulated_text import Made, made

__all__ = ["Race", "run"]


class Race(AssertionError):
    """Two threads touch the same memory, one of them writes, and nothing says which comes first."""


class Array:
    """Memory by one name: the indices that the thread whose turn it is has read and written."""

    __slots__ = ("name", "place", "reads", "size", "writes")

    def __init__(self, name: str, size: int, place: Callable[[set[int]], set[int]] | None = None) -> None:
        self.name, self.size = name, size
        self.reads: list[int] = []
        self.writes: list[int] = []
        self.place = place  # which parts of the memory these are, where several arrays share it

    def taken(self) -> tuple[set[int], set[int]]:
        """What was noted, which is forgotten."""
        read, written = set(self.reads), set(self.writes)
        if (read and min(read) < 0) or (written and min(written) < 0):
            raise IndexError
        self.reads.clear()
        self.writes.clear()
        return (read, written) if self.place is None else (self.place(read), self.place(written))


Touched = tuple[set[int], set[int]]
"""What was read, and what was written."""


class Memory:
    """What was touched of some memory: by this block since its last barrier, by it before, by other blocks."""

    __slots__ = ("arrays", "before", "others", "phase", "turns", "where")

    def __init__(self, arrays: Sequence[Array]) -> None:
        self.arrays = arrays
        self.phase: Touched = (set(), set())
        self.before: Touched = (set(), set())
        self.others: Touched = (set(), set())
        self.turns: list[tuple[int, int, Touched]] = []  # of which block and thread, to be told in an error

    def end_turn(self, block: int, thread: int) -> None:
        noted = [array.taken() for array in self.arrays if array.reads or array.writes]
        if not noted:
            return
        reads, writes = (
            noted[0] if len(noted) == 1 else (set().union(*[r for r, _ in noted]), set().union(*[w for _, w in noted]))
        )
        for touched in (self.phase, self.others):
            read, written = touched
            if not (writes.isdisjoint(written) and writes.isdisjoint(read) and reads.isdisjoint(written)):
                both = (writes & written) or (writes & read) or (reads & written)
                raise Race(self._told(block, thread, min(both), min(both) in writes, touched is self.others))
        self.turns.append((block, thread, (reads, writes)))
        self.phase[0].update(reads)
        self.phase[1].update(writes)

    def end_phase(self) -> None:
        _move(self.phase, self.before)

    def end_block(self) -> None:
        _move(self.phase, self.before)
        _move(self.before, self.others)

    def _told(self, block: int, thread: int, at: int, writes: bool, far: bool) -> str:
        names = " and ".join([f"`{array.name}`" for array in self.arrays])
        what = f"element {at} of {names}" if len(self.arrays) == 1 else f"part {at} of the memory that is {names}"
        for other_block, other, (read, written) in reversed(self.turns):
            if (other_block != block) == far and (at in written or (writes and at in read)):
                done = "wrote" if at in written else "read"
                why = "blocks have no order" if far else "there is no barrier between"
                return (
                    f"{what}: thread {other} of block {other_block} {done} it, and thread {thread} of block {block} "
                    f"{'writes' if writes else 'reads'} it, but {why}"
                )
        raise AssertionError("nobody touched it")


def _move(source: Touched, target: Touched) -> None:
    for part, all in zip(source, target):
        all.update(part)
        part.clear()


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

    def end_phase(self) -> None:
        for memory in self.memories:
            memory.end_phase()

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
    lines: list[int] = [1]
    while any(lines):
        lines = []
        for watch.thread, thread in enumerate(threads):
            lines.append(next(thread, 0))
            if watch.check:
                watch.end_turn()
        if len(set(lines)) > 1:
            _tell_apart(lines, found)
        if watch.check:
            watch.end_phase()


def _tell_apart(lines: list[int], found: Made) -> None:
    groups = [(line, [t for t, other in enumerate(lines) if other == line]) for line in sorted(set(lines))]
    said = [f"threads {each} {f'wait at line {line}' if line else 'have ended'}" for line, each in groups]
    raise RuntimeError(f"not all threads of the block get to the same barrier: {', '.join(said)}")


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
