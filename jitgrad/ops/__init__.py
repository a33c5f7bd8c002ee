"""The op table: the only place where mathematics lives. See `table` for what a row is.

Elementwise rows stand in `choosing`, `arithmetic`, `trigonometric`, `activations` and `special_functions`. Their operands
arrive with equal dtypes, and with equal shapes in kernels: promotion and broadcasting happen before. A partial derivative that
is a boolean mask passes the cotangent where it is true, so that `inf * 0` cannot arise. At points where no derivative exists
the rows give what PyTorch gives (minimum-norm subgradients).
"""

from jitgrad.ops import (
    activations,
    arithmetic,
    choosing,
    complexes,
    decompositions,
    eigenvalues,
    fourier,
    indexing,
    linalg,
    movement,
    norms,
    reductions,
    sorting,
    special_functions,
    table,
    trigonometric,
    windows,
)
from jitgrad.ops.table import TABLE, Op, rows

__all__ = [
    "TABLE",
    "Op",
    "activations",
    "arithmetic",
    "choosing",
    "complexes",
    "decompositions",
    "eigenvalues",
    "fourier",
    "indexing",
    "linalg",
    "movement",
    "norms",
    "reductions",
    "rows",
    "sorting",
    "special_functions",
    "table",
    "trigonometric",
    "windows",
]
