"""The functions given to loops and branches, as tapes; and what loops and branches have in common as rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jitgrad import dtypes
from jitgrad.base.tree import COMPUTED, flatten, shown, unflatten
from jitgrad.functions.data import as_tensor
from jitgrad.functions.generators import Generator
from jitgrad.ops.choosing import cast
from jitgrad.ops.shapes import Spec
from jitgrad.ops.table import Op
from jitgrad.passes.batch import Batch, replay, spread
from jitgrad.passes.reverse import reverse
from jitgrad.record.apply import Trace, apply, apply_traced, copied, current_trace, grad_mode, item_of, watched
from jitgrad.record.leaving import refuse_masked
from jitgrad.record.trace import Number, example_of, first_of
from jitgrad.record.weak import number
from jitgrad.tape.device_array import device_among, placed_like
from jitgrad.tape.handle import Handle, make
from jitgrad.tape.row import Row, Several, beyond
from jitgrad.tape.tape import Tape
from jitgrad.tensors.tensor import Tensor
from jitgrad.tracing.function import trace
from jitgrad.tracing.guarded import outer_tensor
from jitgrad.tracing.hidden import refuse_keys

Tensors = Sequence[Any]


class Control(Op):
    """An op with several results and with tapes among its parameters."""

    def __init__(self, run: Callable, plainly: Callable, **more: Any) -> None:
        super().__init__(run, inputs=("*xs",), several=True, shape=lambda *_, results, **__: results, **more)
        self.name = self.kind
        self.plainly = plainly  # the same on tensors that have values, an op after the other

    def __call__(self, *operands: Any, **params: Any) -> Any:
        if not any(isinstance(x, Handle) for x in operands):
            return self.run(*operands, **params)
        if current_trace.get() is None:
            return self.plainly(*operands, **params)
        return apply_traced(Tensor, self, operands, params)


class Tree(NamedTuple):
    """Nested tensors: the tensors, and the structure with the leaves that are none. A generator stands for its state."""

    tensors: list[Any]
    structure: Any
    others: tuple[Any, ...]  # what stands at each leaf, COMPUTED for tensors, `Generator` for generators
    numbers: tuple[Number | None, ...]  # of the tensors that were Python numbers, whose dtype adapts, what numbers
    given: list[Any]  # what the tensors were made of
    generators: list[Generator]

    @classmethod
    def of(cls, tree: Any, what: str) -> Tree:
        """`tree` with arrays and numbers as tensors; None stays. Raises `TypeError` for anything else."""
        leaves: list[Any] = []
        structure = flatten(tree, leaves)
        refuse_keys(structure)
        others = tuple(x if x is None else Generator if isinstance(x, Generator) else COMPUTED for x in leaves)
        generators = [leaf for leaf in leaves if isinstance(leaf, Generator)]
        given = [x for leaf in leaves if leaf is not None for x in (leaf.operands() if isinstance(leaf, Generator) else (leaf,))]
        tensors = [as_operand(leaf, what) for leaf in given]
        return cls(tensors, structure, others, tuple(map(_number, given)), given, generators)

    def filled(self, tensors: Tensors) -> Any:
        """The same tree of other tensors."""
        return self._filled(tensors, [Generator() for _ in self.generators])

    def ended(self, tensors: Tensors) -> Any:
        """The same tree of other tensors, with the same generators, which go on."""
        return self._filled(tensors, self.generators)

    def _filled(self, tensors: Tensors, generators: list[Generator]) -> Any:
        given, sources = iter(tensors), iter(generators)
        leaves = [
            next(given) if leaf is COMPUTED else leaf if leaf is None else next(sources).go_on((next(given), next(given)))
            for leaf in self.others
        ]
        return unflatten(self.structure, iter(leaves))

    def placed(self, beside: Tensors) -> Tree:
        """The numbers and arrays in it as tensors on the device of the tensors in it, or else of those `beside` it."""
        array = device_among([x._value for x in (*self.tensors, *beside)])
        if array is None:
            return self
        there = [x if isinstance(g, Tensor) else _placed(x, array) for x, g in zip(self.tensors, self.given)]
        return self._replace(tensors=there)

    def same(self, other: Tree) -> bool:
        """Whether two trees are nested alike."""
        return self.structure == other.structure and self.others == other.others

    def __str__(self) -> str:
        return shown(self.structure)


def _placed(x: Tensor, array: Any) -> Tensor:
    return x if x._value is None else make(Tensor, placed_like(array, x._value), x._row)


def _number(leaf: Any) -> Number | None:
    found = number(leaf)
    return found if found is not None and found.kind in (int, float) else None


def as_operand(leaf: Any, what: str, dtype: np.dtype | None = None) -> Tensor:
    """An array, number or tensor as a tensor; a Python number in the dtype given."""
    if not isinstance(leaf, Tensor):
        refuse_masked(leaf)
        try:
            made, recording = as_tensor(leaf, dtype), current_trace.get()
            fixed = recording is not None and not isinstance(leaf, np.ndarray)
            return make(Tensor, None, recording.constant(made._value)) if fixed else made  # type: ignore[union-attr]
        except (TypeError, RuntimeError):
            raise TypeError(f"{what} must be tensors, arrays and numbers, nested; not {type(leaf).__name__}") from None
    found = number(leaf)
    if found is not None:  # a tensor, as it would be without jit
        wanted = dtypes.weak(found.kind) if found.kind in (int, float) else leaf._held.dtype
        return apply(cast, (leaf,), {"dtype": dtype or wanted})
    return leaf


def spec(x: Tensor) -> Spec:
    """Shape and dtype of a tensor, also of one without a value."""
    return Spec(tuple(x.shape), x._held.dtype)


def carries(x: Any) -> bool:
    """Whether a row, a tensor or a spec can have a cotangent: it carries a derivative."""
    return dtypes.has_gradient(x._held.dtype if isinstance(x, Tensor) else x.dtype)


class Body(NamedTuple):
    """A function as a tape, whose inputs are first what the function captured, then its arguments."""

    tape: Tape
    captured: list[Any]


def body(
    function: Callable[[list[Any]], Tensors],
    specs: Sequence[Spec],
    given: Tensors = (),
    over: Tensors = (),
    numbers: Sequence[Number | None] | None = None,
) -> Body:
    """The tape of a function from a list of tensors to tensors, which may change in place what it gets. Some may be `numbers`.

    For a function that must be tried out, `given` are tensors that it may get, and `over` those whose elements it gets next.
    """
    recording = Trace()
    recording.at_hand = lambda: [*map(example_of, given), *map(first_of, map(example_of, over))]

    def call(*xs: Any) -> list[Any]:
        recording.owned.update(x._row for x in xs)
        return list(function(list(xs)))

    was = grad_mode.get()
    try:
        grad_mode.set(True)
        recording.differentiable = True
        inputs = [(*s, n) for s, n in zip(specs, numbers or [None] * len(specs))]
        found = trace(call, inputs, lambda xs: (xs, {}), recording)
    finally:
        grad_mode.set(was)
    captured = [outer_tensor(found, handle) for handle in found.captured.values()]
    return Body(Tape([*found.captured, *found.tape.inputs], found.tape.outputs), captured)


def own(xs: Tensors) -> list[Any]:
    """Copies, to be changed in place."""
    return [copied(x) for x in xs]


def again(tape: Tape, operands: Tensors) -> list[Any]:
    """The outputs of a tape for other tensors, recorded anew."""
    return replay(tape, dict(zip(tape.inputs, operands)), 0)


def result_of(row: Row, k: int) -> Tensor:
    """The k-th result of a row of the tape that is being recorded, or of one around that."""
    assert isinstance(row, Several)
    return make(Tensor, None, item_of(row, k))


def fresh(xs: Tensors, wanted: Sequence[bool]) -> list[Any]:
    """The tensors, those that are wanted with a row of their own behind which sweeps do not look."""
    return [watched(x) if w else x for x, w in zip(xs, wanted)]


def seeds_of(outputs: Tensors, cotangents: Tensors) -> dict[Row, Any]:
    """The cotangents by row, added where two outputs are one row; None is none."""
    seeds: dict[Row, Any] = {}
    for out, g in zip(outputs, cotangents):
        if g is not None:
            seeds[out._row] = seeds[out._row] + g if out._row in seeds else g
    return seeds


def swept(seeds: dict[Row, Any], ends: set[Row]) -> dict[Row, Any]:
    """What a recorded reverse sweep from `seeds` brings to `ends`."""
    return reverse(seeds, ends, recorded=True, retain=True, history=beyond(seeds, ends))


def differing(tape: Tape, flags: Sequence[bool]) -> list[bool]:
    """Which outputs differ from example to example if those inputs do."""
    varying = {row for row, flag in zip(tape.inputs, flags) if flag}
    known = set(tape.inputs)
    for row in tape.rows:
        if row not in known and any(x in varying for x in row.inputs):
            varying.add(row)
    return [row in varying for row in tape.outputs]


def unbatched(x: Any) -> Any:
    """The tensor, or that of all examples."""
    return x.value if isinstance(x, Batch) else x


def uniform(outputs: Sequence[Any], flags: Sequence[bool], size: int) -> list[Any]:
    """Tensors with the batch in front where the flags say so."""
    return [spread(out, size) if flag else out for out, flag in zip(outputs, flags)]
