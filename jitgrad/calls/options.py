"""Functions of functions as decorators with options: `@jit(guard=True)` for `@functools.partial(jit, guard=True)`."""

from __future__ import annotations

import functools
import inspect
from typing import Any


def with_options(transform: Any) -> Any:
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
