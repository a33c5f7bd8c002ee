"""The classes of several results, which are found in `return_types`."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

_HOME = "jitgrad.tensors.return_types"
_namedtuple: Any = namedtuple


def made(name: str, shown: str, fields: tuple[str, ...]) -> Any:
    """A named tuple that prints as PyTorch's do."""
    kind: Any = _namedtuple(name, fields, module=_HOME)

    def text(self: Any) -> str:
        return f"jitgrad.return_types.{shown}(\n" + ",\n".join(f"{n}={v!r}" for n, v in zip(fields, self)) + ")"

    kind.__repr__ = text
    kind.__doc__ = f"The results of {shown}: {', '.join(fields)}."
    return kind


WRITTEN: dict[str, Any] = {}
"""The classes of results of functions that are written by hand, by their names."""


def named(name: str, *fields: str, shown: str = "") -> Any:
    """The class of the results of a function that is no row; `shown` is its name where a row has the same."""
    return WRITTEN.setdefault(name, made(name, shown or name, fields))
