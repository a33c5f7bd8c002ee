"""Which of NumPy's ufuncs an operation is."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

OF_OPERATORS: dict[Any, np.ufunc] = {
    operator.add: np.add,
    operator.sub: np.subtract,
    operator.mul: np.multiply,
    operator.truediv: np.divide,
    operator.pow: np.power,
    operator.neg: np.negative,
    operator.abs: np.absolute,
    operator.eq: np.equal,
    operator.ne: np.not_equal,
    operator.lt: np.less,
    operator.le: np.less_equal,
    operator.gt: np.greater,
    operator.ge: np.greater_equal,
    operator.and_: np.bitwise_and,
    operator.or_: np.bitwise_or,
    operator.xor: np.bitwise_xor,
    operator.invert: np.invert,
}
"""Rows are run by Python's operators where there is one."""


def ufunc_of(run: Callable) -> np.ufunc | None:
    """The ufunc that `run` calls, if it is one, an operator, or says so (`run.ufunc`)."""
    found = OF_OPERATORS.get(run, getattr(run, "ufunc", run))
    return found if isinstance(found, np.ufunc) else None
