"""What rows saved for the reverse sweep, by PyTorch's names, as their nodes show it; and hooks of one of these values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitgrad.errors import FreedTapeError
from jitgrad.ops.table import OUTPUT, REST, RESULTS
from jitgrad.tape.handle import tensor
from jitgrad.tape.packing import Packing, is_packed, pack_saved, unpacked
from jitgrad.tape.row import FREED, Row

NOT_SAVED: Any = object()
"""Stands for what no row saved by that name."""

_SAVED = {0: ("self",), 1: ("other", "mat2", "exponent", "mask"), OUTPUT: ("result",), REST: ("indices",)}
"""PyTorch's names for what a row saved, beside ours, by slot."""

_FACTS: dict[str, Callable[[Row], Any]] = {
    "self_sym_sizes": lambda row: row.inputs[0].shape if row.inputs else NOT_SAVED,
    "alpha": lambda row: 1 if row.op.name in ("add", "sub") else NOT_SAVED,  # another is a row of its own
    "result": lambda row: _computed_again(row),
}
"""What PyTorch's operations save that ours need not, by name."""


class SavedTensor:
    """One of the tensors that a row saved, for which hooks may be registered."""

    __slots__ = ("_place", "_row")

    def __init__(self, row: Row, place: int) -> None:
        self._row, self._place = row, place

    def register_hooks(self, pack_hook: Callable[[Any], Any], unpack_hook: Callable[[Any], Any]) -> None:
        """Save `pack_hook(tensor)` in its place, of which the sweep makes a tensor by `unpack_hook`; once for each.

        >>> import jitgrad
        >>> y = jitgrad.tensor(2.0, requires_grad=True).sin()
        >>> y.grad_fn._raw_saved_self.register_hooks(lambda x: x.numpy().copy(), jitgrad.from_numpy)
        >>> y.backward()
        """
        if not callable(pack_hook) or not callable(unpack_hook):
            raise TypeError("register_hooks takes two functions: one that packs a tensor, and one that unpacks what that gave")
        row, place = self._row, self._place
        refuse_freed(row, row.op.name)
        if row.saved[place] is None:
            raise RuntimeError(f"{row.op.name} saved None there: hooks are for tensors")
        if is_packed(row.saved[place]):
            raise RuntimeError(f"what {row.op.name} saved there has hooks already, and can have no others")
        pack_saved(row, [k == place for k in range(len(row.saved))], Packing(pack_hook, unpack_hook))


def saved(row: Row, name: str) -> Any:
    """What a row saved by that name, a tensor or a parameter; `NOT_SAVED` if there is none."""
    place = _place(row, name)
    if place is not None:
        refuse_freed(row, row.op.name)
        slot, value = row.needs.slots[place], unpacked(row.saved)[place]  # type: ignore[union-attr]
        if slot == REST:
            return tuple([tensor(part) for part in value])
        source = row.inputs[slot] if slot >= 0 else row
        return tensor(value, source if source.requires and slot >= RESULTS else None)
    return _FACTS[name](row) if name in _FACTS else row.params.get(name, NOT_SAVED)


def raw_saved(row: Row, name: str) -> Any:
    """The same as a `SavedTensor`."""
    place = _place(row, name)
    return NOT_SAVED if place is None or row.needs.slots[place] == REST else SavedTensor(row, place)  # type: ignore[union-attr]


def _place(row: Row, name: str) -> int | None:
    slots = () if row.needs is None else row.needs.slots
    return next((k for k, slot in enumerate(slots) if name in _names(row, slot)), None)


def refuse_freed(row: Row, name: str) -> None:
    """Raise `FreedTapeError` if a sweep has dropped what a row saved."""
    if row.saved is FREED:
        raise FreedTapeError(
            f"what {name} saved was freed by an earlier reverse sweep: call backward(retain_graph=True) the first time"
        )


def _names(row: Row, slot: int) -> tuple[str, ...]:
    ours = row.op.inputs[slot] if 0 <= slot < len(row.op.inputs) else ""
    if slot <= RESULTS:
        ours = row.op.outputs[RESULTS - slot]
    return (*_SAVED.get(slot, ()), ours)


def _computed_again(row: Row) -> Any:
    """The result of a row that saved all its operands."""
    if row.needs is None or row.op.several or list(row.needs.slots) != list(range(len(row.inputs))):
        return NOT_SAVED
    refuse_freed(row, row.op.name)
    return tensor(row.op(*unpacked(row.saved), **row.params), row)
