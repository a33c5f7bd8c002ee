"""`jit`: record a function once for each kind of arguments, compile its tape, and run that from then on."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.base.locks import lazily
from jitgrad.base.signals import importing
from jitgrad.base.tree import COMPUTED, flatten, unflatten
from jitgrad.calls.entry import MISS, write_entry
from jitgrad.calls.fresh import fresh
from jitgrad.calls.ints import ChangingInts
from jitgrad.calls.kinds import (
    HasGenerators,
    arguments,
    compute_among,
    hashable,
    is_itself_alone,
    kinds_of,
    plainly_checked,
    spec_of,
)
from jitgrad.calls.options import with_options
from jitgrad.errors import NotCompilableError, StaticArgumentError
from jitgrad.functions.generators import Generator
from jitgrad.jitted.choice import chosen_sweep
from jitgrad.jitted.compiled import Compiled
from jitgrad.jitted.generators import called, of_states, taken_out
from jitgrad.jitted.kept import Kept
from jitgrad.jitted.paths import Paths, replayed
from jitgrad.jitted.recorded_call import recorded_call
from jitgrad.record.apply import Trace, current_trace, grad_mode
from jitgrad.tape import origins
from jitgrad.tape.handle import requires
from jitgrad.tape.strides import lies
from jitgrad.tape.tape import Tape
from jitgrad.tensors.tensor import Tensor, wrap
from jitgrad.tracing.guarded import GuardedTrace, trace_lifted
from jitgrad.tracing.outside import Outside

if TYPE_CHECKING:
    from jitgrad.native.function import NativeFunction

MOST_ENTRIES = 8


class _OnDevice(Exception):
    """A function with arrays among its arguments turned out to use tensors on a device."""


class Jitted:
    """A function under `jit`. Call it like the function; `tape`, `report` and `source` show what happened."""

    __name__: str

    def __init__(self, function: Callable, guard: bool = False) -> None:
        functools.update_wrapper(self, function, updated=())  # `compile` of a transform is about that transform
        self.__name__ = getattr(function, "__name__", type(function).__name__)
        self._function = function
        self._guard = guard
        self._compiled = Kept()
        self._entries: list[Callable] = []
        self._outside = Outside(function)
        self._laid: set[int] = set()  # arguments of which it made a difference how they lie in memory
        self._on_device = False  # whether arrays among the arguments come to be beside tensors on a device
        self._ints = ChangingInts(self.__name__, self._outside.asks_types)
        origins.told.add(self)

    def forget_entries(self) -> None:
        """Let no call begin with a tape that is known already."""
        self._entries = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not kwargs:
            for entry in self._entries:
                result = entry(args)
                if result is not MISS:
                    return result
        return self._call(args, kwargs)

    def _call(self, args: tuple, kwargs: dict) -> Any:
        if current_trace.get() is not None:  # inside another trace this function is simply part of it
            return self._function(*args, **kwargs)
        if origins.noting:  # anomalies are looked for, where operations have values and lines
            args, kwargs = arguments((args, kwargs))
            return self._function(*args, **kwargs)
        if "_drawing" in vars(self) and any(isinstance(x, Generator) for x in args):  # which `_find` would find out anew
            return called(self._drawing, args, kwargs)
        if self._outside.changed():
            self._entries = []
        try:
            compiled, values, tensors, kinds, structure = self._find(args, kwargs)
        except HasGenerators:
            return called(self._drawing, args, kwargs)
        handles = [*tensors, *compiled.captured]
        if not compiled.kept:
            return _assembled(compiled, replayed(compiled, compiled.brought(handles)))
        recorded = any(requires(h) for h in handles)  # which no entry takes, whether the grad mode is on or not
        if recorded and grad_mode.get():
            return _assembled(compiled, recorded_call(self, compiled, compiled.brought(handles), values))
        name = chosen_sweep.get()
        run = compiled.runner(name)
        if not kwargs and not recorded and all(plainly_checked(k) or is_itself_alone(k) for k in kinds):
            captured = list(zip(compiled.captured, compiled.captured_kinds))
            results = (compiled.traced.structure, compiled.traced.outputs)
            direct = compiled.direct(run, [kind for kind in kinds if spec_of(kind) is not None])
            conditions = functools.partial(self._conditions, compiled, [k[1] for k in kinds if not plainly_checked(k)])
            laid = dict(compiled.traced.laid)
            entry = write_entry(structure, kinds, captured, run, direct, results, conditions, compiled.others, laid)
            self._prefer(compiled, entry)
            if values is None and (result := entry(args)) is not MISS:
                return result
        if values is None:
            values = run(*[h._value for h in handles])
        return _assembled(compiled, [wrap(value) for value in values])

    def _prefer(self, compiled: Compiled, entry: Any = None) -> None:
        """Let calls begin with this tape, instead of one for another path of the same arguments."""
        rivals = [path.entry for path in (compiled.alike.paths if compiled.alike else [compiled])]
        compiled.entry = entry or compiled.entry
        self._entries = [compiled.entry, *[e for e in self._entries if e not in rivals][: MOST_ENTRIES - 1]]

    def _conditions(self, compiled: Compiled, objects: list[Any], known: Callable[[Any], str]) -> list[str]:
        """When an entry that is made now must not be used: expressions, in which `known` names objects."""
        chosen = f"{known(chosen_sweep.get)}() is not {known(chosen_sweep.get())} or {known(current_trace.get)}() is not None"
        outdated = [f"{known(compiled.is_outdated)}()"] if compiled.traced.looked_at else []
        watches = [self._outside, *[self._outside.of_argument(value) for value in objects]]
        doubtful = [f"{known(next)}({known(compiled.recheck.calls)}, True)"] if compiled.recheck else []
        return [chosen, *outdated, *doubtful, *[condition for watch in watches for condition in watch.conditions(known)]]

    def __reduce__(self) -> str | tuple:
        named = getattr(sys.modules.get(self.__module__), getattr(self, "__qualname__", ""), None)
        return self.__qualname__ if named is self else (Jitted, (self._function, self._guard))

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    @lazily
    def _drawing(self) -> Jitted:
        """This function for arguments with generators among them: compiled, it is one of their states."""
        return Jitted(of_states(self._function), self._guard)

    def _found(self, args: tuple, kwargs: dict) -> tuple[Compiled, Any, list[Tensor], list[Any], Any]:
        """`_find`, also for arguments with generators among them."""
        try:
            return self._find(args, kwargs)
        except HasGenerators:
            generators, args, kwargs = taken_out(args, kwargs)
            return self._drawing._find(([generator.operands() for generator in generators], args, kwargs), {})

    def _find(self, args: tuple, kwargs: dict, fixed: bool = False) -> tuple[Compiled, Any, list[Tensor], list[Any], Any]:
        """The tape for these arguments, the values of its outputs if they are known, and what the arguments are. Ints are
        part of the key if they are `fixed`."""
        try:
            return self._looked_up(args, kwargs, fixed)
        except _OnDevice:
            self._on_device = True
            return self._looked_up(args, kwargs, fixed)

    def _looked_up(self, args: tuple, kwargs: dict, fixed: bool) -> tuple[Compiled, Any, list[Tensor], list[Any], Any]:
        recorded = self._compiled.recorded
        leaves: list[Any] = []
        structure = flatten((args, kwargs), leaves) if kwargs else flatten(args, leaves)
        tensors: list[Tensor] = []
        kinds = kinds_of(leaves, tensors, (), self._on_device)
        objects = [leaf for leaf, kind in zip(leaves, kinds) if not plainly_checked(kind)]
        key: tuple = ((structure, now := self._outside.state_with(objects)), *kinds)
        try:
            found = self._compiled.get(self._place(key, tensors))
            if found is None:  # what is outside may have come to be there since it was searched for
                key = ((structure, now := self._outside.state_with(objects, anew=True)), *kinds)
                found = self._compiled.get(self._place(key, tensors))
        except (TypeError, ValueError):  # a view of memory that can be written to raises the latter
            bad = [leaf for leaf, kind in zip(leaves, kinds) if not hashable(kind)]
            if not bad:  # an error of an object outside that was looked at
                raise
            raise StaticArgumentError(
                f"an argument of type {type(bad[0]).__name__} is neither a tensor, an array, a number nor hashable: what is "
                "not a tensor becomes part of the key of the compiled function, so pass a tuple, a string or the like"
            ) from None
        recorder = functools.partial(self._trace, structure, leaves, bool(kwargs))
        if found is None and not fixed:
            key, tensors = self._with_inputs(key, leaves, tensors, recorder)
            found = self._compiled.get(self._place(key, tensors))
        record = functools.partial(recorder, key[1:], tensors)
        if found is None or not found.is_right():
            if found is not None:
                self._compiled.count_replaced(self.__name__)
            elif self._compiled.makes_room(self.__name__, now, self._outside.names):
                self._entries = []
                self._ints.forget()
            found = Paths(self.__name__, self._prefer) if self._guard else record()
            self._compiled[self._place(key, tensors)] = found
        chosen = found.chosen(tensors, chosen_sweep.get(), record)
        recheck = chosen[0].recheck
        if recheck is not None and self._compiled.recorded == recorded and recheck.due():
            recheck.check(self.__name__, chosen[0], record([x._value for x in tensors] if self._guard else None))
        self._compiled.used(self._place(key, tensors), found)
        return *chosen, tensors, list(key[1:]), structure

    def _with_inputs(self, key: tuple, leaves: list, tensors: list[Tensor], recorder: Callable) -> tuple[tuple, list[Tensor]]:
        """The key and the tensors of a call with those ints as inputs that have become such."""

        def with_inputs(places: frozenset[int]) -> tuple[tuple, list[Tensor]]:
            given: list[Tensor] = []
            return (key[0], *kinds_of(leaves, given, places, self._on_device)), given

        def works(places: frozenset[int], before: tuple) -> bool:
            other, given = with_inputs(places)
            found = self._compiled.get(self._place(before, tensors))
            paths = getattr(found, "paths", [found])
            try:
                made = recorder(other[1:], given, [x._value for x in given] if self._guard else None)
            except Exception:  # the function needs the value, and says so in any way: the int stays in the key
                return False
            if not paths or paths[0] is None or not paths[0].returns_like(made):
                return False
            if not self._guard:
                self._compiled[self._place(other, given)] = made
            return True

        places = self._ints.known(key)
        found = with_inputs(places) if places else (key, tensors)
        if self._place(*found) not in self._compiled and (more := self._ints.noted(key, works)) != places:
            found = with_inputs(more)
        return found

    def _place(self, key: tuple, tensors: list[Tensor]) -> tuple:
        """Where the tapes for these arguments are kept: where it made a difference, also by how these lie in memory."""
        return (*key, *[lies(tensors[k]._value) for k in sorted(self._laid) if k < len(tensors)])

    def _trace(
        self, structure: Any, leaves: list, with_kwargs: bool, kinds: Sequence, tensors: list, values: list | None = None
    ) -> Compiled:
        start = time.perf_counter()
        specs = [spec for spec in map(spec_of, kinds) if spec is not None]
        examples = [x._value for x in tensors]

        def rebuild(inputs: list) -> tuple:
            given = iter(inputs)
            tree = unflatten(structure, iter([leaf if spec_of(k) is None else next(given) for leaf, k in zip(leaves, kinds)]))
            return tree if with_kwargs else (tree, {})

        was = grad_mode.get()
        try:
            grad_mode.set(True)  # before the trace is made: it must not matter which mode the first call was in
            tracing = Trace() if values is None else GuardedTrace()
            tracing.at_hand, tracing.grad_wanted = lambda: [x._value for x in tensors], was
            compute = compute_among(kinds)
            tracing.device = "cpu" if compute is None else compute.name
            traced = trace_lifted(self._function, specs, rebuild, tracing, self._outside, examples)
        finally:
            grad_mode.set(was)
        if compute is None and not self._on_device and tracing.device != "cpu" and any(isinstance(x, np.ndarray) for x in leaves):
            raise _OnDevice
        self._laid |= {k for k, _ in traced.laid if k < len(specs)}
        self._compiled.recorded += 1
        return Compiled(traced, time.perf_counter() - start, self.__name__, kinds)

    def compile(self, *args: Any) -> NativeFunction:
        """A native function for arguments like these, to be called without Python: from `@njit` code, from C.

        Tensors, arrays and floats become parameters; ints, strings and other fixed things stay fixed, and tensors that
        the function uses from outside keep the values that they have now. Where the function changes views in place, what is
        a view follows from how these arguments lie in memory. Raises `NotCompilableError` (the message has
        the rows) if NumPy would have to run a part of it.

        >>> import jitgrad
        >>> g = jitgrad.jit(lambda x: x.exp().sum()).compile(jitgrad.zeros(3))
        >>> g(jitgrad.zeros(3))
        tensor(3.)
        """
        with importing("jitgrad.native.function"):
            from jitgrad.native.function import compile_tape

        try:
            compiled, _, _, kinds, structure = self._find(args, {}, fixed=True)
        except HasGenerators:
            raise NotCompilableError(
                f"{self.__name__} takes a generator, which is an object of Python: let it take a seed, an integer, and draw "
                "with generator=jitgrad.Generator().manual_seed(seed)"
            ) from None
        if compiled.compute is not None:
            raise NotCompilableError(
                f"{self.__name__} would be compiled for the CPU, and its tensors are on {compiled.compute.name}: pass example "
                "arguments that are on the CPU"
            )
        if compiled.outcomes:
            raise NotCompilableError(
                f"{self.__name__} branches on values, and native code cannot record the other branch: use "
                "where, jitgrad.cond or jitgrad.while_loop, which become part of the code"
            )
        fixed = [None if spec_of(kind) is not None else (kind[1],) for kind in kinds]
        captured = {row: handle._value for row, handle in compiled.traced.captured.items()}
        results = (compiled.traced.structure, compiled.traced.outputs)
        return compile_tape(self._function, self.__name__, compiled.alone(), captured, (structure, fixed), results)

    # What happened.

    def tape(self, *args: Any, **kwargs: Any) -> Tape:
        """The tape that these arguments are recorded on."""
        return self._found(args, kwargs)[0].tape

    def report(self) -> str:
        """Which rows run how, what was compiled and how long it took, for every kind of arguments of which the tape is kept.

        Those are the ones used last, at most `jitgrad.config.tapes`."""
        from jitgrad.sweeps.report import describe

        drawing = vars(self).get("_drawing")
        kept = [*self._compiled.tapes(), *(drawing._compiled.tapes() if drawing else ())]
        if not kept:
            return f"{self.__name__}: not called yet"
        found = [describe(self.__name__, compiled) for compiled in kept]
        return "\n\n".join([*found, self._compiled.summary(self.__name__)] if len(found) > 1 else found)

    def source(self, *args: Any, **kwargs: Any) -> str:
        """What is compiled as readable Python for `@njit`, rows as comments: what the sweep "numba" runs. Of tensors on a GPU the
        kernels."""
        compiled, _, tensors, *_ = self._found(args, kwargs)
        return compiled.source([x._value for x in [*tensors, *compiled.captured]])


@with_options
def jit(function: Callable, *, guard: bool = False) -> Jitted:
    """Compile `function` (of tensors) to machine code on its first call for each kind of arguments.

    Arguments may be tensors, arrays, numbers and nested tuples, lists and dicts. An array is a tensor. A float, or a number by
    NumPy, is passed on as a number: what is computed of numbers alone is as exact as in Python, and beside a tensor they take
    its dtype. Ints, strings and other hashable things are fixed at their value (another value records anew); an int with a
    third value becomes a number that is passed on, if the function does without its value. Tensors that the function uses from
    outside are read at every call. Raises `TracedValueError` where the function needs a value.

    With `guard` the function may branch on values (`if`, `while`, `assert`, `and`, `min`, `sorted`, whatever asks whether a
    tensor is true). A branch is decided by the values of the call that is recorded; every later call computes the
    condition again, and where it comes out otherwise the function is recorded for that case too. `item()`, `float()` and
    the like stay errors. After 32 cases there is a `RuntimeWarning`, and further ones are slow.

    As a decorator it takes its options alone: `@jit(guard=True)`.

    >>> import jitgrad
    >>> f = jitgrad.jit(jitgrad.value_and_grad(lambda x: (x * x).sum()))
    >>> f(jitgrad.tensor([1.0, 2.0]))
    (tensor(5.), tensor([2., 4.]))
    >>> g = jitgrad.jit(jitgrad.grad(lambda x: x * x if x > 0 else -x), guard=True)
    >>> g(jitgrad.tensor(3.0)), g(jitgrad.tensor(-3.0))
    (tensor(6.), tensor(-1.))
    """
    if not isinstance(guard, bool):
        raise TypeError(f"jit: guard must be True or False, not {guard!r}")
    return Jitted(function, guard)


def compilable(function: Callable) -> Callable:
    """The function, with `function.compile(*example_args)` for `jit(function).compile(*example_args)`."""
    function.compile = lambda *args: Jitted(function).compile(*args)  # type: ignore[attr-defined]
    return function


def _assembled(compiled: Compiled, results: list[Tensor]) -> Any:
    """The results in the structure that the function returned."""
    given = iter(results)
    leaves = [next(given) if o is COMPUTED else fresh(o) for o in compiled.traced.outputs]
    return unflatten(compiled.traced.structure, iter(leaves))
