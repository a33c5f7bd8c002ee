"""Public functions: one for each row of the op table, and composites without rules of their own.

Importing this attaches the methods of `Tensor`.
"""

from jitgrad.eager import operations  # noqa: F401  it says how hot rows run, which the functions take over
from jitgrad.functions import attached  # noqa: F401  it attaches them
from jitgrad.functions.offered import FUNCTIONS, NAMESPACES

__all__ = ["FUNCTIONS", "NAMESPACES"]
