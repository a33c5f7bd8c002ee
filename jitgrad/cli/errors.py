"""What the command line says when it is used wrongly."""

from __future__ import annotations


class UsageError(Exception):
    """Wrong use: the message is one sentence for stderr, the exit code is 2."""


def one_line(error: BaseException) -> str:
    """An exception as `ValueError: what it says`, on one line."""
    text = " ".join(str(error).split())
    name = type(error).__name__
    return f"{name}: {text}" if text else name
