"""Products of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.ops.movement import expand, permute, reshape, sum
from jitgrad.ops.table import Op, register


def transposed(x: Any) -> Any:
    """`x` with its last two dimensions swapped."""
    n = x.ndim
    return permute(x, dims=(*range(n - 2), n - 1, n - 2))


def _matmul(x: Any, y: Any) -> Any:
    z = np.matmul(x, y)
    return z if z.dtype == x.dtype else z.astype(x.dtype)  # bfloat16 comes back as float32


def _lower_matmul(x: Any, y: Any) -> Any:
    """With one row or one column a product of matrices is a sum, which loops do together with what is around it."""
    if x.shape[-2] != 1 and y.shape[-1] != 1:
        return matmul(x, y)
    shape = (*x.shape[:-1], y.shape[-1])
    if y.shape[-1] == 1:
        both = x * expand(transposed(y), shape=tuple(x.shape))
        return reshape(sum(both, dim=(x.ndim - 1,), keepdim=False), shape=shape)
    both = expand(transposed(x), shape=tuple(y.shape)) * y
    return reshape(sum(both, dim=(x.ndim - 2,), keepdim=False), shape=shape)


matmul = Op(
    _matmul, kind="matmul", inputs=("x", "y"), output="z", method=False, label="mm",
    vjp=(lambda g, y: matmul(g, transposed(y)), lambda g, x: matmul(transposed(x), g)),
    lower=_lower_matmul, shape=lambda x, y: (x.shape[:-1] + y.shape[-1:], x.dtype),
    samples=lambda: [([(2, 3), (3, 4)], {}), ([(2, 1, 3), (2, 3, 2)], {})],
)  # fmt: skip

register(globals())
