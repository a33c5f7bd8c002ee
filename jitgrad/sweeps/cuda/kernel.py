"""What is compiled, or simulated, as one kernel."""

from __future__ import annotations

from typing import NamedTuple


class Kernel(NamedTuple):
    """The text of a function, always called `kernel`, and the types of its parameters: "*float32" a pointer, "int32" a number.

    `block` is how many threads a block has.
    """

    text: str
    types: tuple[str, ...]
    block: int
