"""The lists of PyTorch's names in docs/ are right: what they say is here is, and what is absent is, for that reason."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def pages(monkeypatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent))
    return importlib.import_module("bench.parity.pages")


@pytest.mark.quick
@pytest.mark.parametrize("name", ["pytorch.md", "autograd.md"])
def test_names_are_here_or_absent_as_the_page_says(pages, name):
    path = pages.DOCS / name
    titles = pages.PAGES[path]
    sections = pages.read(path)
    anew = "write them anew: python -m bench.parity --names"
    assert tuple(section.title for section in sections) == titles, anew
    for section in sections:
        space = pages.ours(section.title)
        absent = [name for names in section.absent.values() for name in names]
        assert section.count == len({*section.here, *absent}) == len(section.here) + len(absent), anew
        assert [name for name in section.here if not pages.here(space, name)] == [], anew
        assert [name for name in absent if pages.here(space, name)] == [], anew
        reasons = {why: names for why, names in section.absent.items() if why != pages.why_absent(names[0], section.title)}
        assert reasons == {}, anew
        text = path.read_text(encoding="utf-8")
        assert pages.section(section.title, sorted(section.here + absent)) in text, anew


@pytest.mark.quick
def test_names_that_are_absent_have_a_reason(pages):
    assert pages.why_absent("quantize_per_tensor") == "numbers of a few bits are out of scope"
    assert pages.why_absent("lstm_cell") == "recurrent layers are steps under scan"
    assert pages.why_absent("something_new") == "not yet"
    assert pages.why_absent("something_new", "torch.autograd.profiler") != "not yet"
    assert all("not yet" not in section.absent for path in pages.PAGES for section in pages.read(path))
