"""The folders of the library stand in the README from the ground up, and nothing imports what stands above it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import jitgrad as jg

ROOT = Path(__file__).parents[1]
HERE = Path(jg.__file__).parent  # a checkout, or what was installed
LINES = re.findall(r"^    jitgrad/([\w/]+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
ORDER = [line.strip("/").replace("/", ".") for line in LINES]
FILES = [path for path in sorted(HERE.rglob("*.py")) if "kernels" not in path.parts[-3:]]
MODULES = {".".join(path.relative_to(HERE.parent).with_suffix("").parts).removesuffix(".__init__"): path for path in FILES}
FREE = {"_checkout"}  # finds the kernels in a checkout before anything else is imported


def floor(module: str) -> int:
    """Where the place of a module stands in the README, its own or that of its folder; the face is `__init__`."""
    own = module.removeprefix("jitgrad").lstrip(".") or "__init__"
    return ORDER.index(own if own in ORDER else own.split(".")[0])


def imported(path: Path, types: bool = True) -> Iterator[str]:
    """The modules of the library that a file imports, also within functions; `types` says whether for annotations as well."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    checked = [node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    skipped = set() if types else {id(node) for each in checked for node in ast.walk(each)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "jitgrad")
        elif isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").split(".")[0] == "jitgrad"):
            assert not node.level, f"{path}: imports are absolute"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else str(node.module)


def test_every_place_stands_in_the_readme():
    places = {
        path.stem if path.is_file() else path.name
        for path in HERE.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert places - FREE - {"kernels"} == {place for place in ORDER if "." not in place}
    assert {place for place in ORDER if "." in place} <= {module.removeprefix("jitgrad.") for module in MODULES}


@pytest.mark.parametrize("module", [m for m in MODULES if m.removeprefix("jitgrad.") not in FREE])
def test_imports_run_down(module):
    for other in imported(MODULES[module]):
        if other.removeprefix("jitgrad.").split(".")[0] not in {*FREE, "kernels"}:
            assert floor(other) <= floor(module), f"{module} imports {other}, which stands below it in the README"


def test_there_is_no_circle():
    """Modules are taken away that import nothing that is still there, until none are left."""
    left = {module: set(imported(path, types=False)) & MODULES.keys() - {module} for module, path in MODULES.items()}
    while left:
        ready = [module for module, needs in left.items() if not needs & left.keys()]
        assert ready, f"these import each other: {sorted(left)}"
        for module in ready:
            del left[module]
