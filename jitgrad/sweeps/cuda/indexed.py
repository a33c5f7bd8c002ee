"""Elements at computed places: looked up, added to, overwritten.

An index that is out of bounds cannot stop a kernel. It notes so in a flag, and reads or writes element 0; whoever next waits for
the device gets the `IndexError`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jitgrad.ops.indexing import Slot
from jitgrad.sweeps.cuda.body import indented
from jitgrad.sweeps.cuda.text import Text, decompose, stored
from jitgrad.sweeps.plan.indexing import Picked
from jitgrad.tape.device_array import DeviceArray
from jitgrad.tape.row import Row

_numbers: dict[str, int] = {}
_count = itertools.count()


def _number(name: str) -> int:
    """The number that kernels know an operation or a function by."""
    found = _numbers.get(name)
    return _numbers.setdefault(name, next(_count)) if found is None else found


def operation(number: int) -> str:
    """The name that goes with a number."""
    return next(name for name, given in list(_numbers.items()) if given == number)


class Along(NamedTuple):
    """How a dimension of what is indexed is gone along: by dimension `kept` of the places, or by an index array that stands along
    the dimensions `over` of these."""

    size: int
    kept: int = -1
    array: DeviceArray | None = None
    over: tuple[int, ...] = ()


class Launcher:
    """Runs texts that are written for one call, of the operation of that name: arrays go by their names."""

    def __init__(self, compute: Any, name: str) -> None:
        self.compute, self.text, self.name = compute, Text(compute.grid.block), name
        self.arrays: dict[str, DeviceArray] = {}

    def element(self, name: str, array: DeviceArray, index: Sequence[tuple[str, int]] | None = None, flat: str = "") -> str:
        """An element of an array, raw: at indices along its dimensions, with their steps; or, of one in order, at `flat`."""
        self.arrays[name] = array
        memory = self.text.array(name, array.dtype)
        if index is None:
            start = self.text.index(array.offset, [])
            return f"{memory}[{flat}]" if start == "0" else f"{memory}[{start} + {flat}]"
        return f"{memory}[{self.text.index(array.offset, index)}]"

    def over(self, shape: Sequence[int], lines: Sequence[str]) -> None:
        """Launch a kernel whose lines are run for every place, `d0`, `d1`, … and `i`."""
        n, text, grid = math.prod(shape), self.text, self.compute.grid
        if not n:
            return
        sizes = [(d, m) for d, m in enumerate(shape)]
        text.lines += [
            "    i = ix(ix(cuda.blockIdx.x) * ix(cuda.blockDim.x) + ix(cuda.threadIdx.x))",
            f"    while i < {text.size(n)}:",
            *indented(2, decompose("q", "i", sizes, {d for d, _ in sizes}, text)),
            *indented(2, lines),
            "        i = ix(i + ix(cuda.gridDim.x) * ix(cuda.blockDim.x))",
        ]
        launch = text.launch(grid.over(n))
        given = [self.arrays[x].buffer.raw if isinstance(x, str) else x for x in launch.arguments]
        driver = self.compute.driver
        driver.launch(driver.load(launch.kernel), launch.grid, given)


def place_lines(call: Launcher, along: Sequence[Along], target: DeviceArray | None) -> tuple[list[str], str]:
    """Lines that look the indices of a place up, and the expression for it: the element of `target`, in its memory, or counted in
    order if that is None."""
    lines, terms = [], []
    steps = _in_order([a.size for a in along]) if target is None else target.layout.strides
    for k, (a, step) in enumerate(zip(along, steps)):
        if a.array is None:
            terms.append((f"d{a.kept}", step))
            continue
        index = [(f"d{d}", s) for d, s, n in zip(a.over, a.array.layout.strides, a.array.shape) if n != 1]
        read = call.element(f"index{id(a.array)}", a.array, index)
        lines += _checked(call, f"at{k}", read, a.size, wraps=True)
        terms.append((f"at{k}", step))
    return lines, call.text.index(0 if target is None else target.offset, terms)


def _checked(call: Launcher, name: str, read: str, size: int, wraps: bool) -> list[str]:
    """Lines for an index that counts from the end if it is negative, and `wraps`; one that is out of bounds is noted."""
    call.arrays["flag"] = call.compute.flag()
    flag, n = call.text.array("flag", "int64"), call.text.size(size)
    asked = call.text.number("operation", _number(call.name), np.dtype(np.int64))
    lines = [f"{name} = i64({read})"]
    if wraps:
        lines += [f"if {name} < 0:", f"    {name} = i64({name} + {n})"]
    return [
        *lines,
        f"if {name} < 0 or {name} >= {n}:",
        f"    {flag}[0] = 1  # in any order",
        f"    {flag}[1] = i64({read})  # in any order",
        f"    {flag}[2] = {n}  # in any order",
        f"    {flag}[3] = {asked}  # in any order",
        f"    {name} = i64(0)",
        f"{name} = ix({name})",
    ]


def _in_order(shape: Sequence[int]) -> list[int]:
    return [math.prod(shape[d + 1 :]) for d in range(len(shape))]


def along_index(row: Row, arrays: Sequence[DeviceArray]) -> tuple[list[Along], tuple[int, ...]]:
    """How a row with index arrays goes along what it indexes, and the shape of the places."""
    index = row.params["index"]
    if not all(isinstance(i, Slot) or i is Ellipsis or i == slice(None) for i in index):
        raise NotImplementedError(
            f"{row.op.name}: an index that mixes arrays with slices or new dimensions is not available on a GPU"
        )
    picked = Picked(row)
    first = len(row.inputs) - len(arrays)
    by_row = dict(zip(row.inputs[first:], arrays))
    shape = row.inputs[0].shape
    found = [Along(n) for n in shape]
    for d, k in picked.kept:
        found[d] = Along(shape[d], k)
    for d, a in picked.slots:
        array = by_row[a]
        block = picked.block_at[len(picked.block_at) - array.ndim :] if array.ndim else []
        found[d] = Along(shape[d], -1, array, tuple(block))
    return found, tuple(picked.shape)


def along_dim(x: DeviceArray, index: DeviceArray, dim: int) -> list[Along]:
    """How `gather` and `scatter_add` go along what they index."""
    every = tuple(range(index.ndim))
    return [Along(n, -1, index, every) if d == dim else Along(n, d) for d, n in enumerate(x.shape)]


def look_up(compute: Any, name: str, x: DeviceArray, along: Sequence[Along], shape: tuple[int, ...], out: DeviceArray) -> None:
    """Put the elements at all places into `out`, which is in order."""
    call = Launcher(compute, name)
    lines, place = place_lines(call, along, x)
    call.arrays["x"] = x
    memory = call.text.array("x", x.dtype)
    call.over(shape, [*lines, f"{call.element('out', out, flat='i')} = {memory}[{place}]"])


def places(compute: Any, name: str, along: Sequence[Along], shape: tuple[int, ...]) -> DeviceArray:
    """The places themselves, as whole numbers that count through what is indexed in order."""
    call, out = Launcher(compute, name), compute.empty(shape, np.dtype(np.int64))
    lines, place = place_lines(call, along, None)
    call.over(shape, [*lines, f"{call.element('out', out, flat='i')} = {place}"])
    return out


def within(compute: Any, name: str, x: DeviceArray, size: int, out: DeviceArray) -> None:
    """Indices as int32, each looked at."""
    call = Launcher(compute, name)
    read = call.element("x", x, [(f"d{d}", s) for d, s in enumerate(x.layout.strides)])
    lines = _checked(call, "at", read, size, wraps=False)
    call.over(x.shape, [*lines, f"{call.element('out', out, flat='i')} = {stored('int32(at)', out.dtype)}"])
