"""What a program hands out: arrays that kernels wrote, or copies of what belongs to somebody else."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from jitgrad.sweeps.plan.plan import Plan
from jitgrad.tape.device_array import DeviceArray
from jitgrad.tape.row import CONST, Row


class Output(NamedTuple):
    """An output of a tape: all that `source` has in memory, in the shape of the row; or, `copied`, perhaps a part of it."""

    row: Row
    source: Row
    copied: bool

    def array(self, compute: Any, env: dict[Row, Any]) -> DeviceArray:
        """The array that is handed out, whose values may come later."""
        if self.copied:
            return compute.empty(self.row.shape, self.row.dtype)
        array = env[self.source]
        return array if array.shape == self.row.shape else array.reshape(self.row.shape)


def output_of(row: Row, plan: Plan, leaves: Collection[Row]) -> Output:
    """How an output of a plan comes about."""
    reshaped = plan.results.get(row)
    if reshaped is not None:
        return Output(row, plan.owner(reshaped), False)
    source = plan.layouts.view(row)[0]
    mine = row not in leaves and row.op is not CONST and (row in plan.native or source is row)
    return Output(row, plan.owner(row) if mine else source, not mine)
