"""Special functions that are written in others."""

from __future__ import annotations

import numpy as np

from jitgrad.functions.face import face
from jitgrad.ops import special_functions
from jitgrad.record.apply import apply
from jitgrad.tensors.tensor import Tensor


@face(top=True)
def polygamma(n: int, input: Tensor) -> Tensor:
    """The n-th derivative of `digamma`."""
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n > 170:
        raise TypeError(f"polygamma: n must be an int from 0 to 170 (n! is beyond float64 then), not {n!r}")
    if n < 0:
        raise RuntimeError(f"polygamma: there are no derivatives of negative order, and n is {n}")
    if not isinstance(input, Tensor):
        raise TypeError(f"polygamma: input must be a tensor, not {type(input).__name__}")
    if n > 1:
        return apply(special_functions.polygamma, (input,), {"n": int(n)})
    return apply((special_functions.digamma, special_functions.trigamma)[n], (input,))
