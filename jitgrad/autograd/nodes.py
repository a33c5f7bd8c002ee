"""Nodes: what `grad_fn` shows of a row, in the words of PyTorch. A node is made when it is asked for, and its class is, too."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from jitgrad.autograd.removal import HookHandle, of_row
from jitgrad.autograd.saved import NOT_SAVED, raw_saved, saved
from jitgrad.passes.hooks import AFTER, BEFORE
from jitgrad.tape.handle import Handle, row_of
from jitgrad.tape.row import CONST, ITEM, LEAF, Leaf, Row, Several

_made: WeakValueDictionary[int, Node] = WeakValueDictionary()
"""The nodes that somebody holds, by the numbers of their rows."""


class Node:
    """An operation in the graph, as `tensor.grad_fn` gives it; of a leaf it is what adds to `grad`.

    `next_functions` are the nodes that cotangents go on to, each with the number of the result that it is of. What the node
    saved for the reverse sweep is `_saved_self`, `_saved_other`, `_saved_result`, and parameters are `_saved_dim` and so on.
    Hooks of one saved tensor are registered by `_raw_saved_self.register_hooks(pack, unpack)`.

    >>> import jitgrad
    >>> y = jitgrad.tensor(2.0, requires_grad=True).exp()
    >>> y.grad_fn.name(), y.grad_fn.next_functions
    ('ExpBackward0', ((<AccumulateGrad>, 0),))
    """

    __slots__ = ("__weakref__", "_row")

    _row: Row

    def name(self) -> str:
        """The name of the operation, which is that of the class as well."""
        return type(self).__name__

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        """The nodes of the operands, None for those that need no gradient, and which of their results these are."""
        return tuple([edge_of(x) for x in self._row.inputs])

    @property
    def metadata(self) -> dict[Any, Any]:
        """A dictionary for what users want to keep with the node."""
        row = self._row
        row.extra = row.extra or {}
        found: dict[Any, Any] = row.extra.setdefault("metadata", {})
        return found

    def register_hook(self, hook: Callable[[tuple, tuple], Any]) -> HookHandle:
        """Call `hook(grad_inputs, grad_outputs)` after the node; what it returns (or None) replaces `grad_inputs`.

        Both are tuples: the cotangents of its operands, and of its results, None where there is none.
        """
        return of_row(self._row, AFTER, hook)

    def register_prehook(self, hook: Callable[[tuple], Any]) -> HookHandle:
        """Call `hook(grad_outputs)` before the node; what it returns (or None) replaces the cotangents of its results."""
        return of_row(self._row, BEFORE, hook)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __getattr__(self, name: str) -> Any:
        for start, find in (("_saved_", saved), ("_raw_saved_", raw_saved)):
            if name.startswith(start) and (found := find(self._row, name.removeprefix(start))) is not NOT_SAVED:
                return found
        raise AttributeError(f"{type(self).__name__} has no {name}", name=name)


class AccumulateGrad(Node):
    """The node of a leaf, which adds what arrives to its `grad`."""

    __slots__ = ()

    def name(self) -> str:
        """As PyTorch says it."""
        return "torch::autograd::AccumulateGrad"

    @property
    def variable(self) -> Any:
        """The leaf; None if nobody holds it any more."""
        row = self._row
        return row.owner() if isinstance(row, Leaf) and row.owner is not None else None


class GradientEdge(NamedTuple):
    """A place in the graph: a node, and which of its results it is about. It stands for a tensor in `autograd.grad`."""

    node: Node
    output_nr: int
    ownership_token: Any = None


def edge_of(row: Row) -> tuple[Node | None, int]:
    """The node of a row that requires grad, and which of its results the row is."""
    if not row.requires:
        return None, 0
    k = row.params["k"] if row.op is ITEM else 0
    return node_of(row), k


def node_of(row: Row) -> Node:
    """The node of a row; there is one for all results."""
    row = row.inputs[0] if row.op is ITEM else row
    own = row.params.get("node")
    if own is not None:  # the call of an `autograd.Function` brings its own
        return own
    found = _made.get(row.serial)
    if found is None:
        found = object.__new__(_kind(_name(row)))
        found._row = row
        _made[row.serial] = found
    return found


def row_at(edge: GradientEdge) -> Row:
    """The row that an edge leads to."""
    if edge.ownership_token is not None:
        return edge.ownership_token
    row = edge.node._row
    return row.item(edge.output_nr) if isinstance(row, Several) else row


def get_gradient_edge(tensor: Any) -> GradientEdge:
    """The place of a tensor in the graph, which stands for it in `autograd.grad` and `backward` without holding its value.

    RuntimeError for a tensor that does not require grad.

    >>> import jitgrad
    >>> x = jitgrad.tensor(3.0, requires_grad=True)
    >>> edge = jitgrad.autograd.graph.get_gradient_edge(x)
    >>> jitgrad.autograd.grad(x * x, edge)
    (tensor(6.),)
    """
    if not isinstance(tensor, Handle):
        raise TypeError(f"get_gradient_edge takes a tensor, not {type(tensor).__name__}")
    if tensor._row is None or not tensor._row.requires:
        raise RuntimeError("a tensor that does not require grad has no place in the graph: make it with requires_grad=True")
    node, k = edge_of(row_of(tensor))
    assert node is not None
    return GradientEdge(node, k, tensor._row)


@functools.cache
def _kind(name: str) -> type[Node]:
    return AccumulateGrad if name == "AccumulateGrad" else type(name, (Node,), {"__slots__": (), "__module__": __name__})


def _name(row: Row) -> str:
    if row.op is LEAF:
        return "AccumulateGrad"
    row = row.inputs[0] if "rounds" in row.params else row
    variant = _VARIANTS.get(row.op.name)
    return (variant(row) if variant is not None else "") or row.op.grad_name


def _of_part(row: Row) -> str:
    """Of reductions PyTorch has two kinds, of all dimensions and of some."""
    part = row.params.get("keepdim") or len(row.params.get("dim") or ()) < row.inputs[0].ndim
    return row.op.grad_name[:-1] + "1" if part else ""


def _from_number(name: str) -> Callable[[Row], str]:
    """Operations that go by another name where a number stands before the tensor."""

    def variant(row: Row) -> str:
        first = row.inputs[0]
        return name if (first.inputs[0] if first.op.name == "expand" else first).op is CONST else ""

    return variant


def _of_index(row: Row) -> str:
    """What an index does last, as PyTorch does one thing after the other."""
    if len(row.inputs) > 1:
        return "IndexBackward0"
    items = [item for item in row.params["index"] if item is not Ellipsis and item != slice(None)]
    kind = type(items[-1]) if items else slice
    return {int: "SelectBackward0", type(None): "UnsqueezeBackward0"}.get(kind, "SliceBackward0")


_VARIANTS: dict[str, Callable[[Row], str]] = {
    **dict.fromkeys(("sum", "mean", "prod"), _of_part),
    "sub": _from_number("RsubBackward1"),
    "pow": lambda row: _from_number("PowBackward2")(row) or "PowBackward1",
    "getitem": _of_index,
    "index_put": lambda row: "IndexPutBackward0" if len(row.inputs) > 2 else "CopySlices",
    "matmul": lambda row: "BmmBackward0" if len(row.shape) > 2 else "",
}
"""PyTorch's names for what is one row here, by its parameters and operands."""
