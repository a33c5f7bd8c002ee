"""Whether operations are recorded: `no_grad` and its like."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator
from contextvars import ContextVar
from typing import Any

import numpy as np

from jitgrad.record.apply import grad_mode
from jitgrad.record.trace import grad_enabled
from jitgrad.tape.handle import Handle

dual_numbers: ContextVar[bool] = ContextVar("dual_numbers", default=False)
"""Whether tensors carry tangents (see `forward_ad`): these follow from what is recorded, so all is, as no mode stops tangents."""


def switched(what: str, mode: Any) -> bool:
    """True or False; `TypeError` for what is neither."""
    if not isinstance(mode, (bool, np.bool_)):
        raise TypeError(f"{what} takes True or False, not {type(mode).__name__}")
    return bool(mode)


class _Mode:
    """A grad mode as context manager and decorator."""

    mode: Any = True

    def __init__(self) -> None:
        self._before: list[Any] = []

    def _now(self) -> tuple[bool, bool | None]:
        return grad_mode.get(), _inference.get()

    def _set(self, mode: Any) -> None:
        if _inference.get() is None:
            grad_mode.set(mode or dual_numbers.get())
        else:  # nothing is recorded in any case
            _inference.set(mode)

    def _restore(self, was: tuple[bool, bool | None]) -> None:
        grad_mode.set(was[0])
        _inference.set(was[1])

    def __enter__(self) -> None:
        was = self._now()
        try:
            self._before.append(was)
            self._set(self.mode)
        except BaseException:  # an interrupt, after which the block is not entered
            self._restore(was)
            raise

    def __exit__(self, *_: object) -> None:
        self._restore(self._before.pop())

    def __call__(self, function: Callable) -> Callable:
        if inspect.isgeneratorfunction(function):
            return functools.wraps(function)(lambda *args, **kwargs: self._steps(function(*args, **kwargs)))
        if inspect.isasyncgenfunction(function):
            raise TypeError(f"{function.__name__} is an async generator: use `with jitgrad.{type(self).__name__}():` in it")
        if inspect.iscoroutinefunction(function):  # the mode is one of its task

            @functools.wraps(function)
            async def awaited(*args: Any, **kwargs: Any) -> Any:
                was = self._now()
                try:
                    self._set(self.mode)
                    return await function(*args, **kwargs)
                finally:
                    self._restore(was)

            return awaited

        @functools.wraps(function)
        def within(*args: Any, **kwargs: Any) -> Any:
            was = self._now()
            try:
                self._set(self.mode)
                return function(*args, **kwargs)
            finally:
                self._restore(was)

        return within

    def _steps(self, generator: Generator) -> Generator:
        """The same generator, with the mode on while it runs and off while its caller does."""
        answer, failed = None, None
        while True:
            was = self._now()
            try:
                self._set(self.mode)
                item = generator.send(answer) if failed is None else generator.throw(failed)
            except StopIteration as stop:
                return stop.value
            finally:
                self._restore(was)
            try:
                answer, failed = (yield item), None
            except BaseException as error:
                answer, failed = None, error


class no_grad(_Mode):
    """Nothing inside is recorded; as `with no_grad():`, `@no_grad()` or `@no_grad`."""

    mode = False

    def __new__(cls, function: Callable | None = None) -> Any:
        return super().__new__(cls) if function is None else cls()(function)


class enable_grad(no_grad):
    """Recording is on inside, also within `no_grad`; used in the same ways."""

    mode = True


class set_grad_enabled(_Mode):
    """Switch recording on or off from here on, or as `with set_grad_enabled(mode):` until the end of the block."""

    def __init__(self, mode: bool) -> None:
        self.mode = switched("set_grad_enabled", mode)
        self._before = [self._now()]
        self._set(self.mode)

    def __enter__(self) -> None:
        pass

    def __call__(self, function: Callable) -> Callable:
        self.__exit__()  # as a decorator it is about the function alone
        return super().__call__(function)


class inference_mode(_Mode):
    """Nothing inside is recorded, as under `no_grad`; `inference_mode(False)` switches recording on. Used in the same ways.

    `enable_grad` and `set_grad_enabled` change nothing in there. What is made inside are tensors like any others, which may be
    used and changed later, where PyTorch refuses some of that.

    >>> import jitgrad
    >>> x = jitgrad.ones(2, requires_grad=True)
    >>> with jitgrad.inference_mode():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    def __new__(cls, mode: Any = True) -> Any:
        return cls()(mode) if callable(mode) else super().__new__(cls)

    def __init__(self, mode: bool = True) -> None:
        super().__init__()
        self.mode = switched("inference_mode", mode)

    def _set(self, mode: Any) -> None:
        grad_mode.set(not mode or dual_numbers.get())
        _inference.set(False if mode else None)


_inference: ContextVar[bool | None] = ContextVar("inference", default=None)
"""Within `inference_mode`, what was said of the grad mode since, else None."""


def is_inference_mode_enabled() -> bool:
    """Whether this thread is within `inference_mode`."""
    return _inference.get() is not None


def is_inference(input: Any) -> bool:
    """Whether a tensor can take part in inference alone: none is such. TypeError for what is no tensor."""
    if not isinstance(input, Handle):
        raise TypeError(f"is_inference: input must be a tensor, not {type(input).__name__}")
    return False


class set_multithreading_enabled:
    """Accepted, as in PyTorch: a reverse sweep runs in the thread that asks for it, whether this is on or off."""

    def __init__(self, mode: bool) -> None:
        self.mode = switched("set_multithreading_enabled", mode)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


def is_grad_enabled() -> bool:
    """Whether operations are recorded, in this thread."""
    said = _inference.get()
    return grad_enabled() if said is None else said
