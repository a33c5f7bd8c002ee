"""A kernel on a device, and how its arguments are passed: a driver takes the addresses of their bytes."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jitgrad.sweeps.cuda.buffers import Buffer
from jitgrad.sweeps.cuda.kernel import Kernel

SLOT = 8
INTEGERS = {"int8": "b", "int16": "h", "int32": "i", "int64": "q", "uint8": "B", "uint16": "H", "uint32": "I", "uint64": "Q"}
LETTERS = {**INTEGERS, "float16": "e", "float32": "f", "float64": "d", "boolean": "?"}
"""What `struct` calls the types of numbers."""


class Space(NamedTuple):
    """The bytes of the arguments of one launch, 8 for each, and their addresses."""

    bytes: Any
    addresses: Any
    place: int


class Loaded:
    """`function` is the driver's name for the kernel, which is there as long as `handle` is."""

    __slots__ = ("_types", "block", "function", "handle", "pack", "spare", "symbol")

    def __init__(self, kernel: Kernel, handle: Any, function: Any, symbol: str) -> None:
        self.handle, self.function, self.symbol, self.block = handle, function, symbol, kernel.block
        self._types = [None if name[0] == "*" else np.dtype("bool" if name == "boolean" else name).type for name in kernel.types]
        letters = ["Q" if name[0] == "*" else LETTERS[name] for name in kernel.types]
        self.pack = struct.Struct("=" + "".join(f"{x}{SLOT - struct.calcsize('=' + x)}x" for x in letters)).pack_into
        self.spare: list[Space] = []  # a launch takes one: threads may launch the same kernel at the same time

    def packed(self, arguments: Sequence[Any]) -> Space:
        """The arguments as a driver takes them. A driver copies them, so that the space can be used again after the launch."""
        values = [x.address if x.__class__ is Buffer else _within(x) if x.__class__ is tuple else x for x in arguments]
        try:
            space = self.spare.pop()
        except IndexError:
            space = self._space()
        try:
            self.pack(space.bytes, 0, *values)
        except (struct.error, OverflowError, TypeError):  # a float that is infinite as float32, a bool of NumPy's, or an error
            self.pack(space.bytes, 0, *self._converted(values))
        return space

    def _space(self) -> Space:
        held = (ctypes.c_char * (SLOT * len(self._types) or SLOT))()
        first = ctypes.addressof(held)
        addresses = (ctypes.c_void_p * len(self._types))(*[first + SLOT * i for i in range(len(self._types))])
        return Space(held, addresses, ctypes.addressof(addresses))

    def _converted(self, values: Sequence[Any]) -> list[Any]:
        if len(values) != len(self._types):
            raise TypeError(f"{self.symbol} takes {len(self._types)} arguments, and was given {len(values)}")
        with np.errstate(all="ignore"):
            return [x if t is None else t(x).item() for x, t in zip(values, self._types)]


def _within(pointer: tuple[Buffer, int]) -> int:
    """The address of a byte of a buffer."""
    return pointer[0].address + pointer[1]
