"""The public names of PyTorch, and which of them are here."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch

import jitgrad as jg
from bench.parity.absent import EXPLAINED, WIDER, why_absent
from bench.parity.trials import Outcome

SPACES = {
    "torch": (torch, lambda: jg),
    "torch.Tensor": (torch.Tensor, lambda: jg.Tensor),
    "torch.nn.functional": (torch.nn.functional, lambda: jg.nn.functional),
    "torch.linalg": (torch.linalg, lambda: jg.linalg),
    "torch.fft": (torch.fft, lambda: jg.fft),
    "torch.special": (torch.special, lambda: jg.special),
}
HEAD = """# PyTorch's names

Every public function of `torch`, `torch.Tensor`, `torch.nn.functional`, `torch.linalg`, `torch.fft` and `torch.special`
(PyTorch {version}): whether it is here, under the same name, and if not, why. Written by `python -m bench.parity --write`,
which also runs PyTorch's own database of operations against jitgrad: {summary}.

Those that are here and not whole by that database, with what differs in one of its samples:

{partly}

What PyTorch's database wants to be refused, and is not, on purpose:

{wider}
"""


def public(space: Any) -> list[str]:
    """The functions, methods and attributes that users of a namespace find."""
    module = inspect.ismodule(space)
    names = getattr(space, "__all__", None) if module else None
    found = sorted(names or [name for name in dir(space) if not name.startswith("_")])
    if not module:
        return found
    return [name for name in found if callable(getattr(space, name, None)) and not inspect.isclass(getattr(space, name))]


def here(space: Any, name: str) -> bool:
    """Whether we have a name; one that only says why it is missing is not there."""
    if not inspect.ismodule(space):
        return hasattr(space, name)
    try:
        return getattr(space, name, None) is not None
    except ImportError:
        return False


def document(outcomes: Sequence[Outcome]) -> str:
    """The page docs/pytorch.md."""
    whole, there = sum(o.whole for o in outcomes), sum(o.there for o in outcomes)
    summary = f"{whole} of {len(outcomes)} operations are whole, {there} are there"
    partly = [_partly(o) for o in outcomes if o.there and not o.whole]
    table = ["| operation | samples right | what differs | why |", "|---|---|---|---|", *sorted(partly)] if partly else ["None."]
    wider = "\n".join(f"- {why}: {_listed(names)}." for why, names in WIDER.items())
    version = torch.__version__.partition("+")[0]
    parts = [HEAD.format(version=version, summary=summary, partly="\n".join(table), wider=wider)]
    for title, (theirs, ours) in SPACES.items():
        parts.append(_section(title, public(theirs), ours()))
    return "\n".join(parts)


def _partly(outcome: Outcome) -> str:
    why = next(iter(outcome.reasons), "").replace("|", "\\|")
    return f"| {outcome.name} | {outcome.good} of {outcome.total} | {why} | {EXPLAINED.get(outcome.name, '')} |"


def _section(title: str, names: Sequence[str], ours: Any) -> str:
    present = [name for name in names if here(ours, name)]
    absent: dict[str, list[str]] = {}
    for name in names:
        if name not in present:
            absent.setdefault(why_absent(name), []).append(name)
    lines = [f"## {title}", "", f"Here, {len(present)} of {len(names)}: {_listed(present)}.", ""]
    for why in sorted(absent, key=lambda why: -len(absent[why])):
        lines += [f"Absent, {why}: {_listed(absent[why])}.", ""]
    return "\n".join(lines)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
