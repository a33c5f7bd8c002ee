"""Under `vmap` a branch or a step is computed for all examples together, also for those that do not take it or have stopped.
What is computed for these must not raise an error, go on for ever, or bring a derivative that is not finite."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from jitgrad.control.body import carries
from jitgrad.ops.choosing import detach, where
from jitgrad.ops.indexing import Slot, getitem
from jitgrad.ops.movement import reshape
from jitgrad.ops.reductions import amax
from jitgrad.passes.batch import Batch
from jitgrad.record.apply import apply
from jitgrad.record.trace import constant_tensor
from jitgrad.tape.row import Row
from jitgrad.tape.tape import Tape, tapes_of


def checked(tape: Tape) -> set[Row]:
    """The rows on whose values it depends whether a row of the tape raises an error, or a loop in it ends."""
    found: set[Row] = set()
    for row in reversed(tape.rows):
        if row in found or any(map(checked, tapes_of(row))):
            found.update(row.inputs)
        found.update(row.op.checks(row))
    return found


def _adds_to_shared(tape: Tape, operands: Sequence[Any]) -> bool:
    """Whether the tape reads floating tensors that all examples share, whose cotangent is the sum of what each adds."""
    read = {x for row in tape.rows for x in row.inputs}
    return any(not isinstance(x, Batch) and carries(x) and leaf in read for leaf, x in zip(tape.inputs, operands))


def only_looked_up(tape: Tape, leaves: Sequence[Row]) -> set[Row]:
    """Those of the inputs that are read by nothing but computed indices."""
    computed = {x for row in tape.rows for k, x in enumerate(row.inputs) if k or row.op is not getitem or len(row.inputs) == 1}
    return set(leaves) - computed - {*tape.outputs}


def as_wide(flags: Any, x: Any) -> Any:
    """A flag for each example, to stand beside something of each example."""
    return apply(reshape, (flags,), {"shape": (*flags.shape, *(1,) * (x.ndim - 1))})


def standing_in(tape: Tape, operands: Sequence[Any], flags: Any, size: int, kept: Collection[Row] = ()) -> tuple[list[Any], Any]:
    """Operands of a tape for examples with flags, whose results are dropped where the flag is false.

    There they are those of an example whose flag is true, as far as errors or what all share depend on them. The number of
    that example is the second result: None if none is needed, -1 if there is none. The others keep their own values. In
    either case they get no derivatives, which may be nan for them. Inputs among `kept` stay as they are, but for errors.
    """
    decisive, shares = checked(tape), _adds_to_shared(tape, operands)
    place = None
    if size and (decisive or shares):
        numbers = where(flags, constant_tensor(np.arange(size), flags), -1)
        place = apply(amax, (numbers,), {"dim": (0,), "keepdim": False})
    out = []
    for leaf, x in zip(tape.inputs, operands):
        replaced = place is not None and (leaf in decisive or (shares and leaf not in kept))
        if isinstance(x, Batch) and (replaced or (carries(leaf) and leaf not in kept)):
            other = apply(getitem, (x.value, place), {"index": (Slot(0), ...)}) if replaced else x.value
            other = apply(detach, (other,)) if carries(leaf) else other
            x = Batch(where(as_wide(flags, x.value), x.value, other))
        out.append(x)
    return out, place
