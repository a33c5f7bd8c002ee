"""What type checkers see of `jitgrad.linalg`. Written by `python -m jitgrad.cli.stubs`."""

from builtins import float as _float
from typing import Any

import numpy as np

from jitgrad.tensors import return_types as _return_types
from jitgrad.tensors.tensor import Tensor

Operand = Tensor | np.ndarray[Any, Any] | np.generic | _float
"""What an operation takes: a tensor, an array, a number."""


def eig(input: Operand, *, dtype: Any = ..., out: Any = ...) -> _return_types.eig: ...
def eigh(input: Operand, UPLO: Any = ..., *, dtype: Any = ..., out: Any = ...) -> _return_types.eigh: ...
def eigvals(input: Operand, *, dtype: Any = ..., out: Any = ...) -> Tensor: ...
def qr(input: Operand, mode: Any = ..., *, dtype: Any = ..., out: Any = ...) -> _return_types.qr: ...
def slogdet(input: Operand, *, dtype: Any = ..., out: Any = ...) -> _return_types.slogdet: ...
def svd(input: Operand, full_matrices: Any = ..., *, dtype: Any = ..., out: Any = ...) -> _return_types.svd: ...
