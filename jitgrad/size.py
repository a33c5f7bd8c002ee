"""What `tensor.shape` is."""

from __future__ import annotations

import numpy as np


class Size(tuple):
    """A shape."""

    __slots__ = ()

    def numel(self) -> int:
        """The number of elements of a tensor of this shape."""
        return int(np.prod(self, dtype=np.int64))

    def __repr__(self) -> str:
        return f"jitgrad.Size({list(self)})"
