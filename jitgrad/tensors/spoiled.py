"""Results of functions with a derivative of their own that are in the memory of an argument, after that was changed."""

from __future__ import annotations

from typing import Any

from jitgrad.ops.table import Needs, Op
from jitgrad.tape.row import NOTHING, Row


def spoiled(row: Row) -> Row:
    """The row of a result whose memory, that of an argument, was changed: its gradient is an error."""
    return Row(_SPOILED, (row,), NOTHING, row.shape, row.dtype, row.requires, Needs((), ()))


def _refuse_spoiled(*_: Any) -> Any:
    raise RuntimeError(
        "the result of a function with a derivative of its own is in the memory of one of its arguments, which was changed in "
        "place since: clone() one of them"
    )


_SPOILED = Op(lambda *_: None, kind="custom", inputs=("x",), pullback=_refuse_spoiled)
_SPOILED.name = "spoiled"
