"""Every public function and method called with a battery of wrong arguments, and whether what they raise is fit to be read."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import jitgrad as jg
import jitgrad.testing

WRONG: dict[str, Callable[[], Any]] = {
    "3": lambda: 3,
    "-1": lambda: -1,
    "2**70": lambda: 2**70,
    "1.5": lambda: 1.5,
    "nan": lambda: float("nan"),
    "1j": lambda: 1j,
    "'a'": lambda: "a",
    "b'a'": lambda: b"a",
    "None": lambda: None,
    "True": lambda: True,
    "[]": list,
    "()": lambda: (),
    "{}": dict,
    "object()": object,
    "[[1, 2], [3]]": lambda: [[1, 2], [3]],
    "{1}": lambda: {1},
    "(1, 'a')": lambda: (1, "a"),
    "slice": lambda: slice(1, 2),
    "type": lambda: int,
    "function": lambda: lambda *xs: xs[0] if xs else None,
    "x": lambda: jg.ones(2, 3),
    "0-d": lambda: jg.tensor(1.0),
    "ints": lambda: jg.tensor([1, 0]),
    "empty": lambda: jg.zeros(0),
    "array": lambda: np.ones((2, 2)),
    "strings": lambda: np.array(["a"]),
    "bools": lambda: jg.tensor([True, False]),
    "[x]": lambda: [jg.ones(2)],
    "grad": lambda: jg.ones(2, requires_grad=True),
    "2**62": lambda: 2**62,
}

FIT = (TypeError, ValueError, RuntimeError, IndexError, NotImplementedError, AssertionError, OSError, jg.errors.JitgradError)

RAW = re.compile(
    r"object has no attribute|object is not (iterable|callable|subscriptable)|tuple index out of range|list index out of range|"
    r"(too many|not enough) values to unpack|expected \d+, got \d+\)|ufunc|'DType' object|has no len\(\)|'_\w+'|"
    r"cannot be interpreted as an integer|unhashable type|unsupported operand type|not supported between|must be real number|"
    r"Maximum allowed|array is too big|maximum supported dimension|could not be broadcast|setting an array element|"
    r"object of type|"
    r"numpy\.|NumPy boolean|bad operand type|argument must be a string|could not convert string|too large to convert|"
    r"Cannot interpret|data type .* not understood|not all arguments|descriptor|inhomogeneous|"
    r"(^|\W)_[a-z]\w*\(\) (got|missing|takes)"
)
"""What a message does not say that was written for the caller."""


class Call(NamedTuple):
    """A call, and the exception that it raised."""

    text: str
    error: BaseException

    def is_fit(self) -> bool:
        """Whether its type and its text are those of an error made for the caller."""
        return isinstance(self.error, FIT) and type(self.error) is not np.linalg.LinAlgError and not RAW.search(str(self.error))


def functions() -> dict[str, Callable]:
    """The public functions, by name."""
    found = {name: value for name in jg.__all__ if callable(value := getattr(jg, name))}
    found |= {f"func.{name}": getattr(jg.func, name) for name in jg.func.__all__}
    found |= {f"autograd.{name}": getattr(jg.autograd, name) for name in ("backward", "grad")}
    found |= {f"testing.{name}": getattr(jg.testing, name) for name in ("gradcheck", "gradgradcheck")}
    names = (
        "set_default_dtype",
        "set_printoptions",
        "set_num_threads",
        "manual_seed",
        "sweep",
        "set_grad_enabled",
        "no_grad",
        "enable_grad",
        "config",
    )
    return {name: f for name, f in found.items() if name not in names and not isinstance(f, type)}


def methods() -> dict[str, Callable]:
    """The methods of tensors, and operators, as functions of one."""
    names = [n for n in dir(jg.Tensor) if callable(getattr(jg.Tensor, n)) and (n[0] != "_" or n in _OPERATORS)]
    return {f"x.{name}": getattr(jg.Tensor, name) for name in names}


_OPERATORS = ("__getitem__", "__contains__", "__setitem__", "__format__", "__round__", "__iadd__", "__imul__", "__ipow__")


def calls(chosen: Callable[[str], bool] = lambda name: True) -> Iterator[Call]:
    """What all the calls raise, those that raise nothing left out."""
    for name, function in functions().items():
        if chosen(name):
            yield from _calls(name, function, [])
    for name, method in methods().items():
        if chosen(name):
            yield from _calls(name, method, [("x", WRONG["x"])])


def _calls(name: str, function: Callable, begin: list[tuple]) -> Iterator[Call]:
    good, zero, some = ("x", WRONG["x"]), ("0", lambda: 0), ("function", WRONG["function"])
    lists = [begin]
    for one in WRONG.items():
        lists += [[*begin, *rest] for rest in ((one,), (good, one), (one, good), (good, zero, one), (one, one), (some, one))]
    for arguments in lists:
        yield from _raised(f"{name}({', '.join(text for text, _ in arguments)})", function, arguments, {})
    for keyword in ("dim", "dtype", "nonsense"):
        for text, make in WRONG.items():
            yield from _raised(f"{name}(x, {keyword}={text})", function, [good], {keyword: make})


def _raised(text: str, function: Callable, arguments: list, keywords: dict[str, Callable]) -> Iterator[Call]:
    try:
        function(*[make() for _, make in arguments], **{key: make() for key, make in keywords.items()})
    except Exception as error:
        yield Call(text, error)


def unfit(chosen: Callable[[str], bool] = lambda name: True) -> list[Call]:
    """The calls whose errors are not fit to be read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [call for call in calls(chosen) if not call.is_fit()]
