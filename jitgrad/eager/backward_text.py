"""The way into a compiled reverse sweep: Python written for one structure.

An entry goes through a graph without a loop: it checks row by row that the graph has the structure that it was written
for, and that what the rows saved is still there and unchanged, and gathers these values; then it runs the compiled
sweep, frees what was saved and adds the gradients to the leaves. It returns False, and has changed nothing, where the
graph is another one or something is wrong with it: then `reverse` is right, or says what is wrong.

Rows that are distinct in the structure may be one row in the graph. That is no mistake: rules are linear in their
cotangent, so a row that is gone through twice, once for each of its uses, gives the same sum.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jitgrad.ops.choosing import cast
from jitgrad.ops.table import Needs, Op
from jitgrad.tape.accumulate import accumulating, add_value
from jitgrad.tape.handle import Handle, unchanged
from jitgrad.tape.row import FREED, LEAF, Leaf, Row

PART = 48
"""Steps that go into one function: Python compiles a function in one go, and nothing else runs meanwhile."""


class Saved(NamedTuple):
    """A value that a row saved, and its place among the arguments of the compiled sweep; one array has one place."""

    kind: type
    dtype: np.dtype
    shape: tuple[int, ...]
    place: int


class Seen(NamedTuple):
    """A row that a sweep visits. An input is the number of its step or, if it needs no gradient, its shape and dtype.

    Where a row saved several index arrays as one tuple, there stands a tuple in `saved` too.
    """

    op: Op
    needs: Needs | None
    shape: tuple[int, ...]
    dtype: np.dtype
    params: dict[str, Any]
    inputs: tuple[Any, ...]
    saved: tuple[Any, ...]
    serial: int


def write_backward(
    steps: Sequence[Seen],
    arrived: Sequence[int],
    fresh: Sequence[bool],
    run: Callable,
    constants: Sequence[Any],
    seeded: bool,
) -> Callable[[Row, Any, Any], bool]:
    """`entry(outcome, retain, seed)`; `run` takes the saved values, and `constants`, to gradients.

    If it is `seeded`, the sweep starts from `seed`, which comes after the saved values, and else from 1. `arrived` holds
    the numbers of the leaves whose gradients these are, `fresh` whether each is memory of its own.
    """
    text = _Text(steps)
    for first in range(0, len(steps), PART):
        text.part(range(first, min(first + PART, len(steps))))
    if seeded:
        text.seed()
    text.finish(arrived, fresh, [*["seed"] * seeded, *[text.known(value) for value in constants]])
    text.names["run"] = run
    return text.function("entry", "r0, retain, seed")


class _Text:
    """The function under construction: its lines, and the objects that they name."""

    def __init__(self, steps: Sequence[Seen]) -> None:
        self.steps = steps
        self.lines: list[str] = []
        self.seen = {0}
        self.taken: set[int] = set()
        self.known_names: dict[int, str] = {}
        self.names: dict[str, Any] = {
            "FREED": FREED,
            "Leaf": Leaf,
            "ndarray": np.ndarray,
            "unchanged": unchanged,
            "new": object.__new__,
            "Tensor": Handle._kind,
            "lock": accumulating,
            "add": add_value,
        }

    def known(self, value: Any) -> str:
        """A name for an object, one for each identity."""
        name = self.known_names.get(id(value))
        if name is None:
            name = self.known_names[id(value)] = f"k{len(self.known_names)}"
            self.names[name] = value
        return name

    def miss_if(self, *conditions: str) -> None:
        self.lines += [f"    if {' or '.join(conditions)}:", "        return False"]

    def unlike(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> list[str]:
        """Conditions under which something has not that shape and dtype."""
        return [f"{name}.dtype is not {self.known(dtype)}", f"{name}.shape != {self.known(shape)}" if shape else f"{name}.shape"]

    def part(self, numbers: range) -> None:
        """Lines for some steps; those of a long sweep become a function, and lines that call it."""
        before, seen, taken = self.lines, set(self.seen), set(self.taken)
        self.lines = []
        for number in numbers:
            self.step(number)
        if len(self.steps) > PART:
            made = [*[f"r{i}" for i in sorted(self.seen - seen)], *[f"v{i}" for i in sorted(self.taken - taken)]]
            given = ", ".join(sorted(set(_NAMED.findall("\n".join(self.lines))) - set(made)))
            name = f"part{numbers.start}"
            self.lines.append(f"    return {', '.join([*made, 'True'])},")
            self.function(name, given)
            self.lines = [
                f"    found = {name}({given})",
                "    if not found:",
                "        return False",
                f"    {', '.join([*made, '_'])}, = found",
            ]
        self.lines = before + self.lines

    def step(self, number: int) -> None:
        """Lines that check one row, name its inputs and take what it saved."""
        step, r = self.steps[number], f"r{number}"
        if step.op is LEAF:
            self.miss_if(
                f"{r}.__class__ is not Leaf",
                f"not {r}.requires",
                f"{r}.extra is not None",
                *self.unlike(r, step.shape, step.dtype),
            )
            return
        assert step.needs is not None
        conditions = [f"{r}.needs is not {self.known(step.needs)}", f"{r}.extra is not None"]
        if not step.op.elementwise or step.op is cast:  # these have the shape and dtype of their inputs
            conditions += self.unlike(r, step.shape, step.dtype)
        if step.params:
            conditions.append(f"{r}.params != {self.known(step.params)}")
            conditions += [f"repr({r}.params[{k!r}]) != {repr(v)!r}" for k, v in step.params.items() if _signed(v)]
        self.miss_if(*conditions)
        self.inputs(step, r)
        self.values(step, r)

    def inputs(self, step: Seen, r: str) -> None:
        """Lines for the inputs of a row: those on the way are named, those named before must be the same."""
        assert step.needs is not None
        names, checks = [], []
        for i, x in enumerate(step.inputs):
            if isinstance(x, int) and x not in self.seen:
                self.seen.add(x)
                names.append(f"r{x}")
                continue
            name = f"i{i}"
            names.append(name)
            if isinstance(x, int):
                checks.append(f"{name} is not r{x}")
            elif not step.needs.plain:  # its rules may ask for the shapes of all inputs
                checks += self.unlike(name, *x)
        self.lines.append(f"    {', '.join(names)}, = {r}.inputs")
        if checks:
            self.miss_if(*checks)

    def values(self, step: Seen, r: str) -> None:
        """Lines that take the values that a row saved, after checking that they are there and of the known kinds."""
        if not step.saved:
            return
        self.lines.append(f"    s = {r}.saved")
        self.miss_if("s is FREED", f"{r}.guards is not None and not unchanged({r}.guards)")
        self.take("s", step.saved)

    def take(self, whole: str, parts: tuple[Any, ...]) -> None:
        """Lines that take a tuple of saved values apart and check them."""
        names, checks, inner = [], [], []
        for i, value in enumerate(parts):
            if value.__class__ is tuple:
                names.append(f"{whole}{i}")
                inner.append((names[-1], value))
                continue
            new = value.place not in self.taken
            name = f"v{value.place}" if new else f"{whole}{i}"
            self.taken.add(value.place)
            names.append(name)
            if not new:
                checks.append(f"{name} is not v{value.place}")
                continue
            checks.append(f"{name}.__class__ is not {self.known(value.kind)}")
            if value.kind is np.ndarray:
                checks += self.unlike(name, value.shape, value.dtype)
        self.lines.append(f"    {', '.join(names)}, = {whole}")
        if checks:
            self.miss_if(*checks)
        for name, value in inner:
            self.miss_if(f"len({name}) != {len(value)}")
            if value:
                self.take(name, value)

    def seed(self) -> None:
        """Lines that check the cotangent that the sweep starts from."""
        start = self.steps[0]
        kind = ["seed.__class__ is not ndarray"] if start.shape else []
        self.miss_if(*kind, *self.unlike("seed", start.shape, start.dtype))

    def finish(self, arrived: Sequence[int], fresh: Sequence[bool], constants: Sequence[str]) -> None:
        """Lines that run the sweep, free what was saved and hand out the gradients."""
        gradients = [f"g{i}" for i in arrived]
        given = ", ".join([*[f"v{i}" for i in range(len(self.taken))], *constants])
        if gradients:
            self.lines.append(f"    {', '.join(gradients)}, = run({given})")
        saving = [f"r{i}.saved" for i, step in enumerate(self.steps) if step.saved]
        if saving:
            self.lines += ["    if not retain:", f"        {' = '.join([*saving, 'FREED'])}"]
        if gradients:
            self.lines.append("    with lock:")
        for number, g, own in zip(arrived, gradients, fresh):
            if not own and self.steps[number].shape:
                self.lines.append(f"        {g} = {g}.copy()")
            self.lines += [
                f"        if r{number}.grad is None:",
                "            t = new(Tensor)",
                f"            t._value = {g}",
                "            t._row = t._storage = t._view = None",
                f"            if r{number}.grad is None:",
                f"                r{number}.grad = t",  # no signal handler came first
                "            else:",
                f"                add(r{number}, {g})",
                "        else:",
                f"            add(r{number}, {g})",
            ]
        self.lines.append("    return True")

    def function(self, name: str, given: str) -> Callable[..., Any]:
        """The lines so far as a function."""
        text = "\n".join([f"def {name}({given}):", *self.lines])
        exec(compile(text, "<entry of a compiled reverse sweep>", "exec"), self.names)
        return self.names[name]


_NAMED = re.compile(r"\b[rv]\d+\b")


def _signed(value: Any) -> bool:
    """Whether `==` cannot tell a parameter from another one of other meaning: 0.0 and -0.0."""
    return isinstance(value, (float, np.floating)) and bool(value == 0)
