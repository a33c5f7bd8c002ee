"""From the rows of a tape to the instructions of the machine, and to places in its memory."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import numpy as np

from jitgrad.errors import NotCompilableError
from jitgrad.ops.choosing import alias
from jitgrad.ops.indexing import getitem
from jitgrad.ops.linalg import matmul
from jitgrad.ops.movement import expand, flip, narrow, pad, permute, reshape
from jitgrad.ops.strided import strided, unstrided
from jitgrad.ops.table import Op
from jitgrad.sweeps.code.compile import Kernel
from jitgrad.sweeps.interpreted import interpreted, run_by, runner_of
from jitgrad.sweeps.machine.handlers import WORDS, Elementwise, Fold, Kind, Pick, Product, Put, entry, handler, parameters
from jitgrad.sweeps.plan.layouts import is_number
from jitgrad.sweeps.plan.machine_types import DTYPES
from jitgrad.sweeps.plan.segments import why_not_native
from jitgrad.tape.row import CONST, ITEM, Row
from jitgrad.tape.tape import Tape

MOST_PICKED = 1 << 14
"""The size of an array beyond which NumPy moves its elements: the list of them would take more than it saves."""

MOST_VECTORS = 1 << 11
"""The steps of 8 numbers beyond which a product of matrices is left to BLAS."""


MOST_COUNTED = MOST_SLOTS = (1 << 31) - 1
"""What a word of an instruction can say: elements of an array, and slots of the memory. NumPy runs rows of longer arrays."""


class Numpy:
    """A row that NumPy runs; `run` gives what goes to each of the places in `writes`."""

    def __init__(self, row: Row, reads: list[tuple], writes: list[tuple], results: list[int], why: str) -> None:
        self.row, self.reads, self.writes, self.why = row, reads, writes, why
        run = runner_of(row)
        params = run_by(interpreted, row, {row: set(results)}) if row.op.holds_tapes else row.params
        self.run: Callable = lambda *values: (run(*values, **params),)
        if row.op.several:
            self.run = lambda *values: map(run(*values, **params).__getitem__, results)


class Assembly:
    """A tape as `steps`, instructions and rows that NumPy runs, in a memory of so many `slots`."""

    def __init__(self, tape: Tape, leaves: Sequence[Row]) -> None:
        self.slots = 0
        self.constants: dict[int, np.ndarray] = {}  # by slot
        self.steps: list[np.ndarray | Numpy] = []
        self.handlers: set[Kernel] = set()
        self.work = 0  # elements that one run computes
        self._slot: dict[Row, int] = {}
        self._left: dict[int, tuple[int, int]] = {}  # of an array in a slot: how long it is, how many will still read it
        self._free: dict[int, list[int]] = {}  # slots by length
        self._known: dict[Any, tuple[int, str]] = {}
        self._plain: dict[tuple, int] = {}  # handlers of numbers without parameters
        self._numbers: dict[tuple[int, ...], np.ndarray] = {}
        self._words: list[int] = []
        self._addresses: list[int] = []
        self.enter, self._stop = entry()
        for leaf in leaves:
            self._slot[leaf] = self._room(math.prod(leaf.shape), leaf.dtype)
        readers = _readers(tape, self._slot)
        for leaf in leaves:
            self._keep(leaf, readers)
        self._readers = readers
        self._items: dict[Row, list[Row]] = {}
        for row in tape.rows:
            if row.op is ITEM and row in readers:
                self._items.setdefault(row.inputs[0], []).append(row)
        self._add_all(tape.rows, readers)
        self._close()
        self._numbers.clear()
        self.leaves = [self._place(row) for row in leaves]
        self.outputs = [self._place(row) for row in tape.outputs]

    def _room(self, size: int, dtype: np.dtype, *, fresh: bool = False) -> int:
        """The first slot of a place for an array or number: a `fresh` one, or one that is free again by then.

        Arrays begin at multiples of 64 bytes and own what is left up to the next.
        """
        if size <= 1:
            slot, self.slots = self.slots, self.slots + 1 + (dtype.itemsize > 8)
            return slot
        length = _length(size, dtype)
        if not fresh and (free := self._free.get(length)):
            return free.pop()
        slot = -(-self.slots // 8) * 8
        self.slots = slot + length
        return slot

    def _keep(self, row: Row, readers: dict[Row, int]) -> None:
        """Keep the place of an array for so many readers; one that another row has already, if it is a reshape, for more."""
        slot, size = self._slot[row], math.prod(row.shape)
        if size > 1 and slot not in self.constants:
            length, left = self._left.get(slot, (_length(size, row.dtype), 0))
            self._left[slot] = length, left + readers.get(row, 0)

    def _release(self, row: Row) -> None:
        """`row` has been computed: places of arrays that nobody else reads are free for what comes."""
        for x in _sources(row):
            if x.shape != () and (found := self._left.get(self._slot[x])) is not None:
                length, left = found
                self._left[self._slot[x]] = length, left - 1
                if left == 1:
                    del self._left[self._slot[x]]
                    self._free.setdefault(length, []).append(self._slot[x])

    def _place(self, row: Row) -> Place:
        return self._slot[row], row.shape, row.dtype

    def _constant(self, value: np.ndarray) -> int:
        slot = self._room(value.size, value.dtype, fresh=True)  # it is written before the first run, and never again
        self.constants[slot] = value
        return slot

    def _add_all(self, rows: Iterable[Row], readers: dict[Row, int]) -> None:
        """Instructions for all rows that have readers, in order."""
        slots, addresses = self._slot, self._addresses
        for row in rows:
            if row not in readers or row in slots:
                continue
            inputs = row.inputs
            if row.shape == () and not row.params and inputs:  # what long tapes are made of
                address = self._plain.get((row.op, *[x.dtype.char for x in inputs]))
                if address is not None:
                    slots[row] = slot = self.slots
                    self.slots = slot + 1
                    addresses.append(address)
                    self._words += (slot, *[slots[x] for x in inputs], *_PADDING[len(inputs)], 1, 1)
                    continue
            slots[row] = self._add(row)
            if row.shape != () and not row.op.several:
                self._keep(row, readers)
            if self._left:
                self._release(row)

    def _add(self, row: Row) -> int:
        """Instructions for one row; returns the slot of its value."""
        op = row.op
        if op.several:
            return self._numpy(row, f"no instruction for {op.name}" if not op.holds_tapes else "")
        if any(math.prod(x.shape) > MOST_COUNTED for x in (row, *row.inputs)) and op is not CONST:
            return self._numpy(row, "more elements than an instruction can count")
        if op.elementwise:
            return self._elementwise(row)
        if op is CONST:
            return self._constant(np.asarray(row.params["value"]))
        size = math.prod(row.shape)
        if op in _SHAPED and size == math.prod(row.inputs[0].shape):
            return self._slot[row.inputs[0]]
        if op is matmul and (slot := self._product(row)) is not None:
            return slot
        if op.fold is not None and (slot := self._fold(row)) is not None:
            return slot
        picks = op in _PICKING or (op is getitem and len(row.inputs) == 1)
        if picks and size <= MOST_PICKED and row.dtype.itemsize <= 8:
            return self._pick(row.inputs[0], op.run(self._numbered(row.inputs[0].shape), **row.params))
        if op.parts is not None and (slot := self._parts(row)) is not None:
            return slot
        why = "" if op is matmul else why_not_native(row)
        return self._numpy(row, why or f"no instruction for {op.name} of this size or dtype")

    def _elementwise(self, row: Row) -> int:
        size = math.prod(row.shape)
        op, params, extras = parameters(row)
        sources = _sources(row)
        moving = () if size == 1 else (*[not is_number(x) for x in sources], *[False] * len(extras))
        key = (op, repr(params) if params else "", moving, row.dtype.char, *[x.dtype.char for x in row.inputs])
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._handler(row, op, params, len(extras), moving)
        address, why = found
        if why:
            return self._numpy(row, why)
        if row.shape == () and not row.params:
            self._plain[row.op, *[x.dtype.char for x in row.inputs]] = address
        slot = self._room(size, row.dtype)
        places = [self._slot[x] for x in sources]
        if extras:
            kind = _wide(row.inputs[0].dtype)
            places += [self._constant(np.asarray(kind.type(value))) for value in extras]
        self._emit(address, slot, places, size)
        return slot

    def _handler(self, row: Row, op: Op, params: tuple, extras: int, moving: tuple[bool, ...]) -> tuple[int, str]:
        """The address of the handler of an elementwise row, or 0 and why there is none."""
        why = why_not_native(row)
        if why:
            return 0, why
        types = [DTYPES[x.dtype.name] for x in row.inputs] + [DTYPES[_wide(row.inputs[0].dtype).name]] * extras
        return self._address(Elementwise(op, params, row.dtype, tuple(types), moving)), ""

    def _address(self, kind: Kind) -> int:
        kernel = handler(kind)
        self.handlers.add(kernel)
        return kernel.address

    def _emit(self, address: int, slot: int, places: Sequence[int], size: int, repetitions: int = 1) -> None:
        self._addresses.append(address)
        self._words += (slot, *places, *_PADDING[len(places)], size, repetitions)
        self.work += size * repetitions - 1

    def _fold(self, row: Row) -> int | None:
        """A sum, max or min: the dimensions that are reduced are brought to the end, then all results made in one go."""
        x, dims = row.inputs[0], row.params["dim"] if row.inputs[0].shape else ()
        if why_not_native(row):
            return None
        kept = [d for d in range(len(x.shape)) if d not in dims]
        order = [d for d in (*kept, *dims) if x.shape[d] != 1]
        source = self._slot[x]
        if order != sorted(order):
            if math.prod(x.shape) > MOST_PICKED:
                return None
            source = self._pick(x, self._numbered(x.shape).transpose(*kept, *dims))
        size = math.prod(row.shape)
        slot = self._room(size, row.dtype)
        address = self._address(Fold(row.op, row.dtype, DTYPES[x.dtype.name]))
        self._emit(address, slot, [source], math.prod(x.shape[d] for d in dims), size)
        return slot

    def _product(self, row: Row) -> int | None:
        """A product of two small matrices; None if it is left to NumPy."""
        (rows, shared), columns = row.inputs[0].shape[-2:], row.shape[-1]
        type = DTYPES.get(row.dtype.name, "")
        vectors = rows * shared * columns // 8 if columns == 1 else rows * shared * -(-columns // 8)
        if len(row.shape) != 2 or type not in ("f32", "f64") or vectors > MOST_VECTORS:
            return None
        slot = self._room(math.prod(row.shape), row.dtype)
        places = [*[self._slot[x] for x in row.inputs], shared]
        self._emit(self._address(Product(type, columns == 1)), slot, places, columns, rows)
        return slot

    def _pick(self, x: Row, indices: np.ndarray) -> int:
        """The elements of `x` with these numbers (from 1 on; 0 is a zero)."""
        slot = self._room(indices.size, x.dtype)
        places = [self._slot[x], self._constant(np.ascontiguousarray(indices, np.int32))]
        self._emit(self._address(Pick(x.dtype.itemsize)), slot, places, indices.size)
        return slot

    def _numbered(self, shape: tuple[int, ...]) -> np.ndarray:
        """An array whose elements are their own numbers, from 1 on: what becomes of it shows which goes where."""
        if shape not in self._numbers:
            self._numbers[shape] = np.arange(1, 1 + math.prod(shape), dtype=np.int32).reshape(shape)
        return self._numbers[shape]

    def _parts(self, row: Row) -> int | None:
        """A value that is put together from others; None if it is left to NumPy."""
        size, type = math.prod(row.shape), DTYPES.get(row.dtype.name)
        if type is None or size > MOST_PICKED or any(x.dtype != row.dtype for x in row.inputs) or row.op.parts is None:
            return None
        whole = self._numbered(row.shape)
        parts = row.op.parts(whole, *row.inputs, **row.params)
        if parts is None or any(x is None or x.shape != where.shape or (adds and type == "i1") for x, where, adds in parts):
            return None
        first = parts[0][0]
        last_reader = self._left.get(self._slot[first], (0, 0))[1] == 1
        if parts[0][1] is whole and last_reader:  # it can be changed in place
            slot, parts = self._slot[first], parts[1:]
        else:
            slot = self._room(size, row.dtype)
        for x, where, adds in parts:
            if where is whole and not adds and size > 1:
                self._emit(self._address(Elementwise(alias, (), row.dtype, (type,), (True,))), slot, [self._slot[x]], size)
            else:
                places = [self._slot[x], self._constant(where - np.int32(1))]
                self._emit(self._address(Put(type, adds)), slot, places, where.size)
        return slot

    def _numpy(self, row: Row, why: str) -> int:
        self._close()
        items = self._items.get(row, [])
        results = items if row.op.several else [row]
        for out in results:
            self._slot[out] = self._room(math.prod(out.shape), out.dtype)
            if out is not row and out.shape != ():
                self._keep(out, self._readers)
        reads, writes = ([self._place(x) for x in many] for many in (_sources(row), results))
        self.steps.append(Numpy(row, reads, writes, [item.params["k"] for item in items], why))
        return self._slot.get(row, 0)

    def _close(self) -> None:
        """What has been emitted becomes a step."""
        if not self._addresses:
            return
        self.work += len(self._addresses)
        code = np.zeros((len(self._addresses) + 1, WORDS), np.int32)
        code.view(np.int64)[:, 0] = [*self._addresses, self._stop]
        if self.slots > MOST_SLOTS:
            raise NotCompilableError(
                f"the machine would need {self.slots / 2**27:.0f} GiB for all values of the tape, and its "
                "instructions reach 16: use sweep('jit') or sweep('interpreted')"
            )
        code[:-1, 2:] = np.array(self._words, np.int32).reshape(-1, WORDS - 2)
        self.steps.append(code)
        self._addresses.clear()
        self._words.clear()


Place = tuple[int, tuple[int, ...], np.dtype]
"""The first slot of a value, its shape and its dtype."""

_SHAPED = frozenset((reshape, expand))
_PICKING = frozenset((expand, permute, flip, narrow, pad, strided, unstrided))
_PADDING = ((0, 0, 0), (0, 0), (0,), ())


def _length(size: int, dtype: np.dtype) -> int:
    """The slots of an array: those of whole 64 bytes."""
    return -(-size * dtype.itemsize // 64) * 8


def _wide(dtype: np.dtype) -> np.dtype:
    """The dtype that numbers beside a value of `dtype` have: half precision is computed in single."""
    return _F32 if dtype == np.float16 else dtype


_F32 = np.dtype(np.float32)


def _sources(row: Row) -> Sequence[Row]:
    """What a row reads: for an elementwise row a number that is repeated to its shape is that number."""
    if row.shape == () or not row.op.elementwise:
        return row.inputs
    return [_number(x) or x for x in row.inputs]


def _number(row: Row) -> Row | None:
    """The single number that all elements of `row` are copies of, if that is what they are."""
    while row.op in _SHAPED:
        row = row.inputs[0]
        if is_number(row):
            return row
    return None


def _readers(tape: Tape, known: Collection[Row]) -> dict[Row, int]:
    """How many rows read each row that has to be computed; being a result counts as a reader that never comes."""
    readers: dict[Row, int] = dict(Counter(tape.outputs))
    count = readers.get
    for row in reversed(tape.rows):
        if row in readers and row not in known:
            for x in row.inputs if row.shape == () else _sources(row):
                readers[x] = count(x, 0) + 1
    return readers
