"""What README and CONTRIBUTING show is what runs."""

from __future__ import annotations

import contextlib
import doctest
import importlib
import io
import pkgutil
import re
from pathlib import Path

import pytest

import jitgrad as jg
from jitgrad import kernels

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"```python\n(.*?)```\s+```text\n(.*?)```", README, re.S)


@pytest.mark.quick
@pytest.mark.parametrize(("code", "output"), SHOWN)
def test_the_examples_print_what_is_shown(code, output):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {})
    assert printed.getvalue().strip() == output.strip()


def test_there_are_examples():
    assert len(SHOWN) == 2


def test_files_named_in_the_readme_exist():
    for name in re.findall(r"(?<!\S)((?:jitgrad|kernels|tests|bench)/[\w/.]*)", README):
        assert (ROOT / name).exists(), name


def test_the_rows_in_contributing_are_those_of_the_table():
    found = re.findall(r"    \+\+\+ b/(\S+)\n((?:    \+.*\n)+)", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert len(found) == 4
    for path, lines in found:
        assert re.sub(r"^    \+", "", lines, flags=re.MULTILINE) in (ROOT / path).read_text(encoding="utf-8"), path


def _modules():
    """All modules, those of the kernels too, which a checkout has in another place."""
    found = [*pkgutil.walk_packages(jg.__path__, "jitgrad."), *pkgutil.walk_packages(kernels.__path__, "jitgrad.kernels.")]
    return sorted({module.name for module in found} - {"jitgrad.kernels.launch"})


@pytest.mark.parametrize("name", ["jitgrad", *_modules()])
def test_docstring_examples_run(name):
    module = importlib.import_module(name)
    found = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert found.failed == 0


def test_the_way_of_a_call_is_as_it_is_described():
    found = doctest.testfile(str(ROOT / "docs/how-it-works.md"), module_relative=False, encoding="utf-8")
    assert found.attempted > 5
    assert found.failed == 0


@pytest.mark.parametrize("page", ["random", "own-operations"])
def test_pages_are_true(page):
    found = doctest.testfile(str(ROOT / f"docs/{page}.md"), module_relative=False, encoding="utf-8")
    assert found.attempted > 15
    assert found.failed == 0


def test_files_named_on_that_way_exist():
    text = (ROOT / "docs/how-it-works.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:[a-z]+/)+[a-z_]*(?:\.py)?)`", text)
    assert len(named) > 15
    for name in named:
        assert any((ROOT / "jitgrad" / start / name).exists() for start in (".", "sweeps")), name
