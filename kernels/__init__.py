"""Elementary and special functions for `@njit` code: `from jitgrad.kernels import exp, tanh`.

They are compiled into the loop that calls them, so that it can become vector instructions, and give the same bits as jitgrad's
own machine code. Each takes and gives float32 or float64; beside float64, and of whole numbers, it is float64. Outside of `@njit`
they compute one number, slowly. `jitgrad.kernels.scalar` says how they work, and how exact they are.

>>> import numba
>>> from jitgrad.kernels import tanh
>>> @numba.njit
... def slope(x):
...     return 1 - tanh(x) ** 2
>>> slope(0.5)
0.7864477329659274
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = [
    *("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "cbrt", "pow", "hypot"),
    *("sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh"),
    *(
        "sigmoid",
        "softplus",
        "erf",
        "erfc",
        "erfcx",
        "erfinv",
        "ndtri",
        "lgamma",
        "digamma",
        "trigamma",
        "igamma",
        "igammac",
        "i0",
        "i0e",
        "i1",
        "i1e",
    ),
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"there is no kernel {name!r}; there are {', '.join(__all__)}")
    launch, scalar = (importlib.import_module(f"{__name__}.{module}") for module in ("launch", "scalar"))
    launch.register()  # before Numba sees the function
    return scalar.GENERIC[name]


def __dir__() -> list[str]:
    return __all__
