"""Places where a function reads something from outside, which can be looked at again."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any, NamedTuple

from jitgrad.tracing.repeatable import part

MISSING = object()


class Of:
    """Gives the attributes of an object; of a method, which is a new object every time, its function."""

    __slots__ = ("owner",)

    def __init__(self, owner: Any) -> None:
        self.owner = owner

    def __call__(self, name: str) -> Any:
        found = getattr(self.owner, name, MISSING)
        return getattr(found, "__func__", found)


class Held(Of):
    """The same of an object whose class says itself what its attributes are: what it holds, without asking the class."""

    __slots__ = ()

    def __call__(self, name: str) -> Any:
        return part(self.owner, name, MISSING)


class Look(NamedTuple):
    """Where a value is: in a cell of a closure (then `holder` is the cell), or what `holder` gives for its name."""

    holder: Any
    name: str

    def __call__(self) -> Any:
        return self.holder.cell_contents if isinstance(self.holder, types.CellType) else self.holder(self.name)

    def place(self) -> tuple[int, str]:
        """The same for all looks at one place."""
        owner = getattr(self.holder, "owner", getattr(self.holder, "__self__", self.holder))
        return id(owner), self.name

    def text(self, value: Any, known: Callable[[Any], str]) -> str:
        """The same as an expression, where `value` is there now; `known` gives the names of objects."""
        if isinstance(self.holder, types.CellType):
            return f"{known(self.holder)}.cell_contents"
        if self.holder.__class__ is Of and not isinstance(value, types.FunctionType):
            return f"getattr({known(self.holder.owner)}, {self.name!r}, {known(MISSING)})"
        return f"{known(self.holder)}({self.name!r})"


def defined(base: type, name: str) -> Any:
    """What a class itself defines."""
    return vars(base).get(name)
