"""Whether operations are recorded, and on what: the grad mode, and the trace that `jit` or `vmap` is recording."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeVar

import numpy as np

from jitgrad.base import signals
from jitgrad.errors import LEAKED, TracedValueError
from jitgrad.tape.device_array import DeviceArray, copy_of, placed_like
from jitgrad.tape.handle import Handle, make, own_memory, tensor
from jitgrad.tape.row import CONST, LEAF, Leaf, Row, constant, reachable

T = TypeVar("T")
grad_mode: ContextVar[bool] = ContextVar("grad_mode", default=True)
current_trace: ContextVar[Trace | None] = ContextVar("current_trace", default=None)
lifting: list[Any] = []
"""The traces, of any thread, that `lifts` is true of, and each `Watcher`: no operation may take a short cut past them."""


class Watcher:
    """Stands for somebody who looks at rows as they are recorded by eager code, or at what they save."""

    rows = ()


def in_mode(recorded: bool, call: Callable[[], T]) -> T:
    """`call()`, recorded or not."""
    was = grad_mode.get()
    try:
        grad_mode.set(recorded)
        return call()
    finally:
        grad_mode.set(was)


def grad_enabled(_: str = "") -> bool:
    """What the caller of a function that is recorded would be told of the grad mode; within the function it is on."""
    trace = current_trace.get()
    return grad_mode.get() and (trace is None or trace.outermost.grad_wanted)


def _after_fork() -> None:
    """In the child those of other threads are over."""
    here = current_trace.get()
    ours = [] if here is None else [here, *here.around()]
    lifting[:] = [one for one in lifting if one in ours or isinstance(one, Watcher)]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def recording(trace: Trace, work: Callable[[], T]) -> T:
    """`work()`, whose operations go on that trace; those of signal handlers meanwhile do not.

    A context variable is set where it will be set back for sure: an interrupt may come between any two steps.
    """
    was = current_trace.get()
    replaced: dict[int, Any] = {}
    try:
        if was is None and signals.is_main_thread():
            signals.apart(replaced)
        current_trace.set(trace)
        return work()
    finally:
        current_trace.set(was)
        signals.restored(replaced)


class OrderedSet(dict[Any, None]):
    """A set that keeps the order in which things came."""

    add = dict.setdefault


class Number(NamedTuple):
    """What a row that stands for a Python number is a number of (`float`, `int`, `numpy.float32`), and of an int how large it
    can be at most."""

    kind: type
    bound: int = 0


class Known:
    """A tensor or an array, and the value that it had."""

    def __init__(self, owner: Any) -> None:
        self.owner = owner
        self.value = np.array(self._now(), order="C")

    def _now(self) -> Any:
        held = self.owner._value if isinstance(self.owner, Handle) else self.owner
        return held.to_host() if isinstance(held, DeviceArray) else held

    def holds(self) -> bool:
        """Whether it has that value still, bit by bit."""
        now, then = self._now(), self.value
        if now.dtype != then.dtype or now.shape != then.shape:
            return False
        if now.nbytes < 1 << 16 or not now.flags.c_contiguous or now.dtype.hasobject:
            return now.tobytes() == then.tobytes()
        words = np.uint64 if now.nbytes % 8 == 0 else np.uint8  # no copy of much memory
        return np.array_equal(now.reshape(-1).view(words), then.reshape(-1).view(words))


class KnownAttribute(NamedTuple):
    """A tensor, and what one of its attributes was."""

    owner: Handle
    name: str
    value: Any

    def holds(self) -> bool:
        """Whether that is the same still."""
        return getattr(self.owner, self.name) is self.value


def memory_of(value: Any) -> int:
    """What is the same for arrays and tensors that are views of one memory."""
    value = value._value if isinstance(value, Handle) else value
    while isinstance(value, np.ndarray) and value.base is not None:
        value = value.base
    return id(value)


class Trace:
    """The recording of one function under `jit` or `vmap`: which tensors it captured, and the trace around it."""

    def __init__(self) -> None:
        self.outer = current_trace.get()
        self.differentiable = grad_mode.get()  # then no_grad inside cuts what is recorded off
        self.grad_wanted = True  # the grad mode of the caller, as far as the function may ask for it
        self.captured: dict[int, tuple[Leaf, Handle]] = {}
        self.rows = OrderedSet()
        self.views: list[weakref.ref] = []
        self.arrays: dict[int, tuple[np.ndarray, Handle]] = {}
        self.numbers: dict[Row, Number] = {}  # rows that are Python numbers: they do not promote tensors
        self.owned: set[Row] = set()  # inputs that nobody else holds, so that they may be changed in place
        self.lifts: bool = self.outer is not None and self.outer.lifts  # operations on tensors with values are recorded too
        self.guards: dict[Row, bool] = {}  # rows whose truth was asked, and what it was: see `tracing.guarded`
        self.names: dict[Row, str] = {}  # what the printed tape says of some rows
        self.made: dict[int, weakref.ref] = {}  # tensors with values that were made meanwhile, of nothing from outside
        self.computed: dict[int, weakref.ref] = {}  # tensors with values that operations made meanwhile, of whatever
        self.looked_at: dict[Any, Known | KnownAttribute] = {}  # what Python read of tensors from outside
        self.exported: list[np.ndarray] = []  # the memory of tensors from outside that NumPy may have read
        self.copied: list[Any] = []  # arrays and numbers by NumPy that became part of the tape
        self.examples: dict[Row, Any] = {}  # for inputs, arrays or tensors that lie in memory as they do (see `memory`)
        self.memory: dict[Row, np.ndarray] = {}  # how the values of rows lie in memory, as far as somebody asked
        self.like: dict[Row, Row] = {}  # rows that were written into the memory of others, and these
        self.laid: dict[Row, tuple[int, ...] | None] = {}  # inputs of which it made a difference how they lie, and how that is
        self.at_hand: Callable[[], Sequence[Any]] = tuple  # the values of the inputs in the call at hand, None where unknown
        self.known: dict[Row, Any] = {}  # the values of rows, as far as somebody asked
        self.device: str = "cpu" if self.outer is None else self.outer.device  # where it will be computed

    @property
    def outermost(self) -> Trace:
        """The trace around all others."""
        return [self, *self.around()][-1]

    def note_made(self, handle: Handle) -> None:
        """Remember a tensor that will be the same at every call, so that what is computed of it need not be recorded."""
        for trace in (self, *self.around()):  # a function under vmap may return it to one that is recorded
            trace.made[id(handle)] = weakref.ref(handle)

    def has_made(self, handle: Handle) -> bool:
        """Whether `note_made` was told of a tensor."""
        found = self.made.get(id(handle))
        return found is not None and found() is handle

    def note_computed(self, handle: Handle) -> None:
        """Remember a tensor that an operation made, of values that may be others at the next call: nobody outside holds it,
        so that it may be changed in place, and that is all."""
        self.computed[id(handle)] = weakref.ref(handle)

    def owns(self, handle: Handle) -> bool:
        """Whether a tensor with a value was made while this trace records, in whatever way."""
        found = self.computed.get(id(handle))
        return (found is not None and found() is handle) or self.has_made(handle)

    def comes_from_outside(self, handle: Handle) -> bool:
        """Whether a tensor with a value may have another at the next call."""
        return not any(trace.has_made(handle) for trace in (self, *self.around()))

    def note_look(self, handle: Handle) -> None:
        """Remember the value of a tensor that becomes a Python number: where it may be another at the next call, what is
        recorded is right for this one alone."""
        if self.comes_from_outside(handle):
            self.outermost.looked_at[id(handle)] = Known(handle)

    def note_attribute(self, handle: Handle, name: str, value: Any) -> None:
        """Remember what an attribute of a tensor was, if that is from outside."""
        if handle._value is not None and self.comes_from_outside(handle):
            self.outermost.looked_at[id(handle), name] = KnownAttribute(handle, name, value)

    def note_copied(self, array: Any) -> None:
        """Remember that what is in an array or number by NumPy became part of the tape."""
        self.outermost.copied.append(array)

    def note_exported(self, handle: Handle) -> None:
        """Remember that NumPy may read the memory of a tensor."""
        if self.comes_from_outside(handle):
            self.outermost.exported.append(handle._value)

    def note_arrays(self, found: list[Any]) -> None:
        """Of the arrays and tensors from outside, remember what is in those arrays that NumPy itself read, since the tape
        knows just what came of it. Operands of tensors, whole or in part, are read at every call; but if an array or number
        of unknown origin is among these, it may have come from any."""
        arrays = [*[x for x in found if isinstance(x, np.ndarray)], *self.exported]
        outside = {memory_of(x) for x in [*found, *self.exported]}
        operands = [x for x in (handle for _, handle in self.captured.values()) if not self.has_made(x)]
        live, copied = {memory_of(x) for x in operands}, {memory_of(x) for x in self.copied}
        unknown = not (live | copied) <= outside
        for x in arrays:
            if unknown or memory_of(x) in copied or memory_of(x) not in live:
                self.looked_at[id(x)] = Known(x)

    def example(self, row: Row) -> Any:
        """The value of a row in the call that is being recorded; None if nothing is known of it. Those of the rows that it
        comes from are kept, so that each is computed once."""
        known = self.known
        if not known:
            inputs = zip(self.rows, self.at_hand())  # these are the first rows
            known.update((leaf, value) for leaf, value in inputs if value is not None)
        found = ((leaf, example_of(handle)) for leaf, handle in self.captured.values())
        known.update((leaf, value) for leaf, value in found if value is not None)
        for x in reachable([row], known.__contains__):
            if x not in known:
                if x.op is LEAF:
                    return None
                known[x] = x.params["value"] if x.op is CONST else x.op(*[known[y] for y in x.inputs], **x.params)
        return known[row]

    def capture(self, handle: Handle) -> Leaf:
        """The leaf that stands in this trace for a tensor from outside: one with a value, or of a trace around this one."""
        held = handle._held
        key = id(held if handle._value is None else handle)
        found = self.captured.get(key)
        if found is None:
            leaf = Leaf(held.shape, held.dtype, False)
            if self.device == "cpu" and held.__class__ is DeviceArray:  # what arguments that are on no device come to be on
                self.device = held.device
            self.captured[key] = found = (leaf, handle)
            self.rows.add(leaf)
        return found[0]

    def before_change(self, handle: Handle) -> None:
        """Keep what was captured of memory that is about to be overwritten, where it was made while this trace records.

        A tensor from outside is read anew at every call, and changing it while recording is an error in the end.
        """
        for trace in (self, *self.around()):
            for key, (leaf, held) in list(trace.captured.items()):
                shared = held is handle or (held._storage is not None and held._storage is handle._storage)
                if shared and held._value is not None and not (trace.lifts and trace.comes_from_outside(held)):
                    kept = make(held.__class__, copy_of(held._value), held._row)
                    if trace.has_made(held):
                        trace.note_made(kept)
                    del trace.captured[key]
                    trace.captured[id(kept)] = (leaf, kept)

    def number(self, row: Row) -> Number | None:
        """What Python number a row of this trace or one around it stands for; None if it is a tensor's."""
        found = self.numbers.get(row)
        return found if found or self.outer is None else self.outer.number(row)

    def is_number(self, row: Row) -> bool:
        """Whether a row of this trace or one around it stands for a Python number."""
        return self.number(row) is not None

    def around(self) -> Iterator[Trace]:
        """The traces around this one that are still recording, the nearest first."""
        trace = self.outer
        while trace is not None:
            yield trace
            trace = trace.outer

    def truth(self, handle: Any) -> bool | None:
        """Whether a tensor is true, where a trace that `lifts` is asked by a branch; None if there is no way to know."""
        return None

    def checks(self) -> list[Row]:
        """Rows that become outputs of the tape after those of the function."""
        return []

    def draw(self, function: Callable[[tuple[int, ...]], Any]) -> Any:
        """Random numbers of a generator that is not this trace's: none. `function` draws them for the trace around this one, as
        often as a shape says."""
        raise TracedValueError(
            "random numbers drawn inside a function under jit would be drawn once and then repeated at every call, as those in "
            "the body of a loop at every step: pass a jitgrad.Generator as an argument, in the carry of the loop, or among the "
            "operands of the branch, and generator= to what draws; or draw them outside and pass them as an argument"
        )

    def capture_array(self, array: Any) -> Leaf:
        """The leaf that stands for an array of the caller, which may change between calls."""
        held = array if array.__class__ is DeviceArray else np.asarray(array)
        _, handle = self.arrays.setdefault(id(array), (array, tensor(held)))
        own_memory(handle).exported = -1  # the caller can write to it
        return self.capture(handle)

    def constant(self, value: Any) -> Row:
        """A row of this trace for a number or array that is not a tensor."""
        row = constant(value)
        self.rows.add(row)
        return row


def leaked(row: Row) -> str:
    """What is said of a tensor without a value, where no trace records."""
    if any(row in trace.rows for trace in list(lifting)):
        return (
            "a tensor that belongs to another thread, in which jit or vmap is recording: compute with it in that thread, and "
            "start threads outside of the function"
        )
    return LEAKED


def example_of(handle: Any) -> Any:
    """The value of a tensor, or what it is in the call that is being recorded; None if nothing is known of that."""
    trace = current_trace.get()
    if handle._value is not None or trace is None:
        return handle._value
    home = next((t for t in (trace, *trace.around()) if handle._row in t.rows), None)
    return None if home is None else home.example(handle._row)


def first_of(many: Any) -> Any:
    """The first of many examples, if there is one."""
    return many[0] if many is not None and len(many) else None


def constant_tensor(value: Any, beside: Any) -> Any:
    """An array as a tensor, on the device that another tensor is on, if there is one; while a trace records a constant of it, so
    that what is done with it is recorded and fused."""
    trace = current_trace.get()
    if trace is not None:
        return tensor(None, trace.constant(value))
    return tensor(value if beside is None else placed_like(beside._held, value))


def made_here(handle: Any) -> Any:
    """A tensor that was made of nothing but numbers; noted, if a trace is recording."""
    trace = current_trace.get()
    if trace is not None:
        trace.note_made(handle)
    return handle


def comes_later(handle: Handle) -> bool:
    """Whether a tensor has no value yet, or may have another when what is being recorded is replayed."""
    trace = current_trace.get() if lifting and handle._value is not None else None
    return handle._value is None or (trace is not None and trace.lifts and trace.comes_from_outside(handle))


def is_constant(handle: Handle) -> bool:
    """Whether a tensor with a value is a constant of what is being recorded, which is wherever that will be computed."""
    trace = current_trace.get() if lifting and handle._value is not None else None
    return trace is not None and trace.lifts and not trace.comes_from_outside(handle)


def captured_here(handle: Any) -> Any:
    """A tensor that `comes_later`, as one without a value."""
    trace = current_trace.get()
    if handle._value is None or trace is None:
        return handle
    return make(handle.__class__, None, trace.capture(handle))


def copied_here(array: Any) -> None:
    """Note, if a trace is recording, that what is in an array becomes part of the tape."""
    trace = current_trace.get()
    if trace is not None:
        trace.note_copied(array)
