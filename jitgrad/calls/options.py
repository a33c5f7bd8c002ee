"""Functions of functions as decorators with options: `@jit(guard=True)` for `@functools.partial(jit, guard=True)`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, overload

Made = TypeVar("Made", covariant=True)


class WithOptions(Protocol[Made]):
    """A function of a function and options; without the function, a decorator with these options."""

    @overload
    def __call__(self, function: Callable[..., Any], *args: Any, **options: Any) -> Made: ...
    @overload
    def __call__(self, **options: Any) -> Callable[[Callable[..., Any]], Made]: ...


def with_options(transform: Callable[..., Made]) -> WithOptions[Made]:
    """A function whose first argument is a function: called with keywords alone it gives the decorator with these options.

    TypeError if that is none that can be called, or an option is unknown.
    """
    signature = inspect.signature(transform)
    first = next(iter(signature.parameters))

    @functools.wraps(transform)
    def call(*args: Any, **kwargs: Any) -> Any:
        if args or first in kwargs:
            given = args[0] if args else kwargs[first]
            if not callable(given):
                raise TypeError(f"{transform.__name__} takes a function, not {type(given).__name__}")
            return transform(*args, **kwargs)
        try:
            signature.bind_partial(**kwargs)
        except TypeError as error:
            raise TypeError(f"{transform.__name__}() {error}: it takes {', '.join(signature.parameters)}") from None
        return functools.partial(call, **kwargs)

    return call
