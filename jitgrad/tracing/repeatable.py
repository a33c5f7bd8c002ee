"""Whether what a function reaches gives the same answer whenever it is asked the same question.

Code of the user is read, and what it reads is looked at at every call: see `search`. Of everything else only the libraries
below are known to answer alike. What belongs to another, or holds something that no code of the user's shows, is doubted: a
function that reaches it is recorded again now and then, see `rerecording`.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

_ALIKE = frozenset(
    {
        "abc",
        "array",
        "bisect",
        "_bisect",
        "builtins",
        "cmath",
        "collections",
        "_collections_abc",
        "contextlib",
        "contextvars",
        "_contextvars",
        "copy",
        "dataclasses",
        "enum",
        "fractions",
        "functools",
        "_functools",
        "heapq",
        "_heapq",
        "itertools",
        "jitgrad",
        "json",
        "math",
        "ml_dtypes",
        "numbers",
        "numpy",
        "operator",
        "_operator",
        "re",
        "statistics",
        "string",
        "struct",
        "types",
        "typing",
        "weakref",
        "_weakref",
        "_weakrefset",
        "__future__",
        "None",
        "",
    }
)
"""Libraries in which the same question has the same answer, but for these names of NumPy's."""
_UNLIKE_IN_NUMPY = frozenset(
    {
        "random",
        "load",
        "loadtxt",
        "genfromtxt",
        "fromfile",
        "memmap",
        "open_memmap",
        "fromregex",
        "datetime64",
        "geterr",
        "geterrcall",
        "getbufsize",
        "get_printoptions",
    }
)
_QUIET = frozenset({"decimal", "inspect", "numba", "_thread"})
"""Others that neither draw, nor read clocks or files, in Python code that can be watched while it runs."""
_OF_NUMPY = (np.dtype, type(np.sum), np.finfo, np.iinfo, types.BuiltinFunctionType, types.FunctionType, type, types.ModuleType)
_BY_CALLS = type(iter(int, 1))

IsUsers = Callable[[Mapping[str, Any]], bool]


def part(value: Any, name: str, default: Any = None) -> Any:
    """An attribute, without the `__getattr__` or `__getattribute__` of the user."""
    if isinstance(value, types.ModuleType):
        return vars(value).get(name, default)
    own: Any = type(value).__getattribute__
    try:
        return object.__getattribute__(value, name) if isinstance(own, types.FunctionType) else own(value, name)
    except AttributeError:
        return default


def package_of(module: Any) -> str:
    """The first part of the name of a module."""
    return str(module).split(".")[0]


def unlike_in_numpy(names: set[str]) -> list[str]:
    """Which of these functions of NumPy's may give something else each time."""
    return [f"numpy.{name}" for name in sorted(_UNLIKE_IN_NUMPY & names)]


def may_draw(value: Any, is_users: IsUsers) -> bool:
    """Whether a value is of a library that may draw random numbers, read clocks or files, or advance iterators."""
    value = _asked(value)
    name = _module_of(value)
    module = sys.modules.get(name)
    if name.startswith("numpy.random"):
        return True
    return package_of(name) not in _ALIKE | _QUIET and (module is None or not is_users(vars(module)))


def doubted(value: Any, is_users: IsUsers) -> str:
    """The name of what may give another answer next time, if a value is that; else nothing."""
    value = _asked(value)
    if isinstance(value, types.ModuleType):
        return "" if _is_alike(value.__name__, is_users) else value.__name__
    if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType):
        name = _module_of(value)
        return "" if _is_alike(name, is_users) else f"{name}.{value.__qualname__}"
    if isinstance(value, _BY_CALLS):
        return "an iterator that calls a function"
    for kind in type(value).__mro__:
        if not _is_alike(kind.__module__, is_users) or (package_of(kind.__module__) == "numpy" and not _is_of_numpy(value)):
            return f"{kind.__module__}.{kind.__qualname__}"
    return ""


def _asked(value: Any) -> Any:
    """Of a bound method what it is bound to."""
    bound = part(value, "__self__")
    return value if bound is None or isinstance(bound, types.ModuleType) else bound


def _module_of(value: Any) -> str:
    name = value.__name__ if isinstance(value, types.ModuleType) else part(value, "__module__")
    return name if isinstance(name, str) else str(type(value).__module__)


def _is_alike(name: str, is_users: IsUsers) -> bool:
    """Whether a module is of such a library, or Python code of the user."""
    if package_of(name) in _ALIKE:
        return not name.startswith("numpy.random")
    held = vars(sys.modules[name]) if name in sys.modules else {}
    return is_users(held) and not str(held.get("__file__")).endswith((".so", ".pyd"))


def _is_of_numpy(value: Any) -> bool:
    """Whether an object of a class of NumPy's holds nothing that could change."""
    return isinstance(value, _OF_NUMPY) or (isinstance(value, np.ufunc) and getattr(np, value.__name__, None) is value)
