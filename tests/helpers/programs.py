"""Short programs in PyTorch's words, by topic: what each prints and raises, with PyTorch and with jitgrad.

A file of programs has a line `=== name` before each; `=== name | reason` where jitgrad is meant to differ from PyTorch. What
they do with PyTorch, and in the latter case with jitgrad, stands beside them, as `python -m tests.helpers.programs` wrote it,
which needs PyTorch.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import re
import sys
import warnings
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parents[1] / "autograd" / "programs"
BUILTINS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
    AssertionError,
)
"""The types of errors that are told apart, a type before those that it derives from."""

_NUMBER = re.compile(r"-?\d+\.\d*(?:e[+-]?\d+)?")


class Program(NamedTuple):
    """A program, and why jitgrad is meant to differ, if it is."""

    topic: str
    name: str
    code: str
    reason: str


def programs() -> list[Program]:
    """All programs."""
    found = []
    for path in sorted(HERE.glob("*.txt")):
        for part in re.split(r"^=== ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            head, _, code = part.partition("\n")
            name, _, reason = head.partition(" | ")
            found.append(Program(path.stem, name.strip(), code, reason.strip()))
    return found


def outcome(program: Program, torch: Any) -> str:
    """What a program prints, and the type of the error that it ends with."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            exec(compile(program.code, f"<{program.topic}: {program.name}>", "exec"), {"torch": torch, "math": math})
        except BUILTINS as error:
            print("raises", next(kind.__name__ for kind in _kinds(error)), file=text)
    return text.getvalue().replace(f"{torch.__name__}.", "torch.")


def _kinds(error: Exception) -> list[type]:
    """The types that an error is known by; `NotImplementedError` is a RuntimeError."""
    return [kind for kind in BUILTINS if isinstance(error, kind) and kind is not NotImplementedError] or [Exception]


def alike(a: str, b: str) -> bool:
    """Whether two outcomes say the same, numbers to five digits and nodes by their names alone."""
    a, b = (re.sub(r"<(\w+) object at \w+>", r"<\1>", text) for text in (a, b))
    if _NUMBER.sub("#", a) != _NUMBER.sub("#", b):
        return False
    return all(
        math.isclose(float(x), float(y), rel_tol=1e-4, abs_tol=2e-4) for x, y in zip(_NUMBER.findall(a), _NUMBER.findall(b))
    )


def recorded() -> dict[str, dict[str, str]]:
    """The outcomes by program, "torch" and, where it differs, "jitgrad"."""
    return json.loads((HERE / "outcomes.json").read_text(encoding="utf-8"))


def record() -> None:
    """Run all programs with PyTorch, and those that are meant to differ with jitgrad; write down what they do."""
    import torch
    import torch.utils.checkpoint

    import jitgrad

    found = {}
    for program in programs():
        both = {"torch": outcome(program, torch)}
        here = outcome(program, jitgrad)
        if program.reason:
            both["jitgrad"] = here
        if alike(here, both["torch"]) == bool(program.reason):
            print(f"--- {program.topic}: {program.name} {'does not differ' if program.reason else ''}", file=sys.stderr)
            print(f"torch:\n{both['torch']}\njitgrad:\n{here}", file=sys.stderr)
        found[f"{program.topic}: {program.name}"] = both
    (HERE / "outcomes.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(len(found), "programs", file=sys.stderr)


if __name__ == "__main__":
    record()
