"""Random programs as text that jitgrad runs, and PyTorch where it has the names.

A program is a list of lines over what there is so far. Each line is tried in eager code when it is made: one that raises
is left out, or ends the program as the error that every other way must raise too; one that writes to an argument is left out.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import jitgrad as jg
from jitgrad.tape.handle import own_memory
from tests.fuzz.calls import meanings
from tests.fuzz.pieces import HALVES, argument, line


class Program(NamedTuple):
    """Text of the arguments and of the lines; the names of the results; the error that the last line raises, or None."""

    arguments: tuple[str, ...]
    lines: tuple[str, ...]
    results: tuple[str, ...]
    raises: str | None = None

    @property
    def names(self) -> list[str]:
        return [f"a{i}" for i in range(len(self.arguments))]

    @property
    def text(self) -> str:
        """The function `f` as source."""
        body = "\n".join(self.lines) + f"\nreturn ({', '.join(self.results)}{',' if self.results else ''})"
        return f"def f({', '.join(self.names)}):\n" + "\n".join(f"    {line}" for line in body.splitlines())

    def function(self, library: Any = jg) -> Callable[..., Any]:
        scope = meanings(self.text, library)
        exec(self.text, scope)
        return scope["f"]

    def values(self, library: Any = jg) -> list[Any]:
        """The arguments, new ones each time."""
        return [eval(text, {"jg": library, "np": np}) for text in self.arguments]

    def __str__(self) -> str:
        end = f"    # raises {self.raises}\n" if self.raises else ""
        return "".join(f"a{i} = {text}\n" for i, text in enumerate(self.arguments)) + self.text + "\n" + end

    @property
    def loops(self) -> bool:
        """Whether there is something that PyTorch does not have."""
        return any(name in self.text for name in ("jg.scan", "jg.fori_loop", "jg.while_loop", "jg.cond", "jg.switch"))

    @property
    def half(self) -> bool:
        return any(name in str(self) for name in HALVES)


EXPECTED = (TypeError, ValueError, RuntimeError, IndexError, NotImplementedError)


def generate(seed: str, longest: int = 9) -> Program:
    """The program of a seed."""
    rng = random.Random(seed)
    while True:
        found = _generated(rng, longest)
        if found is not None:
            return found


def _generated(rng: random.Random, longest: int) -> Program | None:
    arguments = tuple(argument(rng) for _ in range(rng.randint(1, 3)))
    program = Program(arguments, (), ())
    if not any("jg.tensor" in text for text in arguments):
        return None
    values = [jg.from_numpy(v) if isinstance(v, np.ndarray) else v for v in program.values()]
    before = [_state(value) for value in values]
    scope = meanings("") | dict(zip(program.names, values))
    names, lines = list(program.names), []
    raises = None
    for i in range(rng.randint(1, longest)):
        new = f"v{i}"
        text = line(rng, scope, names, new)
        try:
            scope |= meanings(text)
            exec(text, scope)
        except (AttributeError, ArithmeticError, AssertionError, *EXPECTED) as error:  # some are those of Python's numbers
            if i > 1 and isinstance(error, EXPECTED) and all(isinstance(v, jg.Tensor) for v in values) and rng.random() < 0.02:
                raises = type(error).__name__
                lines.append(text)
                names = [*names, *([new] if f"{new} = " in text else [])]
                break
            if any(_state(value) != then for value, then in zip(values, before)):
                return None
            continue
        made = scope.get(new)
        if any(_state(value) != then for value, then in zip(values, before)) or _huge(made):
            return None
        lines.append(text)
        if isinstance(made, jg.Tensor):
            names.append(new)
    made_names = [name for name in names if name.startswith("v")]
    if not made_names:
        return None
    results = tuple(dict.fromkeys([made_names[-1], *rng.sample(made_names, min(2, len(made_names)))]))
    return Program(arguments, tuple(lines), results, raises)


def _state(value: Any) -> Any:
    """What changes when something is written to an argument."""
    if isinstance(value, jg.Tensor):
        return own_memory(value).version, value._value.tobytes()
    return np.asarray(value).tobytes()


def _huge(made: Any) -> bool:
    return isinstance(made, jg.Tensor) and made.numel() > 5000
