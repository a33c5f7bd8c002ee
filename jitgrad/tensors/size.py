"""What `tensor.shape` is."""

from __future__ import annotations

import math


class Size(tuple):
    """A shape."""

    __slots__ = ()

    def numel(self) -> int:
        """The number of elements of a tensor of this shape."""
        return math.prod(self)

    def __repr__(self) -> str:
        return f"jitgrad.Size({list(self)})"
