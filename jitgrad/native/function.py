"""Native functions: what `jit(f).compile(*example_args)` gives, for callers that are not Python.

A `NativeFunction` is one C function (`sweeps/export.py` says which) for arguments like those of the example. It can be
called from Python, from the user's own `@njit` functions (that part is `in_numba.py`, which is imported when it is
needed, because it imports Numba) and through its address.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jitgrad.base.locks import lazily
from jitgrad.base.signals import importing
from jitgrad.base.tree import COMPUTED, flatten, unflatten
from jitgrad.calls.entry import MISS, write_entry
from jitgrad.calls.signature import Tree, argument_labels, described, from_plain, plain, result_labels
from jitgrad.dtypes import of
from jitgrad.errors import TracedValueError
from jitgrad.native import artefact
from jitgrad.native.adapters import adapter
from jitgrad.native.export import OUT_OF_MEMORY, export
from jitgrad.native.inlining import inlinable
from jitgrad.ops.faults import FAULTS
from jitgrad.record.apply import grad_mode
from jitgrad.record.leaving import refuse_masked
from jitgrad.sweeps.code import compile as native
from jitgrad.sweeps.code import compiler
from jitgrad.sweeps.llvm.wrapped import DATA, Value
from jitgrad.tape.handle import Handle, make, requires
from jitgrad.tape.row import Row
from jitgrad.tape.tape import Tape
from jitgrad.tensors.tensor import Tensor

__all__ = ["NativeFunction", "Tree", "compile_tape", "load"]

MOST_ENTRIES = 4
"""The kinds of arguments (a number as float, as tensor ...) for which a native function has a quick way."""


class Origin(NamedTuple):
    """What the machine code was made from: LLVM text, or an object file, the names that it takes, and the text if short."""

    text: str = ""
    code: bytes = b""
    imports: Sequence[str] = ()

    def object_file(self, symbol: str, text: str) -> Origin:
        if self.code:
            return self
        return Origin(text, compiler.object_code(self.text + artefact.SEAL, (symbol,)), native.imports_of(self.text))


class NativeFunction:
    """A function as machine code for arguments like those of one example; `jit(f).compile(*example_args)` makes it.

    Call it from Python like the function that it was made from (tensors, arrays and numbers in, tensors out; no
    gradient is recorded), or from `@njit` code (arrays and numbers, in and out). Shapes and dtypes are those of the
    example; tensors that the function uses from outside have the values that they had then.

    `name` is that of the function, `symbol` that of the C function (it ends in a hash of all that it computes);
    `arguments` and `results` say what goes in and out.

    >>> import jitgrad
    >>> g = jitgrad.value_and_grad(lambda x: (x * x).sum()).compile(jitgrad.zeros(2))
    >>> g(jitgrad.tensor([1.0, 2.0]))
    (tensor(5.), tensor([2., 4.]))
    """

    def __init__(
        self,
        name: str,
        arguments: Tree,
        results: Tree,
        kernel: native.Kernel,
        data: np.ndarray,
        made_from: Origin,
        public: bool = True,
    ) -> None:
        self.name = self.__name__ = name
        self.arguments, self.results = arguments, results
        self.symbol, self._origin = kernel.symbol, made_from
        self._kernel, self._data, self._public = kernel, data, False
        if public:
            self._publish()
        self._entries: dict[tuple, Callable] = {}

    def __repr__(self) -> str:
        return f"<NativeFunction {self.prototype()}>"

    def _publish(self) -> None:
        """Let other machine code find the function by its symbol. Not as soon as it is unpickled: Numba does that to look
        at what it has cached, and then takes cached code to be up to date if the functions that it calls are there."""
        if not self._public:
            self._kernel, self._data = native.publish(self._kernel, self._data)
            self._public = True

    # From Python.

    def __call__(self, *args: Any) -> Any:
        for entry in self._entries.values():
            result = entry(args)
            if result is not MISS:
                return result
        leaves: list[Any] = []
        structure = flatten(args, leaves)
        if structure != self.arguments.structure:
            raise TypeError(
                f"{self.name} was compiled for other arguments: as many of them, nested alike (dicts with their keys "
                f"in the same order), are wanted: {', '.join(self.arguments.labels)}"
            )
        given: list[np.ndarray] = []
        for label, kind, leaf in zip(self.arguments.labels, self.arguments.leaves, leaves):
            self._take(label, kind, leaf, given)
        results = iter([make(Tensor, value, None) for value in self._run(*given)])
        found = [next(results) if isinstance(leaf, Value) else leaf for leaf in self.results.leaves]
        self._remember(leaves)
        return unflatten(self.results.structure, iter(found))

    def _run(self, *values: Any) -> list[Any]:
        """The results for arrays and numbers that fit."""
        function, results_are = self._with_addresses
        made, address = [np.empty(v.shape, v.dtype) for v in results_are], native.trampolines().address_of
        held = [np.ascontiguousarray(v) if v.shape else v for v in values]  # until the call is over
        status = function(*[address(v) if v.shape else v.item() for v in held], *map(address, made))
        if status == OUT_OF_MEMORY:
            raise MemoryError(f"there is no memory for what {self.name} needs while it runs")
        if status:
            raise FAULTS[status].error(f"{self.name} was given, or computed, {FAULTS[status].what}")
        return [array if array.shape else array[()] for array in made]

    @lazily
    def _with_addresses(self) -> tuple[Callable, list[Value]]:
        """The C function as one of numbers, an address being a number as well (pointers of ctypes cost 5 us each), and what
        it writes to."""
        made = [value for _, value in self.results.values()]
        inputs = [ctypes.c_void_p if v.shape else _c_type(v) for _, v in self.arguments.values()]
        return ctypes.CFUNCTYPE(ctypes.c_int32, *inputs, *[ctypes.c_void_p] * len(made))(self.address), made

    def _remember(self, leaves: list[Any]) -> None:
        """Write the quick way for arguments of the same kinds, where there is one."""
        kinds = [_entry_kind(kind, leaf) for kind, leaf in zip(self.arguments.leaves, leaves)]
        if None in kinds or tuple(kinds) in self._entries or len(self._entries) >= MOST_ENTRIES:
            return
        results = self.results.structure, [COMPUTED if isinstance(leaf, Value) else leaf for leaf in self.results.leaves]
        entry = write_entry(self.arguments.structure, kinds, [], self._run, None, results, lambda known: [], loose=True)
        self._entries = {**self._entries, tuple(kinds): entry}  # another thread may be looking through them

    def _take(self, label: str, kind: Any, leaf: Any, given: list[np.ndarray]) -> None:
        """Check one leaf of the arguments and append its value."""
        if not isinstance(kind, Value):
            if type(leaf) is not type(kind) or leaf != kind:
                raise ValueError(f"{label} of {self.name} was {kind!r} when it was compiled, and is fixed at that")
            return
        if isinstance(leaf, Handle):
            if grad_mode.get() and requires(leaf):
                raise RuntimeError(
                    f"{label} requires grad, and {self.name} is native code, which records nothing: pass "
                    f"{label}.detach(), or call the function that it was compiled from"
                )
            leaf = leaf._value
            if leaf is None:
                raise TracedValueError(
                    f"{label} of {self.name} has no value while jit or vmap records, and native code cannot "
                    "be recorded: call the function that it was compiled from"
                )
        elif isinstance(leaf, float) and kind.dtype.kind == "f":
            leaf = kind.dtype.type(leaf)
        refuse_masked(leaf)
        array = np.asarray(leaf)
        if array.dtype != kind.dtype:
            raise TypeError(f"{label} of {self.name} has dtype {array.dtype}, and it was compiled for {kind.dtype}: convert it")
        if array.shape != kind.shape:
            raise ValueError(f"{label} of {self.name} has shape {array.shape}, and it was compiled for {kind.shape}")
        given.append(array)

    # From C.

    @property
    def address(self) -> int:
        """The address of the C function, whose signature is `header()`; it stays there until the process ends."""
        self._publish()
        return self._kernel.address

    @lazily
    def ctypes(self) -> Any:
        """The C function for ctypes: numbers and pointers in, pointers for the results; other threads run meanwhile."""
        inputs = [ctypes.POINTER(_c_type(v)) if v.shape else _c_type(v) for _, v in self.arguments.values()]
        outputs = [ctypes.POINTER(_c_type(v)) for _, v in self.results.values()]
        function = ctypes.CFUNCTYPE(ctypes.c_int32, *inputs, *outputs)(self.address)
        function.argtypes = (*inputs, *outputs)
        return function

    def prototype(self) -> str:
        """The declaration in C."""
        inputs = [f"const {_c_name(v)} *{n}" if v.shape else f"{_c_name(v)} {n}" for n, v in self.arguments.values()]
        outputs = [f"{_c_name(v)} *{n}" for n, v in self.results.values()]
        return f"int32_t {self.symbol}({', '.join(inputs + outputs) or 'void'})"

    def header(self) -> str:
        """A C header: the declaration, and what its parameters are.

        >>> import jitgrad
        >>> g = jitgrad.jit(lambda x: x.exp().sum()).compile(jitgrad.zeros(2, 3))
        >>> print(g.header().splitlines()[2])
           const float *x: 2 x 3
        """
        lines = [f"/* {self.name}, compiled by jitgrad. Arrays are in C order; results must not overlap arguments.", ""]
        lines += [
            f"   const {_c_name(v)} *{n}: {_sizes(v)}" if v.shape else f"   {_c_name(v)} {n}" for n, v in self.arguments.values()
        ]
        lines += [f"   {_c_name(v)} *{n}: result, {_sizes(v)}" for n, v in self.results.values()]
        faults = "".join(f", {fault.number} for {fault.what}" for fault in FAULTS.values())
        lines += ["", f"   Returns 0, 1 without memory{faults}.", "   Any number of threads may be inside. */"]
        return "\n".join([*lines, "#include <stdbool.h>", "#include <stdint.h>", "", self.prototype() + ";"]) + "\n"

    def low_level_callable(self, use: str = "integrate") -> Any:
        """A `scipy.LowLevelCallable` of a function with one result, all in float64.

        use="integrate" (`quad`, `nquad` and the like) is for functions of numbers, or of one 1-d array, that give a
        number; use="generic_filter" (`scipy.ndimage`) of the 1-d array of the footprint, and use="generic_filter1d" for
        those from a line to a line. Raises `TypeError` if the function is of another kind. (The minimisers and solvers of
        `scipy.optimize` take Python functions alone: give them `njit`, which returns arrays and numbers.)

        >>> import jitgrad, numpy
        >>> from scipy.integrate import quad
        >>> slope = jitgrad.grad(lambda x: x ** 3).compile(numpy.float64(0))
        >>> round(quad(slope.low_level_callable(), 0, 2)[0], 9)
        8.0
        """
        from scipy import LowLevelCallable

        inputs, outputs = ([value for _, value in tree.values()] for tree in (self.arguments, self.results))
        return LowLevelCallable(adapter(self.name, inputs, outputs, self.address, use))

    # From Numba.

    @lazily
    def inlined(self) -> str:
        """The LLVM module that callers in `@njit` code take over, so that it is inlined; "" if they call by address."""
        values = [value for _, value in self.arguments.values() + self.results.values()]
        text = self._origin.text
        return inlinable(text, self.symbol, self._data.tobytes(), values) if text else ""

    @lazily
    def njit(self) -> Any:
        """The function for `@njit` code, a Numba dispatcher of arrays and numbers.

        It returns what the call from Python returns: arrays and numbers for tensors, tuples for lists and dicts (in the
        order of their keys). Raises `ValueError` for another shape than the example's; another dtype is a typing error.
        No Python is involved, so it works with `nogil`, under `prange` and in functions with `cache=True`.
        Small functions are inlined into their callers, large ones are called by address.

        >>> import jitgrad, numpy
        >>> g = jitgrad.grad(lambda x: (x * x).sum()).compile(numpy.zeros(2))
        >>> g.njit(numpy.array([1.0, 2.0]))
        array([2., 4.])
        """
        with importing("jitgrad.native.in_numba"):
            from jitgrad.native.in_numba import dispatcher

        self._publish()
        return dispatcher(self)

    @lazily
    def cfunc(self) -> Any:
        """The C function as Numba knows those that `@numba.cfunc` makes: `address`, `ctypes`, `native_name`; it can be an
        argument of `@njit` functions, which pass it numbers and pointers (`array.ctypes`)."""
        with importing("jitgrad.native.in_numba"):
            from jitgrad.native.in_numba import CFunc

        return CFunc(self)

    @property
    def _numba_type_(self) -> Any:
        """How `@njit` code sees the function itself: as `njit`."""
        with importing("jitgrad.native.in_numba"):
            from jitgrad.native.in_numba import type_of_function

        return type_of_function(self)

    # On disk.

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the machine code to a file, for `jitgrad.load_compiled`; what was there is replaced.

        Named tuples and dataclasses among arguments and results are plain tuples when it is loaded. Raises `TypeError` if
        an argument or a result is fixed at something else than a number, a string or None.
        """
        artefact.write(Path(path), self._packed())

    def _packed(self) -> bytes:
        origin = self._origin.object_file(self.symbol, self._origin.text if self.inlined else "")
        manifest = {
            "name": self.name,
            "symbol": self.symbol,
            "imports": list(origin.imports),
            "text": origin.text,
            "arguments": plain(self.arguments, self.name),
            "results": plain(self.results, self.name),
        }
        data = self._data.tobytes()
        return artefact.packed(manifest, data, artefact.sealed(manifest, data, origin.code))

    def __reduce__(self) -> tuple:
        return _unpickled, (self._packed(),)

    def __copy__(self) -> NativeFunction:
        return self

    def __deepcopy__(self, memo: dict) -> NativeFunction:
        return self


def compile_tape(
    function: Callable, name: str, tape: Tape, captured: dict[Row, Any], arguments: tuple, results: tuple
) -> NativeFunction:
    """The native function of a simplified tape.

    `arguments` and `results` are (structure, leaves): where a tensor goes, the leaf is None among the arguments and
    `COMPUTED` among the results, otherwise the fixed value in a tuple of its own. Raises `NotCompilableError`.
    """
    form = [(structure, [leaf for leaf in leaves if leaf is not COMPUTED]) for structure, leaves in (arguments, results)]
    exported = export(name, tape, {row: np.asarray(value) for row, value in captured.items()}, repr(form))
    given, made = iter(exported.inputs), iter(exported.outputs)
    structure, leaves = arguments
    taken = Tree(structure, [next(given) if leaf is None else leaf[0] for leaf in leaves], argument_labels(function, structure))
    structure, leaves = results
    labels = result_labels(structure, taken.labels)
    returned = Tree(structure, [next(made) if leaf is COMPUTED else leaf for leaf in leaves], labels)
    data = _aligned(exported.data)
    kernel = native.compile_text(exported.text, exported.name, symbols={DATA: data})
    return NativeFunction(name, taken, returned, kernel, data, Origin(exported.text))


def load(path: str | os.PathLike[str]) -> NativeFunction:
    """See `jitgrad.load_compiled`."""
    where = Path(os.fsdecode(path))
    return _loaded(where.read_bytes(), str(where))


def _unpickled(content: bytes) -> NativeFunction:
    return _loaded(content, "what was pickled", public=False)


def _loaded(content: bytes, name: str, public: bool = True) -> NativeFunction:
    manifest, data, code = artefact.unpacked(content, name)
    try:
        label, symbol, imports, text = described(manifest)
        arguments, results = from_plain(manifest.get("arguments"), True), from_plain(manifest.get("results"))
    except (ValueError, RecursionError) as error:
        raise artefact.damaged(name, str(error)) from None
    memory = _aligned(data)
    kernel = native.link_object(code, symbol, imports, {DATA: memory})
    return NativeFunction(label, arguments, results, kernel, memory, Origin(text, code, imports), public)


def _aligned(data: bytes) -> np.ndarray:
    """The bytes in memory, at an address that is a multiple of 64."""
    room = np.empty(len(data) + 64, np.uint8)
    start = -room.ctypes.data % 64
    part = room[start : start + len(data)]
    part[:] = np.frombuffer(data, np.uint8)
    return part


def _entry_kind(kind: Any, leaf: Any) -> Any:
    """What `write_entry` is told of a leaf that fits; None where the quick way cannot check for it."""
    if not isinstance(kind, Value):
        return (type(kind), kind) if kind is None or type(kind) in (bool, int, str) else None
    if type(leaf) is float:
        return float
    if not isinstance(leaf, (Handle, np.ndarray, np.generic)):
        return None
    return (kind.dtype, kind.shape) if kind.shape else kind.dtype.type


def _c_type(value: Value) -> Any:
    return getattr(ctypes, f"c_{of(value.dtype).c.removesuffix('_t')}")


def _c_name(value: Value) -> str:
    return of(value.dtype).c


def _sizes(value: Value) -> str:
    return " x ".join(map(str, value.shape)) or "a number"
