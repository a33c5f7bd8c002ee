"""What registering a hook returns, to take it away again."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

from jitgrad.passes import hooks
from jitgrad.tape.row import Row


class HookHandle:
    """What `register_hook` and the like return: `remove()` takes the hook away, and so does the end of a `with` block."""

    def __init__(self, key: int, take_away: Callable[[int], object]) -> None:
        self.id, self._take_away = key, take_away

    def remove(self) -> None:
        """Do not call the hook any more."""
        self._take_away(self.id)

    def __enter__(self) -> HookHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def of_row(row: Row, kind: str, hook: Any) -> HookHandle:
    """A hook of a row; its handle does not keep the row."""
    if not callable(hook) and not isinstance(hook, hooks.SweepHook):
        raise TypeError(f"a hook is a function, not {type(hook).__name__}")
    return HookHandle(hooks.register(row, kind, hook), functools.partial(_take_away, weakref.ref(row), kind))


def _take_away(row: Callable[[], Row | None], kind: str, key: int) -> None:
    found = row()
    if found is not None:
        hooks.remove(found, kind, key)


def listed(registered: dict[int, Any], hook: Any) -> HookHandle:
    """A hook in a dict of them."""
    key = max(registered, default=0) + 1
    registered[key] = hook
    return HookHandle(key, lambda key: registered.pop(key, None))
