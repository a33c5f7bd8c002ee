"""What rows take from SciPy, which is an optional package: functions of matrices that NumPy has not."""

from __future__ import annotations

import functools
import importlib.util
from typing import Any

import numpy as np

from jitgrad.errors import LinAlgError


def by_numpy(name: str) -> Any:
    """A function of `numpy.linalg`, whose error of what does not converge is one of ours."""
    run = getattr(np.linalg, name)

    def call(x: np.ndarray, *more: Any) -> Any:
        try:
            return run(x, *more)
        except np.linalg.LinAlgError as error:
            why = "does not converge" if np.isfinite(x).all() else "has elements that are nan or infinite"
            raise LinAlgError(f"{name}: a matrix of shape {list(x.shape[-2:])} {why}") from error

    return call


def scipys(name: str, what: str) -> Any:
    """A function of `scipy.linalg`; `ImportError` that says what needs it, and what to install."""
    try:
        import scipy.linalg
    except ImportError:
        raise ImportError(f"{what} runs through SciPy, which is not installed: pip install 'jitgrad[scipy]'") from None
    return getattr(scipy.linalg, name)


def lapack(name: str, x: np.ndarray, what: str) -> Any:
    """A function of LAPACK that NumPy has not, for the dtype of `x`."""
    return scipys("get_lapack_funcs", what)((name,), (x,))[0]


def blas(name: str, x: np.ndarray, what: str) -> Any:
    """A function of BLAS that NumPy has not, for the dtype of `x`."""
    return scipys("get_blas_funcs", what)((name,), (x,))[0]


@functools.cache
def has_scipy() -> bool:
    """Whether SciPy is installed."""
    return importlib.util.find_spec("scipy") is not None
