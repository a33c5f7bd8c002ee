"""Functions under `jit` are recorded again now and then, and must come out the same.

What a function's own code reads is looked at at every call (`outside`). That is much, and not all: a library, compiled code, a
queue or a file may give something else each time, and nothing shows it. So no tape is believed once and for all. A function is
recorded again at its second call, which finds what is another at every call. Then one that reaches such things is again at its
fourth, eighth … call, and any other whenever its calls have taken many times as long as recording takes.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from jitgrad.errors import TracedValueError
from jitgrad.tape.handle import Handle
from jitgrad.tape.row import CONST, Row
from jitgrad.tape.tape import Tape

_SHARE = 20
"""How many times as long as recording the calls take, at least, after which a function that is not doubted is recorded again."""


class Recheck:
    """Counts calls, and says when the function is to be recorded again."""

    def __init__(self, doubts: tuple[str, ...], seconds: float) -> None:
        self.doubts = doubts
        self._seconds, self._since, self._span = seconds, time.perf_counter(), 0
        self.calls: Iterator[None] = iter(())
        """Gives None for each call that goes by."""

    def due(self) -> bool:
        """Count a call; whether it is time."""
        return bool(next(self.calls, True))

    def check(self, name: str, known: Any, again: Any) -> None:
        """Raise if a function, recorded again for the same arguments, came out otherwise than it is `known`."""
        now = time.perf_counter()
        each = (now - self._since) / (self._span + 1)
        self._span = 2 * self._span + 1 if self.doubts else max(8 * self._span + 7, int(_SHARE * self._seconds / each))
        self._since, self.calls = now, itertools.repeat(None, self._span)
        what = difference(known, again)
        if what:
            reached = (
                f"It reaches {', '.join(self.doubts[:4])}, and" if self.doubts else "It reads something that has changed, and"
            )
            raise TracedValueError(
                f"{name} came out otherwise when it was recorded again for the same arguments ({what}). {reached} jit cannot see "
                "when that changes; results since the last recording may be those of the former state. Ask outside of the "
                "function, and pass what comes of it as an argument"
            )


def difference(one: Any, other: Any) -> str:
    """Where two recordings (`jit.Compiled`) of a function first differ, in words; nothing if they are the same."""
    found = _difference(one.tape, other.tape)
    if found:
        return found
    if not _alike((one.captured, one.outcomes), (other.captured, other.outcomes)):
        return "with other tensors from outside"
    fixed = _alike(one.traced.outputs, other.traced.outputs)
    return "" if fixed and one.traced.structure == other.traced.structure else "with other results that are no tensors"


def _difference(one: Tape, other: Tape) -> str:
    places = _numbered(one), _numbered(other)
    for i, (a, b) in enumerate(zip(*places)):
        reads = [[place[x] for x in row.inputs] for row, place in zip((a, b), places)]
        if a.op.name != b.op.name or a.shape != b.shape or a.dtype != b.dtype or reads[0] != reads[1]:
            return f"row {i} is {b.op.name} instead of {a.op.name}" if a.op is not b.op else f"row {i}, {a.op.name}, is another"
        if not _alike(a.params, b.params):
            was, now = a.params.get("value", ()), b.params.get("value", ())
            number = a.op is CONST and np.size(was) == np.size(now) == 1
            return f"row {i} is {now} instead of {was}" if number else f"row {i}, {a.op.name}, is another"
    ends = [[place[row] for row in tape.outputs] for tape, place in zip((one, other), places)]
    alike = ends[0] == ends[1] and len(places[0]) == len(places[1])
    return "" if alike else f"{len(places[1])} rows instead of {len(places[0])}"


def _numbered(tape: Tape) -> dict[Row, int]:
    """The rows by where the outputs lead to them: rows that do not need each other may have been recorded in another order."""
    found: dict[Row, int] = {row: i for i, row in enumerate(tape.inputs)}
    waiting = tape.outputs[::-1]
    while waiting:
        row = waiting.pop()
        missing = [x for x in row.inputs if x not in found]
        if row not in found and not missing:
            found[row] = len(found)
        elif missing:
            waiting += [row, *reversed(missing)]
    return found


def _alike(a: Any, b: Any) -> bool:
    """Whether two values that a tape holds are the same to it. Of what holds no numbers (functions, say) just the type is asked,
    since each recording may make one of its own."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, Tape):
        return not _difference(a, b)
    if isinstance(a, Handle):
        return _alike(a._value, b._value)
    if isinstance(a, np.ndarray | np.generic | float | complex):
        return _alike_numbers(np.asarray(a), np.asarray(b))
    if isinstance(a, dict):
        return list(a) == list(b) and _alike(list(a.values()), list(b.values()))
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(map(_alike, a, b))
    return a == b if isinstance(a, int | str | bytes | frozenset | set) else True


def _alike_numbers(a: np.ndarray, b: np.ndarray) -> bool:
    """To the last bits: NumPy's sums may differ in those from call to call, as the memory lies in which they are made."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if not np.issubdtype(a.dtype, np.inexact):
        return a.tobytes() == b.tobytes()
    return bool(np.allclose(a, b, rtol=8 * np.finfo(a.dtype).eps, atol=0.0, equal_nan=True))
