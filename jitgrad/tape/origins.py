"""Where rows come from: while anomalies are looked for, each row notes the lines of the user's that led to it."""

from __future__ import annotations

import sys
import traceback
import weakref
from collections.abc import Callable
from typing import Any

from jitgrad.tape.row import Row

noting = False
"""Whether rows note where they come from."""

check: Callable[[Any, Row, Any], list[Any]] | None = None
"""What goes through rows, if a reverse sweep is to be watched: `check(sweep, row, cotangent)` is what a row passes on."""


told: weakref.WeakSet[Any] = weakref.WeakSet()
"""Functions under `jit`, which are run as they are while rows note where they come from."""


def switch(on: bool, how: Any) -> None:
    """Set both. What functions under `jit` have compiled takes no part in it, so calls must not begin with that."""
    global noting, check
    noting, check = on, how
    for function in list(told) if on else ():
        function.forget_entries()


def note(row: Row) -> None:
    """Note the lines that lead to a row that is being recorded, those in the library left out."""
    frame, lines = sys._getframe(1), []
    while frame is not None:
        if str(frame.f_globals.get("__name__")).split(".")[0] not in ("jitgrad", "numpy"):
            lines.append((frame, frame.f_lineno))
        frame = frame.f_back  # type: ignore[assignment]
    row.extra = (row.extra or {}) | {"origin": traceback.StackSummary.extract(reversed(lines))}


def of(row: Row) -> str | None:
    """The lines that a row noted, as a traceback shows them."""
    found = (row.extra or {}).get("origin")
    return None if found is None else "".join(found.format())
