"""What type checkers see of `jitgrad.fft`. Written by `python -m jitgrad.cli.stubs`."""

from builtins import float as _float
from typing import Any

import numpy as np

from jitgrad.tensors.tensor import Tensor

Operand = Tensor | np.ndarray[Any, Any] | np.generic | _float
"""What an operation takes: a tensor, an array, a number."""


