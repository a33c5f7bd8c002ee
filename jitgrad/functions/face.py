"""What users see of a function that is written by hand: its other names, and whether it is a method too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Face(NamedTuple):
    """How a function comes to users. Functions of a namespace (see `homes`) are at the top, or methods, only where that is said.

    An alias with a dot is a full name, "special.expit"; one without is at the top.
    """

    aliases: tuple[str, ...] = ()
    top: bool | None = None  # whether it is at the top
    method: bool | None = None  # whether tensors have it, with the tensor first
    inplace: bool = False  # whether they have it with an underscore, too
    exact: bool = (
        False  # whether `out=` must have the dtype of the result, as where elements are picked, or BLAS or LAPACK writes them
    )
    bare: bool = False  # whether it is called as it is: one more call of Python would be a tenth of what it takes


def face(*aliases: str, **facts: Any) -> Callable[[Callable], Callable]:
    """State facts of a function, which are those of `Face`."""

    def stated(function: Callable) -> Callable:
        function.__dict__["face"] = Face(aliases, **facts)
        return function

    return stated


def face_of(function: Callable, home: str = "", otherwise: Face = Face()) -> Face:  # noqa: B008  it cannot be changed
    """What is stated of a function, or what holds for most of a module, or of a namespace."""
    found = function.__dict__.get("face", otherwise)
    top, method = (not home if fact is None else fact for fact in (found.top, found.method))
    return found._replace(top=top, method=method)
