"""What a function under `jit` keeps: its tapes, each for one kind of arguments, and no more of them than `config.tapes`."""

from __future__ import annotations

import itertools
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from jitgrad.base.settings import config

MOST_STATES = 32
"""For how many states of what a function reads from outside its tapes are kept."""

SPARE = 8
"""How many kinds of arguments, those used last, keep the memory that their results and temporaries were in."""

limits = config.values


class Kept(OrderedDict[Any, Any]):
    """The tapes of a function (`Compiled`, or the `Paths` of one kind of arguments) by their keys, the one used last at the end.

    Those used longest ago are forgotten. Whoever is running one holds it, and with it the machine code.
    """

    def __init__(self) -> None:
        super().__init__()
        self.recorded = self.forgotten = 0
        self.states: list[tuple] = []  # of what is outside, those with tapes
        self._replaced = 0  # tapes that were right for tensors and arrays from outside as they were
        self._last: tuple = ()

    def used(self, key: Any, one: Any) -> None:
        """Note that this one is what a call needed, and forget what is too much."""
        now = (one, self.recorded)
        if now == self._last:
            return
        self._last = now
        try:
            self.move_to_end(key)
        except KeyError:  # another thread has just forgotten it
            self[key] = one
        most, count = limits["tapes"], len(self)
        if count * len(_tapes(one)) > most:
            count = sum([len(_tapes(each)) for each in list(self.values())])
        while count > most and len(self) > 1:
            _, old = self.popitem(last=False)
            count -= len(_tapes(old))
            self.forgotten += len(_tapes(old))
        for each in itertools.islice(reversed(list(self.values())), SPARE, SPARE + 1):
            for tape in _tapes(each):
                tape.release()

    def makes_room(self, name: str, state: tuple, moved: Callable[[tuple], str]) -> bool:
        """Forget all tapes, with a warning, if there are some for many states of what is outside, and now this new one.

        `moved` names what has changed since a former state."""
        if state in self.states:
            return False
        full = len(self.states) == MOST_STATES
        if full:
            what = moved(self.states[-1][0]) or "an attribute of an argument"
            self.states.clear()
            self.clear()
            warnings.warn(
                f"{name} has been recorded {MOST_STATES} times because what it reads from outside changes ({what} the "
                "last time), which is slow: pass it as an argument, or make it a tensor, which is read at every call",
                RuntimeWarning,
                stacklevel=6,
            )
        self.states.append(state)
        return full

    def count_replaced(self, name: str) -> None:
        """Count the tapes that had to be recorded again for the same arguments, with a warning if there are many."""
        self._replaced += 1
        if self._replaced == MOST_STATES:
            warnings.warn(
                f"{name} has been recorded {MOST_STATES} times because the shape of a tensor from outside changes, or "
                "the contents of one that it reads other than as an operand (item(), numpy(), grad, NumPy's own functions), "
                "which is slow: pass it as an argument",
                RuntimeWarning,
                stacklevel=6,
            )

    def tapes(self) -> list[Any]:
        """All tapes."""
        return [tape for each in list(self.values()) for tape in _tapes(each)]

    def summary(self, name: str) -> str:
        """How many tapes there are, and how many there may be."""
        gone = f"; {self.forgotten} that were used longest ago are forgotten" if self.forgotten else ""
        return f"{name}: {len(self.tapes())} tapes are kept, of at most {limits['tapes']} (jitgrad.config.tapes){gone}"


def _tapes(one: Any) -> Sequence[Any]:
    return getattr(one, "paths", (one,))
