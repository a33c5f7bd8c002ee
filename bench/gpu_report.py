"""The results of a GPU as text: a table after each phase, and all of them in Markdown, for docs/performance.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from bench.gpu_measure import Found
from jitgrad.cli.table import duration, table, three_digits

MEANINGLESS = "SIMULATED: no GPU was there, and the numbers mean nothing"


class Column(NamedTuple):
    """A key of results, its heading, and how a value is shown; numbers are aligned to the right."""

    key: str
    head: str
    show: Callable[[Any], str] = str
    right: bool = False


def _either(value: Any) -> str:
    return three_digits(value) if isinstance(value, float) else str(value)


def _of_time(key: str, head: str) -> Column:
    return Column(key, head, duration, True)


def _count(key: str, head: str) -> Column:
    return Column(key, head, str, True)


SECONDS, FIRST = _of_time("seconds", "time"), _of_time("first", "first call")
SPREAD = Column("spread", "spread", lambda x: f"±{x * 100:.0f}%", True)
RATE = Column("rate", "GB/s", lambda x: three_digits(x / 1e9), True)
SHARE = Column("share", "of a copy's", lambda x: f"{x * 100:.0f}%", True)
REMARK = Column("remark", "")

MACHINE = (Column("what", ""), Column("value", "", _either))
SUITE = (
    Column("group", "operands"),
    *(_count("checks", "checks"), _count("failed", "failed"), _count("moved", "moved"), _count("without", "no kernel")),
    Column("worst", "worst, ulp", three_digits, True),
    Column("case", "at"),
)
TOOLS = (Column("tool", "tool"), _count("checks", "checks"), _count("errors", "errors"))
SPEED = (Column("work", ""), Column("who", "by"), SECONDS, SPREAD, RATE, SHARE, FIRST)
BLOCKS = (Column("work", ""), Column("who", "grid"), SECONDS, SPREAD, RATE, SHARE, FIRST)
HOST = (Column("what", ""), Column("who", "by"), SECONDS, SPREAD)


def _rows(columns: Sequence[Column], results: Sequence[Found]) -> tuple[list[Column], list[list[str]]]:
    """The columns that there is something for, and what they show; remarks are beside that."""
    given = [{**found, "remark": found.get("problem") or found.get("note", "")} for found in results]
    used = [c for c in (*columns, REMARK) if any(found.get(c.key) not in (None, "") for found in given)]
    return used, [[c.show(found[c.key]) if found.get(c.key) is not None else "" for c in used] for found in given]


def as_table(title: str, columns: Sequence[Column], results: Sequence[Found]) -> str:
    """For a terminal."""
    if not results:
        return f"{title}\nnothing"
    used, rows = _rows(columns, ordered(results))
    return f"{title}\n" + table([c.head for c in used], rows, right=[i for i, c in enumerate(used) if c.right])


def ordered(results: Sequence[Found]) -> list[Found]:
    """The results of each work together, though they came contestant by contestant."""
    works = list(dict.fromkeys(found.get("work") for found in results))
    return sorted(results, key=lambda found: works.index(found.get("work")))


def as_markdown(title: str, columns: Sequence[Column], results: Sequence[Found]) -> str:
    """For a page: the same table, under a title."""
    if not results:
        return f"### {title}\n\nNothing."
    used, rows = _rows(columns, ordered(results))
    lines = [[c.head for c in used], ["---:" if c.right else "---" for c in used], *rows]
    return f"### {title}\n\n" + "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def heading(results: Sequence[Found], date: str, simulated: bool) -> str:
    """On what it was, and when."""
    known = {found["what"]: found["value"] for found in results if "what" in found and "value" in found}
    versions = [f"{name} {known[name]}" for name in ("jitgrad", "Python", "numba-cuda", "torch", "jax") if name in known]
    cuda = [f"CUDA {known['CUDA of the driver']}"] if "CUDA of the driver" in known else []
    lines = [f"## On {known.get('GPU', 'a GPU')} ({date})"]
    if simulated:
        lines.append(f"**{MEANINGLESS}.**")
    if versions or cuda:
        lines.append(", ".join([*cuda, *versions]) + ".")
    return "\n\n".join(lines)
