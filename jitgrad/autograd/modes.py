"""Whether operations are recorded: `no_grad` and its like."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator
from typing import Any

from jitgrad.record.apply import grad_mode
from jitgrad.record.trace import grad_enabled


class _Mode:
    """A grad mode as context manager and decorator."""

    mode = True

    def __init__(self) -> None:
        self._before: list[bool] = []

    def __enter__(self) -> None:
        was = grad_mode.get()
        try:
            self._before.append(was)
            grad_mode.set(self.mode)
        except BaseException:  # an interrupt, after which the block is not entered
            grad_mode.set(was)
            raise

    def __exit__(self, *_: object) -> None:
        grad_mode.set(self._before.pop())

    def __call__(self, function: Callable) -> Callable:
        if inspect.isgeneratorfunction(function):
            return functools.wraps(function)(lambda *args, **kwargs: self._steps(function(*args, **kwargs)))
        if inspect.isasyncgenfunction(function):
            raise TypeError(f"{function.__name__} is an async generator: use `with jitgrad.{type(self).__name__}():` in it")
        if inspect.iscoroutinefunction(function):  # the mode is one of its task

            @functools.wraps(function)
            async def awaited(*args: Any, **kwargs: Any) -> Any:
                with _Set(self.mode):
                    return await function(*args, **kwargs)

            return awaited

        @functools.wraps(function)
        def within(*args: Any, **kwargs: Any) -> Any:
            was = grad_mode.get()
            try:
                grad_mode.set(self.mode)
                return function(*args, **kwargs)
            finally:
                grad_mode.set(was)

        return within

    def _steps(self, generator: Generator) -> Generator:
        """The same generator, with the mode on while it runs and off while its caller does."""
        answer, failed = None, None
        while True:
            was = grad_mode.get()
            try:
                grad_mode.set(self.mode)
                item = generator.send(answer) if failed is None else generator.throw(failed)
            except StopIteration as stop:
                return stop.value
            finally:
                grad_mode.set(was)
            try:
                answer, failed = (yield item), None
            except BaseException as error:
                answer, failed = None, error


class _Set(_Mode):
    def __init__(self, mode: bool) -> None:
        super().__init__()
        self.mode = mode


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
        self.mode = bool(mode)
        self._before = [grad_mode.get()]
        grad_mode.set(self.mode)

    def __enter__(self) -> None:
        pass

    def __call__(self, function: Callable) -> Callable:
        self.__exit__()  # as a decorator it is about the function alone
        return super().__call__(function)


def is_grad_enabled() -> bool:
    """Whether operations are recorded, in this thread."""
    return grad_enabled()
