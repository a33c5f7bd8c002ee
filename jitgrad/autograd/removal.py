"""What registering a hook returns, to take it away again."""

from __future__ import annotations

import weakref
from typing import Any

from jitgrad.passes import hooks
from jitgrad.tape.row import Row


class HookHandle:
    """What `register_hook` and the like return: `remove()` takes the hook away, and so does the end of a `with` block."""

    def __init__(self, row: Row, kind: str, hook: Any) -> None:
        if not callable(hook) and not isinstance(hook, hooks.SweepHook):
            raise TypeError(f"a hook is a function, not {type(hook).__name__}")
        self._row, self._kind = weakref.ref(row), kind
        self.id = hooks.register(row, kind, hook)

    def remove(self) -> None:
        """Do not call the hook any more."""
        row = self._row()
        if row is not None:
            hooks.remove(row, self._kind, self.id)

    def __enter__(self) -> HookHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()
