"""Tables and times as text."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Aligned columns under a ruled heading; the columns numbered in `right` are aligned to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(head, *rows)]

    def line(cells: Sequence[str]) -> str:
        padded = [c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(cells, widths))]
        return "  ".join(padded).rstrip()

    return "\n".join([line(head), "  ".join("-" * w for w in widths), *map(line, rows)])


def duration(seconds: float) -> str:
    """Three digits and a unit: `12.3 µs`, `4.56 ms`, `1.20 s`."""
    for scale, unit in ((1e-6, _micro()), (1e-3, "ms")):
        if seconds < 999.5 * scale:
            return f"{three_digits(seconds / scale)} {unit}"
    return f"{three_digits(seconds)} s"


def three_digits(number: float) -> str:
    """`1.23`, `12.3`, `123`: about three digits that mean something."""
    if not math.isfinite(number):
        return str(number)
    return f"{number:.{2 if abs(number) < 9.995 else 1 if abs(number) < 99.95 else 0}f}"


def _micro() -> str:
    """`µs`, or `us` where the output cannot show it."""
    try:
        "µ".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return "us"
    return "µs"
