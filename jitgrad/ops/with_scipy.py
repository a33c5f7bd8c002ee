"""Rows that SciPy runs: functions that are too rare for a kernel of their own.

SciPy is an extra of jitgrad's, and looked for when such a function is called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.ops.table import Op


def special_function(name: str, what: str) -> Callable:
    """The function of that name in `scipy.special`. Where there is no SciPy, an ImportError says what to install for `what`."""
    try:
        from scipy import special
    except ImportError as error:
        message = f"{what} is computed by SciPy, which is not installed: pip install 'jitgrad[scipy]'"
        raise ImportError(message) from error
    return getattr(special, name)


def by_scipy(name: str, what: str) -> Callable:
    """What SciPy's function gives, in the dtype of the operands."""

    def run(*operands: Any) -> Any:
        dtype = np.result_type(*operands)
        return np.asarray(special_function(name, what)(*operands), dtype=dtype)[()]

    return run


def rare(run: Callable, **more: Any) -> Op:
    """An elementwise row, mostly without a kernel, found in the namespace `special` alone."""
    inputs = more.pop("inputs", ("x",))
    facts: dict[str, Any] = {"result": "float", "namespace": "special", "method": False, "inplace": False} | more
    return Op(run, kind="elementwise", inputs=inputs, output="z" if len(inputs) > 1 else "y", **facts)
