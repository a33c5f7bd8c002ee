"""What computes with the arrays of one device: every operation is a tape of one row, whose program is kept.

The key of a program is the operation with the shapes, strides and dtypes of its operands; the texts of kernels have none of the
sizes, so that a new shape needs no compiling.
"""

from __future__ import annotations

import math
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.devices import layouts
from jitgrad.devices.layouts import Order
from jitgrad.devices.prepared import Prepared
from jitgrad.errors import OutOfRangeError
from jitgrad.ops.broadcasting import broadcast_shape
from jitgrad.ops.choosing import cast, where
from jitgrad.ops.movement import back_from, expand, permute
from jitgrad.ops.shapes import Spec
from jitgrad.ops.table import Op, infer, infer_several
from jitgrad.passes.simplify import simplify
from jitgrad.sweeps.cuda.calls import run_of
from jitgrad.sweeps.cuda.copies import copy_launch
from jitgrad.sweeps.cuda.indexed import operation
from jitgrad.sweeps.cuda.library import product
from jitgrad.sweeps.cuda.library.launches import Operand, Scratch
from jitgrad.sweeps.cuda.memory import Pool
from jitgrad.sweeps.cuda.outputs import SPARE_ARRAYS
from jitgrad.sweeps.cuda.program import Program, laid_like
from jitgrad.sweeps.cuda.teams import Grid
from jitgrad.tape.device_array import DeviceArray, whole
from jitgrad.tape.row import Leaf, Row, Several
from jitgrad.tape.tape import Tape

MOST_PROGRAMS = 4096


class Compute:
    """A device that computes; `name` is what `x.device` shows, "cuda:0"."""

    def __init__(self, driver: Any, name: str) -> None:
        self.driver, self.name = driver, name
        self.grid = Grid(driver.block, driver.blocks, driver.warp)
        self.programs: weakref.WeakSet[Program] = weakref.WeakSet()  # all that are there
        self.pool = Pool(driver, self._let_go)
        self._programs: OrderedDict[Any, tuple[Program, Order | None]] = OrderedDict()
        self._flag: DeviceArray | None = None
        self._flag_used = False
        self._counted: dict[int, DeviceArray] = {}

    # Memory.

    def _let_go(self) -> None:
        """Give up the memory that programs keep for their next runs."""
        for program in list(self.programs):
            program.release()

    def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> DeviceArray:
        """An array whose values are arbitrary."""
        memory = self.pool.allocate(math.prod(shape) * dtype.itemsize)
        return whole(self, memory, tuple(shape), dtype)

    def from_host(self, array: np.ndarray) -> DeviceArray:
        """A copy of an array of the host, whose elements are in order."""
        out = self.empty(array.shape, array.dtype)
        if array.size > 1 and not any(array.strides):  # one number, repeated
            out.fill(array.flat[0])
        elif array.size:
            self.driver.upload(out.buffer.raw, 0, np.ascontiguousarray(array))
        return out

    def kept_from_host(self, array: np.ndarray) -> DeviceArray:
        """`from_host` of what any stream may read from now on."""
        out = self.from_host(array)
        self.driver.current().synchronize()
        return out

    def to_host(self, array: DeviceArray) -> np.ndarray:
        """A copy in memory of the host, which lies as that array does."""
        order = layouts.found_in(array)
        there = array if order is None else array.transposed(order)
        source = there if there.in_order else there.copy()
        out = np.empty(there.shape, there.dtype)
        if out.size:
            self.driver.download(source.buffer.raw, source.offset * source.itemsize, out)
        self.check()
        return out if order is None else out.transpose(back_from(order))

    def write(self, target: DeviceArray, source: Any) -> None:
        """Put values into the memory of an array; they are broadcast and converted."""
        if not isinstance(source, DeviceArray):
            source = self.from_host(np.asarray(source, target.dtype))
        if source.dtype != target.dtype:
            source = self.cast(source, target.dtype)
        if source.shape != target.shape:
            source = expand(source, shape=target.shape)
        if not target.size:
            return
        if source.buffer is target.buffer:  # they may overlap
            source = source.copy()
        if target.in_order and source.in_order:
            at, start = target.offset * target.itemsize, source.offset * source.itemsize
            self.driver.copy(target.buffer.raw, at, source.buffer.raw, start, target.nbytes)
            return
        kernel, grid, arguments = copy_launch(target, source, self.grid)
        self.driver.launch(self.driver.load(kernel), grid, arguments)

    def synchronize(self) -> None:
        """Wait for everything that was asked for; `IndexError` for an index that was out of bounds on the way."""
        self.driver.synchronize()
        self.check()

    def flag(self) -> DeviceArray:
        """Where kernels note an index that is out of bounds: whether there was one, the index, the size, the operation."""
        self._flag_used = True
        if self._flag is None:
            self._flag = self.kept_from_host(np.zeros(4, np.int64))
        return self._flag

    def counted(self, n: int) -> DeviceArray:
        """0, 1, 2, … as int32, made once."""
        found = self._counted.get(n)
        if found is None:
            found = self._counted[n] = self.kept_from_host(np.arange(n, dtype=np.int32))
        return found

    def check(self) -> None:
        """Raise the `IndexError` of a kernel, if there was one since the last time."""
        if not self._flag_used:
            return
        self._flag_used = False
        found = np.zeros(4, np.int64)
        self.driver.download(self.flag().buffer.raw, 0, found)
        self._flag_used = False
        if found[0]:
            self.driver.upload(self.flag().buffer.raw, 0, np.zeros(4, np.int64))  # graphs know it by its address
            self._flag_used = False
            raise OutOfRangeError(
                f"{operation(int(found[3]))}: index {found[1]} is out of bounds for a dimension of size {found[2]} "
                f"(of a tensor on {self.name})"
            )

    # Computing.

    def run(self, op: Op, operands: Sequence[Any], params: dict[str, Any]) -> Any:
        """What an operation gives for arrays of this device; numbers and arrays of the host are constants beside them."""
        if op.kind == "move" or op.holds_tapes:
            return op.run(*operands, **params)
        if op.view and len(operands) == 1:
            seen = operands[0].looked_at(op, params)
            if seen is not None:
                return seen
        given = self._given(op, operands)
        key = (
            op,
            _key(params),
            *[(x.shape, x.layout.strides, x.dtype) if isinstance(x, DeviceArray) else x.dtype for x in given],
        )
        found = self._programs.get(key)
        if found is None:
            found = self._programs[key] = self._program(op, given, params)
            if len(self._programs) > MOST_PROGRAMS:
                self._programs.popitem(last=False)
        else:
            self._programs.move_to_end(key)
        program, order = found
        results = program.run(*given)
        if op.several:
            return tuple(results)
        return results[0] if order is None else layouts.in_that_order(results[0], order)

    def prepare(self, tape: Tape, leaves: Sequence[Row], fixed: Sequence[bool] = (), row_by_row: bool = False) -> Prepared:
        """A tape ready to run; `fixed` says which leaves have the same value at every call."""
        return Prepared(self, tape, leaves, fixed or [False] * len(leaves), row_by_row)

    def cast(self, x: DeviceArray, dtype: np.dtype) -> DeviceArray:
        """The array in another dtype."""
        return self.run(cast, (x,), {"dtype": dtype})

    def launches(self, work: Sequence[Any], operands: Sequence[DeviceArray]) -> None:
        """Launch kernels that were written by hand, with scratch memory as they ask for it."""
        scratch: dict[int, Any] = {}
        for kernel, grid, arguments in work:
            given = []
            for x in arguments:
                if isinstance(x, Operand):
                    array = operands[x.index]
                    given.append((array.buffer.raw, array.offset * array.itemsize))
                elif isinstance(x, Scratch):
                    if id(x) not in scratch:
                        scratch[id(x)] = self.pool.allocate(x.elements * np.dtype(x.dtype).itemsize)
                    given.append(scratch[id(x)].raw)
                else:
                    given.append(x)
            self.driver.launch(self.driver.load(kernel), grid, given)

    def product(self, x: DeviceArray, y: DeviceArray, out: DeviceArray) -> None:
        """Put the products of two stacks of matrices into a third one: by cuBLAS where it is, else by a kernel of ours."""
        batch, m, n = out.shape
        k = x.shape[2]
        if self.driver.product(x, y, out):
            return
        steps: Any = (x.layout.strides, y.layout.strides)
        self.launches(product.matmul(out.dtype.name, batch, m, k, n, self.grid.block, *steps), [x, y, out])

    def library(self, row: Row) -> Callable:
        """What runs a row that has kernels of its own; `NotImplementedError` for one that has none."""
        return run_of(row, self)

    def _given(self, op: Op, operands: Sequence[Any]) -> list[Any]:
        """The operands as arrays of the device, and numbers of the dtype that they have beside these."""
        arrays = [layouts.like_host(self, x) if isinstance(x, np.ndarray) and x.ndim else x for x in operands]
        for x in arrays:
            if isinstance(x, DeviceArray) and x.compute is not self:
                raise RuntimeError(
                    f"{op.name}: a tensor on {x.device} beside one on {self.name}: bring them to one device with to()"
                )
        if not op.elementwise:
            return [x if isinstance(x, DeviceArray) else self.from_host(np.asarray(x)) for x in arrays]
        first = 1 if op is where else 0
        wanted = _common(arrays[first:]) if op is not cast else None
        return [*map(_number, arrays[:first]), *[self._as(x, wanted) for x in arrays[first:]]]

    def _as(self, x: Any, dtype: np.dtype | None) -> Any:
        if isinstance(x, DeviceArray):
            return x if dtype is None or x.dtype == dtype else self.cast(x, dtype)
        with np.errstate(all="ignore"):
            return _number(x) if dtype is None else np.asarray(x).astype(dtype)[()]

    def _program(self, op: Op, given: Sequence[Any], params: dict[str, Any]) -> tuple[Program, Order | None]:
        """The program of a tape of one row, and the order of the dimensions that its result has in memory, if it is another."""
        if any(x.dtype.kind == "c" for x in given):
            raise NotImplementedError(f"{op.name} of complex tensors runs on the CPU alone so far: bring them there with .cpu()")
        leaves = [Leaf(x.shape, x.dtype, False) for x in given]
        rows: list[Row] = list(leaves)
        if op.elementwise:
            shape = broadcast_shape(op, [x.shape for x in given])
            rows = [r if r.shape == shape else Row(expand, (r,), {"shape": shape}, shape, r.dtype, False) for r in rows]
        if op.several:
            order = None
            made = Several(op, tuple(rows), params, infer_several(op, rows, params), False)
            outputs = [made.item(k) for k in range(len(made.results))]
        else:
            spec = infer(op, rows, params)
            order = layouts.order_of(op, given, params)
            outputs = [_ordered(op, rows, params, spec, order)]
        tape = simplify(Tape(leaves, outputs), keeps=lambda op: False)
        on_host = [leaf for leaf, x in zip(leaves, given) if not isinstance(x, DeviceArray)]
        laid = {leaf: laid_like(x) for leaf, x in zip(leaves, given) if isinstance(x, DeviceArray)}
        laid_out: dict[Row, np.ndarray] = {leaf: part for leaf, part in laid.items() if part is not None}
        return Program(self, tape, leaves, on_host, laid_out, spare=SPARE_ARRAYS if order is None else 0), order


def _ordered(op: Op, rows: Sequence[Row], params: dict[str, Any], spec: Spec, order: Order | None) -> Row:
    """The row of an operation, whose dimensions are taken in an order: what is elementwise is computed in it."""
    if order is None or not op.elementwise:
        row = Row(op, tuple(rows), params, tuple(spec.shape), spec.dtype, False)
        return row if order is None else _permuted(row, order)
    turned = tuple([_permuted(row, order) for row in rows])
    return Row(op, turned, params, turned[0].shape, spec.dtype, False)


def _permuted(row: Row, order: Order) -> Row:
    return Row(permute, (row,), {"dims": order}, tuple([row.shape[d] for d in order]), row.dtype, False)


def _number(x: Any) -> Any:
    return x if isinstance(x, DeviceArray) else np.asarray(x)[()]


def _common(values: Sequence[Any]) -> np.dtype:
    """The dtype that operands of an elementwise operation are computed in: numbers adapt to the arrays."""
    first = values[0]
    if all(x.__class__ is DeviceArray and x.dtype == first.dtype for x in values):
        return first.dtype
    found = {x.dtype for x in values if isinstance(x, DeviceArray)}
    numbers = [x for x in values if not isinstance(x, DeviceArray)]
    if not found:
        return np.result_type(*numbers)
    dtype = found.pop()
    for other in found:
        dtype = dtypes.promote(dtype, other)
    for x in numbers:
        if isinstance(x, np.generic | np.ndarray):
            dtype = dtypes.promote(dtype, x.dtype)
        elif isinstance(x, float) and not dtypes.is_floating(dtype):
            dtype = dtypes.default()
    return dtype


def _key(params: dict[str, Any]) -> tuple:
    """Parameters as part of a key: slices have no hash in every Python, and arrays none at all."""
    return tuple([(name, _hashable(value)) for name, value in params.items()])


def _hashable(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple([_hashable(v) for v in value])
    if isinstance(value, slice):
        return slice, value.start, value.stop, value.step
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype, value.tobytes()
    return value.__class__, value
