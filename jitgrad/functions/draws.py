"""Random numbers of the three sorts that all others are made of: uniform and normal ones, and integers.

While a function is recorded they are rows of the tape; else a loop of machine code writes them, made of the same rows.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jitgrad.devices.moving import made_there, places
from jitgrad.eager.draws import written
from jitgrad.functions.generators import drawing_of, signed
from jitgrad.ops.choosing import cast
from jitgrad.ops.movement import reshape
from jitgrad.ops.random import MAKE
from jitgrad.record.apply import apply
from jitgrad.record.trace import current_trace, made_here
from jitgrad.tensors.tensor import Tensor, wrap


def drawn(what: str, shape: tuple[int, ...], dtype: np.dtype, generator: Any, device: Any, *bounds: int) -> Tensor:
    """Numbers of a sort, one for each of the next counters of the generator. Integers begin at the first bound; the second says
    how many there are."""
    source, trace = drawing_of(generator, device), current_trace.get()
    if trace is not None and trace is not source._trace:  # it is from outside, or of a function around, as the trace knows
        return trace.draw(lambda ahead: drawn(what, (*ahead, *shape), dtype, generator, device, *bounds))
    count = math.prod(shape)
    seed, start = source.ahead(count)
    numbers: list[Any] = [signed(n) if isinstance(n, int) else n for n in (seed, start, *bounds)]
    if trace is None and made_there(device) is None:
        flat = written(what, dtype, numbers, count)
        return wrap(flat.reshape(shape) if shape else flat[0])
    key, start, *limits = (made_here(wrap(np.int64(n))) if isinstance(n, int) else n for n in numbers)
    counters = start + apply(reshape, (made_here(wrap(places(count, device))),), {"shape": shape})
    found = MAKE[what](key, counters, dtype, *limits)
    return found if found._held.dtype == dtype else apply(cast, (found,), {"dtype": dtype})
