"""Arrays of other libraries, such as the columns of pandas: operands and arguments that have `__array__` are what that gives."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from jitgrad.tape.device_array import DeviceArray
from jitgrad.tape.handle import Handle

PRIORITY = 2000
"""The `__array_priority__` of tensors, by NumPy's rule for operators: what has a higher one computes itself."""
_OF_PANDAS = 10_000
"""Their `__pandas_priority__`, higher than those of its classes: `column * tensor` is left to tensors too."""
_KNOWN = (Handle, np.ndarray, np.generic, DeviceArray, type)


def is_foreign(x: Any) -> bool:
    """Whether it is an array that is neither a tensor nor NumPy's, and leaves operators to tensors."""
    if not hasattr(x, "__array__") or isinstance(x, _KNOWN):
        return False
    return getattr(x, "__array_ufunc__", False) is not None and getattr(x, "__array_priority__", 0) <= PRIORITY


def by_numpy(x: Any) -> Any:
    """An array by NumPy, if it is one of another library; anything else as it is."""
    return np.asarray(x) if is_foreign(x) else x


def priority_in_pandas() -> int:
    """The `__pandas_priority__` of tensors. `TypeError` where pandas is about to change a column of its own: it does not expect
    then that anything is left to another, and has no error for it."""
    caller = sys._getframe(2).f_back  # of its operator, which asks the property, which asks this
    if caller is not None and caller.f_code.co_name == "_inplace_method":
        raise TypeError(
            "pandas cannot change its columns in place by a tensor: write column = column + tensor, which is a tensor, or "
            "column += tensor.numpy(), through which no gradient goes"
        )
    return _OF_PANDAS
