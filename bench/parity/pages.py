"""Pages of docs/ that list PyTorch's names, which are here or absent for a reason. PyTorch is needed to write them, not to check.

What stands above the first section of names, `## torch`, is written by hand, or by `summary` in `names`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jitgrad
from bench.parity.absent import why_absent

DOCS = Path(__file__).parents[2] / "docs"
OPERATIONS, AUTOGRAD = DOCS / "pytorch.md", DOCS / "autograd.md"
PAGES: dict[Path, tuple[str, ...]] = {
    OPERATIONS: ("torch", "torch.Tensor", "torch.nn.functional", "torch.linalg", "torch.fft", "torch.special"),
    AUTOGRAD: (
        "torch.autograd",
        "torch.autograd.functional",
        "torch.autograd.forward_ad",
        "torch.autograd.graph",
        "torch.autograd.function",
        "torch.autograd.profiler",
        "torch.func",
        "torch.optim",
        "torch.optim.lr_scheduler",
        "torch.optim.swa_utils",
        "torch.utils.checkpoint",
        "torch.nn.utils",
    ),
}
"""The namespaces of each page."""
_START = "\n## torch"


class Listed(NamedTuple):
    """What a page says of a namespace: what is here, of how many, and what is absent, by the reason."""

    title: str
    here: list[str]
    count: int
    absent: dict[str, list[str]]


def ours(title: str) -> Any:
    """Our namespace by the title of theirs; None if there is none."""
    found: Any = jitgrad
    for part in title.split(".")[1:]:
        try:
            found = getattr(found, part, None)
        except ImportError:
            return None
    return found


def here(space: Any, name: str) -> bool:
    """Whether we have a name; one that only says why it is missing is not there."""
    if not inspect.ismodule(space):
        return hasattr(space, name)
    try:
        return getattr(space, name, None) is not None
    except ImportError:
        return False


def section(title: str, names: Sequence[str]) -> str:
    """The section of a namespace that has these names."""
    space = ours(title)
    present = [name for name in names if here(space, name)]
    absent: dict[str, list[str]] = {}
    for name in names:
        if name not in present:
            absent.setdefault(why_absent(name, title), []).append(name)
    lines = [f"## {title}", ""]
    lines += [f"Here, {len(present)} of {len(names)}{': ' * bool(present)}{listed(present)}.", ""]
    for why in sorted(absent, key=lambda why: -len(absent[why])):
        lines += [f"Absent, {why}: {listed(absent[why])}.", ""]
    return "\n".join(lines)


def listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def head(path: Path) -> str:
    """What a page says above its names."""
    return path.read_text(encoding="utf-8").partition(_START)[0]


def write(path: Path, above: str, sections: Iterable[str]) -> None:
    path.write_text("\n".join([above, *sections]), encoding="utf-8")


def read(path: Path) -> list[Listed]:
    """What the sections of a page say."""
    _, *parts = re.split(r"^## (?=torch)", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [_read(part) for part in parts]


def _read(part: str) -> Listed:
    title, *lines = [line for line in part.splitlines() if line]
    named = [(line, re.findall(r"`([^`]+)`", line.rpartition(": ")[2])) for line in lines]
    first = re.match(r"Here, (\d+) of (\d+)", lines[0])
    assert first is not None
    absent = {line.removeprefix("Absent, ").rpartition(": ")[0]: names for line, names in named[1:]}
    return Listed(title, named[0][1], int(first[2]), absent)
