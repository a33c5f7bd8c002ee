"""What the threads of a simulated launch touch, and where two of them touch the same without an order.

It is noted what each touches in its turn, and held against what others touched that nothing puts before or after it: threads of
the same warp since that waited last, those of other warps since the last barrier of the block, and all those of other blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence


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
    """What was touched of some memory: by this warp since it waited last, by it before, by other warps since the last barrier,
    by this block before, by other blocks. Without what is for warps all of a block is one."""

    __slots__ = ("arrays", "before", "beside", "earlier", "others", "phase", "turns")

    def __init__(self, arrays: Sequence[Array]) -> None:
        self.arrays = arrays
        self.phase: Touched = (set(), set())
        self.earlier: Touched = (set(), set())
        self.beside: Touched = (set(), set())
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
        for touched in (self.phase, self.beside, self.others):
            read, written = touched
            if not (writes.isdisjoint(written) and writes.isdisjoint(read) and reads.isdisjoint(written)):
                both = (writes & written) or (writes & read) or (reads & written)
                raise Race(self._told(block, thread, min(both), min(both) in writes, touched is self.others))
        self.turns.append((block, thread, (reads, writes)))
        self.phase[0].update(reads)
        self.phase[1].update(writes)

    def end_turn_of_warp(self) -> None:
        _move(self.phase, self.earlier)

    def end_warp(self) -> None:
        _move(self.phase, self.beside)
        _move(self.earlier, self.beside)

    def end_phase(self) -> None:
        _move(self.beside, self.before)

    def end_block(self) -> None:
        for touched in (self.phase, self.beside, self.before):
            _move(touched, self.others)

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
