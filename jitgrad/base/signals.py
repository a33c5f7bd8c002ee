"""Signal handlers at times that are bad for what they may do.

A handler runs in the main thread between any two steps of what it interrupts, and in its context: while a function is
recorded, everything that a handler computes would be put on the tape; while a module is imported, it would find half of it;
and an interrupt between two steps of llvmlite has it free memory twice. So in the first case handlers run in a context of
their own (`apart`), and in the others they wait (`undisturbed`).
"""

from __future__ import annotations

import contextvars
import signal
import sys
import threading
from collections.abc import Callable, MutableMapping
from contextlib import AbstractContextManager
from typing import Any

from jitgrad.base import locks

getsignal: Callable[[int], Any] = getattr(sys.modules.get("_signal"), "getsignal", signal.getsignal)  # no enum for each answer
_NUMBERS = sorted(signal.valid_signals())


class _Instead:
    """What is called instead of a handler, and what to call again afterwards."""

    def __init__(self, handler: Callable) -> None:
        self.handler = self.before = handler


class _Apart(_Instead):
    """The handler in a copy of the context that there was before."""

    def __init__(self, handler: Callable) -> None:
        super().__init__(handler)
        if isinstance(handler, _Apart):  # a handler is recording, too, or an interrupt kept it there
            self.handler = handler.handler
        self.context = contextvars.copy_context()

    def __call__(self, *arguments: Any) -> None:
        self.context.copy().run(self.handler, *arguments)


class _Later(_Instead):
    """Notes that the handler is to be called."""

    def __init__(self, handler: Callable) -> None:
        super().__init__(handler)
        self.calls: list[tuple] = []

    def __call__(self, *arguments: Any) -> None:
        self.calls.append(arguments)


def is_main_thread() -> bool:
    """Whether this is the thread in which signal handlers run."""
    return threading.get_ident() == threading.main_thread().ident


def apart(replaced: MutableMapping[int, _Instead]) -> None:
    """Let handlers run in the context that there is now, until `restored`; notes in `replaced` which these are."""
    for number in _NUMBERS:
        if callable(handler := getsignal(number)) and handler is not signal.default_int_handler:
            replaced[number] = instead = _Apart(handler)
            signal.signal(number, instead)


def restored(replaced: MutableMapping[int, Any]) -> None:
    """Let handlers run again as before, but for those that have been exchanged meanwhile."""
    for number, instead in replaced.items():
        if getsignal(number) is instead:
            signal.signal(number, instead.before)


class undisturbed:
    """`with undisturbed(lock):` for what must not be left in the middle: signal handlers run when it is over, interrupts by
    the user (Ctrl-C) among them. Nothing at all happens unless it is `needed`."""

    def __init__(self, lock: AbstractContextManager[object], needed: bool = True) -> None:
        self.lock, self.needed = lock, needed
        self.replaced: dict[int, _Later] = {}

    def __enter__(self) -> None:
        if not self.needed:
            return
        try:
            for number in _NUMBERS if is_main_thread() else ():
                if callable(handler := getsignal(number)):
                    self.replaced[number] = later = _Later(handler)
                    signal.signal(number, later)
            self.lock.__enter__()
        except BaseException:
            restored(self.replaced)
            raise

    def __exit__(self, *_: object) -> None:
        if self.needed:
            self.lock.__exit__(None, None, None)
            restored(self.replaced)
            for later in self.replaced.values():
                for arguments in later.calls:
                    later.handler(*arguments)


def importing(name: str) -> undisturbed:
    """`with importing(name):` around the import of a module that is not needed at first, if it is not there yet."""
    return undisturbed(locks.imports, name not in sys.modules)
