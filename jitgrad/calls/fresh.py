"""Fixed results of a recorded function that could be changed: each call gives its caller one of its own."""

from __future__ import annotations

import copy
from array import array
from collections import deque
from typing import Any

import numpy as np

_MUTABLE = (np.ndarray, set, bytearray, deque, array)


def is_mutable(value: Any) -> bool:
    """Whether a fixed result has to be copied for every call."""
    return isinstance(value, _MUTABLE)


def fresh(value: Any) -> Any:
    """A fixed result for one call: a copy of what the caller could change."""
    return copy.deepcopy(value) if isinstance(value, _MUTABLE) else value
