"""Object code into memory without a linker: what LLVM makes of our texts for x86-64 on Linux needs very little of one.

The format is that of the System V ABI, AMD64 supplement: sections that are to be in memory, and places in them where
the absolute address of a symbol goes. Whatever else an object file holds, `load` leaves to LLVM.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import struct
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

SUPPORTED = sys.platform.startswith("linux") and platform.machine() == "x86_64"

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_IDENT = b"\x7fELF\x02\x01\x01"  # 64 bits, little endian, version 1
_RELOCATABLE, _X86_64 = 1, 62
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_PLACE = struct.Struct("<QQq")
_SYMBOLS, _PLACES, _ZEROS, _PLACES_WITHOUT_ADDENDS = 2, 4, 8, 9
_WRITE, _ALLOC, _EXECUTE, _THREAD_LOCAL = 1, 2, 4, 0x400
_ABSOLUTE = 1  # R_X86_64_64
_UNDEFINED, _FIRST_RESERVED = 0, 0xFF00
_UNWINDING = ".eh_frame"
LARGEST = 1 << 30
"""Bytes in memory; the code of no tape comes near, and what is said to be larger is left to LLVM."""


class _Section(NamedTuple):
    name: int
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entry: int


class Loaded:
    """Machine code in memory, as long as this object lives; `found[name]` is the address of a function."""

    __slots__ = ("_addresses", "_memory", "_view")

    def __init__(self, memory: mmap.mmap, view: ctypes.Array, addresses: dict[str, int]) -> None:
        self._memory, self._view, self._addresses = memory, view, addresses

    def __getitem__(self, name: str) -> int:
        return self._addresses[name]


class _Unfamiliar(Exception):
    """The object file holds something that is left to LLVM."""


def load(code: bytes, names: Sequence[str], imports: Mapping[str, int]) -> Loaded | None:
    """An object file in memory, its undefined symbols found in `imports` or the C library; None if that takes a linker."""
    if not SUPPORTED:
        return None
    try:
        return _load(code, names, imports)
    except (_Unfamiliar, struct.error, IndexError, ValueError, KeyError, OSError, OverflowError):
        return None


def _load(code: bytes, names: Sequence[str], imports: Mapping[str, int]) -> Loaded:
    ident, kind, machine, _, _, _, start, _, _, _, _, size, count, strings = _HEADER.unpack_from(code)
    if not ident.startswith(_IDENT) or (kind, machine, size) != (_RELOCATABLE, _X86_64, _SECTION.size):
        raise _Unfamiliar
    sections = [_Section(*_SECTION.unpack_from(code, start + k * size)) for k in range(count)]
    titles = [_text(code, sections[strings], section.name) for section in sections]
    kept = [k for k, s in enumerate(sections) if s.flags & _ALLOC and titles[k] != _UNWINDING]
    if any(sections[k].flags & _THREAD_LOCAL for k in kept):
        raise _Unfamiliar
    # What is written to goes on pages of its own, behind the others.
    kept.sort(key=lambda k: bool(sections[k].flags & _WRITE))
    offsets, end, fixed = {}, 0, None
    for k in kept:
        if sections[k].flags & _WRITE and fixed is None:
            fixed = end = _up(end, mmap.PAGESIZE)
        offsets[k] = end = _up(end, sections[k].align)
        end += sections[k].size
        if end > LARGEST:
            raise _Unfamiliar
    fixed = end if fixed is None else fixed
    memory = mmap.mmap(-1, max(end, 1), prot=mmap.PROT_READ | mmap.PROT_WRITE)
    view = (ctypes.c_char * len(memory)).from_buffer(memory)
    base = ctypes.addressof(view)
    for k, offset in offsets.items():
        section = sections[k]
        if section.type != _ZEROS:
            part = code[section.offset : section.offset + section.size]
            if len(part) != section.size:
                raise _Unfamiliar
            memory[offset : offset + section.size] = part
    places = {k: base + offset for k, offset in offsets.items()}
    symbols = _symbols(code, sections, places, imports)
    for section in sections:
        if section.type in (_PLACES, _PLACES_WITHOUT_ADDENDS) and section.info in offsets:
            _relocate(code, section, memory, offsets[section.info], sections[section.info].size, symbols)
    code_ends = [(places[k], places[k] + sections[k].size) for k in kept if sections[k].flags & _EXECUTE]
    addresses = {name: address for name, address in symbols if name in names and address is not None}
    if addresses.keys() != set(names) or not all(any(a <= x < b for a, b in code_ends) for x in addresses.values()):
        raise _Unfamiliar
    if fixed and _mprotect()(base, fixed, mmap.PROT_READ | mmap.PROT_EXEC):
        raise _Unfamiliar  # not allowed here
    return Loaded(memory, view, addresses)


def _symbols(
    code: bytes, sections: list[_Section], places: dict[int, int], imports: Mapping[str, int]
) -> list[tuple[str, int | None]]:
    """The names and addresses of all symbols; None for those in parts that are not in memory."""
    table = next((section for section in sections if section.type == _SYMBOLS), None)
    if table is None:
        raise _Unfamiliar
    found: list[tuple[str, int | None]] = []
    for name, _, _, where, value, _ in _SYMBOL.iter_unpack(code[table.offset : table.offset + table.size]):
        title = _text(code, sections[table.link], name)
        if where >= _FIRST_RESERVED:
            found.append((title, None))
        elif where == _UNDEFINED:
            found.append((title, imports.get(title) or _of_process(title)))
        elif where in places and value > sections[where].size:
            raise _Unfamiliar
        else:
            found.append((title, places[where] + value if where in places else None))
    return found


def _relocate(
    code: bytes, section: _Section, memory: mmap.mmap, offset: int, size: int, symbols: list[tuple[str, int | None]]
) -> None:
    """Put the addresses of symbols where they are asked for."""
    if section.type != _PLACES:
        raise _Unfamiliar
    for place, info, addend in _PLACE.iter_unpack(code[section.offset : section.offset + section.size]):
        address = symbols[info >> 32][1]
        if info & 0xFFFFFFFF != _ABSOLUTE or address is None or place + 8 > size:
            raise _Unfamiliar
        struct.pack_into("<Q", memory, offset + place, address + addend)


def _text(code: bytes, strings: _Section, at: int) -> str:
    start = strings.offset + at
    return code[start : code.index(b"\0", start)].decode()


def _up(n: int, step: int) -> int:
    return -(-n // step) * step if step > 1 else n


@cache
def _of_process(name: str) -> int | None:
    """The address of a function that code generation calls on its own (memset), or None."""
    if not name:
        return 0
    try:
        return ctypes.cast(getattr(ctypes.CDLL(None), name), ctypes.c_void_p).value
    except AttributeError:
        return None


@cache
def _mprotect() -> ctypes._NamedFuncPointer:
    function = ctypes.CDLL(None).mprotect
    function.argtypes, function.restype = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int), ctypes.c_int
    return function
