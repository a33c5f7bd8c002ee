"""The public names of PyTorch, and which of them are here."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Sequence
from typing import Any

import torch

from bench.parity.absent import EXPLAINED, WIDER
from bench.parity.pages import AUTOGRAD, OPERATIONS, PAGES, head, listed, section, write
from bench.parity.trials import Outcome

HEAD = """# PyTorch's names

Every public function of `torch`, `torch.Tensor`, `torch.nn.functional`, `torch.linalg`, `torch.fft` and `torch.special`
(PyTorch {version}): whether it is here, under the same name, and if not, why. Written by `python -m bench.parity --write`,
which also runs PyTorch's own database of operations against jitgrad: {summary}.

Those that are here and not whole by that database, with what differs in one of its samples:

{partly}

What PyTorch's database wants to be refused, and is not, on purpose:

{wider}
"""


def theirs(title: str) -> Any:
    """A namespace of PyTorch's."""
    return torch.Tensor if title == "torch.Tensor" else importlib.import_module(title)


def public(space: Any, classes: bool) -> list[str]:
    """The functions, methods and attributes that users of a namespace find, and of some namespaces the classes."""
    module = inspect.ismodule(space)
    names = getattr(space, "__all__", None) if module else None
    found = sorted(names or [name for name in dir(space) if not name.startswith("_")])
    if not module:
        return found
    values = {name: getattr(space, name, None) for name in found}
    return [name for name, value in values.items() if callable(value) and (classes or not inspect.isclass(value))]


def write_pages(outcomes: Sequence[Outcome] | None) -> None:
    """Write the names of all pages, and with the outcomes what docs/pytorch.md says above them."""
    for path, titles in PAGES.items():
        above = head(path) if outcomes is None or path is not OPERATIONS else summary(outcomes)
        write(path, above, [section(title, public(theirs(title), path is AUTOGRAD)) for title in titles])


def summary(outcomes: Sequence[Outcome]) -> str:
    """What docs/pytorch.md says of the operations."""
    whole, there = sum(o.whole for o in outcomes), sum(o.there for o in outcomes)
    counted = f"{whole} of {len(outcomes)} operations are whole, {there} are there"
    partly = [_partly(o) for o in outcomes if o.there and not o.whole]
    table = ["| operation | samples right | what differs | why |", "|---|---|---|---|", *sorted(partly)] if partly else ["None."]
    wider = "\n".join(f"- {why}: {listed(names)}." for why, names in WIDER.items())
    version = torch.__version__.partition("+")[0]
    return HEAD.format(version=version, summary=counted, partly="\n".join(table), wider=wider)


def _partly(outcome: Outcome) -> str:
    why = next(iter(outcome.reasons), "").replace("|", "\\|")
    return f"| {outcome.name} | {outcome.good} of {outcome.total} | {why} | {EXPLAINED.get(outcome.name, '')} |"
