"""Values that leave the graph: where a gradient would be lost without a word, there is a warning.

A number or an array by NumPy has no history, so what is computed of it counts as constant. While the derivative of a function
is being taken that is hardly ever meant, so `float(x)` and the like of what depends on its arguments warn there, and nowhere
else: in a training loop `loss.item()` is for looking at. What is made into a new tensor (`tensor([x[0], x[1]])`) always warns.
"""

from __future__ import annotations

import sys
import warnings
from contextvars import ContextVar
from typing import Any

from jitgrad.errors import LostGradientWarning
from jitgrad.record.trace import grad_mode
from jitgrad.tape.handle import Handle

taken_since: ContextVar[int | None] = ContextVar("taken_since", default=None)
"""Where the derivative of a function is being taken: rows with this number or a later one may depend on its arguments."""

_AS_NUMBER = (
    "stay with tensors, as with jitgrad.exp instead of math.exp, jitgrad.stack([x, y]) to put results together, a "
    "tensor (jitgrad.zeros(3)) to write into instead of a NumPy array"
)
_AS_TENSOR = "put tensors together with jitgrad.stack or jitgrad.cat, and take a copy with clone()"


def is_taken(handle: Handle) -> bool:
    """Whether a derivative is being taken that may lead through a tensor."""
    since, row = taken_since.get(), handle._row
    return since is not None and row is not None and row.requires and row.serial >= since and grad_mode.get()


def as_number(handle: Handle, what: str) -> None:
    """Warn if a tensor becomes a Python number, or several, and a derivative would go through it."""
    if is_taken(handle):
        _warn(
            f"{what} gives plain numbers, so the derivative that is being taken does not go through what is computed of "
            f"them: {_AS_NUMBER}. For numbers just to look at write x.detach(), as in x.detach().item()"
        )


class Text(str):
    """The text of a value that a derivative is being taken of: it warns where it becomes a number again, as in
    `float(f"{x:.3f}")`, and not where it is printed."""

    handle: Handle

    def __float__(self) -> float:
        as_number(self.handle, "float() of a format")
        return float(str(self))

    def __int__(self) -> int:
        as_number(self.handle, "int() of a format")
        return int(str(self))


def text(handle: Handle, written: str) -> str:
    """What the text of a tensor is to those who asked for it."""
    if not is_taken(handle):
        return written
    out = Text(written)
    out.handle = handle
    return out


def as_data(handle: Handle, what: str) -> None:
    """Warn if a tensor that requires grad becomes a part of a new one that knows nothing of it."""
    row = handle._row
    if row is not None and row.requires and grad_mode.get():
        _warn(
            f"{what} makes a new tensor of values of one that requires grad, and no gradient goes through it: {_AS_TENSOR}; "
            "where that is meant, write x.detach()"
        )


def is_masked(array: Any) -> bool:
    """Whether it is an array of `np.ma`."""
    masked = sys.modules.get("numpy.ma")  # importing it takes milliseconds, and who has such an array has done so
    return masked is not None and isinstance(array, masked.MaskedArray)


def refuse_masked(array: Any) -> None:
    """TypeError for an array of `np.ma`, whose mask would be lost."""
    if is_masked(array):
        raise TypeError(MASKED)


MASKED = (
    "a masked array cannot be used here, since tensors have no masks: pass array.filled(value), or its data and its mask, "
    "as in where(mask, 0, data)"
)


def _warn(message: str) -> None:
    """Warn at the line of the user's that asked."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).split(".")[0] in ("jitgrad", "numpy"):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, LostGradientWarning, stacklevel=level)
