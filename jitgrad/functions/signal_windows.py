"""Windows, which parts of signals are multiplied by before they are transformed; `periodic` ones leave out the last element."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.functions.data import tensor
from jitgrad.tensors.tensor import Tensor


def hann_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`0.5 - 0.5 * cos(2 * pi * k / (n - 1))`."""
    return _made("hann_window", window_length, periodic, lambda n: _cosines(n, 0.5, 0.5), dtype, device, requires_grad)


def hamming_window(
    window_length: int,
    periodic: bool = True,
    alpha: float = 0.54,
    beta: float = 0.46,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """`alpha - beta * cos(2 * pi * k / (n - 1))`."""
    return _made("hamming_window", window_length, periodic, lambda n: _cosines(n, alpha, beta), dtype, device, requires_grad)


def blackman_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`0.42 - 0.5 * cos(2 * pi * k / (n - 1)) + 0.08 * cos(4 * pi * k / (n - 1))`."""
    return _made("blackman_window", window_length, periodic, np.blackman, dtype, device, requires_grad)


def bartlett_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A triangle: from 0 to 1 and back."""
    return _made("bartlett_window", window_length, periodic, np.bartlett, dtype, device, requires_grad)


def kaiser_window(
    window_length: int,
    periodic: bool = True,
    beta: float = 12.0,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """`i0(beta * sqrt(1 - (2 * k / (n - 1) - 1)**2)) / i0(beta)`."""
    return _made("kaiser_window", window_length, periodic, lambda n: np.kaiser(n, beta), dtype, device, requires_grad)


def _cosines(n: int, alpha: float, beta: float) -> np.ndarray:
    return alpha - beta * np.cos(2 * np.pi * np.arange(n) / (n - 1))


def _made(what: str, length: Any, periodic: bool, values: Any, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    n, wanted = operator.index(length), dtypes.default() if dtype is None else dtypes.to_numpy(dtype)
    if n < 0:
        raise RuntimeError(f"{what}: a window has no negative length, and {n} is asked for")
    if not dtypes.is_floating(wanted):
        raise RuntimeError(f"{what}: a window is of fractions, and {dtypes.of(wanted).name} has none")
    found = np.ones(n) if n < 2 else values(n + 1)[:-1] if periodic else values(n)
    return tensor(np.asarray(found).astype(wanted), device=device, requires_grad=requires_grad)
