"""Files and functions are small enough to be read in one sitting."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [
    path
    for folder in ("jitgrad", "kernels")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if folder == "kernels" or "kernels" not in path.relative_to(ROOT).parts
]
TESTS = [path for folder in ("tests", "bench", "examples") for path in sorted((ROOT / folder).rglob("*.py"))]
MOST_LINES, MOST_LINES_OF_A_FUNCTION = 400, 50


def _length(function: ast.FunctionDef) -> int:
    """The lines of a function without those of its docstring."""
    first = function.body[0]
    is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    docstring = first.end_lineno - first.lineno + 1 if is_text else 0
    return function.end_lineno - function.lineno + 1 - docstring


@pytest.mark.skipif(not FILES, reason="there is no checkout around these tests")
def test_files_are_short():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in [*FILES, *TESTS]}
    assert {path: n for path, n in lengths.items() if n > MOST_LINES} == {}
    assert sum(n > 300 for n in lengths.values()) < len(lengths) / 6


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_are_short_or_say_why_not(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    for function in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(function, ast.FunctionDef) and _length(function) > MOST_LINES_OF_A_FUNCTION:
            before = lines[function.lineno - 2].strip()
            assert before.startswith("# long: "), f"{function.name} has {_length(function)} lines: shorten it, or say why"
