"""What type checkers see of `jitgrad.nn.functional`. Written by `python -m jitgrad.cli.stubs`."""

from builtins import float as _float
from typing import Any

import numpy as np

from jitgrad.tensors.tensor import Tensor

Operand = Tensor | np.ndarray[Any, Any] | np.generic | _float
"""What an operation takes: a tensor, an array, a number."""


def binary_cross_entropy(input: Operand, target: Tensor, reduction: str = ...) -> Tensor: ...
def binary_cross_entropy_with_logits(input: Operand, target: Tensor, reduction: str = ...) -> Tensor: ...
def cross_entropy(input: Operand, target: Tensor, reduction: str = ...) -> Tensor: ...
def mse_loss(input: Operand, target: Tensor, reduction: str = ...) -> Tensor: ...
def nll_loss(input: Operand, target: Tensor, reduction: str = ...) -> Tensor: ...
