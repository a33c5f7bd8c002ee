"""The user's own function: `path/to/file.py:function`, with `example_args()` beside it."""

from __future__ import annotations

import importlib.util
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import jitgrad as jg
from jitgrad.cli.errors import UsageError, one_line

FORM = "path/to/file.py:function"


@dataclass
class Target:
    """A function with arguments to call it with; `argnums` are the arguments that it is differentiated in."""

    name: str
    path: Path
    function: Callable
    arguments: tuple
    argnums: tuple[int, ...]

    def call(self, work: Callable, *operands: Any) -> Any:
        """`work(*operands)`, where a failure is the function's own and is said in one sentence."""
        return _guarded(self.path, f"{self.name} failed", work, *operands)

    def gradient(self) -> Callable:
        """The function that returns the value and the gradients in all floating arguments."""
        return jg.value_and_grad(self.function, argnums=self.argnums)


def load(text: str) -> Target:
    """Find the function and its arguments, and call it once; `UsageError` says what is wrong."""
    place, _, name = text.rpartition(":")
    if not place or not name.isidentifier():
        raise UsageError(f"{text!r} does not name a function: write {FORM}")
    path = Path(place)
    module = _import(path)
    function = _callable(module, path, name)
    arguments = _arguments(_guarded(path, "example_args() failed", _callable(module, path, "example_args")), path)
    argnums = tuple(i for i, argument in enumerate(arguments) if _is_floating(argument))
    if not argnums:
        raise UsageError(f"example_args() in {path} returns no floating argument to differentiate in")
    target = Target(name, path, function, arguments, argnums)
    _check_scalar(target, target.call(function, *arguments))
    return target


def _import(path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"{path} {'is not a file' if path.exists() else 'does not exist'}: write {FORM}")
    # The name is none that an import could mean, so that a file called `random.py` replaces nothing.
    spec = importlib.util.spec_from_file_location(f"jitgrad_target_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is not a Python file: write {FORM}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)  # as if the file were run: it may import its neighbours
    _guarded(path, f"{path} could not be loaded", spec.loader.exec_module, module)
    return module


def _callable(module: ModuleType, path: Path, name: str) -> Callable:
    found = getattr(module, name, None)
    if found is None and name == "example_args":
        raise UsageError(f"{path} has no example_args(): add one that returns the tuple of arguments to call with")
    if found is None:
        raise UsageError(f"{path} has no function {name!r}{_others(module)}")
    if not callable(found):
        raise UsageError(f"{name!r} in {path} is not a function, but a value of type {type(found).__name__}")
    return found


def _others(module: ModuleType) -> str:
    own = [n for n, v in vars(module).items() if getattr(v, "__module__", None) == module.__name__ and callable(v)]
    names = [n for n in own if n != "example_args" and not n.startswith("_")]
    return f"; it has {', '.join(names)}" if names else ""


def _arguments(given: Any, path: Path) -> tuple:
    if not isinstance(given, (tuple, list)):
        kind = type(given).__name__
        raise UsageError(f"example_args() in {path} must return a tuple, not {kind}: `return (x,)` for one argument")
    return _guarded(path, "what example_args() returns cannot be used", lambda: tuple(map(_tensors, given)))


def _tensors(argument: Any) -> Any:
    """Arrays and floats as tensors, also in tuples, lists and dicts; anything else as it is."""
    if isinstance(argument, (np.ndarray, np.generic, float)):
        return jg.tensor(argument)
    if isinstance(argument, dict):
        return {key: _tensors(value) for key, value in argument.items()}
    if type(argument) in (tuple, list):
        return type(argument)(_tensors(part) for part in argument)
    return argument


def _is_floating(argument: Any) -> bool:
    """Whether an argument is a floating tensor, or holds nothing else."""
    if isinstance(argument, jg.Tensor):
        return argument.dtype.has_gradient
    parts = list(argument.values()) if isinstance(argument, dict) else argument
    return isinstance(parts, (tuple, list)) and len(parts) > 0 and all(map(_is_floating, parts))


def _check_scalar(target: Target, value: Any) -> None:
    """`UsageError` unless the value is a floating tensor without dimensions."""
    if not isinstance(value, jg.Tensor):
        raise UsageError(f"{target.name} must return a scalar tensor, not {type(value).__name__}")
    if value.ndim:
        raise UsageError(
            f"{target.name} must return a scalar (a tensor without dimensions), not shape {list(value.shape)}: "
            "take its .sum() or .mean()"
        )
    if not value.dtype.has_gradient:
        raise UsageError(f"{target.name} must return a floating scalar, not {value.dtype}")


def _guarded(path: Path, failure: str, work: Callable, *operands: Any) -> Any:
    try:
        return work(*operands)
    except (Exception, SystemExit) as error:
        raise UsageError(f"{failure}: {one_line(error)}{_where(error, path)}") from error


def _where(error: BaseException, path: Path) -> str:
    """The last line of the user's file that was running, if any."""
    file = os.path.abspath(path)
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if os.path.abspath(f.filename) == file]
    if isinstance(error, SyntaxError):
        lines = [error.lineno]
    return f" (line {lines[-1]} of {path.name})" if lines and lines[-1] else ""
