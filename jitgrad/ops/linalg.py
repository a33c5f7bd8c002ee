"""Products of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.ops.movement import permute
from jitgrad.ops.table import Op, register


def transposed(x: Any) -> Any:
    """`x` with its last two dimensions swapped."""
    n = x.ndim
    return permute(x, dims=(*range(n - 2), n - 1, n - 2))


matmul = Op(
    np.matmul, kind="matmul", inputs=("x", "y"), output="z", method=False, label="mm",
    vjp=(lambda g, y: matmul(g, transposed(y)), lambda g, x: matmul(transposed(x), g)),
    shape=lambda x, y: (x.shape[:-1] + y.shape[-1:], x.dtype),
)  # fmt: skip

register(globals())
