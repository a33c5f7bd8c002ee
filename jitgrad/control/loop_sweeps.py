"""What the sweeps through a loop, forward and back, have in common: which entries of the carry have a derivative."""

from __future__ import annotations

from typing import Any

from jitgrad.control.body import Body, carries
from jitgrad.functions.shaping import cat, stack
from jitgrad.ops.shapes import Spec
from jitgrad.record.apply import zeros
from jitgrad.tape.row import Row


class LoopSweep:
    """Tangents or cotangents of the carry on their way through the steps of a loop.

    Where there is none, 0 in its place would be wrong: it may meet an infinite derivative, of which eager code sees nothing. So
    steps of a loop of known length are taken alone, outside of a loop, until what has a derivative after a step is what has one
    before it; the others are left out of the loop over the steps that are left. Where the number of steps is not known, it
    carries all that have a derivative after some step.
    """

    def __init__(self, row: Row, values: list[Any], ascending: bool) -> None:
        self.row, self.params, self.layout, self.tape = row, row.params, row.params["layout"], row.params["body"]
        self.consts, self.asked, self.carry, self.xs, self.count = self.layout.split(values)
        self.moving = [j for j, c in enumerate(self.carry) if carries(c)]
        self.known: dict[int, Any] = {}  # the derivatives of the carry, after the steps taken so far
        self.ascending, self.low, self.high = ascending, 0, self.params["length"]
        self.taken = 0  # how many steps alone

    def take_alone(self, at: int) -> None:
        """Take step `at` outside of a loop."""
        raise NotImplementedError

    def traced(self, held: list[int]) -> tuple[Body, set[int]]:
        """A step of a loop that carries derivatives of those entries, and which have one after it."""
        raise NotImplementedError

    def take_the_rest(self, held: list[int], step: Body) -> None:
        """A loop over the steps that are left."""
        raise NotImplementedError

    def go(self) -> None:
        """Take all steps."""
        fixed, late = self.params["cond"] is None and self.count is None, set[int]()
        while self.low != self.high:
            held = {*self.known, *late}
            step, arrived = self.traced(sorted(held))
            if arrived != held and fixed and self.taken <= len(self.moving):  # beyond that they change for ever
                self.taken += 1
                self.low, self.high = (self.low + 1, self.high) if self.ascending else (self.low, self.high - 1)
                self.take_alone(self.low - 1 if self.ascending else self.high)
            elif arrived <= held:
                return self.take_the_rest(sorted(held), step)
            else:
                late |= arrived

    def left(self, xs: list[Any]) -> list[Any]:
        """Of what belongs to the steps, that of those that are left."""
        return [x[self.low : self.high] for x in xs] if self.taken else xs

    def start(self, held: list[int]) -> list[Any]:
        """The derivatives that the loop begins with."""
        return [self.known[j] if j in self.known else zeros(self.carry[j]) for j in held]

    def joined(self, alone: list[Any], rest: Any, like: Any) -> Any:
        """What belongs to the steps, stacked: that of each step taken alone, and that of the others; None where there is none."""
        if rest is None and all(t is None for t in alone):
            return None
        there = [rest, *alone]
        taken = [zeros(like, there) if t is None else t for t in (alone if self.ascending else alone[::-1])]
        pieces = [stack(taken)] if alone else []
        if self.low != self.high:
            several = [zeros(Spec((self.high - self.low, *like.shape), like.dtype), there) if rest is None else rest]
            pieces = pieces + several if self.ascending else several + pieces
        return pieces[0] if len(pieces) == 1 else cat(pieces)
