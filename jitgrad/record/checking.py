"""What a public function says of arguments that are none: an error that nobody raised on purpose is told in its own words.

Nothing is looked at before there is an error, so a right call pays for one more Python call at most; then the signature
decides. The error that came first stays behind the one that is told (`__cause__`).
"""

from __future__ import annotations

import dis
import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.record.leaving import MASKED, is_masked
from jitgrad.tape.handle import Handle

RAW = (AttributeError, TypeError, ValueError, KeyError, IndexError, OverflowError, ZeroDivisionError)
_INTS = "an int or a tuple of ints"


def _is_dim(value: Any) -> bool:
    several = value if isinstance(value, (tuple, list)) else (value,)
    return value is None or isinstance(value, Handle) or all(isinstance(v, (int, np.integer)) for v in several)


_ANNOTATED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "Tensor": (lambda v: isinstance(v, Handle), "a tensor"),
    "Sequence[Tensor]": (lambda v: isinstance(v, (list, tuple)), "a list or tuple of tensors"),
    "Callable": (callable, "a function"),
    "Sequence[Callable]": (lambda v: isinstance(v, (list, tuple)) and all(map(callable, v)), "a list or tuple of functions"),
    "int": (lambda v: isinstance(v, (int, np.integer)), "an int"),
    "int | None": (lambda v: v is None or isinstance(v, (int, np.integer)), "an int"),
    "float": (lambda v: isinstance(v, (int, float, np.number)), "a number"),
}
_NAMED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "dim": (_is_dim, _INTS),
    "axis": (_is_dim, _INTS),
    "value": (lambda v: isinstance(v, (Handle, int, float, complex, np.number, np.bool_)), "a number"),
}
_NAMED |= dict.fromkeys(("min", "max", "alpha", "correction", "start", "end", "step"), _NAMED["value"])


def checked(function: Callable) -> Callable:
    """The function, whose errors are told to the caller."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except RAW as error:
            raise told(function, error, args, kwargs) from (None if is_meant(error) else error)

    return call


def told(function: Any, error: BaseException, args: tuple, kwargs: dict[str, Any], name: str = "") -> BaseException:
    """The error to raise for one that came out of a function: that one if it was meant, else what is wrong with the arguments."""
    if any(map(is_masked, (*args, *kwargs.values()))):
        return TypeError(MASKED)
    if is_meant(error):
        return error
    name = name or function.__name__
    kind: Any = type(error) if type(error) in (TypeError, ValueError, IndexError) else TypeError
    if isinstance(error, (OverflowError, ZeroDivisionError)):
        kind = RuntimeError
    try:
        signature = inspect.signature(function)
        given = signature.bind(*args, **kwargs).arguments
    except (TypeError, ValueError) as wrong:
        return TypeError(f"{name}(): {wrong}")
    for value in given.values():
        if callable(value) and str(error).startswith(f"{getattr(value, '__qualname__', None)}()"):
            return TypeError(f"{name} calls the function it is given, and {error}")
    for parameter, value in given.items():
        annotation = signature.parameters[parameter].annotation
        variadic = signature.parameters[parameter].kind is inspect.Parameter.VAR_POSITIONAL
        fits, wanted = _ANNOTATED.get(annotation) or _NAMED.get(parameter) or (None, "")
        if fits is not None and not variadic and not fits(value):
            return TypeError(f"{name}: {parameter} must be {wanted}, not {type(value).__name__}")
    shown = ", ".join([*map(_shown, args), *[f"{key}={_shown(value)}" for key, value in kwargs.items()]])
    plain = ", ".join(str(p.replace(annotation=p.empty)) for p in signature.parameters.values())
    return kind(f"{name}({shown}) cannot be: its arguments are {name}({plain}), and these do not fit, or are too large")


def is_meant(error: BaseException) -> bool:
    """Whether an error was raised on purpose, by jitgrad or by a function of the user's: not by the interpreter, or NumPy."""
    if isinstance(error, (np.exceptions.AxisError, np.linalg.LinAlgError)):  # NumPy's own words are about the axis, or values
        return True
    trace, packages = error.__traceback__, []
    while trace is not None:
        packages.append(trace.tb_frame.f_globals.get("__name__", "").partition(".")[0])
        last, trace = trace, trace.tb_next
    if not packages or any(name not in ("jitgrad", "numpy") and name not in sys.stdlib_module_names for name in packages):
        return True
    if packages[-1] != "jitgrad":
        return False
    return dis.opname[last.tb_frame.f_code.co_code[last.tb_lasti]] in ("RAISE_VARARGS", "RERAISE")


def floating(name: str, *tensors: Any, error: type[Exception] = NotImplementedError) -> None:
    """An error for a tensor whose dtype is no floating one; None may stand for one that is not given."""
    for x in tensors:
        if x is not None and not x.dtype.is_floating_point:
            raise not_floating(name, x.dtype, error)


def not_floating(name: str, dtype: Any, error: type[Exception] = NotImplementedError, cure: str = ".float()") -> Exception:
    """What is said of a dtype where a floating one is needed; the type of the error is the one that PyTorch has there."""
    return error(
        f"{name} needs a floating dtype, and this tensor is {dtypes.of(dtypes.to_numpy(dtype)).name}: convert with {cure}"
    )


def _shown(value: Any) -> str:
    if isinstance(value, (Handle, np.ndarray)):
        held = value._held if isinstance(value, Handle) else value
        return f"{held.dtype}{list(held.shape)}"
    text = repr(value)
    return text if len(text) <= 30 else type(value).__name__
