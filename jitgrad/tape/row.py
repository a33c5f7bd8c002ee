"""Rows: one operation of a tape each, with what it was given."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Reversible
from operator import attrgetter
from typing import Any

import numpy as np

from jitgrad.dtypes import has_gradient
from jitgrad.ops.shapes import Spec
from jitgrad.ops.table import Needs, Op

serials = itertools.count().__next__
by_serial = attrgetter("serial")
NOTHING: dict[str, Any] = {}
LEAF = Op(lambda: None, kind="leaf", inputs=())
LEAF.name = "leaf"
CONST = Op(lambda value: value, kind="const", inputs=())
CONST.name = "const"
ITEM = Op(lambda x, k: x[k], kind="item", inputs=("x",), shape=lambda x, k: x.results[k])
"""One of the results of a row that has several."""
ITEM.name = "item"
ITEM.differentiable = True


class Freed:
    """Stands where saved values were before a reverse sweep dropped them."""


FREED = Freed()


class Row:
    """One operation: `op` of the values of `inputs` with the static `params` gives a value of `shape` and `dtype`.

    `requires` says whether a cotangent is wanted, `saved` holds what the derivative rules asked for by `needs`, `guards`
    the storages behind `saved` with the versions they had then. `extra` holds hooks and a retained gradient.
    """

    __slots__ = (
        "__weakref__",
        "dtype",
        "extra",
        "guards",
        "inputs",
        "needs",
        "op",
        "params",
        "requires",
        "saved",
        "serial",
        "shape",
    )

    def __init__(
        self,
        op: Op,
        inputs: tuple[Row, ...],
        params: dict[str, Any],
        shape: tuple[int, ...],
        dtype: np.dtype,
        requires: bool,
        needs: Needs | None = None,
        saved: Any = None,
        guards: Any = None,
    ) -> None:
        self.op = op
        self.inputs = inputs
        self.params = params
        self.shape = shape
        self.dtype = dtype
        self.requires = requires
        self.needs = needs
        self.saved = saved
        self.guards = guards
        self.extra: Any = None
        self.serial = serials()

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def reading(self, inputs: tuple[Row, ...], params: dict[str, Any] | None = None) -> Row:
        """The same operation of other inputs of the same shapes and dtypes, without a history."""
        return Row(self.op, inputs, self.params if params is None else params, self.shape, self.dtype, False)

    def __repr__(self) -> str:
        taken = self.op is ITEM or "rounds" in self.params  # a result of a row with several; rounded to half precision
        named = self.inputs[0] if taken else self
        return f"<{named.op.grad_name}>"


class Several(Row):
    """A row with several results, of the shapes and dtypes in `results`; it has none itself. `ITEM` rows take them out of it.

    Such are calls of compiled functions, loops, switches, and operations as `sort` and `svd`.
    """

    __slots__ = ("results",)

    def __init__(
        self,
        op: Op,
        inputs: tuple[Row, ...],
        params: dict[str, Any],
        results: tuple[Spec, ...],
        requires: bool,
        needs: Needs | None = None,
        saved: Any = None,
        guards: Any = None,
    ) -> None:
        super().__init__(op, inputs, params, None, None, requires, needs, saved, guards)  # type: ignore[arg-type]
        self.results = results

    def reading(self, inputs: tuple[Row, ...], params: dict[str, Any] | None = None) -> Row:
        return Several(self.op, inputs, self.params if params is None else params, self.results, False)

    def item(self, k: int) -> Row:
        """A row that takes out the k-th result."""
        shape, dtype = self.results[k]
        passes = self.op.passes is None or k in self.op.passes
        return Row(ITEM, (self,), {"k": k}, shape, dtype, self.requires and passes and has_gradient(dtype))


class Leaf(Row):
    """A row without parents. `grad` is where a reverse sweep accumulates; `owner` finds the tensor, if it lives."""

    __slots__ = ("grad", "owner")

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype, requires: bool, owner: Any = None) -> None:
        super().__init__(LEAF, (), NOTHING, shape, dtype, requires)
        self.grad: Any = None
        self.owner = owner


def constant(value: Any) -> Row:
    """A row that always has the same value, a NumPy array or scalar."""
    return Row(CONST, (), {"value": value}, value.shape, value.dtype, False)


def reachable(outputs: Iterable[Row], stop: Callable[[Row], bool] = lambda row: False) -> list[Row]:
    """All rows that `outputs` come from, in recording order, not looking behind rows for which `stop` is true."""
    seen: set[Row] = set()
    waiting = list(outputs)
    while waiting:
        row = waiting.pop()
        if row not in seen:
            seen.add(row)
            if row.inputs and not stop(row):
                waiting.extend(row.inputs)
    return sorted(seen, key=by_serial)


def beyond(outputs: Iterable[Row], ends: Collection[Row]) -> set[Row]:
    """The rows behind `outputs` that also depend on something that requires grad other than `ends`, or behind them."""
    found: set[Row] = set()
    for row in reachable(outputs, lambda row: not row.requires):
        if row.requires:
            leads = bool(row.inputs) if row in ends else not row.inputs or any(x in found for x in row.inputs)
            if leads:
                found.add(row)
    return found


def needed(outputs: Iterable[Row], among: Reversible[Row], ends: Collection[Row]) -> list[Row]:
    """Those rows `among` some, which are in order, that `outputs` come from; not looking behind `ends`."""
    wanted = set(outputs)
    found = []
    for row in reversed(among):
        if row in wanted:
            found.append(row)
            if row.inputs and row not in ends:
                wanted.update(row.inputs)
    return found[::-1]


def results_read(rows: Iterable[Row]) -> dict[Row, set[int]]:
    """For the rows with several results among some, which of these are taken."""
    found: dict[Row, set[int]] = {}
    for row in rows:
        if row.op is ITEM:
            found.setdefault(row.inputs[0], set()).add(row.params["k"])
    return found
